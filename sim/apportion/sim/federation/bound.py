"""How much better a schedule could be if one knew everything in advance: a bound by constraint programming, for few jobs.

Every job gets one of the targets where it may run and a start, so that no pool runs more than it holds, and the waits are least in sum.
Run times, all submissions and the state of all queues are known; a job may start as soon as it could be at its center with its data, which come as
if the links were free and the copy had been begun with the first job that needs them. Times are whole seconds, rounded down. Each of these
makes waits shorter, so that no policy can wait less than the bound.

Source: OR-Tools CP-SAT, https://developers.google.com/optimization/cp/cp_solver (optional intervals under cumulative constraints).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from apportion.core import federation_tables as tables
from apportion.core.errors import UserError
from apportion.core.handle import handle
from apportion.core.placement import refusal, scaled
from apportion.core.tables import Ints

if TYPE_CHECKING:
    from apportion.sim.federation.compile import CompiledFederation
    from apportion.sim.federation.workload import FederationWorkload

MOST_JOBS: Final = 500


class Bound(NamedTuple):
    """What can be reached: in sum over all jobs no schedule waits less than ``least_wait_s``; one that waits ``best_wait_s`` was found.

    ``is_optimal`` : both are equal. ``start_s`` : of that schedule, seconds from the first submission, -1 for jobs that can run nowhere;
    ``target`` : where. ``jobs`` : that can run.
    """

    least_wait_s: float
    best_wait_s: float
    is_optimal: bool
    jobs: int
    start_s: Ints
    target: Ints


def bound(workload: FederationWorkload, compiled: CompiledFederation, seconds: float = 30.0, seed: int = 1) -> Bound:
    """Find the least sum of waits, or as near as the time allows.

    Parameters
    ----------
    compiled : CompiledFederation
        Not yet replayed; tells where each job may run.
    seconds : float
        For the solver, of deterministic time: the same on any machine, about a second each on a fast one.

    Raises
    ------
    UserError
        If OR-Tools is missing, there are too many jobs, or the machines change while they run.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise UserError("OR-Tools is not installed", "pip install 'apportion[bound]'") from None
    if len(workload) > MOST_JOBS:
        raise UserError(f"{len(workload):,} jobs are too many for a bound", f"take at most {MOST_JOBS}")
    if compiled.capacity_steps or compiled.cuts or workload.precedence is not None:
        raise UserError(
            "a bound knows neither failures and changes of capacity nor jobs that follow others",
            "leave them out of the scenario",
        )
    f = compiled.federation
    core = handle(f)
    first = int(workload.jobs.submit_ms.min())
    ready_of_data = _data_ready(f, workload)
    horizon = int((workload.jobs.submit_ms.max() - first) // 1000 + workload.run_ms.sum() // 1000 * 4 + 1)
    model = cp_model.CpModel()
    intervals: dict[tuple[int, int], list[tuple[int, int]]] = {}
    starts, waits, choices = {}, [], {}
    kept: list[Any] = []
    for job in range(len(workload)):
        submit = int(workload.jobs.submit_ms[job])
        options = [t for t in range(len(f.targets.center)) if _may(f, core, job, t)]
        if not options:
            continue
        start = model.new_int_var((submit - first) // 1000, horizon, f"start{job}")
        chosen = [model.new_bool_var(f"at{job},{t}") for t in options]
        model.add_exactly_one(chosen)
        for t, literal in zip(options, chosen, strict=True):
            center = int(f.targets.center[t])
            length = int(scaled(core, job, center, int(workload.run_ms[job]))) // 1000
            interval = model.new_optional_fixed_size_interval_var(start, length, literal, f"run{job},{t}")
            intervals.setdefault((center, int(f.targets.pool[t])), []).append((job, len(kept)))
            kept.append(interval)
            if f.places.where[job] != tables.HOME:
                ready = submit + int(f.centers.latency[center])
                dataset = int(f.places.dataset[job])
                if dataset >= 0 and f.data_ms[dataset, center] > 0:
                    ready = max(ready, ready_of_data[dataset, center])
                model.add(start >= max(ready - first, 0) // 1000).only_enforce_if(literal)
        starts[job], choices[job] = start, list(zip(options, chosen, strict=True))
        waits.append(start - (submit - first) // 1000)
    for (center, pool), runs in intervals.items():
        here = f.cores[center]
        rows = [kept[k] for _, k in runs]
        needs = [(here.jobs.procs, here.pools.procs[pool])]
        needs += [(here.jobs.extra[:, e], here.pools.extra[pool, e]) for e in range(here.pools.extra.shape[1])]
        for demand, there in needs:
            model.add_cumulative(rows, [int(demand[job]) for job, _ in runs], int(there))
    model.minimize(sum(waits))
    solver = cp_model.CpSolver()
    solver.parameters.max_deterministic_time = seconds
    solver.parameters.num_workers = 1  # the same answer every time
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise UserError("no schedule was found in this time", "give it more seconds, or fewer jobs")
    start_s = np.full(len(workload), -1, np.int64)
    target = np.full(len(workload), -1, np.int64)
    for job, start in starts.items():
        start_s[job] = solver.value(start)
        target[job] = next(t for t, literal in choices[job] if solver.value(literal))
    return Bound(
        solver.best_objective_bound,
        solver.objective_value,
        status == cp_model.OPTIMAL,
        len(starts),
        start_s,
        target,
    )


def _may(f: tables.Federation, core: tables.Federation, job: int, target: int) -> bool:
    """Whether a job may run at a target: at home, in its own partition's pool, or wherever it is not refused."""
    if f.places.where[job] == tables.HOME:
        home = int(f.places.home[job])
        here = f.cores[home]
        same = f.targets.center[target] == home and f.targets.pool[target] == here.jobs.pool[job]
        return bool(same and here.jobs.procs[job] <= here.pools.largest[f.targets.pool[target]])
    return bool(refusal(core, job, target) == tables.ALLOWED)


def _data_ready(f: tables.Federation, workload: FederationWorkload) -> Ints:
    """When each dataset can be at each center at the earliest, ms: as if it had been sent for by the first job that needs it."""
    ready = np.zeros(f.data_ms.shape, np.int64)
    for dataset in range(len(ready)):
        mine = workload.jobs.submit_ms[f.places.dataset == dataset]
        if len(mine):
            ready[dataset] = int(mine.min()) + f.centers.latency + f.data_ms[dataset]
    return ready
