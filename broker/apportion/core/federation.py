"""A broker and its centers decide together: `begin`, `apply` and `decide`, as in `apportion.core.step`, for a whole federation.

Jobs that stay at home go to their center at once. The others wait in the broker's queue, by the broker's order, until their best target
has room in its look-ahead; then they are bound, travel (`ARRIVE`), and wait in the queue of the center, whose own pass starts them.
A job that waits longer than was predicted is placed anew if another target is better by the hysteresis.

Managed centers share the tables of usage, shares, limits and quotas with the broker. A job has its quota from when it is bound;
until there is some it waits in the broker's queue. What runs at autonomous centers is charged to
the broker's tables here, at the center's rate of exchange, once, wherever it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import (
    budget,
    cohort,
    cohort_lease,
    digest,
    lifecycle,
    limit_usage,
    placement,
    queue,
    quota,
    rank,
    running,
    step,
)
from apportion.core.codes import (
    CANCEL,
    CANCELLED,
    CAPACITY,
    END,
    ENDED,
    KILLED,
    LOSS,
    NODE_FAIL,
    PENDING,
    PREEMPTED,
    REJECTED,
    REQUEUED,
    RETURN,
    RUNNING,
    SUBMIT,
)
from apportion.core.federation_tables import (
    ALLOWED,
    ARRIVE,
    ARRIVED,
    BOUND,
    DATA,
    HOME,
    N_TERMS,
    PLACE_BY_SCORE,
    PLACE_REDUNDANT,
    QUEUED,
    REACH,
    SENT,
    STUCK,
    WITHDRAWN,
)
from apportion.core.jit import kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation
    from apportion.core.tables import Ints

MEMORY = 1.0 / 64.0  # weight of the newest job in what is remembered
MINUTE_MS = 60_000


@kernel
def begin(f: Federation, now: int) -> None:
    """Open an instant; centers whose core wanted to be called are."""
    f.clock.decided[0] = 0
    f.clock.now[0] = now
    turned = f.broker.rules.quotas == 1 and cohort_lease.next_change(f.broker.quotas) <= now
    turned |= f.broker.rules.budgets == 1 and f.broker.budgets.turn[0] <= now
    step.begin(f.broker, now)
    for c in range(f.centers.wake.size):
        if f.centers.wake[c] <= now:
            _touch(f, now, c)
    if turned:
        _look_for_quota(f, now)


@kernel
def _look_for_quota(f: Federation, now: int) -> None:
    """There may be quota or budget for jobs that wait for it, wherever they wait."""
    if f.broker.rules.quotas == 0 and f.broker.rules.budgets == 0:
        return
    f.clock.stale[0] = 1
    for c in range(f.centers.wake.size):
        if f.centers.managed[c] == 1 and f.cores[c].clock.pending[0] > 0:
            _touch(f, now, c)
            f.cores[c].clock.stale[0] = 1
            f.cores[c].clock.happened[0] = 1


@kernel
def _touch(f: Federation, now: int, center: int) -> None:
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
def _area(f: Federation, center: int, job: int) -> int:
    """Processor-ms that a job asks for at a center."""
    jobs = f.cores[center].jobs
    return int(jobs.procs[job] * jobs.limit[job])


@kernel
def _seen_of(f: Federation, center: int, job: int) -> int:
    """Row of `Seen` for the pool that a job is in at a center."""
    return int(f.centers.first_seen[center] + f.cores[center].jobs.pool[job])


@kernel
def apply(f: Federation, now: int, event: int, subject: int) -> None:
    """Take note of one event.

    Parameters
    ----------
    f : Federation
    now : int
        Time of the instant, ms.
    event : int
        END, RETURN, LOSS, CAPACITY, CANCEL, SUBMIT, TIMER, DATA, ARRIVE or REACH.
    subject : int
        Job index; for LOSS and RETURN the row of ``f.outage_center``; for CAPACITY the row of `Seen`; for REACH the center, which is cut
        off or back; for DATA the dataset times the number of centers plus the center.
    """
    if event == SUBMIT:
        _submit(f, now, subject)
    elif event == END:
        _end(f, now, subject)
    elif event == DATA:
        _complete(f, subject)
    elif event == ARRIVE:
        _arrive(f, now, subject)
    elif event == CANCEL:
        _cancel(f, now, subject)
    elif event in (LOSS, RETURN):
        _fail(f, now, event, subject)
    elif event == CAPACITY:
        center = f.seen.center[subject]
        _touch(f, now, center)
        step.apply(f.cores[center], now, CAPACITY, f.seen.pool[subject])
    elif event == REACH:
        _reach(f, now, subject)


@kernel
def _submit(f: Federation, now: int, job: int) -> None:
    f.broker.jobs.submit[job] = now  # what follows other jobs comes when they let it
    if f.places.where[job] == HOME:
        center = f.places.home[job]
        _touch(f, now, center)
        f.cores[center].jobs.submit[job] = now
        _hand_over(f, now, center, job)
        if f.rules.placement == PLACE_BY_SCORE:
            procs = f.cores[center].jobs.procs[job]
            f.places.foreseen[job] = placement.work_ahead(f, now, _seen_of(f, center, job), procs)
        return
    step.apply(f.broker, now, SUBMIT, job)
    f.clock.stale[0] = 1


@kernel
def _fail(f: Federation, now: int, event: int, subject: int) -> None:
    """Processors of a center fail, with the jobs on them, or are back."""
    center = f.outage_center[subject]
    core = f.cores[center]
    _touch(f, now, center)
    first = core.clock.decided[0]
    step.apply(core, now, event, f.outage_row[subject])
    for k in range(first, core.clock.decided[0]):
        _note_stop(f, now, center, core.decided[k])


@kernel
def _note_stop(f: Federation, now: int, center: int, job: int) -> None:
    """Book that a running job was stopped before its end, if it was: it is in the queue of its center again, or over."""
    core = f.cores[center]
    what = core.live.state[job]
    started = f.places.started[job]
    if started < 0 or what in (ENDED, KILLED) or (what == RUNNING and core.live.start[job] == started):
        return
    autonomous = f.centers.managed[center] == 0
    if autonomous and f.broker.rules.charged == 1:
        _charge_until(f, now, center, job)
    f.places.started[job] = -1
    if what in (PREEMPTED, NODE_FAIL):
        if autonomous:
            _settle(f, now, job)
        _tell(f, job, what)
        _look_for_quota(f, now)
        return
    f.seen.owed[_seen_of(f, center, job)] += _area(f, center, job)
    if f.places.where[job] != HOME and f.rules.placement != PLACE_REDUNDANT:
        f.centers.waiting[center] += 1
    _tell(f, job, REQUEUED)


@kernel
def _reach(f: Federation, now: int, center: int) -> None:
    """A center is cut off; or it is back, and lets in who stands at its door."""
    f.centers.reachable[center] = 1 - f.centers.reachable[center]
    f.clock.stale[0] = 1
    if f.centers.reachable[center] == 0:
        return
    for i in range(f.clock.watched[0]):
        job = f.watch[i]
        if f.places.where[job] == STUCK and f.places.center[job] == center:
            f.places.where[job] = SENT
            _arrive(f, now, job)


@kernel
def _complete(f: Federation, subject: int) -> None:
    """A center holds all of a dataset from now on."""
    n_centers = f.centers.wake.size
    f.data_ms[subject // n_centers, subject % n_centers] = 0
    f.clock.stale[0] = 1


@kernel
def _hand_over(f: Federation, now: int, center: int, job: int) -> None:
    """Submit a job to the core of a center."""
    core = f.cores[center]
    f.places.center[job] = center
    step.apply(core, now, SUBMIT, job)
    if core.live.state[job] == PENDING:
        f.seen.owed[_seen_of(f, center, job)] += _area(f, center, job)


@kernel
def _arrive(f: Federation, now: int, job: int) -> None:
    """A bound job has reached its center, and its data with it."""
    if f.places.where[job] != SENT:
        return  # it was cancelled on the way
    center = f.places.center[job]
    if f.centers.reachable[center] == 0:
        f.places.where[job] = STUCK
        return
    core = f.cores[center]
    area = _area(f, center, job)
    f.places.where[job] = ARRIVED
    f.places.travel[job] = now - f.places.bound[job]
    f.seen.on_way[_seen_of(f, center, job)] -= area
    _touch(f, now, center)
    if f.centers.managed[center] == 1:
        step.join(core, job)
        f.seen.owed[_seen_of(f, center, job)] += area
        return
    core.jobs.submit[job] = now  # the center knows of no earlier time
    _hand_over(f, now, center, job)
    if core.live.state[job] == REJECTED:
        f.centers.waiting[center] -= 1
        _forget(f, now, center, job)


@kernel
def _end(f: Federation, now: int, job: int) -> None:
    center = f.places.center[job]
    core = f.cores[center]
    _touch(f, now, center)
    ran = now - f.places.started[job]
    share = min(ran / core.jobs.limit[job], 1.0)
    home = f.places.home[job]
    f.centers.accuracy[center] += (share - f.centers.accuracy[center]) * MEMORY
    f.centers.habit[home] += (share - f.centers.habit[home]) * MEMORY
    step.apply(core, now, END, job)
    if f.centers.managed[center] == 0:
        if f.broker.rules.charged == 1:
            _charge_until(f, now, center, job)
        _settle(f, now, job)
    f.places.started[job] = -1
    _look_for_quota(f, now)


@kernel
def _cancel(f: Federation, now: int, job: int) -> None:
    where = f.places.where[job]
    if where == QUEUED:
        step.apply(f.broker, now, CANCEL, job)
    elif where in (SENT, STUCK):
        center = f.places.center[job]
        f.places.where[job] = ARRIVED
        f.seen.on_way[_seen_of(f, center, job)] -= _area(f, center, job)
        f.centers.waiting[center] -= 1
        _forget(f, now, center, job)
        _touch(f, now, center)
        step.apply(f.cores[center], now, CANCEL, job)
    elif where == HOME and f.places.center[job] < 0:  # at the very instant of its submission, or before
        center = f.places.home[job]
        _touch(f, now, center)
        f.places.center[job] = center
        step.apply(f.cores[center], now, CANCEL, job)
    else:
        for center in range(f.centers.wake.size):
            if f.cores[center].live.state[job] == PENDING:
                _touch(f, now, center)
                f.seen.owed[_seen_of(f, center, job)] -= _area(f, center, job)
                if where != HOME and f.rules.placement != PLACE_REDUNDANT:
                    f.centers.waiting[center] -= 1
                    if f.centers.managed[center] == 0:
                        _forget(f, now, center, job)
                f.places.center[job] = center
                step.apply(f.cores[center], now, CANCEL, job)
        if where != HOME and f.rules.placement == PLACE_REDUNDANT and f.places.center[job] >= 0:
            _tell(f, job, CANCELLED)
    _look_for_quota(f, now)


@kernel
def _forget(f: Federation, now: int, center: int, job: int) -> None:
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
def decide(f: Federation, now: int) -> None:
    """Decide what is bound and what starts at this instant.

    A job that is bound may start at once, and what starts makes room for the next to be bound: broker and centers take turns until
    nothing more happens.
    """
    while True:
        _decide_centers(f, now)
        _look(f, now)
        if f.clock.patience[0] <= now:
            _reconsider(f, now)
        _place_pending(f, now)
        if not _anything_touched(f):
            break
    for k in range(f.broker.clock.decided[0]):
        job = f.broker.decided[k]
        _tell(f, job, f.broker.live.state[job])
    wake = f.clock.patience[0]
    for c in range(f.centers.wake.size):
        wake = min(wake, f.centers.wake[c])
        if f.centers.changed[c] == 1 and f.centers.poll[c] > 0:
            wake = min(wake, f.centers.next_look[c])
    if f.broker.rules.quotas == 1 and f.broker.clock.pending[0] > 0:
        wake = min(wake, cohort_lease.next_change(f.broker.quotas))
    if f.broker.rules.budgets == 1 and f.broker.clock.pending[0] > 0:
        wake = min(wake, budget.next_change(f.broker.budgets))
    f.clock.wake[0] = wake


@kernel
def _anything_touched(f: Federation) -> bool:
    for c in range(f.centers.touched.size):
        if f.centers.touched[c] == 1:
            return True
    return False


@kernel
def _decide_centers(f: Federation, now: int) -> None:
    for c in range(f.centers.touched.size):
        if f.centers.touched[c] == 1:
            step.decide(f.cores[c], now)
            f.centers.touched[c] = 0
            f.centers.wake[c] = f.cores[c].clock.wake[0]
            _take_note(f, now, c)
            if f.centers.poll[c] == 0:
                f.clock.stale[0] = 1


@kernel
def _take_note(f: Federation, now: int, center: int) -> None:
    """Book what a center has decided."""
    core = f.cores[center]
    for k in range(core.clock.decided[0]):
        job = core.decided[k]
        what = core.live.state[job]
        _note_stop(f, now, center, job)
        if what == RUNNING:
            if f.places.started[job] >= 0:
                continue  # it was stopped, and started again, in this instant: it is here twice
            _note_start(f, now, center, job)
        elif what in (PENDING, PREEMPTED, NODE_FAIL):
            continue  # told when it was stopped
        # a job that was sent everywhere is over only when it is over everywhere
        if what in (RUNNING, KILLED) or f.places.where[job] == HOME or f.rules.placement != PLACE_REDUNDANT:
            _tell(f, job, what)


@kernel
def _tell(f: Federation, job: int, what: int) -> None:
    """Add a decision that the driver carries out."""
    k = f.clock.decided[0]
    f.decided[k] = job
    f.what[k] = what
    f.clock.decided[0] = k + 1


@kernel
def _note_start(f: Federation, now: int, center: int, job: int) -> None:
    f.places.started[job] = now
    f.seen.owed[_seen_of(f, center, job)] -= _area(f, center, job)
    if f.centers.managed[center] == 0:
        _charge_start(f, now, center, job)
    if f.rules.placement == PLACE_BY_SCORE:
        _learn(f, now, center, job)
    if f.places.where[job] == HOME:
        return
    if f.rules.placement == PLACE_REDUNDANT:
        f.places.center[job] = center
        if f.broker.rules.quotas == 1 and f.centers.managed[center] == 0:
            _take_quota(f, center, job, f.seen.flavor[_seen_of(f, center, job)])
        for other in range(f.centers.wake.size):
            if f.cores[other].live.state[job] == PENDING:
                _take_back(f, now, other, job)
        return
    f.centers.waiting[center] -= 1
    if f.centers.poll[center] == 0:
        f.clock.stale[0] = 1


@kernel
def _learn(f: Federation, now: int, center: int, job: int) -> None:
    """Compare the wait of a job at its center with what was foreseen."""
    core = f.cores[center]
    v = _seen_of(f, center, job)
    kind = placement.job_class(core.jobs.procs[job], f.seen.procs[v], core.jobs.limit[job])
    since = core.jobs.submit[job] if f.places.where[job] == HOME else f.places.bound[job]
    centers = f.centers
    centers.waited[center, kind] += (now - since) / 1000.0 - centers.waited[center, kind] * MEMORY
    centers.foreseen[center, kind] += f.places.foreseen[job] / 1000.0 - centers.foreseen[center, kind] * MEMORY


@kernel
def _take_quota(f: Federation, center: int, job: int, flavor: int) -> None:
    """Let a bound job have its quota; what it does at an autonomous center is not the broker's to say, so there it waits no longer."""
    b = f.broker
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
def _charge_until(f: Federation, now: int, center: int, job: int) -> None:
    """Charge the federation's accounts no longer for a job that an autonomous center ran."""
    b = f.broker
    billing = b.jobs.billing[job] * f.centers.exchange[center] // 1000
    lifecycle.charge_end(b, now, job, billing, f.places.started[job])


