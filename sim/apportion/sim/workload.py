"""From a cleaned trace to a workload: which jobs are replayed, how wide, how long, and when they give up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from apportion.core.errors import TraceError
from apportion.core.tables import NEVER, Ints
from apportion.policy.assign import default_times
from apportion.policy.workload import Labels, Submissions
from apportion.sim.conventions import Conventions
from apportion.sim.dependencies import critical_path, precedence
from apportion.traces.schema import NEVER_STARTED, Status, Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.policy.model import Policy
    from apportion.sim.releases import Precedence


@dataclass(frozen=True)
class Workload:
    """Jobs to replay, in submit order.

    Attributes
    ----------
    jobs : Submissions
        What the scheduler is told.
    run_ms : int64[n]
        How long each job takes once it runs; never more than its limit.
    cancel_ms : int64[n]
        When a job that still waits gives up, ms since the epoch; NEVER if it does not.
    killed : bool[n]
        The job is cut off at its limit; so was one that the trace logs as timed out when it had run up to the limit.
    status : int8[n]
        `Status` that the trace records.
    row : int64[n]
        Row of the trace that each job comes from.
    trace : Trace
        The cleaned trace; it may have more rows.
    capacity_from : str
        Where the number of processors was taken from.
    precedence : Precedence, optional
        Jobs that come when others have ended; their ``jobs.submit_ms`` is what the trace records.
    """

    jobs: Submissions
    run_ms: Ints
    cancel_ms: Ints
    killed: NDArray[np.bool_]
    status: NDArray[np.int8]
    row: Ints
    trace: Trace
    capacity_from: str
    precedence: Precedence | None = None

    def __len__(self) -> int:
        return len(self.jobs)


def from_trace(
    trace: Trace, conventions: Conventions, procs: int | None = None, policy: Policy | None = None
) -> Workload:
    """Read a cleaned trace under the given conventions.

    Parameters
    ----------
    trace : Trace
        In submit order, each job with a submit time (see `apportion.traces.clean`).
    procs : int, optional
        Size of the machine; by default what the trace, then the catalog, says, else the most processors ever in use.
    policy : Policy, optional
        Whose partitions say how long jobs may run that asked for no time.

    Raises
    ------
    TraceError
        If nothing can be replayed, or the trace is not in submit order.
    """
    submit = trace.column("submit_ms")
    if np.any(np.diff(submit) < 0):
        raise TraceError(
            "jobs are not in submit order", "run the cleaning step on the trace first", path=trace.meta.path or None
        )
    run = trace.column("run_ms")
    wait = trace.column("wait_ms")
    width = recorded_procs(trace, conventions.size)
    never_ran = run < 0
    replayed = width > 0
    if conventions.cancelled == "drop":
        replayed &= ~never_ran
    else:
        replayed &= ~never_ran | ((wait >= 0) & np.isin(trace.column("status"), NEVER_STARTED))
    row = np.flatnonzero(replayed)
    if len(row) == 0:
        raise TraceError(
            "no job of the trace has both a size and a run time",
            "if all were cancelled, --cancelled replay takes them",
            path=trace.meta.path or None,
        )
    run = np.where(never_ran, 0, run)[row]
    asked_ms = trace.column("limit_ms")[row]
    if conventions.limit == "exact":
        asked_ms = run
    # Submit times count from the trace's origin; the core wants the calendar where there is one.
    origin = trace.meta.origin_ms or 0
    at = submit[row] + origin
    width, at = np.ascontiguousarray(width[row]), np.ascontiguousarray(at)
    cpu, source = _capacity(trace, procs, row, width)
    jobs = Submissions(
        submit_ms=at,
        limit_ms=np.maximum(np.where(asked_ms > 0, asked_ms, run), 1),
        procs=width,
        user=_labels(trace, "user", row),
        account=_labels(trace, "account", row),
        group=_labels(trace, "group", row),
        qos=_labels(trace, "qos", row),
        queue=_labels(trace, "queue", row),
        partition=_labels(trace, "partition", row),
        origin_ms=origin,
        capacity={"cpu": cpu},
        resources=recorded_resources(trace, row, width),
    )
    if policy is not None and conventions.limit == "requested":
        jobs = replace(jobs, limit_ms=np.where(asked_ms > 0, jobs.limit_ms, default_times(policy, jobs)))
    over = run > jobs.limit_ms
    if conventions.over_limit == "raise":
        jobs = replace(jobs, limit_ms=np.maximum(jobs.limit_ms, run))
        over[:] = False
    status = trace.column("status")[row].astype(np.int8)
    killed = over | ((status == Status.TIMEOUT) & (run >= jobs.limit_ms))
    # It is not known how long a job that gave up would have run: its limit is the most the scheduler may count on.
    gives_up = never_ran[row]
    run = np.where(gives_up, jobs.limit_ms, np.minimum(run, jobs.limit_ms))
    follows = None
    if conventions.dependencies == "honour":
        follows = precedence(trace, row, at, dependencies=True, sessions=False)
        if follows is not None:
            jobs = replace(jobs, critical_path_ms=critical_path(follows, jobs.limit_ms))
    if conventions.feedback == "sessions":
        follows = precedence(trace, row, at, dependencies=follows is not None, sessions=True)
    return Workload(
        jobs=jobs,
        run_ms=run,
        cancel_ms=np.where(gives_up, at + wait[row], NEVER),
        killed=killed,
        status=status,
        row=row.astype(np.int64),
        trace=trace,
        capacity_from=source,
        precedence=follows,
    )


def _labels(trace: Trace, name: str, row: Ints) -> Labels:
    codes, names = trace.labels(name)
    return Labels(np.ascontiguousarray(codes[row]), tuple(names))


def recorded_procs(trace: Trace, size: str = "allocated") -> Ints:
    """Processors of each job, allocated or requested first (see `CHOICES`); 0 or less where neither is known."""
    used, asked = trace.column("procs_used"), trace.column("procs_req")
    first, second = (used, asked) if size == "allocated" else (asked, used)
    return np.where(first > 0, first, second)


def recorded_resources(trace: Trace, row: Ints, width: Ints) -> dict[str, Ints]:
    """Nodes, memory in MiB of the whole job, and GPUs, where the trace knows them: requested, else used."""
    found: dict[str, Ints] = {}
    for tres, asked, used in (
        ("node", "nodes_req", "nodes_used"),
        ("mem", "mem_req_kib", "mem_used_kib"),
        ("gres/gpu", "gpus_req", "gpus_used"),
    ):
        if asked not in trace.jobs.columns and used not in trace.jobs.columns:
            continue
        amount = trace.column(asked)[row]
        amount = np.where(amount >= 0, amount, trace.column(used)[row])
        amount = np.maximum(amount, 0)
        if tres == "mem":
            amount = (amount * width if trace.meta.mem_basis == "processor" else amount) // 1024
        found[tres] = np.ascontiguousarray(amount)
    return found


def _capacity(trace: Trace, procs: int | None, row: Ints, width: Ints) -> tuple[int, str]:
    """Processors of the machine, and where the number is from."""
    if procs is not None:
        return procs, "given"
    if trace.meta.max_procs > 0:
        return trace.meta.max_procs, "trace header"
    from apportion.traces.catalog import by_sha256

    entry = by_sha256(trace.meta.sha256) if trace.meta.sha256 else None
    if entry is not None and entry.procs > 0:
        return entry.procs, "catalog"
    if entry is not None and entry.nodes > 0 and trace.meta.format == "alcf":
        return max(entry.nodes, int(width.max())), "catalog (nodes)"
    return _peak(trace, row, width), "most processors in use at a time"


def _peak(trace: Trace, row: Ints, width: Ints) -> int:
    """Most processors in use at a time by the recorded schedule; jobs without a wait count from their submission."""
    start = trace.column("submit_ms")[row] + np.maximum(trace.column("wait_ms")[row], 0)
    run = np.maximum(trace.column("run_ms")[row], 0)
    ran = run > 0
    times = np.concatenate([start[ran] + run[ran], start[ran]])
    change = np.concatenate([-width[ran], width[ran]])
    order = np.argsort(times, kind="stable")  # ends come before starts of the same instant
    peak = int(np.cumsum(change[order]).max(initial=0))
    return max(peak, int(width.max()))


STATUS_NAMES: dict[int, str] = {
    Status.FAILED: "FAILED",
    Status.CANCELLED: "CANCELLED",
    Status.NODE_FAIL: "NODE_FAIL",
    Status.PREEMPTED: "PREEMPTED",
    Status.OUT_OF_MEMORY: "OUT_OF_MEMORY",
}
