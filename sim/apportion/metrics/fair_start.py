"""Fair start times: when a job would have started had nobody who came later been served before it.

A job is treated unfairly when it starts after its fair start time. The fair start of job j is found at its submit
from the state the run was really in: the running jobs with the time they really had left, then the jobs queued at
that moment and last j itself are planned in submit order, with real run times and processors counted, by one of two
plans:

- ``arrival_order``: none starts before the one ahead of it (a list schedule). By this plan a strict FCFS run is fair
  to all;
- ``conservative``: each at the earliest moment that delays none planned before it, that is, with backfilling. A
  stricter measure: it also counts the delay that a perfect plan in arrival order would have avoided.

Known later steps of capacity are part of the plan. Jobs cancelled while they waited take no place in it.

Planning behind a deep queue is costly (for the conservative plan by the square of its length), so jobs are sampled:
as many as a fixed budget of work allows, drawn uniformly from the measured jobs with a recorded seed. A run with
short queues is measured whole (``sampled_fraction`` is 1); where the budget is not enough for 20 jobs, nothing is
claimed.

References
----------
Sabin & Sadayappan, "Unfairness metrics for space-sharing parallel job schedulers", JSSPP 2005, doi:10.1007/11605300_12.
Leung, Sabin & Sadayappan, "Parallel job scheduling policies to improve fairness: a case study", ICPP Workshops 2010,
doi:10.1109/ICPPW.2010.48 (the state at arrival is the policy's own, so that a job answers only for what came after it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.core.jit import kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.metrics.run import Run, Steps

Ints = NDArray[int64]
Floats = NDArray[float64]

WORK_BUDGET: Final = 100_000_000  # steps of planning for each plan, about a third of a second
MIN_SAMPLE: Final = 20
SEED: Final = 0
PLANS: Final = ("arrival_order", "conservative")


@kernel
def plan_fair_starts(
    sample: Ints,
    submit: Ints,
    start: Ints,
    stop: Ints,
    run: Ints,
    procs: Ints,
    step_t: Ints,
    step_procs: Ints,
    backfill: bool,
) -> Ints:
    """Fair start time of each sampled job.

    Parameters
    ----------
    sample : int64 array
        Rows of the jobs to plan, ascending.
    submit, start, stop, run : int64 arrays
        ms, in submit order; ``start`` is -1 for a job that never started, ``stop`` and ``run`` are `NEVER` for one
        without an end.
    procs : int64 array
        At least 1.
    step_t, step_procs : int64 arrays
        Capacity from each moment on.
    backfill : bool
        Plan ``conservative``, else ``arrival_order``.

    Returns
    -------
    int64 array
        ms; -1 where the plan has no room for the job.
    """
    result = np.full(len(sample), -1, dtype=np.int64)
    active = np.empty(len(submit), dtype=np.int64)
    n_active = 0
    come = 0
    room = 64
    times = np.empty(room, dtype=np.int64)
    free = np.empty(room, dtype=np.int64)
    for s in range(len(sample)):
        j = sample[s]
        now = submit[j]
        while come < j:
            if start[come] >= 0:
                active[n_active] = come
                n_active += 1
            come += 1
        kept = 0
        n_running = 0
        for a in range(n_active):
            i = active[a]
            if stop[i] > now:
                active[kept] = i
                kept += 1
                if start[i] < now:
                    n_running += 1
        n_active = kept

        step = -1
        while step + 1 < len(step_t) and step_t[step + 1] <= now:
            step += 1
        if n_active + len(step_t) + 4 > room:
            room = 2 * (n_active + len(step_t) + 4)
            times = np.empty(room, dtype=np.int64)
            free = np.empty(room, dtype=np.int64)

        running = np.empty(n_running, dtype=np.int64)
        ends = np.empty(n_running, dtype=np.int64)
        r = 0
        held = 0
        for a in range(n_active):
            i = active[a]
            if start[i] < now:
                running[r] = i
                ends[r] = stop[i]
                held += procs[i]
                r += 1
        by_end = np.argsort(ends)
        capacity = step_procs[step] if step >= 0 else 0
        times[0] = now
        free[0] = capacity - held
        m = 1
        r = 0
        step += 1
        while r < n_running or step < len(step_t):
            at = ends[by_end[r]] if r < n_running else NEVER
            if step < len(step_t) and step_t[step] < at:
                at = step_t[step]
            if at >= NEVER:
                break
            while r < n_running and ends[by_end[r]] == at:
                held -= procs[running[by_end[r]]]
                r += 1
            while step < len(step_t) and step_t[step] == at:
                capacity = step_procs[step]
                step += 1
            times[m] = at
            free[m] = capacity - held
            m += 1

        low = 0  # nothing starts before this segment any more
        for a in range(n_active + 1):
            i = active[a] if a < n_active else j
            if a < n_active and start[i] < now:
                continue
            while low < m - 1 and free[low] <= 0:
                low += 1
            need = procs[i]
            first = low
            after = m
            found = False
            while first < m:
                if free[first] < need:
                    first += 1
                    continue
                finish = NEVER if run[i] >= NEVER - times[first] else times[first] + run[i]
                after = first + 1
                while after < m and times[after] < finish and free[after] >= need:
                    after += 1
                if after == m or times[after] >= finish:
                    found = True
                    break
                first = after + 1
            if not found:
                continue
            if i == j:
                result[s] = times[first]
                break
            if not backfill:
                low = first
            if run[i] == 0:
                continue
            if finish < NEVER and (after == m or times[after] > finish):
                for k in range(m, after, -1):
                    times[k] = times[k - 1]
                    free[k] = free[k - 1]
                times[after] = finish
                free[after] = free[after - 1]
                m += 1
            for k in range(first, after):
                free[k] -= need
    return result


def fair_start_times(run: Run, plan: str, *, seed: int = SEED, budget: int = WORK_BUDGET) -> pd.Series[float]:
    """Fair start times of a sample of the measured jobs that started.

    Parameters
    ----------
    run : Run
    plan : {"arrival_order", "conservative"}
    seed : int
        Of the sample.
    budget : int
        Steps of planning to spend, which sets the size of the sample.

    Returns
    -------
    pandas.Series
        Index: row of the job in ``run.jobs``, ascending. Fair starts, float64 seconds, exact to a millisecond; NaN
        where the plan has no room for the job at all. Empty where the budget is not enough for 20 jobs.
    """
    if plan not in PLANS:
        raise ValueError(f"plan is {plan!r}, not one of {PLANS}")
    rows = np.flatnonzero(run.is_measured & run.started)
    cost = _cost(run, plan)[rows].sum()
    if cost > budget:
        size = int(rows.size * (budget / cost))
        if size < MIN_SAMPLE:
            return pd.Series(np.zeros(0), name=plan)
        generator = np.random.default_rng(np.random.SeedSequence(seed))
        rows = np.sort(generator.choice(rows, size=size, replace=False))
    return pd.concat([_of_pool(run, rows, jobs, steps, plan) for jobs, steps in run.pools]).sort_index()


def _cost(run: Run, plan: str) -> Floats:
    """Estimate the steps to plan each job: the state is gathered, then every queued job looks for its place in it."""
    submit = run.submit_s
    come = np.arange(len(submit))
    queued = np.maximum(come - np.searchsorted(np.sort(run.leave_s), submit, side="right"), 0)
    begun = np.searchsorted(np.sort(run.start_s[run.started]), submit)
    running = np.maximum(begun - np.searchsorted(np.sort(run.stop_s[run.started]), submit), 0)
    ahead = len(run.capacity.t_s) - np.searchsorted(run.capacity.t_s, submit, side="right")
    gather = 200.0 + 32.0 * running + 16.0 * queued + 4.0 * ahead
    place = 16.0 * queued if plan == "arrival_order" else (queued + 1.0) * (queued / 2 + running + ahead)
    return np.asarray(gather + place, dtype=float64)


def _of_pool(run: Run, rows: NDArray[Any], jobs: NDArray[np.bool_], capacity: Steps, plan: str) -> pd.Series[float]:
    own = np.flatnonzero(jobs)
    mine = rows[jobs[rows]]
    stop = np.where(run.started, run.stop_s, np.inf)[own]
    begin = np.where(run.started, run.start_s, 0.0)[own]
    fair = plan_fair_starts(
        np.searchsorted(own, mine).astype(int64),
        _ms(run.submit_s[own]),
        _ms(run.start_s[own]),
        _ms(stop),
        _ms(stop - begin),
        np.maximum(run.procs[own], 1).astype(int64),
        _ms(capacity.t_s),
        capacity.value.astype(int64),
        plan == "conservative",
    )
    return pd.Series(np.where(fair == -1, np.nan, fair / 1000.0), index=pd.Index(mine, name="row"), name=plan)


def _ms(seconds: Floats) -> Ints:
    """Whole milliseconds; -1 for NaN, `NEVER` for +inf."""
    plain = np.where(np.isfinite(seconds), seconds, 0.0)
    whole = np.rint(plain * 1000.0).astype(int64)
    return np.where(np.isnan(seconds), -1, np.where(np.isposinf(seconds), NEVER, whole))


def fair_start(run: Run, *, seed: int = SEED, budget: int = WORK_BUDGET) -> dict[str, Any]:
    """Fair-start-time unfairness of a run, over a sample of the measured jobs that started.

    unfairness of a job = max(0, start - fair start). For each plan: size of the sample, the part of the sampled jobs
    treated unfairly (late by over a millisecond), the mean over all sampled jobs (Sabin & Sadayappan 2005), the mean
    over those treated unfairly, the 95th percentile over all and the maximum.
    """
    eligible = int((run.is_measured & run.started).sum())
    result: dict[str, Any] = {"sample_seed": seed}
    for plan in PLANS:
        fair = fair_start_times(run, plan, seed=seed, budget=budget)
        late = run.start_s[fair.index.to_numpy(dtype=int64)] - fair.to_numpy()
        late = late[~np.isnan(late)]
        unfairness = np.where(late > 0.0015, late, 0.0)  # fair starts are rounded to a millisecond
        unfair = unfairness[unfairness > 0]
        some = late.size > 0
        result[plan] = {
            "sampled_jobs": int(late.size),
            "sampled_fraction": late.size / eligible if eligible else float("nan"),
            "unfair_fraction": unfair.size / late.size if some else float("nan"),
            "mean_unfairness_s": float(unfairness.mean()) if some else float("nan"),
            "mean_of_unfair_s": float(unfair.mean()) if unfair.size else float("nan"),
            "p95_unfairness_s": float(np.percentile(unfairness, 95)) if some else float("nan"),
            "max_unfairness_s": float(unfairness.max()) if some else float("nan"),
        }
    return result
