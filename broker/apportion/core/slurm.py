"""Slurm's pair of passes: a strict one at each event, and a backfill pass every ``bf_interval`` that plans many jobs.

Main pass: in each round of an instant in which something happened, jobs start in order until, pool by pool, one does not fit;
at most ``default_queue_depth`` jobs are tested. In the first round of an instant that is a multiple of ``sched_interval``
since the epoch it tests the whole queue, if something has happened since it last did.

Backfill pass: in the first round of an instant that is a multiple of ``bf_interval`` since the epoch, if something has changed since the last
one and jobs are pending; a calculation that changes the order of priorities is something, too.
In order, each job up to ``bf_max_job_test`` (and ``bf_max_job_user`` for each user) gets a slot at its earliest
time. A slot now starts it; one later than ``bf_window`` is not kept; any other is kept, rounded out to ``bf_resolution``. Plans live for
one pass. This is near-conservative backfill to a depth.

Source: Slurm's sched/backfill as documented in slurm.conf(5), SchedulerParameters.
"""

from __future__ import annotations

from apportion.core import guard, lifecycle, node_slots, profile, quota, turns, windowed
from apportion.core.codes import HEAD_CLOSED, HEAD_NONE, PENDING
from apportion.core.jit import apart, kernel
from apportion.core.node_tables import POOLED
from apportion.core.tables import NEVER, State


@kernel
def _main_pass(s: State, now: int, depth: int) -> None:
    """Start in order until each pool is blocked or ``depth`` jobs are tested (0: no matter how many)."""
    n_pools = s.pools.free.size
    plain = s.rules.plain == 1 or s.rules.placement != POOLED  # running jobs only give back
    for pool in range(n_pools):
        s.pools.head[pool] = HEAD_NONE
        if not plain:
            profile.build(s, pool, now)
    if s.rules.guarded == 1:
        guard.place(s, now)
    tested = 0
    open_pools = n_pools
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING or (s.rules.guarded == 1 and s.live.plan[job] >= 0):
            continue
        pool = s.jobs.pool[job]
        if s.pools.head[pool] != HEAD_NONE:
            continue
        if quota.held(s, job):
            if s.rules.assoc_limit_stop == 1:
                s.pools.head[pool] = HEAD_CLOSED
            continue
        if depth > 0 and tested == depth:
            break
        tested += 1
        if plain and lifecycle.fits_now(s, job):
            lifecycle.start(s, now, job)
        elif plain or not windowed.try_start(s, now, job):
            s.pools.head[pool] = job
            lifecycle.note_first_in_line(s, job)
            open_pools -= 1
            if open_pools == 0:
                break


@kernel
def _backfill_pass(s: State, now: int) -> int:
    """Plan jobs in order and start those whose slot is now; return the number started."""
    resolution = max(s.rules.bf_resolution, 1)
    for pool in range(s.pools.free.size):
        profile.build(s, pool, now)
    if s.rules.guarded == 1:
        guard.place(s, now)
    by_user = s.rules.bf_max_job_user
    if by_user > 0:
        for user in range(s.work.size):
            s.work[user] = 0
    tested = 0
    started = 0
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING or (s.rules.guarded == 1 and s.live.plan[job] >= 0) or quota.held(s, job):
            continue
        if by_user > 0 and s.work[s.jobs.user[job]] == by_user:
            continue
        if s.rules.bf_max_job_test > 0 and tested == s.rules.bf_max_job_test:
            break
        tested += 1
        if by_user > 0:
            s.work[s.jobs.user[job]] += 1
        slot = node_slots.earliest(s, job, NEVER, -1)
        if slot >= NEVER:
            continue
        end = slot + profile.length(s, job)
        if slot == now:
            node_slots.reserve(s, job, slot)
            profile.add(s, job, -1, slot, end)
            lifecycle.start(s, now, job)
            started += 1
        elif slot <= now + s.rules.bf_window and quota.may_reserve(s, job):
            node_slots.reserve(s, job, slot)
            profile.add(s, job, -1, slot // resolution * resolution, (end + resolution - 1) // resolution * resolution)
            node_slots.give_up(s, job)
        if s.live.first_plan[job] < 0:
            s.live.first_plan[job] = slot
    return started


@apart
def decide(s: State, now: int, first_round: bool, happened: bool) -> None:
    """Run the passes that are due. ``happened`` : whether this round had an event other than the timer."""
    if happened:
        s.clock.changed[0] = 1
        s.clock.full[0] = 1
    full = first_round and s.clock.full[0] == 1 and now % s.rules.sched_interval == 0
    if happened or full or (s.rules.guarded == 1 and s.clock.next_plan[0] <= now):
        decided = s.clock.decided[0]
        _main_pass(s, now, 0 if full else s.rules.main_depth)
        if s.rules.turns == 1 and s.clock.decided[0] > decided:
            turns.arrange(s)  # with what has started, others may come first
    if full:
        s.clock.full[0] = 0
    if first_round and s.clock.changed[0] == 1 and now % s.rules.bf_interval == 0 and s.clock.pending[0] > 0:
        # One that started something may have stopped at its depth: the next has work to do.
        s.clock.changed[0] = 1 if _backfill_pass(s, now) > 0 else 0


@kernel
def wake(s: State, now: int) -> int:
    """Time of the next backfill pass or main pass over the whole queue, or NEVER."""
    time = NEVER
    if s.clock.changed[0] == 1:
        time = (now // s.rules.bf_interval + 1) * s.rules.bf_interval
    if s.clock.full[0] == 1:
        time = min(time, (now // s.rules.sched_interval + 1) * s.rules.sched_interval)
    return time
