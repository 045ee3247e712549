"""Conservative backfill: every job has a plan, made when it arrives, that no later arrival delays.

When a job ends before its limit, or a planned one leaves, the jobs are re-planned in rank order, each never later than
its present plan. A job that a limit holds when its time comes loses its plan and gets another once it is within limits.

Source: Mu'alem & Feitelson, "Utilization, predictability, workloads, and user runtime estimates in scheduling the IBM SP2
with backfilling", TPDS 12(6), 2001, doi:10.1109/71.932708.
"""

from __future__ import annotations

from apportion.core import lifecycle, node_slots, profile, quota
from apportion.core.codes import HEAD_NONE, PENDING
from apportion.core.jit import apart, kernel
from apportion.core.node_tables import POOLED
from apportion.core.reasons import RESOURCES
from apportion.core.tables import NEVER, State

ANEW = 2  # in ``Clock.replan``: what plans were built on is no longer so


@kernel
def _forget(s: State) -> None:
    """Drop all plans: processors failed, or came back, or a job was stopped so that another may start."""
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] == PENDING and s.live.plan[job] >= 0:
            node_slots.give_up(s, job)
        s.live.plan[job] = -1
    for pool in range(s.pools.free.size):
        s.profile.count[pool] = 0
    s.clock.replan[0] = 0
    s.clock.gain[0] = -1


@apart
def note_end(s: State, now: int, job: int) -> None:
    """A running job is about to give its resources back; its time up to the limit comes free."""
    expected = s.live.start[job] + profile.length(s, job)
    if expected > now:
        profile.add(s, job, 1, now, expected)
        s.clock.gain[0] = max(s.clock.gain[0], expected)
        s.clock.replan[0] = max(s.clock.replan[0], 1)


@apart
def drop(s: State, job: int) -> None:
    """Take a pending job's plan out of the profile."""
    plan = s.live.plan[job]
    if plan >= 0:
        end = plan + profile.length(s, job)
        profile.add(s, job, 1, plan, end)
        node_slots.give_up(s, job)
        s.live.plan[job] = -1
        s.clock.gain[0] = max(s.clock.gain[0], end)
        s.clock.replan[0] = max(s.clock.replan[0], 1)


@kernel
def place(s: State, job: int) -> None:
    """Plan a job at the earliest start that disturbs no other."""
    start = node_slots.earliest(s, job, NEVER, -1)
    if start >= NEVER:
        return
    node_slots.reserve(s, job, start)
    profile.add(s, job, -1, start, start + profile.length(s, job))
    s.live.plan[job] = start
    if s.live.first_plan[job] < 0:
        s.live.first_plan[job] = start
    if start > s.clock.now[0] and not lifecycle.fits_now(s, job):
        s.live.reasons[job] |= RESOURCES
    s.clock.next_plan[0] = min(s.clock.next_plan[0], start)


@kernel
def replan(s: State) -> None:
    """Move plans forward into what has come free, in rank order.

    Only starts before ``gain`` can be new: nothing later than that has come free since each job was last looked at.
    """
    gain = s.clock.gain[0]
    moved_to = -1
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        plan = s.live.plan[job]
        if s.live.state[job] != PENDING or plan < 0:
            continue
        start = node_slots.earliest(s, job, min(plan, gain), plan)
        if start < plan and start < gain:
            duration = profile.length(s, job)
            profile.add(s, job, 1, plan, plan + duration)
            node_slots.reserve(s, job, start)
            profile.add(s, job, -1, start, start + duration)
            s.live.plan[job] = start
            s.clock.next_plan[0] = min(s.clock.next_plan[0], start)
            gain = max(gain, plan + duration)
            moved_to = max(moved_to, plan + duration)
    s.clock.gain[0] = moved_to  # jobs before the last one moved have not seen what it left
    s.clock.replan[0] = 0


@kernel
def start_due(s: State, now: int) -> bool:
    """Start what is planned for now, in rank order; True if a job that a limit holds lost its plan."""
    dropped = False
    soonest = NEVER
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        plan = s.live.plan[job]
        if s.live.state[job] != PENDING or plan < 0:
            continue
        if plan > now:
            soonest = min(soonest, plan)
        elif quota.held(s, job):
            drop(s, job)
            dropped = True
        else:
            lifecycle.start(s, now, job)
    s.clock.next_plan[0] = soonest
    return dropped


@kernel
def _rebuild_if_worn(s: State, pool: int, now: int) -> None:
    """Build the profile anew when most of its steps are left over from plans that moved."""
    room = s.profile.first[pool + 1] - s.profile.first[pool]
    worn = 4 * (s.running.count[pool] + s.clock.pending[0]) + 64
    if 0 < s.profile.count[pool] < min(worn, room - 8):
        return
    profile.build(s, pool, now)
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] == PENDING and s.jobs.pool[job] == pool and s.live.plan[job] >= 0:
            profile.add(s, job, -1, s.live.plan[job], s.live.plan[job] + profile.length(s, job))


@apart
def decide(s: State, now: int) -> None:
    """Re-plan if something came free, plan what has no plan, start what is due."""
    anew = s.clock.replan[0] == ANEW
    if anew:
        _forget(s)
    while True:
        for pool in range(s.pools.free.size):
            _rebuild_if_worn(s, pool, now)
            profile.trim(s, pool, now)
        if s.clock.replan[0] == 1:
            replan(s)
        if s.clock.arrived[0] == 1 and s.rules.holds == 0 and not anew:
            if s.live.plan[s.clock.last_arrived[0]] < 0:
                place(s, s.clock.last_arrived[0])
        elif s.clock.arrived[0] > 0 or s.rules.holds == 1 or anew:
            for i in range(s.queue.head[0], s.queue.tail[0]):
                job = s.queue.order[i]
                if s.live.state[job] == PENDING and s.live.plan[job] < 0 and not quota.held(s, job):
                    place(s, job)
        if s.clock.next_plan[0] > now or not start_due(s, now):
            break
    if s.rules.placement != POOLED:
        _note_heads(s)


@kernel
def _note_heads(s: State) -> None:
    """Note who is first in line in each pool, for the count of what is of no use to it; limits do not hold it."""
    for pool in range(s.pools.free.size):
        s.pools.head[pool] = HEAD_NONE
    left = s.pools.free.size
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        pool = s.jobs.pool[job]
        if s.pools.head[pool] == HEAD_NONE and s.live.state[job] == PENDING and not quota.held(s, job):
            s.pools.head[pool] = job
            left -= 1
            if left == 0:
                return
