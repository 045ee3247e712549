"""Whose turn it is to be admitted, as naive as can be: Kueue's fair sharing between accounts, and what their users used of late between those.

Each turn is found anew from the list of those that have quota, or count as if they had; each average anew from all starts and ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from oracles.jobs import Job
    from oracles.quotas import AccountQuotas, Cell, Node

RESOURCES = ("cpu", "gres/gpu")
Share = tuple[bool, Fraction]


@dataclass(frozen=True)
class Usage:
    """For accounts that go by usage: Kueue's usageHalfLifeTime, usageSamplingInterval (ms), resourceWeights, and weights of users."""

    accounts: frozenset[str]
    half_life: int
    interval: int
    weight: Mapping[int, float] = field(default_factory=dict)
    factor: Mapping[str, float] = field(default_factory=dict)

    def part(self, elapsed: float) -> float:
        return 1.0 - 0.5 ** (elapsed / self.half_life) if self.half_life > 0 else 1.0

    def penalty(self, job: Job, resource: str) -> float:
        return self.part(self.interval) * amount(job, resource)


def amount(job: Job, resource: str) -> int:
    return {"cpu": job.procs, "mem": job.mem, "gres/gpu": job.gpus}[resource]


@dataclass(frozen=True)
class Turns:
    """``by_share`` : FairSharing. ``usage`` : None where no account goes by it.

    ``resources`` : of the quotas, sorted. ``begin`` : first submission.
    """

    by_share: bool
    usage: Usage | None
    resources: tuple[str, ...]
    begin: int = 0


def used(
    turns: Turns, user: int, jobs: Mapping[int, Job], starts: Mapping[int, int], ends: Mapping[int, int], now: int
) -> list[float]:
    """Average usage of a user by resource, with the penalties of its starts; jobs in the order in which they started."""
    usage = turns.usage
    mine = [(job_id, start) for job_id, start in starts.items() if jobs[job_id].user == user]
    found = []
    for resource in turns.resources:
        value, left = 0.0, list(mine)
        sample = (turns.begin // usage.interval + 1) * usage.interval
        while True:
            while left and (left[0][1] < sample or sample > now):
                value += usage.penalty(jobs[left.pop(0)[0]], resource)
            if sample > now:
                break
            at_work = sum(amount(jobs[k], resource) for k, start in mine if start < sample <= ends.get(k, sample))
            part = usage.part(usage.interval)
            value = (1.0 - part) * value + part * at_work
            sample += usage.interval
        found.append(value)
    return found


def shares(node: Node, cells: list[Cell]) -> tuple[Fraction, str]:
    """Part that the jobs of a node itself have borrowed of it, as if they were of an account below it."""
    best = Fraction(0), ""
    for resource in sorted({resource for _, resource in cells}):
        mine = [cell for cell in cells if cell[1] == resource and node.governed(cell)]
        borrowed = sum(max(0, node.own.get(cell, 0) - node.nominal.get(cell, 0)) for cell in mine)
        lendable = sum(node.potential(cell) for cell in mine)
        if borrowed and lendable and Fraction(borrowed, lendable) > best[0]:
            best = Fraction(borrowed, lendable), resource
    return best


def arranged(
    queue: Sequence[Job],
    running: Sequence[tuple[Job, int]],
    quotas: AccountQuotas,
    turns: Turns,
    used_by: Callable[[int], list[float]],
) -> list[Job]:
    """Jobs in the order of their turns; ``queue`` : in the policy's order."""
    place = {job.id: k for k, job in enumerate(queue)}
    left, counted, added = list(queue), list(running), dict.fromkeys({job.user for job in queue}, 0.0)
    cells = [(flavor, resource) for flavor in ["*", *filter(None, quotas.flavor)] for resource in turns.resources]
    cells = list(dict.fromkeys(cells))
    usage = turns.usage
    averages = {user: used_by(user) for user in added} if usage else {}

    def value(job: Job) -> float:
        weight = usage.weight.get(job.user, 1.0)
        if weight == 0:
            return float("inf")
        total = added[job.user]
        for resource, average in zip(turns.resources, averages[job.user], strict=True):
            total += usage.factor.get(resource, 1.0) * average
        return total / weight

    def next_own(node: Node) -> Job | None:
        mine = [job for job in left if quotas.account.get(job.user) is node]
        by_usage = usage is not None and node.name in usage.accounts
        return min(mine, key=lambda job: (value(job) if by_usage else 0.0, place[job.id]), default=None)

    def with_it(job: Job) -> None:
        quotas.use([*counted, (job, 0)])

    def next_of(node: Node) -> Job | None:
        """Of the jobs of a node and all below it."""
        found: list[tuple[Share, int, Job]] = []
        own = next_own(node)
        if own is not None:
            with_it(own)
            ratio = shares(node, cells)[0]
            share = (ratio > 0, ratio) if node.weight == 0 else (False, ratio / node.weight)
            found.append((share, place[own.id], own))
        for child in node.children:
            job = next_of(child)
            if job is not None:
                with_it(job)
                found.append((child.weighted(cells, {}), place[job.id], job))
        if not turns.by_share:
            found = [((False, Fraction(0)), k, job) for _, k, job in found]
        return min(found, key=lambda row: row[:2])[2] if found else None

    roots = list({id(node.root()): node.root() for node in quotas.account.values()}.values())
    out = []
    while left:
        heads = [job for job in map(next_of, roots) if job is not None]
        heads += [job for job in left if job.user not in quotas.account][:1]
        job = min(heads, key=lambda job: place[job.id])
        left.remove(job)
        out.append(job)
        node = quotas.account.get(job.user)
        if node is None or node.name in quotas.stopped:
            continue
        quotas.use(counted)
        if all(node.available(cell) >= n for cell, n in quotas.asked(job).items()):
            counted.append((job, 0))
            if usage is not None:
                for resource in turns.resources:
                    added[job.user] += usage.factor.get(resource, 1.0) * usage.penalty(job, resource)
    return out
