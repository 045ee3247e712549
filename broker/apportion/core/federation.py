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

from apportion.core import budget, cohort_lease, placement, step
from apportion.core import federation_binding as binding
from apportion.core import federation_books as books
from apportion.core import federation_everywhere as everywhere
from apportion.core.codes import (
    CANCEL,
    CAPACITY,
    END,
    KILLED,
    LOSS,
    NODE_FAIL,
    PENDING,
    PREEMPTED,
    RETURN,
    RUNNING,
    SUBMIT,
)
from apportion.core.federation_tables import (
    ARRIVE,
    ARRIVED,
    DATA,
    HOME,
    PLACE_BY_SCORE,
    PLACE_REDUNDANT,
    QUEUED,
    REACH,
    SENT,
    STUCK,
)
from apportion.core.jit import kernel
from apportion.core.preempt_tables import WAKE

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation
    from apportion.core.tables import Ints

MEMORY = 1.0 / 64.0  # weight of the newest job in what is remembered


@kernel
def begin(f: Federation, now: int) -> None:
    """Open an instant; centers whose core wanted to be called are."""
    f.clock.decided[0] = 0
    f.clock.now[0] = now
    turned = f.broker.rules.quotas == 1 and cohort_lease.next_change(f.broker.quotas) <= now
    turned |= f.broker.rules.turns == 1 and f.broker.turns.next_sample[0] <= now
    turned |= f.broker.rules.budgets == 1 and f.broker.budgets.turn[0] <= now
    step.begin(f.broker, now)
    for c in range(f.centers.wake.size):
        if f.centers.wake[c] <= now:
            books.touch(f, now, c)
    if turned:
        books.look_again(f, now)


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
        _complete(f, now, subject)
    elif event == ARRIVE:
        binding.arrive(f, now, subject)
    elif event == CANCEL:
        _cancel(f, now, subject)
    elif event in (LOSS, RETURN):
        _fail(f, now, event, subject)
    elif event == CAPACITY:
        center = f.seen.center[subject]
        books.touch(f, now, center)
        step.apply(f.cores[center], now, CAPACITY, f.seen.pool[subject])
    elif event == REACH:
        _reach(f, now, subject)


@kernel
def _submit(f: Federation, now: int, job: int) -> None:
    f.broker.jobs.submit[job] = now  # what follows other jobs comes when they let it
    if f.places.where[job] == HOME:
        center = f.places.home[job]
        books.touch(f, now, center)
        f.cores[center].jobs.submit[job] = now
        binding.hand_over(f, now, center, job)
        if f.rules.placement == PLACE_BY_SCORE:
            procs = f.cores[center].jobs.procs[job]
            f.places.foreseen[job] = placement.work_ahead(f, now, books.seen_of(f, center, job), procs)
        return
    step.apply(f.broker, now, SUBMIT, job)
    f.clock.stale[0] = 1


@kernel
def _fail(f: Federation, now: int, event: int, subject: int) -> None:
    """Processors of a center fail, with the jobs on them, or are back."""
    center = f.outage_center[subject]
    core = f.cores[center]
    books.touch(f, now, center)
    first = core.clock.decided[0]
    step.apply(core, now, event, f.outage_row[subject])
    for k in range(first, core.clock.decided[0]):
        books.note_stop(f, now, center, core.decided[k])


@kernel
def _reach(f: Federation, now: int, center: int) -> None:
    """A center is cut off; or it is back, and lets in who stands at its door."""
    f.centers.reachable[center] = 1 - f.centers.reachable[center]
    f.clock.stale[0] = 1
    if f.centers.reachable[center] == 0:
        return
    if f.rules.placement == PLACE_REDUNDANT:
        everywhere.follow_data(f, now, center)
        return
    for i in range(f.clock.watched[0]):
        job = f.watch[i]
        if f.places.where[job] == STUCK and f.places.center[job] == center:
            f.places.where[job] = SENT
            binding.arrive(f, now, job)


