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

from apportion.core import checkpoint, cohort, conservative, grace, lifecycle, nodes, quota, rank, running, stops
from apportion.core.calendar import DAY_MS
from apportion.core.codes import (
    BACKFILL_CONSERVATIVE,
    BY_CLASS,
    CHECKPOINT_MODE,
    IN_CLUSTER_QUEUE,
    IN_COHORT,
    PENDING,
    PREEMPTED,
    REQUEUE_MODE,
    REQUEUED,
    RUNNING,
    SUSPEND_MODE,
)
from apportion.core.jit import kernel
from apportion.core.node_tables import POOLED
from apportion.core.preempt_tables import COUNT, DAY, HOUR, SUSPENDED, WAKE
from apportion.core.reclaim_tables import HAS_LOST, HAS_TAKEN
from apportion.core.tables import NEVER, ROW_END, ROW_JOB

if TYPE_CHECKING:
    from apportion.core.tables import State

HOUR_MS = 3_600_000


@kernel
def begin_round(s: State, now: int) -> None:
    """To be called before anybody is asked who may stop others."""
    _turn_pages(s, now)
    s.preemption.clock[WAKE] = NEVER


@kernel
def decide(s: State, now: int) -> bool:
    """Let one job preempt others and start; False if none can. Then the order of the queue is another."""
    p = s.preemption
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
        if p.until.size > 0 and p.is_claimant[job] == 1:
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
    if not has_waited(s, now, job) or lifecycle.fits_now(s, job):
        return False
    n = _collect(s, now, job)
    if not _would_do(s, job, n):
        return False
    m = _choose(s, now, job, n)
    if m == 0 or not is_worth_it(s, now, job, m):
        return False
    carry_out(s, now, job, m, False)
    return True


@kernel
def has_waited(s: State, now: int, job: int) -> bool:
    """Whether a job has waited long enough to stop others."""
    if now < s.jobs.submit[job] + s.preemption.min_wait:
        _wake_at(s, s.jobs.submit[job] + s.preemption.min_wait)
        return False
    return True


@kernel
def may_be_stopped(s: State, now: int, job: int) -> bool:
    """Whether a running job is neither protected nor exempt, and its account can afford to lose it."""
    p = s.preemption
    if p.mode[p.job_class[job]] == 0 or _is_safe(s, now, job):
        return False
    p.trial[p.account[job]] = 0
    return _can_afford(s, now, job)


@kernel
def _is_safe(s: State, now: int, job: int) -> bool:
    """Whether a running job leaves already, or has started or was preempted too short a time ago."""
    p = s.preemption
    if p.until.size > 0 and p.until[job] >= 0:
        return True
    until = max(s.live.start[job] + p.exempt[p.job_class[job]], p.last[job] + p.again)
    if now >= until:
        return False
    _wake_at(s, until)
    return True


