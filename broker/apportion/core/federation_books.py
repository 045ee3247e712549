"""What a broker books of its centers, and what it sees of them.

Booked are starts, stops and ends, the charges and quotas of what runs at autonomous centers, and how long jobs have waited compared with
what was foreseen. Seen is what `look` takes over at each poll, and of managed centers at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, cohort, digest, lifecycle, limit_usage, placement, running, step, turns
from apportion.core.codes import ENDED, KILLED, NODE_FAIL, PENDING, PREEMPTED, REQUEUED, RUNNING
from apportion.core.federation_tables import HOME, PLACE_BY_SCORE, PLACE_REDUNDANT, WITHDRAWN
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

MEMORY = 1.0 / 64.0  # weight of the newest job in what is remembered


@kernel
def look_for_quota(f: Federation, now: int) -> None:
    """There may be quota or budget for jobs that wait for it, wherever they wait."""
    if f.broker.rules.quotas == 0 and f.broker.rules.budgets == 0:
        return
    f.clock.stale[0] = 1
    for c in range(f.centers.wake.size):
        if f.centers.managed[c] == 1 and f.cores[c].clock.pending[0] > 0:
            touch(f, now, c)
            f.cores[c].clock.stale[0] = 1
            f.cores[c].clock.happened[0] = 1


@kernel
def touch(f: Federation, now: int, center: int) -> None:
    """Something happens at a center in this instant."""
    if f.centers.touched[center] == 1:
        return
    f.centers.touched[center] = 1
    step.begin(f.cores[center], now)
    if f.centers.changed[center] == 0:
        f.centers.changed[center] = 1
        poll = f.centers.poll[center]
        f.centers.next_look[center] = (now // poll + 1) * poll if poll > 0 else now


@kernel
def area(f: Federation, center: int, job: int) -> int:
    """Processor-ms that a job asks for at a center."""
    jobs = f.cores[center].jobs
    return int(jobs.procs[job] * jobs.limit[job])


@kernel
def seen_of(f: Federation, center: int, job: int) -> int:
    """Row of `Seen` for the pool that a job is in at a center."""
    return int(f.centers.first_seen[center] + f.cores[center].jobs.pool[job])


@kernel
def tell(f: Federation, job: int, what: int) -> None:
    """Add a decision that the driver carries out."""
    k = f.clock.decided[0]
    f.decided[k] = job
    f.what[k] = what
    f.clock.decided[0] = k + 1


@kernel
def note_stop(f: Federation, now: int, center: int, job: int) -> None:
    """Book that a running job was stopped before its end, if it was: it is in the queue of its center again, or over."""
    core = f.cores[center]
    what = core.live.state[job]
    started = f.places.started[job]
    if started < 0 or what in (ENDED, KILLED) or (what == RUNNING and core.live.start[job] == started):
        return
    autonomous = f.centers.managed[center] == 0
    if autonomous and f.broker.rules.charged == 1:
        charge_until(f, now, center, job)
    f.places.started[job] = -1
    if what in (PREEMPTED, NODE_FAIL):
        if autonomous:
            settle(f, now, job)
        tell(f, job, what)
        look_for_quota(f, now)
        return
    f.seen.owed[seen_of(f, center, job)] += area(f, center, job)
    if f.places.where[job] != HOME and f.rules.placement != PLACE_REDUNDANT:
        f.centers.waiting[center] += 1
    tell(f, job, REQUEUED)
    if f.broker.rules.reclaims == 1:
        look_for_quota(f, now)


@kernel
def note_start(f: Federation, now: int, center: int, job: int) -> None:
    """Book that a center has started a job; one that was sent everywhere is taken back from the others."""
    f.places.started[job] = now
    f.seen.owed[seen_of(f, center, job)] -= area(f, center, job)
    if f.centers.managed[center] == 0:
        _charge_start(f, now, center, job)
    if f.rules.placement == PLACE_BY_SCORE:
        _learn(f, now, center, job)
    if f.places.where[job] == HOME:
        return
    if f.rules.placement == PLACE_REDUNDANT:
        f.places.center[job] = center
        if f.broker.rules.quotas == 1 and f.centers.managed[center] == 0:
            take_quota(f, center, job, f.seen.flavor[seen_of(f, center, job)])
        for other in range(f.centers.wake.size):
            if f.cores[other].live.state[job] == PENDING:
                take_back(f, now, other, job)
        return
    f.centers.waiting[center] -= 1
    if f.centers.poll[center] == 0:
        f.clock.stale[0] = 1


@kernel
def _learn(f: Federation, now: int, center: int, job: int) -> None:
    """Compare the wait of a job at its center with what was foreseen."""
    core = f.cores[center]
    v = seen_of(f, center, job)
    kind = placement.job_class(core.jobs.procs[job], f.seen.procs[v], core.jobs.limit[job])
    since = core.jobs.submit[job] if f.places.where[job] == HOME else f.places.bound[job]
    centers = f.centers
    centers.waited[center, kind] += (now - since) / 1000.0 - centers.waited[center, kind] * MEMORY
    centers.foreseen[center, kind] += f.places.foreseen[job] / 1000.0 - centers.foreseen[center, kind] * MEMORY


@kernel
def take_quota(f: Federation, center: int, job: int, flavor: int) -> None:
    """Let a bound job have its quota; what it does at an autonomous center is not the broker's to say, so there it waits no longer."""
    b = f.broker
    if b.rules.turns == 1:
        turns.note_entry(b.quotas, b.jobs, b.turns, job)
    cohort.reserve(b.quotas, b.jobs, job, flavor)
    if f.centers.managed[center] == 0:
        cohort.leave(b.quotas, b.jobs, job)


