"""Moments of a run as people read them: calendar dates where the trace has an origin, days counted from it elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy import float64
from numpy.typing import NDArray

if TYPE_CHECKING:
    from apportion.metrics.run import Run

DAY_S = 86400


class Clock:
    """The clock on the wall of the traced machine.

    Attributes
    ----------
    is_calendar : bool
        Whether the trace says when its time 0 was.
    zone_words : str
        What the times are in, for captions.
    """

    def __init__(self, run: Run) -> None:
        origin = run.manifest.get("origin_ms")
        self.origin_ms: int | None = None if origin is None else int(origin)
        name = str(run.manifest.get("timezone") or "")
        self.zone, known = _zone(name)
        self.is_calendar = self.origin_ms is not None
        unknown = "UTC at all centers" if "federation" in run.manifest else "UTC, as the trace names no known time zone"
        zone = name if known and name else unknown
        self.zone_words = zone if self.is_calendar else "from the start of the trace, which has no dates"

    def wall(self, t_s: float) -> datetime:
        """Wall-clock time of a moment; only where `is_calendar`."""
        assert self.origin_ms is not None
        return datetime.fromtimestamp(0, UTC) + _delta(self.origin_ms / 1000 + t_s, self.zone)

    def date(self, t_s: float) -> str:
        """Day, as "12 Mar 2004" or "day 12"."""
        if not self.is_calendar:
            return f"day {int(t_s // DAY_S) + 1}"
        return f"{self.wall(t_s):%d %b %Y}".lstrip("0")

    def moment(self, t_s: float) -> str:
        """Day and minute, as "12 Mar 2004, 06:30" or "day 12, 06:30"."""
        if not np.isfinite(t_s):
            return "–"
        if not self.is_calendar:
            return f"{self.date(t_s)}, {int(t_s % DAY_S // 3600):02}:{int(t_s % 3600 // 60):02}"
        return f"{self.date(t_s)}, {self.wall(t_s):%H:%M}"

    def instant(self, wall: datetime) -> float:
        """Seconds from the origin of a time on the wall clock; only where `is_calendar`."""
        assert self.origin_ms is not None
        return (wall if wall.tzinfo else wall.replace(tzinfo=self.zone)).timestamp() - self.origin_ms / 1000

    def hour(self, t_s: float, *, seconds: bool = False) -> str:
        """Minute of the day, as "06:30", or second, as "06:30:15"."""
        minute = self.moment(t_s).rpartition(", ")[2]
        second = self.wall(t_s).second if self.is_calendar else int(t_s % 60)
        return f"{minute}:{second:02}" if seconds else minute

    def axis(self, t_s: NDArray[float64]) -> list[int]:
        """Milliseconds for a chart's axis that shows them as UTC: wall-clock time, or time from the origin."""
        ms = np.rint(t_s * 1000).astype(np.int64)
        if self.origin_ms is None:
            return [int(v) for v in ms]
        wall = pd.to_datetime(ms + self.origin_ms, unit="ms", utc=True).tz_convert(self.zone).tz_localize(None)
        return [int(v) for v in wall.as_unit("ms").asi8]

    def midnight(self, t_s: float) -> float:
        """Last midnight at or before a moment, s from the origin."""
        if not self.is_calendar:
            return t_s // DAY_S * DAY_S
        wall = self.wall(t_s)
        return t_s - (wall.hour * 3600 + wall.minute * 60 + wall.second + wall.microsecond / 1e6)


def _delta(epoch_s: float, zone: tzinfo) -> timedelta:
    since = timedelta(seconds=epoch_s)
    offset = (datetime.fromtimestamp(0, UTC) + since).astimezone(zone).utcoffset()
    return since + (offset or timedelta())


def _zone(name: str) -> tuple[tzinfo, bool]:
    try:
        return ZoneInfo(name or "UTC"), True
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC, False
