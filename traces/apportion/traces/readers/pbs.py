"""Reader of PBS and Torque accounting logs (``MM/DD/YYYY HH:MM:SS;type;id;key=value ...``).

A job is put together from its records. What counts is its ``E`` (ended); without one, its last ``S`` (started) that no
``R`` (rerun) follows, else its ``Q`` (queued) with a ``D`` (deleted) or ``A`` (aborted) that says when it left. Jobs that were
queued before the log begins and deleted in it have no submit time: they are left out, and a note says how many. Other
records (``L``, ``T``, ...) say nothing of jobs that these do not.

An id with several ``E``, or with an ``S`` after them, stands for a job each time: servers number jobs anew, and what ran twice took
its processors twice. `apportion.traces.clean` counts repeated ids and drops lines that are there twice.

Conventions
-----------
- Submit is ``ctime`` (else ``qtime``, else the time of the ``Q`` record), run time is ``end`` minus ``start``. These
  are Unix times; only the times of the records themselves are local, and ``tz`` is for them.
- Processors: requested ``ncpus`` of ``Resource_List``, else the sum over ``select`` or ``nodes`` of chunks times
  ``ncpus`` or ``ppn``; used ``resources_used.ncpus``, else the count of slots in ``exec_host``, else as requested.
- GPUs: ``ngpus``, else ``gpus`` in ``nodes`` or ``select``. Memory is the job's (``mem_basis`` is ``job``).
- A job that started and has no ``E`` is running. Without ``D`` or ``A`` after its start it **still ran** when the log
  ended, and has the run time until then, as in dumps of Slurm; the end of the log is the last of its Unix times. If its
  limit had passed by then, the log has lost its end, and the run time is unknown. Notes count both.
- Status: exit status 0 is completed; 271 (256 + SIGTERM) is cancelled, since ``qdel`` and the limit both end a job so;
  -4 to -1 and others failed; ``status_raw`` holds it. Deleted and aborted jobs that never started are cancelled, with
  the time until then as their wait.

References
----------
TORQUE Administrator Guide, "Accounting Records"; PBS Professional Administrator's Guide, "Accounting".
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.jit import kernel
from apportion.core.units import counted, parse_duration_ms
from apportion.traces import categories, parsing
from apportion.traces.files import stem
from apportion.traces.readers.local_times import Clock
from apportion.traces.schema import UNKNOWN, Status, Trace, TraceMeta
from apportion.traces.texts import Spans, Texts, TextTable, read_table

Ints = NDArray[np.int64]

KEYS: Final = (
    "user", "group", "account", "project", "jobname", "queue", "ctime", "qtime", "start", "end", "exec_host",
    "Exit_status", "Resource_List.ncpus", "Resource_List.nodect", "Resource_List.nodes",
    "Resource_List.select", "Resource_List.walltime", "Resource_List.mem", "Resource_List.ngpus",
    "resources_used.ncpus", "resources_used.mem", "resources_used.cput",
)  # fmt: skip
_MEMORY: Final = re.compile(r"(\d{1,15})(b|w|kb|kw|mb|mw|gb|gw|tb|tw|pb|pw)?", re.IGNORECASE)
_BYTES: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}
_TERMINATED: Final = (271, 143)


def read(path: str, *, tz: str | None = None) -> Trace:
    """Read an accounting log.

    Parameters
    ----------
    path : str
    tz : str, optional
        IANA zone of the records' own times; UTC by default, with a note.

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    clock = Clock(path, tz)
    remedy = "an accounting record is MM/DD/YYYY HH:MM:SS;type;id;key=value ..."
    table = read_table(path, ["when", "type", "id", "text"], separator=";", rest=True, remedy=remedy)
    kinds = table["type"].coded
    ids = table["id"].coded[0]
    when = clock.read(table, "when", ("%m/%d/%Y %H:%M:%S",))

    def last(*letters: str) -> Ints:
        """Row of the last record of these kinds, for each id; -1 without one."""
        codes = [k for k, label in enumerate(kinds[1]) if label in letters]
        rows = np.flatnonzero(np.isin(kinds[0], codes))
        place = np.full(int(ids.max()) + 1, UNKNOWN, dtype=np.int64)
        place[ids[rows]] = rows  # later rows overwrite earlier ones
        return place

    ended, began, queued, left, rerun = last("E"), last("S"), last("Q"), last("D", "A"), last("R")
    waits_again = (ended < 0) & (rerun > began)
    record = np.where(ended >= 0, ended, np.where(began >= 0, began, queued))
    whole_arrays = np.array([label.split(".", 1)[0].endswith("[]") for label in table["id"].coded[1]], dtype=np.bool_)
    arrays = int((whole_arrays & (record >= 0)).sum())
    record[whole_arrays] = UNKNOWN
    left[whole_arrays] = UNKNOWN
    gone = np.flatnonzero((record < 0) & (left >= 0)).size
    is_end = table["type"].marks(lambda letter: letter == "E") & ~whole_arrays[ids]
    # Both orders: files may be joined out of order, and in autumn an end can bear an earlier time than its start.
    anew = (record >= 0) & (ended >= 0) & (began > ended) & (when[began] > when[ended])
    chosen = np.unique(np.concatenate([record[record >= 0], np.flatnonzero(is_end), began[anew]]))
    if chosen.size == 0:
        raise TraceError("has no jobs", "give a log with Q, S or E records", path=path)
    job = ids[chosen]
    has_ended = is_end[chosen]
    started = has_ended | ((began[job] >= 0) & ~waits_again[job])

    text = table["text"].take(chosen)
    columns = _keys(text)
    rows = TextTable(path, columns, table.lines[chosen], table.sha256)
    jobs = _jobs(rows, table["id"].take(chosen))
    queue_time = np.where(queued[job] >= 0, when[np.maximum(queued[job], 0)], UNKNOWN)
    leave_time = np.where(left[job] > began[job], when[np.maximum(left[job], 0)], UNKNOWN)
    lost = _times(jobs, rows, queue_time, leave_time, started, has_ended)
    if not _known(jobs["submit_ms"]):
        raise TraceError("says of no job when it was submitted", "give a log with Q or E records", path=path)

    notes = []
    if arrays:
        notes.append(f"{counted(arrays, 'record')} of whole job arrays left out; their tasks are jobs of their own")
    if gone:
        notes.append(f"{counted(gone, 'job')} left out that the log says deleted, but not submitted")
    requeued = int(waits_again[job].sum())
    if int((~started).sum()) > requeued:
        notes.append(f"{counted(int((~started).sum()) - requeued, 'job')} never started")
    if requeued:
        notes.append(f"{counted(requeued, 'job')} started, went back to the queue and did not start again")
    unfinished = int(((jobs["status"] == Status.RUNNING) & (jobs["run_ms"] != UNKNOWN)).sum())
    if unfinished:
        notes.append(f"{counted(unfinished, 'job')} still ran when the log ended, with the run time until then")
    if lost:
        notes.append(f"{counted(lost, 'job')} started whose end is not in the log although the limit had passed")
    meta = TraceMeta(
        name=stem(path),
        format="pbs",
        path=path,
        sha256=table.sha256,
        origin_ms=0,
        timezone=tz or "",
        mem_basis="job",
        notes=(*notes, *clock.notes()),
    )
    jobs = {
        name: values for name, values in jobs.items() if name in {"submit_ms", "run_ms", "status"} or _known(values)
    }
    return Trace(pd.DataFrame(jobs, copy=False), meta)


