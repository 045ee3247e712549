"""From the keys of preemption and checkpoints to the tables of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.checkpoint import Checkpoints, daly_ms
from apportion.core.codes import CANCEL_MODE, CHECKPOINT_MODE, REQUEUE_MODE, SUSPEND_MODE
from apportion.core.preempt_tables import CELLS, Preemption, no_preemption
from apportion.core.tables import NEVER, Ints
from apportion.policy.assign import NOWHERE
from apportion.policy.reclaim import has_reclaim
from apportion.policy.structure import keeps_work

if TYPE_CHECKING:
    from apportion.policy.assign import Assigned
    from apportion.policy.model import Policy

MODES = {
    "CANCEL": CANCEL_MODE,
    "REQUEUE": REQUEUE_MODE,
    "CHECKPOINT": CHECKPOINT_MODE,
    "SUSPEND": SUSPEND_MODE,
}
CPU_HOUR_MS = 3_600_000
PREEMPTION_KEYS = frozenset(
    {
        "Preempt",
        "PreemptMode",
        "PreemptExemptTime",
        "GraceTime",
        "CheckpointInterval",
        "CheckpointWriteTime",
        "RestartTime",
        "MTBF",
    }
)


def checkpoints_of(policy: Policy, qos: Ints) -> Checkpoints:
    """Checkpoints of each job, by its QOS; -1 is none."""
    rows = [_checkpoint(policy, entry) for entry in (*policy.qos, None)]
    if not any(interval for interval, _, _ in rows) and not keeps_work(policy):
        return Checkpoints(*(np.zeros(0, np.int64) for _ in Checkpoints._fields))
    columns = np.array(rows, np.int64)[qos]
    interval, write, restart = (np.ascontiguousarray(columns[:, k]) for k in range(3))
    return Checkpoints(interval, write, restart, np.zeros(len(qos), np.int64))


def _checkpoint(policy: Policy, entry: Any) -> tuple[int, int, int]:
    """Interval, cost of writing and of restarting, ms."""

    def value(name: str) -> int | None:
        own = None if entry is None else getattr(entry, name)
        found = getattr(policy, name) if own is None else own
        return None if found is None else found * 1000

    write, restart = value("CheckpointWriteTime") or 0, value("RestartTime") or 0
    interval, mtbf = value("CheckpointInterval"), value("MTBF")
    if interval is None:
        interval = daly_ms(write, mtbf) if mtbf else 0
    return interval, write, restart


def preemption_of(
    policy: Policy, assigned: Assigned, qos: Ints, checkpoints: Checkpoints, n_pools: int, extra: tuple[str, ...]
) -> Preemption:
    """Classes of jobs, who may preempt whom, and at what price; ``extra`` : the TRES beside processors."""
    if policy.PreemptType == "none" and not has_reclaim(policy):
        return no_preemption()
    n_jobs, n_extra = len(qos), len(extra)
    if policy.PreemptType != "partition_prio":
        names = [entry.Name for entry in policy.qos]
        entries: list[Any] = [*policy.qos, None]
        listed = [a.Preempt if a is not None and policy.PreemptType == "qos" else () for a in entries]
        may = [[int(b in below) for b in (*names, "")] for below in listed]
        worth = [*(entry.Priority for entry in policy.qos), 0]
        job_class = np.where(qos < 0, len(names), qos)
    else:
        entries = list(policy.partitions)
        if (assigned.partition < 0).any():
            entries.append(NOWHERE)
        worth = [entry.PriorityTier for entry in entries]
        may = [[int(a > b) for b in worth] for a in worth]
        job_class = assigned.partition % len(entries)
    modes = [(entry.PreemptMode if entry is not None else None) or policy.PreemptMode for entry in entries]
    allowed = np.array(may, np.int64) * np.array([mode != "OFF" for mode in modes])
    exempt = [getattr(entry, "PreemptExemptTime", None) for entry in entries]
    grace = 1000 * np.array([getattr(entry, "GraceTime", 0) for entry in entries], np.int64)[job_class]
    if "CHECKPOINT" in modes:
        grace += checkpoints.write * (np.array(modes) == "CHECKPOINT")[job_class]
    n_kept = n_jobs if grace.any() or "SUSPEND" in modes else 0
    options = policy.PreemptParameters
    n_accounts = len(assigned.account.names) + 1

    def zeros(n: int) -> Ints:
        return np.zeros(n, np.int64)

    def budget(hours: int | None) -> int:
        return NEVER if hours is None else hours * CPU_HOUR_MS

    return Preemption(
        job_class=job_class.astype(np.int64),
        account=np.where(assigned.account.codes < 0, n_accounts - 1, assigned.account.codes).astype(np.int64),
        may=np.ascontiguousarray(allowed),
        worth=np.array(worth, np.int64),
        mode=np.array([MODES.get(mode, 0) for mode in modes], np.int64),
        exempt=1000 * np.maximum([policy.PreemptExemptTime if time is None else time for time in exempt], 1),
        last=zeros(n_jobs) - NEVER,
        lost=zeros(n_accounts),
        caused=zeros(n_accounts),
        seen=zeros(n_pools),
        trial=zeros(n_accounts),
        short=zeros(1 + n_extra),
        victims=zeros(n_jobs),
        clock=zeros(CELLS),
        grace=grace[:n_kept],
        until=zeros(n_kept) - 1,
        by=zeros(n_kept),
        reason=zeros(n_kept),
        leaving=zeros(n_kept),
        claimants=zeros(n_kept),
        suspended=zeros(n_kept),
        is_claimant=zeros(n_kept),
        held=np.zeros((n_kept, 1 + n_extra), np.int64),
        memory=extra.index("mem") if "SUSPEND" in modes and "mem" in extra else -1,
        youngest_first=int(options.youngest_first),
        again=options.again_after * 1000,
        refund=round(options.refund * 1000),
        min_wait=options.min_wait * 1000,
        min_gain=round(options.min_gain * 1000),
        rate_limit=NEVER if options.rate_limit is None else options.rate_limit,
        lost_budget=budget(options.lost_budget),
        caused_budget=budget(options.caused_budget),
    )
