"""What the charts draw: columns of rounded numbers, small whatever the number of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from apportion.metrics.fairness import DAY_S, Shares
from apportion.metrics.series import OTHERS, share_over_time, timeline, wait_histogram

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.borrowing import QuotaUse
    from apportion.metrics.budgeting import BudgetUse
    from apportion.metrics.report.clock import Clock
    from apportion.metrics.run import Run

Floats = NDArray[float64]

BINS: Final = 1500
OVERLAY_BINS: Final = 240  # few enough for lines that cross each other to be told apart
SHARE_BINS: Final = 200
TOP_SHARES: Final = 6
HUES: Final = 8  # colours of lines and bars (report.css)
HISTOGRAM_FLOOR_S: Final = 10**-0.5  # waits of under a second are drawn below one


def column(values: Any, digits: int = 4) -> list[float | int | None]:
    """Numbers with so many significant digits, None for NaN, whole ones without a fraction."""
    array = np.asarray(values, dtype=float64)
    result: list[float | int | None] = []
    for value in array.tolist():
        if not np.isfinite(value):
            result.append(None)
            continue
        short = float(f"{value:.{digits}g}")
        result.append(int(short) if short.is_integer() else short)
    return result


def time_axis(clock: Clock, t_s: Any) -> dict[str, Any]:
    """Times of a chart, and whether they are dates."""
    return {"t": clock.axis(np.asarray(t_s, dtype=float64)), "calendar": clock.is_calendar}


def hues(names: list[str], taken: dict[str, int]) -> dict[str, int]:
    """Colour of each name, of which there are at most `HUES`: the one it has in another chart already, else one that no name has there."""
    own = {name: taken[name] for name in names if name in taken}
    used = set(own.values())
    free = sorted(set(range(HUES)) - used, key=lambda hue: (hue in taken.values(), hue))
    return {name: own[name] if name in own else free.pop(0) for name in names}


def load_chart(table: pd.DataFrame, clock: Clock) -> dict[str, Any]:
    """Machine and queue over time, from `series.timeline`."""
    return {
        **time_axis(clock, table["t_s"]),
        "used": column(table["used_procs"]),
        "capacity": column(table["capacity_procs"]),
        "queued_jobs": column(table["queued_jobs"]),
        "queued_procs": column(table["queued_procs"]),
    }


def wait_chart(run: Run) -> dict[str, Any]:
    """Histogram of waits as edges and counts, and the share of jobs that waited at most so long."""
    table = wait_histogram(run)
    jobs = table["jobs"].to_numpy(dtype=float64)
    total = max(float(jobs.sum()), 1.0)
    work = table["core_h"].to_numpy(dtype=float64)
    return {
        "from": column(np.maximum(table["from_s"], HISTOGRAM_FLOOR_S)),
        "to": column(table["to_s"]),
        "jobs": column(jobs, 12),
        "at_most": column(100 * jobs.cumsum() / total),
        "work_at_most": column(100 * work.cumsum() / max(float(work.sum()), 1e-300)),
    }


def share_chart(run: Run, by: str, clock: Clock) -> dict[str, Any]:
    """Share received so far of the groups that used most, with what they were promised."""
    table = share_over_time(run, by, SHARE_BINS, TOP_SHARES)
    groups: list[dict[str, Any]] = []
    for name, rows in table.groupby("group", sort=False):
        if name != OTHERS:
            target = float(rows["target"].iloc[0])
            groups.append(
                {
                    "name": str(name) or "(unknown)",
                    "hue": len(groups),
                    "so_far": column(100 * rows["received_so_far"]),
                    "target": None if np.isnan(target) else 100 * target,
                }
            )
    return {**time_axis(clock, np.unique(table["t_s"])), "groups": groups}


def quota_chart(use: QuotaUse, clock: Clock, taken: dict[str, int]) -> dict[str, Any]:
    """Processors in use under quota, and borrowed less lent, of the nodes that used or lent most, in the colours they have already."""
    moved = (use.used + use.lent).sum(axis=1)
    shown = np.argsort(-moved, kind="stable")[:TOP_SHARES].tolist()
    colour = hues([use.names[k] for k in shown], taken)
    lines = [
        {
            "name": use.names[k],
            "hue": colour[use.names[k]],
            "quota": column([use.nominal[k]], 12)[0],
            "used": column(use.used[k]),
            "borrowed": column(use.borrowed[k]),
            "lent": column(-use.lent[k]),
        }
        for k in shown
    ]
    return {**time_axis(clock, use.edges_s[:-1]), "lines": lines}


def budget_chart(times: Floats, budgets: list[BudgetUse], clock: Clock, taken: dict[str, int]) -> dict[str, Any]:
    """Part of its budget that each account has used so far in the period, of those that came nearest to it."""
    fullest = np.array([np.nanmax(one.percent, initial=0.0) for one in budgets])
    shown = [budgets[k] for k in np.argsort(-fullest, kind="stable")[:TOP_SHARES].tolist()]
    names = [budget_name(one) for one in shown]
    colour = hues(names, taken)
    lines = [
        {"name": name, "hue": colour[name], "percent": column(one.percent)}
        for name, one in zip(names, shown, strict=True)
    ]
    return {**time_axis(clock, times), "lines": lines}


def budget_name(budget: BudgetUse) -> str:
    """Whose budget it is, and of what if not of processors."""
    return budget.account if budget.tres == "cpu" else f"{budget.account}, {budget.tres}"


def error_chart(run: Run, by: str, clock: Clock) -> dict[str, Any] | None:
    """Share error of each day (of longer pieces where there are many), plain and among those with demand."""
    begin, end = run.window_s
    if end <= begin:
        return None
    pieces = int(min(np.ceil((end - begin) / DAY_S), 400))
    if pieces < 2:
        return None  # nothing that the table does not say
    edges = np.linspace(begin, end, pieces + 1)
    shares = Shares(run, by, edges)
    if shares.target is None or not shares.used.any():
        return None
    used = shares.used.sum(axis=0) > 0
    received, entitled = shares.received(), shares.entitled()
    owed = used & (entitled.sum(axis=0) > 0)
    plain = np.abs(shares.target[:, None] - received).sum(axis=0) / 2
    aware = np.abs(entitled - received).sum(axis=0) / 2
    plain, aware = np.where(used, plain, np.nan), np.where(owed, aware, np.nan)
    return {  # a step lasts until the next point, so the last one stands at the end as well
        **time_axis(clock, edges),
        "plain": column(100 * np.append(plain, plain[-1])),
        "among_demand": column(100 * np.append(aware, aware[-1])),
        "piece_s": float(edges[1] - edges[0]),
    }


def overlay_chart(runs: list[Run], labels: list[str], clock: Clock) -> dict[str, Any]:
    """Utilization and queue of several runs, each over its own measure window, in percent of capacity and in jobs."""
    lines = []
    for run, label in zip(runs, labels, strict=True):
        table = timeline(run, OVERLAY_BINS)
        room = table["capacity_procs"].to_numpy()
        part = np.divide(100 * table["used_procs"].to_numpy(), room, out=np.full(len(table), np.nan), where=room > 0)
        lines.append(
            {
                "name": label,
                "t": clock.axis(table["t_s"].to_numpy()),
                "used": column(part, 3),
                "queued_jobs": column(table["queued_jobs"]),
            }
        )
    return {"calendar": clock.is_calendar, "lines": lines}


def waits_chart(runs: list[Run], labels: list[str]) -> dict[str, Any]:
    """Share of jobs that waited at most so long, of several runs."""
    lines = []
    for run, label in zip(runs, labels, strict=True):
        chart = wait_chart(run)
        lines.append({"name": label, "to": chart["to"], "at_most": chart["at_most"]})
    return {"lines": lines}
