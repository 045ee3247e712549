"""How much room nodes have for a job.

A job is a number of equal slices (`apportion.core.node_tables.Shapes`); the *room* of a node is how many of them it could take. Nodes of one
kind that are in the same state, by processors free, have the same room unless memory or GPUs count; so whether a job fits is asked of the
states, of which there are few, and of the nodes themselves only where that leaves it open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import apart, kernel

if TYPE_CHECKING:
    from apportion.core.node_tables import NodeCounts, Nodes


@kernel
def room(nodes: Nodes, there: NodeCounts, job: int, node: int) -> int:
    """How many slices of the job ``node`` could take of what is ``there``."""
    shape = nodes.shapes
    if (shape.kinds[job] >> nodes.kind[node]) & 1 == 0 or (shape.whole[job] == 1 and there.jobs[node] > 0):
        return 0
    n = min(most(nodes, job), there.procs[node] // shape.procs[job])
    if shape.mem[job] > 0:
        n = min(n, there.mem[node] // shape.mem[job])
    if shape.gpus[job] > 0:
        n = min(n, there.gpus[node] // shape.gpus[job])
    return n


@kernel
def most(nodes: Nodes, job: int) -> int:
    """How many slices of a job may be on one node."""
    return 1 if nodes.shapes.apart[job] == 1 else int(nodes.shapes.slices[job])


@kernel
def by_procs(nodes: Nodes, job: int) -> bool:
    """Whether the state of a node says all about its room for the job."""
    return bool(nodes.shapes.mem[job] == 0 and nodes.shapes.gpus[job] == 0)


@apart
def within_reach(nodes: Nodes, there: NodeCounts, pool: int, free: int) -> int:
    """Of ``free`` processors of a pool those that a job might get: where every job has whole nodes, no more than nodes without jobs have."""
    if nodes.alone[0] == 0:
        return free
    idle = 0
    for kind in range(nodes.kinds[pool], nodes.kinds[pool + 1]):
        idle += there.alike[nodes.states[kind + 1] - 1] * nodes.size.procs[nodes.first_of[kind]]
    return min(free, idle)


@kernel
def room_when_idle(nodes: Nodes, job: int, kind: int) -> int:
    """The room of a node of a kind without jobs."""
    first = nodes.first_of[kind]
    return room(nodes, nodes.size, job, first)


@kernel
def change(nodes: Nodes, there: NodeCounts, node: int, procs: int, mem: int, gpus: int, jobs: int) -> None:
    """Add to what is there of a node."""
    there.alike[there.state[node]] -= 1
    there.procs[node] += procs
    there.mem[node] += mem
    there.gpus[node] += gpus
    there.jobs[node] += jobs
    kind = nodes.kind[node]
    state = nodes.states[kind + 1] - 1 if there.jobs[node] == 0 else nodes.states[kind] + there.procs[node]
    there.state[node] = state
    there.alike[state] += 1


@kernel
def copy(nodes: Nodes, pool: int, source: NodeCounts, to: NodeCounts) -> None:
    """Let what is there of the nodes of a pool be as in ``source``."""
    low = nodes.first[pool]
    high = nodes.first[pool + 1]
    for node in range(low, high):  # column by column, so that each becomes a block move
        to.procs[node] = source.procs[node]
    for node in range(low, high):
        to.mem[node] = source.mem[node]
    for node in range(low, high):
        to.gpus[node] = source.gpus[node]
    for node in range(low, high):
        to.jobs[node] = source.jobs[node]
    for node in range(low, high):
        to.state[node] = source.state[node]
    for state in range(nodes.states[nodes.kinds[pool]], nodes.states[nodes.kinds[pool + 1]]):
        to.alike[state] = source.alike[state]


@kernel
def fits(nodes: Nodes, there: NodeCounts, pool: int, job: int) -> bool:
    """Whether the nodes of a pool have room for all slices of the job in what is ``there``; for a suspended job, those it had."""
    if is_suspended(nodes, job):
        return fits_again(nodes, there, job)
    shape = nodes.shapes
    wanted = shape.slices[job]
    procs = shape.procs[job]
    in_use = 0
    for kind in range(nodes.kinds[pool], nodes.kinds[pool + 1]):
        each = room_when_idle(nodes, job, kind)
        if each == 0:
            continue
        idle = nodes.states[kind + 1] - 1
        wanted -= each * there.alike[idle]
        if wanted <= 0:
            return True
        if shape.whole[job] == 0:
            for state in range(nodes.states[kind] + procs, idle):
                if there.alike[state] > 0:
                    in_use += there.alike[state] * min(each, (state - nodes.states[kind]) // procs)
    if in_use < wanted or by_procs(nodes, job):
        return bool(in_use >= wanted)
    for node in range(nodes.first[pool], nodes.first[pool + 1]):
        if there.jobs[node] > 0:
            wanted -= room(nodes, there, job, node)
            if wanted <= 0:
                return True
    return False


@kernel
def is_suspended(nodes: Nodes, job: int) -> bool:
    """Whether a job is to come back to nodes that it had."""
    return bool(nodes.held.kept.size > 0 and nodes.held.kept[job] >= 0)


@kernel
def fits_again(nodes: Nodes, there: NodeCounts, job: int) -> bool:
    """Whether what a suspended job had of its nodes is ``there``."""
    held = nodes.held
    cell = held.kept[job]
    while cell >= 0:
        node = held.node[cell]
        if (
            there.procs[node] < held.procs[cell]
            or there.mem[node] < held.mem[cell]
            or there.gpus[node] < held.gpus[cell]
        ):
            return False
        if nodes.shapes.whole[job] == 1 and there.jobs[node] > 0:
            return False
        cell = held.next[cell]
    return True