@kernel
def _complete(f: Federation, now: int, subject: int) -> None:
    """A center holds all of a dataset from now on."""
    n_centers = f.centers.wake.size
    f.data_ms[subject // n_centers, subject % n_centers] = 0
    f.data_due[subject // n_centers, subject % n_centers] = now
    f.clock.stale[0] = 1
    if f.rules.placement == PLACE_REDUNDANT:
        everywhere.follow_data(f, now, subject % n_centers)


@kernel
def _end(f: Federation, now: int, job: int) -> None:
    center = f.places.center[job]
    core = f.cores[center]
    books.touch(f, now, center)
    ran = now - f.places.started[job]
    share = min(ran / core.jobs.limit[job], 1.0)
    home = f.places.home[job]
    f.centers.accuracy[center] += (share - f.centers.accuracy[center]) * MEMORY
    f.centers.habit[home] += (share - f.centers.habit[home]) * MEMORY
    step.apply(core, now, END, job)
    if f.centers.managed[center] == 0:
        if f.broker.rules.charged == 1:
            books.charge_until(f, now, center, job)
        books.settle(f, now, job)
    f.places.started[job] = -1
    books.look_again(f, now)


@kernel
def _cancel(f: Federation, now: int, job: int) -> None:
    where = f.places.where[job]
    if where == QUEUED:
        step.apply(f.broker, now, CANCEL, job)
    elif where != HOME and f.rules.placement == PLACE_REDUNDANT:
        everywhere.cancel(f, now, job)
    elif where in (SENT, STUCK):
        center = f.places.center[job]
        f.places.where[job] = ARRIVED
        f.seen.on_way[books.seen_of(f, center, job)] -= books.area(f, center, job)
        f.centers.waiting[center] -= 1
        books.forget(f, now, center, job)
        books.touch(f, now, center)
        step.apply(f.cores[center], now, CANCEL, job)
    elif where == HOME and f.places.center[job] < 0:  # at the very instant of its submission, or before
        center = f.places.home[job]
        books.touch(f, now, center)
        f.places.center[job] = center
        step.apply(f.cores[center], now, CANCEL, job)
    else:
        for center in range(f.centers.wake.size):
            if f.cores[center].live.state[job] == PENDING:
                books.touch(f, now, center)
                f.seen.owed[books.seen_of(f, center, job)] -= books.area(f, center, job)
                if where != HOME:
                    f.centers.waiting[center] -= 1
                    if f.broker.rules.budgets == 1:
                        budget.free(f.broker.budgets, f.broker.jobs, job)
                    if f.centers.managed[center] == 0:
                        books.forget(f, now, center, job)
                f.places.center[job] = center
                step.apply(f.cores[center], now, CANCEL, job)
    books.look_again(f, now)


@kernel
def decide(f: Federation, now: int) -> None:
    """Decide what is bound and what starts at this instant.

    A job that is bound may start at once, and what starts makes room for the next to be bound: broker and centers take turns until
    nothing more happens.
    """
    while True:
        moved_up = f.broker.quotas.moved_up[0]
        _decide_centers(f, now)
        books.look(f, now)
        if f.clock.patience[0] <= now:
            binding.reconsider(f, now)
        binding.place_pending(f, now)
        if (
            f.broker.quotas.moved_up[0] != moved_up
        ):  # who is next in line of an account may be elsewhere, or have been passed over
            books.look_again(f, now)
        elif not _anything_touched(f):
            break
    for k in range(f.broker.clock.decided[0]):
        job = f.broker.decided[k]
        books.tell(f, job, f.broker.live.state[job])
    wake = f.clock.patience[0]
    for c in range(f.centers.wake.size):
        wake = min(wake, f.centers.wake[c])
        if f.centers.changed[c] == 1 and f.centers.poll[c] > 0:
            wake = min(wake, f.centers.next_look[c])
    if f.broker.rules.quotas == 1 and f.broker.clock.pending[0] > 0:
        wake = min(wake, cohort_lease.next_change(f.broker.quotas))
    if f.broker.rules.budgets == 1 and f.broker.clock.pending[0] > 0:
        wake = min(wake, budget.next_change(f.broker.budgets))
    if f.broker.rules.turns == 1 and f.broker.clock.pending[0] > 0 and _anything_runs(f):
        wake = min(wake, f.broker.turns.next_sample[0])
    if f.broker.rules.reclaims == 1 and f.broker.clock.pending[0] > 0 and f.broker.preemption.clock[WAKE] > now:
        wake = min(wake, f.broker.preemption.clock[WAKE])
    f.clock.wake[0] = wake


@kernel
def _anything_runs(f: Federation) -> bool:
    for c in range(f.centers.wake.size):
        if step.anything_runs(f.cores[c]):
            return True
    return False


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
        books.note_stop(f, now, center, job)
        if what == RUNNING:
            if f.places.started[job] >= 0:
                continue  # it was stopped, and started again, in this instant: it is here twice
            books.note_start(f, now, center, job)
        elif what in (PENDING, PREEMPTED, NODE_FAIL):
            continue  # told when it was stopped
        # a job that was sent everywhere is over only when it is over everywhere
        if what in (RUNNING, KILLED) or f.places.where[job] == HOME or f.rules.placement != PLACE_REDUNDANT:
            books.tell(f, job, what)


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
