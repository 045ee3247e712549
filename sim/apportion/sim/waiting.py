"""Jobs that a replay leaves waiting: all that keeps each of them, in order, as Slurm's words and as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core import budget, cohort, limits, quota, reasons
from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PENDING, PREEMPTED, REJECTED, UNSEEN
from apportion.core.handle import handle
from apportion.core.limit_tables import ROW_COLUMNS

if TYPE_CHECKING:
    from apportion.core.tables import Bytes, Ints
    from apportion.policy.model import Policy
    from apportion.sim.releases import Precedence
    from apportion.sim.replay import Schedule
    from apportion.sim.workload import Workload

MOST = 20  # jobs that a manifest explains
SHOWN = 5  # jobs that a reason names
HOUR_MS = 3_600_000


def pending(schedule: Schedule) -> Ints:
    """Jobs that wait still, by index."""
    return np.flatnonzero(schedule.compiled.state.live.state == PENDING).astype(np.int64)


def masks(schedule: Schedule) -> Ints:
    """Mask of all that keeps each of the `pending` jobs from starting now (see `apportion.core.reasons`)."""
    core = handle(schedule.compiled.state)
    return np.array([quota.reasons_now(core, job) for job in pending(schedule).tolist()], np.int64)


def refused(schedule: Schedule) -> dict[str, int]:
    """Count the jobs that were rejected when they were submitted by why, in Slurm's words, most first."""
    state = schedule.compiled.state
    kinds, counts = np.unique(state.live.reasons[state.live.state == REJECTED], return_counts=True)
    return {
        "+".join(reasons.words(int(kinds[k]), state.limits.bit_code)): int(counts[k])
        for k in np.argsort(-counts, kind="stable")
    }


def explain(workload: Workload, schedule: Schedule, policy: Policy, most: int = MOST) -> list[dict[str, Any]]:
    """Id and reasons of the first ``most`` jobs that wait still, each limit with what it compares, and each job that it must follow."""
    compiled = schedule.compiled
    tree, state = compiled.tree, compiled.state
    names = reasons.Names(
        associations=[f"{a}/{u}" if u else a for a, u in zip(tree.account_name, tree.user_name, strict=True)]
        if tree is not None
        else (),
        qos=[entry.Name for entry in policy.qos],
        partitions=compiled.partition_names,
        tres=compiled.tres,
    )
    core = handle(state)
    tables = handle(state.limits), handle(state.counters), handle(state.jobs)
    ids = workload.trace.jobs["job_id"].to_numpy()[workload.row]
    found = []
    for job in pending(schedule)[:most].tolist():
        rows = np.zeros((64, ROW_COLUMNS), np.int64)
        n_rows = limits.explain(*tables, job, rows) if state.rules.limited else 0
        said = reasons.describe(rows[:n_rows], names, state.limits.n_assoc)
        said += _quotas(schedule, core, job, names)
        rank = quota.reasons_now(core, job) & (reasons.RESOURCES | reasons.PRIORITY)
        said += reasons.words(rank, state.limits.bit_code) if rank else []
        found.append({"job_id": ids[job : job + 1].tolist()[0], "reasons": said})
    if workload.precedence is not None:
        held = np.flatnonzero(workload.precedence.is_held & (state.live.state == UNSEEN))
        for job in held[: most - len(found)].tolist():
            waits = _dependency(workload.precedence, state.live.state, job, ids)
            found.append({"job_id": ids[job : job + 1].tolist()[0], "reasons": [waits]})
    return found


def _quotas(schedule: Schedule, core: Any, job: int, names: reasons.Names) -> list[str]:
    """Sentences about the quotas and budgets that hold a job, with the quantities that were compared."""
    state = schedule.compiled.state
    if not (state.rules.quotas or state.rules.budgets):
        return []
    jobs, assoc = handle(state.jobs), int(state.jobs.assoc[job])
    whose, pool = f"account {names.associations[assoc]}", int(state.jobs.pool[job])
    said = []
    rows = np.zeros((64, 5), np.int64)
    if state.rules.quotas:
        held = quota.binding(core, job) & (reasons.JOB_HELD_ADMIN | reasons.QUOTA_ORDER)
        said += reasons.words(held, state.limits.bit_code) if held else []
        n_rows = cohort.explain(handle(state.quotas), jobs, job, int(state.pools.flavor[pool]), rows)
        for mask, tres, of_pool, left, asked in rows[:n_rows].tolist():
            words = "+".join(reasons.words(mask, state.limits.bit_code))
            where = f" in {schedule.compiled.pool_names[pool]}" if of_pool else ""
            said.append(f"{words}: {whose} may use {max(left, 0)} {names.tres[tres]} more{where}, {asked} asked")
    if state.rules.budgets:
        for tres, left, asked in rows[: budget.explain(handle(state.budgets), jobs, job, rows), :3].tolist():
            unit = f"{names.tres[tres]} hours"
            of = f"of the budget of {whose}"
            said.append(f"QuotaBudget: {left / HOUR_MS:g} {unit} are left {of}, {asked / HOUR_MS:g} asked")
    return said


def _dependency(precedence: Precedence, state: Bytes, job: int, ids: Any) -> str:
    """What a job waits for that is held in the queue until others have ended."""
    before = precedence.before[precedence.after == job]
    before = before[before < len(ids)]
    waited_for = before[~np.isin(state[before], (ENDED, REJECTED, CANCELLED, NODE_FAIL, PREEMPTED))]
    if not len(waited_for):
        return "Dependency: a batch of its user has not come back"
    return "Dependency: waits for " + ", ".join(f"job {name}" for name in ids[waited_for][:SHOWN].tolist())
