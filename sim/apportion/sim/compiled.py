"""The compiled driver: a replay loop around the core's own kernels.

It plays the world of a recorded workload: jobs arrive, end when their run time is over (or at their limit, which the workload has
already settled), are cancelled, capacity changes; what follows other jobs comes when they have ended. Events of one instant are
gathered in the order of `apportion.core.codes`, applied, and
the core decides once; a job of zero length opens a further round of the same instant.
"""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.checkpoint import duration
from apportion.core.codes import (
    CANCEL,
    CAPACITY,
    END,
    KILLED,
    NODE_FAIL,
    PENDING,
    PREEMPTED,
    RUNNING,
    SUBMIT,
)
from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.step import apply, begin, decide
from apportion.core.tables import NEVER, Ints, State
from apportion.sim import heap
from apportion.sim.releases import Releases, follow


@table
class World(NamedTuple):
    """What happens, as the core may not know it in advance.

    ``run`` : ms each job takes in one go and without checkpoints. ``end`` : ms, filled in as jobs end, -1 before.
    ``cancel_time``, ``cancel_job`` : cancellations by time. ``capacity_time``, ``capacity_pool`` : changes by time.
    ``failure_time``, ``failure_code``, ``failure_subject`` : FAIL, RETURN and LOSS, by time, code and subject.
    ``arrival_time``, ``arrival_job`` : jobs that follow no other, by time. ``releases`` : those that do.
    ``end_time``, ``end_job`` : heap of ends to come. ``at`` : int64[6] cursors into arrivals, cancellations and capacity changes,
    the number of ends in the heap, and of instants so far, and the cursor into failures.
    """

    run: Ints
    end: Ints
    arrival_time: Ints
    arrival_job: Ints
    cancel_time: Ints
    cancel_job: Ints
    capacity_time: Ints
    capacity_pool: Ints
    failure_time: Ints
    failure_code: Ints
    failure_subject: Ints
    end_time: Ints
    end_job: Ints
    releases: Releases
    at: Ints


@kernel
def _let_follow(r: Releases, now: int, job: int) -> None:
    """Put what may come now that a job is over into the heap of releases."""
    for k in range(follow(r, now, job)):
        heap.push(r.due_time, r.due_job, r.n_due[0], r.time[r.known[k]], r.known[k])
        r.n_due[0] += 1


@kernel
def _submit_in_order(s: State, w: World, now: int, arrival: int) -> int:
    """Submit what is released now, and before each all that arrive now with a lower index; return the cursor into arrivals."""
    r = w.releases
    while r.n_due[0] > 0 and r.due_time[0] == now:
        job = r.due_job[0]
        heap.pop(r.due_time, r.due_job, r.n_due[0])
        r.n_due[0] -= 1
        while arrival < w.arrival_time.size and w.arrival_time[arrival] == now and w.arrival_job[arrival] < job:
            apply(s, now, SUBMIT, w.arrival_job[arrival])
            arrival += 1
        s.jobs.submit[job] = now
        apply(s, now, SUBMIT, job)
    return arrival


@kernel
def _next_other(w: World) -> int:
    """When the next event is that is neither an arrival nor an end, ms."""
    time = NEVER
    if w.at[1] < w.cancel_time.size:
        time = min(time, w.cancel_time[w.at[1]])
    if w.at[2] < w.capacity_time.size:
        time = min(time, w.capacity_time[w.at[2]])
    if w.at[5] < w.failure_time.size:
        time = min(time, w.failure_time[w.at[5]])
    return time


@kernel
def _apply_others(s: State, w: World, now: int) -> None:
    """Apply all failures, changes of capacity and cancellations of this instant."""
    while w.at[5] < w.failure_time.size and w.failure_time[w.at[5]] == now:
        apply(s, now, w.failure_code[w.at[5]], w.failure_subject[w.at[5]])
        w.at[5] += 1
    while w.at[2] < w.capacity_time.size and w.capacity_time[w.at[2]] == now:
        apply(s, now, CAPACITY, w.capacity_pool[w.at[2]])
        w.at[2] += 1
    while w.at[1] < w.cancel_time.size and w.cancel_time[w.at[1]] == now:
        apply(s, now, CANCEL, w.cancel_job[w.at[1]])
        w.at[1] += 1


@kernel
def replay(s: State, w: World, n_instants: int) -> bool:
    """Play at most ``n_instants`` instants; True when nothing is left to happen."""
    n_arrival = w.arrival_time.size
    follows = w.releases.n_jobs > 0
    arrival = w.at[0]
    n_ends = w.at[3]
    other = _next_other(w)
    done = False
    for _ in range(n_instants):
        now = s.clock.wake[0]
        if arrival < n_arrival and w.arrival_time[arrival] < now:
            now = w.arrival_time[arrival]
        if follows and w.releases.n_due[0] > 0 and w.releases.due_time[0] < now:
            now = w.releases.due_time[0]
        if n_ends > 0 and w.end_time[0] < now:
            now = w.end_time[0]
        now = min(now, other)
        if now >= NEVER:
            done = True
            break
        w.at[4] += 1
        begin(s, now)
        while n_ends > 0 and w.end_time[0] == now:
            job = w.end_job[0]
            heap.pop(w.end_time, w.end_job, n_ends)
            n_ends -= 1
            if s.rules.metered == 0 or w.end[job] < 0:  # else it was killed before its time
                w.end[job] = now
                apply(s, now, END, job)
                if follows:
                    _let_follow(w.releases, now, job)
        if other == now:
            _apply_others(s, w, now)
            other = _next_other(w)
        if follows:
            arrival = _submit_in_order(s, w, now, arrival)
        while arrival < n_arrival and w.arrival_time[arrival] == now:
            apply(s, now, SUBMIT, w.arrival_job[arrival])
            arrival += 1
        decide(s, now)
        any_stopped = s.stops.count[0] > 0
        for k in range(s.clock.decided[0]):
            job = s.decided[k]
            what = s.live.state[job]
            if any_stopped and (s.live.restarts[job] > 0 or what in (NODE_FAIL, PREEMPTED)):
                # It has another end than before, or none.
                n_ends = heap.remove(w.end_time, w.end_job, n_ends, job)
            if what == RUNNING:
                heap.push(w.end_time, w.end_job, n_ends, now + duration(s.checkpoints, job, w.run[job]), job)
                n_ends += 1
            elif what == KILLED:
                heap.push(w.end_time, w.end_job, n_ends, now, job)
                n_ends += 1
            elif what != PENDING:
                if what in (NODE_FAIL, PREEMPTED):
                    w.end[job] = now
                if follows:
                    _let_follow(w.releases, now, job)
    w.at[0] = arrival
    w.at[3] = n_ends
    return done
