"""Random associations, QOS, limits and jobs, once as tables of the core and once as the naive twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core import limit_tables as lt
from apportion.core import limit_usage, limits, reasons
from apportion.core.handle import handle
from apportion.core.limit_build import ASSOCIATION_LIMITS, QOS_LIMITS, LimitBuilder
from apportion.core.limit_tables import LimitCounters, LimitTables, build_counters
from apportion.core.tables import ROW_JOB, Jobs, Running
from oracles import limits as naive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

TRES = naive.TRES
FLAGS = {
    "DenyOnLimit": lt.QOS_DENY_ON_LIMIT,
    "EnforceUsageThreshold": lt.QOS_ENFORCE_USAGE_THRESHOLD,
    "NoDecay": lt.QOS_NO_DECAY,
    "OverPartQOS": lt.QOS_OVER_PART_QOS,
    "PartitionMaxNodes": lt.QOS_PARTITION_MAX_NODES,
    "PartitionMinNodes": lt.QOS_PARTITION_MIN_NODES,
    "PartitionTimeLimit": lt.QOS_PARTITION_TIME_LIMIT,
    "RequiresReservation": lt.QOS_NOT_FOR_JOBS,
    "UsageFactorSafe": lt.QOS_USAGE_FACTOR_SAFE,
}


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def jobs_table(rows: list[naive.Job]) -> Jobs:
    """Jobs as the core sees them."""

    def column(values: list[int]) -> Any:
        return np.array(values, np.int64)

    return Jobs(**{name: np.zeros(0, np.int64) for name in Jobs._fields})._replace(
        submit=column([0] * len(rows)),
        limit=column([job.limit_ms for job in rows]),
        procs=column([job.tres["cpu"] for job in rows]),
        extra=np.array([[job.tres[t] for t in TRES[1:-1]] for job in rows], np.int64).reshape(len(rows), len(TRES) - 2),
        pool=column([0] * len(rows)),
        partition=column([job.partition for job in rows]),
        assoc=column([job.assoc for job in rows]),
        qos=column([job.qos for job in rows]),
        static_priority=np.zeros(0),
        billing=column([job.tres["billing"] for job in rows]),
    )


def running_in_one_pool(ids: Sequence[int]) -> Any:
    """The table of running jobs as the core's readers find it."""
    n = len(ids)
    row = np.zeros((n + 1, 3), np.int64)
    row[:n, ROW_JOB] = ids
    return handle(
        Running(
            first=ints(0, n + 1),
            count=ints(n),
            rows=ints(n),
            ordered=ints(n),
            unread=ints(0),
            row=row,
        )
    )


@dataclass
class Pair:
    """One system in both forms, moved in step."""

    tables: LimitTables
    counters: LimitCounters
    world: naive.World
    jobs: list[naive.Job]

    def __post_init__(self) -> None:
        self.L = handle(self.tables)
        self.C = handle(self.counters)
        self.table = handle(jobs_table(self.jobs))

    def running(self) -> Any:
        return running_in_one_pool([self.jobs.index(job) for job in self.world.running])

    def words(self, mask: int) -> list[str]:
        return reasons.words(mask, self.tables.bit_code) if mask else []

    def explained(self, kernel: Any, j: int) -> list[tuple[str, int, str | None, int, int, int]]:
        rows = np.zeros((200, lt.ROW_COLUMNS), np.int64)
        n = kernel(self.L, self.C, self.table, j, rows)
        return [
            (reasons.WORDS[code], place, None if t < 0 else TRES[t], limit, used, asked)
            for code, place, t, limit, used, asked in rows[:n].tolist()
        ]

    def submit(self, j: int) -> None:
        limit_usage.on_submit(self.L, self.C, self.table, j)
        self.world.pending.append(self.jobs[j])

    def start(self, j: int, now: int) -> None:
        limit_usage.on_start(self.L, self.C, self.table, j, now)
        self.world.start(self.jobs[j], now)

    def end(self, j: int, now: int, per_second: float) -> None:
        limit_usage.on_end(self.L, self.C, self.table, j, now, per_second)
        self.world.end(self.jobs[j], now, per_second)

    def cancel(self, j: int) -> None:
        limit_usage.on_cancel_pending(self.L, self.C, self.table, j)
        self.world.pending.remove(self.jobs[j])
        self.jobs[j].ageing_since = -1

    def tick(self, now: int, factor: float, per_second: float) -> None:
        limit_usage.tick(self.L, self.C, self.table, self.running(), now, factor, per_second)
        self.world.tick(now, factor, per_second)


