"""Reader of the Grid Workload Format: the archive's 29 columns, and the comma-separated kind with dependencies.

The archive's kind has words between blanks, below comments with ``#`` or a header line. Times are in seconds, usually
Unix times. ``-1`` is unknown. Beyond what SWF has, the sites a job came from and ran at are kept as ``x_orig_site`` and
``x_run_site``; ``account`` is the project, else the virtual organisation, else the group, whichever the trace has.

The comma-separated kind has a header line, padded fields and the columns WorkflowID, JobID, SubmitTime, RunTime,
NProcs, ReqNProcs, Dependencies (ids between blanks), or any of the archive's. The workflow is kept as ``x_workflow``, and
put before ids that are only unique within one.

References
----------
Iosup et al., "The Grid Workloads Archive", FGCS 24(7), 2008, doi:10.1016/j.future.2008.02.003.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import TraceError
from apportion.traces.files import stem
from apportion.traces.readers.swf import UNIX_TIMES_S
from apportion.traces.schema import UNKNOWN, Status, Trace, TraceMeta
from apportion.traces.texts import TextTable, csv_names, first_line, read_table

COLUMNS: Final = [
    "JobID", "SubmitTime", "WaitTime", "RunTime", "NProcs", "AverageCPUTimeUsed", "UsedMemory", "ReqNProcs",
    "ReqTime", "ReqMemory", "Status", "UserID", "GroupID", "ExecutableID", "QueueID", "PartitionID",
    "OrigSiteID", "LastRunSiteID", "JobStructure", "JobStructureParams", "UsedNetwork", "UsedLocalDiskSpace",
    "UsedResources", "ReqPlatform", "ReqNetwork", "ReqLocalDiskSpace", "ReqResources", "VOID", "ProjectID",
]  # fmt: skip
_UNUSED: Final = frozenset(COLUMNS[18:27])
_TIMES: Final = {
    "SubmitTime": "submit_ms",
    "WaitTime": "wait_ms",
    "RunTime": "run_ms",
    "AverageCPUTimeUsed": "cpu_ms",
    "ReqTime": "limit_ms",
}
_COUNTS: Final = {"NProcs": "procs_used", "ReqNProcs": "procs_req"}
_MEMORY: Final = {"UsedMemory": "mem_used_kib", "ReqMemory": "mem_req_kib"}
_LABELS: Final = {
    "UserID": "user",
    "GroupID": "group",
    "ExecutableID": "app",
    "QueueID": "queue",
    "PartitionID": "partition",
    "OrigSiteID": "x_orig_site",
    "LastRunSiteID": "x_run_site",
}
_MISSING: Final = ("", "-1")
_ALWAYS: Final = frozenset({"job_id", "submit_ms", "run_ms"})


def read(path: str) -> Trace:
    """Read a GWF file of either kind.

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    first = first_line(path, comment="#")
    return _comma(path, first) if "," in first else _archive(path, first)


def _archive(path: str, first: str) -> Trace:
    titled = first[:1].isalpha() and "submittime" in first.lower().replace(" ", "")
    names = ["" if name in _UNUSED else name for name in COLUMNS]
    remedy = f"a GWF line has {len(COLUMNS)} words, -1 for what is unknown; comments begin with '#'"
    table = read_table(path, names, separator=" ", comment="#", skip_lines=int(titled), remedy=remedy)
    return _trace(_jobs(table), path, table)


def _comma(path: str, first: str) -> Trace:
    known = {name.lower(): name for name in (*COLUMNS, "WorkflowID", "Dependencies")} | {"nproc": "NProcs"}
    names = [known.get(word.lower(), word) for word in csv_names(first)]
    lacking = [name for name in ("JobID", "SubmitTime", "RunTime") if name not in names]
    if lacking:
        raise TraceError(f"the header line has no {lacking[0]}", "is this a GWF file?", path=path, line=1)
    table = read_table(path, names, separator=",", comment="#", quote='"', skip_lines=1)
    jobs = _jobs(table)
    if "Dependencies" in table:
        jobs["dependencies"] = _dependencies(table)
    if "WorkflowID" in table:
        workflow = table["WorkflowID"].integers()
        jobs["x_workflow"] = table["WorkflowID"].category() if workflow is None else workflow
    return _trace(jobs, path, table, _names_of_workflows(jobs))


