"""No backfill, EASY and EASY-SJBF where pools have more than processors, or capacity that changes at known times.

The same policies as in `apportion.core.easy`, said with a free profile: the head of each pool takes its earliest slot, and a job may
start if it fits what is left for its whole limit. On plain pools both say the same.
"""

from __future__ import annotations

from apportion.core import guard, lifecycle, profile, quota
from apportion.core.codes import BACKFILL_EASY_SJBF, BACKFILL_NONE, HEAD_CLOSED, HEAD_NONE, PENDING
from apportion.core.jit import apart, kernel
from apportion.core.tables import NEVER, State


@kernel
def try_start(s: State, now: int, job: int) -> bool:
    """Start the job if it fits from now on for its whole limit."""
    if not lifecycle.fits_now(s, job) or not profile.fits_from_now(s, job):
        return False
    profile.add(s, job, -1, now, now + profile.length(s, job))
    lifecycle.start(s, now, job)
    return True


@kernel
def reserve(s: State, job: int) -> None:
    """Keep the earliest slot of the job free."""
    start = profile.earliest(s, job, NEVER, -1)
    if start >= NEVER:
        return
    profile.add(s, job, -1, start, start + profile.length(s, job))
    if s.live.first_plan[job] < 0:
        s.live.first_plan[job] = start


@apart
def decide(s: State, now: int) -> None:
    """Walk the queue in order: start, block, backfill."""
    n_pools = s.pools.free.size
    for pool in range(n_pools):
        profile.build(s, pool, now)
        s.pools.head[pool] = HEAD_NONE
    if s.rules.guarded == 1:
        guard.place(s, now)
    backfill = s.rules.backfill
    in_order = backfill != BACKFILL_NONE and backfill != BACKFILL_EASY_SJBF
    open_pools = n_pools
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING or (s.rules.guarded == 1 and s.live.plan[job] >= 0):
            continue
        pool = s.jobs.pool[job]
        blocked = s.pools.head[pool] != HEAD_NONE
        if blocked and not in_order:
            continue
        if quota.held(s, job):
            if s.rules.assoc_limit_stop == 1:
                s.pools.head[pool] = HEAD_CLOSED
            continue
        if s.pools.head[pool] == HEAD_CLOSED:
            continue
        if try_start(s, now, job):
            if not blocked:
                lifecycle.note_turn(s, now, job)
            continue
        if not blocked and quota.may_reserve(s, job):
            lifecycle.note_first_in_line(s, job)
            s.pools.head[pool] = job
            if backfill != BACKFILL_NONE:
                reserve(s, job)
            if not in_order:
                open_pools -= 1
                if open_pools == 0:
                    break
    if backfill == BACKFILL_EASY_SJBF:
        for i in range(s.short_queue.head[0], s.short_queue.tail[0]):
            job = s.short_queue.order[i]
            if s.live.state[job] == PENDING and (s.rules.guarded == 0 or s.live.plan[job] < 0):
                head = s.pools.head[s.jobs.pool[job]]
                if head >= 0 and head != job and not quota.held(s, job):
                    try_start(s, now, job)
