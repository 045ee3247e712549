"""The run folder of a federation: as that of a single machine, and where each job went, why, and what it cost."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apportion.core import federation_tables as tables
from apportion.core import reasons
from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PENDING, PREEMPTED, REJECTED, RUNNING, UNSEEN
from apportion.policy.associations import build_tree, target_shares
from apportion.sim import placements, runfolder
from apportion.sim.federation.compile import TERMS
from apportion.sim.inputs import write_workload
from apportion.sim.workload import STATUS_NAMES

if TYPE_CHECKING:
    from apportion.sim.conventions import Conventions
    from apportion.sim.federation.replay import FederationSchedule
    from apportion.sim.federation.source import FederationInput

BASELINE = "home-only"  # folder of the run without a broker, inside the run folder
REFUSALS = {
    tables.NO_ACCESS: "NoAccess",
    tables.VETO: "SiteVeto",
    tables.RESIDENCY: "DataResidency",
    tables.NO_ROUTE: "NoDataRoute",
    tables.WRONG_GPU: "GpuType",
    tables.DRAINED: "Drained",
    tables.TOO_WIDE: "PartitionNodeLimit",
    tables.TOO_LONG: "PartitionTimeLimit",
    tables.TOO_LARGE: "PartitionConfig",
    tables.UNREACHABLE: "Unreachable",
    tables.NO_QUOTA: "Quota",
}


def jobs_table(given: FederationInput, schedule: FederationSchedule) -> pd.DataFrame:
    """One row a job, in submit order; times in seconds from the origin of the merged trace.

    Beside the columns of a single machine's run: ``home`` (where it was submitted), ``center`` (where it ran, else home), ``moved``,
    ``own_id`` (its id in its own trace), ``dataset`` (that it needs),
    ``bound_s`` (when the broker bound it last), ``predicted_start_s``, ``transfer_s`` (from then
    until it could wait at its center), ``energy_j`` and ``cost``.
    """
    workload, jobs = given.workload, given.workload.jobs
    f = schedule.compiled.federation
    origin = given.trace.meta.origin_ms or 0
    start, end = schedule.start_ms, schedule.end_ms
    started, ended = start >= 0, end >= 0
    here = np.where(schedule.center >= 0, schedule.center, workload.home)
    cancelled = schedule.state == CANCELLED
    gone = np.where(cancelled, workload.cancel_ms, end)
    run_s = np.where(ended, (end - start) / 1000.0, 0.0)
    entries = given.scenario.centers
    watts = np.array([entry.PowerBusy for entry in entries])[here]
    price = np.array([entry.Price for entry in entries])[here]

    def seconds(ms: Any, known: Any) -> Any:
        return np.where(known, (ms - origin) / 1000.0, np.nan)

    own_ids = [str(text) for text in given.trace.jobs["x_own_id"]]
    table = {
        "job_id": np.arange(1, len(workload) + 1),
        "own_id": own_ids,
        "user": _labels(jobs.user.codes, jobs.user.names),
        "account": _labels(schedule.compiled.broker.account.codes, schedule.compiled.broker.account.names),
        "qos": _labels(schedule.compiled.broker.qos.codes, schedule.compiled.broker.qos.names),
        "center": _labels(here, workload.centers),
        "home": _labels(workload.home, workload.centers),
        "moved": started & (here != workload.home),
        "partition": _partitions(schedule, here),
        "procs": jobs.procs,
        "submit_s": (schedule.submit_ms - origin) / 1000.0,
        "start_s": seconds(start, started),
        "end_s": seconds(gone, ended | cancelled),
        "run_s": np.where(ended, run_s, np.nan),
        "limit_s": _limits(schedule) / 1000.0,
        "wait_s": np.where(started, (start - schedule.submit_ms) / 1000.0, np.nan),
        "state": _states(given, schedule),
        "restarts": sum(core.live.restarts for core in f.cores),
        "backfilled": _passed(schedule, here),
        "planned_start_s": seconds(schedule.first_plan, schedule.first_plan >= 0),
        "reasons": _reasons(given, schedule),
        "dataset": _labels(given.moves.dataset, tuple(entry.Dataset for entry in given.scenario.datasets)),
        "bound_s": seconds(f.places.bound, f.places.bound >= 0),
        "predicted_start_s": seconds(f.places.predicted, f.places.predicted >= 0),
        "transfer_s": np.where(f.places.bound >= 0, f.places.travel / 1000.0, 0.0),
        "energy_j": watts * jobs.procs * run_s,
        "cost": price * jobs.procs * run_s / 3600.0,
    }
    for tres, name in runfolder.RESOURCES.items():
        if tres in jobs.resources:
            table[name] = jobs.resources[tres]
    if any(compiled.node_names for compiled in schedule.compiled.centers):
        table["node_list"], table["alloc_cpus"] = _nodes(schedule, started)
    if workload.precedence is None:
        return pd.DataFrame(table)
    table["recorded_submit_s"] = (jobs.submit_ms - origin) / 1000.0
    return pd.DataFrame(table).sort_values("submit_s", kind="stable")


def _passed(schedule: FederationSchedule, here: Any) -> Any:
    """Whether each job passed one that was submitted earlier, anywhere, and that ran at the same center."""
    result = np.zeros(len(here), bool)
    for center in np.unique(here):
        rows = np.flatnonzero(here == center)
        result[rows] = runfolder.passed(schedule.submit_ms[rows], schedule.start_ms[rows])
    return result


def _nodes(schedule: FederationSchedule, started: Any) -> tuple[Any, Any]:
    """Nodes of each job where its center has them, and the processors it held there; else none, and those that it asked for."""
    lists = np.full(len(started), "", object)
    held = np.where(started, schedule.compiled.broker.state.jobs.procs, 0)
    for k, compiled in enumerate(schedule.compiled.centers):
        if compiled.node_names:
            core = schedule.compiled.federation.cores[k]
            found, procs = placements.node_lists(replace(compiled, state=core))
            mine = started & (schedule.center == k)
            lists[mine] = np.array(found, object)[mine]
            held[mine] = procs[mine]
    return lists, held


def _labels(codes: Any, names: tuple[str, ...]) -> Any:
    return runfolder.categorical(codes, tuple(names))


def _limits(schedule: FederationSchedule) -> Any:
    """Time limit of each job at the center where it is, ms."""
    f = schedule.compiled.federation
    limit = f.places.limit.copy()
    for k, core in enumerate(f.cores):
        mine = schedule.center == k
        limit[mine] = core.jobs.limit[mine]
    return limit


def _partitions(schedule: FederationSchedule, here: Any) -> Any:
    names = [f"{center}/{partition}" for center, partition in schedule.compiled.target_names]
    index = np.full(len(here), -1, np.int64)
    f = schedule.compiled.federation
    for k, core in enumerate(f.cores):
        mine = here == k
        of_pool = {int(f.targets.pool[t]): t for t in range(len(names) - 1, -1, -1) if f.targets.center[t] == k}
        lookup = np.array([of_pool.get(pool, -1) for pool in range(len(core.pools.free))], np.int64)
        index[mine] = lookup[core.jobs.pool[mine]]
    return _labels(index, tuple(names))


def _states(given: FederationInput, schedule: FederationSchedule) -> Any:
    names = [
        "COMPLETED",
        "TIMEOUT",
        *dict.fromkeys([*STATUS_NAMES.values(), "NODE_FAIL", "PREEMPTED"]),
        "REJECTED",
        "PENDING",
        "RUNNING",
        "DROPPED",
    ]
    index = {name: k for k, name in enumerate(names)}
    core, workload = schedule.state, given.workload
    state = np.full(len(workload), index["PENDING"], np.int8)
    for code, name in (
        (REJECTED, "REJECTED"),
        (NODE_FAIL, "NODE_FAIL"),
        (PREEMPTED, "PREEMPTED"),
        (CANCELLED, "CANCELLED"),
        (RUNNING, "RUNNING"),
        (ENDED, "COMPLETED"),
    ):
        state[core == code] = index[name]
    if workload.precedence is not None:
        state[(core == UNSEEN) & ~workload.precedence.is_held] = index["DROPPED"]  # its user never came back
    status = np.concatenate([part.status for part in workload.parts])
    killed = np.concatenate([part.killed for part in workload.parts])
    begins = np.concatenate([[0], np.cumsum([len(part) for part in workload.parts])])
    row = begins[workload.home] + workload.row
    ended = core == ENDED
    for code, name in STATUS_NAMES.items():
        state[ended & (status[row] == code)] = index[name]
    state[ended & killed[row]] = index["TIMEOUT"]
    used = np.unique(state)
    return runfolder.dictionary(np.searchsorted(used, state), [names[k] for k in used])


def _reasons(given: FederationInput, schedule: FederationSchedule) -> Any:
    """Reasons in Slurm's words, with those of the center where the job was."""
    waited = (schedule.start_ms != schedule.submit_ms) & (schedule.state != REJECTED)
    masks = schedule.reasons.copy()
    masks[waited & (masks == 0)] = reasons.PRIORITY
    masks[~waited & (schedule.state != REJECTED)] = 0
    precedence = given.workload.precedence
    if precedence is not None:
        late = (schedule.submit_ms > given.workload.jobs.submit_ms) | (schedule.state == UNSEEN)
        masks[schedule.state == UNSEEN] = 0
        masks[precedence.is_held & late] |= reasons.DEPENDENCY
    text = np.full(len(masks), "", object)
    f = schedule.compiled.federation
    for k in range(-1, len(f.cores)):
        mine = schedule.center == k
        bit_code = (f.broker if k < 0 else f.cores[k]).limits.bit_code
        known, codes = np.unique(masks[mine], return_inverse=True)
        words = np.array([",".join(reasons.words(int(m), bit_code)) if m else "" for m in known], object)
        text[mine] = words[codes] if len(known) else ""
    names, codes = np.unique(text.astype(str), return_inverse=True)
    return _labels(codes.ravel(), tuple(names.tolist()))


