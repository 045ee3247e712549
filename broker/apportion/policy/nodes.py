"""Nodes of a policy as tables of the core, and how jobs of a trace are shaped for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core import node_tables as tables
from apportion.core.errors import PolicyError
from apportion.core.node_sets import WORD
from apportion.core.node_tables import Holdings, NodeCounts, NodeRows, Nodes, Shapes, WindowSets
from apportion.policy.assign import NOWHERE
from apportion.policy.hostlist import expand
from apportion.policy.model import MEMORY_COUNTS, PLACEMENTS

if TYPE_CHECKING:
    from apportion.core.tables import Ints
    from apportion.policy.assign import Assigned
    from apportion.policy.model import Policy
    from apportion.policy.sections import NodeEntry
    from apportion.policy.workload import Submissions

_PLACEMENT = {
    "FirstFit": tables.FIRST_FIT,
    "BestFit": tables.BEST_FIT,
    "CR_LLN": tables.LEAST_LOADED,
    "LeastFragmentation": tables.LEAST_FRAGMENTATION,
}
MAX_KINDS = 62  # bits of a mask


def placement_of(policy: Policy) -> int:
    """Code of the placement; 0 where pools are counts only."""
    if policy.SelectType is None:
        return tables.POOLED
    named = [word for word in policy.SelectTypeParameters if word in PLACEMENTS]
    return _PLACEMENT[named[0] if named else "BestFit"]


def counts_memory(policy: Policy) -> bool:
    """Whether jobs are given memory of nodes."""
    return any(word in MEMORY_COUNTS for word in policy.SelectTypeParameters)


def usable(policy: Policy, pool: str) -> list[NodeEntry]:
    """Kinds of nodes of a pool that are there, in the order in which they are used; "" or machine for the pool of the whole machine."""
    wanted = "" if pool == "machine" else pool
    found = [entry for entry in policy.nodes if entry.Pool == wanted and entry.State == "UNKNOWN"]
    return sorted(found, key=lambda entry: entry.Weight)


def has(entry: NodeEntry, constraint: str) -> bool:
    """Whether nodes have a feature, or a GPU of a type."""
    return constraint in entry.Features or entry.gpus.get(constraint, 0) > 0


def capacity(policy: Policy, pool: str) -> dict[str, int]:
    """What the nodes of a pool have in sum, by TRES."""
    total = {"cpu": 0, "node": 0, "gres/gpu": 0}
    if counts_memory(policy):
        total["mem"] = 0
    for entry in usable(policy, pool):
        n = len(expand(entry.NodeName))
        amounts = {"cpu": entry.CPUs, "node": 1, "gres/gpu": sum(entry.gpus.values()), "mem": entry.RealMemory or 0}
        for name in total:
            total[name] += n * amounts[name]
    return total


def processors(policy: Policy) -> int | None:
    """Processors of all nodes that are there; None where the policy lists none."""
    if policy.SelectType is None:
        return None
    return sum(entry.CPUs * len(expand(entry.NodeName)) for entry in policy.nodes if entry.State == "UNKNOWN")


def node_names(policy: Policy, pools: tuple[str, ...]) -> tuple[str, ...]:
    """Name of each node, by index."""
    return tuple(
        name
        for pool in (pools if policy.SelectType else ())
        for entry in usable(policy, pool)
        for name in expand(entry.NodeName)
    )


def build_nodes(
    policy: Policy,
    jobs: Submissions,
    assigned: Assigned,
    pools: tuple[str, ...],
    *,
    n_extra: int,
    stops: int,
    steps: int,
    keeps: bool,
) -> Nodes:
    """Lay out the nodes and the shapes of jobs.

    A job with a number of nodes has as many slices, each on a node of its own. Else one that asks for GPUs has a slice for each GPU, and any
    other a slice for each processor. Processors, memory and GPUs are split evenly; a node must have room for the larger parts.

    Parameters
    ----------
    pools : tuple of str
        Pools by index.
    n_extra : int
        TRES beside cpu that pools count.
    stops : int
        How often jobs may be stopped, and start again.
    steps : int
        Steps of the profiles of all pools. Memory for nodes in each of them is asked for, and only used as far as they are.
    keeps : bool
        Whether jobs may be suspended, and come back to their nodes.
    """
    if policy.SelectType is None:
        return tables.no_nodes()
    entries = [(entry, p) for p, pool in enumerate(pools) for entry in usable(policy, pool)]
    if len(entries) > MAX_KINDS:
        raise PolicyError(f"there are {len(entries)} kinds of nodes", f"merge some; there may be {MAX_KINDS}")
    count = np.array([len(expand(entry.NodeName)) for entry, _ in entries], np.int64)
    kind = np.repeat(np.arange(len(entries)), count)
    n = len(kind)

    def each(values: list[int]) -> Ints:
        return np.array(values, np.int64)[kind]

    memory = counts_memory(policy)
    states = np.concatenate([[0], np.cumsum([entry.CPUs + 2 for entry, _ in entries])]).astype(np.int64)
    alike = np.zeros(states[-1], np.int64)
    alike[states[1:] - 1] = count
    size = NodeCounts(
        procs=each([entry.CPUs for entry, _ in entries]),
        mem=each([(entry.RealMemory or 0) if memory else 0 for entry, _ in entries]),
        gpus=each([sum(entry.gpus.values()) for entry, _ in entries]),
        jobs=np.zeros(n, np.int64),
        state=(states[1:] - 1)[kind],
        alike=alike,
    )
    of_kind = np.array([p for _, p in entries], np.int64)
    n_pools = len(pools)
    shapes = _shapes(policy, jobs, assigned, [entry for entry, _ in entries])
    first = np.searchsorted(of_kind[kind], np.arange(n_pools + 1)).astype(np.int64)
    widest = int(np.diff(first).max(initial=0))
    with_sets = policy.Backfill == "conservative" or bool(shapes.whole.all())
    words = -(-widest // WORD) if with_sets else 0
    on_nodes = int(np.minimum(shapes.slices, widest).sum())  # cells of all jobs at a time
    cells = int(size.procs.sum() + size.gpus.sum()) + 1 + on_nodes * ((steps > 0) + keeps)
    following = np.arange(1, cells + 1)
    following[-1:] = -1

    def zeros(length: int) -> Ints:
        return np.zeros(length, np.int64)

    return Nodes(
        first=first,
        kind=kind.astype(np.int64),
        kinds=np.searchsorted(of_kind, np.arange(n_pools + 1)).astype(np.int64),
        first_of=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        weight=np.array([entry.Weight for entry, _ in entries], np.int64),
        states=states,
        alone=np.full(1, int(shapes.whole.all()), np.int64),
        size=size,
        free=NodeCounts(*(column.copy() for column in size)),
        later=NodeCounts(*(column.copy() for column in size)),
        trial=NodeCounts(*(column.copy() for column in size)),
        tried=zeros(1),
        rows=NodeRows(
            procs=np.zeros((steps, widest), np.int64),
            mem=np.zeros((steps, widest if size.mem.any() else 0), np.int64),
            gpus=np.zeros((steps, widest if size.gpus.any() else 0), np.int64),
            jobs=np.zeros((steps, widest), np.int64),
            some=np.zeros((steps, words), np.int64),
            idle=np.zeros((steps, words), np.int64),
        ),
        window=NodeCounts(*(column.copy() for column in size)),
        sets=WindowSets(*(zeros(words) for _ in WindowSets._fields)),
        later_procs=zeros(n_pools),
        later_extra=np.zeros((n_pools, n_extra), np.int64),
        shapes=shapes,
        held=Holdings(
            first=np.full(len(jobs), -1, np.int64),
            next=following,
            node=zeros(cells),
            share=zeros(cells),
            procs=zeros(cells),
            mem=zeros(cells),
            gpus=zeros(cells),
            vacant=zeros(1),
            kept=np.full(len(jobs) if keeps else 0, -1, np.int64),
        ),
        order=zeros(n),
        room=zeros(n),
        bucket=zeros(int(size.procs.max(initial=0)) + 2),
        fit=zeros(len(alike)),
        chosen=zeros(n),
        share=zeros(n),
        procs=zeros(n),
        mem=zeros(n),
        gpus=zeros(n),
        choice=np.full(2, -1, np.int64),
        down=zeros(n),
        log=zeros(2 * (len(jobs) + stops)),
        logged=zeros(1),
        placed=zeros(on_nodes * (5 if stops else 1) if steps or keeps else 0),
        placed_n=zeros(1),
        blocked=zeros(n_pools),
        lost=zeros(n_pools),
        since=zeros(1),
    )


def _shapes(policy: Policy, jobs: Submissions, assigned: Assigned, entries: list[NodeEntry]) -> Shapes:
    nothing = np.zeros(len(jobs), np.int64)

    def asked(tres: str) -> Ints:
        return np.maximum(jobs.resources.get(tres, nothing), 0)

    procs, gpus, on = jobs.procs, asked("gres/gpu"), asked("node")
    mem = asked("mem") if counts_memory(policy) else nothing
    slices = np.where(on > 0, on, np.where(gpus > 0, gpus, procs))
    exclusive = [entry.OverSubscribe == "EXCLUSIVE" for entry in (*policy.partitions, NOWHERE)]
    whole = np.array(exclusive)[assigned.partition] | (policy.SelectType == "select/linear")
    every = (1 << len(entries)) - 1
    masks = [sum(1 << k for k, entry in enumerate(entries) if has(entry, name)) for name in assigned.constraint.names]
    return Shapes(
        slices=slices,
        procs=np.maximum(-(-procs // slices), 1),
        mem=-(-mem // slices),
        gpus=-(-gpus // slices),
        all_procs=np.maximum(procs, on),
        all_mem=mem,
        all_gpus=gpus,
        apart=(on > 0).astype(np.int64),
        whole=whole.astype(np.int64),
        kinds=np.array([*masks, every], np.int64)[assigned.constraint.codes],
    )
