"""One place decides: apply the events of an instant, then decide once.

``step`` is pure: what it reads and writes is the `State` it is given. Simulator, daemon and journal replay call the same two
kernels, `apply` and `decide`, in the same order.
"""

from __future__ import annotations

from apportion.core import easy, lifecycle, queue
from apportion.core.codes import (
    BACKFILL_EASY_SJBF,
    CANCEL,
    CANCELLED,
    CAPACITY,
    END,
    ORDER_ARRIVAL,
    PENDING,
    REJECTED,
    SUBMIT,
)
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, Ints, State


@kernel
def apply(s: State, now: int, event: int, subject: int) -> None:
    """Take note of one event.

    Parameters
    ----------
    s : State
    now : int
        Time of the instant, ms.
    event : int
        END, CAPACITY, CANCEL, SUBMIT or TIMER.
    subject : int
        Job index; for CAPACITY the pool; ignored for TIMER.
    """
    if s.clock.now[0] != now:
        s.clock.now[0] = now
        s.clock.arrived[0] = 0
    if event == SUBMIT:
        _submit(s, now, subject)
    elif event == END:
        lifecycle.end(s, subject)
        s.clock.stale[0] = 1
    elif event == CANCEL:
        if s.live.state[subject] == PENDING:
            _cancel(s, now, subject)
    elif event == CAPACITY:
        s.clock.stale[0] = 1


@kernel
def _submit(s: State, now: int, job: int) -> None:
    pool = s.jobs.pool[job]
    if s.jobs.procs[job] > s.pools.procs[pool]:
        lifecycle.decide(s, now, job, REJECTED)
        return
    s.live.state[job] = PENDING
    s.clock.pending[0] += 1
    s.clock.arrived[0] += 1
    s.clock.last_arrived[0] = job
    s.pools.min_procs[pool] = min(s.pools.min_procs[pool], s.jobs.procs[job])
    if s.rules.order == ORDER_ARRIVAL:
        queue.append(s.queue, s.live.state, job)
    else:
        queue.insert(s.queue, s.live.state, s.live.score, s.jobs.submit, job)
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        queue.insert(s.short_queue, s.live.state, s.jobs.limit, s.jobs.submit, job)


@kernel
def _cancel(s: State, now: int, job: int) -> None:
    s.clock.pending[0] -= 1
    s.queue.dead[0] += 1
    s.short_queue.dead[0] += 1
    lifecycle.decide(s, now, job, CANCELLED)
    s.clock.stale[0] = 1


@kernel
def decide(s: State, now: int) -> None:
    """Decide what starts at this instant; the decisions are appended to ``s.decided``."""
    if s.clock.pending[0] > 0:
        if s.clock.stale[0] == 0 and s.clock.arrived[0] == 1:
            if not easy.arrival_pass(s, now, s.clock.last_arrived[0]):
                easy.full_pass(s, now)
        elif s.clock.stale[0] == 1 or s.clock.arrived[0] > 0:
            easy.full_pass(s, now)
        queue.sweep_if_worn(s.queue, s.live.state)
        if s.rules.backfill == BACKFILL_EASY_SJBF:
            queue.sweep_if_worn(s.short_queue, s.live.state)
    s.clock.stale[0] = 0
    s.clock.arrived[0] = 0
    s.clock.wake[0] = NEVER


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
    s.clock.decided[0] = 0
    for i in range(n_events):
        apply(s, now, events[i], subjects[i])
    decide(s, now)
    return s.clock.decided[0]
