"""Written times as milliseconds since the epoch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.schema import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from apportion.traces.texts import TextTable

Ints = NDArray[np.int64]

FORMS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%a %b %d %H:%M:%S %Y")
_WITH_OFFSET: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")
_SECONDS: Final = re.compile(r"\d{1,12}")


class Clock:
    """Reads the local times of one trace.

    Parameters
    ----------
    path : str
        The trace, for messages.
    tz : str or None
        IANA name of its time zone; None means that it is not known, and UTC is taken.

    Attributes
    ----------
    repeated : int
        Times read so far that fall into the hour which the clocks show twice in autumn; the first of the two is taken.
    local : int
        Times read so far that were local.

    Raises
    ------
    TraceError
        There is no such time zone.
    """

    def __init__(self, path: str, tz: str | None) -> None:
        self.tz = tz
        self.repeated = 0
        self.local = 0
        try:
            self.zone = ZoneInfo(tz or "UTC")
        except (KeyError, ValueError, OSError):
            raise TraceError(f"'{tz}' is no time zone", "give an IANA name such as Europe/Paris", path=path) from None

    def read(self, table: TextTable, name: str, forms: Sequence[str] = FORMS, missing: Collection[str] = ()) -> Ints:
        """One column as ms since the epoch; -1 where it is empty or one of ``missing``.

        The first of ``forms`` that fits the column's first time is the column's. They are the unambiguous ones, since a
        site may set SLURM_TIME_FORMAT; one that puts days before months, or leaves out the year, is not guessed at.
        Plain numbers are taken as seconds since the epoch, and times with an offset (``Z``, ``+0100``) at their word.

        Raises
        ------
        TraceError
            Something in the column is no time.
        """
        codes, labels = table[name].coded
        if not labels:
            return codes
        values = np.full(len(labels), UNKNOWN, dtype=np.int64)
        local: list[int] = []
        offset: list[int] = []
        for k, label in enumerate(labels):
            if not label or label in missing:
                continue
            if _SECONDS.fullmatch(label):
                values[k] = int(label) * 1000
            elif _WITH_OFFSET.fullmatch(label):
                offset.append(k)
            else:
                local.append(k)
        shown = np.bincount(codes, minlength=len(labels))
        if offset:
            stamps = pd.to_datetime([labels[k] for k in offset], format="ISO8601", utc=True, errors="coerce")
            values[offset] = self._ms(table, name, pd.DatetimeIndex(stamps), [labels[k] for k in offset])
        if local:
            plain = _parsed([labels[k] for k in local], forms)
            first = plain.tz_localize(self.zone, ambiguous=np.ones(len(plain), bool), nonexistent="shift_forward")
            second = plain.tz_localize(self.zone, ambiguous=np.zeros(len(plain), bool), nonexistent="shift_forward")
            values[local] = self._ms(table, name, first, [labels[k] for k in local])
            self.local += int(shown[local].sum())
            self.repeated += int(shown[local][np.asarray(first != second)].sum())
        return values[codes]

    @staticmethod
    def _ms(table: TextTable, name: str, stamps: pd.DatetimeIndex, labels: list[str]) -> Ints:
        bad = np.flatnonzero(np.asarray(stamps.isna()))
        if bad.size:
            codes, all_labels = table[name].coded
            row = int(np.flatnonzero(codes == all_labels.index(labels[int(bad[0])]))[0])
            raise table.error(
                name, row, "is not a time", "write 2004-09-15T08:30:00; for sacct, unset SLURM_TIME_FORMAT"
            )
        utc = stamps.tz_convert("UTC").tz_localize(None)
        return np.asarray(utc.to_numpy().astype("datetime64[ms]").astype(np.int64))

    def notes(self) -> list[str]:
        """Remarks for the `TraceMeta`."""
        notes = []
        if self.tz is None and self.local:
            notes.append("times are local without a zone and were taken as UTC; give the zone if you know it")
        if self.repeated:
            notes.append(
                f"{counted(self.repeated, 'time falls', 'times fall')} into the hour that clocks show twice; the first was taken"
            )
        return notes


def _parsed(labels: list[str], forms: Sequence[str]) -> pd.DatetimeIndex:
    """Times without a zone in the first form that fits the first of them; NaT where one does not fit it."""
    for form in forms:
        if not pd.isna(pd.to_datetime(labels[0], format=form, errors="coerce")):
            break
    return pd.DatetimeIndex(pd.to_datetime(labels, format=form, errors="coerce"))
