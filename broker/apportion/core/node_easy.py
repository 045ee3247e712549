"""No backfill, EASY and EASY-SJBF on nodes.

The same policies as in `apportion.core.easy`, said with nodes: the head of each pool is expected to start when running jobs, in the order of
their expected ends, will have left nodes that it fits on. A later job starts on the nodes that the placement gives it now, if it ends by then or
the head would still fit without these.
"""

from __future__ import annotations

from apportion.core import lifecycle, nodes, queue, quota, running
from apportion.core.codes import (
    BACKFILL_EASY,
    BACKFILL_EASY_SJBF,
    BACKFILL_NONE,
    HEAD_CLOSED,
    HEAD_NONE,
    HEAD_UNKNOWN,
    PENDING,
)
from apportion.core.easy import UNKNOWN
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, State


@kernel
def block(s: State, job: int) -> None:
    """Make ``job`` the head of its pool."""
    pool = s.jobs.pool[job]
    lifecycle.note_first_in_line(s, job)
    s.pools.head[pool] = job
    s.pools.shadow[pool] = UNKNOWN
    if s.live.first_plan[job] < 0 and s.rules.backfill != BACKFILL_NONE:
        plan(s, pool)


@kernel
def plan(s: State, pool: int) -> None:
    """Work out when the head of the pool can start, if that is not known."""
    if s.pools.shadow[pool] != UNKNOWN:
        return
    head = s.pools.head[pool]
    running.settle(s.running, s.live.state, pool)
    s.pools.shadow[pool] = nodes.look_ahead(s, pool, head)
    if s.live.first_plan[head] < 0 and s.pools.shadow[pool] < NEVER:
        s.live.first_plan[head] = s.pools.shadow[pool]


@kernel
def try_backfill(s: State, now: int, job: int) -> None:
    """Start ``job`` if it fits and does not delay the head of its pool."""
    pool = s.jobs.pool[job]
    if not lifecycle.fits_now(s, job) or quota.held(s, job):
        return
    plan(s, pool)
    late = now + s.jobs.expected[job] > s.pools.shadow[pool]
    if late and not nodes.keeps_head(s, pool, s.pools.head[pool], job):
        return
    lifecycle.start(s, now, job)


@kernel
def full_pass(s: State, now: int) -> None:
    """Walk the queue in order: start, block, backfill."""
    n_pools = s.pools.free.size
    for pool in range(n_pools):
        s.pools.head[pool] = HEAD_NONE
    in_order = s.rules.backfill == BACKFILL_EASY
    stops = s.rules.assoc_limit_stop == 1
    open_pools = n_pools
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING:
            continue
        pool = s.jobs.pool[job]
        head = s.pools.head[pool]
        if head == HEAD_CLOSED or (head >= 0 and not in_order):
            continue
        if head >= 0 and not stops:
            try_backfill(s, now, job)
        elif quota.held(s, job):
            if stops:
                s.pools.head[pool] = HEAD_CLOSED
        elif head >= 0:
            try_backfill(s, now, job)
        elif lifecycle.fits_now(s, job):
            lifecycle.start(s, now, job)
        elif quota.may_reserve(s, job):
            block(s, job)
            if not in_order:
                open_pools -= 1
                if open_pools == 0:
                    break
        if n_pools == 1 and s.pools.head[0] >= 0 and s.pools.free[0] < s.pools.min_procs[0]:
            break
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        for i in range(s.short_queue.head[0], s.short_queue.tail[0]):
            job = s.short_queue.order[i]
            if s.live.state[job] == PENDING:
                head = s.pools.head[s.jobs.pool[job]]
                if head >= 0 and head != job:
                    try_backfill(s, now, job)


@kernel
def arrival_pass(s: State, now: int, job: int) -> bool:
    """Look only at one job that has just arrived; False if the whole queue must be looked at (see `easy.arrival_pass`)."""
    pool = s.jobs.pool[job]
    head = s.pools.head[pool]
    if head == HEAD_UNKNOWN:
        return s.jobs.procs[job] > s.pools.free[pool]
    if head == HEAD_NONE:
        if lifecycle.fits_now(s, job):
            lifecycle.start(s, now, job)
        else:
            block(s, job)
        return True
    if s.live.score.size > 0 and queue.ranks_before(s.live.score, s.jobs.submit, job, head):
        return False
    if s.rules.backfill != BACKFILL_NONE:
        try_backfill(s, now, job)
    return True


@kernel
def decide(s: State, now: int) -> None:
    """Look at as much of the queue as anything has changed for."""
    if s.clock.stale[0] == 1 or s.clock.arrived[0] > 1 or s.rules.limited == 1:
        full_pass(s, now)
    elif s.clock.arrived[0] == 1 and not arrival_pass(s, now, s.clock.last_arrived[0]):
        full_pass(s, now)
