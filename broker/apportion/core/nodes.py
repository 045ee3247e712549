"""Nodes that jobs hold: taken when they start, given back when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_choice, node_room
from apportion.core.jit import apart, kernel

if TYPE_CHECKING:
    from apportion.core.node_tables import Holdings, NodeCounts, Nodes
    from apportion.core.tables import State


@kernel
def clear(nodes: Nodes) -> None:
    """Let no job hold anything."""
    held = nodes.held
    for pool in range(nodes.blocked.size):
        node_room.copy(nodes, pool, nodes.size, nodes.free)
    for job in range(held.first.size):
        held.first[job] = -1
    for job in range(held.kept.size):
        held.kept[job] = -1
    for cell in range(held.next.size):
        held.next[cell] = cell + 1
    held.next[held.next.size - 1] = -1
    held.vacant[0] = 0
    for node in range(nodes.down.size):
        nodes.down[node] = 0
    nodes.choice[0] = -1
    nodes.logged[0] = 0
    nodes.placed_n[0] = 0


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
def assign(nodes: Nodes, job: int, n: int) -> None:
    """Write down that a job is to have the ``n`` nodes that were chosen."""
    held = nodes.held
    for k in range(n - 1, -1, -1):
        cell = held.vacant[0]
        held.vacant[0] = held.next[cell]
        held.node[cell] = nodes.chosen[k]
        held.share[cell] = nodes.share[k]
        held.procs[cell] = nodes.procs[k]
        held.mem[cell] = nodes.mem[k]
        held.gpus[cell] = nodes.gpus[k]
        held.next[cell] = held.first[job]
        held.first[job] = cell


@kernel
def _vacate(held: Holdings, cell: int) -> None:
    """Let nobody use the cells from ``cell`` on."""
    while cell >= 0:
        after = held.next[cell]
        held.next[cell] = held.vacant[0]
        held.vacant[0] = cell
        cell = after


@kernel
def forget(nodes: Nodes, job: int) -> None:
    """Forget which nodes a job has, or is to have."""
    _vacate(nodes.held, nodes.held.first[job])
    nodes.held.first[job] = -1


@kernel
def keep(nodes: Nodes, job: int) -> None:
    """Take the nodes of a job that is about to be suspended back, and remember them: it comes back to these."""
    held = nodes.held
    give_back(nodes, nodes.free, job, 1)
    held.kept[job] = held.first[job]
    held.first[job] = -1


@kernel
def allocate(s: State, job: int) -> None:
    """Give a job that starts its nodes: those it is to have, or else the best of what is free."""
    nodes = s.nodes
    if nodes.held.first[job] < 0:
        assign(nodes, job, node_choice.choose(s, job))
    give_back(nodes, nodes.free, job, -1)
    if nodes.placed.size > 0:
        _note_nodes(nodes, job)
    if nodes.held.kept.size > 0:
        _vacate(nodes.held, nodes.held.kept[job])
        nodes.held.kept[job] = -1
    nodes.choice[0] = -1
    note(nodes, job)


@kernel
def _note_nodes(nodes: Nodes, job: int) -> None:
    """Write down which nodes a job starts on; it counts on when there is no room."""
    held = nodes.held
    cell = held.first[job]
    while cell >= 0:
        if nodes.placed_n[0] < nodes.placed.size:
            nodes.placed[nodes.placed_n[0]] = (held.node[cell] << 32) | held.share[cell]
        nodes.placed_n[0] += 1
        cell = held.next[cell]


@kernel
def recall(s: State, job: int) -> None:
    """Let a job that starts next have the nodes that were written down then."""
    nodes = s.nodes
    n, wanted = 0, nodes.shapes.slices[job]
    while wanted > 0:
        entry = nodes.placed[nodes.placed_n[0] + n]
        nodes.chosen[n] = entry >> 32
        nodes.share[n] = entry & 0xFFFFFFFF
        wanted -= nodes.share[n]
        n += 1
    node_choice.share_out(nodes, nodes.free, job, n)
    assign(nodes, job, n)


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
    give_back(nodes, nodes.free, job, 1)
    forget(nodes, job)
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
