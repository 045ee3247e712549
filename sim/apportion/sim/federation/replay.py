"""Replay the workload of a federation through the broker and the cores of its centers, in either driver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import digest
from apportion.core.codes import CANCEL, CAPACITY, LOSS, RETURN, RUNNING, SUBMIT
from apportion.core.errors import UserError
from apportion.core.federation_tables import REACH
from apportion.core.handle import handle
from apportion.core.tables import NEVER, Ints
from apportion.sim.failures import PROCS_LOST
from apportion.sim.federation.compiled import FederationWorld
from apportion.sim.federation.compiled import replay as play
from apportion.sim.federation.network import Traffic, traffic_of
from apportion.sim.releases import releases_of
from apportion.sim.replay import CHUNK, ENGINES, PATIENCE_MS, STEPS

if TYPE_CHECKING:
    from apportion.sim.federation.compile import CompiledFederation
    from apportion.sim.federation.workload import FederationWorkload
    from apportion.sim.replay import Progress
    from apportion.sim.scenario import Scenario


@dataclass(frozen=True)
class FederationSchedule:
    """What came of a federation's workload.

    Attributes
    ----------
    compiled : CompiledFederation
        Names and tables; the log of bindings is in them.
    end_ms : int64[n]
        When each job ended, -1 if it did not.
    center : int64[n]
        Where each job is or was, -1 if it was bound to no center.
    start_ms, state, first_plan, reasons : int64[n] or int8[n]
        As in `apportion.core.tables.Live`, from the center where the job is, else from the broker.
    submit_ms : int64[n]
        When each job was submitted: where it follows others, when they let it.
    traffic : Traffic
        Which data were copied from where to where, and when.
    engine, instants, loop_s
        As in `apportion.sim.replay.Schedule`.
    """

    compiled: CompiledFederation
    end_ms: Ints
    center: Ints
    start_ms: Ints
    state: Ints
    first_plan: Ints
    reasons: Ints
    submit_ms: Ints
    traffic: Traffic
    engine: str
    instants: int
    loop_s: float

    @property
    def decision_hash(self) -> str:
        """Hash of all decisions of broker and centers in their order."""
        return digest.text(self.compiled.federation.digest)


def world_of(scenario: Scenario, workload: FederationWorkload, compiled: CompiledFederation) -> FederationWorld:
    """Lay out what will happen."""
    n = len(workload)
    gives_up = np.flatnonzero(workload.cancel_ms < NEVER)
    follows = np.zeros(n, bool) if workload.precedence is None else workload.precedence.follows
    comes = np.flatnonzero(~follows)
    steps = np.array([step[:2] for step in compiled.capacity_steps], np.int64).reshape(-1, 2)
    cuts = np.array(compiled.cuts, np.int64).reshape(-1, 2)
    lost = compiled.failures
    is_loss = lost.what == PROCS_LOST
    row = np.arange(len(lost))
    known = [
        (workload.jobs.submit_ms[comes], comes, SUBMIT),
        (workload.cancel_ms[gives_up], gives_up, CANCEL),
        (steps[:, 0], steps[:, 1], CAPACITY),
        (cuts[:, 0], cuts[:, 1], REACH),
        (lost.time_ms[is_loss], row[is_loss], LOSS),
        (lost.time_ms[~is_loss], row[~is_loss], RETURN),
    ]
    times = np.concatenate([time for time, _, _ in known])
    subjects = np.concatenate([subject for _, subject, _ in known])
    codes = np.repeat(np.array([code for _, _, code in known], np.int64), [len(time) for time, _, _ in known])
    order = np.lexsort((subjects, codes, times))
    return FederationWorld(
        run=workload.run_ms,
        end=np.full(n, -1, np.int64),
        event_time=times[order],
        event_code=codes[order],
        event_subject=subjects[order],
        end_time=np.zeros(2 * n + 1, np.int64),
        end_job=np.zeros(2 * n + 1, np.int64),
        arrive_time=np.zeros(2 * n + 1, np.int64),
        arrive_job=np.zeros(2 * n + 1, np.int64),
        releases=releases_of(workload.precedence),
        traffic=traffic_of(scenario, n),
        at=np.zeros(4, np.int64),
    )


def run(
    workload: FederationWorkload,
    compiled: CompiledFederation,
    engine: str = "auto",
    progress: Progress | None = None,
) -> FederationSchedule:
    """Drive a compiled federation through its workload, as `apportion.sim.replay.run`; its tables are used up."""
    if engine not in ENGINES:
        raise UserError(f"there is no engine '{engine}'", f"choose {', '.join(ENGINES)}")
    world = world_of(compiled.scenario, workload, compiled)
    if engine == "simpy":
        instants, loop_s = _run_simpy(compiled, world, progress)
    else:
        engine = "compiled"
        instants, loop_s = _run_compiled(compiled, world, progress)
    f = compiled.federation
    live = f.broker.live
    center = f.places.center.copy()
    columns = {name: getattr(live, name).copy() for name in ("start", "state", "first_plan", "reasons")}
    columns["start"][:] = -1
    for k, core in enumerate(f.cores):
        here = center == k
        for name, column in columns.items():
            column[here] = getattr(core.live, name)[here]
    return FederationSchedule(
        compiled,
        world.end,
        center,
        columns["start"],
        columns["state"],
        columns["first_plan"],
        columns["reasons"] | live.reasons,
        f.broker.jobs.submit,
        world.traffic,
        engine,
        instants,
        loop_s,
    )


def _run_compiled(compiled: CompiledFederation, world: FederationWorld, progress: Progress | None) -> tuple[int, float]:
    core, happenings = handle(compiled.federation), handle(world)
    play(core, happenings, 0)  # plays nothing, but the very first call compiles
    begin = time.perf_counter()
    while not play(core, happenings, CHUNK):
        if progress is not None:
            progress(int(world.at[0]) / max(len(world.event_time), 1))
        if _is_over(compiled, world, int(compiled.federation.clock.now[0])):
            break
    return int(world.at[2]), time.perf_counter() - begin


def _run_simpy(compiled: CompiledFederation, world: FederationWorld, progress: Progress | None) -> tuple[int, float]:
    import simpy

    from apportion.sim.federation.world import SimulatedFederation

    env = simpy.Environment(initial_time=int(world.event_time[0]))
    federation = SimulatedFederation(env, compiled.federation, world)
    begin = time.perf_counter()
    while env.peek() < NEVER:
        for _ in range(STEPS):
            if env.peek() >= NEVER:
                break
            env.step()
        if progress is not None:
            progress(float(np.searchsorted(world.event_time, env.now)) / max(len(world.event_time), 1))
        if _is_over(compiled, world, int(env.now)):
            break
    return federation.instants, time.perf_counter() - begin


def _is_over(compiled: CompiledFederation, world: FederationWorld, now: int) -> bool:
    """Whether only jobs that no one can help are left: nothing runs or will happen, and it has been so for long."""
    last = int(world.event_time[-1])
    if now <= last or any((core.live.state == RUNNING).any() for core in compiled.federation.cores):
        return False
    think = int(world.releases.delay.max(initial=0))
    return now > max(last, int(world.end.max()) + think, int(world.traffic.end.max(initial=0))) + PATIENCE_MS