@kernel
def _charge_start(f: Federation, now: int, center: int, job: int) -> None:
    """Charge the federation's accounts for a job that an autonomous center has started."""
    b = f.broker
    if b.rules.charged == 1:
        lifecycle.charge_start(b, now, job, b.jobs.billing[job] * f.centers.exchange[center] // 1000)
    if b.rules.budgets == 1 and f.places.where[job] != HOME:
        budget.on_start(b.budgets, b.jobs, job, now, f.cores[center].jobs.limit[job])


@kernel
def charge_until(f: Federation, now: int, center: int, job: int) -> None:
    """Charge the federation's accounts no longer for a job that an autonomous center ran."""
    b = f.broker
    billing = b.jobs.billing[job] * f.centers.exchange[center] // 1000
    lifecycle.charge_end(b, now, job, billing, f.places.started[job])


@kernel
def settle(f: Federation, now: int, job: int) -> None:
    """Settle limits and quotas of the broker for a job that is over at an autonomous center."""
    b = f.broker
    if b.rules.limited == 1 and f.places.where[job] != HOME:
        limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)
    if b.rules.quotas == 1:
        cohort.release(b.quotas, b.jobs, job)
    if b.rules.budgets == 1:
        budget.on_end(b.budgets, b.jobs, job, now)


@kernel
def forget(f: Federation, now: int, center: int, job: int) -> None:
    """Take a bound job that will not run off the counts of the broker's limits and quotas."""
    b = f.broker
    if b.rules.quotas == 1:
        if f.centers.managed[center] == 1:
            cohort.leave(b.quotas, b.jobs, job)
        cohort.release(b.quotas, b.jobs, job)
    if b.rules.limited == 0:
        return
    if f.centers.managed[center] == 1:
        limit_usage.on_cancel_pending(b.limits, b.counters, b.jobs, job)
    else:
        limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)


@kernel
def take_back(f: Federation, now: int, center: int, job: int) -> None:
    """Withdraw a pending job from a center."""
    core = f.cores[center]
    touch(f, now, center)
    f.seen.owed[seen_of(f, center, job)] -= area(f, center, job)
    if f.centers.managed[center] == 0 and core.rules.limited == 1:
        limit_usage.on_cancel_pending(core.limits, core.counters, core.jobs, job)
    if f.centers.managed[center] == 0 and core.rules.quotas == 1:
        cohort.leave(core.quotas, core.jobs, job)
    step.withdraw(core, job)
    digest.record(f.digest, now, job, WITHDRAWN)


@kernel
def look(f: Federation, now: int) -> None:
    """Look at the centers whose poll is due and where something has happened."""
    for c in range(f.centers.changed.size):
        if f.centers.changed[c] == 1 and f.centers.poll[c] > 0 and f.centers.next_look[c] <= now:
            if f.centers.reachable[c] == 1:
                _see(f, c)
                f.clock.stale[0] = 1
            else:
                f.centers.next_look[c] = (now // f.centers.poll[c] + 1) * f.centers.poll[c]


@kernel
def _see(f: Federation, center: int) -> None:
    """Take over what a center shows: free processors, running jobs with their limits, the work that waits."""
    core = f.cores[center]
    seen = f.seen
    for pool in range(core.pools.free.size):
        v = f.centers.first_seen[center] + pool
        running.settle(core.running, core.live.state, pool)
        seen.procs[v] = core.pools.procs[pool]
        seen.free[v] = core.pools.free[pool]
        seen.backlog[v] = seen.owed[v]
        seen.sent[v] = seen.on_way[v]
        n = core.running.count[pool]
        to = seen.first[v]
        of = core.running.first[pool]
        seen.count[v] = n
        for i in range(n):
            seen.end[to + i] = core.running.end[of + i]
            seen.width[to + i] = core.running.procs[of + i]
    f.centers.changed[center] = 0


@kernel
def refresh_managed(f: Federation) -> None:
    """See the managed centers as they are now."""
    for c in range(f.centers.changed.size):
        if f.centers.changed[c] == 1 and f.centers.poll[c] == 0:
            _see(f, c)