def transfers_table(given: FederationInput, schedule: FederationSchedule) -> pd.DataFrame:
    """Every copy of a dataset: ``dataset``, ``source``, ``center``, ``bytes``, ``begin_s``, ``end_s``, ``jobs`` (that waited for it)."""
    traffic, centers = schedule.traffic, given.workload.centers
    origin = given.trace.meta.origin_ms or 0
    rows = []
    for copy in np.flatnonzero(traffic.begin >= 0).tolist():
        dataset, center = divmod(copy, len(centers))
        end = int(traffic.end[copy])
        rows.append(
            {
                "dataset": given.scenario.datasets[dataset].Dataset,
                "source": centers[int(traffic.source[copy])],
                "center": centers[center],
                "bytes": int(traffic.size[dataset]),
                "begin_s": (int(traffic.begin[copy]) - origin) / 1000.0,
                "end_s": (end - origin) / 1000.0 if end >= 0 else np.nan,
                "jobs": int(traffic.asked[copy]),
            }
        )
    return pd.DataFrame(rows).sort_values("begin_s", kind="stable", ignore_index=True) if rows else pd.DataFrame(rows)


def stops_table(given: FederationInput, schedule: FederationSchedule) -> pd.DataFrame:
    """Every time that a job was stopped before its end: as for a single machine, and ``center``."""
    origin = given.trace.meta.origin_ms or 0
    found = []
    for k, core in enumerate(schedule.compiled.federation.cores):
        log = core.stops
        n = min(int(log.count[0]), len(log.time)) if len(log.count) else 0
        found.append(
            pd.DataFrame(
                {
                    "job_id": log.job[:n] + 1,
                    "time_s": (log.time[:n] - origin) / 1000.0,
                    "start_s": (log.start[:n] - origin) / 1000.0,
                    "preemptor": np.where(log.by[:n] >= 0, log.by[:n] + 1, -1),
                    "mode": runfolder.dictionary(log.mode[:n], runfolder.STOP_MODES),
                    "reason": runfolder.dictionary(log.reason[:n], runfolder.STOP_REASONS),
                    "lost_core_s": log.lost[:n] * core.jobs.procs[log.job[:n]] / 1000.0,
                    "refunded_core_s": log.refunded[:n] * core.jobs.procs[log.job[:n]] / 1000.0,
                    "grace_s": log.grace[:n] / 1000.0,
                    "center": _labels(np.full(n, k), given.workload.centers),
                }
            )
        )
    return pd.concat(found).sort_values(["time_s", "job_id"], kind="stable", ignore_index=True)