def random_pair(rng: Random, n_jobs: int = 10) -> Pair:
    """A small tree with random limits, most of them tight, some 0, some cleared."""
    n_accounts = rng.randint(1, 3)
    parent = [-1] + [rng.randrange(i) for i in range(1, n_accounts)]
    is_user = [0] * n_accounts
    user_of = list(range(n_accounts))
    account_of = list(range(n_accounts))
    for _ in range(rng.randint(1, 4)):
        above = rng.randrange(n_accounts)
        parent.append(above)
        is_user.append(1)
        user_of.append(10 + rng.randrange(2))
        account_of.append(above)
    n_assoc = len(parent)
    n_qos = rng.randint(0, 3)
    n_parts = rng.randint(1, 2)
    safe = rng.random() < 0.4
    builder = LimitBuilder(
        parent=np.array(parent, np.int64),
        is_user=np.array(is_user, np.int64),
        n_qos=n_qos,
        tres=TRES,
        n_partitions=n_parts,
        user_of=np.array(user_of, np.int64),
        account_of=np.array(account_of, np.int64),
        enforce=lt.ENFORCE_SAFE if safe else lt.ENFORCE_LIMITS,
    )
    density = rng.choice([0.1, 0.3, 0.8])
    limited = rng.sample(TRES, 2)  # with more of them, bits may have to be shared
    assoc_limits = [_limits(rng, ASSOCIATION_LIMITS, limited, density) for _ in range(n_assoc)]
    for i, given in enumerate(assoc_limits):
        for (name, tres), value in given.items():
            builder.association(i, name, _to_builder(name, value), tres)
    qos = []
    for q in range(n_qos):
        entry = naive.Qos(
            limits=_limits(rng, QOS_LIMITS, limited, density),
            flags=frozenset(name for name in FLAGS if rng.random() < (0.05 if name == "RequiresReservation" else 0.2)),
            usage_factor=rng.choice([1.0, 1.0, 0.0, 0.5, 2.0]),
            limit_factor=rng.choice([None, None, 0.5, 2.0]),
            threshold=rng.choice([None, 0.25]),
        )
        qos.append(entry)
        for (name, tres), value in entry.limits.items():
            builder.qos(q, name, _to_builder(name, value), tres)
        builder.qos_flags(q, sum(FLAGS[name] for name in entry.flags))
        builder.qos_factors(q, usage_factor=entry.usage_factor, limit_factor=entry.limit_factor or -1.0)
        if entry.threshold is not None:
            builder.qos_threshold(q, entry.threshold)
    partitions = []
    for p in range(n_parts):
        part = naive.Partition(
            qos=rng.randrange(-1, n_qos),
            max_time_ms=rng.choice([None, None, 60_000]),
            max_nodes=rng.choice([None, None, 1]),
            min_nodes=rng.choice([None, None, 2]),
            state=rng.choice(["UP"] * 6 + ["DOWN", "DRAIN", "INACTIVE"]),
        )
        partitions.append(part)
        builder.partition(
            p,
            qos=part.qos,
            max_time_ms=-1 if part.max_time_ms is None else part.max_time_ms,
            max_nodes=-1 if part.max_nodes is None else part.max_nodes,
            min_nodes=-1 if part.min_nodes is None else part.min_nodes,
            state=part.state,
        )
    jobs = [
        naive.Job(
            assoc=rng.choice([-1, *range(n_assoc), *range(n_accounts, n_assoc)]),
            qos=rng.randrange(-1, n_qos),
            partition=rng.randrange(n_parts),
            limit_ms=rng.choice([1, 30_000, 60_000, 90_500, 600_000]),
            tres={
                "cpu": rng.randint(1, 6),
                "mem": rng.choice([0, 1, 4]),
                "node": rng.randint(0, 2),
                "gres/gpu": rng.choice([0, 0, 2]),
                "billing": rng.choice([0, 500, 3000]),
            },
        )
        for _ in range(n_jobs)
    ]
    tables = builder.build()
    counters = build_counters(tables, n_jobs)
    fairshare = {i: rng.choice([0.0, 0.25, 1.0]) for i in range(n_assoc)}
    counters.fairshare[:] = [fairshare[i] for i in range(n_assoc)]
    world = naive.World(
        parent=parent,
        user_of=user_of,
        account_of=account_of,
        assoc_limits=assoc_limits,
        qos=qos,
        partitions=partitions,
        tres=TRES,
        safe=safe,
        fairshare=fairshare,
    )
    return Pair(tables, counters, world, jobs)


def _limits(
    rng: Random, names: tuple[str, ...], limited: list[str], density: float
) -> dict[tuple[str, str | None], int]:
    found: dict[tuple[str, str | None], int] = {}
    for name in names:
        for tres in limited if "TRES" in name else (None,):
            if rng.random() < density / (2 if tres else 1) and (name, tres) != ("MaxTRESPerNode", "node"):
                found[name, tres] = rng.choice([-1, 0, 1, 2, 3, 5, 8, 20, 100])
    return found


def _to_builder(name: str, value: int) -> int:
    return value * 1000 if name in {"MaxWall", "GrpWall"} and value > 0 else value


__all__ = ["FLAGS", "TRES", "Pair", "ints", "jobs_table", "limits", "random_pair"]
