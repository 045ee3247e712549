"""One place decides: apply the events of an instant, then decide once.

``step`` is pure: what it reads and writes is the `State` it is given. Simulator, daemon and journal replay call the same two
kernels, `apply` and `decide`, in the same order.
"""

from __future__ import annotations

from apportion.core import (
    budget,
    claims,
    cohort,
    cohort_lease,
    conservative,
    easy,
    grace,
    lifecycle,
    limit_usage,
    limits,
    nodes,
    predict,
    preempt,
    queue,
    quota,
    rank,
    slurm,
    stops,
    take_back,
    turns,
    windowed,
)
from apportion.core.codes import (
    BACKFILL_CONSERVATIVE,
    BACKFILL_EASY_SJBF,
    BACKFILL_SLURM,
    CANCEL,
    CANCELLED,
    CAPACITY,
    END,
    FAIL,
    HEAD_NONE,
    HEAD_UNKNOWN,
    KILLED,
    LOSS,
    ORDER_ARRIVAL,
    PENDING,
    PREDICT_LIMIT,
    REJECTED,
    RETURN,
    RUNNING,
    SUBMIT,
    TIMER,
    UNSEEN,
)
from apportion.core.jit import apart, inlined, kernel
from apportion.core.node_tables import POOLED
from apportion.core.preempt_tables import WAKE
from apportion.core.reasons import PARTITION_NODE_LIMIT
from apportion.core.tables import NEVER, Ints, State
from apportion.core.usage import LAST_TICK


@kernel
def begin(s: State, now: int) -> None:
    """Open an instant: no decisions yet, and usage as of the last priority calculation."""
    s.clock.decided[0] = 0
    if s.rules.charged == 1:
        tick = s.usage.clock[LAST_TICK]
        rank.tick(s, now)
        if s.rules.metered == 1 and s.usage.clock[LAST_TICK] != tick:
            _kill_spent(s, now)
    if s.rules.turns == 1:
        turns.advance(s.quotas, s.turns, now)
    turned = s.rules.quotas == 1 and cohort_lease.advance(s.quotas, now)
    turned |= s.rules.budgets == 1 and budget.advance(s.budgets, now)
    if turned:
        s.clock.stale[0] = 1
        s.clock.changed[0] = 1
        s.clock.full[0] = 1


@apart
def _kill_spent(s: State, now: int) -> None:
    """End the running jobs whose GrpTRESMins has run out; those that wait may have got minutes back."""
    s.clock.stale[0] = 1
    rank.settle_all(s)
    s.clock.changed[0] = 1
    s.clock.full[0] = 1
    n = limit_usage.to_kill(s.limits, s.counters, s.jobs, s.running, s.work)
    for i in range(n):
        if s.live.state[s.work[i]] == RUNNING:
            lifecycle.decide(s, now, s.work[i], KILLED)


@inlined  # so that nobody asks which event it is where it is known
def apply(s: State, now: int, event: int, subject: int) -> None:
    """Take note of one event.

    Parameters
    ----------
    s : State
    now : int
        Time of the instant, ms.
    event : int
        END, FAIL, RETURN, LOSS, CAPACITY, CANCEL, SUBMIT or TIMER.
    subject : int
        Job index; for CAPACITY the pool; for RETURN and LOSS the row of `Outages`; ignored for TIMER.
    """
    if event == CANCEL and s.live.state[subject] != PENDING and s.live.state[subject] != UNSEEN:
        return  # it runs or is over: nothing happens
    if event == SUBMIT:
        _submit(s, now, subject)
    elif event == END:
        _end(s, now, subject)
    elif event == CANCEL:
        _cancel(s, now, subject)
    elif event == CAPACITY:
        _change_capacity(s, subject)
    elif event == FAIL:
        stops.fail(s, now, subject)
    elif event == LOSS:
        stops.lose(s, now, subject)
    elif event == RETURN:
        stops.bring_back(s, subject)
    if event != TIMER:
        s.clock.happened[0] = 1


@inlined
def _submit(s: State, now: int, job: int) -> None:
    if s.live.state[job] != UNSEEN:  # cancelled at the very instant of its submission, or before
        return
    if not lifecycle.fits_ever(s, job):
        s.live.reasons[job] |= PARTITION_NODE_LIMIT
        lifecycle.decide(s, now, job, REJECTED)
        return
    if s.rules.holds == 0 or _may_enter(s, now, job):
        lifecycle.enter(s, job)


