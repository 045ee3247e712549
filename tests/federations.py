"""Small federations through the real path: a scenario from plain data, jobs as tuples, replayed by either driver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np

from apportion.core.tables import NEVER
from apportion.policy.workload import Labels, Submissions
from apportion.sim.federation.compile import CompiledFederation, compile_federation
from apportion.sim.federation.moves import Moves, moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.replay import FederationSchedule, run
from apportion.sim.federation.workload import FederationWorkload, merge
from apportion.sim.releases import Precedence
from apportion.sim.scenario import Scenario, scenario_from_dict
from apportion.sim.workload import Workload
from driving import labels

if TYPE_CHECKING:
    from collections.abc import Sequence


# How long after the last submission something still fails: jobs here are over within hours. A month of failures that come each minute,
# and find nothing any more, would take nearly all of the time.
FAILS_FOR_MS = 86_400_000


class Job(NamedTuple):
    """Times in seconds."""

    submit: int
    procs: int
    run: int
    limit: int
    user: str = "u"
    account: str = "a"
    cancel: int | None = None


def part(jobs: Sequence[Job], procs: int) -> Workload:
    """One center's own jobs."""
    jobs = sorted(jobs, key=lambda job: job.submit)
    n = len(jobs)

    def column(values: Any) -> Any:
        return np.array(list(values), np.int64)

    none = Labels.none(n)
    submissions = Submissions(
        submit_ms=column(1000 * job.submit for job in jobs),
        limit_ms=column(1000 * job.limit for job in jobs),
        procs=column(job.procs for job in jobs),
        user=labels([job.user for job in jobs]),
        account=labels([job.account for job in jobs]),
        group=none,
        qos=none,
        queue=none,
        partition=none,
        origin_ms=0,
        capacity={"cpu": procs},
    )
    nothing: Any = None
    return Workload(
        jobs=submissions,
        run_ms=column(1000 * min(job.run, job.limit) for job in jobs),
        cancel_ms=column(NEVER if job.cancel is None else 1000 * job.cancel for job in jobs),
        killed=np.array([job.run > job.limit for job in jobs], bool),
        status=np.zeros(n, np.int8),
        row=np.arange(n, dtype=np.int64),
        trace=nothing,
        capacity_from="given",
    )


class Played(NamedTuple):
    """A finished replay."""

    scenario: Scenario
    workload: FederationWorkload
    moves: Moves
    schedule: FederationSchedule


class Prepared(NamedTuple):
    """A scenario with its jobs, ready to run."""

    scenario: Scenario
    workload: FederationWorkload
    moves: Moves
    compiled: CompiledFederation


def prepare(
    data: dict[str, Any],
    jobs: dict[str, Sequence[Job]],
    follows: dict[str, Sequence[tuple[int, int, int]]] | None = None,
) -> Prepared:
    """Compile a scenario with the given jobs of each center; ``follows`` : (before, after, seconds) of jobs by submission."""
    scenario = scenario_from_dict(data)
    parts = [part(jobs[entry.Center], scenario.procs_of(entry) or 1) for entry in scenario.centers]
    for k, entry in enumerate(scenario.centers):
        edges = (follows or {}).get(entry.Center)
        if edges:
            table = np.array(edges, np.int64)
            submit = parts[k].jobs.submit_ms
            free = np.full(len(submit), -NEVER, np.int64)
            chain = Precedence(*table[:, :2].T.copy(), table[:, 2] * 1000, 0, free, np.zeros(len(submit), bool))
            parts[k] = replace(parts[k], precedence=chain)
    workload = merge([entry.Center for entry in scenario.centers], parts)
    moves = moves_of(scenario, workload, data_times(scenario))
    with patch("apportion.sim.federation.compile.AFTER_MS", FAILS_FOR_MS):
        compiled = compile_federation(scenario, workload, moves)
    return Prepared(scenario, workload, moves, compiled)


def play(
    data: dict[str, Any],
    jobs: dict[str, Sequence[Job]],
    engine: str = "compiled",
    follows: dict[str, Sequence[tuple[int, int, int]]] | None = None,
) -> Played:
    """Replay a scenario as `prepare` compiles it."""
    scenario, workload, moves, compiled = prepare(data, jobs, follows)
    return Played(scenario, workload, moves, run(workload, compiled, engine))
