"""Conformance: replay workloads whose schedules are known to be right, and count the jobs that start and end so.

Known schedules come as a folder with workloads ``NAME.swf[.gz]`` and schedules ``NAME.POLICY[-batch].csv[.gz]`` (`COLUMNS`, of
which ``job_id`` and ``start`` must be there). A few small ones, worked out by hand, are built in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from apportion.core.errors import UserError
from apportion.core.tables import Ints
from apportion.policy.load import load, preset_names
from apportion.sim.conventions import CHOICES, Conventions
from apportion.sim.replay import replay
from apportion.sim.workload import Workload, from_trace, recorded_procs
from apportion.traces.schema import Status, Trace, TraceMeta

COLUMNS: Final = ("job_id", "submit", "start", "end", "procs")
NEVER_MS: Final = -1
POLICIES: Final = {"fcfs": "fcfs", "easy": "easy", "cons": "conservative", "sjbf": "easy-sjbf", "sjf": "sjf"}


@dataclass(frozen=True)
class Known:
    """A workload, and when each of its jobs starts, and ends where that is known, under one policy.

    Times are ms from the origin; -1 is never, or not known of an end.
    """

    name: str
    policy: str
    trace: Trace
    procs: int
    start_ms: Ints
    end_ms: Ints | None = None


@dataclass(frozen=True)
class Verdict:
    """How many jobs start as they should (``equal``); ``first`` says what the earliest other does.

    ``other_ends`` : of those that do, how many end otherwise than is known.
    """

    name: str
    policy: str
    engine: str
    jobs: int
    equal: int
    other_ends: int
    first: str

    @property
    def holds(self) -> bool:
        """Whether all do."""
        return self.equal == self.jobs and self.other_ends == 0


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
    (
        "ties",  # all submitted in pairs, an end at the same instant, one job of no length
        ((0, 10, 10, 4), (0, 10, 10, 2), (0, 5, 5, 2), (10, 5, 5, 2), (10, 0, 5, 4), (15, 5, 5, 4)),
        {
            "fcfs": (0, 10, 10, 15, 20, 20),
            "easy": (0, 10, 10, 15, 20, 20),
            "conservative": (0, 10, 10, 15, 20, 20),
            "easy-sjbf": (0, 10, 10, 15, 20, 20),
            "sjf": (5, 25, 0, 15, 20, 20),
        },
    ),
    (
        "kills",  # the first and the fourth are cut off at their limits
        ((0, 100, 50, 2), (0, 30, 60, 3), (1, 40, 40, 2), (2, 60, 50, 2), (3, 5, 5, 1)),
        {
            "fcfs": (0, 50, 80, 80, 120),
            "easy": (0, 50, 1, 80, 41),
            "conservative": (0, 50, 1, 80, 41),
            "sjf": (0, 96, 1, 46, 41),
        },
    ),
    (
        "up-to-the-shadow",  # backfilled jobs end just when the first in line is to start, or a second before
        ((0, 100, 100, 3), (0, 50, 50, 4), (0, 100, 100, 1), (0, 99, 99, 1), (100, 10, 10, 1), (100, 10, 10, 4)),
        {
            "fcfs": (0, 100, 150, 150, 150, 250),
            "easy": (0, 100, 0, 150, 150, 249),
            "conservative": (0, 100, 0, 150, 150, 249),
            "easy-sjbf": (0, 100, 150, 0, 150, 250),
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


def in_folder(folder: Path, procs: int = 100) -> tuple[list[Known], list[str]]:
    """Known schedules of a folder in the order of their names, and a sentence for each file that was passed over.

    Parameters
    ----------
    folder : Path
    procs : int
        Size of the machine where a workload does not say it.

    Raises
    ------
    UserError
        There is no such folder, or a schedule is not one of its workload.
    """
    from apportion.traces import read
    from apportion.traces.clean import clean
    from apportion.traces.rules import BY_RULE

    if not folder.is_dir():
        raise UserError("there is no folder of known schedules here", "give one with --oracles", path=folder)
    workloads = {path.name.split(".swf")[0]: path for path in sorted(folder.glob("*.swf*"))}
    in_order = [BY_RULE["unsorted-submit"]]  # nothing else is mended: the schedule is that of the jobs as written
    traces: dict[str, Trace] = {}
    known, others = [], []
    for path in sorted(folder.glob("*.csv*")):
        name = path.name.split(".csv")[0]
        workload, _, key = name.rpartition(".")
        word = key.lower().removesuffix("-batch")
        policy = POLICIES.get(word, word)
        if workload not in workloads:
            others.append(f"{path.name}: there is no workload {workload or 'NAME'}.swf beside it")
        elif policy.partition("+")[0] not in preset_names():
            others.append(f"{path.name}: '{key}' is no policy ({', '.join(POLICIES)}, or a preset)")
        else:
            if workload not in traces:
                traces[workload] = clean(read(workloads[workload]), in_order)[0]
            known.append(_read(path, name, policy, traces[workload], procs))
    others += [
        f"{workloads[one].name}: no schedule {one}.POLICY.csv beside it" for one in workloads if one not in traces
    ]
    return known, others


def _read(path: Path, name: str, policy: str, trace: Trace, procs: int) -> Known:
    """One schedule, held against its workload so that a difference found later is one of decisions."""
    from apportion.traces.texts import csv_names, first_line, read_table

    names = [column.lower() for column in csv_names(first_line(str(path)))]
    for column in ("job_id", "start"):
        if column not in names:
            raise UserError(f"has no column {column}", f"the columns are {', '.join(COLUMNS)}", path=path)
    table = read_table(
        str(path), [column if column in COLUMNS else "" for column in names], separator=",", quote='"', skip_lines=1
    )
    ids = table.numbers("job_id")
    jobs = pd.Index(trace.jobs["job_id"])
    if not jobs.is_unique:
        raise UserError("two jobs have one id, so a schedule cannot name them", "number them", path=trace.meta.path)
    row = jobs.get_indexer(pd.Index(ids))
    for wrong, what in ((row < 0, "is no job of the workload"), (pd.Index(ids).duplicated(), "has a line already")):
        if wrong.any():
            raise table.error("job_id", int(np.argmax(wrong)), what)
    if len(ids) < len(jobs):
        lacking = jobs.difference(pd.Index(ids))[0]
        raise UserError(f"has no line for job {lacking}", "the start of a job that never starts is -1", path=path)

    said = {
        "submit": (trace.column("submit_ms"),),
        "procs": tuple(recorded_procs(trace, size) for size in CHOICES["size"]),
    }
    for column, truths in said.items():
        if column in table:
            values = table.times(column) if column == "submit" else table.numbers(column)
            wrong = values >= 0
            for truth in truths:
                wrong &= values != truth[row]
            if wrong.any():
                k = int(np.argmax(wrong))
                known = truths[0][row[k]]
                known = _seconds(known) if column == "submit" else str(known)
                raise table.error(column, k, f"of job {ids[k]} is not what the workload says, {known}")
    start, end = (np.full(len(jobs), NEVER_MS) for _ in range(2))
    start[row] = table.times("start")
    if "end" in table:
        end[row] = table.times("end")
    size = trace.meta.max_procs if trace.meta.max_procs > 0 else procs
    return Known(name, policy, trace, size, start, end)


def check(known: Known, engine: str) -> Verdict:
    """Replay one workload in one engine; compare every start, and every end that is known."""
    workload: Workload = from_trace(known.trace, Conventions(), known.procs)
    schedule = replay(workload, load(known.policy), engine)
    start, end = (np.full(len(known.trace), NEVER_MS) for _ in range(2))
    for ours, theirs in ((start, schedule.start_ms), (end, schedule.end_ms)):
        ours[workload.row] = np.where(theirs < 0, NEVER_MS, theirs - workload.jobs.origin_ms)
    known_end = np.full_like(end, NEVER_MS) if known.end_ms is None else known.end_ms
    other_start = start != known.start_ms
    other_end = ~other_start & (end >= 0) & (known_end >= 0) & (end != known_end)
    wrong = np.flatnonzero(other_start | other_end)
    first = ""
    if len(wrong):
        k = int(wrong[np.argmin(np.where(known.start_ms < 0, start, known.start_ms)[wrong])])
        verb, got, want = ("starts", start, known.start_ms) if other_start[k] else ("ends", end, known_end)
        first = f"job {known.trace.jobs['job_id'].iloc[k]} {verb} {_moment(got[k])}, known is {_moment(want[k])}"
    n = len(known.trace)
    return Verdict(known.name, known.policy, engine, n, n - int(other_start.sum()), int(other_end.sum()), first)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"


def _moment(ms: int) -> str:
    return "never" if ms < 0 else f"at {_seconds(ms)}"