def placements_table(given: FederationInput, schedule: FederationSchedule) -> pd.DataFrame:
    """Every decision of the broker with its alternatives: one row for each target of each binding.

    ``decision`` numbers bindings in their order; ``chosen`` marks the target that won; ``refused`` says in a word why a target was out of the
    question; ``score`` is what the weights made of the terms, the less the better; the terms are in the units of their names.
    """
    f, names = schedule.compiled.federation, schedule.compiled.target_names
    n, n_targets = int(f.log.rows[0]), len(names)
    origin = given.trace.meta.origin_ms or 0
    if f.rules.keep == 0:
        target = f.log.target[:n]
        return pd.DataFrame(
            {
                "decision": np.arange(n),
                "time_s": (f.log.time[:n] - origin) / 1000.0,
                "job_id": f.log.job[:n] + 1,
                "center": _labels(f.targets.center[target], given.workload.centers),
                "chosen": np.ones(n, bool),
                "predicted_start_s": (f.log.predicted[:n] - origin) / 1000.0,
            }
        )
    decision = np.repeat(np.arange(n), n_targets)
    target = np.tile(np.arange(n_targets), n)
    reason = f.log.reason[:n].ravel()
    allowed = reason == tables.ALLOWED
    terms = f.log.terms[: n * n_targets]
    words = ("", *REFUSALS.values())
    code = np.array([0, *(list(REFUSALS).index(c) + 1 for c in range(1, max(REFUSALS) + 1))])[reason]
    units = ("start_s", "data_s", "run_s", "cost", "energy_kwh", "carbon_kg", "failure", "away")
    return pd.DataFrame(
        {
            "decision": decision,
            "time_s": np.repeat((f.log.time[:n] - origin) / 1000.0, n_targets),
            "job_id": np.repeat(f.log.job[:n] + 1, n_targets),
            "center": _labels(f.targets.center[target], given.workload.centers),
            "partition": _labels(target, tuple(f"{c}/{p}" for c, p in names)),
            "chosen": target == np.repeat(f.log.target[:n], n_targets),
            "refused": _labels(code, words),
            "score": np.where(allowed, f.log.score[:n].ravel(), np.nan),
            **{unit: np.where(allowed, terms[:, k], np.nan) for k, unit in enumerate(units)},
        }
    )


