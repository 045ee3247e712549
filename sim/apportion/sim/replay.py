"""Replay a workload through the decision core, in either driver."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import digest
from apportion.core.codes import LOSS, RETURN
from apportion.core.errors import UserError
from apportion.core.handle import handle
from apportion.core.tables import NEVER, Ints, Outages
from apportion.policy.compile import Compiled, compile_policy
from apportion.sim.failures import PROCS_BACK, PROCS_LOST
from apportion.sim.releases import releases_of
from apportion.sim.workload import Workload

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.sim.compiled import World
    from apportion.sim.failures import Timetable

ENGINES = ("auto", "compiled", "simpy")
CHUNK = 200_000  # instants between two looks at the clock and the keyboard
STEPS = 10_000  # events of SimPy between two such looks
PATIENCE_MS = 400 * 86_400_000  # how long pending jobs are waited for once nothing else will happen

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Schedule:
    """What came of a workload.

    Attributes
    ----------
    compiled : Compiled
        Policy and names; its state holds starts, plans, reasons.
    end_ms : int64[n]
        When each job ended, -1 if it did not.
    engine : str
        ``compiled`` or ``simpy``.
    instants : int
        Instants (rounds) at which the core was asked.
    loop_s : float
        Seconds that the driver's loop alone took.
    failures : Timetable, optional
        What failed.
    """

    compiled: Compiled
    end_ms: Ints
    engine: str
    instants: int
    loop_s: float
    failures: Timetable | None = None

    @property
    def start_ms(self) -> Ints:
        """When each job started, -1 if it did not."""
        return self.compiled.state.live.start

    @property
    def decision_hash(self) -> str:
        """Hash of all decisions in their order."""
        return digest.text(self.compiled.state.digest)


def room_for_ends(compiled: Compiled) -> int:
    """Most ends that can be to come: one for each job that runs, and one more for each that was killed before its time."""
    state = compiled.state
    n = len(state.jobs.submit)
    return 2 * n + 1 if state.rules.metered else min(n, int(state.pools.largest.sum())) + 1


def world_of(workload: Workload, compiled: Compiled, failures: Timetable | None = None) -> World:
    """Lay out what will happen to a workload."""
    from apportion.sim.compiled import World

    n = len(workload)
    gives_up = np.flatnonzero(workload.cancel_ms < NEVER)
    by_time = gives_up[np.argsort(workload.cancel_ms[gives_up], kind="stable")]
    steps = np.array([step[:2] for step in compiled.capacity_steps], np.int64).reshape(-1, 2)
    room = room_for_ends(compiled)
    code = np.zeros(0, np.int64) if failures is None else np.where(failures.what == PROCS_LOST, LOSS, RETURN)
    arrives = np.arange(n) if workload.precedence is None else np.flatnonzero(~workload.precedence.follows)
    return World(
        run=workload.run_ms,
        end=np.full(n, -1, np.int64),
        arrival_time=workload.jobs.submit_ms[arrives],
        arrival_job=arrives,
        cancel_time=workload.cancel_ms[by_time],
        cancel_job=by_time.astype(np.int64),
        capacity_time=np.ascontiguousarray(steps[:, 0]),
        capacity_pool=np.ascontiguousarray(steps[:, 1]),
        failure_time=np.zeros(0, np.int64) if failures is None else failures.time_ms,
        failure_code=code.astype(np.int64),
        failure_subject=np.arange(len(code)),
        end_time=np.zeros(room, np.int64),
        end_job=np.zeros(room, np.int64),
        releases=releases_of(workload.precedence),
        at=np.zeros(6, np.int64),
    )


def replay(workload: Workload, policy: Policy, engine: str = "auto", progress: Progress | None = None) -> Schedule:
    """Replay ``workload`` under ``policy``.

    Parameters
    ----------
    engine : {"auto", "compiled", "simpy"}
        ``auto`` takes the compiled loop, which can express everything that a workload holds.
    progress : callable, optional
        Called now and then with the part of the jobs that have arrived, 0 to 1.

    Raises
    ------
    PolicyError
        If the policy does not fit the workload.
    """
    if engine not in ENGINES:
        raise UserError(f"there is no engine '{engine}'", f"choose {', '.join(ENGINES)}")
    return run(workload, compile_policy(policy, workload.jobs), engine, progress)


def run(
    workload: Workload,
    compiled: Compiled,
    engine: str = "auto",
    progress: Progress | None = None,
    failures: Timetable | None = None,
) -> Schedule:
    """Drive a compiled policy through its workload; arguments as for `replay`. The state is used up.

    ``failures`` : of pools, which are its places; the policy must be compiled with ``fails``.
    """
    compiled = ready(workload, compiled, failures)
    world = world_of(workload, compiled, failures)
    if engine == "simpy":
        instants, loop_s = _run_simpy(workload, compiled, world, progress)
    else:
        engine = "compiled"
        instants, loop_s = _run_compiled(workload, compiled, world, progress)
    return Schedule(compiled, world.end, engine, instants, loop_s, failures)


def ready(workload: Workload, compiled: Compiled, failures: Timetable | None = None) -> Compiled:
    """Let a state know of failures, and have submit times of its own where jobs follow others: they are found out."""
    state = compiled.state
    if failures is not None:
        _check(failures)
        state = state._replace(outages=Outages(failures.place, failures.procs, failures.position))
    if workload.precedence is not None:
        state = state._replace(jobs=state.jobs._replace(submit=workload.jobs.submit_ms.copy()))
    return dataclasses.replace(compiled, state=state)


def _check(failures: Timetable) -> None:
    if not np.isin(failures.what, (PROCS_BACK, PROCS_LOST)).all():
        raise UserError("a single center has no network that could fail", "leave failures of networks out")


def _run_compiled(workload: Workload, compiled: Compiled, world: World, progress: Progress | None) -> tuple[int, float]:
    from apportion.sim.compiled import replay as play

    core, happenings = handle(compiled.state), handle(world)
    play(core, happenings, 0)  # plays nothing, but the very first call compiles
    begin = time.perf_counter()
    while not play(core, happenings, CHUNK):
        if progress is not None:
            progress(int(world.at[0]) / max(len(world.arrival_time), 1))
        if _is_over(workload, compiled, world, int(compiled.state.clock.now[0])):
            break
    return int(world.at[4]), time.perf_counter() - begin


def _run_simpy(workload: Workload, compiled: Compiled, world: World, progress: Progress | None) -> tuple[int, float]:
    import simpy

    from apportion.sim.world import SimulatedCenter

    times = (world.arrival_time, world.cancel_time, world.capacity_time, world.failure_time)
    first = min(time for column in times for time in column[:1].tolist())
    env = simpy.Environment(initial_time=first)
    center = SimulatedCenter(env, compiled.state, world)
    begin = time.perf_counter()
    while env.peek() < NEVER:
        for _ in range(STEPS):
            if env.peek() >= NEVER:
                break
            env.step()
        if progress is not None:
            progress(float(np.searchsorted(world.arrival_time, env.now)) / max(len(world.arrival_time), 1))
        if _is_over(workload, compiled, world, int(env.now)):
            break
    return center.instants, time.perf_counter() - begin


def _is_over(workload: Workload, compiled: Compiled, world: World, now: int) -> bool:
    """Whether only jobs that no one can help are left: nothing runs or will happen, and it has been so for long."""
    last = int(workload.jobs.submit_ms[-1])
    for times in (world.cancel_time, world.capacity_time, world.failure_time):
        last = max(last, int(times[-1]) if len(times) else last)
    if now <= last or compiled.state.running.count.any():
        return False
    think = int(world.releases.delay.max(initial=0))
    return now > max(last, int(world.end.max()) + think) + PATIENCE_MS
