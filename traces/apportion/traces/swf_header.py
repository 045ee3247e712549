"""What the comment lines at the top of an SWF file say.

The archive's headers come in many dialects: ``; Key: value``, ``;Key: value``, keys aligned to the right, text before
the first key, keys given twice, remarks behind a value, lines that go on with the value above. Rules here:

- A line is ``Key: value`` if it begins with one word followed by a colon, with or without a blank behind it; the
  beginning of an address (``http://``) is none. Others are text.
- Keys that list something (``Note``, ``Queue``, ``Partition``, ...) may repeat. Of any other key given twice with
  different values **the last counts**, since later conversions add their lines below older ones, and a remark names
  it.
- A number is the first one of its value, so ``70  (dual)`` is 70; commas may stand between its thousands (``5,120``).

References
----------
The Standard Workload Format, version 2.2, Parallel Workloads Archive,
https://www.cs.huji.ac.il/labs/parallel/workload/swf.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final

from apportion.traces.schema import HORIZON_MS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY: Final = re.compile(r"^\s*;\s*([A-Za-z][A-Za-z0-9_]*)\s*:(?!//)\s*(.*?)\s*$")
_NUMBER: Final = re.compile(r"\s*(-?(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d{1,15})(?:\.\d{1,9})?)(?![\w.])")
_ENTRY: Final = re.compile(r"(-?\d{1,18})(?:\s+(.*))?$")
_MEMORY: Final = re.compile(r"'mem_(used|req)'.*quantity=per_(\w+)")
_LISTS: Final = frozenset(
    {
        "note",
        "queue",
        "queues",
        "partition",
        "partitions",
        "installation",
        "information",
        "acknowledge",
        "conversion",
        "computer",
        "copyright",
    }
)


@dataclass(frozen=True)
class SwfHeader:
    """Facts of an SWF header; -1, None, empty where it does not say.

    Attributes
    ----------
    max_procs, max_nodes : int
    unix_start_ms : int or None
        ``UnixStartTime`` in ms.
    timezone : str
        ``TimeZoneString``; the deprecated ``TimeZone`` is not used, as the archive advises.
    acknowledge : str
        Whom results should thank.
    partitions, queues : dict of str to str
        Names by id, blanks collapsed; ids without a name are left out.
    mem_basis : str
        ``job`` where a note says that memory is counted per job, else ``processor``, the format's rule.
    remarks : tuple of str
        One for each key given twice with different values, and one for a start time that cannot be.
    """

    max_procs: int = UNKNOWN
    max_nodes: int = UNKNOWN
    unix_start_ms: int | None = None
    timezone: str = ""
    acknowledge: str = ""
    partitions: dict[str, str] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    mem_basis: str = "processor"
    remarks: tuple[str, ...] = ()


def keys(header: Iterable[str]) -> dict[str, list[str]]:
    """Values by lower-case key, in order of appearance; text that is no key is left out."""
    found: dict[str, list[str]] = {}
    for line in header:
        match = _KEY.match(line)
        if match:
            value = (match[2] or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            found.setdefault(match[1].lower(), []).append(value)
    return found


def parse(header: Iterable[str]) -> SwfHeader:
    """Read the comment lines of an SWF file.

    Parameters
    ----------
    header : iterable of str
        Lines verbatim, with their ``;``.
    """
    lines = list(header)
    values = keys(lines)
    spelling = {match[1].lower(): match[1] for line in lines if (match := _KEY.match(line))}
    remarks = [
        f"header gives {spelling[key]} as {', then '.join(given)}; the last counts"
        for key, given in values.items()
        if key not in _LISTS and len(set(given)) > 1
    ]
    start = _number(values, "unixstarttime")
    if start is not None and start * 1000 > HORIZON_MS:
        remarks.append("UnixStartTime is centuries from now: times are taken as relative")
        start = None
    zone = values.get("timezonestring", [""])[-1].split("#")[0].split()
    memory = [_MEMORY.search(note) for note in values.get("note", [])]
    per = {match[1]: match[2] for match in memory if match}
    return SwfHeader(
        max_procs=_count(values, "maxprocs"),
        max_nodes=_count(values, "maxnodes"),
        unix_start_ms=None if start is None or start < 0 else int((start * 1000).to_integral_value(ROUND_HALF_EVEN)),
        timezone=zone[0] if zone else "",
        acknowledge="; ".join(value for value in values.get("acknowledge", []) if value),
        partitions=_entries(values.get("partition", [])),
        queues=_entries(values.get("queue", [])),
        mem_basis="job" if per.get("req", per.get("used")) == "job" else "processor",
        remarks=tuple(remarks),
    )


def _number(values: dict[str, list[str]], key: str) -> Decimal | None:
    given = values.get(key)
    match = _NUMBER.match(given[-1]) if given else None
    return Decimal(match[1].replace(",", "")) if match else None


def _count(values: dict[str, list[str]], key: str) -> int:
    number = _number(values, key)
    return UNKNOWN if number is None or number <= 0 else int(number)


def _entries(lines: list[str]) -> dict[str, str]:
    """Names by id of ``Queue`` or ``Partition`` lines; the last line of an id counts."""
    names: dict[str, str] = {}
    for line in lines:
        match = _ENTRY.match(line.strip())
        if match and match[2] and match[2].strip():
            names[str(int(match[1]))] = " ".join(match[2].split())
    return names
