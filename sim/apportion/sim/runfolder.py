"""Write a run folder: jobs, schedule, metrics, manifest and report, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apportion.core import reasons
from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PREEMPTED, REJECTED, RUNNING, UNSEEN
from apportion.core.errors import RunError
from apportion.policy.associations import build_tree, target_shares
from apportion.sim import placements, waiting
from apportion.sim.failures import PROCS_LOST
from apportion.sim.inputs import write_failures, write_workload
from apportion.sim.replay import Schedule
from apportion.sim.workload import STATUS_NAMES, Workload, recorded_procs, recorded_resources
from apportion.traces.schema import UNKNOWN, Status

if TYPE_CHECKING:
    from apportion.core.tables import Ints
    from apportion.policy.model import Policy
    from apportion.sim.conventions import Conventions
    from apportion.sim.failures import Timetable
    from apportion.traces.clean import CleaningReport
    from apportion.traces.schema import Trace

STOP_REASONS = ("", "Preempt", "InClusterQueue", "InCohortReclamation")  # by code
STOP_MODES = ("NODE_FAIL", "CANCEL", "REQUEUE", "CHECKPOINT", "SUSPEND")  # by code
RESOURCES = {"node": "nodes", "mem": "mem_mib", "gres/gpu": "gpus"}  # columns by TRES
MS_PER_HOUR = 3_600_000
LIBRARIES = ("numba", "numpy", "pandas", "pyarrow", "simpy")


def jobs_table(workload: Workload, schedule: Schedule) -> pd.DataFrame:
    """One row a job of the cleaned trace, in submit order; times in seconds from the trace's origin.

    Jobs that were not replayed (cancelled before they started, or without size) are there as the trace tells of them, with no start.
    Where jobs follow others, ``submit_s`` is when they were submitted here, and ``recorded_submit_s`` when they were by the trace. The index
    is the row of the trace.
    """
    trace, compiled = workload.trace, schedule.compiled
    n, row = len(trace), workload.row
    origin = workload.jobs.origin_ms
    live = compiled.state.live

    def spread(values: Any, missing: Any, dtype: Any) -> Any:
        column = np.full(n, missing, dtype)
        column[row] = values
        return column

    def seconds(ms: Ints, known: Any) -> Any:
        return spread(np.where(known, ms / 1000.0, np.nan), np.nan, np.float64)

    start, end = live.start, schedule.end_ms
    started, ended = start >= 0, end >= 0
    submit = schedule.compiled.state.jobs.submit
    cancelled = live.state == CANCELLED
    gone = np.where(cancelled, workload.cancel_ms, end)
    procs = np.maximum(recorded_procs(trace), 0)
    limit = trace.column("limit_ms")
    table = {
        "job_id": trace.jobs["job_id"].to_numpy(),
        "user": _all_labels(trace.labels("user")),
        "account": _spread_labels(compiled.account.codes, compiled.account.names, row, trace.labels("account")),
        "qos": _spread_labels(compiled.qos.codes, compiled.qos.names, row, trace.labels("qos")),
        "center": _center(trace),
        "partition": _partition(workload, schedule),
        "procs": spread(workload.jobs.procs, procs, np.int64),
        "submit_s": trace.column("submit_ms") / 1000.0,
        "start_s": seconds(start - origin, started),
        "end_s": seconds(gone - origin, ended | cancelled),
        "run_s": seconds(end - start, ended),
        "limit_s": spread(workload.jobs.limit_ms / 1000.0, np.where(limit > 0, limit / 1000.0, np.nan), np.float64),
        "wait_s": seconds(start - submit, started),
        "state": _states(workload, schedule, n),
        "restarts": spread(live.restarts, 0, np.int64),
        "backfilled": spread(passed(schedule.compiled.state.jobs.submit, schedule.start_ms), False, bool),
        "planned_start_s": seconds(live.first_plan - origin, live.first_plan >= 0),
        "reasons": _reasons(workload, schedule, n),
    }
    recorded = recorded_resources(trace, np.arange(n), procs)
    for tres, name in RESOURCES.items():
        if tres in workload.jobs.resources:
            table[name] = spread(workload.jobs.resources[tres], recorded.get(tres, 0), np.int64)
    if compiled.node_names:
        lists, held = placements.node_lists(compiled)
        table["node_list"] = spread(lists, "", object)
        table["alloc_cpus"] = spread(held, 0, np.int64)
    if workload.precedence is None:
        return pd.DataFrame(table)
    table["recorded_submit_s"] = table["submit_s"]
    table["submit_s"] = table["submit_s"].copy()
    table["submit_s"][row] = (submit - origin) / 1000.0
    return pd.DataFrame(table).sort_values("submit_s", kind="stable")


def dictionary(codes: Any, names: Any) -> Any:
    """Text by code. The stubs of pandas know only some kinds of codes."""
    make: Any = pd.Categorical.from_codes
    return make(codes, categories=list(names))


def _center(trace: Trace) -> Any:
    """The center that each job was submitted to: of several merged traces each its own, else the trace itself."""
    from apportion.traces.merge import CENTER

    if CENTER in trace.jobs:
        return trace.jobs[CENTER].astype("category").array
    return dictionary(np.zeros(len(trace), np.int8), [trace.meta.name])


def _all_labels(labels: tuple[Ints, list[str]]) -> Any:
    return categorical(labels[0], tuple(labels[1]))


def _spread_labels(codes: Ints, names: tuple[str, ...], row: Ints, recorded: tuple[Ints, list[str]]) -> Any:
    """Labels by which jobs were replayed, and for the others those of the trace."""
    trace_codes, trace_names = recorded
    left_out = np.ones(len(trace_codes), bool)
    left_out[row] = False
    used = np.unique(trace_codes[left_out & (trace_codes >= 0)])
    index = {name: k for k, name in enumerate(names)}
    lookup = np.full(len(trace_names) + 1, UNKNOWN, np.int64)
    lookup[used] = [index.setdefault(trace_names[code], len(index)) for code in used.tolist()]
    column = lookup[trace_codes]
    column[row] = codes
    return categorical(column, tuple(index))


def categorical(codes: Ints, names: tuple[str, ...]) -> Any:
    """Text of a column as a dictionary, with the empty text for unknown."""
    names = tuple(names)
    if "" in names:
        return dictionary(np.where(codes < 0, names.index(""), codes), list(names))
    return dictionary(np.where(codes < 0, len(names), codes), [*names, ""])


def _partition(workload: Workload, schedule: Schedule) -> Any:
    """The policy's partition of each job, else the trace's own label."""
    names = schedule.compiled.partition_names
    if names == ("",):
        return _all_labels(workload.trace.labels("partition"))
    return _spread_labels(schedule.compiled.partition, names, workload.row, workload.trace.labels("partition"))


def _states(workload: Workload, schedule: Schedule, n: int) -> Any:
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
    recorded = workload.trace.column("status")
    state = np.full(n, index["DROPPED"], np.int8)
    state[recorded == Status.CANCELLED] = index["CANCELLED"]  # those replayed are set below
    core = schedule.compiled.state.live.state
    replayed = np.full(len(workload), index["PENDING"], np.int8)
    if workload.precedence is not None:
        replayed[(core == UNSEEN) & ~workload.precedence.is_held] = index["DROPPED"]  # its user never came back
    replayed[core == REJECTED] = index["REJECTED"]
    replayed[core == CANCELLED] = index["CANCELLED"]
    replayed[core == NODE_FAIL] = index["NODE_FAIL"]
    replayed[core == PREEMPTED] = index["PREEMPTED"]
    replayed[core == RUNNING] = index["RUNNING"]
    ended = core == ENDED
    replayed[ended] = index["COMPLETED"]
    for code, name in STATUS_NAMES.items():
        replayed[ended & (workload.status == code)] = index[name]
    cut_short = ended & (schedule.end_ms < schedule.start_ms + workload.run_ms)  # by the end of its minutes
    replayed[(ended & workload.killed) | cut_short] = index["TIMEOUT"]
    state[workload.row] = replayed
    used = np.unique(state)
    return dictionary(np.searchsorted(used, state), [names[k] for k in used])


def passed(submit_ms: Any, start_ms: Any) -> Any:
    """Whether each job started before one that was submitted earlier, and so passed it in the queue; a start below 0 is none."""
    order = np.argsort(submit_ms, kind="stable")
    start = start_ms[order]
    latest = np.maximum.accumulate(start)
    result = np.zeros(len(start), bool)
    result[order[1:]] = (start[1:] >= 0) & (start[1:] < latest[:-1])
    return result


def _reasons(workload: Workload, schedule: Schedule, n: int) -> Any:
    """Reasons in Slurm's words and in order: all that a job had to wait for, or waits for still; none if it did not wait."""
    live, bit_code = schedule.compiled.state.live, schedule.compiled.state.limits.bit_code
    masks = live.reasons.copy()
    submit = schedule.compiled.state.jobs.submit
    waited = (schedule.start_ms != submit) & (live.state != REJECTED)
    masks[waited & (masks == 0)] = reasons.PRIORITY
    masks[~waited & (live.state != REJECTED)] = 0
    masks[waiting.pending(schedule)] = waiting.masks(schedule)
    if workload.precedence is not None:
        masks[live.state == UNSEEN] = 0
        late = (submit > workload.jobs.submit_ms) | (live.state == UNSEEN)
        masks[workload.precedence.is_held & late] |= reasons.DEPENDENCY
    known, codes = np.unique(masks, return_inverse=True)
    words = [",".join(reasons.words(int(mask), bit_code)) if mask else "" for mask in known]
    names = tuple(dict.fromkeys([*words, ""]))
    of_mask = np.array([names.index(word) for word in words], np.int64)
    column = np.full(n, names.index(""), np.int64)
    column[workload.row] = of_mask[codes]
    return dictionary(column, list(names))


