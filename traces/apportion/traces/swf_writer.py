"""Writer of the Standard Workload Format.

What a trace read from SWF says is written back so that reading it again gives the same trace:

- Comment lines are written byte for byte, in order, above the jobs. Only where the trace's origin or machine size are
  no longer what they say is a line appended; of keys given twice the last counts.
- Times keep their milliseconds as decimals. Fields are set apart by one blank.
- Labels that are whole numbers are written as they are. If any label of a column is not, all of it is numbered from 1
  in the order of the labels, and names of queues and partitions go into the header. Users, groups and applications have
  no place for names there, so theirs are lost, as they are in the archive's own files. A trace without groups gives its
  accounts as groups.
- Statuses that SWF does not know become their nearest code (a time-out is 0, failed; a running job -1). Where the
  status is unknown and ``status_raw`` is a whole number, that is written.
- Columns ``x_...`` follow as fields 19 and on; those of wagap (nodes, queue, request) in its own order.

Ids that are not whole numbers are replaced by 1, 2, 3, ...
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.jit import kernel
from apportion.traces import parsing, swf_header
from apportion.traces.readers.swf import COLUMNS, SHIFTS
from apportion.traces.schema import UNKNOWN, Status, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = NDArray[np.int64]

ROWS: Final = 50_000  # rows in memory as text at a time
_STATUS: Final = {
    Status.TIMEOUT: Status.FAILED,
    Status.NODE_FAIL: Status.FAILED,
    Status.PREEMPTED: Status.FAILED,
    Status.OUT_OF_MEMORY: Status.FAILED,
    Status.RUNNING: Status.UNKNOWN,
    Status.PENDING: Status.UNKNOWN,
}
_LABELS: Final = ("user", "group", "app", "queue", "partition")


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace as SWF, uncompressed.

    The file is written aside and renamed, so that it is whole or not there.

    Parameters
    ----------
    trace : Trace
    path : str or os.PathLike

    Raises
    ------
    TraceError
        The file cannot be written.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            for text in _text(trace):
                file.write(text)
        aside.replace(target)
    except OSError as error:
        raise TraceError(f"cannot be written: {error.strerror}", "choose another place", path=target) from None
    finally:
        aside.unlink(missing_ok=True)


def without_place(trace: Trace) -> list[str]:
    """Say what of a trace is lost in SWF: columns that it has no field for, and names that it writes as numbers.

    The raw status and the text of the resource request are not counted: other columns hold what they say.
    """
    held = {*COLUMNS, "status_raw", "request"}
    account = trace.jobs.get("account")
    if account is None or "group" not in trace.jobs or account.equals(trace.jobs["group"]):
        held.add("account")
    lost = [str(name) for name in trace.jobs.columns if name not in held and not str(name).startswith("x_")]
    lost += [
        f"names of {name}"
        for name in ("user", "group", "account", "app")
        if name in held and _whole(trace.labels(name)[1]) is None
    ]
    return lost if trace.jobs["job_id"].dtype.kind in "iu" else [*lost, "names of job_id"]


def _text(trace: Trace) -> Iterator[bytes]:
    wagap = "x_nodes" in trace.jobs and "request" in trace.jobs and "queue" in trace.jobs
    names: dict[str, list[str]] = {}
    columns = np.empty((len(COLUMNS), len(trace)), dtype=np.int64)
    for k, name in enumerate(COLUMNS):
        columns[k] = _column(trace, name, names, keep_queue=wagap)
    for line in _header(trace, names):
        yield line.encode("utf-8", "surrogateescape") + b"\n"

    extras = [name for name in trace.jobs.columns if str(name).startswith("x_")]
    if wagap:
        extras = ["x_nodes", "queue", "request"]
    for start in range(0, len(trace), ROWS):
        part = np.ascontiguousarray(columns[:, start : start + ROWS])
        out = np.empty(part.size * 25 + 1, dtype=np.uint8)
        ends = np.empty(part.shape[1], dtype=np.int64)
        size = swf_text(part, SHIFTS, parsing.indexable(out), ends)
        if not extras:
            out = np.insert(out[:size], ends, parsing.NEWLINE) if size else out[:0]
            yield out.tobytes()
            continue
        words = [_words(trace.jobs[name].iloc[start : start + ROWS]) for name in extras]
        text = out[:size].tobytes()
        begin = 0
        lines = []
        for row, end in enumerate(ends.tolist()):
            lines.append(b" ".join([text[begin:end], *(column[row] for column in words)]))
            begin = end
        yield b"\n".join(lines) + b"\n"


@kernel
def swf_text(columns: NDArray[np.int64], shifts: Ints, out: NDArray[np.uint8], ends: Ints) -> int:
    """Write rows of integers as SWF lines without their line ends.

    Parameters
    ----------
    columns : int64 array (fields, rows)
    shifts : int64 array (fields,)
        3: a time in ms, written in seconds with as many decimals as it needs (-1 stays -1). 0: written as it is.
    out : uint8 array
        At least 25 bytes a field.
    ends : int64 array (rows,)
        Filled with the place behind each line.

    Returns
    -------
    int
        Bytes written.
    """
    at = 0
    digits = np.zeros(24, dtype=np.int64)
    for row in range(columns.shape[1]):
        for field in range(columns.shape[0]):
            if field > 0:
                out[at] = 32
                at += 1
            value = int(columns[field, row])
            decimals = 3 if shifts[field] == 3 and value != -1 else 0
            if value < 0:
                out[at] = 45
                at += 1
                value = -value
            while decimals > 0 and value % 10 == 0:
                value //= 10
                decimals -= 1
            count = 0
            while value > 0 or count <= decimals:
                digits[count] = value % 10
                value //= 10
                count += 1
            for i in range(count - 1, -1, -1):
                out[at] = 48 + digits[i]
                at += 1
                if i == decimals and decimals > 0:
                    out[at] = 46
                    at += 1
        ends[row] = at
    return at


def _column(trace: Trace, name: str, names: dict[str, list[str]], *, keep_queue: bool) -> Ints:
    """One field of all jobs; labels that had to be numbered go into ``names``."""
    if name in _LABELS:
        if name == "queue" and keep_queue:
            return np.full(len(trace), UNKNOWN, dtype=np.int64)
        source = "account" if name == "group" and "group" not in trace.jobs else name
        codes, labels = trace.labels(source)
        if not labels:
            return codes
        numbers = _whole(labels)
        if numbers is None:
            names[name] = labels
            numbers = np.arange(1, len(labels) + 1, dtype=np.int64)
        return np.where(codes < 0, UNKNOWN, numbers[codes])
    values = trace.column(name)
    if name == "job_id" and values.dtype.kind not in "iu":
        return np.arange(1, len(trace) + 1, dtype=np.int64)
    if name == "status":
        return _status(trace, values.astype(np.int64))
    return values.astype(np.int64)


def _status(trace: Trace, status: Ints) -> Ints:
    result = status.copy()
    for ours, theirs in _STATUS.items():
        result[status == ours] = theirs
    codes, labels = trace.labels("status_raw")
    raw = _whole(labels) if labels else None
    if raw is not None:
        shown = (status == Status.UNKNOWN) & (codes >= 0)
        result[shown] = raw[codes[shown]]
    return result


def _whole(labels: list[str]) -> Ints | None:
    """Labels as numbers, if each is written as a number would be."""
    try:
        numbers = [int(label) for label in labels]
    except ValueError:
        return None
    if any(str(number) != label or abs(number) >= 2**62 for number, label in zip(numbers, labels, strict=True)):
        return None
    return np.array(numbers, dtype=np.int64)


def _words(column: pd.Series[Any]) -> list[bytes]:
    """Text of further fields, one word each; -1 where there is none."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        labels = [
            "_".join(str(label).split()).encode("utf-8", "surrogateescape") or b"-1" for label in column.cat.categories
        ]
        return [labels[code] if code >= 0 else b"-1" for code in column.cat.codes.tolist()]
    return [str(value).encode() for value in column.tolist()]


