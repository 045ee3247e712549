"""No backfill, EASY and EASY-SJBF on pools that are nothing but a constant number of processors, or made of nodes.

EASY (Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995, doi:10.1007/3-540-60153-8_35; Mu'alem & Feitelson, TPDS 2001,
doi:10.1109/71.932708): jobs start in order until one, the head, does not fit. It is reserved the ``shadow`` time at which
enough of the running jobs will have reached their limit; ``spare`` processors are left over then. A later job may start now if
it fits and either ends by the shadow time or takes no more than the spare processors. Each pool has its own head.

Where a pool is made of nodes these counts are necessary, not enough: what they leave open `apportion.core.nodes` answers (does a job fit) and
`apportion.core.node_plan` (when does the head start, and does a later job leave it room).

EASY-SJBF (Tsafrir, Etsion & Feitelson, TPDS 2007, doi:10.1109/TPDS.2007.70606) tries the later jobs shortest limit first.
"""

from __future__ import annotations

from apportion.core import lifecycle, node_plan, node_room, queue, quota, running
from apportion.core.codes import BACKFILL_EASY, BACKFILL_EASY_SJBF, BACKFILL_NONE, HEAD_NONE, HEAD_UNKNOWN, PENDING
from apportion.core.jit import inlined, kernel
from apportion.core.node_tables import POOLED
from apportion.core.tables import NEVER, ROW_END, ROW_PROCS, Queue, State

UNKNOWN = -1  # a shadow time that nobody has needed yet

# What is known of a pool in a pass, in ``State.work``.
CLOSED = 0  # nothing more of it can start
OPEN = 1
REFUSED = 2  # open, and a job that fits was refused


@kernel
def block(s: State, job: int) -> None:
    """Make ``job`` the head of its pool."""
    pool = lifecycle.pool_of(s, job)
    lifecycle.note_first_in_line(s, job)
    s.pools.head[pool] = job
    s.pools.shadow[pool] = UNKNOWN
    if s.live.first_plan[job] < 0 and s.rules.backfill != BACKFILL_NONE:
        look_ahead(s, pool)


@inlined
def look_ahead(s: State, pool: int) -> None:
    """Work out the shadow time of the pool's head and the spare processors, if they are not known."""
    if s.pools.shadow[pool] == UNKNOWN:
        _work_out_shadow(s, pool)


@kernel
def _work_out_shadow(s: State, pool: int) -> None:
    job = s.pools.head[pool]
    need = s.jobs.procs[job]
    free = s.pools.free[pool]
    run = s.running
    running.settle(run, s.live.state, pool)
    if s.rules.placement != POOLED:
        node_plan.look_ahead(s, pool, job)
        return
    shadow = NEVER
    i = run.first[pool]
    last = i + run.count[pool]
    while i < last and free < need:
        free += run.row[i, ROW_PROCS]
        shadow = run.row[i, ROW_END]
        i += 1
    while i < last and run.row[i, ROW_END] == shadow:
        free += run.row[i, ROW_PROCS]
        i += 1
    s.pools.shadow[pool] = shadow if free >= need else NEVER
    s.pools.spare[pool] = free - need if free >= need else free
    if s.live.first_plan[job] < 0 and free >= need:
        s.live.first_plan[job] = shadow


@kernel
def fits_now(s: State, job: int) -> bool:
    """Whether there is room for the job at this instant."""
    fits = s.jobs.procs[job] <= s.pools.free[lifecycle.pool_of(s, job)]
    return fits and (s.rules.placement == POOLED or lifecycle.fits_now(s, job))


@inlined
def try_backfill(s: State, now: int, job: int) -> bool:
    """Start ``job`` if it does not delay the head of its pool."""
    pool = lifecycle.pool_of(s, job)
    need = s.jobs.procs[job]
    if not fits_now(s, job):
        return False
    look_ahead(s, pool)
    late = now + s.jobs.expected[job] > s.pools.shadow[pool]
    if (late and need > s.pools.spare[pool]) or quota.held(s, job):
        return False
    if late:
        if s.rules.placement != POOLED and not node_plan.keeps_head(s, pool, job):
            return False
        s.pools.spare[pool] -= need
    lifecycle.start(s, now, job)
    return True


