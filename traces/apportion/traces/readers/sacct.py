"""Reader of Slurm accounting dumps: ``sacct --parsable2`` with any columns, and the headerless kind of 26.

With a header line, the columns may be any and in any order, and the delimiter any character that is no part of a word.
Needed are ``JobID`` (or ``JobIDRaw``), ``Submit``, ``Elapsed`` or ``Start`` and ``End``, and a size (one of `SIZES`, best
``NCPUS``). Without a header line the 26 columns of `HEADERLESS` are taken, which is what accounting collectors store.

Conventions
-----------
- Steps (``123.batch``, ``123.0``) are left out; a note says how many. So are header lines between jobs, where dumps were joined.
- Where a dump counts nodes only, these are its processors, with a note.
- Fields of a comma-separated dump may stand in quotes.
- Ids are numbers if all are; array and heterogeneous jobs (``123_4``, ``123+0``) make them text.
- Times are local to the cluster; ``tz`` says where that is. A repeated hour in autumn is taken as its first pass.
- A job **never started** if it has no nodes (``None assigned``), 0 CPUs or no start time, or, where the dump has neither column,
  was cancelled with no time elapsed and nothing allocated: then ``run_ms`` and what it used are unknown, and ``wait_ms`` is the
  time until it was cancelled, as SWF has it (Slurm repeats the end as the start of such a job).
- A job that **still ran** when the dump was made has the run time until then, with a note; so have those of PBS logs.
- ``UNLIMITED`` and ``Partition_Limit`` are no limit that the file tells: -1, with a note.
- Memory is the job's (``mem_basis`` is ``job``): from ReqTRES, else from ReqMem times CPUs or nodes, whichever it
  counts by.
- ``status_raw`` is the state as written (``CANCELLED by 1000``).

References
----------
sacct(1), https://slurm.schedmd.com/sacct.html.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.files import stem
from apportion.traces.readers import slurm_values as slurm
from apportion.traces.readers.local_times import Clock
from apportion.traces.schema import UNKNOWN, Status, Trace, TraceMeta
from apportion.traces.texts import Texts, TextTable, csv_names, first_line, read_table

Ints = NDArray[np.int64]

HEADERLESS: Final = [
    "jobid", "jobidraw", "cluster", "partition", "qos", "account", "group", "gid", "user", "uid", "submit",
    "eligible", "start", "end", "elapsed", "exitcode", "state", "nnodes", "ncpus", "reqcpus", "reqmem",
    "reqtres", "alloctres", "timelimit", "nodelist", "jobname",
]  # fmt: skip
USED: Final = frozenset(
    {
        "jobid", "jobidraw", "partition", "qos", "account", "group", "user", "submit", "start", "end",
        "elapsed", "elapsedraw", "state", "nnodes", "allocnodes", "reqnodes", "ncpus", "alloccpus", "reqcpus",
        "reqmem", "reqtres", "alloctres", "timelimit", "timelimitraw", "totalcpu",
        "nodelist", "jobname",
    }
)  # fmt: skip
DUMP: Final = (
    "dump with sacct -a -X -P --format=JobID,User,Account,Partition,QOS,Submit,Start,End,Elapsed,State,"
    "NNodes,NCPUS,ReqCPUS,ReqMem,ReqTRES,AllocTRES,Timelimit,NodeList"
)
_DELIMITER: Final = re.compile(r"^(?:.*[A-Za-z0-9])?([^A-Za-z0-9_ %]?)JobID(?:Raw)?([^A-Za-z0-9_ %]?)", re.IGNORECASE)
_CPUS: Final = ("alloccpus", "ncpus")  # allocated; two names of one number
SIZES: Final = (*_CPUS, "reqcpus", "alloctres", "reqtres", "nnodes", "allocnodes", "reqnodes")
_LABELS: Final = {
    "user": "user",
    "group": "group",
    "account": "account",
    "qos": "qos",
    "jobname": "app",
    "partition": "partition",
}


def read(path: str, *, tz: str | None = None) -> Trace:
    """Read a sacct dump.

    Parameters
    ----------
    path : str
    tz : str, optional
        IANA zone of the cluster; UTC by default, with a note.

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    clock = Clock(path, tz)
    table, notes = _table(path)
    submit = clock.read(table, "submit", missing=slurm.NO_TIME)
    start = clock.read(table, "start", missing=slurm.NO_TIME) if "start" in table else None
    end = clock.read(table, "end", missing=slurm.NO_TIME) if "end" in table else None
    run = _run(table, start, end)
    unstarted = _unstarted(table, start, run)
    jobs: dict[str, Any] = {"job_id": _ids(table), "submit_ms": submit}

    if start is not None:
        wait = np.where((start != UNKNOWN) & (submit != UNKNOWN), start - submit, UNKNOWN)
        if end is not None:
            wait = np.where(unstarted, np.where((end != UNKNOWN) & (submit != UNKNOWN), end - submit, UNKNOWN), wait)
        jobs["wait_ms"] = wait
    jobs["run_ms"] = np.where(unstarted, UNKNOWN, run)
    if unstarted.any():
        notes.append(f"{counted(int(unstarted.sum()), 'job')} never started")

    used, asked = _sizes(table)
    if not {"procs_used", "procs_req"} & (used.keys() | asked.keys()):
        notes.append("sizes are counted in nodes")
        used |= {"procs_used": used["nodes_used"]} if "nodes_used" in used else {}
        asked |= {"procs_req": asked["nodes_req"]} if "nodes_req" in asked else {}
    jobs |= {name: np.where(unstarted, UNKNOWN, values) for name, values in used.items()} | asked
    if (limit := _limit(table, notes)) is not None:
        jobs["limit_ms"] = limit
    if "totalcpu" in table:
        jobs["cpu_ms"] = _mean(table.each("totalcpu", slurm.span_ms), jobs.get("procs_used"))
    memory = _memory(table, jobs)
    if memory is not None:
        jobs["mem_req_kib"] = memory
    if "state" in table:
        jobs["status"] = table.each("state", slurm.status).astype(np.int8)
        jobs["status_raw"] = table["state"].category()
        running = (jobs["status"] == Status.RUNNING) & (jobs["run_ms"] != UNKNOWN)
        unfinished = int((running if end is None else running & (end == UNKNOWN)).sum())  # RESIZING may have an end
        if unfinished:
            notes.append(f"{counted(unfinished, 'job')} still ran when the dump was made, with the run time until then")
    for source, name in _LABELS.items():
        if source in table:
            jobs[name] = table[source].category()
    if "account" not in jobs and "group" in jobs:
        jobs["account"] = jobs["group"]
    if "reqtres" in table:
        jobs["request"] = table["reqtres"].category()

    meta = TraceMeta(
        name=stem(path),
        format="sacct",
        path=path,
        sha256=table.sha256,
        origin_ms=0,
        timezone=tz or "",
        mem_basis="job",
        notes=(*notes, *clock.notes()),
    )
    return Trace(pd.DataFrame(jobs, copy=False), meta)


