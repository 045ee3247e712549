"""Redundant requests: a job is sent to every center that may have it, and the first one to start it keeps it.

A copy of the job is submitted to a center only once its data are there. Data that are missing are brought to every center that may have
the job; when they have come, a copy follows unless the job has started elsewhere meanwhile. One that limits or quota refuse then is tried again
whenever they are looked at. A job whose data are under way to all of its centers
waits nowhere yet: it is SENT, and bound to no center; from its first copy on it is ARRIVED.

An autonomous center starts what it has without asking, so from when a job, or its data, are sent to one, limits count it as running, and it has its
quota: once, and in each flavour of an autonomous center that may start it, until one does. A managed center asks at the start.

Source: Casanova, "Benefits and drawbacks of redundant batch requests", J. Grid Computing 5, 2007, doi:10.1007/s10723-007-9068-x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, digest, lifecycle, limit_usage, placement, quota, step
from apportion.core import federation_books as books
from apportion.core.codes import CANCEL, CANCELLED, PENDING, REJECTED, SUBMIT, UNSEEN
from apportion.core.federation_tables import ALLOWED, ARRIVED, BOUND, FETCH, NO_QUOTA, SENT, UNREACHABLE
from apportion.core.jit import kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation


@kernel
def send(f: Federation, now: int, job: int) -> None:
    """Submit a job to the best target of every center that may have it and holds its data, and have them brought to the others."""
    placement.choose(f, now, job)
    dataset = f.places.dataset[job]
    n_centers = f.centers.wake.size
    submitted = 0
    fetched = 0
    longest = 0
    for c in range(n_centers):
        best = _best_target(f, c)
        if best < 0:
            continue
        longest = max(longest, placement.scaled(f, job, c, f.places.limit[job]))
        if dataset >= 0 and f.data_ms[dataset, c] > 0:
            if f.data_due[dataset, c] == NEVER:
                f.data_due[dataset, c] = now + f.data_ms[dataset, c]
            books.tell(f, dataset * n_centers + c, FETCH)
            books.hold(f, best, job)
            fetched += 1
        else:
            submitted += _submit_copy(f, now, c, best, job)
    if submitted + fetched == 0 and (placement.waits_for_quota(f, job) or placement.waits_for_reach(f)):
        return
    if submitted + fetched == 0:
        books.reject(f, now, job)
        return
    f.places.where[job] = ARRIVED if submitted > 0 else SENT
    f.places.bound[job] = now
    books.leave_queue(f, now, job)
    if f.broker.rules.budgets == 1:
        budget.reserve(f.broker.budgets, f.broker.jobs, job, longest)
    digest.record(f.digest, now, job, BOUND)
    if fetched > 0:
        f.watch[f.clock.watched[0]] = job
        f.clock.watched[0] += 1


@kernel
def _best_target(f: Federation, center: int) -> int:
    """Target of a center with the least score of those that `placement.choose` has just allowed, -1 for none."""
    best = -1
    for t in range(f.reason.size):
        if f.targets.center[t] == center and f.reason[t] == ALLOWED and (best < 0 or f.score[t] < f.score[best]):
            best = t
    return best


@kernel
def _submit_copy(f: Federation, now: int, center: int, target: int, job: int) -> bool:
    """Submit a copy of a job to a center; False if that turns it away."""
    books.suit(f, job, target)
    core = f.cores[center]
    books.touch(f, now, center)
    if f.centers.managed[center] == 1:
        step.join(core, job)
    else:
        core.jobs.submit[job] = now
        step.apply(core, now, SUBMIT, job)
    if core.live.state[job] != PENDING:
        return False
    books.hold(f, target, job)
    f.seen.owed[books.seen_of(f, center, job)] += books.area(f, center, job)
    return True


@kernel
def follow_data(f: Federation, now: int, center: int) -> None:
    """Submit copies of the jobs that have waited for data that are there, for the center to be reached again, or for limits or quota."""
    kept = 0
    for i in range(f.clock.watched[0]):
        job = f.watch[i]
        if f.places.center[job] >= 0 or f.broker.live.state[job] != BOUND:
            continue
        dataset = f.places.dataset[job]
        if f.data_ms[dataset, center] == 0 and f.cores[center].live.state[job] == UNSEEN:
            target = _target_later(f, now, center, job)
            if target >= 0 and _submit_copy(f, now, center, target, job):
                f.places.where[job] = ARRIVED
        if _may_follow(f, job):
            f.watch[kept] = job
            kept += 1
        elif f.places.where[job] == SENT:  # everybody has turned it away
            books.write_off(f, job)
            lifecycle.decide(f.broker, now, job, REJECTED)
            books.look_again(f, now)
    f.clock.watched[0] = kept


@kernel
def _target_later(f: Federation, now: int, center: int, job: int) -> int:
    """Best target of a center for a job that was sent before; a managed one asks for limits and quota when it starts."""
    asks_now = f.centers.managed[center] == 0 and not limit_usage.is_held(f.broker.counters, job)
    if asks_now and quota.by_limits(f.broker, job) != 0:
        return -1
    for t in range(f.reason.size):
        f.reason[t] = placement.refusal(f, job, t)
        if f.reason[t] == NO_QUOTA and f.centers.managed[center] == 1:
            f.reason[t] = ALLOWED
        if f.reason[t] == ALLOWED:
            placement.judge(f, now, job, t)
    return _best_target(f, center)


@kernel
def _may_follow(f: Federation, job: int) -> bool:
    """Whether data of a job are on their way to a center, or there and nothing is in its way that may not pass: a cut, limits or quota."""
    dataset = f.places.dataset[job]
    for c in range(f.centers.wake.size):
        if f.data_ms[dataset, c] > 0 and f.data_due[dataset, c] < NEVER:
            return True
        if f.data_ms[dataset, c] == 0 and f.cores[c].live.state[job] == UNSEEN and _may_take(f, c, job):
            return True
    return False


@kernel
def _may_take(f: Federation, center: int, job: int) -> bool:
    """Whether a center would take a job if it could be reached and limits and quota allowed it."""
    for t in range(f.reason.size):
        if f.targets.center[t] == center and placement.refusal(f, job, t) in (ALLOWED, UNREACHABLE, NO_QUOTA):
            return True
    return False


@kernel
def follow_limits(f: Federation, now: int) -> None:
    """Limits and quotas are looked at: try the jobs again that they, or cuts, have kept from where their data are."""
    if f.broker.rules.holds == 1 and f.clock.watched[0] > 0:
        for c in range(f.centers.wake.size):
            follow_data(f, now, c)


@kernel
def cancel(f: Federation, now: int, job: int) -> None:
    """Cancel a job that was sent everywhere and has not started, or waits again after it was stopped: once, wherever copies of it wait."""
    keep = -1  # where the cancellation is booked: a managed center shares the broker's tables
    for c in range(f.centers.wake.size):
        if f.cores[c].live.state[job] == PENDING:
            if keep < 0 or f.centers.managed[c] > f.centers.managed[keep]:
                keep = c
    if keep < 0:
        if f.places.where[job] == SENT and f.broker.live.state[job] == BOUND:
            books.write_off(f, job)
            lifecycle.decide(f.broker, now, job, CANCELLED)
        return
    if f.broker.rules.budgets == 1:
        budget.free(f.broker.budgets, f.broker.jobs, job)
    for c in range(f.centers.wake.size):
        core = f.cores[c]
        if core.live.state[job] != PENDING:
            continue
        if c != keep:
            books.withdraw(f, now, c, job)
            digest.record(f.digest, now, job, CANCELLED)
            continue
        books.touch(f, now, c)
        f.seen.owed[books.seen_of(f, c, job)] -= books.area(f, c, job)
        is_new = f.places.center[job] < 0  # it has never started
        if f.centers.managed[c] == 0:
            if is_new:
                books.write_off(f, job)
            else:
                books.forget(f, now, c, job)
        elif is_new:
            books.submit_to(f, c, job)
        step.apply(core, now, CANCEL, job)
    f.places.center[job] = keep
    books.tell(f, job, CANCELLED)
