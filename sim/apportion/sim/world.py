"""The SimPy driver: the same world as the compiled loop's, as processes and events that can be added to.

Arrivals, cancellations and capacity changes are processes; the end of a job is an event of its own; the core is called once all
events of an instant are known, by an event of that instant with a later priority (see the instant rule in ARCHITECTURE.md).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

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
    TIMER,
)
from apportion.core.handle import handle
from apportion.core.step import step
from apportion.core.tables import NEVER
from apportion.sim.releases import follow

if TYPE_CHECKING:
    from apportion.core.tables import State
    from apportion.sim.compiled import World

DECIDE = 2  # after SimPy's URGENT (0) and NORMAL (1)


class SimulatedCenter:
    """One simulated center around one decision core.

    Parameters
    ----------
    env : simpy.Environment
        Its time is int ms since the epoch.
    state : State
        A compiled policy (`apportion.policy.compile`).
    world : World
        What will happen; ``world.end`` is filled in.
    """

    def __init__(self, env: simpy.Environment, state: State, world: World) -> None:
        self.env = env
        self.state = state
        self.world = world
        self.instants = 0
        self._core = handle(state)
        self._run_ms = world.run.tolist()
        self._checkpoints: Any = handle(state.checkpoints) if len(state.checkpoints.saved) else None
        self._due = [-1] * len(world.run)  # when each job that runs will end
        self._events: list[tuple[int, int]] = []
        self._deciding = False
        self._wake = NEVER
        room = 2 * len(world.run) + 2 * len(world.capacity_time) + len(world.failure_time) + 16
        self._codes = np.zeros(room, np.int64)
        self._subjects = np.zeros(room, np.int64)
        self._releases: Any = handle(world.releases) if world.releases.n_jobs else None
        if len(world.arrival_time):
            env.process(self._timetable(world.arrival_time.tolist(), world.arrival_job.tolist(), SUBMIT))
        if len(world.cancel_time):
            env.process(self._timetable(world.cancel_time.tolist(), world.cancel_job.tolist(), CANCEL))
        if len(world.capacity_time):
            env.process(self._timetable(world.capacity_time.tolist(), world.capacity_pool.tolist(), CAPACITY))
        for code in np.unique(world.failure_code).tolist():
            rows = world.failure_code == code
            env.process(self._timetable(world.failure_time[rows].tolist(), world.failure_subject[rows].tolist(), code))

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

    @property
    def _now(self) -> int:
        return int(self.env.now)

    def _happens(self, code: int, subject: int) -> None:
        """Note an event of this instant and see to it that the core is asked."""
        self._events.append((code, subject))
        if not self._deciding:
            self._deciding = True
            self._at(self._now, DECIDE, self._decide)

    def _at(self, time: int, priority: int, callback: Any, value: Any = None) -> None:
        event = simpy.Event(self.env)
        event._ok = True  # noqa: SLF001  (as simpy.Timeout does: an event that is triggered from the start)
        event._value = value  # noqa: SLF001
        event.callbacks.append(callback)
        self.env.schedule(event, priority, time - self.env.now)  # type: ignore[arg-type]  # any int will do

    def _duration(self, job: int) -> int:
        """How long a job takes that starts now."""
        run = self._run_ms[job]
        return run if self._checkpoints is None else int(duration(self._checkpoints, job, run))

    def _job_ends(self, event: simpy.Event) -> None:
        job = int(event.value or 0)
        if self.world.end[job] < 0 and self._due[job] == self.env.now:  # else it was stopped before its time
            self.world.end[job] = self.env.now
            self._happens(END, job)
            if self._releases is not None:
                self._let_follow(job)

    def _let_follow(self, job: int) -> None:
        """See to it that what follows a job that is over is submitted in time."""
        table = self.world.releases
        for follower in table.known[: follow(self._releases, self._now, job)].tolist():
            self._at(int(table.time[follower]), 1, self._job_comes, follower)

    def _job_comes(self, event: simpy.Event) -> None:
        job = int(event.value or 0)
        self.state.jobs.submit[job] = self.env.now
        self._happens(SUBMIT, job)

    def _timer(self, _event: simpy.Event) -> None:
        if self._wake == self.env.now and not self._deciding:
            self._happens(TIMER, 0)

    def _decide(self, _event: simpy.Event) -> None:
        """Hand the events of this instant to the core, in order, and carry out what it decides."""
        self._deciding = False
        events = self._events
        if len(events) > 1:
            events.sort()
        for i, (code, subject) in enumerate(events):
            self._codes[i] = code
            self._subjects[i] = subject
        now = self._now
        n_decided = step(self._core, now, self._codes, self._subjects, len(events))
        events.clear()
        self.instants += 1
        if n_decided:
            state = self.state.live.state
            for job in self.state.decided[:n_decided].tolist():
                what = state[job]
                if what in (RUNNING, KILLED):
                    due = now + self._duration(job) if what == RUNNING else now
                    if due != self._due[job]:  # a job that was stopped and started in this instant is here twice
                        self._due[job] = due
                        self._at(due, 1, self._job_ends, job)
                elif what == PENDING:
                    self._due[job] = -1
                else:
                    if what in (NODE_FAIL, PREEMPTED):
                        self.world.end[job] = now
                    if self._releases is not None:
                        self._let_follow(job)
        wake = int(self.state.clock.wake[0])
        if wake != self._wake:
            self._wake = wake
            if wake < NEVER:
                self._at(max(wake, now), 1, self._timer)
