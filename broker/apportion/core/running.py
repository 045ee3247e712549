"""The running jobs of each pool, kept sorted by expected end (start plus limit), as backfill reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Running


@kernel
def add(running: Running, pool: int, end: int, procs: int, job: int) -> None:
    """Insert a job that has just started; among equal ends it comes last."""
    ends = running.end
    first = running.first[pool]
    i = first + running.count[pool]
    while i > first and ends[i - 1] > end:
        ends[i] = ends[i - 1]
        running.procs[i] = running.procs[i - 1]
        running.job[i] = running.job[i - 1]
        i -= 1
    ends[i] = end
    running.procs[i] = procs
    running.job[i] = job
    running.count[pool] += 1


@kernel
def remove(running: Running, pool: int, end: int, job: int) -> None:
    """Take out a job that is running and was to end at ``end``."""
    ends = running.end
    low = running.first[pool]
    last = low + running.count[pool] - 1
    high = last + 1
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] < end:
            low = middle + 1
        else:
            high = middle
    while running.job[low] != job:
        low += 1
    for i in range(low, last):
        ends[i] = ends[i + 1]
        running.procs[i] = running.procs[i + 1]
        running.job[i] = running.job[i + 1]
    running.count[pool] -= 1
