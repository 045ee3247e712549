"""Bars of a Gantt chart: jobs of a stretch of time laid on processors, so that no two bars overlap."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.run import Run

COLUMNS: Final = ("job_id", "user", "account", "state", "procs", "submit_s")
Lanes = list[tuple[int, int]]  # half-open ranges of processors, ascending and apart


def gantt(run: Run, from_s: float, to_s: float, limit: int = 3000) -> pd.DataFrame:
    """Jobs that ran between two moments, each with the lanes (processors) to draw it on.

    Processors are counted in the core, not named, so the lanes are a picture: jobs are laid down in order of start,
    each on the lowest unbroken stretch of lanes that is free and wide enough, or in pieces on the lowest free lanes
    where there is none.

    Parameters
    ----------
    run : Run
    from_s, to_s : float
        Seconds from the trace's origin.
    limit : int
        At most so many jobs, those with the largest area in the window; ``attrs["jobs_left_out"]`` of the result says
        how many are missing.

    Returns
    -------
    pandas.DataFrame
        One row a piece, in order of start: ``job_id``, ``user``, ``account``, ``state``, ``procs``, ``submit_s``,
        ``start_s``, ``end_s`` (clipped to the run's horizon for a job without an end), ``lane``, ``lanes`` (first
        lane and number of lanes).
    """
    stop = np.minimum(run.stop_s, max(run.horizon_s, to_s))
    rows = np.flatnonzero(run.started & (run.start_s < to_s) & (stop > from_s) & (stop > run.start_s))
    area = run.procs[rows] * (np.minimum(stop[rows], to_s) - np.maximum(run.start_s[rows], from_s))
    left_out = max(0, rows.size - limit)
    if left_out:
        rows = np.sort(rows[np.argsort(-area, kind="stable")[:limit]])
    rows = rows[np.argsort(run.start_s[rows], kind="stable")]
    pieces = pack(run.start_s[rows].tolist(), stop[rows].tolist(), run.procs[rows].astype(int).tolist())
    at = rows[[job for job, _, _ in pieces]] if pieces else rows[:0]
    table = run.jobs.iloc[at][[name for name in COLUMNS if name in run.jobs.columns]].reset_index(drop=True)
    table["start_s"] = run.start_s[at]
    table["end_s"] = stop[at]
    table["lane"] = np.array([low for _, low, _ in pieces], dtype=np.int64)
    table["lanes"] = np.array([high - low for _, low, high in pieces], dtype=np.int64)
    table.attrs["jobs_left_out"] = left_out
    return table


def pack(start: list[float], stop: list[float], procs: list[int]) -> list[tuple[int, int, int]]:
    """Lay jobs, given in order of start, on lanes; return (job, first lane, lane after the last) of each piece.

    A lane given back at a moment is free for a job that starts at that moment. The pile of lanes is as high as it
    must be.
    """
    free: Lanes = []
    top = 0
    running: list[tuple[float, int, Lanes]] = []
    pieces: list[tuple[int, int, int]] = []
    for job, (begin, end, need) in enumerate(zip(start, stop, procs, strict=True)):
        while running and running[0][0] <= begin:
            free = _merged(free + heapq.heappop(running)[2])
        lacking = need - sum(high - low for low, high in free)
        if lacking > 0:
            free = _merged([*free, (top, top + lacking)])
            top += lacking
        free, taken = _take(free, need)
        heapq.heappush(running, (end, job, taken))
        pieces += [(job, low, high) for low, high in taken]
    return pieces


def _take(free: Lanes, need: int) -> tuple[Lanes, Lanes]:
    if need <= 0:
        return free, []
    for i, (low, high) in enumerate(free):
        if high - low >= need:
            rest = [(low + need, high)] if high - low > need else []
            return free[:i] + rest + free[i + 1 :], [(low, low + need)]
    taken: Lanes = []
    for i, (low, high) in enumerate(free):
        if high - low >= need:
            rest = [(low + need, high)] if high - low > need else []
            return rest + free[i + 1 :], [*taken, (low, low + need)]
        taken.append((low, high))
        need -= high - low
        if need == 0:
            return free[i + 1 :], taken
    return [], taken


def _merged(lanes: Lanes) -> Lanes:
    result: Lanes = []
    for low, high in sorted(lanes):
        if result and result[-1][1] == low:
            result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result
