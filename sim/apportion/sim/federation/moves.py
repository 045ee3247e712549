"""Which jobs may move, what bars them from where, and what data they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import federation_tables as tables
from apportion.policy.assign import assign
from apportion.policy.nodes import has, usable
from apportion.policy.workload import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.core.tables import Ints
    from apportion.policy.model import Policy
    from apportion.sim.federation.workload import FederationWorkload
    from apportion.sim.scenario import JobMatch, Scenario


@dataclass(frozen=True)
class Moves:
    """What the scenario says of each job.

    Attributes
    ----------
    movable : bool[n]
    group : int64[n]
        Jobs that are barred from the same targets have the same number.
    groups : tuple of (account, dataset, constraint)
        What the jobs of each group have in common; dataset and constraint are indices, -1 none.
    dataset : int64[n]
        Index of the dataset that each job needs, -1 none.
    constraint : Labels
        Feature or type of GPU that the nodes of each job must have, by the rules of its home.
    dice : int64[n]
        A random number below 2^32 for each job, from the scenario's seed.
    data_ms : int64[n_datasets, n_centers]
        Time to bring each dataset to each center when nothing else is under way, 0 if it is there, -1 if there is no route.
    """

    movable: NDArray[np.bool_]
    group: Ints
    groups: tuple[tuple[str, int, int], ...]
    dataset: Ints
    constraint: Labels
    dice: Ints
    data_ms: Ints

    def barred(self, scenario: Scenario, targets: list[tuple[str, str]]) -> Ints:
        """Reason code, by group and target, why jobs of a group can never run there; 0 if they can."""
        table = np.zeros((max(len(self.groups), 1), len(targets)), np.int64)
        by_name = {entry.Center: entry for entry in scenario.centers}
        for g, (account, dataset, feature) in enumerate(self.groups):
            home, _, plain = account.partition("/")
            residency = scenario.datasets[dataset].Residency if dataset >= 0 else ()
            for t, (name, partition) in enumerate(targets):
                center = by_name[name]
                if center.Drain:
                    table[g, t] = tables.DRAINED
                elif account in center.Veto or plain in center.Veto:
                    table[g, t] = tables.VETO
                elif (
                    center.Accounts and name != home and account not in center.Accounts and plain not in center.Accounts
                ):
                    table[g, t] = tables.NO_ACCESS
                elif residency and name not in residency:
                    table[g, t] = tables.RESIDENCY
                elif feature >= 0 and not _offers(scenario.policy_of(name), partition, self.constraint.names[feature]):
                    table[g, t] = tables.WRONG_GPU
        return table


def moves_of(scenario: Scenario, workload: FederationWorkload, data_ms: Ints) -> Moves:
    """Apply the rules of a scenario to its jobs; what is drawn comes from its seed."""
    n = len(workload)
    random = np.random.default_rng(scenario.Seed)
    dice = random.integers(0, 2**32, n, dtype=np.int64)
    user_names = list(workload.jobs.user.names)
    draw = dict(zip(sorted(user_names), random.random(len(user_names)).tolist(), strict=True))
    of_user = np.array([*(draw[name] for name in user_names), 0.0])[workload.jobs.user.codes]
    of_job = dice / 2**32
    movable = np.zeros(n, bool)
    open_jobs = np.ones(n, bool)
    for rule in scenario.moves:
        hit = open_jobs & matching(rule.Match, workload)
        open_jobs &= ~hit
        movable |= hit & ((of_user if rule.By == "user" else of_job) < rule.Fraction)
    dataset = np.full(n, -1, np.int64)
    for k, entry in enumerate(scenario.datasets):
        dataset[(dataset < 0) & matching(entry.Match, workload)] = k
    account, constraint = workload.jobs.account, _constraints(scenario, workload)
    # What a job has as one number, in the order of account, dataset and constraint: rows of three would be compared one by one.
    widths = len(scenario.datasets) + 1, len(constraint.names) + 1
    kinds = ((account.codes + 1) * widths[0] + dataset + 1) * widths[1] + constraint.codes + 1
    _, example, group = np.unique(kinds, return_index=True, return_inverse=True)
    names = [*account.names, ""]
    return Moves(
        movable=movable,
        group=group.astype(np.int64),
        groups=tuple(
            (names[account.codes[job]], int(dataset[job]), int(constraint.codes[job])) for job in example.tolist()
        ),
        dataset=dataset,
        constraint=constraint,
        dice=dice,
        data_ms=data_ms,
    )


def _constraints(scenario: Scenario, workload: FederationWorkload) -> Labels:
    """What each job asks of nodes by the policy of its home."""
    names: dict[str, int] = {}
    codes = np.full(len(workload), -1, np.int64)
    for k, entry in enumerate(scenario.centers):
        policy = scenario.policy_of(entry.Center)
        if any(rule.Set.Constraint for rule in policy.assign):
            found = assign(policy, workload.parts[k].jobs).constraint
            number = np.array([*(names.setdefault(name, len(names)) for name in found.names), -1], np.int64)
            mine = np.flatnonzero(workload.home == k)
            codes[mine] = number[found.codes][workload.row[mine]]
    return Labels(codes, tuple(names))


def _offers(policy: Policy, partition: str, constraint: str) -> bool:
    """Whether a partition has nodes with a feature; one that is a count has none."""
    pool = next((entry.pool for entry in policy.partitions if entry.PartitionName == partition), "")
    return policy.SelectType is not None and any(has(entry, constraint) for entry in usable(policy, pool or "machine"))


def matching(match: JobMatch, workload: FederationWorkload) -> NDArray[np.bool_]:
    """Jobs that a rule speaks of; a name counts with or without its center before it."""
    jobs = workload.jobs
    hit = np.ones(len(workload), bool)
    if match.Center:
        wanted = [k for k, name in enumerate(workload.centers) if name in match.Center]
        hit &= np.isin(workload.home, wanted)
    for names, labels in ((match.User, jobs.user), (match.Account, jobs.account), (match.QOS, jobs.qos)):
        if names:
            known = [k for k, name in enumerate(labels.names) if name in names or name.partition("/")[2] in names]
            hit &= np.isin(labels.codes, known)
    if match.ProcsMin is not None:
        hit &= jobs.procs >= match.ProcsMin
    if match.ProcsMax is not None:
        hit &= jobs.procs <= match.ProcsMax
    if match.LimitMin is not None:
        hit &= jobs.limit_ms >= match.LimitMin * 1000
    if match.LimitMax is not None:
        hit &= jobs.limit_ms <= match.LimitMax * 1000
    return hit
