"""Which QOS, partition and account each job gets: the trace's own, unless a rule of the policy says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from apportion.core.errors import PolicyError
from apportion.policy.sections import PartitionEntry
from apportion.policy.workload import Labels

if TYPE_CHECKING:
    from apportion.core.tables import Ints
    from apportion.policy.model import Policy
    from apportion.policy.sections import AssignMatch
    from apportion.policy.workload import Submissions

# What jobs in no partition (-1) have of partitions: what is so where nothing is said.
NOWHERE = PartitionEntry(PartitionName="none")


@dataclass(frozen=True)
class Assigned:
    """What jobs run as.

    ``partition`` : index into the policy's partitions, 0 if it has none; -1 for a job of a federation that is in none.
    ``nice`` : taken off the priority, 0 where no rule gives one. ``constraint`` : feature or type of GPU that its nodes must have.
    """

    account: Labels
    qos: Labels
    partition: Ints
    nice: Ints
    constraint: Labels


def assign(policy: Policy, jobs: Submissions) -> Assigned:
    """Apply the ``assign`` rules (first match wins), then the defaults.

    Raises
    ------
    PolicyError
        If a rule names a partition that the policy does not have.
    """
    account, qos = jobs.account, jobs.qos
    target = np.full(len(jobs), -1, np.int64)
    nice = np.zeros(len(jobs), np.int64)
    constraint = Labels.none(len(jobs))
    names = [entry.PartitionName for entry in policy.partitions]
    open_jobs = np.ones(len(jobs), bool)
    for rule in policy.assign:
        hit = open_jobs & _matches(rule.Match, jobs)
        open_jobs &= ~hit
        if rule.Set.QOS:
            qos = _relabel(qos, hit, rule.Set.QOS)
        if rule.Set.Account:
            account = _relabel(account, hit, rule.Set.Account)
        if rule.Set.Constraint:
            constraint = _relabel(constraint, hit, rule.Set.Constraint)
        if rule.Set.Nice is not None:
            nice[hit] = rule.Set.Nice
        if rule.Set.Partition:
            if rule.Set.Partition not in names:
                raise PolicyError(
                    f"an assign rule names the partition {rule.Set.Partition}, which the policy does not have"
                )
            target[hit] = names.index(rule.Set.Partition)
    if names:
        for labels in (jobs.partition, jobs.queue):
            for index, entry in enumerate(policy.partitions):
                target[(target < 0) & _among(labels, entry.labels)] = index
        default = next((i for i, entry in enumerate(policy.partitions) if entry.Default), 0)
        target[target < 0] = default
    else:
        target[:] = 0
    return Assigned(account, _default_qos(policy, jobs, account, qos), target, nice, constraint)


def default_times(policy: Policy, jobs: Submissions) -> Ints:
    """Time limit (ms) of each job if it asks for none: DefaultTime, else MaxTime, of its partition, else as it is."""
    if all(entry.DefaultTime is None and entry.MaxTime is None for entry in policy.partitions):
        return jobs.limit_ms
    seconds = [entry.MaxTime if entry.DefaultTime is None else entry.DefaultTime for entry in policy.partitions]
    default_ms = np.array([-1 if s is None else s * 1000 for s in seconds], np.int64)[assign(policy, jobs).partition]
    return np.where(default_ms > 0, default_ms, jobs.limit_ms)


def _among(labels: Labels, wanted: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    lookup = np.array([*(name in wanted for name in labels.names), False])
    return lookup[labels.codes]


def _matches(match: AssignMatch, jobs: Submissions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    hit = np.ones(len(jobs), bool)
    for labels, wanted in (
        (jobs.queue, match.Queue),
        (jobs.partition, match.Partition),
        (jobs.user, match.User),
        (jobs.account, match.Account),
        (jobs.group, match.Group),
    ):
        if wanted:
            hit &= _among(labels, wanted)
    if match.ProcsMin is not None:
        hit &= jobs.procs >= match.ProcsMin
    if match.ProcsMax is not None:
        hit &= jobs.procs <= match.ProcsMax
    if match.LimitMin is not None:
        hit &= jobs.limit_ms >= match.LimitMin * 1000
    if match.LimitMax is not None:
        hit &= jobs.limit_ms <= match.LimitMax * 1000
    return hit


def _relabel(labels: Labels, hit: np.ndarray[tuple[int], np.dtype[np.bool_]], name: str) -> Labels:
    if name not in labels.names:
        labels = replace(labels, names=(*labels.names, name))
    return replace(labels, codes=np.where(hit, labels.names.index(name), labels.codes))


def _default_qos(policy: Policy, jobs: Submissions, account: Labels, qos: Labels) -> Labels:
    """QOS of jobs that have none: their user's, else their account's, else the policy's default."""
    for entry in policy.users:
        if entry.DefaultQOS:
            of_user = _among(jobs.user, (entry.User,)) & _among(account, (entry.Account,))
            qos = _relabel(qos, (qos.codes < 0) & of_user, entry.DefaultQOS)
    for owner in policy.accounts:
        if owner.DefaultQOS:
            qos = _relabel(qos, (qos.codes < 0) & _among(account, (owner.Account,)), owner.DefaultQOS)
    if policy.DefaultQOS:
        qos = _relabel(qos, qos.codes < 0, policy.DefaultQOS)
    return qos