@apart
def _may_enter(s: State, now: int, job: int) -> bool:
    """Have limits, quotas and budgets take note of a job, unless they refuse it."""
    if s.rules.limited == 1:
        refused = limits.submit_mask(s.limits, s.counters, s.jobs, job)
        if refused != 0:
            s.live.reasons[job] |= refused
            lifecycle.decide(s, now, job, REJECTED)
            return False
        limit_usage.on_submit(s.limits, s.counters, s.jobs, job)
    s.live.reasons[job] |= quota.binding(s, job)  # no pass need come to it
    if s.rules.quotas == 1:
        cohort.enter(s.quotas, s.jobs, job)
    return True


@kernel
def join(s: State, job: int) -> None:
    """Let a job in that has been in the queue of a broker since it was submitted, and is counted against the limits already."""
    lifecycle.enter(s, job)
    s.clock.happened[0] = 1


@kernel
def withdraw(s: State, job: int) -> None:
    """Take a pending job out of the queue as if it had never come; limits still count it."""
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.drop(s, job)
    lifecycle.leave(s)
    s.live.state[job] = UNSEEN
    queue.sweep(s.queue, s.live.state)  # should it come back, it must not be found where it was
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        queue.sweep(s.short_queue, s.live.state)
    s.clock.stale[0] = 1
    s.clock.happened[0] = 1


@inlined
def _end(s: State, now: int, job: int) -> None:
    if s.live.state[job] != RUNNING and s.live.state[job] != KILLED:
        return
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.note_end(s, now, job)
    lifecycle.end(s, now, job)
    s.clock.stale[0] = 1


@apart
def _cancel(s: State, now: int, job: int) -> None:
    if s.live.state[job] == UNSEEN:
        lifecycle.decide(s, now, job, CANCELLED)
        return
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.drop(s, job)
    lifecycle.leave(s)
    if s.rules.limited == 1:
        limit_usage.on_cancel_pending(s.limits, s.counters, s.jobs, job)
    if s.rules.quotas == 1:
        cohort.leave(s.quotas, s.jobs, job)
        cohort.release(s.quotas, s.jobs, job)
    lifecycle.decide(s, now, job, CANCELLED)
    s.clock.stale[0] = 1


@apart
def _change_capacity(s: State, pool: int) -> None:
    """The next step of the pool's known changes of capacity happens. The profiles have it already."""
    step = s.pools.step_next[pool]
    s.pools.procs[pool] += s.pools.step_procs[step]
    s.pools.free[pool] += s.pools.step_procs[step]
    for e in range(s.pools.extra.shape[1]):
        s.pools.extra[pool, e] += s.pools.step_extra[step, e]
        s.pools.extra_free[pool, e] += s.pools.step_extra[step, e]
    s.pools.step_next[pool] = step + 1
    s.clock.stale[0] = 1


@kernel
def decide(s: State, now: int) -> None:
    """Decide what starts at this instant; the decisions are appended to ``s.decided``."""
    first_round = s.clock.now[0] != now
    s.clock.now[0] = now
    graceful = _may_yield(s) and s.preemption.until.size > 0
    if graceful:
        claims.advance(s, now)
    if s.rules.predictor != PREDICT_LIMIT:
        predict.correct(s, now)
    if s.clock.pending[0] > 0:
        happened = s.clock.happened[0] == 1
        while True:
            decided = s.clock.decided[0]
            _pass(s, now, first_round, happened)
            if s.clock.pending[0] == 0:
                break
            first_round = happened = False
            again = s.rules.quotas == 1 and s.clock.decided[0] > decided and s.rules.backfill != BACKFILL_SLURM
            if not again:  # else what has started may have moved up its line, or holds one that others had to wait for
                if not (_anybody_yields(s, now) or (graceful and claims.advance(s, now))):
                    break
                happened = True
        if s.clock.decided[0] > 0:  # else nobody has left
            queue.sweep_if_worn(s.queue, s.live.state)
            if s.rules.backfill == BACKFILL_EASY_SJBF:
                queue.sweep_if_worn(s.short_queue, s.live.state)
    elif s.clock.happened[0] == 1:
        s.clock.changed[0] = 1
        for pool in range(s.pools.head.size):
            s.pools.head[pool] = HEAD_NONE
    if s.rules.placement != POOLED:
        nodes.note_blocked(s, now)
    s.clock.stale[0] = 0
    s.clock.arrived[0] = 0
    s.clock.happened[0] = 0
    s.clock.wake[0] = _wake(s, now) if s.rules.timed == 1 else NEVER


@inlined
def _may_yield(s: State) -> bool:
    """Whether jobs may be stopped for others, by their class or because their account uses what is lent to it."""
    return s.rules.preemptive == 1 or s.rules.reclaims == 1


