"""A binary heap of (time, job) pairs: the ends that are to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints


@kernel
def push(times: Ints, jobs: Ints, n: int, time: int, job: int) -> None:
    """Add a pair to a heap of ``n``."""
    i = n
    while i > 0:
        up = (i - 1) >> 1
        if times[up] < time or (times[up] == time and jobs[up] < job):
            break
        times[i] = times[up]
        jobs[i] = jobs[up]
        i = up
    times[i] = time
    jobs[i] = job


@kernel
def remove(times: Ints, jobs: Ints, n: int, job: int) -> int:
    """Remove the pair of a job, if there is one, from a heap of ``n``; how many are left. O(n)."""
    i = 0
    while i < n and jobs[i] != job:
        i += 1
    if i == n:
        return n
    while i > 0:  # its place goes to the top, from where it is taken
        up = (i - 1) >> 1
        times[i] = times[up]
        jobs[i] = jobs[up]
        i = up
    pop(times, jobs, n)
    return n - 1


@kernel
def pop(times: Ints, jobs: Ints, n: int) -> None:
    """Remove the first pair of a heap of ``n``; the caller has read it at index 0."""
    n -= 1
    time = times[n]
    job = jobs[n]
    i = 0
    while True:
        down = 2 * i + 1
        if down >= n:
            break
        right = down + 1
        if right < n:  # without a branch: nobody could guess which child is the earlier one
            down += (times[right] < times[down]) | ((times[right] == times[down]) & (jobs[right] < jobs[down]))
        if time < times[down] or (time == times[down] and job < jobs[down]):
            break
        times[i] = times[down]
        jobs[i] = jobs[down]
        i = down
    times[i] = time
    jobs[i] = job
