"""Jobs that are told to leave and have grace, and what is kept for those that wait for it.

A victim with grace keeps its resources until the grace is over, or it has ended. The job that preempts it holds meanwhile what it found
free, and what victims give back, so that nobody comes between; it starts once it has all it asks for. Backfill knows when victims leave.

Source: GraceTime in slurm.conf(5) and sacctmgr(1). In Slurm the preempting job holds nothing; here it does, or victims would leave in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import conservative, queue, running
from apportion.core.codes import BACKFILL_CONSERVATIVE, BACKFILL_EASY_SJBF
from apportion.core.jit import kernel
from apportion.core.preempt_tables import CLAIMS, LEAVING
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def begin(s: State, now: int, job: int, by: int, reason: int) -> None:
    """Tell a running job to leave for job ``by``."""
    p, run, pool = s.preemption, s.running, s.jobs.pool[job]
    until = now + p.grace[job]
    p.until[job] = until
    p.by[job] = by
    p.reason[job] = reason
    p.leaving[p.clock[LEAVING]] = job
    p.clock[LEAVING] += 1
    end = s.live.start[job] + s.jobs.expected[job]
    if until < end:
        running.settle(run, s.live.state, pool)
        running.remove(run, pool, end, job)
        s.jobs.expected[job] = until - s.live.start[job]
        running.add(run, s.live.state, pool, until, s.jobs.procs[job], job)
        running.settle(run, s.live.state, pool)
        if s.rules.backfill == BACKFILL_EASY_SJBF:
            queue.sweep(
                s.short_queue, s.live.state
            )  # it is sorted by what was expected of those that have left it, too


@kernel
def claim(s: State, job: int) -> None:
    """Let a pending job hold what is free of what it asks for."""
    p = s.preemption
    p.claimants[p.clock[CLAIMS]] = job
    p.clock[CLAIMS] += 1
    p.is_claimant[job] = 1
    hold(s, job)
    note_change(s)


@kernel
def hold(s: State, job: int) -> None:
    """Take what is free of what a job asks for out of its pool."""
    p, pool = s.preemption, s.jobs.pool[job]
    p.held[job, 0] = max(min(s.pools.free[pool], s.jobs.procs[job]), 0)
    s.pools.free[pool] -= p.held[job, 0]
    for e in range(s.pools.extra.shape[1]):
        p.held[job, e + 1] = max(min(s.pools.extra_free[pool, e], s.jobs.extra[job, e]), 0)
        s.pools.extra_free[pool, e] -= p.held[job, e + 1]


@kernel
def let_go(s: State, job: int) -> None:
    """Put back what a job holds."""
    p, pool = s.preemption, s.jobs.pool[job]
    s.pools.free[pool] += p.held[job, 0]
    p.held[job, 0] = 0
    for e in range(s.pools.extra.shape[1]):
        s.pools.extra_free[pool, e] += p.held[job, e + 1]
        p.held[job, e + 1] = 0


@kernel
def keep_memory(s: State, job: int, sign: int) -> None:
    """Let a suspended job keep its memory from others (1), or no longer (-1)."""
    e = s.preemption.memory
    if e >= 0:
        s.pools.extra_free[s.jobs.pool[job], e] -= sign * s.jobs.extra[job, e]


@kernel
def note_change(s: State) -> None:
    """See to it that nothing is built upon what was known of free resources."""
    s.clock.stale[0] = 1
    s.clock.happened[0] = 1
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        s.clock.replan[0] = conservative.ANEW


@kernel
def next_leave(s: State) -> int:
    """When the next grace is over, ms."""
    p = s.preemption
    time = NEVER
    for k in range(p.clock[LEAVING]):
        time = min(time, p.until[p.leaving[k]])
    return time
