"""No backfill, EASY and EASY-SJBF on nodes.

The same policies as in `apportion.core.easy`, said with nodes: the head of each pool is expected to start when running jobs, in the order of
their expected ends, will have left nodes that it fits on. A later job starts on the nodes that the placement gives it now, if it ends by then or
the head would still fit without these.
"""

from __future__ import annotations

from apportion.core import lifecycle, nodes, quota, running
from apportion.core.codes import BACKFILL_EASY, BACKFILL_EASY_SJBF, BACKFILL_NONE, HEAD_CLOSED, HEAD_NONE, PENDING
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, State


@kernel
def block(s: State, job: int) -> None:
    """Make ``job`` the head of its pool, and plan its start."""
    pool = s.jobs.pool[job]
    lifecycle.note_first_in_line(s, job)
    s.pools.head[pool] = job
    if s.rules.backfill == BACKFILL_NONE:
        return
    running.settle(s.running, s.live.state, pool)
    s.pools.shadow[pool] = nodes.look_ahead(s, pool, job)
    if s.live.first_plan[job] < 0 and s.pools.shadow[pool] < NEVER:
        s.live.first_plan[job] = s.pools.shadow[pool]


@kernel
def try_backfill(s: State, now: int, job: int) -> None:
    """Start ``job`` if it fits and does not delay the head of its pool."""
    pool = s.jobs.pool[job]
    head = s.pools.head[pool]
    if not lifecycle.fits_now(s, job) or quota.held(s, job):
        return
    if now + s.jobs.expected[job] > s.pools.shadow[pool] and not nodes.keeps_head(s, pool, head, job):
        return
    lifecycle.start(s, now, job)


@kernel
def decide(s: State, now: int) -> None:
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
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        for i in range(s.short_queue.head[0], s.short_queue.tail[0]):
            job = s.short_queue.order[i]
            if s.live.state[job] == PENDING:
                head = s.pools.head[s.jobs.pool[job]]
                if head >= 0 and head != job:
                    try_backfill(s, now, job)