@kernel
def _settle(f: Federation, now: int, job: int) -> None:
    """Settle limits and quotas of the broker for a job that is over at an autonomous center."""
    b = f.broker
    if b.rules.limited == 1 and f.places.where[job] != HOME:
        limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)
    if b.rules.quotas == 1:
        cohort.release(b.quotas, b.jobs, job)
    if b.rules.budgets == 1:
        budget.on_end(b.budgets, b.jobs, job, now)


@kernel
def _look(f: Federation, now: int) -> None:
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
def _refresh_managed(f: Federation) -> None:
    for c in range(f.centers.changed.size):
        if f.centers.changed[c] == 1 and f.centers.poll[c] == 0:
            _see(f, c)


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
def _place_pending(f: Federation, now: int) -> None:
    """Bind the jobs of the broker's queue, in its order, whose best target has room."""
    b = f.broker
    if f.clock.stale[0] == 0 or b.clock.pending[0] == 0 or not _room_anywhere(f):
        return
    f.clock.stale[0] = 0
    _refresh_managed(f)
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
            seen += 1
            continue
        if f.rules.placement == PLACE_REDUNDANT:
            _send_everywhere(f, now, job)
            seen += b.live.state[job] == PENDING
            continue
        target = placement.choose(f, now, job)
        if target < 0 and (placement.waits_for_quota(f, job) or placement.waits_for_reach(f)):
            seen += 1
            continue
        if target < 0:
            lifecycle.leave(b)
            lifecycle.decide(b, now, job, REJECTED)
            continue
        if not _has_room(f, f.targets.center[target]):
            seen += 1
            continue
        _leave_broker(f, now, job)
        _send(f, now, job, target)
        if not _room_anywhere(f):
            break
    queue.sweep_if_worn(q, b.live.state)
    b.clock.stale[0] = 0
    b.clock.arrived[0] = 0
    b.clock.happened[0] = 0


