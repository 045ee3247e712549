"""A run over time and by group, summed up so far that a chart of 500,000 jobs stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.metrics.fairness import Shares
from apportion.metrics.occupancy import binned, integral
from apportion.metrics.service import bounded_slowdown
from apportion.metrics.starvation import waits_so_far

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Floats = NDArray[float64]
Ints = NDArray[int64]

HOUR_S: Final = 3600.0
OTHERS: Final = "(others)"
PER_DECADE: Final = 4  # bars of the wait histogram per factor of ten


def timeline(run: Run, bins: int = 1500) -> pd.DataFrame:
    """Load of machine and queue over the measure window: exact means over equal bins of time.

    Returns
    -------
    pandas.DataFrame
        ``t_s`` (start of the bin), ``used_procs``, ``capacity_procs``, ``queued_jobs``, ``queued_procs``,
        ``running_jobs``, all float64; no rows where the window has no length.
    """
    edges = _edges(run, bins)
    width = np.diff(edges)
    one = np.zeros(len(run.jobs), dtype=int64)
    each = np.ones(len(run.jobs))

    def mean(begin: Floats, end: Floats, weight: Floats) -> Floats:
        return np.asarray(binned(one, 1, begin, end, weight, edges)[0] / width)

    return pd.DataFrame(
        {
            "t_s": edges[:-1],
            "used_procs": mean(run.start_s, run.stop_s, run.procs),
            "capacity_procs": integral(run.capacity, edges) / width,
            "queued_jobs": mean(run.submit_s, run.leave_s, each),
            "queued_procs": mean(run.submit_s, run.leave_s, run.procs),
            "running_jobs": mean(run.start_s, run.stop_s, each),
        }
    )


def wait_histogram(run: Run) -> pd.DataFrame:
    """Count the waits of the measured jobs that started, in bins that grow by a fourth of a decade.

    Returns
    -------
    pandas.DataFrame
        ``from_s``, ``to_s`` (the first bin is [0, 1)), ``jobs`` (int64) and ``core_h`` (what those jobs used).
    """
    mine = run.is_measured & run.started
    wait, area = run.wait_s[mine], run.core_s[mine]
    longest = float(wait.max()) if wait.size else 1.0
    steps = max(1, int(np.floor(PER_DECADE * np.log10(max(longest, 1.0)))) + 1)
    edges = np.concatenate([[0.0], 10 ** (np.arange(steps + 1) / PER_DECADE)])
    at = np.clip(np.searchsorted(edges, wait, side="right") - 1, 0, steps)
    return pd.DataFrame(
        {
            "from_s": edges[:-1],
            "to_s": edges[1:],
            "jobs": np.bincount(at, minlength=steps + 1),
            "core_h": np.bincount(at, weights=area, minlength=steps + 1) / HOUR_S,
        }
    )


def slowdown_heatmap(run: Run) -> pd.DataFrame:
    """Bounded slowdown by size and length of job.

    Returns
    -------
    pandas.DataFrame
        One row per pair of classes with measured jobs that ended: ``size_class``, ``run_class`` (ordered categories),
        ``jobs``, ``mean_bounded_slowdown``, ``median_bounded_slowdown``, ``mean_wait_s``.
    """
    mine = run.is_measured & run.started & ~np.isnan(run.response_s)
    columns = {}
    for by in ("size_class", "run_class"):
        codes, names = run.codes(by)
        columns[by] = pd.Categorical.from_codes(codes[mine], categories=pd.Index(names), ordered=True)
    wait = run.wait_s[mine]
    table = pd.DataFrame({**columns, "slowdown": bounded_slowdown(wait, run.run_s[mine]), "wait_s": wait})
    grouped = table.groupby(["size_class", "run_class"], observed=True)
    return grouped.agg(
        jobs=("slowdown", "size"),
        mean_bounded_slowdown=("slowdown", "mean"),
        median_bounded_slowdown=("slowdown", "median"),
        mean_wait_s=("wait_s", "mean"),
    ).reset_index()


def share_over_time(run: Run, by: str = "account", bins: int = 200, top: int = 12) -> pd.DataFrame:
    """Share received against share promised, over the measure window.

    Parameters
    ----------
    run : Run
    by : {"account", "user", "qos", "size_class"}
    bins : int
    top : int
        Groups shown by themselves, those that used most; the rest is summed as "(others)".

    Returns
    -------
    pandas.DataFrame
        Long form, groups in falling order of use: ``group``, ``t_s`` (start of the bin), ``received`` (share of what
        was used in the bin; 0 where nothing was), ``received_so_far`` (from the start of the window to the end of the
        bin), ``target`` (NaN without targets), ``entitled`` (target shared out among those with demand in the bin;
        NaN without targets).
    """
    edges = _edges(run, bins)
    n_bins = len(edges) - 1
    shares = Shares(run, by, edges)
    rank = np.argsort(-shares.used.sum(axis=1), kind="stable")
    shown = rank[:top]
    rest = rank[top:]
    so_far = shares.used.cumsum(axis=1)
    total_so_far = so_far.sum(axis=0)
    share_so_far = np.zeros_like(so_far)
    np.divide(so_far, total_so_far, out=share_so_far, where=total_so_far > 0)
    known = shares.target is not None
    target = np.full(len(shares.names), np.nan) if shares.target is None else shares.target
    entitled = shares.entitled() if known else np.full_like(shares.used, np.nan)
    wide = {
        "received": shares.received(),
        "received_so_far": share_so_far,
        "target": np.repeat(target[:, None], n_bins, axis=1),
        "entitled": entitled,
    }
    labels = [shares.names[i] for i in shown] + ([OTHERS] if rest.size else [])
    columns = {
        name: np.vstack([values[shown], values[rest].sum(axis=0)[None, :]] if rest.size else [values[shown]]).ravel()
        for name, values in wide.items()
    }
    return pd.DataFrame(
        {"group": np.repeat(np.array(labels, dtype=object), n_bins), "t_s": np.tile(edges[:-1], len(labels)), **columns}
    )


def longest_waits(run: Run, n: int = 20) -> pd.DataFrame:
    """Return the measured jobs that waited longest, those still waiting included, longest first; none that did not wait.

    Returns
    -------
    pandas.DataFrame
        ``job_id``, ``user``, ``account``, ``qos``, ``procs``, ``submit_s``, ``wait_s`` (so far where it never
        started), ``run_s``, ``limit_s``, ``state`` and, where the run has it, ``reasons``.
    """
    wait = waits_so_far(run)
    rows = np.flatnonzero(run.is_measured & (wait > 0))
    rows = rows[np.argsort(-wait[rows], kind="stable")[:n]]
    names = ["job_id", "user", "account", "qos", "procs", "submit_s", "wait_s", "run_s", "limit_s", "state", "reasons"]
    table = run.jobs.iloc[rows][[name for name in names if name in run.jobs.columns]].copy()
    table["wait_s"] = wait[rows]
    return table.reset_index(drop=True)


def per_group(run: Run, by: str = "account") -> pd.DataFrame:
    """One row per user, account, QOS or class, in falling order of use.

    Jobs, waits and slowdowns are of the measured jobs; use and shares are of the measure window.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``jobs``, ``core_h`` (used in the window), ``mean_wait_s``, ``p95_wait_s``,
        ``mean_bounded_slowdown``, ``target_share``, ``received_share``, ``share_error`` (target minus received; NaN
        without targets). Groups that only have a target stand there with 0 jobs.
    """
    codes, _ = run.codes(by)
    shares = Shares(run, by, np.array(run.window_s))
    used = shares.used[:, 0]
    received = used / used.sum() if used.sum() > 0 else np.zeros_like(used)
    target = np.full(len(used), np.nan) if shares.target is None else shares.target
    mine = run.is_measured & run.started
    wait = run.wait_s[mine]
    table = pd.DataFrame(
        {"code": codes[mine], "wait_s": wait, "slowdown": bounded_slowdown(wait, run.run_s[mine])},
    )
    grouped = table.groupby("code")
    index = pd.RangeIndex(len(shares.names))
    result = pd.DataFrame(
        {
            "group": shares.names,
            "jobs": np.bincount(codes[run.is_measured], minlength=len(shares.names)),
            "core_h": used / HOUR_S,
            "mean_wait_s": grouped["wait_s"].mean().reindex(index),
            "p95_wait_s": grouped["wait_s"].quantile(0.95).reindex(index),
            "mean_bounded_slowdown": grouped["slowdown"].mean().reindex(index),
            "target_share": target,
            "received_share": received,
            "share_error": target - received,
        }
    )
    return result.sort_values(["core_h", "jobs"], ascending=False, kind="stable").reset_index(drop=True)


def _edges(run: Run, bins: int) -> Floats:
    begin, end = run.window_s
    return np.linspace(begin, end, bins + 1) if end > begin else np.array([begin])
