"""Read what a scenario names: the traces of its centers, cleaned, shifted and cut to its window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.tables import NEVER
from apportion.policy.workload import Labels, Submissions
from apportion.sim.federation.moves import Moves, moves_of
from apportion.sim.federation.workload import LABELS, FederationWorkload, merge, window
from apportion.sim.scenario.checks import check_overlap
from apportion.sim.scenario.summary import processors
from apportion.sim.workload import Workload, from_trace

if TYPE_CHECKING:
    from apportion.sim.conventions import Conventions
    from apportion.sim.scenario import CenterEntry, Scenario
    from apportion.traces.clean import CleaningReport
    from apportion.traces.schema import Trace

SYNTHETIC = "synthetic"
SYNTHETIC_JOBS = 2_000
SYNTHETIC_LOAD = 0.8


@dataclass(frozen=True)
class FederationInput:
    """What a scenario is about, read.

    ``cleaning`` : report of each trace. ``trace`` : all replayed jobs as one trace, in the order of the workload.
    """

    scenario: Scenario
    workload: FederationWorkload
    moves: Moves
    cleaning: tuple[CleaningReport, ...]
    trace: Trace


def read_input(
    scenario: Scenario, conventions: Conventions, say: Callable[[str], None] = lambda _: None
) -> FederationInput:
    """Read the traces of a scenario.

    Raises
    ------
    TraceError
        If a trace cannot be found or read.
    ScenarioError
        If the traces do not fit the scenario's window.
    """
    from apportion.traces.merge import merge as merge_traces

    own: dict[str, Workload] = {}
    reports: list[CleaningReport] = []
    spans: dict[str, tuple[int, int]] = {}
    begin, end = (None if moment is None else moment.seconds * 1000 for moment in (scenario.Start, scenario.End))
    for k, entry in enumerate(scenario.centers):
        if not entry.Trace:
            continue
        trace, report = _read(scenario, entry, scenario.Seed + k, say)
        reports.append(report)
        part = from_trace(trace, conventions, scenario.procs_of(entry), scenario.policy_of(entry.Center))
        submit = part.jobs.submit_ms + entry.Shift * 1000
        spans[entry.Center] = int(submit[0]), int(submit[-1])
        own[entry.Center] = window(part, begin, end, entry.Shift * 1000)
    check_overlap(scenario, spans)
    names = [entry.Center for entry in scenario.centers]
    origin = min(part.jobs.origin_ms for part in own.values())
    parts = [own.get(entry.Center) or _without_jobs(scenario, entry, origin) for entry in scenario.centers]
    workload = merge(names, parts)
    from apportion.sim.federation.network import data_times

    moves = moves_of(scenario, workload, data_times(scenario))
    merged = merge_traces([_cut(part) for part in own.values()], labels=list(own))
    return FederationInput(scenario, workload, moves, tuple(reports), merged)


def read_spans(scenario: Scenario, say: Callable[[str], None] = lambda _: None) -> dict[str, tuple[int, int, int]]:
    """First and last submission of each center that has a trace, in ms, shifted; and how many jobs it has in the scenario's window.

    Raises
    ------
    TraceError
        If a trace cannot be found or read.
    """
    from apportion.sim.conventions import Conventions

    begin = -NEVER if scenario.Start is None else scenario.Start.seconds * 1000
    end = NEVER if scenario.End is None else scenario.End.seconds * 1000
    spans = {}
    for k, entry in enumerate(scenario.centers):
        if entry.Trace:
            trace, _ = _read(scenario, entry, scenario.Seed + k, say)
            submit = from_trace(trace, Conventions(), scenario.procs_of(entry)).jobs.submit_ms + entry.Shift * 1000
            spans[entry.Center] = int(submit[0]), int(submit[-1]), int(((submit >= begin) & (submit < end)).sum())
    return spans


def _read(
    scenario: Scenario, entry: CenterEntry, seed: int, say: Callable[[str], None]
) -> tuple[Trace, CleaningReport]:
    from apportion.traces.clean import clean

    if entry.Trace == SYNTHETIC:
        from apportion.traces.synth import lublin

        trace = lublin(SYNTHETIC_JOBS, seed, procs=scenario.procs_of(entry) or 128, load=SYNTHETIC_LOAD)
        return clean(trace)
    from apportion.traces import read
    from apportion.traces.catalog import locate

    say(f"read {entry.Trace}")
    return clean(read(locate(scenario.path_of(entry.Trace))))


def _without_jobs(scenario: Scenario, entry: CenterEntry, origin_ms: int) -> Workload:
    """The workload of a center that has no trace, and so no users of its own: it only takes what is sent to it."""
    import pandas as pd

    from apportion.traces.schema import Trace, TraceMeta

    none = np.zeros(0, np.int64)
    nobody: dict[str, Any] = dict.fromkeys(LABELS, Labels.none(0))
    jobs = Submissions(
        submit_ms=none,
        limit_ms=none,
        procs=none,
        **nobody,
        origin_ms=origin_ms,
        capacity={"cpu": processors(scenario, entry) or 0},
    )
    return Workload(
        jobs=jobs,
        run_ms=none,
        cancel_ms=none,
        killed=np.zeros(0, bool),
        status=np.zeros(0, np.int8),
        row=none,
        trace=Trace(pd.DataFrame({"job_id": none}), TraceMeta(name="", format="")),
        capacity_from="given",
    )


def _cut(part: Workload) -> Trace:
    """The jobs of a part as a trace, on the calendar of the scenario."""
    jobs = part.trace.jobs.take(part.row).reset_index(drop=True)
    return replace(part.trace, jobs=jobs, meta=replace(part.trace.meta, origin_ms=part.jobs.origin_ms))


def unmoved(moves: Moves) -> Moves:
    """The same jobs, none of which may move."""
    return replace(moves, movable=np.zeros_like(moves.movable))
