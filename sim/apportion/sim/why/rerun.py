"""A run from its folder once more: to watch one job in it, or to see when the job would have started had it been otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from apportion.core import federation_tables as tables
from apportion.core import quota, reasons
from apportion.core.codes import BACKFILL_EASY, BACKFILL_EASY_SJBF, PENDING, RUNNING, UNSEEN
from apportion.core.errors import RunError
from apportion.core.handle import handle
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim import compiled as loop
from apportion.sim.federation import compiled as federation_loop
from apportion.sim.federation import replay as federation_replay
from apportion.sim.federation.compile import CompiledFederation, compile_federation
from apportion.sim.federation.moves import Moves, moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.workload import merge
from apportion.sim.inputs import read_failures, read_ids, read_workload
from apportion.sim.replay import ready, world_of
from apportion.sim.scenario import scenario_from_dict

if TYPE_CHECKING:
    from apportion.core.tables import State
    from apportion.policy.compile import Compiled
    from apportion.sim.workload import Workload

CHUNK: Final = 4096  # instants between two looks
NOT_ASKED: Final = 99  # reason code of a center that a question leaves out
BROKER: Final = "broker"
TRAVEL: Final = "travel"
DOOR: Final = "door"  # of a center that is cut off
QUEUE: Final = "queue"  # of the center
RUN: Final = "run"


class Change(NamedTuple):
    """What is otherwise for one job: its limit, its processors, or the center it is sent to."""

    limit_ms: int | None = None
    procs: int | None = None
    center: str | None = None


class Moment(NamedTuple):
    """From ``time_ms`` on a job is ``where`` (at ``center``, "" in the broker's queue), for ``reasons`` in Slurm's words.

    ``first`` : it is first in line there.
    """

    time_ms: int
    where: str
    center: str
    reasons: tuple[str, ...]
    first: bool


class Watched(NamedTuple):
    """What was seen of a job.

    ``history`` : until it started for the last time, or the run was over. ``plans`` : (when, start planned then), each time the
    backfill changed its plan, ms. ``starts_ms`` : each time that it started. ``rank``, ``pending`` : its place among the jobs that
    waited where it was submitted, itself among them, at the end of that instant (0 of 0 if it started at once).
    """

    history: tuple[Moment, ...]
    plans: tuple[tuple[int, int], ...]
    starts_ms: tuple[int, ...]
    rank: int
    pending: int


class _Play(NamedTuple):
    """A compiled run: ``advance(n)`` plays n instants and says whether all is over."""

    advance: Any
    compiled: Compiled | CompiledFederation
    arrivals_ms: Any


@dataclass(frozen=True)
class Rerun:
    """The inputs of a run, read from its folder.

    Attributes
    ----------
    manifest : dict
    parts : list of Workload
        Of each center.
    """

    folder: Path
    manifest: dict[str, Any]
    parts: list[Workload]

    @classmethod
    def of(cls, folder: Path) -> Rerun:
        """Read a run folder.

        Raises
        ------
        RunError
            If it is none, or holds no workload.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
        except (OSError, ValueError):
            raise RunError("not a run folder", "give one that `apportion replay` wrote", path=folder) from None
        return cls(folder, manifest, read_workload(folder))

    @cached_property
    def is_federation(self) -> bool:
        """Whether a broker stood between several centers."""
        return "scenario" in self.manifest

    @cached_property
    def _scenario(self) -> Any:
        return scenario_from_dict(self.manifest["scenario"])

    @cached_property
    def centers(self) -> list[str]:
        """Names of the centers; none for a single machine."""
        return [entry.Center for entry in self._scenario.centers] if self.is_federation else []

    @cached_property
    def _home(self) -> tuple[Any, Any]:
        """Center and row in its part of each job."""
        if not self.is_federation:
            return np.zeros(len(self.parts[0]), np.int64), np.arange(len(self.parts[0]))
        workload = merge(self.centers, self.parts)
        return workload.home, workload.row

    def job_of_id(self, job_id: Any) -> int:
        """Index of a job of a single machine; -1 if it was not replayed."""
        found = np.flatnonzero(read_ids(self.folder) == job_id)
        return int(found[0]) if len(found) else -1

    def own(self, job: int) -> tuple[int, int, int]:
        """Limit (ms), processors and run time (ms) of a job as it was submitted."""
        part, row = self.parts[int(self._home[0][job])], int(self._home[1][job])
        return int(part.jobs.limit_ms[row]), int(part.jobs.procs[row]), int(part.run_ms[row])

    def start_ms(self, job: int, change: Change | None = None) -> int:
        """When a job starts, ms; -1 if it never does. Everybody else submits what they did."""
        play = self._play(job, change)
        over = False
        while not over and _state(play.compiled, job) in (UNSEEN, PENDING):
            over = play.advance(CHUNK)
        return _start(play.compiled, job)

    def watch(self, job: int, restarts: int = 0) -> Watched:
        """Play the run as it was, and look at one job after every instant in which it waits, until it has been stopped so often and has started."""
        play = self._play(job, None)
        compiled = play.compiled
        state = compiled.state if not isinstance(compiled, CompiledFederation) else compiled.federation.broker
        history: list[Moment] = []
        plans: list[tuple[int, int]] = []
        rank = pending = 0
        submit = int(state.jobs.submit[job])
        earlier = np.unique(play.arrivals_ms[play.arrivals_ms < submit])
        handles: dict[int, Any] = {}
        starts: list[int] = []
        over = False
        while not over:
            known = _state(compiled, job)
            if known == UNSEEN:
                # Each time at which jobs come is an instant of its own: so many can be played without passing this job's.
                left = int(np.searchsorted(earlier, int(_now(compiled)), side="right"))
                over = play.advance(max(len(earlier) - left, 1))
                if _state(compiled, job) == PENDING:
                    rank, pending = _rank(compiled, job)
            elif known == PENDING:
                moment = _look(compiled, job, self.centers, handles)
                if not history or moment[1:] != history[-1][1:]:
                    history.append(moment)
                plan = _plan(compiled, job)
                if plan >= 0 and (not plans or plan != plans[-1][1]):
                    plans.append((moment.time_ms, plan))
                over = play.advance(1)
            else:
                start = _start(compiled, job)
                if known == RUNNING and start not in starts[-1:]:
                    starts.append(start)
                if known != RUNNING or _restarts(compiled, job) >= restarts:
                    break
                if not history or history[-1].where != RUN or history[-1].time_ms != start:
                    history.append(Moment(start, RUN, _center(compiled, job, self.centers), (), False))
                over = play.advance(1)
        if not starts and _start(compiled, job) >= 0:
            starts.append(_start(compiled, job))  # it was over in the instant in which it started
        return Watched(tuple(history), tuple(plans), tuple(starts), rank, pending)

    def _play(self, job: int, change: Change | None) -> _Play:
        parts = self.parts if change is None else self._changed(job, change)
        if not self.is_federation:
            workload = parts[0]
            failures = read_failures(self.folder)
            compiled = compile_policy(from_dict(self.manifest["policy"]), workload.jobs, fails=failures is not None)
            compiled = ready(workload, compiled, failures)
            world = world_of(workload, compiled, failures)
            core, happenings = handle(compiled.state), handle(world)
            return _Play(lambda n: loop.replay(core, happenings, n), compiled, world.arrival_time)
        merged = merge(self.centers, parts)
        moves = moves_of(self._scenario, merged, data_times(self._scenario))
        if change is not None and change.center is not None:
            moves = _may_move(moves, job)
        both = compile_federation(self._scenario, merged, moves)
        if change is not None and change.center is not None:
            both = _sent_to(both, job, self.centers.index(change.center))
        there = federation_replay.world_of(self._scenario, merged, both)
        f, happen = handle(both.federation), handle(there)
        return _Play(lambda n: federation_loop.replay(f, happen, n), both, merged.jobs.submit_ms)

    def _changed(self, job: int, change: Change) -> list[Workload]:
        """The workloads with one job otherwise; what it uses beside processors shrinks with them."""
        parts = list(self.parts)
        k, row = int(self._home[0][job]), int(self._home[1][job])
        part = parts[k]
        limit, procs, resources = part.jobs.limit_ms.copy(), part.jobs.procs.copy(), dict(part.jobs.resources)
        run = part.run_ms.copy()
        if change.limit_ms is not None:
            limit[row] = change.limit_ms
            run[row] = min(run[row], change.limit_ms)
        if change.procs is not None:
            for name, column in part.jobs.resources.items():
                resources[name] = column.copy()
                resources[name][row] = -(-int(column[row]) * change.procs // int(procs[row]))
            procs[row] = change.procs
        jobs = replace(part.jobs, limit_ms=limit, procs=procs, resources=resources)
        parts[k] = replace(part, jobs=jobs, run_ms=run)
        return parts


def _may_move(moves: Moves, job: int) -> Moves:
    movable = moves.movable.copy()
    movable[job] = True
    return replace(moves, movable=movable)


def _sent_to(compiled: CompiledFederation, job: int, center: int) -> CompiledFederation:
    """Leave a job one center only; what bars it there still does."""
    f = compiled.federation
    own = f.barred[f.places.group[job]].copy()
    own[(f.targets.center != center) & (own == tables.ALLOWED)] = NOT_ASKED
    group = f.places.group.copy()
    group[job] = len(f.barred)
    places = f.places._replace(group=group)
    return replace(compiled, federation=f._replace(barred=np.vstack([f.barred, own]), places=places))


def _now(compiled: Compiled | CompiledFederation) -> int:
    clock = compiled.federation.clock if isinstance(compiled, CompiledFederation) else compiled.state.clock
    return int(clock.now[0])


def _place(compiled: Compiled | CompiledFederation, job: int) -> State:
    """The core that has a job: that of its center, else the broker's."""
    if not isinstance(compiled, CompiledFederation):
        return compiled.state
    f = compiled.federation
    if f.rules.placement == tables.PLACE_REDUNDANT and f.places.where[job] == tables.ARRIVED:
        waiting = [core for core in f.cores if core.live.state[job] == PENDING]
        if waiting:
            return waiting[0]
    center = int(f.places.center[job])
    return f.cores[center] if center >= 0 else f.broker


def _state(compiled: Compiled | CompiledFederation, job: int) -> int:
    if isinstance(compiled, CompiledFederation) and compiled.federation.places.where[job] in (
        tables.SENT,
        tables.STUCK,
    ):
        return PENDING
    return int(_place(compiled, job).live.state[job])


def _start(compiled: Compiled | CompiledFederation, job: int) -> int:
    core = _place(compiled, job)
    return int(core.live.start[job]) if core.live.state[job] >= RUNNING else -1


def _center(compiled: Compiled | CompiledFederation, job: int, centers: list[str]) -> str:
    """Name of the center that a job is bound to or runs at, "" for none."""
    if not isinstance(compiled, CompiledFederation) or compiled.federation.places.center[job] < 0:
        return ""
    return centers[int(compiled.federation.places.center[job])]


def _restarts(compiled: Compiled | CompiledFederation, job: int) -> int:
    return int(_place(compiled, job).live.restarts[job])


def _look(compiled: Compiled | CompiledFederation, job: int, centers: list[str], handles: dict[int, Any]) -> Moment:
    """Where a job is now, and why; ``handles`` keeps those of the cores from one look to the next."""
    core = _place(compiled, job)
    now = _now(compiled)
    where, center = QUEUE, _center(compiled, job, centers)
    if isinstance(compiled, CompiledFederation):
        at = int(compiled.federation.places.where[job])
        where = {tables.QUEUED: BROKER, tables.SENT: TRAVEL, tables.STUCK: DOOR}.get(at, QUEUE)
    if where in (TRAVEL, DOOR):
        return Moment(now, where, center, (), False)
    if id(core) not in handles:
        handles[id(core)] = handle(core)
    mask = int(quota.reasons_now(handles[id(core)], job))
    if where == BROKER:
        mask &= ~(reasons.RESOURCES | reasons.PRIORITY)
    words = tuple(reasons.words(mask, core.limits.bit_code)) if mask else ()
    first = where == QUEUE and bool(core.pools.head[core.jobs.pool[job]] == job)
    return Moment(now, where, center, words, first)


def _plan(compiled: Compiled | CompiledFederation, job: int) -> int:
    """Start that the backfill plans for a job at present, ms; -1 for none."""
    core = _place(compiled, job)
    if core.live.plan.size:
        return int(core.live.plan[job])
    pool = core.jobs.pool[job]
    if core.rules.backfill in (BACKFILL_EASY, BACKFILL_EASY_SJBF) and core.pools.head[pool] == job:
        return int(core.pools.shadow[pool])
    return int(core.live.first_plan[job])


def _rank(compiled: Compiled | CompiledFederation, job: int) -> tuple[int, int]:
    """Place of a job among those that wait where it is, in the order of the policy."""
    core = _place(compiled, job)
    if core.live.state[job] != PENDING:
        return 0, 0
    waits = np.flatnonzero(core.live.state == PENDING)
    submit = core.jobs.submit[waits]
    score = core.live.score[waits] if core.live.score.size else np.zeros(len(waits))
    order = waits[np.lexsort((waits, submit, score))]
    return int(np.flatnonzero(order == job)[0]) + 1, len(waits)
