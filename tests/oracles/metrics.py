"""Metrics the slow way: plain loops that a reader can check by eye."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Job(NamedTuple):
    """One job; ``start`` is None where it never started, ``leave`` when it left the queue."""

    submit: float
    start: float | None
    run: float
    procs: int
    leave: float

    @property
    def end(self) -> float | None:
        return None if self.start is None else self.start + self.run


def jain(values: Sequence[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(v * v for v in values))


def gini(values: Sequence[float]) -> float:
    n = len(values)
    mean = sum(values) / n
    return sum(abs(a - b) for a in values for b in values) / (2 * n * n * mean)


def overlap(a: float, b: float, low: float, high: float) -> float:
    return max(0.0, min(b, high) - max(a, low))


def binned(
    group: Sequence[int],
    n_groups: int,
    spans: Sequence[tuple[float, float]],
    weight: Sequence[float],
    edges: Sequence[float],
) -> list[list[float]]:
    table = [[0.0] * (len(edges) - 1) for _ in range(n_groups)]
    for g, (a, b), w in zip(group, spans, weight, strict=True):
        for k in range(len(edges) - 1):
            table[g][k] += w * overlap(a, b, edges[k], edges[k + 1])
    return table


def lost_capacity(jobs: Sequence[Job], capacity: Sequence[tuple[float, int]], window: tuple[float, float]) -> float:
    """Integral of min(idle, queued processors): looks at the middle of each stretch between events."""
    moments = {*window, *(t for t, _ in capacity)}
    for job in jobs:
        moments |= {job.submit, job.leave} | ({job.start, job.end} if job.start is not None else set())
    inside = sorted(t for t in moments if t is not None and window[0] <= t <= window[1])
    total = 0.0
    for a, b in pairwise(inside):
        middle = (a + b) / 2
        there = 0
        for t, procs in capacity:
            if t <= middle:
                there = procs
        used = sum(j.procs for j in jobs if j.start is not None and j.start <= middle < j.end)
        queued = sum(j.procs for j in jobs if j.submit <= middle < j.leave)
        total += min(max(there - used, 0), queued) * (b - a)
    return total


def fair_start(jobs: Sequence[Job], j: int, capacity: Sequence[tuple[int, int]], *, backfill: bool) -> int | None:
    """Fair start of job ``j``: plan what was there at its submit, in order of submit, on a list of reservations."""
    now = jobs[j].submit
    reserved = [(now, job.end, job.procs) for job in jobs[:j] if job.start is not None and job.start < now < job.end]
    queue = [job for job in jobs[:j] if job.start is not None and job.start >= now and job.end > now] + [jobs[j]]

    def free(t: float) -> int:
        there = 0
        for since, procs in capacity:
            if since <= t:
                there = procs
        return there - sum(procs for a, b, procs in reserved if a <= t < b)

    earliest = now
    begin: float | None = None
    for job in queue:
        marks = sorted({earliest, *(t for t, _ in capacity), *(x for a, b, _ in reserved for x in (a, b))})
        begin = None
        for t in marks:
            if t < earliest:
                continue
            watch = [t] + [x for x in marks if t < x < t + job.run]
            if all(free(x) >= job.procs for x in watch):
                begin = t
                break
        if begin is None:
            continue
        reserved.append((begin, begin + job.run, job.procs))
        if not backfill:
            earliest = begin
    return begin


def fcfs(jobs: Sequence[tuple[int, int, int]], procs: int) -> list[int]:
    """Starts of (submit, run, procs) jobs under strict FCFS."""
    return _in_order(jobs, procs, backfill=False)


def conservative(jobs: Sequence[tuple[int, int, int]], procs: int) -> list[int]:
    """Starts under conservative backfilling with exact estimates: each job takes the first gap at its arrival."""
    return _in_order(jobs, procs, backfill=True)


def _in_order(jobs: Sequence[tuple[int, int, int]], procs: int, *, backfill: bool) -> list[int]:
    taken: list[tuple[int, int, int]] = []
    starts: list[int] = []
    for submit, run, need in jobs:
        first = submit if backfill or not starts else max(submit, starts[-1])
        t = first
        while any(procs - sum(p for a, b, p in taken if a <= x < b) < need for x in range(t, t + max(run, 1))):
            t += 1
        starts.append(t)
        taken.append((t, t + run, need))
    return starts