def window(table: pd.DataFrame, conventions: Conventions) -> list[float]:
    """From the first submission to the last end, less warm-up and cool-down."""
    if not len(table):
        return [0.0, 0.0]
    begin = float(table["submit_s"].min()) + conventions.warm_up_s
    ends = table.loc[table["start_s"].notna(), "end_s"]
    end = max(float(ends.max()) if len(ends) else begin, float(table["submit_s"].max())) - conventions.cool_down_s
    if end <= begin and (conventions.warm_up_s or conventions.cool_down_s):
        raise RunError("warm-up and cool-down leave nothing of the trace to measure", "make them shorter")
    return [begin, end]


def manifest(
    workload: Workload,
    schedule: Schedule,
    policy: Policy,
    conventions: Conventions,
    cleaning: CleaningReport | None,
    table: pd.DataFrame,
    *,
    command: str,
    seed: int | None,
    timings_s: dict[str, float],
) -> dict[str, Any]:
    """What was replayed, how, with what, and what came of it (ARCHITECTURE.md, run folder)."""
    meta, compiled, origin = workload.trace.meta, schedule.compiled, workload.jobs.origin_ms
    capacity = compiled.pool_capacity
    first_s = float(table["submit_s"].min()) if len(table) else 0.0
    steps: list[list[Any]] = [
        [first_s, name, int(procs)] for name, procs in zip(compiled.pool_names, capacity, strict=True)
    ]
    level = [int(procs) for procs in capacity]
    for time_ms, pool, change in sorted([*compiled.capacity_steps, *failure_steps(schedule)]):
        level[pool] += change
        steps.append([(time_ms - origin) / 1000.0, compiled.pool_names[pool], level[pool]])
    shares, user_shares = target_shares(compiled.tree or build_tree(policy, workload.jobs.user, compiled.account))
    counts = table["state"].astype(str).value_counts()
    source = {
        "name": meta.name,
        "path": Path(meta.path).name,
        "sha256": meta.sha256,
        "format": meta.format,
        "jobs": len(workload.trace),
        "replayed": len(workload),
        "acknowledgement": _acknowledgement(workload),
        "notes": list(meta.notes),
    }
    return {
        "apportion": metadata.version("apportion"),
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trace": source,
        "inputs": [source],
        "policy_name": policy.Name,
        "policy_hash": policy.hash,
        "policy": policy.canonical(),
        "policy_warnings": list(policy.warnings),
        "conventions": conventions.to_json(),
        "conventions_in_words": conventions.describe(),
        "seed": seed,
        "engine": schedule.engine,
        "decision_hash": schedule.decision_hash,
        "instants": schedule.instants,
        "origin_ms": meta.origin_ms,
        "timezone": meta.timezone,
        "pools": _pools(schedule),
        "capacity_from": workload.capacity_from,
        "capacity_steps": steps,
        "measure_window_s": window(table, conventions),
        "wait_bounds_s": {entry.Name: entry.MaxWait for entry in policy.qos if entry.MaxWait is not None},
        "shares": shares,
        "user_shares": user_shares,
        "cleaning": cleaning.to_json() if cleaning is not None else [],
        "counts": {
            "submitted": len(workload),
            "started": int((schedule.start_ms >= 0).sum()),
            "rejected": int(counts.get("REJECTED", 0)),
            "cancelled": int(counts.get("CANCELLED", 0)),
            "killed": int(counts.get("TIMEOUT", 0)),
            "not_replayed": len(workload.trace) - len(workload),
            "following": 0 if workload.precedence is None else int(workload.precedence.follows.sum()),
            "still_pending": int(counts.get("PENDING", 0)),
        },
        "waiting": waiting.explain(workload, schedule, policy),
        "failures": _failures(schedule, table, origin),
        "timings_s": timings_s,
        **environment(),
    }


