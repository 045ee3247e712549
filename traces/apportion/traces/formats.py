"""The formats of traces: how each is recognised, and who reads it.

A format is told by content, never by the file's name. After decompression, in this order:

1. ``parquet``: the first bytes are ``PAR1``.
2. ``sacct-json``: the first character is ``{`` and there is a ``"jobs"`` key (or ``[`` with a ``"job_id"`` key).
3. ``pbs``: the first line is ``MM/DD/YYYY HH:MM:SS;letter;id;...``.
4. ``sacct``: the first line has fields between ``|`` (or another character that is no part of a word; commas, if there is a
   ``Submit`` too) of which one is ``JobID`` or ``JobIDRaw``; or, without a header line, 26 fields of which the 11th to 14th
   are times.
5. ``philly``: a header line with ``timestamp``, ``duration`` and ``num_gpus``.
6. ``alcf``: a header line with ``submit_time``, ``run_time`` and ``node_num``.
7. ``gwf``: comma-separated with a header line that has ``JobID`` and ``NProcs``; or 29 words a line, below comments
   with ``#`` or a header line of the archive's column names.
8. ``swf``: comments with ``;``, or a first line that begins with numbers.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from apportion.core.errors import TraceError
from apportion.traces.catalog import by_sha256
from apportion.traces.files import head

if TYPE_CHECKING:
    from collections.abc import Callable

    from apportion.traces.schema import Trace

READERS: Final = {
    "swf": "apportion.traces.readers.swf",
    "gwf": "apportion.traces.readers.gwf",
    "sacct": "apportion.traces.readers.sacct",
    "sacct-json": "apportion.traces.readers.sacct_json",
    "pbs": "apportion.traces.readers.pbs",
    "alcf": "apportion.traces.readers.alcf",
    "philly": "apportion.traces.readers.philly",
    "parquet": "apportion.traces.parquet",
}
_LOCAL_TIMES: Final = frozenset({"sacct", "pbs", "philly"})

_PBS: Final = re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d;[A-Za-z];")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|Unknown|None")
_SACCT_HEADER: Final = re.compile(r"(?:^|[^A-Za-z0-9_])JobID(?:Raw)?(?:[^A-Za-z0-9_ ,]|$)", re.IGNORECASE)
_NUMBERS: Final = re.compile(r"\s*[-+]?[\d.]+([eE][-+]?\d+)?(\s+[-+]?\d\S*){2}")


def read(path: str | os.PathLike[str], format: str | None = None, *, tz: str | None = None) -> Trace:  # noqa: A002
    """Read a trace of any known format, compressed or not.

    Parameters
    ----------
    path : str or os.PathLike
        gzip, bzip2, xz and zstd are told by content and read as they are.
    format : str, optional
        One of `READERS`; by default it is told from the content.
    tz : str, optional
        IANA name of the time zone of local times without one (sacct, PBS, Philly); UTC by default. A format that does
        not write local times has no use for it.

    Returns
    -------
    Trace
        As the file says it; nothing is corrected. A published file bears the catalog's name, whatever it is called here.

    Raises
    ------
    TraceError
        One line with the file, the line at fault and what to do.

    Examples
    --------
    >>> trace = read("KTH-SP2-1996-2.1-cln.swf.gz")  # doctest: +SKIP
    >>> len(trace)  # doctest: +SKIP
    28476
    """
    file = os.fspath(path)
    if format is None:
        format = detect(file)  # noqa: A001
    elif format not in READERS:
        raise TraceError(f"'{format}' is no known format", f"known are {', '.join(READERS)}", path=file)
    module = importlib.import_module(READERS[format])
    reader = cast("Callable[..., Trace]", module.read)
    trace = reader(file, tz=tz) if format in _LOCAL_TIMES else reader(file)
    known = by_sha256(trace.meta.sha256)
    return replace(trace, meta=replace(trace.meta, name=known.name)) if known else trace


def detect(path: str | os.PathLike[str]) -> str:
    """Tell the format of a trace from its content.

    Returns
    -------
    str
        A key of `READERS`; the rules are in the text of this module.

    Raises
    ------
    TraceError
        The file cannot be read or has none of the known formats.
    """
    text = head(path)
    if text.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in text:
        raise TraceError("is not text in UTF-8", "unpack an archive (tar, zip) or recode the file", path=path)
    found = _of_text(text.decode("utf-8", "replace"))
    if found is None:
        raise TraceError("has no known format", f"known are {', '.join(READERS)}; force one if it is", path=path)
    return found


def _of_text(text: str) -> str | None:
    text = text.lstrip()
    if (text[:1] == "{" and '"jobs"' in text) or (text[:1] == "[" and '"job_id"' in text):
        return "sacct-json"
    lines = [line for line in text.splitlines() if line.strip()]
    marks = {line.lstrip()[0] for line in lines[:2000]}
    data = [line.strip() for line in lines if line.lstrip()[0] not in ";#"]
    if not data:
        return "swf" if ";" in marks else "gwf" if "#" in marks else None
    return _of_line(data[0], marks)


def _of_line(first: str, marks: set[str]) -> str | None:
    """Format by the first line that is no comment, and the characters that lines begin with."""
    if _PBS.match(first):
        return "pbs"
    cells = first.split("|")
    if len(cells) == 26 and all(_TIME.fullmatch(cell) for cell in cells[10:14]):
        return "sacct"
    names = {word.strip().strip('"').lower() for word in first.split(",")}
    if {"timestamp", "duration", "num_gpus"} <= names:
        return "philly"
    if {"submit_time", "run_time", "node_num"} <= names:
        return "alcf"
    if "jobid" in names and names & {"nprocs", "nproc"}:
        return "gwf"
    words = first.split()
    if words[0].lower() == "jobid" and len(words) > 20:
        return "gwf"
    if (
        _SACCT_HEADER.search(first)
        or ("submit" in names and names & {"jobid", "jobidraw"})
        or words[0].lower() in ("jobid", "jobidraw")
    ):
        return "sacct"
    if ";" not in marks and (len(words) == 29 or ("#" in marks and _NUMBERS.match(first))):
        return "gwf"
    if _NUMBERS.match(first) or ";" in marks:
        return "swf"
    return None