def _table(path: str) -> tuple[TextTable, list[str]]:
    """Columns of the jobs, steps left out."""
    first = first_line(path)
    if len(first.split()) > 1 and re.fullmatch(r"[\w% ]+", first):
        raise TraceError("is laid out in columns of fixed width, which cuts values off", DUMP, path=path, line=1)
    match = _DELIMITER.match(first.replace('"', ""))
    separator = (match[1] or match[2] or "|") if match else "|"
    quote = '"' if separator == "," else ""
    if match and separator.isascii():
        columns = csv_names(first) if quote else first.split(separator)
        names = [name.strip().lower().split("%")[0] for name in columns]
        skip = 1
    else:
        names, skip, separator = HEADERLESS, 0, "|"
    lacking = []
    if not {"jobid", "jobidraw"} & set(names):
        lacking.append("JobID")
    if "submit" not in names:
        lacking.append("Submit")
    if not {"elapsed", "elapsedraw"} & set(names) and not {"start", "end"} <= set(names):
        lacking.append("Elapsed")
    if not set(SIZES) & set(names):
        lacking.append("NCPUS")
    if lacking:
        raise TraceError(f"has no column {' or '.join(lacking)}", DUMP, path=path, line=1)
    wanted = [name if name in USED else "" for name in names]
    remedy = "a delimiter inside a job name does this; dump without JobName, or with another --delimiter"
    if not skip:
        remedy = f"without a header line these {len(HEADERLESS)} are expected; dump without --noheader"
    table = read_table(path, wanted, separator=separator, quote=quote, skip_lines=skip, remedy=remedy)

    ids = table[_id_column(table)]
    steps = ids.marks(lambda text: "." in text)
    titles = ids.marks(lambda text: text.lower() == _id_column(table))
    if (steps | titles).all():
        raise TraceError("has steps only, no jobs", DUMP, path=path)
    notes = [f"{counted(int(steps.sum()), 'job step')} left out"] if steps.any() else []
    if titles.any():
        notes.append(f"{counted(int(titles.sum()), 'further header line')} left out")
    return table.take(~(steps | titles)), notes


def _id_column(table: TextTable) -> str:
    return "jobid" if "jobid" in table else "jobidraw"


def _ids(table: TextTable) -> Any:
    column: Texts = table[_id_column(table)]
    numbers = column.integers()
    if numbers is not None:
        return numbers
    codes, labels = column.coded
    return np.array(labels, dtype=object)[codes]