@kernel
def _leave_broker(f: Federation, now: int, job: int) -> None:
    lifecycle.leave(f.broker)
    f.broker.live.state[job] = BOUND
    f.broker.live.start[job] = now


@kernel
def _suit(f: Federation, job: int, target: int) -> None:
    """Make the rows of a center's tables fit a job that comes to it."""
    center = f.targets.center[target]
    core = f.cores[center]
    core.jobs.pool[job] = f.targets.pool[target]
    if core.jobs.partition.size > 0:
        core.jobs.partition[job] = f.targets.partition[target]
    core.jobs.limit[job] = placement.scaled(f, job, center, f.places.limit[job])
    if f.centers.managed[center] == 1 and core.jobs.billing.size > 0:
        core.jobs.billing[job] = f.broker.jobs.billing[job] * f.centers.exchange[center] // 1000


@kernel
def _send(f: Federation, now: int, job: int, target: int) -> None:
    """Bind a job to a target; what `placement.choose` found is still in the scratch columns."""
    center = f.targets.center[target]
    b = f.broker
    _suit(f, job, target)
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
    area = _area(f, center, job)
    v = f.targets.seen[target]
    f.seen.sent[v] += area
    f.seen.on_way[v] += area
    f.watch[f.clock.watched[0]] = job
    f.clock.watched[0] += 1
    if b.rules.quotas == 1:
        _take_quota(f, center, job, placement.flavor(f, target))
    if f.centers.managed[center] == 0 and b.rules.limited == 1:
        limit_usage.on_start(
            b.limits, b.counters, b.jobs, job, now
        )  # what it does from now on is not the broker's to say
    _write_log(f, now, job, target)
    dataset = f.places.dataset[job]
    if dataset >= 0 and f.data_ms[dataset, center] > 0 and f.data_due[dataset, center] == NEVER:
        f.data_due[dataset, center] = now + f.data_ms[dataset, center]
    if f.centers.latency[center] == 0 and (dataset < 0 or f.data_ms[dataset, center] == 0):
        _arrive(f, now, job)
    else:
        _tell(f, job, BOUND)


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
def _send_everywhere(f: Federation, now: int, job: int) -> None:
    """Submit a job to the best target of every center that may have it and holds its data; the first to start it keeps it."""
    placement.choose(f, now, job)
    sent = 0
    dataset = f.places.dataset[job]
    for c in range(f.centers.wake.size):
        if dataset >= 0 and f.data_ms[dataset, c] > 0:
            continue
        best = -1
        for t in range(f.reason.size):
            if f.targets.center[t] == c and f.reason[t] == ALLOWED and (best < 0 or f.score[t] < f.score[best]):
                best = t
        if best < 0:
            continue
        _suit(f, job, best)
        core = f.cores[c]
        _touch(f, now, c)
        if f.centers.managed[c] == 1:
            step.join(core, job)
        else:
            core.jobs.submit[job] = now
            step.apply(core, now, SUBMIT, job)
        if core.live.state[job] == PENDING:
            f.seen.owed[_seen_of(f, c, job)] += _area(f, c, job)
            sent += 1
    if sent == 0 and (placement.waits_for_quota(f, job) or placement.waits_for_reach(f)):
        return
    if sent == 0:
        lifecycle.leave(f.broker)
        lifecycle.decide(f.broker, now, job, REJECTED)
        return
    f.places.where[job] = ARRIVED
    _leave_broker(f, now, job)
    digest.record(f.digest, now, job, BOUND)


