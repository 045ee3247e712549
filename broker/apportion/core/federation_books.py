"""What a broker books of its centers, and what it sees of them.

Booked are starts, stops and ends, the charges and quotas of what runs at autonomous centers, and how long jobs have waited compared with
what was foreseen. Seen is what `look` takes over at each poll, and of managed centers at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import (
    budget,
    checkpoint,
    cohort,
    digest,
    lifecycle,
    limit_usage,
    placement,
    refund,
    running,
    step,
    turns,
)
from apportion.core.codes import ENDED, KILLED, NODE_FAIL, PENDING, PREEMPTED, REJECTED, REQUEUED, RUNNING
from apportion.core.federation_tables import BOUND, HOME, PLACE_BY_SCORE, PLACE_REDUNDANT, WITHDRAWN
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, ROW_END, ROW_PROCS

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

MEMORY = 1.0 / 64.0  # weight of the newest job in what is remembered


@kernel
def look_again(f: Federation, now: int) -> None:
    """Limits, quotas or budgets may let jobs start that wait for that, wherever they wait."""
    if f.broker.rules.holds == 0:
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
def suit(f: Federation, job: int, target: int) -> None:
    """Make the rows of a center's tables fit a job that comes to it."""
    center = f.targets.center[target]
    core = f.cores[center]
    core.jobs.pool[job] = f.targets.pool[target]
    if core.jobs.partition.size > 0:
        core.jobs.partition[job] = f.targets.partition[target]
    core.jobs.limit[job] = placement.scaled(f, job, center, f.places.limit[job])
    core.jobs.expected[job] = checkpoint.duration(core.checkpoints, job, core.jobs.limit[job])
    if f.centers.managed[center] == 1 and core.jobs.billing.size > 0:
        core.jobs.billing[job] = f.broker.jobs.billing[job] * f.centers.exchange[center] // 1000


@kernel
def leave_queue(f: Federation, now: int, job: int) -> None:
    """A job leaves the broker's queue for a center."""
    lifecycle.leave(f.broker)
    f.broker.live.state[job] = BOUND
    f.broker.live.start[job] = now


@kernel
def reject(f: Federation, now: int, job: int) -> None:
    """A job in the broker's queue may run nowhere."""
    lifecycle.leave(f.broker)
    write_off(f, job)
    lifecycle.decide(f.broker, now, job, REJECTED)


@kernel
def write_off(f: Federation, job: int) -> None:
    """Take a job that never started anywhere off the counts of the broker's limits, quotas and budgets."""
    b = f.broker
    if b.rules.budgets == 1:
        budget.free(b.budgets, b.jobs, job)
    if b.rules.limited == 1:
        limit_usage.on_cancel_pending(b.limits, b.counters, b.jobs, job)
    if b.rules.quotas == 1:
        cohort.leave(b.quotas, b.jobs, job)
        cohort.release(b.quotas, b.jobs, job)


@kernel
def note_stop(f: Federation, now: int, center: int, job: int) -> None:
    """Book that a running job was stopped before its end, if it was: it is in the queue of its center again, or over."""
    core = f.cores[center]
    what = core.live.state[job]
    started = f.places.started[job]
    if started < 0 or what in (ENDED, KILLED) or (what == RUNNING and core.live.start[job] == started):
        return
    autonomous = f.centers.managed[center] == 0
    if autonomous:
        _settle_stop(f, now, center, job)
    f.places.started[job] = -1
    if what in (PREEMPTED, NODE_FAIL):
        if autonomous:
            settle(f, now, job)
        tell(f, job, what)
        look_again(f, now)
        return
    f.seen.owed[seen_of(f, center, job)] += area(f, center, job)
    if f.places.where[job] != HOME and f.rules.placement != PLACE_REDUNDANT:
        f.centers.waiting[center] += 1
    tell(f, job, REQUEUED)
    if autonomous and f.broker.rules.budgets == 1 and f.places.where[job] != HOME:
        budget.reserve(f.broker.budgets, f.broker.jobs, job, core.jobs.limit[job])
    look_again(f, now)


@kernel
def _settle_stop(f: Federation, now: int, center: int, job: int) -> None:
    """Charge the federation's books for what an autonomous center ran of a job, and give back what that center has given back."""
    b = f.broker
    if b.rules.charged == 1:
        charge_until(f, now, center, job)
    is_budgeted = b.rules.budgets == 1 and f.places.where[job] != HOME
    if is_budgeted:
        budget.on_end(b.budgets, b.jobs, job, now)
    back = _refunded(f, now, center, job)
    if back > 0 and b.rules.charged == 1:
        billing = b.jobs.billing[job] * f.centers.exchange[center] // 1000
        refund.give_back_usage(b, now, job, billing, back)
    if back > 0 and is_budgeted:
        budget.refund(b.budgets, b.jobs, job, now, back)


@kernel
def _refunded(f: Federation, now: int, center: int, job: int) -> int:
    """How much a center has given back for the run of a job that it has just stopped, ms."""
    log = f.cores[center].stops
    row = min(log.count[0], log.time.size) - 1
    while row >= 0 and log.time[row] == now:
        if log.job[row] == job and log.start[row] == f.places.started[job]:
            return int(log.refunded[row])
        row -= 1
    return 0


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
        if f.places.center[job] < 0:
            _keep(f, now, center, job)
        for other in range(f.centers.wake.size):
            if f.cores[other].live.state[job] == PENDING:
                take_back(f, now, other, job)
        return
    f.centers.waiting[center] -= 1
    if f.centers.poll[center] == 0:
        f.clock.stale[0] = 1


