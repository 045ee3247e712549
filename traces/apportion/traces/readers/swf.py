"""Reader of the Standard Workload Format, in every dialect of the public archives.

Dialects beyond the standard's 18 fields:

- **wagap** (CERIT-SC): 21 fields, the last three being the nodes used in braces (column ``x_nodes``), the queue's name
  (``queue``) and the PBS resource request (``request``). The published file has no header and gives requested memory in
  bytes; a file with a header is taken at the standard's word (kilobytes).
- **Frontier** (OLCF): 21 numeric fields; the further ones become ``x_19``, ``x_20``, ... Its sizes are counted in
  nodes.

Conventions
-----------
- Times are kept exactly, in ms; more than three decimals are rounded half to even, and so is memory.
- ``UnixStartTime`` gives the origin. Where all submit times are beyond `UNIX_TIMES_S` they must be Unix times: the origin is
  then the epoch, 0. Traces without either have relative times only.
- Status: codes 0 to 5 are the format's. Any other (raw exit codes, as in Sandia Ross) is `Status.UNKNOWN`, and
  ``status_raw`` holds the codes of all jobs.
- ``account`` is filled from the group. Ids are kept as labels; names of queues and partitions are in the `TraceMeta`.

References
----------
The Standard Workload Format, version 2.2, https://www.cs.huji.ac.il/labs/parallel/workload/swf.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces import categories, parsing, swf_header
from apportion.traces.files import TraceFile, stem
from apportion.traces.schema import UNKNOWN, Status, Trace, TraceMeta
from apportion.traces.texts import Spans, Texts

if TYPE_CHECKING:
    from collections.abc import Callable

Ints = NDArray[np.int64]

UNIX_TIMES_S: Final = 500_000_000  # 16 years in seconds: no trace is longer, and no machine logged before 1985

FIELDS: Final = (
    ("job number", "job_id"),
    ("submit time", "submit_ms"),
    ("wait time", "wait_ms"),
    ("run time", "run_ms"),
    ("allocated processors", "procs_used"),
    ("CPU time", "cpu_ms"),
    ("used memory", "mem_used_kib"),
    ("requested processors", "procs_req"),
    ("requested time", "limit_ms"),
    ("requested memory", "mem_req_kib"),
    ("status", "status"),
    ("user", "user"),
    ("group", "group"),
    ("executable", "app"),
    ("queue", "queue"),
    ("partition", "partition"),
    ("preceding job", "after_job"),
    ("think time", "think_ms"),
)
COLUMNS: Final = tuple(name for _, name in FIELDS)
SHIFTS: Final = np.array([3 if name.endswith("_ms") else 0 for name in COLUMNS], dtype=np.int64)
_ROUNDS: Final = np.array([int(name.endswith(("_ms", "_kib"))) for name in COLUMNS], dtype=np.int64)
_IDS: Final = frozenset({"user", "group", "app", "queue", "partition"})
_ALWAYS: Final = frozenset({"job_id", "submit_ms", "run_ms"})
_FIRST_JOB: Final = re.compile(rb"^[ \t\r]*([^;\s][^\n]*)$", re.MULTILINE)
_REMEDY: Final = "an SWF line is 18 numbers, -1 for what is unknown; comments begin with ';'"


@dataclass
class _Collected:
    """Columns of the blocks read so far, each block in the smallest type that holds it; None where it knows nothing."""

    columns: list[list[NDArray[Any] | None]] = field(default_factory=lambda: [[] for _ in FIELDS])
    sizes: list[int] = field(default_factory=list)
    extras: list[Spans] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    late_comments: int = 0
    lines: int = 0

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def knows(self, column: int) -> bool:
        return any(block is not None for block in self.columns[column])

    def take(self, column: int) -> Ints:
        """Whole column; its blocks are let go."""
        whole = np.empty(self.rows, dtype=np.int64)
        at = 0
        for k, size in enumerate(self.sizes):
            block = self.columns[column][k]
            whole[at : at + size] = UNKNOWN if block is None else block
            self.columns[column][k] = None
            at += size
        return whole


def _packed(values: Ints) -> NDArray[Any] | None:
    """Copy in the smallest type that holds it; None if all is unknown."""
    low, high = (int(values.min()), int(values.max())) if values.size else (UNKNOWN, UNKNOWN)
    if low == high == UNKNOWN:
        return None
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.copy()


def read(path: str) -> Trace:
    """Read an SWF file.

    Parameters
    ----------
    path : str
        Plain or compressed.

    Returns
    -------
    Trace

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    with TraceFile(path) as file:
        collected = _collect(file, path)
        sha256 = file.sha256()
    if collected.rows == 0:
        raise TraceError("has no jobs", "give a trace with at least one job", path=path)
    return _trace(collected, path, sha256)