@kernel
def _take_back(f: Federation, now: int, center: int, job: int) -> None:
    """Withdraw a pending job from a center."""
    core = f.cores[center]
    _touch(f, now, center)
    f.seen.owed[_seen_of(f, center, job)] -= _area(f, center, job)
    if f.centers.managed[center] == 0 and core.rules.limited == 1:
        limit_usage.on_cancel_pending(core.limits, core.counters, core.jobs, job)
    if f.centers.managed[center] == 0 and core.rules.quotas == 1:
        cohort.leave(core.quotas, core.jobs, job)
    step.withdraw(core, job)
    digest.record(f.digest, now, job, WITHDRAWN)


@kernel
def _reconsider(f: Federation, now: int) -> None:
    """Place anew the jobs that have waited longer than predicted, if another target is better by the hysteresis."""
    _refresh_managed(f)
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
            if better:
                f.centers.waiting[center] -= 1
                if f.broker.rules.quotas == 1:
                    cohort.release(f.broker.quotas, f.broker.jobs, job)
                    if f.centers.managed[center] == 0:
                        cohort.enter(f.broker.quotas, f.broker.jobs, job)
                if f.centers.managed[center] == 0 and f.broker.rules.limited == 1:
                    b = f.broker  # as if it had never been counted as running
                    limit_usage.on_end(b.limits, b.counters, b.jobs, job, now, b.rules.second_factor)
                    limit_usage.on_submit(b.limits, b.counters, b.jobs, job)
                _take_back(f, now, center, job)
                # _send appends to the list that is walked: it is put where the job itself would have stayed
                f.clock.watched[0] = kept
                _send(f, now, job, best)
                kept = f.clock.watched[0]
                patience = min(patience, f.places.patience[job])
                continue
            _be_patient(f, job, max(now - f.places.bound[job], f.rules.replace_min))
        f.watch[kept] = job
        kept += 1
        patience = min(patience, f.places.patience[job])
    f.clock.watched[0] = kept
    f.clock.patience[0] = patience


@kernel
def step_all(f: Federation, now: int, events: Ints, subjects: Ints, n_events: int) -> int:
    """Apply the events of one instant, in the order given, and decide once; as `apportion.core.step.step`.

    Returns
    -------
    int
        Number of decisions that the driver carries out; they are ``f.decided[:n]`` with ``f.what[:n]``.
    """
    begin(f, now)
    for i in range(n_events):
        apply(f, now, events[i], subjects[i])
    decide(f, now)
    return f.clock.decided[0]