def _as_they_hit(schedule: Schedule) -> Timetable | None:
    """Failures as the machine met them: on nodes they take whole ones, not as many processors as were drawn."""
    failures = schedule.failures
    if failures is None:
        return None
    procs = placements.failed_procs(schedule.compiled.state)
    return replace(failures, procs=np.where(procs < 0, failures.procs, procs))


def failure_steps(schedule: Schedule) -> list[tuple[int, int, int]]:
    """Changes of capacity by failures: time in ms, pool, change of processors."""
    failures = _as_they_hit(schedule)
    if failures is None:
        return []
    change = np.where(failures.what == PROCS_LOST, -failures.procs, failures.procs)
    return list(zip(failures.time_ms.tolist(), failures.place.tolist(), change.tolist(), strict=True))


def _failures(schedule: Schedule, table: pd.DataFrame, origin: int) -> dict[str, Any] | None:
    """What failed up to the last end."""
    failures = _as_they_hit(schedule)
    if failures is None:
        return None
    ends = table["end_s"].dropna()
    begin, end = (int(table["submit_s"].min() * 1000), int(ends.max() * 1000)) if len(ends) else (0, 0)
    summary = failures.summary(schedule.compiled.pool_capacity, begin + origin, end + origin)
    return {name: value for name, value in summary.items() if not name.startswith("network")}