def _unstarted(table: TextTable, start: Ints | None, run: Ints) -> NDArray[np.bool_]:
    never = np.zeros(len(table), dtype=np.bool_)
    if "nodelist" in table:
        never |= table["nodelist"].marks(lambda text: text in {"None assigned", "(null)"})
    if (column := table.first_of(*_CPUS)) is not None:
        never |= table.each(column, slurm.count) == 0
    elif "nodelist" not in table and "state" in table:
        empty = table["alloctres"].marks(lambda text: not text) if "alloctres" in table else True
        never |= (table.each("state", slurm.status) == Status.CANCELLED) & (run == 0) & empty
    if start is not None:
        never |= start == UNKNOWN
    return never


def _run(table: TextTable, start: Ints | None, end: Ints | None) -> Ints:
    if "elapsedraw" in table:
        return table.times("elapsedraw")
    if "elapsed" in table:
        return table.each("elapsed", slurm.span_ms)
    if start is None or end is None:
        raise TraceError("has no column Elapsed", DUMP, path=table.path, line=1)
    return np.where((start != UNKNOWN) & (end != UNKNOWN), end - start, UNKNOWN)


def _sizes(table: TextTable) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Allocated and requested processors, nodes and GPUs, as far as the columns tell."""

    def amount(*columns: str, trait: str, lists: tuple[str, ...]) -> Ints | None:
        if (column := table.first_of(*columns)) is not None:
            return table.each(column, slurm.count)
        if (column := table.first_of(*lists)) is not None:
            return table.each(column, lambda text: slurm.tres(text, trait))
        return None

    def gpus(*lists: str) -> Ints | None:
        column = table.first_of(*lists)
        if column is None:
            return None
        values = table.each(column, lambda text: slurm.tres(text, "gres/gpu"))
        return values if (values != UNKNOWN).any() else None

    used = {
        "procs_used": amount(*_CPUS, trait="cpu", lists=("alloctres",)),
        "nodes_used": amount("allocnodes", "nnodes", trait="node", lists=("alloctres",)),
        "gpus_used": gpus("alloctres"),
    }
    asked = {
        "procs_req": amount("reqcpus", trait="cpu", lists=("reqtres",)),
        "nodes_req": amount("reqnodes", trait="node", lists=("reqtres",)),
        "gpus_req": gpus("reqtres"),
    }
    return (
        {name: values for name, values in used.items() if values is not None},
        {name: values for name, values in asked.items() if values is not None},
    )


def _limit(table: TextTable, notes: list[str]) -> Ints | None:
    if "timelimit" in table:
        without = table["timelimit"].marks(lambda text: text in slurm.NO_LIMIT)
        if without.any():
            notes.append(
                f"{counted(int(without.sum()), 'job has', 'jobs have')} no time limit of their own (UNLIMITED, Partition_Limit)"
            )
        return table.each("timelimit", slurm.limit_ms)
    if "timelimitraw" in table:
        return table.each("timelimitraw", slurm.limit_ms)
    return None


def _mean(total: Ints, procs: Ints | None) -> Ints:
    """CPU time per processor, rounded half to even."""
    if procs is None:
        return np.full(total.size, UNKNOWN, dtype=np.int64)
    by = np.maximum(procs, 1)
    mean = total // by
    rest = 2 * (total - mean * by)
    mean += (rest > by) | ((rest == by) & (mean % 2 == 1))
    return np.where((total == UNKNOWN) | (procs <= 0), UNKNOWN, mean)


def _memory(table: TextTable, jobs: dict[str, Any]) -> Ints | None:
    """Memory the whole job asked for, in KiB."""
    listed = table.each("reqtres", lambda text: slurm.tres(text, "mem")) if "reqtres" in table else None
    if "reqmem" not in table:
        return listed
    kib = table.each("reqmem", lambda text: slurm.req_mem(text).kib)
    per_cpu = table.each("reqmem", lambda text: int(slurm.req_mem(text).per == "cpu")) == 1
    per_node = table.each("reqmem", lambda text: int(slurm.req_mem(text).per == "node")) == 1
    unknown = np.full(len(table), UNKNOWN, dtype=np.int64)
    cpus = jobs.get("procs_req", jobs.get("procs_used", unknown))
    nodes = jobs.get("nodes_used", jobs.get("nodes_req", unknown))
    nodes = np.where(nodes == UNKNOWN, jobs.get("nodes_req", unknown), nodes)
    times = np.where(per_cpu, cpus, np.where(per_node, nodes, 1))
    limit = 2**62
    safe = (kib > 0) & (times > 0) & (kib < limit // np.maximum(times, 1))
    total = np.where(safe, np.where(safe, kib, 1) * np.where(safe, times, 1), np.where(kib == 0, 0, UNKNOWN))
    return total if listed is None else np.where(listed != UNKNOWN, listed, total)