def manifest(
    given: FederationInput,
    schedule: FederationSchedule,
    conventions: Conventions,
    table: pd.DataFrame,
    *,
    command: str,
    timings_s: dict[str, float],
) -> dict[str, Any]:
    """What was replayed, how, with what, and what came of it; keys as for a single machine, and ``scenario`` and ``federation``."""
    scenario, workload = given.scenario, given.workload
    f, policy = schedule.compiled.federation, scenario.broker_policy
    origin = given.trace.meta.origin_ms or 0
    first_s = float(table["submit_s"].min())
    pools = _pools(given, schedule)
    steps: list[list[Any]] = [[first_s, name, procs] for _, name, procs in pools]
    level = {row: procs for row, _, procs in pools}
    names = {row: name for row, name, _ in pools}
    for time_ms, row, change in schedule.compiled.capacity_steps:
        level[row] += change
        steps.append([(time_ms - origin) / 1000.0, names[row], level[row]])
    shares, user_shares = target_shares(
        schedule.compiled.broker.tree or build_tree(policy, workload.jobs.user, schedule.compiled.broker.account)
    )
    inputs = [
        {
            "name": part.trace.meta.name,
            "path": Path(part.trace.meta.path).name,
            "sha256": part.trace.meta.sha256,
            "format": part.trace.meta.format,
            "jobs": len(part.trace),
            "replayed": len(part),
            "center": center,
        }
        for center, part in zip(workload.centers, workload.parts, strict=True)
        if len(part.trace)  # a center without a trace has none to speak of
    ]
    counts = table["state"].astype(str).value_counts()
    return {
        "apportion": metadata.version("apportion"),
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trace": {"name": scenario.Name or "+".join(workload.centers), "jobs": len(table), "replayed": len(table)},
        "inputs": inputs,
        "scenario_name": scenario.Name,
        "scenario_hash": scenario.hash,
        "scenario": scenario.canonical(),
        "policy_name": policy.Name,
        "policy_hash": policy.hash,
        "policy": policy.canonical(),
        "policy_warnings": list(policy.warnings),
        "conventions": conventions.to_json(),
        "conventions_in_words": conventions.describe(),
        "seed": scenario.Seed,
        "engine": schedule.engine,
        "decision_hash": schedule.decision_hash,
        "instants": schedule.instants,
        "origin_ms": origin,
        "timezone": given.trace.meta.timezone,
        "pools": [{"name": name, "procs": procs} for _, name, procs in pools],
        "capacity_from": "; ".join(dict.fromkeys(part.capacity_from for part in workload.parts)),
        "capacity_steps": steps,
        "measure_window_s": runfolder.window(table, conventions),
        "shares": shares,
        "user_shares": user_shares,
        "cleaning": [],
        "counts": {
            "submitted": len(table),
            "started": int((schedule.start_ms >= 0).sum()),
            "rejected": int(counts.get("REJECTED", 0)),
            "cancelled": int(counts.get("CANCELLED", 0)),
            "killed": int(counts.get("TIMEOUT", 0)),
            "following": 0 if workload.precedence is None else int(workload.precedence.follows.sum()),
            "still_pending": int((schedule.state == PENDING).sum()),
        },
        "federation": {
            "placement": scenario.broker.Placement,
            "weights": dict(zip(TERMS, f.rules.weights.tolist(), strict=True)),
            "movable": int(given.moves.movable.sum()),
            "bindings": int(f.log.rows[0]),
            "moved": int(table["moved"].sum()),
            "centers": [
                {
                    "name": entry.Center,
                    "mode": entry.Mode,
                    "procs": sum(procs for row, _, procs in pools if f.seen.center[row] == k),
                    "jobs": int((workload.home == k).sum()),
                    "policy": scenario.policy_of(entry.Center).Name,
                }
                for k, entry in enumerate(scenario.centers)
            ],
        },
        "timings_s": timings_s,
        **runfolder.environment(),
    }