def _known(values: Any) -> bool:
    if isinstance(values, pd.Categorical):
        return len(values.categories) > 0
    return bool((values != UNKNOWN).any())


def _keys(text: Texts) -> dict[str, Texts]:
    """Values of `KEYS` in each record."""
    words = [key.encode() for key in KEYS]
    names = np.frombuffer(b"".join(words), dtype=np.uint8)
    offsets = np.cumsum([0, *(len(word) for word in words)], dtype=np.int64)
    found = [Spans() for _ in KEYS]
    for values, starts in text.parts:
        size = starts.size - 1
        begin = np.empty((len(KEYS), size), dtype=np.int64)
        end = np.empty((len(KEYS), size), dtype=np.int64)
        find_keys(parsing.indexable(values), starts, parsing.indexable(names), offsets, begin, end)
        for k, spans in enumerate(found):
            spans.add(values, begin[k], end[k])
    return {key: spans.column() for key, spans in zip(KEYS, found, strict=True)}


@kernel
def find_keys(
    data: parsing.Bytes,
    offsets: Ints,
    keys: parsing.Bytes,
    key_offsets: Ints,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> None:
    """Find ``key=value`` words in each row of a column of text.

    Words stand between blanks; blanks inside double quotes belong to the word. ``starts`` and ``ends`` (keys, rows)
    receive the value of each key without its quotes, an empty span where a row lacks the key, the first one where it
    repeats.
    """
    n_keys = key_offsets.size - 1
    for row in range(offsets.size - 1):
        pos = offsets[row]
        end = offsets[row + 1]
        for k in range(n_keys):
            starts[k, row] = pos
            ends[k, row] = pos
        while pos < end:
            while pos < end and data[pos] <= 32:
                pos += 1
            word = pos
            equals = -1
            quoted = False
            while pos < end and (quoted or data[pos] > 32):
                if data[pos] == 34:  # "
                    quoted = not quoted
                elif data[pos] == 61 and equals < 0:  # =
                    equals = pos
                pos += 1
            if equals < 0:
                continue
            for k in range(n_keys):
                length = key_offsets[k + 1] - key_offsets[k]
                if length != equals - word or ends[k, row] > starts[k, row]:
                    continue
                same = True
                for i in range(length):
                    if data[word + i] != keys[key_offsets[k] + i]:
                        same = False
                        break
                if same:
                    left = equals + 1
                    right = pos
                    if right - left >= 2 and data[left] == 34 and data[right - 1] == 34:
                        left += 1
                        right -= 1
                    starts[k, row] = left
                    ends[k, row] = right
                    break


def _jobs(rows: TextTable, ids: Texts) -> dict[str, Any]:
    codes, labels = ids.coded
    names = [label.split(".", 1)[0] for label in labels]
    numbers = len(set(names)) == len(names) and all(name.isdecimal() and len(name) < 19 for name in names)
    jobs: dict[str, Any] = {
        "job_id": np.array([int(name) for name in names], dtype=np.int64)[codes]
        if numbers
        else np.array(labels, dtype=object)[codes]
    }
    asked = rows.numbers("Resource_List.ncpus")
    gpus = rows.numbers("Resource_List.ngpus")
    for name in ("Resource_List.select", "Resource_List.nodes"):
        asked = np.where(asked > 0, asked, rows.each(name, lambda text: _chunks(text, ("ncpus", "ppn"), 1)))
        gpus = np.where(gpus > 0, gpus, rows.each(name, lambda text: _chunks(text, ("ngpus", "gpus"), 0)))
    used = rows.numbers("resources_used.ncpus")
    slots = rows.each("exec_host", _slots)
    nodes = rows.numbers("Resource_List.nodect")
    hosts = rows.each(
        "exec_host", lambda text: len({slot.split("/")[0] for slot in text.split("+")}) if text else UNKNOWN
    )
    ran = slots != UNKNOWN
    jobs["procs_used"] = np.where(
        used > 0, used, np.where(ran, np.maximum(slots, np.where(slots == hosts, asked, UNKNOWN)), UNKNOWN)
    )
    jobs["procs_req"] = np.where(asked > 0, asked, UNKNOWN)
    jobs["nodes_used"] = hosts
    jobs["nodes_req"] = nodes
    jobs["gpus_used"] = np.where(ran & (gpus > 0), gpus, UNKNOWN)
    jobs["gpus_req"] = np.where(gpus > 0, gpus, UNKNOWN)
    jobs["limit_ms"] = rows.each("Resource_List.walltime", _span)
    cpu = rows.each("resources_used.cput", _span)
    procs = np.maximum(jobs["procs_used"], 1)
    jobs["cpu_ms"] = np.where(
        (cpu == UNKNOWN) | (jobs["procs_used"] <= 0), UNKNOWN, np.rint(cpu / procs).astype(np.int64)
    )
    jobs["mem_used_kib"] = rows.each("resources_used.mem", _kib)
    jobs["mem_req_kib"] = rows.each("Resource_List.mem", _kib)
    for source, name in (("user", "user"), ("group", "group"), ("jobname", "app"), ("queue", "queue")):
        jobs[name] = rows[source].category()
    for source in ("account", "project", "group"):
        account = rows[source].category(missing=("", "_pbs_project_default"))
        if len(account.categories):
            jobs["account"] = account
            break
    jobs["request"] = _either(rows["Resource_List.select"], rows["Resource_List.nodes"])
    return jobs


def _either(first: Texts, second: Texts) -> pd.Categorical:
    """Category of the first column, and of the second where the first is empty."""
    codes, labels = first.coded
    more_codes, more = second.coded
    empty = first.marks(lambda text: not text)
    names = sorted({*labels, *more} - {""})
    place = {name: k for k, name in enumerate(names)} | {"": UNKNOWN}
    ours = np.array([place[label] for label in labels], dtype=np.int64)[codes]
    theirs = np.array([place[label] for label in more], dtype=np.int64)[more_codes]
    return categories.of_codes(np.where(empty, theirs, ours), names)


def _times(
    jobs: dict[str, Any],
    rows: TextTable,
    queued: Ints,
    left: Ints,
    started: NDArray[np.bool_],
    ended: NDArray[np.bool_],
) -> int:
    """Fill submit, wait, run and status; return the number of jobs whose end the log has lost."""
    submit = rows.times("ctime")
    submit = np.where(submit > 0, submit, rows.times("qtime"))
    start, end = rows.times("start"), rows.times("end")
    until = max(int(times.max(initial=0)) for times in (submit, start, end))  # the records' own times are local
    submit = np.where(submit > 0, submit, queued)
    began = started & (start > 0) & (submit > 0)
    gone = ~started & (left != UNKNOWN) & (submit > 0)
    jobs["submit_ms"] = submit
    jobs["wait_ms"] = np.where(began, start - submit, np.where(gone, left - submit, UNKNOWN))
    jobs["run_ms"] = np.where(ended & (start > 0) & (end > 0), end - start, UNKNOWN)
    running = began & ~ended & (left == UNKNOWN)
    lost = running & (jobs["limit_ms"] > 0) & (until - start > jobs["limit_ms"])
    running &= ~lost
    jobs["run_ms"][running] = (until - start)[running]

    code = rows.numbers("Exit_status")
    given = rows["Exit_status"].marks(bool)
    status = np.full(len(rows), Status.UNKNOWN, dtype=np.int64)
    status[ended & given] = Status.FAILED
    status[ended & given & (code == 0)] = Status.COMPLETED
    status[ended & given & np.isin(code, _TERMINATED)] = Status.CANCELLED
    status[started & ~ended] = Status.RUNNING
    status[~started] = Status.PENDING
    status[gone] = Status.CANCELLED
    jobs["status"] = status.astype(np.int8)
    jobs["status_raw"] = (
        rows["Exit_status"].category() if given.any() else categories.of_ids(np.full(len(rows), UNKNOWN))
    )
    return int(lost.sum())


def _chunks(text: str, keys: tuple[str, ...], default: int) -> int:
    """Sum over ``2:ppn=8+1:ppn=4`` or ``2:ncpus=8+...`` of chunks times one of the keys; -1 for no text."""
    if not text:
        return UNKNOWN
    total = 0
    for chunk in text.split("+"):
        head, *rest = chunk.split("#")[0].split(":")
        count = int(head) if head.isdecimal() and len(head) < 10 else 1
        each = default
        for word in rest if head.isdecimal() else [head, *rest]:
            key, _, value = word.partition("=")
            if key in keys and value.isdecimal() and len(value) < 10:
                each = int(value)
        total += count * each
    return total


def _slots(text: str) -> int:
    """Processors in ``n1/0+n1/1`` (Torque), ``n1/0-3`` or ``n1/0*4+n2/1`` (PBS Pro); -1 for no text."""
    if not text:
        return UNKNOWN
    total = 0
    for slot in text.split("+"):
        place = slot.split("/", 1)[1] if "/" in slot else ""
        _, star, times = place.partition("*")
        if star:
            total += int(times) if times.isdecimal() and len(times) < 10 else 1
            continue
        for part in place.split(","):
            low, dash, high = part.partition("-")
            span = dash and low.isdecimal() and high.isdecimal() and len(high) < 10
            total += max(int(high) - int(low) + 1, 1) if span else 1
    return total


def _span(text: str) -> int:
    """``HH:MM:SS``, Torque's ``D:HH:MM:SS`` or seconds, in ms; -1 for no text."""
    if not text:
        return UNKNOWN
    if text.isdecimal() and len(text) < 16:
        return int(text) * 1000
    if text.count(":") == 3:
        text = text.replace(":", "-", 1)
    return parse_duration_ms(text)


def _kib(text: str) -> int:
    """Size such as ``4gb``, ``512mb`` or ``1024`` (bytes) in KiB, rounded up; -1 for no text."""
    if not text:
        return UNKNOWN
    match = _MEMORY.fullmatch(text)
    if not match:
        raise ValueError("is not a memory size")
    unit = (match[2] or "b").lower()
    size = int(match[1]) * _BYTES[unit[:-1]] * (8 if unit[-1] == "w" else 1)
    return -(-size // 1024)
