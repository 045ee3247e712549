"""Reader of ``sacct --json`` and of slurmrestd's ``/slurmdb/.../jobs``, in each shape of Slurm's data parsers.

Shapes that are understood (data_parser v0.0.37 to v0.0.43):

- Numbers that may be unset: plain, null, or ``{"set": true, "infinite": false, "number": 10}``. Unset and infinite are
  unknown.
- State: a word, or a list of words of which the first is the state and further ones are flags.
- Memory: ``required.memory`` (MiB, the per-CPU bit set if per CPU) up to v0.0.38, then ``memory_per_cpu`` and
  ``memory_per_node``.
- User and account: in the job, or in its ``association``. QOS: a name or an object with one.

Times are Unix times. The text is read as a whole, so a dump takes about ten times its size in memory; for millions of
jobs use ``sacct --parsable2``. Conventions are those of `apportion.traces.readers.sacct`.

References
----------
Slurm REST API reference, https://slurm.schedmd.com/rest_api.html.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.files import TraceFile, stem
from apportion.traces.readers import slurm_values as slurm
from apportion.traces.schema import UNKNOWN, Status, Trace, TraceMeta

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST: Final = 2**62
_PER_CPU_BITS: Final = (2**63, 2**31)
_UNSET: Final = frozenset(
    {2**64 - 1, 2**64 - 2, 2**32 - 1, 2**32 - 2}
)  # Slurm's INFINITE and NO_VAL where they slip through
_NO_JOBS: Final = "dump with sacct -a -X --json"


def read(path: str) -> Trace:
    """Read a JSON dump of jobs.

    Raises
    ------
    TraceError
        With the file, the line (of a fault in the JSON) or the job's place, and what to do.
    """
    with TraceFile(path) as file:
        text = file.read()
        sha256 = file.sha256()
    if not text:
        raise TraceError("is empty", "give a trace with at least one job", path=path)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise TraceError(f"is not JSON: {error.msg}", "dump it again", path=path, line=error.lineno) from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        what = "it is nested too deep" if isinstance(error, RecursionError) else "it is no UTF-8 text"
        if type(error) is ValueError:  # of the standard library's guard against huge numbers
            what = "a number is too large"
        raise TraceError(f"is not JSON that can be read: {what}", "dump it again", path=path) from None
    del text
    records = document.get("jobs") if isinstance(document, dict) else document
    if not isinstance(records, list) or not records:
        raise TraceError("has no jobs", _NO_JOBS, path=path)
    rows = []
    for k, record in enumerate(records, start=1):
        try:
            rows.append(_row(record))
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            raise TraceError(f"job {k} of the list: {error}", "correct or remove it", path=path) from None
    return Trace(_frame(rows), _meta(path, sha256, rows))


def number(given: Any) -> int:
    """Whole number of any shape; -1 where unset, infinite or absent."""
    value: object = given
    if isinstance(given, dict):
        if not given.get("set", False) or given.get("infinite", False):
            return UNKNOWN
        value = given.get("number")
    if value is None or isinstance(value, bool):
        return UNKNOWN
    if isinstance(value, str):
        if not value.isdecimal() or len(value) > 20:
            return UNKNOWN
        value = int(value)
    if not isinstance(value, (int, float)):
        raise TypeError(f"'{str(value)[:40]}' is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        return UNKNOWN
    value = int(value)
    if value in _UNSET:
        return UNKNOWN
    if abs(value) >= _LARGEST:
        raise ValueError(f"{str(value)[:20]} is too large a number")
    return value


def _part(record: Any, key: str) -> dict[str, Any]:
    part = record.get(key)
    return part if isinstance(part, dict) else {}


def _label(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("name", "")
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else ""


def _seconds(value: Any) -> int:
    """Time stamp or span in ms; 0 and unset stamps are the caller's business."""
    seconds = number(value)
    return UNKNOWN if seconds < 0 else seconds * 1000


def _tres(entries: Any, kind: str) -> int:
    """Amount of one TRES in a list of objects; for GPUs the untyped count, else the sum over the types."""
    typed = UNKNOWN
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        name = str(entry.get("type", ""))
        detail = str(entry.get("name", "") or "")
        if name == kind:
            return number(entry.get("count"))
        if kind == "gpu" and name == "gres":
            if detail == "gpu":
                return number(entry.get("count"))
            if detail.startswith("gpu:"):
                typed = max(typed, 0) + max(number(entry.get("count")), 0)
    return typed


