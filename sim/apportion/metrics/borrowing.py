"""Quota in use, borrowed and lent over time, from the jobs of a run and the quotas of its policy.

A job counts from its start to its end, as does what a stopped job used before, for the nearest account above it with a quota. What
that uses beyond its nominal quota is *borrowed*. Who *lent* it is nowhere written down: it is shared out among the nodes of the same tree
in proportion to what each leaves of its own quota, at most its LendingLimit. Leases are not looked at.

In a federation, jobs that an autonomous center has of its own are not under the broker's quotas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from apportion.metrics.run import Run

Ints = NDArray[int64]
Floats = NDArray[float64]

RESOURCE: Final = "cpu"
ALL: Final = "*"  # the quota for all pools together
ROOT: Final = "root"
EVENTS: Final = 8192  # starts and ends that are worked through at a time
AMOUNTS: Final = ("used", "borrowed", "lent")


@dataclass(frozen=True)
class Node:
    """A cohort or an account; ``nominal`` and ``lendable`` (processors, +inf without limit) by flavour."""

    name: str
    tree: str
    nominal: dict[str, float]
    lendable: dict[str, float]


@dataclass(frozen=True)
class QuotaUse:
    """Means over bins of time.

    ``names`` : of the nodes. ``nominal`` : processors of each, all flavours together. ``edges_s`` : of the bins.
    ``used``, ``borrowed``, ``lent`` (nodes, bins) : processors.
    """

    names: list[str]
    nominal: Floats
    edges_s: Floats
    used: Floats
    borrowed: Floats
    lent: Floats


def quota_use(run: Run, bins: int = 240) -> QuotaUse | None:
    """Follow the processors under quota over the measure window; None where the policy has no quota of processors.

    Where a tree has a quota for all pools together, that one is looked at, else those of single pools and centers, added up.
    """
    begin, end = run.window_s
    nodes, of_account = _nodes(run)
    if not nodes or end <= begin:
        return None
    edges = np.linspace(begin, end, bins + 1)
    index = {node.name: k for k, node in enumerate(nodes)}
    codes, names = run.codes("account")
    owner = np.where(is_counted(run), np.array([index.get(of_account(name), -1) for name in names], int64)[codes], -1)
    row, start, stop, flavor = stretches(run)
    whose = owner[row]
    procs = run.procs[row]
    amounts = {name: np.zeros((len(nodes), bins)) for name in AMOUNTS}
    for tree in dict.fromkeys(node.tree for node in nodes):
        mine = [k for k, node in enumerate(nodes) if node.tree == tree]
        flavors = sorted({name for k in mine for name in (*nodes[k].nominal, *nodes[k].lendable)})
        flavors = [ALL] if ALL in flavors else flavors
        place = np.full(len(nodes) + 1, -1, int64)
        place[mine] = np.arange(len(mine))
        at = place[whose]
        for name in flavors:
            here = at >= 0 if name == ALL else (at >= 0) & (flavor == name)
            nominal = np.array([nodes[k].nominal.get(name, 0.0) for k in mine])
            lendable = np.array([nodes[k].lendable.get(name, np.inf) for k in mine])
            found = _follow(at[here], start[here], stop[here], procs[here], nominal, lendable, edges)
            for key, part in zip(AMOUNTS, found, strict=True):
                amounts[key][mine] += part
    nominal = np.array([sum(_counted(nodes, node).values()) for node in nodes])
    told = (nominal > 0) | amounts["used"].any(axis=1)
    kept = np.flatnonzero(told).tolist()
    return QuotaUse(
        [nodes[k].name for k in kept], nominal[kept], edges, *(amounts[name][kept] / np.diff(edges) for name in AMOUNTS)
    )


def quota_table(run: Run, use: QuotaUse) -> pd.DataFrame:
    """One row a node: ``node``, ``nominal_procs``, ``used_procs`` (mean), ``used_core_h``, ``borrowed_core_h``, ``lent_core_h``."""
    begin, end = run.window_s
    hours = np.diff(use.edges_s) / 3600.0
    amounts = {f"{name}_core_h": (getattr(use, name) * hours).sum(axis=1) for name in AMOUNTS}
    used_procs = amounts["used_core_h"] * 3600.0 / (end - begin)
    return pd.DataFrame({"node": use.names, "nominal_procs": use.nominal, "used_procs": used_procs, **amounts})


def _counted(nodes: list[Node], node: Node) -> dict[str, float]:
    """The quotas of a node that are looked at."""
    has_all = any(ALL in {**other.nominal, **other.lendable} for other in nodes if other.tree == node.tree)
    return {name: procs for name, procs in node.nominal.items() if (name == ALL) == has_all}


def _nodes(run: Run) -> tuple[list[Node], Any]:
    """Nodes of the quotas of processors, and the name of the node whose quota the jobs of an account use ("" for none)."""
    policy = run.manifest.get("policy") or {}
    given = [entry for entry in policy.get("accounts", []) if "FairWeight" in entry]  # those that are nodes have it
    if not given:
        return [], None
    from apportion.policy.sections import AccountEntry, CohortEntry

    cohorts = {entry["Cohort"]: CohortEntry.model_validate(entry) for entry in policy.get("cohorts", [])}
    accounts = {entry["Account"]: AccountEntry.model_validate(entry) for entry in given}
    parent_of = parents(run)

    def node_of(account: str) -> str:
        while account and account not in accounts:
            account = parent_of(account)
        return account

    def top_of(cohort: str) -> str:
        while cohort in cohorts and cohorts[cohort].Parent:
            cohort = cohorts[cohort].Parent
        return f"cohort {cohort}"

    def root_of(name: str) -> str:
        """Name of the tree that a node belongs to; cohorts and accounts may share names."""
        if accounts[name].Cohort:
            return top_of(accounts[name].Cohort)
        outer = node_of(parent_of(name))
        return root_of(outer) if outer else f"account {name}"

    nodes = [_node(name, root_of(name), entry) for name, entry in accounts.items()]
    nodes += [
        _node(f"{name} (cohort)", top_of(name), entry)
        for name, entry in cohorts.items()
        if entry.NominalQuota or entry.LendingLimit
    ]
    governed = {node.tree for node in nodes if node.nominal or node.lendable}
    return [node for node in nodes if node.tree in governed], node_of


def parents(run: Run) -> Callable[[str], str]:
    """Tell what is above an account: what the policy says, else in a federation its center, else root; "" above root."""
    listed = (run.manifest.get("policy") or {}).get("accounts", [])
    above = {str(entry["Account"]): str(entry.get("Parent", "")) for entry in listed}
    is_federation = "federation" in run.manifest

    def parent_of(account: str) -> str:
        if account == ROOT:
            return ""
        center, mark, _ = account.partition("/")
        return above.get(account) or (center if is_federation and mark and account not in above else ROOT)

    return parent_of


def _node(name: str, tree: str, entry: Any) -> Node:
    def procs(counts: dict[str, dict[str, int]]) -> dict[str, float]:
        return {flavor: float(tres[RESOURCE]) for flavor, tres in counts.items() if RESOURCE in tres}

    return Node(name, tree, procs(entry.NominalQuota), procs(entry.LendingLimit))


def is_counted(run: Run) -> NDArray[np.bool_]:
    """Which jobs the quotas are about: in a federation all that the broker bound, and all at managed centers."""
    if "federation" not in run.manifest:
        return np.ones(len(run.jobs), bool)
    managed = [entry["name"] for entry in run.manifest["federation"]["centers"] if entry["mode"] == "managed"]
    return np.isin(run.labels("center"), managed) | ~np.isnan(run.seconds("bound_s"))


def stretches(run: Run) -> tuple[Ints, Floats, Floats, NDArray[Any]]:
    """When jobs held processors: row of the job, begin, end, flavour; the last run of each, and those that were cut short."""
    rows = np.flatnonzero(run.started)
    begin, end = run.start_s[rows], run.stop_s[rows]
    flavors = _flavors(run)
    path = run.folder / "preemptions.parquet"
    if not path.is_file():
        return rows, begin, end, flavors[rows]
    stops = pd.read_parquet(path)
    place = pd.Series(np.arange(len(run.jobs)), index=run.jobs["job_id"])
    again = place.reindex(stops["job_id"]).to_numpy(dtype=float64)
    known = ~np.isnan(again)
    stopped = again[known].astype(int64)
    # a job that was over when it was stopped stands in the table of jobs with that very stretch
    whole = run.start_s[stopped] != stops["start_s"].to_numpy()[known]
    stopped = stopped[whole]
    at = flavors[stopped]
    if "center" in stops.columns:
        elsewhere = stops["center"].astype(str).to_numpy()[known][whole]
        moved = elsewhere != run.labels("center")[stopped]
        at = np.where(moved, elsewhere, at)
    cut = stops[known][whole]
    return (
        np.concatenate([rows, stopped]),
        np.concatenate([begin, cut["start_s"].to_numpy()]),
        np.concatenate([end, cut["time_s"].to_numpy()]),
        np.concatenate([flavors[rows], at]),
    )


def _flavors(run: Run) -> NDArray[Any]:
    """Flavour of each job by the pool that it ran in: that of the pool's name, else that of its center."""
    policy = run.manifest.get("policy") or {}
    named = {
        flavor
        for entry in (*policy.get("accounts", []), *policy.get("cohorts", []))
        for key in ("NominalQuota", "BorrowingLimit", "LendingLimit")
        if isinstance(entry.get(key), dict)
        for flavor in entry[key]
    } - {ALL}
    partition, center = run.labels("partition"), run.labels("center")
    if not named:
        return np.full(len(partition), "", object)
    pool = {entry["PartitionName"]: entry.get("Pool") for entry in policy.get("partitions", [])}
    for entry in (run.manifest.get("scenario") or {}).get("centers", []):
        name = entry["Center"]
        pool |= {
            f"{name}/{p['PartitionName']}": f"{name}/{p['Pool']}" for p in entry.get("partitions", []) if "Pool" in p
        }
    pools = [str(entry.get("name", "")) for entry in run.manifest.get("pools") or []]
    alone = pools[0] if len(pools) == 1 else ""
    lookup = {}
    for one, where in set(zip(partition.tolist(), center.tolist(), strict=True)):
        names = [pool.get(one) or one or alone, one, where]
        lookup[one, where] = next((name for name in names if name in named), "")
    pairs = zip(partition.tolist(), center.tolist(), strict=True)
    return np.array([lookup[pair] for pair in pairs], object)


