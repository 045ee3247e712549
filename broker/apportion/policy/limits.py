"""The limits of a policy's associations, QOS and partitions, handed to the core's builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import limit_tables as lt
from apportion.core.limit_build import ASSOCIATION_LIMITS, QOS_LIMITS, LimitBuilder

if TYPE_CHECKING:
    from apportion.core.limit_tables import LimitTables
    from apportion.policy.associations import Tree
    from apportion.policy.model import Association, Policy, QosEntry

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
    "RequiresReservation": lt.QOS_REQUIRES_RESERVATION,
    "UsageFactorSafe": lt.QOS_USAGE_FACTOR_SAFE,
}
_WALL = ("GrpWall", "MaxWall")  # seconds in a policy, ms in the core


def limits_mention(policy: Policy) -> set[str]:
    """Names of the TRES that some limit speaks of."""
    found: set[str] = set()
    for entry in (*policy.accounts, *policy.users, *policy.qos):
        for name in (*ASSOCIATION_LIMITS, *QOS_LIMITS):
            value = getattr(entry, name, None)
            if isinstance(value, dict):
                found |= set(value)
    return found


def build_limits(policy: Policy, tree: Tree, tres: tuple[str, ...]) -> LimitTables:
    """Fill in the tables.

    Parameters
    ----------
    tres : tuple of str
        TRES of the core in order: cpu, the extra ones, billing.
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
    )
    for account in policy.accounts:
        _association(builder, tree.index[account.Account, ""], account)
    for user in policy.users:
        _association(builder, tree.index[user.Account, user.User], user)
    for k, entry in enumerate(policy.qos):
        _qos(builder, k, entry)
    for k, partition in enumerate(policy.partitions):
        builder.partition(
            k,
            qos=qos_index[partition.QOS] if partition.QOS else -1,
            max_time_ms=-1 if partition.MaxTime is None else partition.MaxTime * 1000,
            max_nodes=-1 if partition.MaxNodes is None else partition.MaxNodes,
            min_nodes=-1 if partition.MinNodes is None else partition.MinNodes,
        )
    bound_ms = -1 if policy.MaxWait is None else policy.MaxWait * 1000
    builder.default_wait(bound_ms, round(policy.MaxWaitReserveAt * 1000))
    return builder.build()


def _association(builder: LimitBuilder, row: int, entry: Association) -> None:
    for name in (*ASSOCIATION_LIMITS, "MinPrioThreshold"):
        for tres, value in _values(entry, name):
            builder.association(row, name, value, tres)


def _qos(builder: LimitBuilder, row: int, entry: QosEntry) -> None:
    for name in (*QOS_LIMITS, "MinPrioThreshold"):
        for tres, value in _values(entry, name):
            builder.qos(row, name, value, tres)
    flags = 0
    for flag in entry.Flags:
        flags |= _FLAGS.get(flag, 0)
    builder.qos_flags(row, flags)
    builder.qos_factors(
        row, usage_factor=entry.UsageFactor, limit_factor=-1.0 if entry.LimitFactor is None else entry.LimitFactor
    )
    if entry.UsageThreshold is not None:
        builder.qos_threshold(row, entry.UsageThreshold)
    if entry.MaxWait is not None:
        part = -1 if entry.MaxWaitReserveAt is None else round(entry.MaxWaitReserveAt * 1000)
        builder.qos_max_wait(row, entry.MaxWait * 1000, part)


def _values(entry: Association | QosEntry, name: str) -> list[tuple[str | None, int]]:
    value = getattr(entry, name, None)
    if value is None:
        return []
    if isinstance(value, dict):
        return list(value.items())
    return [(None, value * 1000 if name in _WALL else value)]
