"""From the broker's queue to a center's: who is bound where and when, how a job arrives, and who is placed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, cohort, digest, limit_usage, placement, preempt, queue, quota, rank, step
from apportion.core import federation_books as books
from apportion.core import federation_everywhere as everywhere
from apportion.core import federation_reclaim as lending
from apportion.core.codes import PENDING, REJECTED, SUBMIT
from apportion.core.federation_tables import (
    ALLOWED,
    ARRIVED,
    BOUND,
    N_TERMS,
    PLACE_BY_SCORE,
    PLACE_REDUNDANT,
    SENT,
    STUCK,
)
from apportion.core.jit import kernel
from apportion.core.preempt_tables import WAKE
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

MINUTE_MS = 60_000


@kernel
def hand_over(f: Federation, now: int, center: int, job: int) -> None:
    """Submit a job to the core of a center."""
    core = f.cores[center]
    f.places.center[job] = center
    step.apply(core, now, SUBMIT, job)
    if core.live.state[job] == PENDING:
        f.seen.owed[books.seen_of(f, center, job)] += books.area(f, center, job)


@kernel
def arrive(f: Federation, now: int, job: int) -> None:
    """A bound job has reached its center, and its data with it."""
    if f.places.where[job] != SENT:
        return  # it was cancelled on the way
    center = f.places.center[job]
    if f.centers.reachable[center] == 0:
        f.places.where[job] = STUCK
        return
    core = f.cores[center]
    area = books.area(f, center, job)
    f.places.where[job] = ARRIVED
    f.places.travel[job] = now - f.places.bound[job]
    f.seen.on_way[books.seen_of(f, center, job)] -= area
    books.touch(f, now, center)
    if f.centers.managed[center] == 1:
        books.submit_to(f, center, job)
        step.join(core, job)
        f.seen.owed[books.seen_of(f, center, job)] += area
        return
    core.jobs.submit[job] = now  # the center knows of no earlier time
    hand_over(f, now, center, job)
    if core.live.state[job] == REJECTED:
        f.centers.waiting[center] -= 1
        books.forget(f, now, center, job)
        books.look_again(f, now)


@kernel
def _has_room(f: Federation, center: int) -> bool:
    """Whether one more job of the broker may wait at a center."""
    return f.rules.placement != PLACE_BY_SCORE or f.centers.waiting[center] < f.rules.look_ahead


@kernel
def _room_anywhere(f: Federation) -> bool:
    for c in range(f.centers.waiting.size):
        if f.centers.reachable[c] == 1 and _has_room(f, c):
            return True
    return False


@kernel
def place_pending(f: Federation, now: int) -> None:
    """Bind the jobs of the broker's queue, in its order, whose best target has room."""
    b = f.broker
    if b.rules.reclaims == 1 and b.preemption.clock[WAKE] <= now:
        f.clock.stale[0] = 1
    if f.clock.stale[0] == 1 and f.rules.placement == PLACE_REDUNDANT:
        everywhere.follow_limits(f, now)
    if f.clock.stale[0] == 0 or b.clock.pending[0] == 0 or not _room_anywhere(f):
        return
    f.clock.stale[0] = 0
    if b.rules.reclaims == 1:
        lending.begin_round(f)
    books.refresh_managed(f)
    rank.refresh(b, now)
    q = b.queue
    queue.skip_dead(q, b.live.state)
    seen = 0  # jobs that stay in the queue; those that leave it make room for others to be looked at
    i = q.head[0]
    while i < q.tail[0] and seen < f.rules.depth:
        job = q.order[i]
        i += 1
        if b.live.state[job] != PENDING:
            continue
        if quota.held(b, job):
            seen += not _take_back(f, now, job)
            continue
        if f.rules.placement == PLACE_REDUNDANT:
            everywhere.send(f, now, job)
            if b.quotas.held.shape[1] > 0 and f.places.where[job] == ARRIVED:
                f.clock.stale[0] = 1  # if it starts at once, it leaves quota elsewhere to the next
                break
            seen += b.live.state[job] == PENDING
            continue
        target = placement.choose(f, now, job)
        if target < 0 and (placement.waits_for_quota(f, job) or placement.waits_for_reach(f)):
            seen += not _take_back(f, now, job)
            continue
        if target < 0:
            books.reject(f, now, job)
            continue
        if not _has_room(f, f.targets.center[target]):
            seen += 1
            continue
        books.leave_queue(f, now, job)
        _send(f, now, job, target)
        if not _room_anywhere(f):
            break
    queue.sweep_if_worn(q, b.live.state)
    b.clock.stale[0] = 0
    b.clock.arrived[0] = 0
    b.clock.happened[0] = 0


@kernel
def _take_back(f: Federation, now: int, job: int) -> bool:
    """Let a job that lacks quota start where others run on what its account lends; False if that is nowhere."""
    if f.broker.rules.reclaims == 0 or f.rules.placement == PLACE_REDUNDANT or not lending.is_asked(f, job):
        return False
    placement.choose(f, now, job)
    while True:
        target = lending.best_target(f, now, job)
        if target < 0:
            return False
        center = f.targets.center[target]
        if _has_room(f, center):
            books.suit(f, job, target)
            n = lending.choose(f, now, target, job)
            if n > 0:
                break
        f.reason[target] = lending.TRIED
    lending.settle_on(f, now, target)
    books.touch(f, now, center)
    books.leave_queue(f, now, job)
    _send(f, now, job, target)
    preempt.carry_out(f.cores[center], now, job, n, True)
    return True


