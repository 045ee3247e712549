"""What changes when a job starts or gives its resources back: the same few lines for every policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import (
    budget,
    cohort,
    digest,
    limit_usage,
    node_room,
    nodes,
    predict,
    queue,
    rank,
    running,
    turns,
    usage,
)
from apportion.core.codes import BACKFILL_EASY_SJBF, ENDED, ORDER_ARRIVAL, PENDING, PREDICT_LIMIT, RUNNING
from apportion.core.engines import history
from apportion.core.jit import apart, inlined, kernel
from apportion.core.node_tables import POOLED
from apportion.core.reasons import PRIORITY, RESOURCES
from apportion.core.share import CONDOR

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def decide(s: State, now: int, job: int, what: int) -> None:
    """Record a decision about ``job``; ``what`` becomes its state."""
    s.live.state[job] = what
    s.decided[s.clock.decided[0]] = job
    s.clock.decided[0] += 1
    digest.record(s.digest, now, job, what)


@inlined
def n_pools(s: State) -> int:
    """Number of pools; where it is known to be 1, loops over them vanish."""
    return s.pools.free.size if s.rules.several == 1 else 1


@inlined
def pool_of(s: State, job: int) -> int:
    """Pool of a job."""
    return s.jobs.pool[job] if s.rules.several == 1 else 0


@kernel
def fits_ever(s: State, job: int) -> bool:
    """Whether the pool, empty, has ever room for the job."""
    pool = pool_of(s, job)
    return s.jobs.procs[job] <= s.pools.largest[pool] and (s.rules.bare == 1 or _rest_fits_ever(s, job, pool))


@apart
def _rest_fits_ever(s: State, job: int, pool: int) -> bool:
    for e in range(s.pools.extra.shape[1]):
        if s.jobs.extra[job, e] > s.pools.extra_largest[pool, e]:
            return False
    return s.rules.placement == POOLED or node_room.fits(s.nodes, s.nodes.size, pool, job)


@kernel
def fits_now(s: State, job: int) -> bool:
    """Whether the pool has all that the job asks for free at this instant."""
    pool = pool_of(s, job)
    if s.jobs.procs[job] > s.pools.free[pool]:
        return False
    for e in range(s.pools.extra.shape[1]):
        if s.jobs.extra[job, e] > s.pools.extra_free[pool, e]:
            return False
    return s.rules.placement == POOLED or nodes.fits_now(s, job)


@inlined
def enter(s: State, job: int) -> None:
    """Put an accepted job into the queue."""
    pool = pool_of(s, job)
    s.live.state[job] = PENDING
    if s.rules.predictor != PREDICT_LIMIT:
        predict.note_submit(s, job)
    s.clock.pending[0] += 1
    s.clock.arrived[0] += 1
    s.clock.last_arrived[0] = job
    s.pools.min_procs[pool] = min(s.pools.min_procs[pool], s.jobs.procs[job])
    if s.rules.order != ORDER_ARRIVAL:
        rank.enter(s, job)
    elif queue.is_last(s.queue, s.jobs.submit, job):
        queue.append(s.queue, s.jobs, s.live.state, job)
    else:
        queue.insert(s.queue, s.jobs, s.live.state, s.jobs.submit, job)
        s.clock.stale[0] = 1
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        queue.insert(s.short_queue, s.jobs, s.live.state, s.jobs.expected, job)


@inlined
def start(s: State, now: int, job: int) -> None:
    """Start a pending job that fits."""
    pool = pool_of(s, job)
    s.live.start[job] = now
    s.pools.free[pool] -= s.jobs.procs[job]
    running.add(s.running, s.live.state, pool, now + s.jobs.expected[job], s.jobs.procs[job], job)
    leave(s)
    decide(s, now, job, RUNNING)
    if s.rules.bare == 0:
        _take_the_rest(s, now, job, pool)


@apart
def _take_the_rest(s: State, now: int, job: int, pool: int) -> None:
    """Take what a job needs beside processors, and open its accounts."""
    for e in range(s.pools.extra.shape[1]):
        s.pools.extra_free[pool, e] -= s.jobs.extra[job, e]
    if s.rules.placement != POOLED:
        nodes.allocate(s, job)
    if s.rules.charged == 1:
        charge_start(s, now, job, s.jobs.billing[job])
    if s.rules.limited == 1:
        limit_usage.on_start(s.limits, s.counters, s.jobs, job, now)
    if s.rules.quotas == 1:
        cohort.leave(s.quotas, s.jobs, job)
        if s.rules.turns == 1:
            turns.note_entry(s.quotas, s.jobs, s.turns, job)
        cohort.reserve(s.quotas, s.jobs, job, s.pools.flavor[pool])
    if s.rules.budgets == 1:
        budget.on_start(s.budgets, s.jobs, job, now, s.jobs.limit[job])


@kernel
def charge_start(s: State, now: int, job: int, billing: int) -> None:
    """Begin to charge a job ``billing`` thousandths a second."""
    accounts, jobs, assoc, qos = s.accounts, s.jobs, s.jobs.assoc[job], s.jobs.qos[job]
    procs, extra = jobs.procs[job], jobs.extra[job]
    usage.charge_start(s.usage, s.usage_params, accounts.parent, assoc, qos, billing, procs, extra, now)
    if s.share.engine >= CONDOR:
        amount = _amount(s, qos, billing)
        history.begin(s.share.history, accounts.parent, assoc, amount, procs, extra, now, jobs.limit[job])


@kernel
def charge_end(s: State, now: int, job: int, billing: int, start: int) -> None:
    """Stop charging a job; arguments as for `charge_start`, and when it started."""
    accounts, jobs, assoc, qos = s.accounts, s.jobs, s.jobs.assoc[job], s.jobs.qos[job]
    procs, extra = jobs.procs[job], jobs.extra[job]
    usage.charge_end(s.usage, s.usage_params, accounts.parent, assoc, qos, billing, procs, extra, start, now)
    if s.share.engine >= CONDOR:
        amount = _amount(s, qos, billing)
        history.end(s.share.history, accounts.parent, assoc, amount, procs, extra, start, jobs.limit[job], now)


@kernel
def _amount(s: State, qos: int, billing: int) -> int:
    """Thousandths of units with UsageFactor."""
    return billing * s.usage_params.usage_factor[qos] // 1000 if qos >= 0 else billing


@kernel
def note_first_in_line(s: State, job: int) -> None:
    """Note why the first job in line waits: for resources, and before, unless limits held it, for those ahead of it."""
    if s.live.reasons[job] == 0 and s.clock.now[0] > s.jobs.submit[job]:
        s.live.reasons[job] = PRIORITY
    s.live.reasons[job] |= RESOURCES


@inlined
def note_turn(s: State, now: int, job: int) -> None:
    """Note why a job that starts as the first in line has waited, if no pass has looked at it before since too little was free for anybody.

    Of several in one pass only the first was first in line before.
    """
    if s.jobs.submit[job] < now:
        pool = pool_of(s, job)
        turned = s.pools.turned[pool]
        s.pools.turned[pool] = now
        if s.live.reasons[job] == 0 and turned < now:
            s.live.reasons[job] = RESOURCES | PRIORITY if turned > s.jobs.submit[job] else RESOURCES


@kernel
def leave(s: State) -> None:
    """A pending job leaves the queue."""
    s.clock.pending[0] -= 1
    s.queue.dead[0] += 1
    s.short_queue.dead[0] += 1


@inlined
def end(s: State, now: int, job: int) -> None:
    """A running job has ended."""
    s.live.state[job] = ENDED
    if s.rules.predictor != PREDICT_LIMIT:
        predict.note_end(s, now, job)
    release(s, now, job)


@inlined
def release(s: State, now: int, job: int) -> None:
    """A job that ran gives its resources back; its state says already that it runs no longer."""
    pool = pool_of(s, job)
    s.pools.free[pool] += s.jobs.procs[job]
    running.remove(s.running, pool, s.live.start[job] + s.jobs.expected[job], job)
    if s.rules.bare == 0:
        _give_back_the_rest(s, now, job, pool)


@apart
def _give_back_the_rest(s: State, now: int, job: int, pool: int) -> None:
    for e in range(s.pools.extra.shape[1]):
        s.pools.extra_free[pool, e] += s.jobs.extra[job, e]
    if s.rules.placement != POOLED:
        nodes.release(s, job)
    if s.rules.charged == 1:
        charge_end(s, now, job, s.jobs.billing[job], s.live.start[job])
    if s.rules.limited == 1:
        limit_usage.on_end(s.limits, s.counters, s.jobs, job, now, s.rules.second_factor)
    if s.rules.quotas == 1:
        cohort.release(s.quotas, s.jobs, job)
    if s.rules.budgets == 1:
        budget.on_end(s.budgets, s.jobs, job, now)