def stops_table(workload: Workload, schedule: Schedule) -> pd.DataFrame:
    """Each stop of a job before its end.

    ``job_id``, ``time_s`` and ``start_s`` (from the trace's origin), ``preemptor`` (the job that took its resources, -1 none), ``mode``, ``reason``,
    ``lost_core_s`` (what is to be done again), ``refunded_core_s`` (what of it was given back to the account), ``grace_s`` (how long it kept
    its resources after it was preempted).
    """
    log, origin = schedule.compiled.state.stops, workload.jobs.origin_ms
    n = min(int(log.count[0]), len(log.time))
    ids = workload.trace.jobs["job_id"].to_numpy()[workload.row]
    job, by = log.job[:n], log.by[:n]
    return pd.DataFrame(
        {
            "job_id": ids[job],
            "time_s": (log.time[:n] - origin) / 1000.0,
            "start_s": (log.start[:n] - origin) / 1000.0,
            "preemptor": [name if k >= 0 else None for k, name in zip(by.tolist(), ids[by].tolist(), strict=True)]
            if ids.dtype == object
            else np.where(by >= 0, ids[by], -1),
            "mode": dictionary(log.mode[:n], STOP_MODES),
            "reason": dictionary(log.reason[:n], STOP_REASONS),
            "lost_core_s": log.lost[:n] * workload.jobs.procs[job] / 1000.0,
            "refunded_core_s": log.refunded[:n] * workload.jobs.procs[job] / 1000.0,
            "grace_s": log.grace[:n] / 1000.0,
        }
    )


