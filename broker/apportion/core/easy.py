"""No backfill, EASY and EASY-SJBF on pools that are nothing but a constant number of processors.

EASY (Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995, doi:10.1007/3-540-60153-8_35; Mu'alem & Feitelson, TPDS 2001,
doi:10.1109/71.932708): jobs start in order until one, the head, does not fit. It is reserved the ``shadow`` time at which
enough of the running jobs will have reached their limit; ``spare`` processors are left over then. A later job may start now if
it fits and either ends by the shadow time or takes no more than the spare processors. Each pool has its own head.

EASY-SJBF (Tsafrir, Etsion & Feitelson, TPDS 2007, doi:10.1109/TPDS.2007.70606) tries the later jobs shortest limit first.
"""

from __future__ import annotations

from apportion.core import lifecycle, quota
from apportion.core.codes import BACKFILL_EASY_SJBF, BACKFILL_NONE, HEAD_NONE, HEAD_UNKNOWN, PENDING
from apportion.core.jit import kernel
from apportion.core.queue import ranks_before
from apportion.core.tables import NEVER, Queue, State


@kernel
def reserve(s: State, job: int) -> None:
    """Make ``job`` the head of its pool and work out its shadow time and spare processors."""
    pool = s.jobs.pool[job]
    need = s.jobs.procs[job]
    free = s.pools.free[pool]
    run = s.running
    shadow = NEVER
    i = run.first[pool]
    last = i + run.count[pool]
    while i < last and free < need:
        free += run.procs[i]
        shadow = run.end[i]
        i += 1
    while i < last and run.end[i] == shadow:
        free += run.procs[i]
        i += 1
    lifecycle.note_first_in_line(s, job)
    s.pools.head[pool] = job
    s.pools.shadow[pool] = shadow if free >= need else NEVER
    s.pools.spare[pool] = free - need if free >= need else free
    if s.live.first_plan[job] < 0 and s.rules.backfill != BACKFILL_NONE and free >= need:
        s.live.first_plan[job] = shadow


@kernel
def try_backfill(s: State, now: int, job: int) -> bool:
    """Start ``job`` if it does not delay the head of its pool."""
    pool = s.jobs.pool[job]
    need = s.jobs.procs[job]
    if need > s.pools.free[pool]:
        return False
    late = now + s.jobs.limit[job] > s.pools.shadow[pool]
    if (late and need > s.pools.spare[pool]) or quota.held(s, job):
        return False
    if late:
        s.pools.spare[pool] -= need
    lifecycle.start(s, now, job)
    return True


@kernel
def full_pass(s: State, now: int) -> None:
    """Walk the queue in order: start, block, backfill."""
    n_pools = s.pools.free.size
    backfill = s.rules.backfill
    in_order = backfill != BACKFILL_NONE and backfill != BACKFILL_EASY_SJBF
    open_pools = 0
    for pool in range(n_pools):
        if s.pools.free[pool] >= s.pools.min_procs[pool]:
            s.pools.head[pool] = HEAD_NONE
            s.work[pool] = NEVER  # smallest request seen
            open_pools += 1
        else:
            s.pools.head[pool] = HEAD_UNKNOWN
            s.work[pool] = -1  # closed: nothing of this pool can start
    if open_pools == 0:
        return
    order = s.queue.order
    i = s.queue.head[0]
    tail = s.queue.tail[0]
    while i < tail and s.live.state[order[i]] != PENDING:
        i += 1
        s.queue.head[0] = i
        s.queue.dead[0] -= 1
    while i < tail:
        job = order[i]
        i += 1
        if s.live.state[job] != PENDING:
            continue
        pool = s.jobs.pool[job]
        if s.work[pool] < 0:
            continue
        need = s.jobs.procs[job]
        closed = False
        if s.pools.head[pool] == HEAD_NONE:
            if quota.held(s, job):
                closed = s.rules.assoc_limit_stop == 1
            elif need <= s.pools.free[pool]:
                lifecycle.start(s, now, job)
                continue
            elif quota.may_reserve(s, job):
                reserve(s, job)
                closed = not in_order
        elif s.rules.assoc_limit_stop == 1 and quota.held(s, job):
            closed = True
        elif try_backfill(s, now, job):
            continue
        s.work[pool] = min(s.work[pool], need)
        if closed or s.pools.free[pool] < s.pools.min_procs[pool]:
            s.work[pool] = -1
            open_pools -= 1
            if open_pools == 0:
                break
    for pool in range(n_pools):
        if s.work[pool] >= 0:  # every job of the pool was seen
            s.pools.min_procs[pool] = s.work[pool]
    if backfill == BACKFILL_EASY_SJBF:
        _shortest_first(s, now, s.short_queue)


@kernel
def _shortest_first(s: State, now: int, queue: Queue) -> None:
    """Backfill by (limit, submit, job)."""
    usable = 0
    for pool in range(s.pools.free.size):
        if s.pools.head[pool] >= 0 and s.pools.free[pool] >= s.pools.min_procs[pool]:
            usable += 1
    if usable == 0:
        return
    i = queue.head[0]
    tail = queue.tail[0]
    while i < tail and s.live.state[queue.order[i]] != PENDING:
        i += 1
        queue.head[0] = i
        queue.dead[0] -= 1
    while i < tail:
        job = queue.order[i]
        i += 1
        if s.live.state[job] != PENDING:
            continue
        pool = s.jobs.pool[job]
        if s.pools.head[pool] < 0 or s.pools.head[pool] == job:
            continue
        if try_backfill(s, now, job) and s.pools.free.size == 1 and s.pools.free[pool] < s.pools.min_procs[pool]:
            break


@kernel
def arrival_pass(s: State, now: int, job: int) -> bool:
    """Look only at one job that has just arrived; False if the whole queue must be looked at.

    Since the last pass nothing else has happened, so all others would be refused again: what is free has not grown and the time
    to the shadow has only become shorter.
    """
    pool = s.jobs.pool[job]
    need = s.jobs.procs[job]
    head = s.pools.head[pool]
    if head == HEAD_UNKNOWN:
        return need > s.pools.free[pool]
    if head == HEAD_NONE:
        if need <= s.pools.free[pool]:
            lifecycle.start(s, now, job)
        else:
            reserve(s, job)
        return True
    if s.live.score.size > 0 and ranks_before(s.live.score, s.jobs.submit, job, head):
        return False
    if s.rules.backfill != BACKFILL_NONE:
        try_backfill(s, now, job)
    return True
