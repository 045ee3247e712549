"""The SimPy driver of a federation: the same world as the compiled loop's, as processes and events that can be added to."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from apportion.core.checkpoint import duration
from apportion.core.codes import (
    CANCELLED,
    END,
    KILLED,
    NODE_FAIL,
    PREEMPTED,
    REJECTED,
    REQUEUED,
    RUNNING,
    SUBMIT,
    TIMER,
)
from apportion.core.federation import step_all
from apportion.core.federation_tables import ARRIVE, BOUND, DATA, FETCH
from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.sim.federation.network import bring_data, complete, fetch
from apportion.sim.releases import follow
from apportion.sim.transfers import next_done

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation
    from apportion.sim.federation.compiled import FederationWorld

HAPPENS = 1  # SimPy's NORMAL
DECIDE = 2  # after all that happens


class SimulatedFederation:
    """Simulated centers, and the network between them, around one broker.

    Parameters
    ----------
    env : simpy.Environment
        Its time is int ms since the epoch.
    federation : Federation
    world : FederationWorld
        What will happen; ``world.end`` and ``world.traffic`` are filled in.
    """

    def __init__(self, env: simpy.Environment, federation: Federation, world: FederationWorld) -> None:
        self.env = env
        self.federation = federation
        self.world = world
        self.instants = 0
        self._core = handle(federation)
        self._traffic = handle(world.traffic)
        self._net = handle(world.traffic.net)
        self._releases: Any = handle(world.releases) if world.releases.n_jobs else None
        self._has_data = len(world.traffic.size) > 0
        self._run_ms = world.run.tolist()
        self._checkpoints: list[Any] = [
            handle(core.checkpoints) if len(core.checkpoints.saved) else None for core in federation.cores
        ]
        self._due = [-1] * len(self._run_ms)
        self._speed = federation.centers.speed.tolist()
        self._latency = federation.centers.latency.tolist()
        self._events: list[tuple[int, int]] = []
        self._deciding = False
        self._wake = NEVER
        self._sent = NEVER
        room = 2 * len(world.run) + 2 * len(world.event_time) + 2 * len(world.traffic.end) + 16
        self._codes = np.zeros(room, np.int64)
        self._subjects = np.zeros(room, np.int64)
        env.process(self._timetable(world.event_time.tolist(), world.event_code.tolist(), world.event_subject.tolist()))

    def _timetable(self, times: list[int], codes: list[int], subjects: list[int]) -> Generator[Any, Any, None]:
        """Let what is known to happen happen, all of one instant together."""
        env, n = self.env, len(times)
        k = 0
        while k < n:
            time = times[k]
            if time > env.now:
                yield env.timeout(time - env.now)
            while k < n and times[k] == time:
                self._happens(codes[k], subjects[k])
                k += 1

    def _happens(self, code: int, subject: int) -> None:
        """Note an event of this instant and see to it that the broker is asked."""
        self._events.append((code, subject))
        if not self._deciding:
            self._deciding = True
            self._at(int(self.env.now), DECIDE, self._decide)

    def _at(self, time: int, priority: int, callback: Any, value: Any = None) -> None:
        event = simpy.Event(self.env)
        event._ok = True  # noqa: SLF001  (as simpy.Timeout does: an event that is triggered from the start)
        event._value = value  # noqa: SLF001
        event.callbacks.append(callback)
        self.env.schedule(event, priority, time - self.env.now)  # type: ignore[arg-type]  # any int will do

    def _job_ends(self, event: simpy.Event) -> None:
        job = int(event.value or 0)
        if self.world.end[job] < 0 and self._due[job] == self.env.now:  # else it was stopped before its time
            self.world.end[job] = self.env.now
            self._happens(END, job)
            self._let_follow(job)

    def _let_follow(self, job: int) -> None:
        """Let come what waited for a job that is over."""
        if self._releases is None:
            return
        table, now = self.world.releases, int(self.env.now)
        for follower in table.known[: follow(self._releases, now, job)].tolist():
            self._at(int(table.time[follower]), HAPPENS, self._job_is_released, follower)

    def _job_is_released(self, event: simpy.Event) -> None:
        self._happens(SUBMIT, int(event.value or 0))

    def _job_arrives(self, event: simpy.Event) -> None:
        self._happens(ARRIVE, int(event.value or 0))

    def _timer(self, _event: simpy.Event) -> None:
        if self._wake == self.env.now and not self._deciding:
            self._happens(TIMER, 0)

    def _run_time(self, job: int) -> int:
        """Run time of a job at the center where it is."""
        places = self.federation.places
        home, here = self._speed[places.home[job]], self._speed[places.center[job]]
        ms: int = self._run_ms[job]
        ms = ms if home == here else max(-(-ms * home // here), 1)
        checkpoints = self._checkpoints[places.center[job]]
        return ms if checkpoints is None else int(duration(checkpoints, job, ms))

    def _sets_out(self, job: int) -> None:
        """A bound job reaches its center after the latency, but not before its data."""
        now = int(self.env.now)
        if not self._has_data or bring_data(self._traffic, self._core, now, job):
            self._at(now + self._latency[self.federation.places.center[job]], HAPPENS, self._job_arrives, job)
        self._mind_the_network()

    def _mind_the_network(self) -> None:
        """See to it that the next change on the links is noticed; one that has been overtaken does no harm."""
        if self._has_data:
            sent = int(next_done(self._net))
            if sent < NEVER and sent != self._sent:
                self._at(sent, HAPPENS, self._data_move)
            self._sent = sent

    def _data_move(self, _event: simpy.Event) -> None:
        traffic, now = self.world.traffic, int(self.env.now)
        for copy in traffic.net.due[: complete(self._traffic, now)].tolist():
            self._happens(DATA, copy)
            job = int(traffic.first[copy])
            while job >= 0:
                self._at(now + self._latency[self.federation.places.center[job]], HAPPENS, self._job_arrives, job)
                job = int(traffic.after[job])
        self._mind_the_network()

    def _decide(self, _event: simpy.Event) -> None:
        """Hand the events of this instant to the broker, in order, and carry out what it decides."""
        self._deciding = False
        events = self._events
        if len(events) > 1:
            events.sort()
        for i, (code, subject) in enumerate(events):
            self._codes[i] = code
            self._subjects[i] = subject
        now = int(self.env.now)
        n_decided = step_all(self._core, now, self._codes, self._subjects, len(events))
        events.clear()
        self.instants += 1
        f = self.federation
        if n_decided:
            for job, what in zip(f.decided[:n_decided].tolist(), f.what[:n_decided].tolist(), strict=True):
                if what in (RUNNING, KILLED):
                    self._due[job] = now + self._run_time(job) if what == RUNNING else now
                    self._at(self._due[job], HAPPENS, self._job_ends, job)
                elif what == REQUEUED:
                    self._due[job] = -1
                elif what == BOUND:
                    self._sets_out(job)
                elif what == FETCH:  # it is no job, but a copy
                    fetch(self._traffic, now, job)
                    self._mind_the_network()
                elif what in (REJECTED, CANCELLED, PREEMPTED, NODE_FAIL):
                    if what in (PREEMPTED, NODE_FAIL):
                        self.world.end[job] = now
                    self._let_follow(job)
        wake = int(f.clock.wake[0])
        if wake < NEVER and wake != self._wake:
            self._at(max(wake, now), HAPPENS, self._timer)
        self._wake = wake
