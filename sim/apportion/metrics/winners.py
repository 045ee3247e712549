"""Who gained and who lost between two runs of the same jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.metrics.bootstrap import interval, ratio
from apportion.metrics.service import bounded_slowdown

if TYPE_CHECKING:
    from apportion.metrics.pairing import Paired

Floats = NDArray[float64]


def changes(pair: Paired, by: str, weight: Floats, confidence: float) -> pd.DataFrame:
    """Mean change of wait and slowdown of each group's jobs, those that lost most time in total first.

    Parameters
    ----------
    pair : Paired
    by : str
        "account", "user" or any other grouping of `Run.codes`.
    weight : float64 array of (replicates, blocks)
        From `bootstrap.draws`.
    confidence : float

    Returns
    -------
    pandas.DataFrame
        ``group``, ``jobs``, ``core_h``, ``baseline_wait_s``, ``wait_s``, ``difference_s`` (mean over the group's
        jobs) with ``low_s``, ``high_s``, ``total_difference_h`` (job-hours), ``slowdown_difference`` (mean bounded),
        ``clear``.
    """
    codes, names = pair.base.codes(by)
    group = codes[pair.base_rows]
    n_blocks = weight.shape[1]
    sides = ((pair.base, pair.base_rows), (pair.other, pair.other_rows))
    waits = [run.wait_s[at] for run, at in sides]
    slow = [bounded_slowdown(run.wait_s[at], run.run_s[at]) for run, at in sides]
    cell = pair.block * len(names) + group

    def per_block(values: Floats) -> Floats:
        flat = np.bincount(cell, weights=values, minlength=n_blocks * len(names))
        return flat.reshape(n_blocks, len(names)).astype(float64)

    jobs = per_block(np.ones(len(group)))
    change = per_block(waits[1] - waits[0])
    low, high = np.full(len(names), np.nan), np.full(len(names), np.nan)
    drawn = ratio(weight @ change, weight @ jobs)
    for i in range(len(names)):
        low[i], high[i] = interval(drawn[:, i], confidence)
    n = jobs.sum(axis=0)

    def mean(values: Floats) -> Floats:
        return ratio(np.bincount(group, weights=values, minlength=len(names)).astype(float64), n)

    table = pd.DataFrame(
        {
            "group": names,
            "jobs": n.astype(int64),
            "core_h": np.bincount(group, weights=pair.base.core_s[pair.base_rows], minlength=len(names)) / 3600.0,
            "baseline_wait_s": mean(waits[0]),
            "wait_s": mean(waits[1]),
            "difference_s": mean(waits[1] - waits[0]),
            "low_s": low,
            "high_s": high,
            "total_difference_h": change.sum(axis=0) / 3600.0,
            "slowdown_difference": mean(np.nan_to_num(slow[1] - slow[0])),
            "clear": (low > 0) | (high < 0),
        }
    )
    table = table[table["jobs"] > 0]
    return table.sort_values("total_difference_h", ascending=False, kind="stable").reset_index(drop=True)
