"""Factors of the share engines that have a memory, by the book: all jobs are looked at anew for every tick, window and association."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oracles.engines import karma_round
from oracles.fairshare import Node, ranks, users, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Ran:
    """A job that ran: ms, ``end`` None while it runs; ``units`` are thousandths of billing units; ``tres`` processors and further."""

    user: str
    start: int
    end: int | None
    limit: int
    units: int
    tres: tuple[int, ...] = (1,)

    def seconds(self, tick: int) -> int:
        """Whole seconds of the clock that it has run at a tick."""
        last = tick if self.end is None else min(self.end, tick)
        return max(last // 1000 - self.start // 1000, 0) if self.start <= tick else 0

    def runs(self, tick: int) -> bool:
        return self.start < tick and (self.end is None or self.end >= tick)


class World:
    """A tree, its jobs, and the ticks from the first to the last. ``rows`` : its nodes in the order that breaks ties."""

    def __init__(
        self, root: Node, rows: Sequence[Node], jobs: Sequence[Ran], first: int, last: int, period: int
    ) -> None:
        self.people = [node.name for node in rows if node.is_user]
        self.root, self.jobs, self.first, self.period = root, jobs, first // period * period, period
        self.last = last // period * period
        self.below = {node.name: {user.name for user in users(node)} for node in walk(root)}
        self.ticks = range(self.first + period, self.last + 1, period)
        self.share: dict[str, float] = {root.name: 1.0}
        self.ratio: dict[str, float] = {root.name: 1.0}
        for node in walk(root):
            total = sum(child.shares for child in node.children)
            for child in node.children:
                self.ratio[child.name] = child.shares / total if total else 0.0
                self.share[child.name] = self.share[node.name] * self.ratio[child.name]

    def sum(self, name: str, of: Callable[[Ran], float]) -> float:
        return sum(of(job) for job in self.jobs if job.user in self.below[name])

    def used(self, name: str, begin: int, end: int) -> float:
        """Thousandths x s from one tick to another."""
        return self.sum(name, lambda job: job.units * (job.seconds(end) - job.seconds(begin)))

    def running(self, name: str, of: Callable[[Ran], float] = lambda job: job.units) -> float:
        return self.sum(name, lambda job: of(job) if job.runs(self.last) else 0)

    def by_window(self, interval: int, of: Callable[[int, int], float]) -> dict[int, float]:
        """Sum of slices by the number of the window in which each ends."""
        found: dict[int, float] = {}
        for tick in self.ticks:
            window = (tick - 1) // interval
            found[window] = found.get(window, 0) + of(tick - self.period, tick)
        return found

    def recent(self, name: str, interval: int, n: int, decay: float) -> float:
        newest = (self.last - 1) // interval
        found = self.by_window(interval, lambda begin, end: self.used(name, begin, end))
        return sum(decay**age * found.get(newest - age, 0) for age in range(n))

    def asked(self, name: str, interval: int, n: int) -> float:
        """Thousandths x s that jobs which started in the windows asked for."""
        newest = (self.last - 1) // interval

        def of(begin: int, end: int) -> float:
            return self.sum(name, lambda job: job.units * (job.limit // 1000) if begin <= job.start < end else 0)

        found = self.by_window(interval, of)
        return sum(found.get(newest - age, 0) for age in range(n))


def ratio_level(world: World, name: str, part: float) -> float:
    if world.ratio[name] == 0:
        return 0.0
    return world.ratio[name] / part if part else math.inf


def condor(world: World, half_life_s: float, default_factor: float) -> dict[str, float]:
    beta = 0.5 ** (world.period / 1000 / half_life_s)
    level = {}
    for user in users(world.root):
        real = 0.5
        for tick in world.ticks:
            cores = world.used(user.name, tick - world.period, tick) / world.period
            real = max(beta * real + (1 - beta) * cores, 0.5)
        level[user.name] = user.shares / (real * default_factor)
    groups = []
    for node in walk(world.root):
        own = [child for child in node.children if child.is_user]
        if node is world.root:
            for child in own:
                level[child.name] = -1 / level[child.name] if child.shares else -math.inf
            groups += own
        elif own:
            quota = sum(world.share[child.name] for child in own)
            in_use = sum(world.running(child.name) for child in own) / 1000
            level[node.name] = 0.0 if quota == 0 else quota / in_use if in_use else math.inf
            groups.append(Node(node.name, node.shares, children=own))
    return ranks(Node("root", 1, children=groups), level)


def drf(world: World, capacity: Sequence[int]) -> dict[str, float]:
    def dominant(name: str) -> float:
        return max(world.running(name, lambda job: job.tres[r]) / c for r, c in enumerate(capacity) if c)  # noqa: B023

    return ranks(world.root, {n.name: ratio_level(world, n.name, dominant(n.name)) for n in walk(world.root)})


def flux(world: World, interval: int, n: int) -> dict[str, float]:
    level = {}
    for node in walk(world.root):
        above = world.recent(node.name, interval, n, 0.5)
        for child in node.children:
            own = world.recent(child.name, interval, n, 0.5)
            level[child.name] = ratio_level(world, child.name, own / above if above else 0.0)
    return ranks(world.root, level)


def kai(world: World, interval: int, n: int, k: float, procs: int) -> dict[str, float]:
    level = {}
    for node in walk(world.root):
        past = world.recent(node.name, interval, n, 1.0) / 1000 / (procs * n * interval / 1000)
        weight = max(0.0, world.ratio[node.name] + k * (world.ratio[node.name] - past))
        now = world.running(node.name) / 1000 / procs
        level[node.name] = 0.0 if weight == 0 else weight / now if now else math.inf
    return ranks(world.root, level)


def karma(world: World, interval: int, alpha: float, initial: float, procs: int) -> dict[str, float]:
    names = world.people
    machine = 1000 * procs
    wealth = [int(initial * machine * world.share[name]) for name in names]
    guaranteed = [int((1 - alpha) * machine * world.share[name] + 1e-9) for name in names]
    free = [int(alpha * machine * world.share[name] + 1e-9) for name in names]
    earned = [0] * len(names)  # what is given to all is the same in rounds of one's own share
    window = (world.first - 1) // interval
    held = dict.fromkeys(names, 0.0)
    for tick in world.ticks:
        if (tick - 1) // interval != window:
            demand = [int(held[name]) // (interval // 1000) for name in names]
            before = [old + new for old, new in zip(wealth, free, strict=True)]
            _, wealth = karma_round(demand, guaranteed, free, machine, wealth)
            earned = [old + now - then for old, now, then in zip(earned, wealth, before, strict=True)]
            held = dict.fromkeys(names, 0.0)
            window = (tick - 1) // interval
        for name in names:
            held[name] += world.used(name, tick - world.period, tick)
    level = {}
    for node in walk(world.root):
        owned = sum(earned[names.index(name)] for name in world.below[node.name])
        due = machine * world.share[node.name]
        level[node.name] = owned / due if due else -math.inf
    return ranks(world.root, level)


def lsf(world: World, hist_hours: float, factors: Sequence[float], keeps: bool) -> dict[str, float]:
    cpu_factor, run_factor, committed_factor, job_factor = factors
    decay = 0.1 ** (world.period / 1000 / 3600 / hist_hours)
    hour = 3_600_000
    level = {}
    for node in walk(world.root):
        cpu = ended = 0.0
        for tick in world.ticks:
            begin = tick - world.period
            cpu = cpu * decay + world.used(node.name, begin, tick)
            ended = ended * decay + world.sum(
                node.name,
                lambda job: job.units * job.seconds(tick) if job.end is not None and begin <= job.end < tick else 0,  # noqa: B023
            )
        run = world.running(node.name, lambda job: job.units * job.seconds(world.last))
        committed = world.running(node.name, lambda job: job.units * (job.limit // 1000)) - run
        slots = world.running(node.name) / 1000
        used = cpu / hour * cpu_factor + (run + (ended if keeps else 0)) / hour * run_factor
        level[node.name] = node.shares / (used + committed / hour * committed_factor + (1 + slots) * job_factor)
    return ranks(world.root, level)


def moab(world: World, interval: int, n: int, decay: float, weights: tuple[float, float]) -> dict[str, float]:
    everything = world.recent(world.root.name, interval, n, decay)
    factor = {}
    for account in walk(world.root):
        for user in account.children:
            if user.is_user:
                parts = [
                    world.share[who.name]
                    - (world.recent(who.name, interval, n, decay) / everything if everything else 0)
                    for who in (user, account)
                ]
                own = sum(w * part for w, part in zip(weights, parts, strict=True)) / sum(weights)
                factor[user.name] = (1 + own) / 2
    return factor


def oar(world: World, interval: int, n: int, coefficients: tuple[float, float, float]) -> dict[str, float]:
    project_c, user_c, asked_c = coefficients
    everything = world.recent(world.root.name, interval, n, 1.0)
    asked = world.asked(world.root.name, interval, n)
    factor = {}
    for project in walk(world.root):
        for user in project.children:
            if user.is_user:
                by_project = world.recent(project.name, interval, n, 1.0) / everything if everything else 0.0
                by_user = world.recent(user.name, interval, n, 1.0) / everything if everything else 0.0
                by_asked = world.asked(user.name, interval, n) / asked if asked else 0.0
                due = world.share[user.name]
                karma_ = project_c * (by_project - world.share[project.name])
                karma_ += user_c * (by_user - due) + asked_c * (by_asked - due)
                factor[user.name] = 0.5 - karma_ / (2 * sum(coefficients))
    return factor


BY_NAME: dict[str, Any] = {
    "condor": condor, "drf": drf, "flux": flux, "kai": kai, "karma": karma, "lsf": lsf, "moab": moab, "oar": oar,
}  # fmt: skip
