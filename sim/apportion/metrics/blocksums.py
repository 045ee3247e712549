"""The statistics of a comparison as functions of sums over blocks of days, which makes a replicate a weighted sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.metrics.bootstrap import ratio
from apportion.metrics.fairness import SHARED, targets
from apportion.metrics.occupancy import binned, integral
from apportion.metrics.service import bounded_slowdown

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Floats = NDArray[float64]
Ints = NDArray[int64]

CHUNK: Final = 250  # replicates at a time where a statistic needs a value for each user
LOWER_IS_BETTER: Final = {
    "service.wait_s.mean": True,
    "service.wait_s.area_weighted_mean": True,
    "service.response_s.mean": True,
    "service.bounded_slowdown.mean": True,
    "utilization.used_fraction": False,
    "fairness.user.jain_service": False,
    "fairness.nuwt.std": True,
    "fairness.account.share_error_final": True,
    "fairness.user.share_error_final": True,
}


class BlockSums:
    """Sums over blocks of days of what the compared statistics are made of, for one run.

    Parameters
    ----------
    run : Run
    rows : int64 array
        Rows of the jobs to compare, all started.
    block : int64 array
        Block in which each of them was submitted.
    edges_s : float64 array
        Edges of the blocks; the machine is watched from the first to the last.
    """

    def __init__(self, run: Run, rows: Ints, block: Ints, edges_s: Floats) -> None:
        self.n_blocks = n_blocks = len(edges_s) - 1
        wait, ran, area = run.wait_s[rows], run.run_s[rows], run.core_s[rows]
        whole = ~np.isnan(ran)

        def total(values: Floats, mine: NDArray[np.bool_] = whole) -> Floats:
            return np.bincount(block[mine], weights=values[mine], minlength=n_blocks).astype(float64)

        every = np.ones(len(rows), dtype=bool)
        self.jobs = total(np.ones(len(rows)), every)
        self.ended = total(np.ones(len(rows)))
        self.wait = total(wait, every)
        self.response = total(wait + ran)
        self.slowdown = total(bounded_slowdown(wait, ran))
        self.area = total(area, every)
        self.area_wait = total(area * wait, every)
        one = np.zeros(len(run.jobs), dtype=int64)
        self.used = binned(one, 1, run.start_s, run.stop_s, run.procs, edges_s)[0]
        self.capacity = integral(run.capacity, edges_s)
        codes, names = run.codes("user")
        cell = block * len(names) + codes[rows]
        shape = (n_blocks, len(names))
        stay = np.nan_to_num(run.procs[rows] * (wait + ran))
        self.user_area = np.bincount(cell, weights=np.where(whole, area, 0.0), minlength=shape[0] * shape[1]).reshape(
            shape
        )
        self.user_stay = np.bincount(cell, weights=stay, minlength=shape[0] * shape[1]).reshape(shape)
        self.user_wait = np.bincount(cell, weights=wait, minlength=shape[0] * shape[1]).reshape(shape)
        self.shares: dict[str, tuple[Floats, Floats]] = {}
        for by in SHARED:
            promised = targets(run, by)
            if promised is not None:
                group, labels = run.codes(by)
                labels = labels + sorted(set(promised) - set(labels))
                used = binned(group, len(labels), run.start_s, run.stop_s, run.procs, edges_s)
                self.shares[by] = (used.T, np.array([promised.get(label, 0.0) for label in labels]))

    def statistics(self, weight: Floats) -> dict[str, Floats]:
        """Every compared statistic, for each row of block weights."""
        result = {
            "service.wait_s.mean": ratio(weight @ self.wait, weight @ self.jobs),
            "service.wait_s.area_weighted_mean": ratio(weight @ self.area_wait, weight @ self.area),
            "service.response_s.mean": ratio(weight @ self.response, weight @ self.ended),
            "service.bounded_slowdown.mean": ratio(weight @ self.slowdown, weight @ self.ended),
            "utilization.used_fraction": ratio(weight @ self.used, weight @ self.capacity),
            "fairness.user.jain_service": np.empty(len(weight)),
            "fairness.nuwt.std": np.empty(len(weight)),
        }
        for by in self.shares:
            result[f"fairness.{by}.share_error_final"] = np.empty(len(weight))
        for first in range(0, len(weight), CHUNK):
            part = slice(first, first + CHUNK)
            some = weight[part]
            area = some @ self.user_area
            result["fairness.user.jain_service"][part] = _jain_rows(ratio(area, some @ self.user_stay))
            result["fairness.nuwt.std"][part] = _std_rows(ratio(some @ self.user_wait, area))
            for by, (used, target) in self.shares.items():
                got = some @ used
                share = ratio(got, got.sum(axis=1, keepdims=True))
                result[f"fairness.{by}.share_error_final"][part] = np.abs(target - share).sum(axis=1) / 2
        return result


def _jain_rows(values: Floats) -> Floats:
    known = ~np.isnan(values)
    x = np.where(known, values, 0.0)
    return ratio(x.sum(axis=1) ** 2, known.sum(axis=1) * (x * x).sum(axis=1))


def _std_rows(values: Floats) -> Floats:
    known = ~np.isnan(values)
    x = np.where(known, values, 0.0)
    n = known.sum(axis=1).astype(float64)
    mean = ratio(x.sum(axis=1), n)
    return np.sqrt(ratio((np.where(known, x - mean[:, None], 0.0) ** 2).sum(axis=1), n))
