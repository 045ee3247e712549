"""What a trace looks like in numbers: arrivals, sizes, lengths, estimates, users, load and its cycles.

Everything is computed from the columns at once; keys are stable and carry their units. Quantities of which the trace
knows nothing are None.

References
----------
Feitelson, "Workload Modeling for Computer Systems Performance Evaluation", Cambridge University Press 2015,
doi:10.1017/CBO9781139939690 (distributions, cycles, concentration). Tsafrir, Etsion, Feitelson, "Modeling user runtime
estimates", JSSPP 2005, doi:10.1007/11605300_1 (accuracy, and how few distinct estimates users give).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apportion.traces.schema import HORIZON_MS, UNKNOWN, Status, Trace
from apportion.traces.transform import zone_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TOP_USERS: Final = 10
QUANTILES: Final = (("p10", 10), ("median", 50), ("p90", 90), ("p99", 99))


def describe(trace: Trace) -> dict[str, Any]:
    """Describe a trace in numbers.

    Returns
    -------
    dict
        ``jobs``, ``users``, ``groups``, ``accounts``, ``queues``, ``partitions``; ``period`` (dates in the trace's
        zone); ``machine``; ``arrivals`` (by hour and weekday, per day, in one second); ``procs``, ``run_s``,
        ``wait_s``, ``limit_s`` (mean, quantiles, maximum); ``estimates`` (run / limit); ``concentration`` (top users,
        Gini of jobs and of work, users in several groups); ``load`` (offered, of the machine); ``cycles``
        (autocorrelation of arrivals and of work); ``status`` (counts).
    """
    submit = trace.column("submit_ms")
    known = _dated(submit)
    times = local_times(trace)
    return {
        "name": trace.meta.name,
        "jobs": len(trace),
        **{f"{name}s": len(np.unique(codes[codes >= 0])) for name, codes in _codes(trace).items()},
        "period": _period(trace, submit[known], times),
        "machine": {"procs": _known(trace.meta.max_procs), "nodes": _known(trace.meta.max_nodes)},
        "arrivals": _arrivals(submit[known], times),
        "procs": _spread(size(trace), above=0),
        "run_s": _spread(trace.column("run_ms"), scale=1e-3),
        "wait_s": _spread(trace.column("wait_ms"), scale=1e-3),
        "limit_s": _spread(trace.column("limit_ms"), scale=1e-3, above=0),
        "estimates": _estimates(trace),
        "concentration": _concentration(trace),
        "load": _load(trace),
        "cycles": _cycles(trace),
        "status": _statuses(trace),
    }


def size(trace: Trace) -> Ints:
    """Give processors a job occupied: allocated, else requested; -1 where the trace says neither."""
    used = trace.column("procs_used")
    return np.where(used > 0, used, np.maximum(trace.column("procs_req"), UNKNOWN))


def work_s(trace: Trace) -> Floats:
    """Give processor-seconds of each job; 0 where size or run time is unknown."""
    work: Floats = np.maximum(size(trace), 0) * np.maximum(trace.column("run_ms"), 0) / 1000.0
    return work


def local_times(trace: Trace) -> pd.DatetimeIndex | None:
    """Give submit times in the trace's zone (UTC where it says none), without unknown ones; None for relative times."""
    import pandas as pd

    if trace.meta.origin_ms is None:
        return None
    submit = trace.column("submit_ms")
    times = pd.to_datetime(submit[_dated(submit)] + trace.meta.origin_ms, unit="ms", utc=True)
    return times.tz_convert(zone_of(trace))


def _dated(submit: Ints) -> NDArray[np.bool_]:
    """Where a submit time is known and can be."""
    return (submit >= 0) & (submit <= HORIZON_MS)