def _jobs(table: TextTable) -> dict[str, Any]:
    """What the table has of the archive's columns, without those that say nothing of any job."""
    jobs: dict[str, Any] = {"job_id": _ids(table)}
    for source, name in _TIMES.items():
        if source in table:
            jobs[name] = table.times(source)
    for source, name in (_COUNTS | _MEMORY).items():
        if source in table:
            jobs[name] = table.numbers(source, rounds=source in _MEMORY)
    if "Status" in table:
        status = table.numbers("Status")
        odd = (status < UNKNOWN) | (status > Status.CANCELLED)
        jobs["status"] = np.where(odd, UNKNOWN, status).astype(np.int8)
        if odd.any():
            jobs["status_raw"] = table["Status"].category(missing=_MISSING)
    for source, name in _LABELS.items():
        if source in table:
            jobs[name] = table[source].category(missing=_MISSING)
    for source in ("ProjectID", "VOID", "GroupID"):
        if source in table and len((account := table[source].category(missing=_MISSING)).categories):
            jobs["account"] = account
            break
    return {name: values for name, values in jobs.items() if name in _ALWAYS or _says(values)}


def _ids(table: TextTable) -> Any:
    """Ids as numbers, else as text."""
    numbers = table["JobID"].integers()
    if numbers is not None:
        return numbers
    codes, labels = table["JobID"].coded
    return np.array(labels, dtype=object)[codes]


def _dependencies(table: TextTable) -> Any:
    """Tuple of ids for each job, numbers where they are."""
    codes, labels = table["Dependencies"].coded
    lists = np.empty(len(labels), dtype=object)
    for k, label in enumerate(labels):
        lists[k] = tuple(
            int(word) if word.isdecimal() and len(word) < 19 else word for word in label.split() if word != "-1"
        )
    return lists[codes]


def _names_of_workflows(jobs: dict[str, Any]) -> tuple[str, ...]:
    """Put the workflow before the ids where each workflow numbers its own jobs; returns the note that says so."""
    if "x_workflow" not in jobs or not pd.Series(jobs["job_id"]).duplicated().any():
        return ()
    flows = list(jobs["x_workflow"])
    names = [f"{flow}/{job}" for flow, job in zip(flows, jobs["job_id"], strict=True)]
    if len(set(names)) < len(names):
        return ()
    jobs["job_id"] = np.array(names, dtype=object)
    if "dependencies" in jobs:
        lists = np.empty(len(names), dtype=object)
        for k, needs in enumerate(jobs["dependencies"]):
            lists[k] = tuple(f"{flows[k]}/{other}" for other in needs)
        jobs["dependencies"] = lists
    return ("each workflow numbers its own jobs: ids are written WORKFLOW/JOB",)


def _says(values: Any) -> bool:
    if isinstance(values, pd.Categorical):
        return len(values.categories) > 0
    return bool((values != UNKNOWN).any())


def _trace(jobs: dict[str, Any], path: str, table: TextTable, notes: tuple[str, ...] = ()) -> Trace:
    submit = jobs["submit_ms"][jobs["submit_ms"] != UNKNOWN]
    unix = submit.size > 0 and int(submit.min()) >= UNIX_TIMES_S * 1000
    meta = TraceMeta(
        name=stem(path),
        format="gwf",
        path=path,
        sha256=table.sha256,
        origin_ms=0 if unix else None,
        notes=notes,
        extra_columns=tuple(name for name in jobs if name.startswith("x_")),
    )
    return Trace(pd.DataFrame(jobs, copy=False), meta)