def _collect(file: TraceFile, path: str) -> _Collected:
    collected = _Collected()
    width = 0
    for block, lines in file.blocks():
        data = parsing.indexable(block)
        if width == 0 and (first := _FIRST_JOB.search(block.data)):
            width = len(first[1].split())
            collected.extras = [Spans() for _ in range(width - parsing.SWF_FIELDS)]
        out = np.empty((parsing.SWF_FIELDS, lines), dtype=np.int64)
        extras = np.empty((len(collected.extras), 2, lines), dtype=np.int64)
        comments = np.empty((lines, 2), dtype=np.int64)
        rows, done, found, code, at, pos = parsing.swf_block(data, block.size, SHIFTS, _ROUNDS, out, extras, comments)
        if code != parsing.OK:
            raise _error(block, code, at, pos, width, path, collected.lines + done + 1)
        if collected.rows:
            collected.late_comments += found
        for start, end in comments[:found].tolist():
            collected.comments.append(block[start:end].tobytes().rstrip(b"\r").decode("utf-8", "surrogateescape"))
        for column, values in zip(collected.columns, out[:, :rows], strict=True):
            column.append(_packed(values))
        for spans, ends in zip(collected.extras, extras, strict=True):
            spans.add(block, ends[0, :rows], ends[1, :rows])
        collected.sizes.append(rows)
        collected.lines += lines
    return collected


def _error(block: NDArray[np.uint8], code: int, at: int, pos: int, width: int, path: str, line: int) -> TraceError:
    text = block[pos : pos + 65536].tobytes().split(b"\n", 1)[0]
    if code in (parsing.TOO_FEW, parsing.TOO_MANY):
        count = len(text.split())
        expected = max(width, parsing.SWF_FIELDS)
        where = "the line" if width in (count, 0) else "the line, unlike the first one,"
        return TraceError(f"{where} has {counted(count, 'field')} instead of {expected}", _REMEDY, path=path, line=line)
    words = text.split(None, 1)
    word = words[0].decode("ascii", "replace") if words else ""
    shown = "".join(c if c.isprintable() else "?" for c in word)
    shown = shown if len(shown) <= 24 else f"{shown[:20]}..."
    what = {
        parsing.NOT_A_NUMBER: "is not a number",
        parsing.TOO_LONG: "is too large a number",
        parsing.NOT_WHOLE: "is not a whole number",
    }[code]
    return TraceError(f"field {at + 1} ({FIELDS[at][0]}), '{shown}', {what}", _REMEDY, path=path, line=line)