def gini(values: Floats) -> float | None:
    """Gini coefficient of amounts that are not negative: 0 all equal, towards 1 one has all.

    Computed from the sorted amounts x_1 <= ... <= x_n as ``sum((2 i - n - 1) x_i) / (n sum(x_i))``.
    """
    total = float(values.sum())
    if not len(values) or total <= 0:
        return None
    ordered = np.sort(values)
    n = len(ordered)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def lorenz(values: Floats) -> tuple[Floats, Floats]:
    """Lorenz curve: share of the smallest holders against the share of all that they hold, both from 0 to 1."""
    held = np.concatenate([[0.0], np.cumsum(np.sort(values))])
    return np.linspace(0, 1, len(held)), held / held[-1] if held[-1] > 0 else held


def autocorrelation(series: Floats, lags: int) -> Floats:
    """Autocorrelation at lags 1 to ``lags`` (biased estimator: every lag is divided by the variance of the whole)."""
    centred = series - series.mean()
    variance = float((centred**2).sum())
    if variance <= 0:
        return np.zeros(lags)
    return np.array([float((centred[k:] * centred[:-k]).sum()) / variance for k in range(1, lags + 1)])


def per_bin(trace: Trace, bin_ms: int) -> tuple[Ints, Floats]:
    """Jobs and processor-seconds submitted in each bin, from the bin of the first submit to that of the last."""
    submit = trace.column("submit_ms")
    known = _dated(submit)
    if not known.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    place = (submit[known] - submit[known].min()) // bin_ms
    bins = int(place.max()) + 1
    jobs = np.bincount(place, minlength=bins).astype(np.int64)
    return jobs, np.bincount(place, weights=work_s(trace)[known], minlength=bins).astype(np.float64)


def by_user(trace: Trace) -> tuple[list[str], Ints, Floats]:
    """Name, jobs and processor-seconds of every user that has a job, the one with most jobs first."""
    codes, names = trace.labels("user")
    known = codes >= 0
    jobs = np.bincount(codes[known], minlength=len(names)).astype(np.int64)
    work = np.bincount(codes[known], weights=work_s(trace)[known], minlength=len(names)).astype(np.float64)
    order = np.argsort(-jobs, kind="stable")
    order = order[jobs[order] > 0]
    return [names[i] for i in order], jobs[order], work[order]


def _codes(trace: Trace) -> dict[str, Ints]:
    return {name: trace.labels(name)[0] for name in ("user", "group", "account", "queue", "partition")}


def _known(value: int) -> int | None:
    return value if value > 0 else None


def _period(trace: Trace, submit: Ints, times: pd.DatetimeIndex | None) -> dict[str, Any]:
    if not len(submit):
        return {"first_submit": None, "last_submit": None, "days": None, "timezone": trace.meta.timezone}
    ends = [None, None] if times is None else [times.min().isoformat(), times.max().isoformat()]
    return {
        "first_submit": ends[0],
        "last_submit": ends[1],
        "days": round(float(submit.max() - submit.min()) / DAY_MS, 3),
        "timezone": trace.meta.timezone or ("UTC (assumed)" if times is not None else "relative times"),
    }