@kernel
def _can_afford(s: State, now: int, job: int) -> bool:
    """Whether the account of a victim may lose it today, beside those that are tried already."""
    p = s.preemption
    account = p.account[job]
    if p.lost[account] + p.trial[account] + _cost(s, now, job) <= p.lost_budget:
        return True
    _wake_at(s, (now // DAY_MS + 1) * DAY_MS)
    return False


@kernel
def is_worth_it(s: State, now: int, job: int, m: int) -> bool:
    """Whether the job has room up to its end once the first ``m`` victims are gone, and that is worth what it costs."""
    p = s.preemption
    if not stays_free(s, now, job, m):
        return False
    for k in range(m):
        p.trial[p.account[p.victims[k]]] = 0
    cost = 0
    for k in range(m):
        if not _can_afford(s, now, p.victims[k]):
            return False
        p.trial[p.account[p.victims[k]]] += _cost(s, now, p.victims[k])
        cost += _cost(s, now, p.victims[k])
    if p.clock[COUNT] + m > p.rate_limit:
        _wake_at(s, (now // HOUR_MS + 1) * HOUR_MS)
        return False
    if p.caused[p.account[job]] + cost > p.caused_budget:
        _wake_at(s, (now // DAY_MS + 1) * DAY_MS)
        return False
    return float(cost) * p.min_gain <= float(s.jobs.procs[job] * s.jobs.limit[job]) * 1000.0


@kernel
def carry_out(s: State, now: int, job: int, m: int, for_quota: bool) -> None:
    """Stop the first ``m`` victims, for their quota or by their class, and start the pending job for which they go."""
    p = s.preemption
    p.clock[COUNT] += m
    if for_quota and s.reclaim.past[job] == 0:
        s.reclaim.past[job] = HAS_TAKEN
    in_grace = False
    for k in range(m):
        victim = p.victims[k]
        cost = _cost(s, now, victim)
        p.lost[p.account[victim]] += cost
        p.caused[p.account[job]] += cost
        reason = _reason(s, victim, job, for_quota)
        if _grace(s, victim) > 0:
            grace.begin(s, now, victim, job, reason)
            in_grace = True
        else:
            take_off(s, now, victim, job, reason)
    if in_grace:
        grace.claim(s, job)
        return
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.drop(s, job)
        s.clock.replan[0] = conservative.ANEW
    lifecycle.start(s, now, job)


@kernel
def _collect(s: State, now: int, job: int) -> int:
    """Running jobs of the pool that the job may preempt now, into ``victims``; how many."""
    p, run = s.preemption, s.running
    pool = s.jobs.pool[job]
    running.settle(run, s.live.state, pool)
    mine = p.job_class[job]
    n = 0
    for row in range(run.first[pool], run.first[pool] + run.count[pool]):
        other = run.row[row, ROW_JOB]
        theirs = p.job_class[other]
        if s.live.state[other] != RUNNING or p.may[mine, theirs] == 0 or _is_safe(s, now, other):
            continue
        p.victims[n] = other
        p.trial[p.account[other]] = 0
        n += 1
    return n


@kernel
def set_short(s: State, job: int) -> None:
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
    """Count what a running job gives the pool that this is about (1), or gives no longer (-1)."""
    s.preemption.short[0] -= sign * s.jobs.procs[job]
    for e in range(s.pools.extra.shape[1]):
        s.preemption.short[e + 1] -= sign * s.jobs.extra[job, e]
    if s.rules.placement != POOLED:
        nodes.give_back(s.nodes, s.nodes.trial, job, sign)


@kernel
def _give_up(s: State, job: int, sign: int) -> None:
    """As `_give`, for a victim: one that will be suspended keeps its memory."""
    p = s.preemption
    _give(s, job, sign)
    if p.memory >= 0 and p.mode[p.job_class[job]] == SUSPEND_MODE:
        p.short[p.memory + 1] += sign * s.jobs.extra[job, p.memory]


@kernel
def _is_enough(s: State) -> bool:
    for tres in range(s.preemption.short.size):
        if s.preemption.short[tres] > 0:
            return False
    return s.rules.placement == POOLED or nodes.fits_trial(s)


@kernel
def _would_do(s: State, job: int, n: int) -> bool:
    """Whether the job fits if all of ``n`` victims go."""
    set_short(s, job)
    for k in range(n):
        _give_up(s, s.preemption.victims[k], 1)
    return _is_enough(s)


@kernel
def _cost(s: State, now: int, job: int) -> int:
    """Processor-ms that are lost at the end of its grace if the job is preempted now; when it is cancelled, all it did since it started."""
    mode = s.preemption.mode[s.preemption.job_class[job]]
    if mode >= CHECKPOINT_MODE:
        return 0
    elapsed = now + _grace(s, job) - s.live.start[job]
    if mode == REQUEUE_MODE:
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
    set_short(s, job)
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
        if not _can_afford(s, now, victim):
            victims[k] = victim
            continue
        p.trial[p.account[victim]] += _cost(s, now, victim)
        _give_up(s, victim, 1)
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
        _give_up(s, victim, -1)
        if _is_enough(s):
            victims[k] = -1
        else:
            _give_up(s, victim, 1)
    left = 0
    for k in range(m):
        if victims[k] >= 0:
            victims[left] = victims[k]
            left += 1
    return left


@kernel
def stays_free(s: State, now: int, job: int, m: int) -> bool:
    """Whether the job, once ``m`` victims are gone, has room up to its end in spite of known losses of capacity."""
    p, run = s.preemption, s.running
    pool = s.jobs.pool[job]
    begin = now
    for k in range(m):
        begin = max(begin, now + _grace(s, p.victims[k]))
    end = begin + max(s.jobs.expected[job], 1)
    set_short(s, job)
    for k in range(m):
        if s.jobs.pool[p.victims[k]] == pool:
            _give_up(s, p.victims[k], 1)
    if p.memory >= 0 and not _is_enough(s):
        return False  # who was chosen for quota and is suspended may keep the memory that is needed
    row = run.first[pool]
    last = row + run.count[pool]
    for step in range(s.pools.step_next[pool], s.pools.step_first[pool + 1]):
        time = s.pools.step_time[step]
        if time >= end:
            break
        while row < last and run.row[row, ROW_END] <= time:
            is_victim = False
            for k in range(m):
                is_victim |= p.victims[k] == run.row[row, ROW_JOB]
            if not is_victim:
                _give(s, run.row[row, ROW_JOB], 1)
            row += 1
        p.short[0] -= s.pools.step_procs[step]
        for e in range(s.pools.extra.shape[1]):
            p.short[e + 1] -= s.pools.step_extra[step, e]
        if not _is_enough(s):
            return False
    return True


@kernel
def _grace(s: State, job: int) -> int:
    """How long the job keeps its resources once it is preempted, ms."""
    return int(s.preemption.grace[job]) if s.preemption.grace.size > 0 else 0


@kernel
def _reason(s: State, job: int, by: int, for_quota: bool) -> int:
    if not for_quota:
        return BY_CLASS
    same = cohort.node_of(s.quotas, s.jobs, job) == cohort.node_of(s.quotas, s.jobs, by)
    return IN_CLUSTER_QUEUE if same else IN_COHORT


@kernel
def take_off(s: State, now: int, job: int, by: int, reason: int) -> None:
    """Take a job that is preempted off its resources."""
    p = s.preemption
    mode = p.mode[p.job_class[job]]
    if mode == SUSPEND_MODE and s.rules.placement != POOLED:
        nodes.keep(s.nodes, job)
    queued_again = mode == SUSPEND_MODE or (mode >= REQUEUE_MODE and s.rules.requeue == 1)
    stops.stop(s, now, job, REQUEUED if queued_again else PREEMPTED, by, mode, reason)
    p.last[job] = now
    if reason == IN_COHORT and s.reclaim.past[job] == HAS_TAKEN:
        s.reclaim.past[job] = HAS_LOST
    if mode == SUSPEND_MODE:
        p.suspended[p.clock[SUSPENDED]] = job
        p.clock[SUSPENDED] += 1
        grace.keep_memory(s, job, 1)
