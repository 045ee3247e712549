"""Replay the workload of a federation through the broker and the cores of its centers, in either driver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import digest
from apportion.core.codes import RUNNING
from apportion.core.errors import UserError
from apportion.core.jit import handle
from apportion.core.tables import NEVER, Ints
from apportion.sim.federation.compiled import FederationWorld
from apportion.sim.federation.compiled import replay as play
from apportion.sim.replay import CHUNK, ENGINES, PATIENCE_MS

if TYPE_CHECKING:
    from apportion.sim.federation.compile import CompiledFederation
    from apportion.sim.federation.workload import FederationWorkload
    from apportion.sim.replay import Progress


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
    engine: str
    instants: int
    loop_s: float

    @property
    def decision_hash(self) -> str:
        """Hash of all decisions of broker and centers in their order."""
        return digest.text(self.compiled.federation.digest)


def world_of(workload: FederationWorkload, compiled: CompiledFederation) -> FederationWorld:
    """Lay out what will happen."""
    n = len(workload)
    gives_up = np.flatnonzero(workload.cancel_ms < NEVER)
    by_time = gives_up[np.argsort(workload.cancel_ms[gives_up], kind="stable")]
    steps = np.array([step[:2] for step in compiled.capacity_steps], np.int64).reshape(-1, 2)
    return FederationWorld(
        run=workload.run_ms,
        end=np.full(n, -1, np.int64),
        cancel_time=workload.cancel_ms[by_time],
        cancel_job=by_time.astype(np.int64),
        capacity_time=np.ascontiguousarray(steps[:, 0]),
        capacity_seen=np.ascontiguousarray(steps[:, 1]),
        end_time=np.zeros(2 * n + 1, np.int64),
        end_job=np.zeros(2 * n + 1, np.int64),
        arrive_time=np.zeros(2 * n + 1, np.int64),
        arrive_job=np.zeros(2 * n + 1, np.int64),
        at=np.zeros(6, np.int64),
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
    world = world_of(workload, compiled)
    if engine == "simpy":
        instants, loop_s = _run_simpy(workload, compiled, world, progress)
    else:
        engine = "compiled"
        instants, loop_s = _run_compiled(workload, compiled, world, progress)
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
        engine,
        instants,
        loop_s,
    )


def _run_compiled(
    workload: FederationWorkload, compiled: CompiledFederation, world: FederationWorld, progress: Progress | None
) -> tuple[int, float]:
    core, happenings = handle(compiled.federation), handle(world)
    play(core, happenings, 0)  # plays nothing, but the very first call compiles
    begin = time.perf_counter()
    while not play(core, happenings, CHUNK):
        if progress is not None:
            progress(int(world.at[0]) / max(len(workload), 1))
        if _is_over(workload, compiled, world, int(compiled.federation.clock.now[0])):
            break
    return int(world.at[4]), time.perf_counter() - begin


def _run_simpy(
    workload: FederationWorkload, compiled: CompiledFederation, world: FederationWorld, progress: Progress | None
) -> tuple[int, float]:
    import simpy

    from apportion.sim.federation.world import SimulatedFederation

    submit = workload.jobs.submit_ms
    first = min([int(submit[0]), *world.cancel_time[:1].tolist(), *world.capacity_time[:1].tolist()])
    env = simpy.Environment(initial_time=first)
    federation = SimulatedFederation(env, compiled.federation, world)
    begin = time.perf_counter()
    while env.peek() < NEVER:
        for _ in range(CHUNK):
            if env.peek() >= NEVER:
                break
            env.step()
        if progress is not None:
            progress(float(np.searchsorted(submit, env.now)) / max(len(workload), 1))
        if _is_over(workload, compiled, world, int(env.now)):
            break
    return federation.instants, time.perf_counter() - begin


def _is_over(workload: FederationWorkload, compiled: CompiledFederation, world: FederationWorld, now: int) -> bool:
    """Whether only jobs that no one can help are left: nothing runs or will happen, and it has been so for long."""
    last = int(workload.jobs.submit_ms[-1])
    for times in (world.cancel_time, world.capacity_time):
        last = max(last, int(times[-1]) if len(times) else last)
    if now <= last or any((core.live.state == RUNNING).any() for core in compiled.federation.cores):
        return False
    return now > max(last, int(world.end.max())) + PATIENCE_MS