def _header(trace: Trace, names: dict[str, list[str]]) -> Iterator[str]:
    meta = trace.meta
    lines = list(meta.header) or ["; Version: 2.2", f"; Computer: {meta.name}"]
    said = swf_header.parse(lines)
    if meta.origin_ms != said.unix_start_ms and not (meta.origin_ms is None and said.unix_start_ms == 0):
        start = -1 if meta.origin_ms is None else meta.origin_ms
        lines.append(f"; UnixStartTime: {_seconds(start)}")
    if meta.max_nodes not in (UNKNOWN, said.max_nodes):
        lines.append(f"; MaxNodes: {meta.max_nodes}")
    if meta.max_procs not in (UNKNOWN, said.max_procs if said.max_procs != UNKNOWN else said.max_nodes):
        lines.append(f"; MaxProcs: {meta.max_procs}")
    if meta.timezone and meta.timezone != said.timezone:
        lines.append(f"; TimeZoneString: {meta.timezone}")
    if meta.mem_basis == "job" != said.mem_basis:
        lines.append("; Note: The 'mem_req' column relates to: quantity=per_job")
    for key, known, given in (("Queue", said.queues, meta.queues), ("Partition", said.partitions, meta.partitions)):
        labels = names.get(key.lower())
        entries = {str(k): label for k, label in enumerate(labels, start=1)} if labels else given
        lines.extend(f"; {key}: {k} {name}" for k, name in entries.items() if known.get(k) != name)
    return iter(lines)


def _seconds(ms: int) -> str:
    if ms == UNKNOWN:
        return "-1"
    whole, part = divmod(ms, 1000)
    return f"{whole}.{part:03d}" if part else str(whole)