def _arrivals(submit: Ints, times: pd.DatetimeIndex | None) -> dict[str, Any]:
    days = max(float(submit.max() - submit.min()) / DAY_MS, 1e-9) if len(submit) else 1.0
    found: dict[str, Any] = {
        "per_day": round(len(submit) / days, 3),
        "in_the_second_of_the_one_before": int((np.diff(np.sort(submit) // 1000) == 0).sum()),
        "by_hour": None,
        "by_weekday": None,
        "by_weekday_and_hour": None,
    }
    if times is not None:
        grid = np.bincount(times.day_of_week.to_numpy() * 24 + times.hour.to_numpy(), minlength=168).reshape(7, 24)
        found["by_hour"] = grid.sum(axis=0).tolist()
        found["by_weekday"] = dict(zip(WEEKDAYS, grid.sum(axis=1).tolist(), strict=True))
        found["by_weekday_and_hour"] = grid.tolist()
    return found


def _spread(values: Ints, *, scale: float = 1.0, above: int = UNKNOWN) -> dict[str, Any] | None:
    found = values[values > above] * scale
    if not len(found):
        return None
    quantiles = np.percentile(found, [q for _, q in QUANTILES])
    return {
        "known": len(found),
        "mean": round(float(found.mean()), 3),
        **{name: round(float(q), 3) for (name, _), q in zip(QUANTILES, quantiles, strict=True)},
        "max": round(float(found.max()), 3),
    }


def accuracy(trace: Trace) -> Floats:
    """Run time over requested time, of jobs that know both and ran."""
    run, limit = trace.column("run_ms"), trace.column("limit_ms")
    both = (limit > 0) & (run >= 0)
    found: Floats = run[both] / limit[both]
    return found


def _estimates(trace: Trace) -> dict[str, Any] | None:
    used = accuracy(trace)
    if not len(used):
        return None
    limit = trace.column("limit_ms")
    values, counts = np.unique(limit[limit > 0], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:5]
    return {
        "known": len(used),
        "mean_accuracy": round(float(np.minimum(used, 1).mean()), 4),
        "median_accuracy": round(float(np.median(used)), 4),
        "over_limit": int((used > 1).sum()),
        "distinct_limits": len(values),
        "commonest_limits_s": [
            {"limit_s": float(values[i]) / 1000, "share": round(float(counts[i] / counts.sum()), 4)} for i in most
        ],
    }


def _concentration(trace: Trace) -> dict[str, Any] | None:
    names, jobs, work = by_user(trace)
    if not names:
        return None
    total = max(float(work.sum()), 1e-9)
    users, groups = trace.labels("user")[0], trace.labels("group")[0]
    both = (users >= 0) & (groups >= 0)
    pairs = np.unique(users[both] * (groups.max() + 1) + groups[both]) // (groups.max() + 1)
    return {
        "gini_jobs": gini(jobs.astype(np.float64)),
        "gini_work": gini(work),
        "users_in_several_groups": int((np.unique(pairs, return_counts=True)[1] > 1).sum()),
        "top_users": [
            {"user": n, "jobs": int(j), "job_share": round(float(j) / len(trace), 4), "work_share": round(w / total, 4)}
            for n, j, w in zip(names[:TOP_USERS], jobs.tolist(), work.tolist(), strict=False)
        ],
    }


def _load(trace: Trace) -> dict[str, Any]:
    submit = trace.column("submit_ms")
    submit = submit[_dated(submit)]
    hours = float(submit.max() - submit.min()) / HOUR_MS if len(submit) else 0.0
    work_h = float(work_s(trace).sum()) / 3600
    procs = trace.meta.max_procs
    offered = work_h / (procs * hours) if procs > 0 and hours > 0 else None
    return {"work_processor_hours": round(work_h, 3), "offered_load": None if offered is None else round(offered, 4)}


def _cycles(trace: Trace) -> dict[str, Any]:
    hourly, _ = per_bin(trace, HOUR_MS)
    daily_jobs, daily_work = per_bin(trace, DAY_MS)

    def at(series: NDArray[Any], lag: int) -> float | None:
        if len(series) < 3 * lag:
            return None
        return round(float(autocorrelation(series.astype(np.float64), lag)[-1]), 4)

    return {
        "arrivals_hourly_lag_24": at(hourly, 24),
        "arrivals_hourly_lag_168": at(hourly, 168),
        "arrivals_daily_lag_1": at(daily_jobs, 1),
        "arrivals_daily_lag_7": at(daily_jobs, 7),
        "work_daily_lag_1": at(daily_work, 1),
        "work_daily_lag_7": at(daily_work, 7),
    }


def _statuses(trace: Trace) -> dict[str, int]:
    codes, counts = np.unique(trace.column("status"), return_counts=True)
    return {Status(int(code)).name: int(n) for code, n in zip(codes, counts, strict=True)}
