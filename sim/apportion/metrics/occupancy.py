"""How much of something was there over time: exact integrals of sums of intervals, without a loop over jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

if TYPE_CHECKING:
    from apportion.metrics.run import Run, Steps

Ints = NDArray[int64]
Floats = NDArray[float64]


class Sweep(NamedTuple):
    """State of queue and machine between events: row i holds from ``t_s[i]`` for ``dt_s[i]`` s, in the window."""

    t_s: Floats
    dt_s: Floats
    used_procs: Floats
    running_jobs: Floats
    queued_jobs: Floats
    queued_procs: Floats
    capacity_procs: Floats


def binned(group: Ints, n_groups: int, begin_s: Floats, end_s: Floats, weight: Floats, edges_s: Floats) -> Floats:
    """Integral of ``weight`` over each interval, summed by group and bin of time.

    Each job adds a rise at its begin and a fall at its end; what is left of the bin in which it happens is added at
    once, and the running sum of the rises gives the full bins. Cost is one pass over the jobs whatever the number of
    bins.

    Parameters
    ----------
    group : int64 array
        Group of each interval, in 0..n_groups-1.
    begin_s, end_s : float64 arrays
        Intervals, s; +inf is allowed, an interval with NaN at either end adds nothing.
    weight : float64 array
    edges_s : float64 array
        Ascending edges of the bins, s.

    Returns
    -------
    float64 array of (n_groups, bins)
        Weight times seconds.
    """
    n_bins = len(edges_s) - 1
    total = np.zeros(n_groups * (n_bins + 1))
    slope = np.zeros(n_groups * (n_bins + 1))
    known = ~(np.isnan(begin_s) | np.isnan(end_s))
    group, weight = group[known], weight[known]
    for moment, sign in ((begin_s[known], 1.0), (end_s[known], -1.0)):
        t = np.clip(moment, edges_s[0], edges_s[-1])
        at = (
            np.searchsorted(edges_s, t, side="right") - 1
        )  # n_bins for the last edge itself: a bin that is cut off below
        inside = np.append(edges_s[1:], edges_s[-1])[at] - t
        cell = group * (n_bins + 1) + at
        total += np.bincount(cell, weights=sign * weight * inside, minlength=total.size)
        slope += np.bincount(cell, weights=sign * weight, minlength=slope.size)
    rate = np.cumsum(slope.reshape(n_groups, n_bins + 1), axis=1)
    full = np.zeros((n_groups, n_bins))
    full[:, 1:] = rate[:, : n_bins - 1]
    result: Floats = total.reshape(n_groups, n_bins + 1)[:, :n_bins] + full * np.diff(edges_s)
    # rounding of large running sums may leave a speck below zero
    if weight.size and weight.min() < 0:
        return result
    return np.asarray(np.maximum(result, 0.0))


def present(group: Ints, n_groups: int, begin_s: Floats, end_s: Floats, edges_s: Floats) -> NDArray[np.bool_]:
    """Say whether any interval of a group of positive length touches a bin; exact, as it only counts.

    Returns
    -------
    bool array of (n_groups, bins)
    """
    n_bins = len(edges_s) - 1
    touches = (end_s > begin_s) & (begin_s < edges_s[-1]) & (end_s > edges_s[0])
    group, begin_s, end_s = group[touches], begin_s[touches], end_s[touches]
    first = np.maximum(np.searchsorted(edges_s, begin_s, side="right") - 1, 0)
    after = np.minimum(np.searchsorted(edges_s, end_s, side="left"), n_bins)
    size = n_groups * (n_bins + 1)
    change = np.bincount(group * (n_bins + 1) + first, minlength=size)
    change = change - np.bincount(group * (n_bins + 1) + after, minlength=size)
    inside: NDArray[np.bool_] = np.cumsum(change.reshape(n_groups, n_bins + 1), axis=1)[:, :n_bins] > 0
    return inside


def integral(steps: Steps, edges_s: Floats) -> Floats:
    """Integral of a step function over each bin, e.g. processor-seconds of capacity."""
    if not steps.t_s.size:
        return np.zeros(len(edges_s) - 1)
    until = np.append(steps.t_s[1:], np.inf)
    one = np.zeros(len(steps.t_s), dtype=int64)
    return np.asarray(binned(one, 1, steps.t_s, until, steps.value, edges_s)[0])


def sweep(run: Run, jobs: NDArray[np.bool_] | None = None, capacity: Steps | None = None) -> Sweep:
    """Walk all events of a run in order of time, within its measure window.

    Parameters
    ----------
    run : Run
    jobs : bool array, optional
        Only these jobs (those of one pool); all by default.
    capacity : Steps, optional
        The capacity they share; that of all pools by default.
    """
    chosen = np.ones(len(run.jobs), dtype=bool) if jobs is None else jobs
    capacity = run.capacity if capacity is None else capacity
    ran = chosen & run.started & (run.stop_s > run.start_s)
    waited = chosen & (run.leave_s > run.submit_s)
    parts = (
        (run.start_s[ran], run.procs[ran], 1.0, 0.0),
        (run.stop_s[ran], -run.procs[ran], -1.0, 0.0),
        (run.submit_s[waited], run.procs[waited], 0.0, 1.0),
        (run.leave_s[waited], -run.procs[waited], 0.0, -1.0),
        (capacity.t_s, np.diff(capacity.value, prepend=0.0), 0.0, 0.0),
    )
    begin, end = run.window_s
    order = [np.argsort(part[0], kind="stable") for part in parts]
    pieces = [part[0][o] for part, o in zip(parts, order, strict=True)]  # sorted runs: the merge below is then linear
    when = np.clip(np.concatenate(pieces), begin, end)
    merged = np.argsort(when, kind="stable")
    size = [len(piece) for piece in pieces]

    def level(pick: tuple[float | Floats, ...]) -> Floats:
        change = np.concatenate(
            [
                np.full(n, part) if isinstance(part, float) else part[o]
                for part, n, o in zip(pick, size, order, strict=True)
            ]
        )
        return np.cumsum(change[merged])

    amount = [part[1] for part in parts]
    t = when[merged]
    keep = (
        np.append(t[1:] > t[:-1], True) if t.size else np.zeros(0, dtype=bool)
    )  # the last event of an instant has its state
    columns = [
        level((amount[0], amount[1], 0.0, 0.0, 0.0)),
        level(tuple(part[2] for part in parts)),
        level(tuple(part[3] for part in parts)),
        level((0.0, 0.0, amount[2], amount[3], 0.0)),
        level((0.0, 0.0, 0.0, 0.0, amount[4])),
    ]
    t = t[keep]
    dt = np.diff(t, append=end)
    return Sweep(t, dt, *(column[keep] for column in columns))