@inlined
def next_candidate(s: State, q: Queue, now: int, i: int) -> int:
    """Next entry from ``i`` on that may pass the head of the one pool, or the tail.

    While the shadow time is not known every job that fits may.
    """
    free = s.pools.free[0]
    if s.rules.placement != POOLED:
        free = node_room.within_reach(s.nodes, s.nodes.free, 0, free)
        s.work[0] = REFUSED  # there may be jobs that are small, but not for what is within reach
    if free < s.pools.min_procs[0]:
        return int(q.tail[0])
    if s.pools.shadow[0] == UNKNOWN:
        return queue.next_small(q, i, free, 0, free)
    s.work[0] = REFUSED  # what is passed over from here on may be small
    return queue.next_small(q, i, free, s.pools.shadow[0] - now, min(free, s.pools.spare[0]))


@kernel
def full_pass(s: State, now: int) -> None:
    """Walk the queue in order: start, block, backfill."""
    n_pools = lifecycle.n_pools(s)
    in_order = s.rules.backfill == BACKFILL_EASY
    open_pools = 0
    for pool in range(n_pools):
        if s.pools.free[pool] >= s.pools.min_procs[pool]:
            s.pools.head[pool] = HEAD_NONE
            s.work[pool] = OPEN
            open_pools += 1
        else:
            s.pools.head[pool] = HEAD_UNKNOWN
            s.work[pool] = CLOSED
    if open_pools == 0:
        return
    stops = s.rules.assoc_limit_stop == 1
    q = s.queue
    queue.skip_dead(q, s.live.state)
    i = q.head[0]
    while True:
        if n_pools == 1 and s.pools.head[0] != HEAD_NONE and not stops:
            i = next_candidate(s, q, now, i)
        if i >= q.tail[0]:
            break
        job = q.order[i]
        i += 1
        pool = lifecycle.pool_of(s, job)
        if s.work[pool] == CLOSED:
            continue
        if s.live.state[job] != PENDING:
            queue.bury(q, i - 1)
            continue
        need = s.jobs.procs[job]
        closed = False
        if s.pools.head[pool] == HEAD_NONE:
            if quota.held(s, job):
                closed = stops
            elif fits_now(s, job):
                lifecycle.note_turn(s, now, job)
                lifecycle.start(s, now, job)
                queue.remove(q, i - 1)
                continue
            elif quota.may_reserve(s, job):
                block(s, job)
                closed = not in_order
        elif stops and quota.held(s, job):
            closed = True
        elif try_backfill(s, now, job):
            queue.remove(q, i - 1)
            continue
        if need <= s.pools.free[pool]:
            s.work[pool] = REFUSED
        if closed or s.pools.free[pool] < s.pools.min_procs[pool]:
            s.work[pool] = CLOSED
            open_pools -= 1
            if open_pools == 0:
                break
    for pool in range(n_pools):
        if s.work[pool] == OPEN:  # every job was seen, and none of those that are left fits
            s.pools.min_procs[pool] = max(s.pools.min_procs[pool], s.pools.free[pool] + 1)
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        _shortest_first(s, now)


@kernel
def _shortest_first(s: State, now: int) -> None:
    """Backfill by (limit, submit, job)."""
    usable = 0
    for pool in range(s.pools.free.size):
        if s.pools.head[pool] >= 0 and s.pools.free[pool] >= s.pools.min_procs[pool]:
            usable += 1
    if usable == 0:
        return
    q = s.short_queue
    queue.skip_dead(q, s.live.state)
    i = q.head[0]
    while True:
        if s.pools.free.size == 1:
            i = next_candidate(s, q, now, i)
        if i >= q.tail[0]:
            break
        job = q.order[i]
        i += 1
        if s.live.state[job] != PENDING:
            queue.bury(q, i - 1)
            continue
        head = s.pools.head[lifecycle.pool_of(s, job)]
        if head >= 0 and head != job and try_backfill(s, now, job):
            queue.remove(q, i - 1)


@kernel
def arrival_pass(s: State, now: int, job: int) -> bool:
    """Look only at one job that has just arrived; False if the whole queue must be looked at.

    Since the last pass nothing else has happened, so all others would be refused again: what is free has not grown and the time
    to the shadow has only become shorter.
    """
    pool = lifecycle.pool_of(s, job)
    need = s.jobs.procs[job]
    head = s.pools.head[pool]
    if head == HEAD_UNKNOWN:
        return need > s.pools.free[pool]
    started = False
    if head == HEAD_NONE:
        started = fits_now(s, job)
        if started:
            lifecycle.start(s, now, job)
        else:
            block(s, job)
    elif s.live.score.size > 0 and queue.ranks_before(s.live.score, s.jobs.submit, job, head):
        return False
    elif s.rules.backfill != BACKFILL_NONE:
        started = try_backfill(s, now, job)
    last = s.queue.tail[0] - 1
    if started and s.queue.order[last] == job:
        queue.remove(s.queue, last)
    return True
