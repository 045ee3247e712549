"""Nodes that jobs hold: taken when they start, given back when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_choice, node_room
from apportion.core.jit import apart, kernel

if TYPE_CHECKING:
    from apportion.core.node_tables import NodeCounts, Nodes
    from apportion.core.tables import State


@kernel
def clear(nodes: Nodes) -> None:
    """Let no job hold anything."""
    held = nodes.held
    for pool in range(nodes.blocked.size):
        node_room.copy(nodes, pool, nodes.size, nodes.free)
    for job in range(held.first.size):
        held.first[job] = -1
    for cell in range(held.next.size):
        held.next[cell] = cell + 1
    held.next[held.next.size - 1] = -1
    held.vacant[0] = 0
    for node in range(nodes.down.size):
        nodes.down[node] = 0
    nodes.choice[0] = -1
    nodes.logged[0] = 0


@apart
def fits_now(s: State, job: int) -> bool:
    """Whether the nodes that the job needs are free at this instant; the pool's counts have been asked."""
    return node_room.fits(s.nodes, s.nodes.free, s.jobs.pool[job], job)


@kernel
def take(nodes: Nodes, there: NodeCounts, n: int, sign: int) -> None:
    """Take what was chosen out of what is ``there`` (``sign`` 1), or put it back (-1)."""
    for k in range(n):
        node = nodes.chosen[k]
        node_room.change(nodes, there, node, -sign * nodes.procs[k], -sign * nodes.mem[k], -sign * nodes.gpus[k], sign)


@kernel
def note(nodes: Nodes, event: int) -> None:
    """Add to the log what happened; it counts on when it is full."""
    if nodes.logged[0] < nodes.log.size:
        nodes.log[nodes.logged[0]] = event
    nodes.logged[0] += 1


@kernel
def allocate(s: State, job: int) -> None:
    """Give a job that starts its nodes."""
    nodes = s.nodes
    held = nodes.held
    n = node_choice.choose(s, job)
    take(nodes, nodes.free, n, 1)
    for k in range(n - 1, -1, -1):
        cell = held.vacant[0]
        held.vacant[0] = held.next[cell]
        held.node[cell] = nodes.chosen[k]
        held.procs[cell] = nodes.procs[k]
        held.mem[cell] = nodes.mem[k]
        held.gpus[cell] = nodes.gpus[k]
        held.next[cell] = held.first[job]
        held.first[job] = cell
    nodes.choice[0] = -1
    note(nodes, job)


@kernel
def try_without(nodes: Nodes, pool: int, job: int) -> None:
    """Begin to ask whether a job would fit if others were gone."""
    node_room.copy(nodes, pool, nodes.free, nodes.trial)
    nodes.tried[0] = job


@kernel
def fits_trial(s: State) -> bool:
    """Whether the job that is tried fits without those whose nodes were put back since."""
    job = s.nodes.tried[0]
    return node_room.fits(s.nodes, s.nodes.trial, s.jobs.pool[job], job)


@kernel
def give_back(nodes: Nodes, there: NodeCounts, job: int, sign: int) -> None:
    """Put what the job holds back to what is ``there`` (``sign`` 1), or take it again (-1)."""
    held = nodes.held
    cell = held.first[job]
    while cell >= 0:
        node = held.node[cell]
        node_room.change(
            nodes, there, node, sign * held.procs[cell], sign * held.mem[cell], sign * held.gpus[cell], -sign
        )
        cell = held.next[cell]


@kernel
def release(s: State, job: int) -> None:
    """Take the nodes of a job that has ended back."""
    nodes = s.nodes
    held = nodes.held
    give_back(nodes, nodes.free, job, 1)
    cell = held.first[job]
    while cell >= 0:
        after = held.next[cell]
        held.next[cell] = held.vacant[0]
        held.vacant[0] = cell
        cell = after
    held.first[job] = -1
    nodes.choice[0] = -1
    note(nodes, -1 - job)


@apart
def note_blocked(s: State, now: int) -> None:
    """Note which processors are free, and enough for the first job in line, and of no use to it; count them until now."""
    nodes = s.nodes
    for pool in range(nodes.blocked.size):
        nodes.lost[pool] += nodes.blocked[pool] * (now - nodes.since[0])
        head = s.pools.head[pool]
        waits = head >= 0 and s.jobs.procs[head] <= s.pools.free[pool]
        nodes.blocked[pool] = s.pools.free[pool] if waits else 0
    nodes.since[0] = now
