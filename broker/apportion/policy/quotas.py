"""The quotas of a policy's accounts and cohorts, as a table of the core."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import cohort_tables as ct
from apportion.core.cohort import sum_up
from apportion.core.errors import PolicyError
from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.policy.fields import ALL_FLAVORS, nearest
from apportion.policy.reclaim import KEYS as RECLAIM_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apportion.core.tables import Ints
    from apportion.policy.associations import Tree
    from apportion.policy.model import Policy
    from apportion.policy.sections import AccountEntry, CohortEntry, QuotaKeys

AMOUNTS = ("NominalQuota", "BorrowingLimit", "LendingLimit")
KEYS = (
    *AMOUNTS,
    "FairWeight",
    "LendUntil",
    "Cohort",
    "LendingLease",
    "QueueingStrategy",
    "AdmissionMode",
    "StopPolicy",
    *RECLAIM_KEYS,
)


def has_quota(entry: AccountEntry) -> bool:
    """Whether an account is a node of the quotas."""
    fields = type(entry).model_fields
    return any(getattr(entry, key) != fields[key].default for key in KEYS)


def has_quotas(policy: Policy) -> bool:
    """Whether any account has quotas; cohorts without accounts hold nobody."""
    return any(has_quota(entry) for entry in policy.accounts)


def quotas_mention(policy: Policy) -> set[str]:
    """Names of the TRES that some quota speaks of."""
    return {name for counts in _all_counts(policy) for name in counts[1]}


def flavors_of(policy: Policy) -> tuple[str, ...]:
    """Names of the flavours, sorted: pools, or centers for all their pools together."""
    return tuple(sorted({flavor for flavor, _ in _all_counts(policy)} - {ALL_FLAVORS}))


def flavor_index(flavors: Sequence[str], pool: str) -> int:
    """Flavour of a pool: that of its own name, else that of its center (the pools of a federation are called CENTER/POOL)."""
    for name in (pool, pool.partition("/")[0]):
        if name in flavors:
            return flavors.index(name)
    return ct.ALL_FLAVORS


def build_quotas(
    policy: Policy, tree: Tree, tres: tuple[str, ...], pools: Sequence[str], *, n_jobs: int, origin_ms: int
) -> ct.Quotas:
    """Fill in the table.

    Parameters
    ----------
    tres : tuple of str
        TRES of the core in order: cpu, the extra ones, billing.
    pools : sequence of str
        Names of all pools that a quota may be for.

    Raises
    ------
    PolicyError
        If a quota is for no pool there is, or quotas are too large to be counted.
    """
    flavors = flavors_of(policy)
    known = sorted({*pools, *(pool.partition("/")[0] for pool in pools)})
    for name in flavors:
        if name not in known:
            near = nearest(name, known)
            raise PolicyError(
                f"a quota is for {name}, which is no pool",
                f"did you mean '{near}'?" if near else f"pools are {', '.join(known)}, * is all of them",
            )
    entries, parent, of_assoc = forest(policy, tree)
    resources = sorted(quotas_mention(policy))
    n_cells = (len(flavors) + 1) * len(resources)
    amounts = {
        key: np.full((len(entries), n_cells), 0 if key == "NominalQuota" else ct.UNLIMITED, np.int64) for key in AMOUNTS
    }
    stated = np.zeros((len(entries), n_cells), np.int64)
    for node, entry in enumerate(entries):
        for key in AMOUNTS if entry is not None else ():
            for flavor, counts in getattr(entry, key).items():
                first = 0 if flavor == ALL_FLAVORS else (flavors.index(flavor) + 1) * len(resources)
                for name, amount in counts.items():
                    cell = first + resources.index(name)
                    amounts[key][node, cell] = min(amount * (1000 if name == "billing" else 1), ct.MOST)
                    stated[node, cell] = 1
    if (amounts["NominalQuota"].sum(axis=0) > ct.MOST).any():
        raise PolicyError("the quotas of all accounts and cohorts together are too large to be counted", "lower them")
    table = ct.new_quotas(
        parent,
        amounts["NominalQuota"],
        amounts["BorrowingLimit"],
        amounts["LendingLimit"],
        of_assoc=of_assoc,
        tres=np.array([tres.index(name) for name in resources], np.int64),
        governed=_by_tree(parent, stated),
        strict=np.array([int(getattr(e, "QueueingStrategy", "") == "StrictFIFO") for e in entries], np.int64),
        n_jobs=n_jobs,
    )
    for node, entry in enumerate(entries):
        if entry is not None:
            table.weight[node] = round(entry.FairWeight * ct.UNIT_WEIGHT)
            table.stopped[node] = getattr(entry, "StopPolicy", "None") != "None"
            _lease(table, node, entry, origin_ms)
    sum_up(handle(table))
    return table


def _all_counts(policy: Policy) -> list[tuple[str, dict[str, int]]]:
    entries: tuple[QuotaKeys, ...] = (*policy.accounts, *policy.cohorts)
    return [item for entry in entries for key in AMOUNTS for item in getattr(entry, key).items()]


def forest(policy: Policy, tree: Tree) -> tuple[list[AccountEntry | CohortEntry | None], Ints, Ints]:
    """Nodes, parents first; None for a cohort that is only mentioned. Then the parent of each, and the node of each association."""
    cohorts = {entry.Cohort: entry for entry in policy.cohorts}
    above = {name: entry.Parent for name, entry in cohorts.items()}
    for name in [*(entry.Parent for entry in policy.cohorts), *(entry.Cohort for entry in policy.accounts)]:
        above.setdefault(name, "")
    above.pop("", None)

    def depth(name: str) -> int:
        return 1 + depth(above[name]) if above[name] else 0

    order = sorted(above, key=depth)  # stable: among equals as in the policy
    place = {name: node for node, name in enumerate(order)}
    nodes: list[AccountEntry | CohortEntry | None] = [cohorts.get(name) for name in order]
    parent = [place.get(above[name], -1) for name in order]
    accounts = {tree.index[entry.Account, ""]: entry for entry in policy.accounts if has_quota(entry)}
    of_assoc = np.full(len(tree.account_name), -1, np.int64)
    for row, over in enumerate(tree.accounts.parent.tolist()):
        outer = int(of_assoc[over]) if over >= 0 else -1
        of_assoc[row] = outer
        if row in accounts:
            of_assoc[row] = len(nodes)
            nodes.append(accounts[row])
            parent.append(place.get(accounts[row].Cohort, outer))
    return nodes, np.array(parent, np.int64), of_assoc


def _by_tree(parent: Ints, stated: Ints) -> Ints:
    """1 at all nodes of a tree for each cell that any of its nodes states."""
    root = np.arange(len(parent))
    for node, above in enumerate(parent.tolist()):
        if above >= 0:
            root[node] = root[above]
    found = np.zeros_like(stated)
    np.maximum.at(found, root, stated)
    return np.ascontiguousarray(found[root])


def _lease(table: ct.Quotas, node: int, entry: AccountEntry | CohortEntry, origin_ms: int) -> None:
    if entry.LendUntil is not None:
        table.lease_end[node] = entry.LendUntil.seconds * 1000 + (origin_ms if entry.LendUntil.from_origin else 0)
    length = getattr(entry, "LendingLease", None)
    if length:
        table.lease_length[node] = length * 1000
        table.lease_next[node] = origin_ms + length * 1000
    table.turn[0] = min(table.turn[0], table.lease_end[node], table.lease_next[node], NEVER)


def lonely_cohorts(policy: Policy) -> list[tuple[str, str]]:
    """Cohorts that are not listed and that only one account mentions, and that account: perhaps their names are misspelt."""
    mentions = Counter(entry.Cohort for entry in policy.accounts)
    mentions.update(entry.Parent for entry in policy.cohorts)
    listed = {entry.Cohort for entry in policy.cohorts} | {""}
    return [
        (entry.Cohort, entry.Account)
        for entry in policy.accounts
        if mentions[entry.Cohort] == 1 and entry.Cohort not in listed
    ]


def promised(policy: Policy) -> Iterator[tuple[str, str, int, int]]:
    """Where all quotas together are more than the policy says there is: pool ("" for all), TRES, quotas, capacity."""
    sizes = {entry.pool: entry.capacity for entry in policy.partitions if entry.capacity}
    for flavor in (ALL_FLAVORS, *flavors_of(policy)):
        pools = [size for name, size in sizes.items() if flavor in (ALL_FLAVORS, name, name.partition("/")[0])]
        if flavor == ALL_FLAVORS and not pools:
            pools = [policy.TRES]
        total: Counter[str] = Counter()
        for entry in (*policy.accounts, *policy.cohorts):
            total.update(entry.NominalQuota.get(flavor, {}))
        for name, quota in sorted(total.items()):
            if pools and all(name in size for size in pools) and quota > sum(size[name] for size in pools):
                where = "" if flavor == ALL_FLAVORS else f" in {flavor}"
                yield where, name, quota, sum(size[name] for size in pools)
