"""The compiled driver of a federation: the loop of `apportion.sim.compiled` around the kernels of `apportion.core.federation`."""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.checkpoint import duration
from apportion.core.codes import CANCELLED, END, KILLED, NODE_FAIL, PREEMPTED, REJECTED, REQUEUED, RUNNING, SUBMIT
from apportion.core.federation import apply, begin, decide
from apportion.core.federation_tables import ARRIVE, BOUND, DATA, FETCH, REACH, Federation
from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.placement import scaled
from apportion.core.tables import NEVER, Ints
from apportion.sim import heap
from apportion.sim.federation.network import Traffic, bring_data, complete, fetch
from apportion.sim.releases import Releases, follow
from apportion.sim.transfers import next_done


@table
class FederationWorld(NamedTuple):
    """What happens, as the core may not know it in advance.

    ``run`` : ms each job takes at home. ``end`` : ms, -1 before. ``event_time``, ``event_code``, ``event_subject`` : what is known to
    happen (failures, cancellations, changes of capacity, centers cut off or back, jobs that follow no other), by time, code and subject.
    ``end_time``, ``end_job``; ``arrive_time``, ``arrive_job`` : heaps of ends and of arrivals at centers. ``releases`` : jobs that follow
    others. ``traffic`` : datasets under way. ``at`` : int64[4] cursor into the events, ends in the heap, instants so far, arrivals in the heap.
    """

    run: Ints
    end: Ints
    event_time: Ints
    event_code: Ints
    event_subject: Ints
    end_time: Ints
    end_job: Ints
    arrive_time: Ints
    arrive_job: Ints
    releases: Releases
    traffic: Traffic
    at: Ints


@kernel
def _let_follow(r: Releases, now: int, job: int) -> None:
    """Put what may come now that a job is over into the heap of releases."""
    for k in range(follow(r, now, job)):
        heap.push(r.due_time, r.due_job, r.n_due[0], r.time[r.known[k]], r.known[k])
        r.n_due[0] += 1


@kernel
def _arrive_later(w: FederationWorld, time: int, job: int) -> None:
    heap.push(w.arrive_time, w.arrive_job, w.at[3], time, job)
    w.at[3] += 1


@kernel
def _next_instant(f: Federation, w: FederationWorld) -> int:
    """When something happens next, but for data on their way."""
    now = f.clock.wake[0]
    if w.at[0] < w.event_time.size:
        now = min(now, w.event_time[w.at[0]])
    if w.at[1] > 0:
        now = min(now, w.end_time[0])
    if w.at[3] > 0:
        now = min(now, w.arrive_time[0])
    if w.releases.n_jobs > 0 and w.releases.n_due[0] > 0:
        now = min(now, w.releases.due_time[0])
    return int(now)


@kernel
def _apply_ends(f: Federation, w: FederationWorld, now: int) -> None:
    while w.at[1] > 0 and w.end_time[0] == now:
        job = w.end_job[0]
        heap.pop(w.end_time, w.end_job, w.at[1])
        w.at[1] -= 1
        if w.end[job] < 0:  # else it was killed before its time
            w.end[job] = now
            apply(f, now, END, job)
            if w.releases.n_jobs > 0:
                _let_follow(w.releases, now, job)


@kernel
def _apply_known(f: Federation, w: FederationWorld, now: int, last_code: int) -> None:
    """Apply the events of the timetable with codes up to ``last_code``, and jobs that are released among those that come."""
    r = w.releases
    while w.at[0] < w.event_time.size and w.event_time[w.at[0]] == now and w.event_code[w.at[0]] <= last_code:
        code = w.event_code[w.at[0]]
        subject = w.event_subject[w.at[0]]
        if code == SUBMIT and r.n_jobs > 0 and r.n_due[0] > 0 and r.due_time[0] == now and r.due_job[0] < subject:
            _apply_release(f, r, now)
            continue
        apply(f, now, code, subject)
        w.at[0] += 1
    while last_code == SUBMIT and r.n_jobs > 0 and r.n_due[0] > 0 and r.due_time[0] == now:
        _apply_release(f, r, now)


@kernel
def _apply_release(f: Federation, r: Releases, now: int) -> None:
    job = r.due_job[0]
    heap.pop(r.due_time, r.due_job, r.n_due[0])
    r.n_due[0] -= 1
    apply(f, now, SUBMIT, job)


@kernel
def _apply_arrivals(f: Federation, w: FederationWorld, now: int, n_complete: int) -> None:
    """Data that are complete, then jobs that reach their centers."""
    t = w.traffic
    for k in range(n_complete):
        copy = t.net.due[k]
        apply(f, now, DATA, copy)
        job = t.first[copy]
        while job >= 0:
            _arrive_later(w, now + f.centers.latency[f.places.center[job]], job)
            job = t.after[job]
    while w.at[3] > 0 and w.arrive_time[0] == now:
        job = w.arrive_job[0]
        heap.pop(w.arrive_time, w.arrive_job, w.at[3])
        w.at[3] -= 1
        apply(f, now, ARRIVE, job)


@kernel
def _carry_out(f: Federation, w: FederationWorld, now: int) -> None:
    """Let what was decided happen."""
    for k in range(f.clock.decided[0]):
        job = f.decided[k]
        what = f.what[k]
        if what == FETCH:
            fetch(w.traffic, now, job)  # it is no job, but a copy
            continue
        if what in (REQUEUED, PREEMPTED, NODE_FAIL):
            w.at[1] = heap.remove(w.end_time, w.end_job, w.at[1], job)
        if what == RUNNING:
            center = f.places.center[job]
            ends = now + duration(f.cores[center].checkpoints, job, scaled(f, job, center, w.run[job]))
            heap.push(w.end_time, w.end_job, w.at[1], ends, job)
            w.at[1] += 1
        elif what == KILLED:
            heap.push(w.end_time, w.end_job, w.at[1], now, job)
            w.at[1] += 1
        elif what == BOUND:
            if bring_data(w.traffic, f, now, job):
                _arrive_later(w, now + f.centers.latency[f.places.center[job]], job)
        elif what in (REJECTED, CANCELLED, PREEMPTED, NODE_FAIL):
            if what in (PREEMPTED, NODE_FAIL):
                w.end[job] = now
            if w.releases.n_jobs > 0:
                _let_follow(w.releases, now, job)


@kernel
def replay(f: Federation, w: FederationWorld, n_instants: int) -> bool:
    """Play at most ``n_instants`` instants; True when nothing is left to happen."""
    for _ in range(n_instants):
        now = _next_instant(f, w)
        n_complete = 0
        sent = next_done(w.traffic.net)
        if sent <= now and sent < NEVER:
            n_complete = complete(w.traffic, sent)
            if n_complete == 0:
                continue
            now = sent
        if now >= NEVER:
            return True
        w.at[2] += 1
        begin(f, now)
        _apply_ends(f, w, now)
        _apply_known(f, w, now, SUBMIT)
        _apply_arrivals(f, w, now, n_complete)
        _apply_known(f, w, now, REACH)
        decide(f, now)
        _carry_out(f, w, now)
    return False
