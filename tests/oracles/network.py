"""Max-min fair rates and transfers, twice naive: exact fractions for the rates, millisecond by millisecond for the transfers.

Rates: Bertsekas & Gallager, Data Networks (1992), section 6.5.2: raise all rates together; who meets a full link stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


def max_min(capacity: list[int], routes: list[list[int]]) -> list[Fraction]:
    """Rates of flows that each have at least one link."""
    rate = [Fraction(0)] * len(routes)
    rising = set(range(len(routes)))
    while rising:
        steps = []
        for link, room in enumerate(capacity):
            crowd = [flow for flow in rising if link in routes[flow]]
            if crowd:
                used = sum(rate[flow] for flow, route in enumerate(routes) if link in route)
                steps.append((room - used) / Fraction(len(crowd)))
        step = min(steps)
        for flow in rising:
            rate[flow] += step
        full = {
            link
            for link, room in enumerate(capacity)
            if sum(rate[flow] for flow, route in enumerate(routes) if link in route) == room
        }
        rising -= {flow for flow in rising if full & set(routes[flow])}
    return rate


def whole_rates(capacity: list[int], routes: list[list[int]]) -> list[int]:
    """The same in whole numbers: whoever is fixed gets the level of the lowest link, rounded down, but 1 at least; 0 over a dead link."""
    rate = [0 if any(capacity[link] == 0 for link in route) else -1 for route in routes]
    while -1 in rate:
        levels = {}
        for link, room in enumerate(capacity):
            open_here = [flow for flow, route in enumerate(routes) if link in route and rate[flow] == -1]
            taken = sum(rate[flow] for flow, route in enumerate(routes) if link in route and rate[flow] >= 0)
            if open_here:
                levels[link] = (room - taken) // len(open_here)
        lowest = min(levels, key=lambda link: (levels[link], link))
        level = max(levels[lowest], 1)
        rate = [level if r == -1 and lowest in route else r for r, route in zip(rate, routes, strict=True)]
    return rate


@dataclass
class Flow:
    """A transfer: ``begin`` ms, ``size`` bytes, its links, ``latency`` ms; ``arrival`` is found; given up at ``stop``, if it has not arrived."""

    begin: int
    size: int
    route: list[int]
    latency: int
    stop: int | None = None
    arrival: int | None = None


def play(capacity: list[int], flows: list[Flow], changes: dict[int, tuple[int, int]], until: int) -> None:
    """Let time pass a millisecond at a time; ``changes`` : time to (link, new capacity)."""
    capacity = list(capacity)
    left = [flow.size * 1000 for flow in flows]
    sent_at: list[int | None] = [None] * len(flows)
    for now in range(until):
        if now in changes:
            link, room = changes[now]
            capacity[link] = room
        busy = [
            k
            for k, flow in enumerate(flows)
            if flow.begin <= now and sent_at[k] is None and (flow.stop is None or now < flow.stop)
        ]
        rates = whole_rates(capacity, [flows[k].route for k in busy])
        for k, rate in zip(busy, rates, strict=True):
            left[k] -= rate
            if left[k] <= 0 and rate > 0:
                sent_at[k] = now + 1
    for k, flow in enumerate(flows):
        sent = sent_at[k]
        if sent is not None and (flow.stop is None or sent + flow.latency <= flow.stop):
            flow.arrival = sent + flow.latency
