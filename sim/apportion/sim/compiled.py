"""The compiled driver: a replay loop around the core's own kernels.

It plays the world of a recorded workload: jobs arrive, end when their run time is over (or at their limit, which the workload has
already settled), are cancelled, capacity changes. Events of one instant are gathered in the order of `apportion.core.codes`, applied, and
the core decides once; a job of zero length opens a further round of the same instant.
"""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.codes import CANCEL, CAPACITY, END, KILLED, RUNNING, SUBMIT
from apportion.core.jit import kernel, table
from apportion.core.step import apply, begin, decide
from apportion.core.tables import NEVER, Ints, State
from apportion.sim import heap


@table
class World(NamedTuple):
    """What happens, as the core may not know it in advance.

    ``run`` : ms each job takes once started. ``end`` : ms, filled in as jobs end, -1 before.
    ``cancel_time``, ``cancel_job`` : cancellations by time. ``capacity_time``, ``capacity_pool`` : changes by time.
    ``end_time``, ``end_job`` : heap of ends to come. ``at`` : int64[5] cursors into arrivals, cancellations and capacity changes,
    the number of ends in the heap, and of instants so far.
    """

    run: Ints
    end: Ints
    cancel_time: Ints
    cancel_job: Ints
    capacity_time: Ints
    capacity_pool: Ints
    end_time: Ints
    end_job: Ints
    at: Ints


@kernel
def replay(s: State, w: World, n_instants: int) -> bool:
    """Play at most ``n_instants`` instants; True when nothing is left to happen."""
    submit = s.jobs.submit
    n_jobs = submit.size
    n_cancel = w.cancel_time.size
    n_capacity = w.capacity_time.size
    arrival = w.at[0]
    cancel = w.at[1]
    capacity = w.at[2]
    n_ends = w.at[3]
    done = False
    for _ in range(n_instants):
        now = s.clock.wake[0]
        if arrival < n_jobs and submit[arrival] < now:
            now = submit[arrival]
        if n_ends > 0 and w.end_time[0] < now:
            now = w.end_time[0]
        if cancel < n_cancel and w.cancel_time[cancel] < now:
            now = w.cancel_time[cancel]
        if capacity < n_capacity and w.capacity_time[capacity] < now:
            now = w.capacity_time[capacity]
        if now >= NEVER:
            done = True
            break
        w.at[4] += 1
        begin(s, now)
        while n_ends > 0 and w.end_time[0] == now:
            job = w.end_job[0]
            heap.pop(w.end_time, w.end_job, n_ends)
            n_ends -= 1
            if w.end[job] < 0:  # else it was killed before its time
                w.end[job] = now
                apply(s, now, END, job)
        while capacity < n_capacity and w.capacity_time[capacity] == now:
            apply(s, now, CAPACITY, w.capacity_pool[capacity])
            capacity += 1
        while cancel < n_cancel and w.cancel_time[cancel] == now:
            apply(s, now, CANCEL, w.cancel_job[cancel])
            cancel += 1
        while arrival < n_jobs and submit[arrival] == now:
            apply(s, now, SUBMIT, arrival)
            arrival += 1
        decide(s, now)
        for k in range(s.clock.decided[0]):
            job = s.decided[k]
            if s.live.state[job] == RUNNING:
                heap.push(w.end_time, w.end_job, n_ends, now + w.run[job], job)
                n_ends += 1
            elif s.live.state[job] == KILLED:
                heap.push(w.end_time, w.end_job, n_ends, now, job)
                n_ends += 1
    w.at[0] = arrival
    w.at[1] = cancel
    w.at[2] = capacity
    w.at[3] = n_ends
    return done
