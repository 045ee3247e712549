"""What users got: waits, slowdowns, throughput and the length of the queue.

References
----------
Feitelson & Rudolph, "Metrics and benchmarking for parallel job scheduling", JSSPP 1998, doi:10.1007/BFb0053978.
Feitelson, Rudolph, Schwiegelshohn, Sevcik & Wong, "Theory and practice in parallel job scheduling", JSSPP 1997,
doi:10.1007/3-540-63574-2_14 (bounded slowdown).
Zotkin & Keleher, "Job-length estimation and performance in backfilling schedulers", HPDC 1999,
doi:10.1109/HPDC.1999.805303 (slowdown per processor).
Feitelson, "Metrics for parallel job scheduling and their convergence", JSSPP 2001, doi:10.1007/3-540-45540-X_11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy import float64
from numpy.typing import NDArray

if TYPE_CHECKING:
    from apportion.metrics.occupancy import Sweep
    from apportion.metrics.run import Run

Floats = NDArray[float64]

TAU_S: Final = 10.0
PERCENTILES: Final = (50, 90, 95, 99)
HOUR_S: Final = 3600.0


def slowdown(wait_s: Floats, run_s: Floats) -> Floats:
    """Slowdown: (wait + run) / run; NaN for a job of no length, whose slowdown would be without bound.

    Source: Feitelson & Rudolph 1998.
    """
    return _ratio(wait_s + run_s, run_s)


def bounded_slowdown(wait_s: Floats, run_s: Floats, tau_s: float = TAU_S) -> Floats:
    """Bounded slowdown: max(1, (wait + run) / max(run, tau)), so that a job of a second cannot rule the mean.

    Source: Feitelson et al. 1997; tau is 10 s, as is usual.
    """
    return np.asarray(np.maximum(1.0, (wait_s + run_s) / np.maximum(run_s, tau_s)))


def per_processor_slowdown(wait_s: Floats, run_s: Floats, procs: Floats) -> Floats:
    """Slowdown per processor: (wait + run) / (procs * run); NaN for a job of no length.

    Source: Zotkin & Keleher 1999.
    """
    return _ratio(wait_s + run_s, procs * run_s)


def per_processor_bounded_slowdown(wait_s: Floats, run_s: Floats, procs: Floats, tau_s: float = TAU_S) -> Floats:
    """Bounded slowdown per processor: max(1, (wait + run) / (procs * max(run, tau))).

    Source: Zotkin & Keleher 1999, bounded as in Feitelson 2001.
    """
    return np.asarray(np.maximum(1.0, (wait_s + run_s) / (np.maximum(procs, 1.0) * np.maximum(run_s, tau_s))))


def _ratio(above: Floats, below: Floats) -> Floats:
    result = np.full(len(below), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def describe(values: Floats, weight: Floats) -> dict[str, float]:
    """Mean, spread and percentiles of one quantity over jobs; NaN values are left out.

    Parameters
    ----------
    values : float64 array
    weight : float64 array
        Area of each job (processors times run time), for the weighted mean: it shows what the work saw rather than
        the jobs, and cannot be improved by splitting a job (Feitelson & Rudolph 1998).

    Returns
    -------
    dict
        ``mean``, ``area_weighted_mean``, ``std`` (of the population), ``min``, ``p50``, ``p90``, ``p95``, ``p99``
        (linear interpolation), ``max``; all NaN where there is no value.
    """
    known = ~np.isnan(values)
    values, weight = values[known], weight[known]
    names = ["mean", "area_weighted_mean", "std", "min", *(f"p{p}" for p in PERCENTILES), "max"]
    if not values.size:
        return dict.fromkeys(names, float("nan"))
    quantiles = np.percentile(values, PERCENTILES)
    total = weight.sum()
    weighted = (values * weight).sum() / total if total > 0 else float("nan")
    row = (values.mean(), weighted, values.std(), values.min(), *quantiles, values.max())
    return {name: float(value) for name, value in zip(names, row, strict=True)}


def service(run: Run, states: Sweep) -> dict[str, Any]:
    """Service metrics of a run.

    Waits, responses and slowdowns are over the jobs submitted in the window that started (a job without an end has a
    wait but no response). Queue and throughput are over the window: mean queue = integral of its length / length of
    the window; throughput = jobs that ended in the window / hours. Makespan = last end - first submit of all jobs
    (Feitelson & Rudolph 1998). Backfill rate = backfilled jobs / started jobs.
    """
    mine = run.is_measured & run.started
    wait, ran, procs, area = run.wait_s[mine], run.run_s[mine], run.procs[mine], run.core_s[mine]
    begin, end = run.window_s
    length = end - begin
    ended = run.end_s[run.started]
    span = float(np.nanmax(ended) - run.submit_s.min()) if np.isfinite(ended).any() else float("nan")
    finished = int(((ended >= begin) & (ended <= end)).sum())
    backfilled = run.jobs["backfilled"].to_numpy(dtype=bool)[mine] if "backfilled" in run.jobs.columns else None
    return {
        "wait_s": describe(wait, area),
        "response_s": describe(run.response_s[mine], area),
        "slowdown": describe(slowdown(wait, ran), area),
        "bounded_slowdown": describe(bounded_slowdown(wait, ran), area),
        "per_processor_slowdown": describe(per_processor_slowdown(wait, ran, procs), area),
        "per_processor_bounded_slowdown": describe(per_processor_bounded_slowdown(wait, ran, procs), area),
        "queue_jobs": _over_time(states.queued_jobs, states.dt_s, length),
        "queue_procs": _over_time(states.queued_procs, states.dt_s, length),
        "throughput_jobs_per_h": finished / (length / HOUR_S) if length > 0 else float("nan"),
        "makespan_s": span,
        "backfilled_fraction": float(backfilled.mean()) if backfilled is not None and backfilled.size else float("nan"),
    }


def _over_time(level: Floats, dt_s: Floats, length_s: float) -> dict[str, float]:
    lasting = level[dt_s > 0]
    return {
        "mean": float((level * dt_s).sum() / length_s) if length_s > 0 else float("nan"),
        "max": float(lasting.max()) if lasting.size else 0.0,
    }
