"""EASY on one pool of processors in arrival order, for whole traces: plain lists, each pass from its definition.

What it leaves out against `oracles.backfill` are pools, vectors, windows, limits and orders; what it adds is that the
running jobs are kept sorted by expected end, and that a pass with no processor free is not made, as nothing could come of it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def easy(submit: Sequence[int], run: Sequence[int], limit: Sequence[int], procs: Sequence[int], size: int) -> list[int]:
    """Return the start of each job; jobs are in order of submit, no wider than the machine, none runs over its limit."""
    n = len(submit)
    starts = [-1] * n
    waiting: list[int] = []
    ends: list[tuple[int, int]] = []
    running: list[tuple[int, int]] = []  # (expected end, job)
    free = size
    arrived = 0

    def start(job: int, now: int) -> None:
        nonlocal free
        starts[job] = now
        free -= procs[job]
        heapq.heappush(ends, (now + run[job], job))
        insort(running, (now + limit[job], job))

    while arrived < n or ends:
        now = min(([submit[arrived]] if arrived < n else []) + ([ends[0][0]] if ends else []))
        while ends and ends[0][0] == now:
            _, job = heapq.heappop(ends)
            free += procs[job]
            del running[bisect_left(running, (starts[job] + limit[job], job))]
        while arrived < n and submit[arrived] == now:
            waiting.append(arrived)
            arrived += 1
        if free == 0 or not waiting:
            continue
        first = 0
        while first < len(waiting) and procs[waiting[first]] <= free:
            start(waiting[first], now)
            first += 1
        del waiting[:first]
        if not waiting or free == 0:
            continue
        head, *others = waiting
        spare, shadow = free, now
        for end, job in running:  # all that end by the shadow time count
            if spare >= procs[head] and end > shadow:
                break
            spare += procs[job]
            shadow = end
        spare -= procs[head]
        left = [head]
        for job in others:
            late = now + limit[job] > shadow
            if procs[job] > free or (late and procs[job] > spare):
                left.append(job)
                continue
            if late:
                spare -= procs[job]
            start(job, now)
        waiting = left
    return starts