@kernel
def _send(f: Federation, now: int, job: int, target: int) -> None:
    """Bind a job to a target; what `placement.choose` found is still in the scratch columns."""
    center = f.targets.center[target]
    b = f.broker
    books.suit(f, job, target)
    digest.record(f.digest, now, job, BOUND)
    digest.record(f.digest, now, target, BOUND)
    f.places.where[job] = SENT
    f.places.center[job] = center
    f.places.target[job] = target
    f.places.bound[job] = now
    f.places.predicted[job] = f.expected[target]
    f.places.foreseen[job] = f.foreseen[target]
    _be_patient(f, job, max(f.expected[target] - now, f.rules.replace_min))
    f.centers.waiting[center] += 1
    area = books.area(f, center, job)
    v = f.targets.seen[target]
    f.seen.sent[v] += area
    f.seen.on_way[v] += area
    f.watch[f.clock.watched[0]] = job
    f.clock.watched[0] += 1
    if b.rules.quotas == 1:
        books.take_quota(f, center, job, placement.flavor(f, target))
    if b.rules.budgets == 1:
        budget.reserve(b.budgets, b.jobs, job, f.cores[center].jobs.limit[job])
    if f.centers.managed[center] == 0 and b.rules.limited == 1:
        limit_usage.on_start(
            b.limits, b.counters, b.jobs, job, now
        )  # what it does from now on is not the broker's to say
    _write_log(f, now, job, target)
    dataset = f.places.dataset[job]
    if dataset >= 0 and f.data_ms[dataset, center] > 0 and f.data_due[dataset, center] == NEVER:
        f.data_due[dataset, center] = now + f.data_ms[dataset, center]
    if f.centers.latency[center] == 0 and (dataset < 0 or f.data_ms[dataset, center] == 0):
        arrive(f, now, job)
    else:
        books.tell(f, job, BOUND)


@kernel
def _be_patient(f: Federation, job: int, wait: int) -> None:
    """Note when a bound job is worth a second look: after a multiple of the wait that was predicted."""
    if f.rules.replace_after == 0:
        return
    f.places.patience[job] = f.clock.now[0] + max(wait * f.rules.replace_after // 1000, MINUTE_MS)
    f.clock.patience[0] = min(f.clock.patience[0], f.places.patience[job])


@kernel
def _write_log(f: Federation, now: int, job: int, target: int) -> None:
    log = f.log
    row = log.rows[0]
    if row == log.time.size:
        return
    log.rows[0] = row + 1
    f.places.row[job] = row
    log.time[row] = now
    log.job[row] = job
    log.target[row] = target
    log.predicted[row] = f.expected[target]
    if f.rules.keep == 0:
        return
    n = f.reason.size
    for t in range(n):
        log.reason[row, t] = f.reason[t]
        log.score[row, t] = f.score[t]
        if f.reason[t] == ALLOWED:
            for k in range(N_TERMS):
                log.terms[row * n + t, k] = f.terms[t, k]


@kernel
def reconsider(f: Federation, now: int) -> None:
    """Place anew the jobs that have waited longer than predicted, if another target is better by the hysteresis."""
    books.refresh_managed(f)
    patience = NEVER
    kept = 0
    n = f.clock.watched[0]
    for i in range(n):
        job = f.watch[i]
        center = f.places.center[job]
        if f.places.where[job] in (SENT, STUCK):
            f.watch[kept] = job
            kept += 1
            patience = min(patience, max(f.places.patience[job], now + MINUTE_MS))
            continue
        if f.cores[center].live.state[job] != PENDING:
            continue
        if f.places.patience[job] <= now:
            best = placement.choose(f, now, job)
            old = f.places.target[job]
            better = best >= 0 and best != old and f.reason[old] == ALLOWED
            if better and f.targets.center[best] != center and _has_room(f, f.targets.center[best]):
                better = f.score[best] < (1.0 - f.rules.hysteresis) * f.score[old]
            else:
                better = False
            if better and f.centers.managed[center] == 1 and f.centers.managed[f.targets.center[best]] == 0:
                better = quota.by_limits(f.broker, job) == 0  # that center starts it without asking
            if better:
                f.centers.waiting[center] -= 1
                if f.broker.rules.quotas == 1:
                    cohort.release(f.broker.quotas, f.broker.jobs, job)
                    if f.centers.managed[center] == 0:
                        cohort.enter(f.broker.quotas, f.broker.jobs, job)
                if f.broker.rules.budgets == 1:
                    budget.free(f.broker.budgets, f.broker.jobs, job)
                if f.centers.managed[center] == 0 and f.broker.rules.limited == 1:
                    b = f.broker  # as if it had never been counted as running
                    limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)
                    limit_usage.on_submit(b.limits, b.counters, b.jobs, job)
                if f.centers.managed[center] == 1:
                    books.submit_back(f, center, job)
                books.take_back(f, now, center, job)
                # _send appends to the list that is walked: it is put where the job itself would have stayed
                f.clock.watched[0] = kept
                _send(f, now, job, best)
                if f.broker.rules.limited == 1 or cohort.has_flavors(f.broker.quotas):
                    books.look_again(f, now)  # others may wait for what it had at its old center alone
                kept = f.clock.watched[0]
                patience = min(patience, f.places.patience[job])
                continue
            _be_patient(f, job, max(now - f.places.bound[job], f.rules.replace_min))
        f.watch[kept] = job
        kept += 1
        patience = min(patience, f.places.patience[job])
    f.clock.watched[0] = kept
    f.clock.patience[0] = patience
