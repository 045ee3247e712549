"""Arrivals that follow the hours of the day, and their fit to a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apportion.traces.synth.assemble import Floats

DAY_S: Final = 86_400.0
SLOTS: Final = 48  # half hours
DAY_BEGINS: Final = 11  # slot at which the fitted day begins: the quietest hour of the night


@dataclass(frozen=True)
class DayCurve:
    """Expected arrivals since midnight at the end of each half hour, in "points": a mean day has 86,400 of them.

    Gaps between arrivals are drawn in points. A busy half hour holds more points than seconds, so that the same gap
    passes sooner there.
    """

    cumulative: Floats  # SLOTS + 1 values from 0 to DAY_S

    @classmethod
    def from_gamma(cls, shape: float, scale: float) -> DayCurve:
        """Curve of Lublin and Feitelson: half hour i holds the gamma's mass around i, the day beginning at 5:30."""
        from scipy.special import gammainc

        slot = np.arange(DAY_BEGINS, DAY_BEGINS + SLOTS)
        mass = gammainc(shape, (slot + 0.5) / scale) - gammainc(shape, (slot - 0.5) / scale)
        weights = np.empty(SLOTS)
        weights[(slot - 1) % SLOTS] = mass
        return cls._from_weights(weights)

    @classmethod
    def mean(cls, curves: Sequence[DayCurve]) -> DayCurve:
        """Mean of several curves."""
        return cls(np.mean([curve.cumulative for curve in curves], axis=0))

    @classmethod
    def _from_weights(cls, weights: Floats) -> DayCurve:
        return cls(np.concatenate([[0.0], np.cumsum(weights)]) * (DAY_S / weights.sum()))

    def points(self, seconds: Floats) -> Floats:
        """Points passed at each time, in seconds since a midnight."""
        day, rest = np.divmod(seconds, DAY_S)
        return day * DAY_S + np.interp(rest, np.linspace(0.0, DAY_S, SLOTS + 1), self.cumulative)

    def times(self, points: Floats) -> Floats:
        """Seconds since that midnight at which so many points have passed; the inverse of `points`."""
        day, rest = np.divmod(points, DAY_S)
        return day * DAY_S + np.interp(rest, self.cumulative, np.linspace(0.0, DAY_S, SLOTS + 1))


def to_load(submit_s: Floats, first_s: float, span_s: float, curve: DayCurve) -> Floats:
    """Stretch or press arrivals so that the last comes ``span_s`` after the first, the daily cycle staying in place.

    Parameters
    ----------
    submit_s : float64[n]
        Rising seconds since the trace's origin.
    first_s : float
        Time of day of the origin.
    span_s : float
        Seconds from the first to the last arrival that give the load.
    curve : DayCurve
        Cycle along which gaps are scaled.
    """
    start = submit_s[0] + first_s
    points = curve.points(submit_s + first_s)
    begin, end = curve.points(np.array([start, np.floor(submit_s[0]) + first_s + span_s]))
    passed = points[-1] - points[0]
    scaled = (
        begin + (points - points[0]) * ((end - begin) / passed) if passed > 0 else np.linspace(begin, end, len(points))
    )
    result = curve.times(scaled) - first_s
    result[0] = submit_s[0]
    result[-1] = np.floor(submit_s[0]) + span_s
    return np.maximum.accumulate(result)