def _follow(
    node: Ints, start: Floats, stop: Floats, procs: Floats, nominal: Floats, lendable: Floats, edges: Floats
) -> tuple[Floats, Floats, Floats]:
    """Processor-seconds used, borrowed and lent by node and bin; exact, since between two events nothing changes."""
    n_nodes, n_bins = len(nominal), len(edges) - 1
    ends = np.isfinite(stop)
    time = np.concatenate([start, stop[ends], edges])
    who = np.concatenate([node, node[ends], np.zeros(len(edges), int64)])
    change = np.concatenate([procs, -procs[ends], np.zeros(len(edges))])
    order = np.argsort(time, kind="stable")
    time, who, change = np.clip(time[order], edges[0], edges[-1]), who[order], change[order]
    until = np.append(time[1:], time[-1])
    at = np.minimum(np.searchsorted(edges, time, side="right") - 1, n_bins - 1)
    found = [np.zeros((n_bins, n_nodes)) for _ in AMOUNTS]
    level = np.zeros(n_nodes)
    for first in range(0, len(time), EVENTS):
        piece = slice(first, first + EVENTS)
        steps = np.zeros((len(time[piece]), n_nodes))
        steps[np.arange(len(steps)), who[piece]] = change[piece]
        used = level + np.cumsum(steps, axis=0)
        level = used[-1]
        borrowed = np.maximum(used - nominal, 0.0)
        idle = np.minimum(np.maximum(nominal - used, 0.0), lendable)
        room = idle.sum(axis=1)
        part = np.minimum(np.divide(borrowed.sum(axis=1), room, out=np.zeros_like(room), where=room > 0), 1.0)
        length = (until[piece] - time[piece])[:, None]
        for table, amount in zip(found, (used, borrowed, idle * part[:, None]), strict=True):
            np.add.at(table, at[piece], amount * length)
    used, borrowed, lent = (table.T for table in found)
    return used, borrowed, lent
