"""Who was left waiting: the longest waits, and the waits of each class against its bound.

A job that still waits at the end of the run counts with what it has waited so far; leaving it out would make a policy
look better the more it starves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy import float64
from numpy.typing import NDArray

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Floats = NDArray[float64]

DAY_S: Final = 86400.0
CLASSES: Final = ("qos", "size_class")


def waits_so_far(run: Run) -> Floats:
    """Wait of each started job, and up to the run's horizon of each that still waits, s; NaN for all others."""
    waiting = np.isinf(run.leave_s) & ~run.started
    return np.where(waiting, run.horizon_s - run.submit_s, run.wait_s)


def starvation(run: Run) -> dict[str, Any]:
    """Starvation metrics of the jobs submitted in the measure window.

    The longest wait and its job; jobs that waited over a day and over a week; jobs still waiting at the end; per QOS
    and per size class the number of jobs, the longest wait and the 99th percentile of waits. ``over_wait_bound_jobs``
    counts jobs whose wait exceeds the bound of their QOS (manifest ``wait_bounds_s``, QOS name to seconds); null
    where no QOS has one.
    """
    wait = waits_so_far(run)
    mine = run.is_measured & ~np.isnan(wait)
    where = np.flatnonzero(mine)
    worst = int(where[np.argmax(wait[where])]) if where.size else None
    result: dict[str, Any] = {
        "longest_wait_s": float("nan") if worst is None else float(wait[worst]),
        "longest_wait_job": None if worst is None else _plain(run.jobs["job_id"].iloc[worst]),
        "over_1_day_jobs": int((wait[where] > DAY_S).sum()),
        "over_7_days_jobs": int((wait[where] > 7 * DAY_S).sum()),
        "still_waiting_jobs": int((run.is_measured & np.isinf(run.leave_s) & ~run.started).sum()),
        "over_wait_bound_jobs": _over_bound(run, wait, mine),
    }
    for by in CLASSES:
        codes, names = run.codes(by)
        groups = {}
        for code, name in enumerate(names):
            values = wait[mine & (codes == code)]
            if values.size:
                groups[name] = {
                    "jobs": int(values.size),
                    "longest_wait_s": float(values.max()),
                    "wait_p99_s": float(np.percentile(values, 99)),
                }
        result[by] = groups
    return result


def _over_bound(run: Run, wait: Floats, mine: NDArray[np.bool_]) -> int | None:
    bounds = run.manifest.get("wait_bounds_s")
    if not bounds:
        return None
    codes, names = run.codes("qos")
    bound = np.array([float(bounds.get(name, np.inf)) for name in names])
    return int((wait[mine] > bound[codes[mine]]).sum())


def _plain(value: Any) -> int | str:
    return value if isinstance(value, str) else int(value)
