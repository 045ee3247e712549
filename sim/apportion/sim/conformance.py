"""Conformance: replay workloads whose schedules are known to be right, and count equal starts.

Known schedules come as a folder with one workload ``NAME.swf[.gz]`` and schedules ``NAME.POLICY[-batch].csv[.gz]`` (columns job_id,
submit, start, end, procs). A few small ones, worked out by hand, are built in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from apportion.core.errors import UserError
from apportion.policy.load import load
from apportion.sim.conventions import Conventions
from apportion.sim.replay import replay
from apportion.sim.workload import Workload, from_trace
from apportion.traces.schema import Status, Trace, TraceMeta

POLICIES: Final = {"fcfs": "fcfs", "easy": "easy", "cons": "conservative", "sjbf": "easy-sjbf", "sjf": "sjf"}


@dataclass(frozen=True)
class Known:
    """A workload, and the start of each of its jobs under one policy, ms from the origin."""

    name: str
    policy: str
    trace: Trace
    procs: int
    start_ms: np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Verdict:
    """How many starts were equal; ``first`` names the earliest job (by known start) that was not."""

    name: str
    policy: str
    engine: str
    jobs: int
    equal: int
    first: str

    @property
    def holds(self) -> bool:
        """Whether all were."""
        return self.equal == self.jobs


# submit, run, limit, procs on 4 processors, and the starts by policy; times in seconds. Worked out by hand.
_BY_HAND: Final = (
    (
        "head-and-holes",
        ((0, 100, 100, 3), (10, 50, 60, 4), (20, 30, 80, 1), (30, 20, 90, 1), (40, 10, 20, 2)),
        {
            "fcfs": (0, 100, 150, 150, 150),
            "easy": (0, 100, 20, 150, 150),
            "conservative": (0, 100, 20, 150, 150),
            "easy-sjbf": (0, 100, 20, 150, 150),
            "sjf": (0, 110, 160, 160, 100),
        },
    ),
    (
        "early-end",
        ((0, 50, 100, 2), (0, 80, 80, 2), (1, 30, 30, 4), (2, 20, 30, 2), (3, 60, 60, 2)),
        {
            "fcfs": (0, 0, 80, 110, 110),
            "easy": (0, 0, 80, 50, 110),
            "conservative": (0, 0, 80, 50, 110),
        },
    ),
)


def built_in() -> Iterator[Known]:
    """The schedules worked out by hand."""
    for name, rows, schedules in _BY_HAND:
        submit, run, limit, procs = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        jobs = pd.DataFrame(
            {
                "job_id": np.arange(1, len(rows) + 1),
                "submit_ms": submit * 1000,
                "run_ms": run * 1000,
                "procs_req": procs,
                "limit_ms": limit * 1000,
                "status": np.full(len(rows), Status.COMPLETED, np.int8),
            }
        )
        trace = Trace(jobs, TraceMeta(name=name, format="synthetic", max_procs=4))
        for policy, starts in schedules.items():
            yield Known(name, policy, trace, 4, np.array(starts, np.int64) * 1000)


def in_folder(folder: Path, procs: int = 100) -> Iterator[Known]:
    """Known schedules of a folder, in the order of their names."""
    from apportion.traces import read

    if not folder.is_dir():
        raise UserError("there is no folder of known schedules here", "give one with --oracles", path=folder)
    for workload in sorted(folder.glob("*.swf*")):
        name = workload.name.split(".", 1)[0]
        trace = read(workload)
        size = trace.meta.max_procs if trace.meta.max_procs > 0 else procs
        for path in sorted(folder.glob(f"{name}.*.csv*")):
            key = path.name.split(".")[1].removesuffix("-batch")
            if key not in POLICIES:
                continue
            table = pd.read_csv(path)
            start = table.set_index(table.columns[0])["start"].reindex(trace.jobs["job_id"])
            if start.isna().any():
                raise UserError("the schedule does not name every job of its workload", path=path)
            yield Known(f"{path.name.split('.csv')[0]}", POLICIES[key], trace, size, start.to_numpy(np.int64) * 1000)


def check(known: Known, engine: str) -> Verdict:
    """Replay one workload in one engine and compare every start."""
    workload: Workload = from_trace(known.trace, Conventions(), known.procs)
    schedule = replay(workload, load(known.policy), engine)
    got = schedule.start_ms - workload.jobs.origin_ms
    want = known.start_ms[workload.row]
    wrong = np.flatnonzero(got != want)
    first = ""
    if len(wrong):
        k = int(wrong[np.argmin(want[wrong])])
        job = known.trace.jobs["job_id"].iloc[int(workload.row[k])]
        first = f"job {job} starts at {got[k] / 1000:g} s, known is {want[k] / 1000:g} s"
    return Verdict(known.name, known.policy, engine, len(known.trace), int((got == want).sum()), first)