def _pools(schedule: Schedule) -> list[dict[str, Any]]:
    """Names and processors of the pools; where they are made of nodes, their number and what was lost in pieces."""
    compiled, nodes = schedule.compiled, schedule.compiled.state.nodes
    pools: list[dict[str, Any]] = [
        {"name": name, "procs": int(procs)}
        for name, procs in zip(compiled.pool_names, compiled.pool_capacity, strict=True)
    ]
    if compiled.node_names:
        for pool, size, lost in zip(pools, np.diff(nodes.first).tolist(), nodes.lost.tolist(), strict=True):
            pool |= {"nodes": size, "fragmented_core_h": lost / MS_PER_HOUR}
    return pools


def environment() -> dict[str, Any]:
    """Versions and platform, for a manifest."""
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}},
        "platform": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
    }


def _acknowledgement(workload: Workload) -> str:
    from apportion.traces.catalog import by_sha256

    entry = by_sha256(workload.trace.meta.sha256) if workload.trace.meta.sha256 else None
    if entry is not None:
        return entry.acknowledge
    said = [line.split(":", 1)[1].strip() for line in workload.trace.meta.header if "cknowledge:" in line]
    return "; ".join(said)


def write_swf_schedule(trace: Trace, table: pd.DataFrame, folder: Path, policy: Policy) -> None:
    """Write ``schedule.swf``: the trace as this schedule would have logged it."""
    from apportion.traces import write_swf

    if "recorded_submit_s" in table:
        jobs = trace.jobs.iloc[table.index.to_numpy()].copy()
        jobs["submit_ms"] = np.rint(table["submit_s"].to_numpy() * 1000).astype(np.int64)
    else:
        jobs = trace.jobs.copy(deep=False)
    run = table["run_s"].to_numpy()
    started = table["start_s"].notna().to_numpy()
    wait = np.where(started, table["wait_s"], table["end_s"] - table["submit_s"])  # who gave up waited until then
    jobs["wait_ms"] = np.where(np.isnan(wait), UNKNOWN, np.rint(np.nan_to_num(wait) * 1000)).astype(np.int64)
    jobs["run_ms"] = np.where(np.isnan(run), UNKNOWN, np.rint(np.nan_to_num(run) * 1000)).astype(np.int64)
    jobs["procs_used"] = np.where(started, table["procs"], UNKNOWN).astype(np.int64)
    note = f"; Note: schedule made by apportion under the policy {policy.Name or 'unnamed'} ({policy.hash[:12]}), not a log"
    meta = replace(trace.meta, header=(*trace.meta.header, note))
    write_swf(replace(trace, jobs=jobs, meta=meta), folder / "schedule.swf")


def prepare(out: Path) -> Path:
    """Make the folder that is filled beside ``out`` and then takes its place.

    Raises
    ------
    RunError
        If ``out`` is something other than a run folder, or nothing can be written there.
    """
    if out.exists() and not (out / "manifest.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise RunError("there is something here that is not a run folder", "choose another --out", path=out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise RunError(
            f"cannot write here: {(error.strerror or str(error)).lower()}", "choose another --out", path=out
        ) from None