@inlined
def _anybody_yields(s: State, now: int) -> bool:
    """Let one job start in place of others; False if none can."""
    return _may_yield(s) and _make_room(s, now)


@apart
def _make_room(s: State, now: int) -> bool:
    preempt.begin_round(s, now)
    if s.rules.preemptive == 1 and preempt.decide(s, now):
        return True
    return s.rules.reclaims == 1 and take_back.decide(s, now)


@kernel
def _pass(s: State, now: int, first_round: bool, happened: bool) -> None:
    """One pass of the policy over the queue."""
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        rank.refresh(s, now)
        conservative.decide(s, now)
    elif s.rules.backfill == BACKFILL_SLURM:
        rank.refresh(s, now)
        slurm.decide(s, now, first_round, happened)
    else:
        _decide_easy(s, now)


@kernel
def _decide_easy(s: State, now: int) -> None:
    if (
        s.rules.limited == 1 and s.counters.accrue_since.size > 0 and rank.refresh(s, now)
    ):  # jobs begin to age when they are ranked
        s.clock.stale[0] = 1
    if _hopeless(s):
        for pool in range(lifecycle.n_pools(s)):
            if s.pools.head[pool] < 0 or s.clock.stale[0] == 1 or s.rules.order != ORDER_ARRIVAL:
                s.pools.head[pool] = HEAD_UNKNOWN
        return
    if rank.refresh(s, now):
        s.clock.stale[0] = 1
    if s.rules.plain == 0 and s.rules.placement == POOLED:
        windowed.decide(s, now)
    elif (
        s.clock.stale[0] == 1
        or s.clock.arrived[0] > 1
        or s.rules.holds == 1
        or (s.clock.arrived[0] == 1 and not easy.arrival_pass(s, now, s.clock.last_arrived[0]))
    ):
        easy.full_pass(s, now)


@kernel
def _hopeless(s: State) -> bool:
    """Whether no pool has as many processors free as any of its pending jobs asks for."""
    for pool in range(lifecycle.n_pools(s)):
        if s.pools.free[pool] >= s.pools.min_procs[pool]:
            return False
    return True


@kernel
def anything_runs(s: State) -> bool:
    """Whether any job runs."""
    for pool in range(s.pools.free.size):
        if s.running.count[pool] > 0:
            return True
    return False


@apart
def _wake(s: State, now: int) -> int:
    """When the core wants to be called again even if nothing happens."""
    if s.preemption.until.size > 0:
        return min(grace.next_leave(s), _wake_for_queue(s, now))
    return _wake_for_queue(s, now)


@kernel
def _wake_for_queue(s: State, now: int) -> int:
    if s.clock.pending[0] == 0:
        return int(rank.next_tick(s, now)) if s.rules.metered == 1 and anything_runs(s) else NEVER
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        time = s.clock.next_plan[0]
    elif s.rules.backfill == BACKFILL_SLURM:
        time = slurm.wake(s, now)
    else:
        time = NEVER
    if s.rules.guarded == 1:
        time = min(time, s.clock.next_plan[0])
    if s.rules.quotas == 1:
        time = min(time, cohort_lease.next_change(s.quotas))
    if s.rules.budgets == 1:
        time = min(time, budget.next_change(s.budgets))
    if s.rules.predictor != PREDICT_LIMIT:
        time = min(time, predict.next_correction(s))
    if _may_yield(s):
        time = min(time, s.preemption.clock[WAKE])
    if s.rules.turns == 1 and anything_runs(s) and not (rank.is_alone(s) or _hopeless(s)):
        time = min(time, s.turns.next_sample[0])
    by_time = s.rules.metered == 1 or s.counters.accrue_since.size > 0
    if s.rules.calc_period > 0 and (by_time or not (rank.is_alone(s) or _hopeless(s))):
        time = min(time, rank.next_tick(s, now))
    return time


@kernel
def step(s: State, now: int, events: Ints, subjects: Ints, n_events: int) -> int:
    """Apply the events of one instant, in the order given, and decide once.

    Parameters
    ----------
    s : State
    now : int
        Time of the instant in ms; never earlier than the last.
    events, subjects : int64[>= n_events]
        Event codes and what they are about, ordered by (code, subject).
    n_events : int

    Returns
    -------
    int
        Number of decisions; they are ``s.decided[:n]``.
    """
    begin(s, now)
    for i in range(n_events):
        apply(s, now, events[i], subjects[i])
    decide(s, now)
    return s.clock.decided[0]