def _trace(collected: _Collected, path: str, sha256: str) -> Trace:
    header = swf_header.parse(collected.comments)
    notes = list(header.remarks)
    if collected.late_comments:
        notes.append(f"{collected.late_comments} comment lines stand between jobs; they are kept with the header")

    jobs: dict[str, Any] = {}
    for k, name in enumerate(COLUMNS):
        if name not in _ALWAYS and not collected.knows(k):
            continue
        values = collected.take(k)
        if name == "status":
            jobs.update(_status(values))
        elif name in _IDS:
            jobs[name] = categories.of_ids(values)
            if name == "group":
                jobs["account"] = jobs[name]
        else:
            jobs[name] = values
    extra_columns = _extras(collected, jobs, notes, has_header=bool(collected.comments))

    origin_ms = header.unix_start_ms
    submit = jobs["submit_ms"]
    submit = submit[submit != UNKNOWN]
    unix = submit.size > 0 and int(submit.min()) >= UNIX_TIMES_S * 1000
    if unix:
        if header.unix_start_ms != 0:
            said = "no UnixStartTime" if header.unix_start_ms is None else "UnixStartTime is not 0"
            notes.append(f"{said}, but submit times are Unix times: counted from 1970-01-01 UTC")
        origin_ms = 0
    elif origin_ms == 0:
        notes.append("UnixStartTime is 0: times are taken as relative")
        origin_ms = None
    max_procs = header.max_procs
    if max_procs == UNKNOWN and header.max_nodes != UNKNOWN:
        sizes = jobs.get("procs_used", jobs.get("procs_req"))
        if sizes is not None and sizes.max() > header.max_nodes:
            notes.append(
                "no MaxProcs in the header, and some jobs are larger than MaxNodes, so it counts no processors"
            )
        else:
            max_procs = header.max_nodes
            notes.append("no MaxProcs in the header: MaxNodes is taken for it")
    meta = TraceMeta(
        name=stem(path),
        format="swf",
        path=path,
        sha256=sha256,
        origin_ms=origin_ms,
        timezone=header.timezone,
        max_procs=max_procs,
        max_nodes=header.max_nodes,
        mem_basis=header.mem_basis,
        header=tuple(collected.comments),
        partitions=header.partitions,
        queues=header.queues,
        notes=tuple(notes),
        extra_columns=extra_columns,
    )
    return Trace(pd.DataFrame(jobs, copy=False), meta)


def _status(raw: Ints) -> dict[str, Any]:
    odd = (raw < Status.UNKNOWN) | (raw > Status.CANCELLED)
    if not odd.any():
        return {"status": raw.astype(np.int8)}
    return {"status": np.where(odd, UNKNOWN, raw).astype(np.int8), "status_raw": categories.of_ids(raw)}


def _extras(collected: _Collected, jobs: dict[str, Any], notes: list[str], *, has_header: bool) -> tuple[str, ...]:
    """Add the fields beyond the 18th; returns their names without the prefix ``x_``."""
    columns = [spans.column() for spans in collected.extras]
    if len(columns) == 3 and columns[0].first().startswith("{"):
        if not has_header and "mem_req_kib" in jobs:
            jobs["mem_req_kib"] = _kib(jobs["mem_req_kib"])
            notes.append("requested memory is in bytes in this dialect; converted to KiB")
        jobs["queue"] = columns[1].category()
        jobs["request"] = columns[2].category()
        jobs["x_nodes"] = columns[0].category()
        return ("x_nodes",)
    names = []
    for k, column in enumerate(columns, start=parsing.SWF_FIELDS + 1):
        names.append(f"x_{k}")
        jobs[f"x_{k}"] = _plain(column)
    if names:
        notes.append(
            f"{parsing.SWF_FIELDS + len(names)} fields a line: the further ones are {names[0]} to {names[-1]};"
            " in the Frontier archive sizes are counted in nodes"
        )
    return tuple(names)


def _plain(column: Texts) -> Any:
    """Whole numbers, else decimals, else a category."""
    conversions: tuple[Callable[[], Any], ...] = (column.integers, column.floats)
    for convert in conversions:
        values = convert()
        if values is not None:
            return values
    return column.category()


def _kib(values: Ints) -> Ints:
    """Bytes to KiB, half to even; unknown stays unknown."""
    kib = values // 1024
    rest = values - kib * 1024
    kib += (rest > 512) | ((rest == 512) & (kib % 2 == 1))
    return np.where(values == UNKNOWN, UNKNOWN, kib)
