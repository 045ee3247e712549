"""The first decision in which two runs part, and the state of the machine around it, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.errors import RunError
from apportion.core.units import counted

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from apportion.metrics.run import Run

SHOWN = 5


@dataclass(frozen=True)
class Divergence:
    """Where two runs part. ``time_s`` is None if they never do. ``lines`` say it to people."""

    time_s: float | None
    job_id: Any
    jobs_that_differ: int
    lines: tuple[str, ...]


def first_divergence(a: Path, b: Path) -> Divergence:
    """Compare two run folders job by job.

    Raises
    ------
    RunError
        If a folder is not a run, or the runs are of different jobs.
    """
    from apportion.metrics.run import load_run

    one, two = load_run(a), load_run(b)
    if not _same_jobs(one, two):  # in another order where jobs are submitted when others have ended
        one, two = (replace(run, jobs=run.jobs.sort_values("job_id", kind="stable")) for run in (one, two))
        if not _same_jobs(one, two):
            raise RunError("the runs are not of the same jobs", "compare runs of one trace, cleaned alike", path=b)
    start_a, start_b = (run.jobs["start_s"].to_numpy() for run in (one, two))
    state_a, state_b = (run.jobs["state"].astype(str).to_numpy() for run in (one, two))
    differ = ~((start_a == start_b) | (np.isnan(start_a) & np.isnan(start_b)))
    only_state = ~differ & (state_a != state_b)
    lines = [_conventions(one, two)] if _conventions(one, two) else []
    if not differ.any():
        said = f"all of {counted(len(one.jobs), 'job')} start alike"
        if only_state.any():
            said += f"; {int(only_state.sum()):,} end in another state"
        return Divergence(None, None, 0, (said, *lines))
    when = np.fmin(start_a, start_b)
    first = float(np.nanmin(when[differ]))
    tied = np.flatnonzero(differ & (when == first))
    job = int(tied[0])
    row = one.jobs.iloc[job]
    lines.insert(
        0,
        f"{int(differ.sum()):,} of {counted(len(differ), 'job')} started at another time; until {first:g} s all decisions are the same",
    )
    lines.append(
        f"at {first:g} s: job {row['job_id']} ({counted(int(row['procs']), 'processor')}, "
        f"limit {row['limit_s']:g} s, submitted {row['submit_s']:g} s)"
        f" starts {_when(start_a[job])} in {one.name} and {_when(start_b[job])} in {two.name}"
    )
    if len(tied) > 1:
        others = ", ".join(str(one.jobs["job_id"].iloc[k]) for k in tied[1 : SHOWN + 1])
        lines.append(f"at the same instant also: {others}{' ...' if len(tied) > SHOWN + 1 else ''}")
    lines += _around(one, first)
    return Divergence(first, row["job_id"], int(differ.sum()), tuple(lines))


def _same_jobs(one: Run, two: Run) -> bool:
    ids = [run.jobs["job_id"].to_numpy() for run in (one, two)]
    return len(ids[0]) == len(ids[1]) and bool((ids[0] == ids[1]).all())


def _when(start: float) -> str:
    return "never" if np.isnan(start) else f"at {start:g} s"


def _conventions(one: Run, two: Run) -> str:
    """What the runs were told differently."""
    told = [
        name
        for name in ("policy_hash", "conventions", "pools", "engine")
        if one.manifest.get(name) != two.manifest.get(name)
    ]
    return f"the runs differ in: {', '.join(told)}" if told else ""


def _around(run: Run, time_s: float) -> list[str]:
    """Running jobs, free processors and the head of the queue just before a time at which both runs were still alike."""
    jobs = run.jobs
    running = jobs[(jobs["start_s"] < time_s) & (jobs["end_s"] > time_s)]
    waiting = jobs[(jobs["submit_s"] <= time_s) & ~(jobs["start_s"] < time_s) & (jobs["state"] != "REJECTED")]
    waiting = waiting[~(waiting["end_s"] <= time_s)]
    procs = sum(int(pool["procs"]) for pool in run.manifest.get("pools", []))
    lines = [
        (
            f"just before: {counted(len(running), 'job runs', 'jobs run')} on {int(running['procs'].sum()):,} of {counted(procs, 'processor')}, "
            f"{counted(len(waiting), 'waits', 'wait')} for {int(waiting['procs'].sum()):,}"
        )
    ]
    lines += _list("waiting longest", waiting, "submit_s")
    expected = running.assign(expected_end_s=running["start_s"] + running["limit_s"]).sort_values("expected_end_s")
    lines += _list("expected to end next", expected, "expected_end_s")
    return lines


def _list(title: str, jobs: pd.DataFrame, column: str) -> list[str]:
    if not len(jobs):
        return []
    what = column.removesuffix("_s").replace("_", " ")
    shown = [
        f"job {row.job_id} ({row.procs} procs, limit {row.limit_s:g} s, {what} {getattr(row, column):g} s)"
        for row in jobs.head(SHOWN).itertuples()
    ]
    return [f"{title}: {'; '.join(shown)}"]
