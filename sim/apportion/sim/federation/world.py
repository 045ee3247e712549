"""The SimPy driver of a federation: the same world as the compiled loop's, as processes and events that can be added to."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from apportion.core.codes import CANCEL, CAPACITY, END, KILLED, RUNNING, SUBMIT, TIMER
from apportion.core.federation import step_all
from apportion.core.federation_tables import ARRIVE, BOUND
from apportion.core.jit import handle
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation
    from apportion.sim.federation.compiled import FederationWorld

DECIDE = 2  # after SimPy's URGENT (0) and NORMAL (1)


class SimulatedFederation:
    """Simulated centers, and the network between them, around one broker.

    Parameters
    ----------
    env : simpy.Environment
        Its time is int ms since the epoch.
    federation : Federation
    world : FederationWorld
        What will happen; ``world.end`` is filled in.
    """

    def __init__(self, env: simpy.Environment, federation: Federation, world: FederationWorld) -> None:
        self.env = env
        self.federation = federation
        self.world = world
        self.instants = 0
        self._core = handle(federation)
        self._run_ms = world.run.tolist()
        self._speed = federation.centers.speed.tolist()
        self._latency = federation.centers.latency.tolist()
        self._events: list[tuple[int, int]] = []
        self._deciding = False
        self._wake = NEVER
        room = 2 * len(world.run) + 2 * len(world.capacity_time) + 16
        self._codes = np.zeros(room, np.int64)
        self._subjects = np.zeros(room, np.int64)
        submit = federation.broker.jobs.submit
        for times, subjects, code in (
            (submit, np.arange(len(submit)), SUBMIT),
            (world.cancel_time, world.cancel_job, CANCEL),
            (world.capacity_time, world.capacity_seen, CAPACITY),
        ):
            if len(times):
                env.process(self._timetable(times.tolist(), subjects.tolist(), code))

    def _timetable(self, times: list[int], subjects: list[int], code: int) -> Generator[Any, Any, None]:
        """Let what is known to happen happen, all of one instant together."""
        env, n = self.env, len(times)
        k = 0
        while k < n:
            time = times[k]
            if time > env.now:
                yield env.timeout(time - env.now)
            while k < n and times[k] == time:
                self._happens(code, subjects[k])
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
        if self.world.end[job] < 0:  # else it was killed before its time
            self.world.end[job] = self.env.now
            self._happens(END, job)

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
        return ms if home == here else max(-(-ms * home // here), 1)

    def _travel_time(self, job: int) -> int:
        """Time from the moment a job is bound until it can wait at its center."""
        places = self.federation.places
        center, dataset = int(places.center[job]), int(places.dataset[job])
        data = int(self.federation.data_ms[dataset, center]) if dataset >= 0 else 0
        return int(self._latency[center]) + data

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
                if what == RUNNING:
                    self._at(now + self._run_time(job), 1, self._job_ends, job)
                elif what == KILLED:
                    self._at(now, 1, self._job_ends, job)
                elif what == BOUND:
                    self._at(now + self._travel_time(job), 1, self._job_arrives, job)
        wake = int(f.clock.wake[0])
        if wake < NEVER and wake != self._wake:
            self._at(max(wake, now), 1, self._timer)
        self._wake = wake