@kernel
def _keep(f: Federation, now: int, center: int, job: int) -> None:
    """A job that was sent everywhere has started for the first time, and so is bound to this center."""
    b = f.broker
    f.places.center[job] = center
    if b.quotas.held.shape[1] > 0:
        f.clock.stale[0] = 1  # it has quota no longer where it did not start
    if b.counters.held.shape[0] > 0 and f.centers.managed[center] == 1:
        look_again(f, now)  # by the partition and the billing of this center it may count for less
    dataset = f.places.dataset[job]
    if dataset >= 0 and f.data_due[dataset, center] < NEVER:
        f.places.travel[job] = max(f.data_due[dataset, center] - f.places.bound[job], 0)
    if f.centers.managed[center] == 1:
        submit_to(f, center, job)
        return  # it shares the broker's tables
    if b.rules.limited == 1:
        limit_usage.on_start(b.limits, b.counters, b.jobs, job, now)
    if b.rules.quotas == 1:
        take_quota(f, center, job, f.seen.flavor[seen_of(f, center, job)])


@kernel
def _learn(f: Federation, now: int, center: int, job: int) -> None:
    """Compare the wait of a job at its center with what was foreseen; a wait that nobody could foresee teaches nothing."""
    if f.places.foreseen[job] >= placement.FAR_MS:
        return
    core = f.cores[center]
    v = seen_of(f, center, job)
    kind = placement.job_class(core.jobs.procs[job], f.seen.procs[v], core.jobs.limit[job])
    since = core.jobs.submit[job] if f.places.where[job] == HOME else f.places.bound[job]
    centers = f.centers
    centers.waited[center, kind] += (now - since) / 1000.0 - centers.waited[center, kind] * MEMORY
    centers.foreseen[center, kind] += f.places.foreseen[job] / 1000.0 - centers.foreseen[center, kind] * MEMORY


@kernel
def hold(f: Federation, target: int, job: int) -> None:
    """Count a job that is sent everywhere against limits and quotas at a target as well, if its center may start it without asking again."""
    b = f.broker
    if f.centers.managed[f.targets.center[target]] == 1:
        return
    if b.rules.limited == 1:
        limit_usage.hold(b.limits, b.counters, b.jobs, job)
    if b.rules.quotas == 0:
        return
    if b.rules.turns == 1:
        turns.note_entry(b.quotas, b.jobs, b.turns, job)
    cohort.hold(b.quotas, b.jobs, job, placement.flavor(f, target))


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
    """Take a bound job that will not run off the counts of the broker's limits, quotas and budgets."""
    b = f.broker
    if b.rules.quotas == 1:
        if f.centers.managed[center] == 1:
            cohort.leave(b.quotas, b.jobs, job)
        cohort.release(b.quotas, b.jobs, job)
    if b.rules.budgets == 1:
        budget.free(b.budgets, b.jobs, job)
    if b.rules.limited == 0:
        return
    if f.centers.managed[center] == 1:
        limit_usage.on_cancel_pending(b.limits, b.counters, b.jobs, job)
    else:
        limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)


@kernel
def submit_to(f: Federation, center: int, job: int) -> None:
    """Count a job of the broker among those submitted to the partition where a managed center has it."""
    b = f.broker
    if b.rules.limited == 1:
        limit_usage.on_move(b.limits, b.counters, b.jobs, f.cores[center].jobs, job)


@kernel
def submit_back(f: Federation, center: int, job: int) -> None:
    """The reverse of `submit_to`."""
    b = f.broker
    if b.rules.limited == 1:
        limit_usage.on_move(b.limits, b.counters, f.cores[center].jobs, b.jobs, job)


@kernel
def take_back(f: Federation, now: int, center: int, job: int) -> None:
    """Withdraw a pending job from a center, and record it."""
    withdraw(f, now, center, job)
    digest.record(f.digest, now, job, WITHDRAWN)


@kernel
def withdraw(f: Federation, now: int, center: int, job: int) -> None:
    """Take a pending job out of the queue of a center."""
    core = f.cores[center]
    touch(f, now, center)
    f.seen.owed[seen_of(f, center, job)] -= area(f, center, job)
    if f.centers.managed[center] == 0 and core.rules.limited == 1:
        limit_usage.on_cancel_pending(core.limits, core.counters, core.jobs, job)
    if f.centers.managed[center] == 0 and core.rules.quotas == 1:
        cohort.leave(core.quotas, core.jobs, job)
    step.withdraw(core, job)


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
            seen.end[to + i] = core.running.row[of + i, ROW_END]
            seen.width[to + i] = core.running.row[of + i, ROW_PROCS]
    f.centers.changed[center] = 0


@kernel
def refresh_managed(f: Federation) -> None:
    """See the managed centers as they are now."""
    for c in range(f.centers.changed.size):
        if f.centers.changed[c] == 1 and f.centers.poll[c] == 0:
            _see(f, c)
