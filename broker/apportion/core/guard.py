"""The wait bound: a job within its limits that has waited long enough gets a reservation that no other job can push back.

Jobs earn it in the order in which their time came (ties by index). A reservation, once made, only ever moves forward, so a
job's wait has a bound whatever the order, the backfill, and the jobs that arrive later.
"""

from __future__ import annotations

from apportion.core import lifecycle, limits, profile, quota
from apportion.core.codes import PENDING
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, State


@kernel
def _collect(s: State, now: int) -> int:
    """Pending within-limits jobs whose time has come, into ``s.work`` in the order in which it came; how many they are."""
    n = 0
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING:
            continue
        at = limits.reserve_at(s.limits, s.jobs, job)
        if at > now:
            continue
        if quota.held(s, job):
            s.live.plan[job] = -1
            continue
        k = n
        while k > 0:
            other = s.work[k - 1]
            other_at = limits.reserve_at(s.limits, s.jobs, other)
            if other_at < at or (other_at == at and other < job):
                break
            s.work[k] = other
            k -= 1
        s.work[k] = job
        n += 1
    return n


@kernel
def place(s: State, now: int) -> None:
    """Keep, improve and make the reservations in the profiles (which hold the running jobs), and start what is due."""
    n = _collect(s, now)
    for i in range(n):
        job = s.work[i]
        plan = s.live.plan[job]
        if plan >= now:
            profile.add(s, job, -1, plan, plan + profile.length(s, job))
        else:
            s.live.plan[job] = -1  # it was held, or the capacity was not there
    s.clock.next_plan[0] = NEVER
    for i in range(n):
        job = s.work[i]
        plan = s.live.plan[job]
        start = profile.earliest(s, job, plan if plan >= 0 else NEVER, plan)
        if start >= NEVER:
            continue
        if start != plan:
            duration = profile.length(s, job)
            if plan >= 0:
                profile.add(s, job, 1, plan, plan + duration)
            profile.add(s, job, -1, start, start + duration)
            s.live.plan[job] = start
            if s.live.first_plan[job] < 0:
                s.live.first_plan[job] = start
        if start == now and lifecycle.fits_now(s, job) and not quota.held(s, job):
            s.live.plan[job] = -1
            lifecycle.start(s, now, job)
        else:
            s.clock.next_plan[0] = min(s.clock.next_plan[0], max(start, now + 1))
