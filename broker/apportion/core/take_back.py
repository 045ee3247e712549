"""Lent quota comes back: a job of an account that may take it back stops running jobs of those that have borrowed it.

Jobs are tried by rank, if nothing but quota and room holds them and they could have both by the rules of their account
(`apportion.core.reclaim`); of an account, and in a pool, after one that was tried in vain only narrower ones and those of higher priority.
Nothing is stopped unless the job can start at once, and it does. What becomes of those that are stopped, when they are safe and what may
be lost is as in `apportion.core.preempt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, cohort, lifecycle, preempt, quota, rank, reclaim, running
from apportion.core.codes import PENDING, RUNNING
from apportion.core.cohort_tables import NOT_COUNTED
from apportion.core.jit import kernel
from apportion.core.reasons import JOB_HELD_ADMIN, QUOTA_ORDER
from apportion.core.reclaim_tables import NEVER_PREEMPT
from apportion.core.tables import ROW_JOB

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def decide(s: State, now: int) -> bool:
    """Let one job take back what its account lends and start; False if none can. Then the order of the queue is another."""
    r = s.reclaim
    if not anything_to_take(s):
        return False
    if rank.refresh(s, now):
        s.clock.stale[0] = 1
    r.round[0] += 1
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] != PENDING or (s.preemption.until.size > 0 and s.preemption.is_claimant[job] == 1):
            continue
        node = cohort.node_of(s.quotas, s.jobs, job)
        if node < 0 or (r.within[node] == NEVER_PREEMPT and r.reclaim[node] == NEVER_PREEMPT):
            continue
        at = node * s.pools.free.size + s.jobs.pool[job]
        if was_tried(s, at, job) or not _lacks_something(s, job) or not may_ask(s, job):
            continue
        m = choose(s, now, job)
        if m > 0:
            preempt.carry_out(s, now, job, m, True)
            return True
        note_tried(s, at, job)
    return False


@kernel
def was_tried(s: State, at: int, job: int) -> bool:
    """Whether in this round a job of the account that is no wider and of no lower priority was tried in vain."""
    r = s.reclaim
    return r.tried[at] == r.round[0] and s.jobs.procs[job] >= r.narrowest[at] and r.priority[job] <= r.highest[at]


@kernel
def note_tried(s: State, at: int, job: int) -> None:
    """Note that a job was tried in vain."""
    r = s.reclaim
    first = r.tried[at] != r.round[0]
    r.tried[at] = r.round[0]
    r.narrowest[at] = s.jobs.procs[job] if first else min(r.narrowest[at], s.jobs.procs[job])
    r.highest[at] = r.priority[job] if first else max(r.highest[at], r.priority[job])


@kernel
def anything_to_take(s: State) -> bool:
    """Whether any account has borrowed, or may stop its own jobs."""
    for node in range(s.reclaim.within.size):
        if s.reclaim.within[node] != NEVER_PREEMPT or reclaim.is_above_nominal(s.quotas, node):
            return True
    return False


@kernel
def _lacks_something(s: State, job: int) -> bool:
    """Whether there is no quota for a pending job, or no room."""
    mask = cohort.binding(s.quotas, s.jobs, job, s.pools.flavor[s.jobs.pool[job]])
    return mask != 0 or not lifecycle.fits_now(s, job)


@kernel
def may_ask(s: State, job: int) -> bool:
    """Whether nothing but quota and room holds a job, and others might give it both."""
    q, flavor = s.quotas, s.pools.flavor[s.jobs.pool[job]]
    if cohort.binding(q, s.jobs, job, flavor) & (JOB_HELD_ADMIN | QUOTA_ORDER) != 0:
        return False
    if s.rules.budgets == 1 and budget.binding(s.budgets, s.jobs, job) != 0:
        return False
    if quota.by_limits(s, job) != 0:
        return False
    counted = cohort.count_out(q, s.jobs, job)  # what a broker has bound has its quota already, and may yet lack room
    hopeless = reclaim.is_hopeless(q, s.jobs, job, flavor, s.reclaim)
    cohort.count_in(q, s.jobs, job, counted)
    return not hopeless


@kernel
def choose(s: State, now: int, job: int) -> int:
    """Choose who goes for a job, into ``victims`` of `Preemption`; how many, 0 if it is not worth it."""
    p, pool = s.preemption, s.jobs.pool[job]
    if not preempt.has_waited(s, now, job):
        return 0
    counted = cohort.count_out(s.quotas, s.jobs, job)
    n = _collect(s, now, job)
    preempt.set_short(s, job)
    flavor = s.pools.flavor[pool]
    stopped = s.live.restarts[job] > 0
    m = reclaim.victims(s.quotas, s.jobs, job, flavor, n, s.live.start, stopped, s.reclaim, p.short, s.nodes, p.victims)
    cohort.count_in(s.quotas, s.jobs, job, counted)
    return m if m > 0 and preempt.is_worth_it(s, now, job, m) else 0


@kernel
def _collect(s: State, now: int, job: int) -> int:
    """Jobs that may be stopped now and are worth a look, into ``running``; how many."""
    r, run, q = s.reclaim, s.running, s.quotas
    node = cohort.node_of(q, s.jobs, job)
    n = 0
    for pool in range(s.pools.free.size):
        running.settle(run, s.live.state, pool)
        for row in range(run.first[pool], run.first[pool] + run.count[pool]):
            other = run.row[row, ROW_JOB]
            if s.live.state[other] != RUNNING or q.counted[other] == NOT_COUNTED:
                continue
            of = cohort.node_of(q, s.jobs, other)
            if of >= 0 and reclaim.may_lose(q, node, job, of, r) and preempt.may_be_stopped(s, now, other):
                r.running[n] = other
                n += 1
    return n