def _row(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise TypeError("is not an object")
    times, required, tres = _part(record, "time"), _part(record, "required"), _part(record, "tres")
    association = _part(record, "association")
    states = _part(record, "state").get("current", record.get("state"))
    words = [str(word) for word in states] if isinstance(states, list) else [states] if isinstance(states, str) else []
    status = slurm.status(words[0]) if words else Status.UNKNOWN

    submit, start, end = (_seconds(times.get(key)) for key in ("submission", "start", "end"))
    if "submission" not in times:
        raise ValueError("has no time.submission, as sacct writes it (what squeue writes forgets jobs)")
    if submit <= 0:
        submit = UNKNOWN
    left_at_once = status == Status.CANCELLED and number(times.get("elapsed")) <= 0 and not tres.get("allocated")
    started = start > 0 and record.get("nodes", "") not in {"None assigned", "(null)"} and not left_at_once
    ended = end > 0
    procs_used = _tres(tres.get("allocated"), "cpu")
    row: dict[str, Any] = {
        "job_id": _id(record),
        "submit_ms": submit,
        "wait_ms": (start if started else end) - submit if submit > 0 and (started or ended) else UNKNOWN,
        "run_ms": _elapsed(times, start, end) if started else UNKNOWN,
        "procs_used": procs_used if started else UNKNOWN,
        "procs_req": _first(_tres(tres.get("requested"), "cpu"), number(required.get("CPUs"))),
        "nodes_used": _first(_tres(tres.get("allocated"), "node"), number(record.get("allocation_nodes")))
        if started
        else UNKNOWN,
        "nodes_req": _tres(tres.get("requested"), "node"),
        "gpus_used": _tres(tres.get("allocated"), "gpu") if started else UNKNOWN,
        "gpus_req": _tres(tres.get("requested"), "gpu"),
        "limit_ms": _seconds(times.get("limit")) * 60 if _seconds(times.get("limit")) > 0 else UNKNOWN,
        "cpu_ms": _cpu_ms(times, procs_used) if started else UNKNOWN,
        "status": int(status),
        "status_raw": _label(",".join(words)),
        "user": _label(record.get("user")) or _label(association.get("user")),
        "group": _label(record.get("group")),
        "account": _label(record.get("account")) or _label(association.get("account")),
        "qos": _label(record.get("qos")),
        "app": _label(record.get("name")),
        "partition": _label(record.get("partition")),
    }
    row["mem_req_kib"] = _memory(required, tres, row)
    return row


def _id(record: dict[str, Any]) -> int | str:
    """Name a job by its number, and an array's task by the array's number and its own."""
    array = _part(record, "array")
    task = number(array.get("task_id"))
    base = number(array.get("job_id"))
    if base > 0 and task >= 0:
        return f"{base}_{task}"
    job = number(record.get("job_id"))
    if job < 0:
        raise ValueError("has no job_id")
    return job


def _first(*values: int) -> int:
    return next((value for value in values if value != UNKNOWN), UNKNOWN)


def _elapsed(times: dict[str, Any], start: int, end: int) -> int:
    elapsed = _seconds(times.get("elapsed"))
    return elapsed if elapsed >= 0 or end <= 0 else end - start


def _cpu_ms(times: dict[str, Any], procs: int) -> int:
    total = _part(times, "total")
    if procs <= 0 or not total:
        return UNKNOWN
    micros = max(number(total.get("seconds")), 0) * 1_000_000 + max(number(total.get("microseconds")), 0)
    return round(micros / (1000 * procs))


def _memory(required: dict[str, Any], tres: dict[str, Any], row: dict[str, Any]) -> int:
    """Memory the whole job asked for, in KiB."""
    listed = _tres(tres.get("requested"), "mem")
    if listed > 0:
        return listed * 1024
    cpus = _first(row["procs_req"], row["procs_used"])
    nodes = _first(row["nodes_used"], row["nodes_req"])
    per_cpu, per_node = number(required.get("memory_per_cpu")), number(required.get("memory_per_node"))
    old = required.get("memory")
    if isinstance(old, int) and not isinstance(old, bool) and old > 0:
        flag = next((bit for bit in _PER_CPU_BITS if old & bit), 0)
        if flag:
            per_cpu = number(old & ~flag)
        else:
            per_node = number(old)
    if per_cpu > 0 and cpus > 0:
        return per_cpu * cpus * 1024
    if per_node > 0 and nodes > 0:
        return per_node * nodes * 1024
    return UNKNOWN


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    jobs: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name == "job_id":
            texts = any(isinstance(value, str) for value in values)
            jobs[name] = (
                np.array([str(value) for value in values], dtype=object) if texts else np.array(values, dtype=np.int64)
            )
        elif name == "status":
            jobs[name] = np.array(values, dtype=np.int8)
        elif isinstance(values[0], str):
            if any(values):
                jobs[name] = pd.Categorical([value or None for value in values])
        else:
            array = np.array(values, dtype=np.int64)
            if name in {"submit_ms", "run_ms"} or (array != UNKNOWN).any():
                jobs[name] = array
    if "account" not in jobs and "group" in jobs:
        jobs["account"] = jobs["group"]
    return pd.DataFrame(jobs, copy=False)


def _meta(path: str, sha256: str, rows: list[dict[str, Any]]) -> TraceMeta:
    count: Callable[[str], int] = lambda name: sum(row[name] == UNKNOWN for row in rows)  # noqa: E731
    notes = []
    if count("run_ms"):
        notes.append(f"{counted(count('run_ms'), 'job')} never started")
    if count("limit_ms"):
        notes.append(f"{counted(count('limit_ms'), 'job has', 'jobs have')} no time limit of their own")
    unfinished = sum(row["status"] == Status.RUNNING and row["run_ms"] != UNKNOWN for row in rows)
    if unfinished:
        notes.append(f"{counted(unfinished, 'job')} still ran when the dump was made, with the run time until then")
    return TraceMeta(
        name=stem(path), format="sacct-json", path=path, sha256=sha256, origin_ms=0, mem_basis="job", notes=tuple(notes)
    )
