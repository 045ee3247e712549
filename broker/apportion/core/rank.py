"""Where a pending job stands: scores that are fixed, that move with time, and Slurm's priority.

Slurm's priority moves only at priority calculations (ticks of PriorityCalcPeriod), so between them an arrival costs one insertion.
The calculation itself is put off until a pass needs the order: it depends on the tick, not on when it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import limit_usage, multifactor, queue, running, share, turns, usage
from apportion.core.codes import ORDER_FIXED, ORDER_MOVING, ORDER_MULTIFACTOR, PENDING
from apportion.core.jit import apart, inlined, kernel
from apportion.core.scoring import call_score
from apportion.core.usage import LAST_TICK

if TYPE_CHECKING:
    from apportion.core.tables import State

TIER = 2.0**33  # above any priority; a score is minus (tier x TIER + priority), exact in a float64


@apart
def enter(s: State, job: int) -> None:
    """Put an arriving job into the queue."""
    if s.rules.order == ORDER_FIXED:
        s.live.score[job] = operators_score(s, s.jobs.submit[job], job)
        queue.insert(s.queue, s.jobs, s.live.state, s.live.score, job)
    elif (
        s.rules.order == ORDER_MULTIFACTOR and s.clock.tick[0] == s.usage.clock[LAST_TICK] and s.clock.unsorted[0] == 0
    ):
        s.live.score[job] = multifactor_score(s, job)
        queue.insert(s.queue, s.jobs, s.live.state, s.live.score, job)
    else:
        queue.append(s.queue, s.jobs, s.live.state, job)
        s.clock.unsorted[0] = 1


@kernel
def multifactor_score(s: State, job: int) -> float:
    """Score of a pending job by Slurm's priority at the last tick; a job that came after it has not aged yet."""
    since = s.jobs.submit[job]
    now = max(s.usage.clock[LAST_TICK], since)
    if s.counters.accrue_since.size > 0:
        limit_usage.accrue(s.limits, s.counters, s.jobs, job, now)
        since = s.counters.accrue_since[job] if s.counters.accrue_since[job] >= 0 else now
    age = multifactor.age_factor(now, since, s.rules.max_age)
    fairshare = s.share.fairshare[s.jobs.assoc[job]]
    static = s.jobs.static_priority[job]
    value = multifactor.priority(static, s.rules.age_weight, s.rules.fairshare_weight, age, fairshare)
    tier = s.jobs.tier[job] if s.jobs.tier.size > 0 else 0
    score = -(tier * TIER + value)
    return min(score, s.live.score[job]) if s.rules.incr_only == 1 else score


@kernel
def operators_score(s: State, now: int, job: int) -> float:
    """Score of a pending job by an order that an operator wrote, in seconds from the origin."""
    submit = s.jobs.submit[job]
    wait_s = (now - submit) / 1000.0
    features = s.jobs.features[job]
    fairshare = s.share.fairshare[s.jobs.assoc[job]] if s.rules.charged == 1 else 1.0
    score = call_score(
        s.rules.score_function,
        (now - s.rules.origin) / 1000.0,
        wait_s,
        (submit - s.rules.origin) / 1000.0,
        s.jobs.limit[job] / 1000.0,
        float(s.jobs.procs[job]),
        features[0],
        features[1],
        features[2],
        features[3],
        features[4],
        features[5],
        fairshare,
        wait_s,
    )
    return score if score == score else float("inf")  # noqa: PLR0124  (NaN comes last)


@kernel
def is_alone(s: State) -> bool:
    """Whether one job waits and nothing asks for its score."""
    return s.clock.pending[0] == 1 and s.rules.limited == 0 and s.rules.incr_only == 0


@inlined
def refresh(s: State, now: int) -> bool:
    """Bring the order of the queue up to date; True if it has changed, or may have."""
    order = s.rules.order
    moves = s.rules.charged == 1 or s.rules.turns == 1 or order in (ORDER_MOVING, ORDER_MULTIFACTOR)
    return moves and _rank_anew(s, now)


@apart
def _rank_anew(s: State, now: int) -> bool:
    if is_alone(s):
        return False  # its score is worked out when another joins
    changed = _refresh_scores(s, now)
    if s.rules.turns == 0:
        return changed
    turns.arrange(s)
    return True


@kernel
def _refresh_scores(s: State, now: int) -> bool:
    order = s.rules.order
    if s.rules.charged == 1 and s.clock.tick[0] != s.usage.clock[LAST_TICK]:
        share.update_factors(s.accounts, s.usage.value[0], s.share)
        if s.rules.limited == 1:
            for i in range(s.counters.fairshare.size):
                s.counters.fairshare[i] = s.share.fairshare[i]
        s.clock.tick[0] = s.usage.clock[LAST_TICK]
        s.clock.unsorted[0] = 1
    if order != ORDER_MOVING and order != ORDER_MULTIFACTOR:
        return False
    if order == ORDER_MULTIFACTOR and s.clock.unsorted[0] == 0:
        return False
    for i in range(s.queue.head[0], s.queue.tail[0]):
        job = s.queue.order[i]
        if s.live.state[job] == PENDING:
            s.live.score[job] = (
                multifactor_score(s, job) if order == ORDER_MULTIFACTOR else operators_score(s, now, job)
            )
    s.clock.unsorted[0] = 0
    moved = queue.sort(s.queue, s.jobs, s.live.state, s.live.score, s.work)
    if moved and order == ORDER_MULTIFACTOR:
        s.clock.changed[0] = 1
        s.clock.full[0] = 1
    return moved


@kernel
def tick(s: State, now: int) -> None:
    """Make usage, the share engine's history, the minutes of limits and INCR_ONLY's priorities what they are at the last tick up to ``now``."""
    if s.rules.metered == 0 and s.rules.incr_only == 0:
        usage.advance(s.usage, s.usage_params, now)
        share.advance(s.accounts, s.share, now)
        return
    from_tick = s.usage.clock[LAST_TICK] + s.usage_params.period
    while from_tick <= now:
        reset = s.usage.clock[usage.NEXT_RESET] <= from_tick
        usage.advance(s.usage, s.usage_params, from_tick)
        share.advance(s.accounts, s.share, from_tick)
        if reset:
            limit_usage.decay(s.limits, s.counters, 0.0)
        settle_all(s)
        limit_usage.tick(
            s.limits, s.counters, s.jobs, s.running, from_tick, s.usage_params.factor, s.rules.second_factor
        )
        if s.rules.incr_only == 1 and refresh(s, from_tick):
            s.clock.stale[0] = 1
        from_tick += s.usage_params.period
    if s.rules.incr_only == 1:
        refresh(s, now)  # what the next job to come enters with must be of this tick


@kernel
def settle_all(s: State) -> None:
    """Make the rows of all running jobs fit to be read."""
    for pool in range(s.running.count.size):
        running.settle(s.running, s.live.state, pool)


@kernel
def next_tick(s: State, now: int) -> int:
    """Time of the next priority calculation, ms."""
    return (now // s.rules.calc_period + 1) * s.rules.calc_period
