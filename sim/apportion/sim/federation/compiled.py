"""The compiled driver of a federation: the loop of `apportion.sim.compiled` around the kernels of `apportion.core.federation`."""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.codes import CANCEL, CAPACITY, END, KILLED, RUNNING, SUBMIT
from apportion.core.federation import apply, begin, decide
from apportion.core.federation_tables import ARRIVE, BOUND, Federation
from apportion.core.jit import kernel, table
from apportion.core.placement import scaled
from apportion.core.tables import NEVER, Ints
from apportion.sim import heap


@table
class FederationWorld(NamedTuple):
    """What happens, as the core may not know it in advance.

    ``run`` : ms each job takes at home. ``end`` : ms, -1 before. ``cancel_time``, ``cancel_job``, ``capacity_time``, ``capacity_seen`` : by time.
    ``end_time``, ``end_job``; ``arrive_time``, ``arrive_job`` : heaps of ends and of arrivals at centers. ``at`` : int64[6] cursors into
    submissions, cancellations and capacity changes, ends in the heap, instants so far, arrivals in the heap.
    """

    run: Ints
    end: Ints
    cancel_time: Ints
    cancel_job: Ints
    capacity_time: Ints
    capacity_seen: Ints
    end_time: Ints
    end_job: Ints
    arrive_time: Ints
    arrive_job: Ints
    at: Ints


@kernel
def travel_ms(f: Federation, job: int) -> int:
    """Time from the moment a job is bound until it can wait at its center."""
    center = f.places.center[job]
    dataset = f.places.dataset[job]
    return int(f.centers.latency[center] + (f.data_ms[dataset, center] if dataset >= 0 else 0))


@kernel
def replay(f: Federation, w: FederationWorld, n_instants: int) -> bool:
    """Play at most ``n_instants`` instants; True when nothing is left to happen."""
    submit = f.broker.jobs.submit
    n_jobs = submit.size
    n_cancel = w.cancel_time.size
    n_capacity = w.capacity_time.size
    arrival = w.at[0]
    cancel = w.at[1]
    capacity = w.at[2]
    n_ends = w.at[3]
    n_arrive = w.at[5]
    done = False
    for _ in range(n_instants):
        now = f.clock.wake[0]
        if arrival < n_jobs:
            now = min(now, submit[arrival])
        if n_ends > 0:
            now = min(now, w.end_time[0])
        if n_arrive > 0:
            now = min(now, w.arrive_time[0])
        if cancel < n_cancel:
            now = min(now, w.cancel_time[cancel])
        if capacity < n_capacity:
            now = min(now, w.capacity_time[capacity])
        if now >= NEVER:
            done = True
            break
        w.at[4] += 1
        begin(f, now)
        while n_ends > 0 and w.end_time[0] == now:
            job = w.end_job[0]
            heap.pop(w.end_time, w.end_job, n_ends)
            n_ends -= 1
            if w.end[job] < 0:  # else it was killed before its time
                w.end[job] = now
                apply(f, now, END, job)
        while capacity < n_capacity and w.capacity_time[capacity] == now:
            apply(f, now, CAPACITY, w.capacity_seen[capacity])
            capacity += 1
        while cancel < n_cancel and w.cancel_time[cancel] == now:
            apply(f, now, CANCEL, w.cancel_job[cancel])
            cancel += 1
        while arrival < n_jobs and submit[arrival] == now:
            apply(f, now, SUBMIT, arrival)
            arrival += 1
        while n_arrive > 0 and w.arrive_time[0] == now:
            job = w.arrive_job[0]
            heap.pop(w.arrive_time, w.arrive_job, n_arrive)
            n_arrive -= 1
            apply(f, now, ARRIVE, job)
        decide(f, now)
        for k in range(f.clock.decided[0]):
            job = f.decided[k]
            what = f.what[k]
            if what == RUNNING:
                heap.push(w.end_time, w.end_job, n_ends, now + scaled(f, job, f.places.center[job], w.run[job]), job)
                n_ends += 1
            elif what == KILLED:
                heap.push(w.end_time, w.end_job, n_ends, now, job)
                n_ends += 1
            elif what == BOUND:
                heap.push(w.arrive_time, w.arrive_job, n_arrive, now + travel_ms(f, job), job)
                n_arrive += 1
    w.at[0] = arrival
    w.at[1] = cancel
    w.at[2] = capacity
    w.at[3] = n_ends
    w.at[5] = n_arrive
    return done
