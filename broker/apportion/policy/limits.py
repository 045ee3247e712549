"""The limits of a policy's associations, QOS and partitions, handed to the core's builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import limit_tables as lt
from apportion.core.errors import PolicyError
from apportion.core.limit_build import ASSOCIATION_LIMITS, QOS_LIMITS, LimitBuilder
from apportion.policy.budgets import has_budgets
from apportion.policy.pools import UNBOUNDED
from apportion.policy.quotas import has_quotas
from apportion.policy.structure import RELATIVE

if TYPE_CHECKING:
    from apportion.core.limit_tables import LimitTables
    from apportion.policy.associations import Tree
    from apportion.policy.model import Policy
    from apportion.policy.pools import PoolPlan
    from apportion.policy.sections import Association, QosEntry

_ENFORCE = {
    "associations": lt.ENFORCE_ASSOCIATIONS,
    "limits": lt.ENFORCE_LIMITS,
    "qos": lt.ENFORCE_QOS,
    "safe": lt.ENFORCE_SAFE,
}
_FLAGS = {
    "DenyOnLimit": lt.QOS_DENY_ON_LIMIT,
    "EnforceUsageThreshold": lt.QOS_ENFORCE_USAGE_THRESHOLD,
    "NoDecay": lt.QOS_NO_DECAY,
    "NoReserve": lt.QOS_NO_RESERVE,
    "OverPartQOS": lt.QOS_OVER_PART_QOS,
    "PartitionMaxNodes": lt.QOS_PARTITION_MAX_NODES,
    "PartitionMinNodes": lt.QOS_PARTITION_MIN_NODES,
    "PartitionTimeLimit": lt.QOS_PARTITION_TIME_LIMIT,
    "RequiresReservation": lt.QOS_NOT_FOR_JOBS,
    "UsageFactorSafe": lt.QOS_USAGE_FACTOR_SAFE,
}
_WALL = ("GrpWall", "MaxWall")  # seconds in a policy, ms in the core
_ACCRUE = ("GrpJobsAccrue", "MaxJobsAccrue", "MaxJobsAccruePU", "MaxJobsAccruePA")


def limits_mention(policy: Policy) -> set[str]:
    """Names of the TRES that some limit speaks of."""
    found: set[str] = set()
    for entry in (*policy.accounts, *policy.users, *policy.qos):
        for name in (*ASSOCIATION_LIMITS, *QOS_LIMITS):
            value = getattr(entry, name, None)
            if isinstance(value, dict):
                found |= set(value)
    return found


def build_limits(policy: Policy, tree: Tree, tres: tuple[str, ...], plan: PoolPlan) -> LimitTables:
    """Fill in the tables.

    Parameters
    ----------
    tres : tuple of str
        TRES of the core in order: cpu, the extra ones, billing.
    plan : PoolPlan
        What there is, for limits in percent.

    Raises
    ------
    PolicyError
        If a limit in percent is of something of which nobody says how much there is.
    """
    qos_index = {entry.Name: k for k, entry in enumerate(policy.qos)}
    enforce = 0
    for word in policy.enforce:
        enforce |= _ENFORCE[word]
    builder = LimitBuilder(
        parent=tree.accounts.parent,
        is_user=tree.accounts.is_user,
        n_qos=len(policy.qos),
        tres=tres,
        n_partitions=max(len(policy.partitions), 1),
        user_of=tree.user_of,
        account_of=tree.account_of,
        enforce=enforce,
        with_quotas=has_quotas(policy) or has_budgets(policy),
    )
    ignored = _ACCRUE if "ACCRUE_ALWAYS" in policy.PriorityFlags else ()
    for account in policy.accounts:
        _association(builder, tree.index[account.Account, ""], account, ignored)
    for user in policy.users:
        _association(builder, tree.index[user.Account, user.User], user, ignored)
    for k, entry in enumerate(policy.qos):
        total = _whole(policy, entry, tres, plan) if "Relative" in entry.Flags else {}
        _qos(builder, k, entry, ignored, total)
        builder.qos_flags(k, _flags(policy, entry))
    for k, partition in enumerate(policy.partitions):
        builder.partition(
            k,
            qos=qos_index[partition.QOS] if partition.QOS else -1,
            max_time_ms=-1 if partition.MaxTime is None else partition.MaxTime * 1000,
            max_nodes=-1 if partition.MaxNodes is None else partition.MaxNodes,
            min_nodes=-1 if partition.MinNodes is None else partition.MinNodes,
            state=partition.State,
        )
    bound_ms = -1 if policy.MaxWait is None else policy.MaxWait * 1000
    builder.default_wait(bound_ms, round(policy.MaxWaitReserveAt * 1000))
    return builder.build()


def _whole(policy: Policy, entry: QosEntry, tres: tuple[str, ...], plan: PoolPlan) -> dict[str, int]:
    """How much there is of each TRES: in the partition whose QOS it is, else in all pools."""
    pools = [plan.of_partition[k] for k, partition in enumerate(policy.partitions) if entry.Name == partition.QOS]
    capacity = plan.capacity[pools or range(len(plan.capacity))]
    return {
        name: int(column.sum())
        for name, column in zip(tres[:-1], capacity.T, strict=True)
        if (column < UNBOUNDED).all()
    }


def _association(builder: LimitBuilder, row: int, entry: Association, ignored: tuple[str, ...]) -> None:
    for name in (*ASSOCIATION_LIMITS, "MinPrioThreshold"):
        for tres, value in _values(entry, name) if name not in ignored else ():
            builder.association(row, name, value, tres)


def _qos(builder: LimitBuilder, row: int, entry: QosEntry, ignored: tuple[str, ...], total: dict[str, int]) -> None:
    for name in (*QOS_LIMITS, "MinPrioThreshold"):
        for tres, value in _values(entry, name) if name not in ignored else ():
            limit = value
            if "Relative" in entry.Flags and name in RELATIVE and tres is not None:
                if tres not in total:
                    raise PolicyError(
                        f"{name} of the QOS {entry.Name} is a part of the {tres} there is, which nothing says",
                        f"state {tres} in TRES, or drop the flag Relative",
                    )
                limit = total[tres] * value // 100
            builder.qos(row, name, limit, tres)
    builder.qos_factors(
        row, usage_factor=entry.UsageFactor, limit_factor=-1.0 if entry.LimitFactor is None else entry.LimitFactor
    )
    if entry.UsageThreshold is not None:
        builder.qos_threshold(row, entry.UsageThreshold)
    if entry.MaxWait is not None:
        part = -1 if entry.MaxWaitReserveAt is None else round(entry.MaxWaitReserveAt * 1000)
        builder.qos_max_wait(row, entry.MaxWait * 1000, part)


def _flags(policy: Policy, entry: QosEntry) -> int:
    flags = 0
    for flag in entry.Flags:
        flags |= _FLAGS.get(flag, 0)
    if "Relative" in entry.Flags and any(entry.Name == partition.QOS for partition in policy.partitions):
        flags |= lt.QOS_NOT_FOR_JOBS
    return flags


def _values(entry: Association | QosEntry, name: str) -> list[tuple[str | None, int]]:
    value = getattr(entry, name, None)
    if value is None:
        return []
    if isinstance(value, dict):
        return list(value.items())
    return [(None, value * 1000 if name in _WALL else value)]