def commit(partial: Path, out: Path) -> None:
    """Let a filled folder take its place; an older run of that name goes only then."""
    partial.chmod(0o755)
    placed = False
    while not placed:  # another replay may put its run here between the two renames
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        try:
            with contextlib.suppress(FileNotFoundError):
                out.rename(old / "run")
            partial.rename(out)
            placed = True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            if not placed and not out.exists() and (old / "run").exists():
                (old / "run").rename(out)
            shutil.rmtree(old, ignore_errors=True)


def write_run(
    out: Path,
    workload: Workload,
    schedule: Schedule,
    policy: Policy,
    conventions: Conventions,
    cleaning: CleaningReport | None,
    *,
    command: str = "",
    seed: int | None = None,
    timings_s: dict[str, float] | None = None,
    with_report: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fill a run folder and put it in place.

    Returns
    -------
    dict
        The metrics.

    Raises
    ------
    RunError
        If it cannot be written; nothing is left behind then.
    """

    def content(folder: Path) -> dict[str, Any]:
        table = jobs_table(workload, schedule)
        table.to_parquet(folder / "jobs.parquet", index=False, compression="zstd")
        write_workload([workload], folder)
        if schedule.failures is not None:
            write_failures(schedule.failures, folder)
        write_swf_schedule(workload.trace, table, folder, policy)
        if len(schedule.compiled.state.stops.time):
            stops_table(workload, schedule).to_parquet(folder / "preemptions.parquet", index=False, compression="zstd")
        return manifest(
            workload,
            schedule,
            policy,
            conventions,
            cleaning,
            table,
            command=command,
            seed=seed,
            timings_s=dict(timings_s or {}),
        )

    report = standard_report if with_report else None
    return fill(out, content, report, say=say)


def standard_report(run: Any, metrics: dict[str, Any]) -> None:
    """Write ``report.html``."""
    from apportion.metrics.report import write_report

    write_report(run, metrics=metrics)


def fill(
    out: Path,
    content: Callable[[Path], dict[str, Any]],
    report: Callable[..., Any] | None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fill a run folder and put it in place.

    Parameters
    ----------
    out : Path
    content : callable
        Writes ``jobs.parquet``, ``schedule.swf`` and whatever else belongs there into the folder it is given, and returns the manifest.
    report : callable, optional
        Writes the report of the run it is given, with ``metrics``.

    Returns
    -------
    dict
        The metrics.

    Raises
    ------
    RunError
        If it cannot be written; nothing is left behind then.
    """
    from apportion.metrics.compute import compute
    from apportion.metrics.run import load_run

    partial = prepare(out)
    try:
        say("metrics")
        begin = time.perf_counter()
        facts = content(partial)
        timings = facts["timings_s"]
        write_json(partial / "manifest.json", facts)
        run = load_run(partial)
        metrics = compute(run)
        write_json(partial / "metrics.json", metrics)
        timings["metrics"] = round(time.perf_counter() - begin, 4)
        begin = time.perf_counter()
        if report is not None:
            say("report")
            run.manifest["timings_s"] = timings
            report(run, metrics=metrics)
        timings["report"] = round(time.perf_counter() - begin, 4)
        write_json(partial / "manifest.json", facts)
        commit(partial, out)
    except OSError as error:
        raise RunError(
            f"cannot write the run: {(error.strerror or str(error)).lower()}",
            "make room or choose another --out",
            path=out,
        ) from None
    finally:
        if partial.exists() and partial != out:
            shutil.rmtree(partial, ignore_errors=True)
    return metrics


def write_json(path: Path, data: Any) -> None:
    """Write one of the JSON files of a run folder."""
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def command_line() -> str:
    """The command as typed, without the path of the program."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
