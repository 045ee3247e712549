"""Preemption: a job that is first in line takes the resources of running jobs that its class may preempt.

First in line is, in each pool, the first pending job by rank that may preempt any class and that no limit holds. Nothing is stopped unless
it can start at once, and then no more than it needs. Victims are taken lowest class first, then by least lost work (or latest start), then
the widest, so that they are few; those that turn out not to be needed are given back, the last first. Classes form no cycle and a job is safe
for its first second, so that a set of jobs preempts each other only finitely often.

Sources: slurm.conf(5) and https://slurm.schedmd.com/preempt.html for who may preempt whom, modes and exemption; budgets, rate limit, least
gain and least wait are this project's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import checkpoint, conservative, lifecycle, nodes, quota, rank, running, stops
from apportion.core.calendar import DAY_MS
from apportion.core.codes import BACKFILL_CONSERVATIVE, PENDING, PREEMPTED, REQUEUE_MODE, REQUEUED, RUNNING
from apportion.core.jit import kernel
from apportion.core.node_tables import POOLED
from apportion.core.preempt_tables import COUNT, DAY, HOUR, WAKE
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import State

HOUR_MS = 3_600_000


@kernel
def decide(s: State, now: int) -> bool:
    """Let one job preempt others and start; False if none can. Then the order of the queue is another."""
    p = s.preemption
    _turn_pages(s, now)
    p.clock[WAKE] = NEVER
    if rank.refresh(s, now):
        s.clock.stale[0] = 1
    open_pools = s.pools.free.size
    for pool in range(open_pools):
        p.seen[pool] = 0
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        pool = s.jobs.pool[job]
        if s.live.state[job] != PENDING or p.seen[pool] == 1 or not _has_victims(s, job) or quota.held(s, job):
            continue
        if _try(s, now, job):
            return True
        p.seen[pool] = 1
        open_pools -= 1
        if open_pools == 0:
            break
    return False


@kernel
def _turn_pages(s: State, now: int) -> None:
    """Forget what was counted in another day or hour."""
    p = s.preemption
    if p.clock[DAY] != now // DAY_MS:
        p.clock[DAY] = now // DAY_MS
        for account in range(p.lost.size):
            p.lost[account] = 0
            p.caused[account] = 0
    if p.clock[HOUR] != now // HOUR_MS:
        p.clock[HOUR] = now // HOUR_MS
        p.clock[COUNT] = 0


@kernel
def _wake_at(s: State, time: int) -> None:
    s.preemption.clock[WAKE] = min(s.preemption.clock[WAKE], time)


@kernel
def _has_victims(s: State, job: int) -> bool:
    """Whether there is any class that the job may preempt."""
    p = s.preemption
    mine = p.job_class[job]
    for other in range(p.worth.size):
        if p.may[mine, other] == 1:
            return True
    return False


@kernel
def _try(s: State, now: int, job: int) -> bool:
    p = s.preemption
    if now < s.jobs.submit[job] + p.min_wait:
        _wake_at(s, s.jobs.submit[job] + p.min_wait)
        return False
    if lifecycle.fits_now(s, job):
        return False  # it waits for something else
    n = _collect(s, now, job)
    if not _would_do(s, job, n):
        return False
    m = _choose(s, now, job, n)
    if m == 0 or not _stays_free(s, now, job, m):
        return False
    cost = 0
    for k in range(m):
        cost += _cost(s, now, p.victims[k])
    if p.clock[COUNT] + m > p.rate_limit:
        _wake_at(s, (now // HOUR_MS + 1) * HOUR_MS)
        return False
    if p.caused[p.account[job]] + cost > p.caused_budget:
        _wake_at(s, (now // DAY_MS + 1) * DAY_MS)
        return False
    if float(cost) * p.min_gain > float(s.jobs.procs[job] * s.jobs.limit[job]) * 1000.0:
        return False
    p.clock[COUNT] += m
    p.caused[p.account[job]] += cost
    for k in range(m):
        _preempt(s, now, p.victims[k], job)
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.drop(s, job)
        s.clock.replan[0] = conservative.ANEW
    lifecycle.start(s, now, job)
    return True


@kernel
def _collect(s: State, now: int, job: int) -> int:
    """Running jobs of the pool that the job may preempt now, into ``victims``; how many."""
    p, run = s.preemption, s.running
    pool = s.jobs.pool[job]
    running.settle(run, s.live.state, pool)
    mine = p.job_class[job]
    n = 0
    for row in range(run.first[pool], run.first[pool] + run.count[pool]):
        other = run.job[row]
        start = s.live.start[other]
        theirs = p.job_class[other]
        if s.live.state[other] != RUNNING or p.may[mine, theirs] == 0:
            continue
        if now < start + p.exempt[theirs]:
            _wake_at(s, start + p.exempt[theirs])
            continue
        p.victims[n] = other
        p.trial[p.account[other]] = 0
        n += 1
    return n


@kernel
def _set_short(s: State, job: int) -> None:
    """How much of what the job asks for is not free, TRES by TRES."""
    p = s.preemption
    pool = s.jobs.pool[job]
    p.short[0] = s.jobs.procs[job] - s.pools.free[pool]
    for e in range(s.pools.extra.shape[1]):
        p.short[e + 1] = s.jobs.extra[job, e] - s.pools.extra_free[pool, e]
    if s.rules.placement != POOLED:
        nodes.try_without(s.nodes, pool, job)


@kernel
def _give(s: State, job: int, sign: int) -> None:
    """Count what a victim gives (1), or gives no longer (-1)."""
    s.preemption.short[0] -= sign * s.jobs.procs[job]
    for e in range(s.pools.extra.shape[1]):
        s.preemption.short[e + 1] -= sign * s.jobs.extra[job, e]
    if s.rules.placement != POOLED:
        nodes.give_back(s.nodes, s.nodes.trial, job, sign)


@kernel
def _is_enough(s: State) -> bool:
    for tres in range(s.preemption.short.size):
        if s.preemption.short[tres] > 0:
            return False
    return s.rules.placement == POOLED or nodes.fits_trial(s)


@kernel
def _would_do(s: State, job: int, n: int) -> bool:
    """Whether the job fits if all of ``n`` victims go."""
    _set_short(s, job)
    for k in range(n):
        _give(s, s.preemption.victims[k], 1)
    return _is_enough(s)


@kernel
def _cost(s: State, now: int, job: int) -> int:
    """Processor-ms that are lost if the job is preempted now; when it is cancelled, all it did since it started."""
    elapsed = now - s.live.start[job]
    if s.preemption.mode[s.preemption.job_class[job]] == REQUEUE_MODE:
        elapsed = checkpoint.lost(s.checkpoints, job, elapsed)
    return int(elapsed * s.jobs.procs[job])


@kernel
def _goes_before(s: State, now: int, a: int, b: int) -> bool:
    """Whether ``a`` is preempted rather than ``b``."""
    p = s.preemption
    first, second = p.worth[p.job_class[a]], p.worth[p.job_class[b]]
    if first != second:
        return first < second
    if p.youngest_first == 1:
        first, second = s.live.start[b], s.live.start[a]
    else:
        first, second = _cost(s, now, a), _cost(s, now, b)
    if first != second:
        return first < second
    if s.jobs.procs[a] != s.jobs.procs[b]:
        return s.jobs.procs[a] > s.jobs.procs[b]
    return a < b


@kernel
def _choose(s: State, now: int, job: int, n: int) -> int:
    """Move the victims that are needed to the front; how many, 0 if budgets leave too few."""
    p = s.preemption
    victims = p.victims
    _set_short(s, job)
    m = 0
    for k in range(n):
        if _is_enough(s):
            break
        best = k
        for i in range(k + 1, n):
            if _goes_before(s, now, victims[i], victims[best]):
                best = i
        victim = victims[best]
        victims[best] = victims[k]
        account = p.account[victim]
        cost = _cost(s, now, victim)
        if p.lost[account] + p.trial[account] + cost > p.lost_budget:
            victims[k] = victim
            _wake_at(s, (now // DAY_MS + 1) * DAY_MS)
            continue
        p.trial[account] += cost
        _give(s, victim, 1)
        victims[k] = victims[m]
        victims[m] = victim
        m += 1
    if not _is_enough(s):
        return 0
    return _give_back(s, m)


@kernel
def _give_back(s: State, m: int) -> int:
    """Leave out of ``m`` victims those without whom it is enough, the last first; how many are left, in order."""
    victims = s.preemption.victims
    for k in range(m - 1, -1, -1):
        victim = victims[k]
        _give(s, victim, -1)
        if _is_enough(s):
            victims[k] = -1
        else:
            _give(s, victim, 1)
    left = 0
    for k in range(m):
        if victims[k] >= 0:
            victims[left] = victims[k]
            left += 1
    return left


@kernel
def _stays_free(s: State, now: int, job: int, m: int) -> bool:
    """Whether the job, once ``m`` victims are gone, has room up to its end in spite of known losses of capacity."""
    p, run = s.preemption, s.running
    pool = s.jobs.pool[job]
    end = now + max(s.jobs.expected[job], 1)
    _set_short(s, job)
    for k in range(m):
        _give(s, p.victims[k], 1)
    row = run.first[pool]
    last = row + run.count[pool]
    for step in range(s.pools.step_next[pool], s.pools.step_first[pool + 1]):
        time = s.pools.step_time[step]
        if time >= end:
            break
        while row < last and run.end[row] <= time:
            is_victim = False
            for k in range(m):
                is_victim |= p.victims[k] == run.job[row]
            if not is_victim:
                _give(s, run.job[row], 1)
            row += 1
        p.short[0] -= s.pools.step_procs[step]
        for e in range(s.pools.extra.shape[1]):
            p.short[e + 1] -= s.pools.step_extra[step, e]
        if not _is_enough(s):
            return False
    return True


@kernel
def _preempt(s: State, now: int, job: int, by: int) -> None:
    p = s.preemption
    mode = p.mode[p.job_class[job]]
    p.lost[p.account[job]] += _cost(s, now, job)
    queued_again = mode == REQUEUE_MODE and s.rules.requeue == 1
    stops.stop(s, now, job, REQUEUED if queued_again else PREEMPTED, by, mode)
