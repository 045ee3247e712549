"""Numbers as people read them, each with its exact value at hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final, NamedTuple

from apportion.core.units import counted

NONE: Final = "–"
MINUS: Final = "\N{MINUS SIGN}"
UNITS_S: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Figure(NamedTuple):
    """A number to show: its text, the exact value for the tooltip, and what a table sorts it by."""

    text: str
    exact: str = ""
    order: float | str | None = None


def duration(value: float | None) -> Figure:
    """Seconds in at most two units, as "3 d 4 h", "12 min 30 s", "2.5 s" or "80 ms"."""
    if not _known(value):
        return Figure(NONE)
    assert value is not None
    return Figure(_duration(value), f"{value:,.3f}".rstrip("0").rstrip(".") + " s", value)


def _duration(seconds: float) -> str:
    if seconds < 0:
        return MINUS + _duration(-seconds)
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms" if seconds >= 0.001 else "under 1 ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for (unit, name), (smaller, smaller_name) in pairwise(UNITS_S):
        # Rounded to the smaller unit first, so that 59 min 59.9 s becomes 1 h and not 60 min.
        parts = round(seconds / smaller) * smaller
        if parts >= unit:
            whole, rest = divmod(parts, unit)
            tail = f" {rest // smaller} {smaller_name}" if rest and whole < 100 else ""
            return f"{whole:,} {name}{tail}"
    return f"{round(seconds)} s"


def count(value: float | None, unit: str = "") -> Figure:
    """Render a whole number with thousands separators."""
    if not _known(value):
        return Figure(NONE)
    assert value is not None
    return Figure(f"{value:,.0f}".replace("-", MINUS), f"{value:,.10g} {unit}".strip(), value)


def decimal(value: float | None, unit: str = "") -> Figure:
    """Render a number to about three significant digits, whole from 100 on."""
    if not _known(value):
        return Figure(NONE)
    assert value is not None
    size = abs(value)
    if value == 0:
        text = "0"
    elif size >= 99.95:
        text = f"{value:,.0f}"
    elif size >= 0.001:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    else:
        text = f"{value:.1e}"
    tail = f" {unit}" if unit else ""
    return Figure(text.replace("-", MINUS) + tail, f"{float(value)!r}{tail}", value)


def jobs(value: float) -> str:
    """Number of jobs in words: "no jobs", "1 job", "12 jobs"."""
    return counted(round(value), "job") if round(value) else "no jobs"


def percent(value: float | None) -> Figure:
    """Render a part of one as "82.3 %"."""
    if not _known(value):
        return Figure(NONE)
    assert value is not None
    digits = 2 if 0 < abs(value) < 0.01 else 1
    return Figure(f"{100 * value:,.{digits}f} %".replace("-", MINUS), f"{float(value)!r}", value)


def core_hours(value: float | None) -> Figure:
    """Core-hours, whole from 100 on."""
    return decimal(value, "core-h")


def points(value: float | None) -> Figure:
    """Difference of two shares in percentage points, with its sign."""
    if not _known(value):
        return Figure(NONE)
    assert value is not None
    return Figure(_signed(f"{100 * value:,.1f}") + " pp", f"{float(value)!r}", value)


def signed(shown: Figure) -> Figure:
    """Put a plus before a figure that is above zero."""
    return shown._replace(text=_signed(shown.text))


def _signed(text: str) -> str:
    if text.startswith("-"):
        text = MINUS + text[1:]
    is_zero = not any(digit in text for digit in "123456789")
    return text.lstrip(MINUS) if is_zero else text if text.startswith((MINUS, NONE)) else f"+{text}"


def metric(key: str, unit: str, value: Any) -> Figure:
    """Render one value of ``metrics.json`` by its key and its unit."""
    if isinstance(value, str):
        return Figure(value, value, value)
    if unit == "s":
        return duration(value)
    if unit in {"jobs", "processors", "job id"}:
        whole = value is None or float(value).is_integer()
        return count(value, unit) if whole else decimal(value, "")
    leaf = key.rpartition(".")[2]
    if leaf.endswith("_fraction") or leaf.startswith("share_error"):
        return percent(value)
    return count(value) if leaf in {"groups", "users", "sample_seed"} else decimal(value, unit)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