def _pools(given: FederationInput, schedule: FederationSchedule) -> list[tuple[int, str, int]]:
    """(row of `Seen`, name, processors) of every pool of a center: the name of its partition if it has one, else CENTER/POOL."""
    found = []
    compiled = schedule.compiled
    f = compiled.federation
    first = f.centers.first_seen
    targets = [f"{center}/{partition}" for center, partition in compiled.target_names]
    for row in range(len(f.seen.center)):
        here = np.flatnonzero(f.targets.seen == row)
        k = int(f.seen.center[row])
        if len(here) == 0:
            continue
        one = compiled.centers[k]
        pool = row - int(first[k])
        name = targets[int(here[0])] if len(here) == 1 else f"{given.workload.centers[k]}/{one.pool_names[pool]}"
        found.append((row, name, int(one.pool_capacity[pool])))
    return found


def write_run(
    out: Path,
    given: FederationInput,
    schedule: FederationSchedule,
    conventions: Conventions,
    *,
    baseline: FederationSchedule | None = None,
    command: str = "",
    timings_s: dict[str, float] | None = None,
    with_report: bool = False,
    say: Any = lambda _: None,
) -> dict[str, Any]:
    """Fill a run folder, with that of the baseline inside it, and put it in place; as `apportion.sim.runfolder.write_run`."""

    def content(of: FederationSchedule) -> Any:
        def write(folder: Path) -> dict[str, Any]:
            if of is schedule and baseline is not None:
                runfolder.fill(folder / BASELINE, content(baseline), None)
            table = jobs_table(given, of)
            table.to_parquet(folder / "jobs.parquet", index=False, compression="zstd")
            if of.compiled.federation.log.rows[0]:
                placements_table(given, of).to_parquet(folder / "placements.parquet", index=False, compression="zstd")
            transfers = transfers_table(given, of)
            if len(transfers):
                transfers.to_parquet(folder / "transfers.parquet", index=False, compression="zstd")
            stops = stops_table(given, of)
            if len(stops):
                stops.to_parquet(folder / "preemptions.parquet", index=False, compression="zstd")
            if of is schedule:
                write_workload(given.workload.parts, folder)
            runfolder.write_swf_schedule(given.trace, table, folder, given.scenario.broker_policy)
            return manifest(given, of, conventions, table, command=command, timings_s=dict(timings_s or {}))

        return write

    return runfolder.fill(out, content(schedule), runfolder.standard_report if with_report else None, say=say)
