"""Nodes that fail, with all jobs that have a part of them, and come back.

A failure is of so many processors: those of the nodes that are up, laid side by side by index, are hit as a block of neighbours that
``position`` picks (as in `apportion.core.victims`), and every node that has one of these is down, whole, until the failure is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_room, nodes, running
from apportion.core.jit import kernel
from apportion.core.tables import ROW_JOB

if TYPE_CHECKING:
    from apportion.core.node_tables import Nodes
    from apportion.core.tables import Outages, State


@kernel
def mark(table: Nodes, outages: Outages, row: int) -> None:
    """Mark the nodes that a loss hits."""
    pool, procs, position = outages.pool[row], outages.procs[row], outages.position[row]
    first, last = table.first[pool], table.first[pool + 1]
    up = 0
    for node in range(first, last):
        if table.down[node] == 0:
            up += table.size.procs[node]
    begin = (position * (max(up - procs, 0) + 1)) >> 32
    at = 0
    for node in range(first, last):
        if table.down[node] == 0:
            if at < begin + procs and at + table.size.procs[node] > begin:
                table.down[node] = -1 - position
            at += table.size.procs[node]


@kernel
def hit(s: State, row: int) -> int:
    """Find the running jobs that a loss hits; their number, they are ``s.work[:n]``."""
    table, run, pool = s.nodes, s.running, s.outages.pool[row]
    mark(table, s.outages, row)
    running.settle(run, s.live.state, pool)
    n = 0
    for i in range(run.first[pool], run.first[pool] + run.count[pool]):
        cell = table.held.first[run.row[i, ROW_JOB]]
        while cell >= 0 and table.down[table.held.node[cell]] >= 0:
            cell = table.held.next[cell]
        if cell >= 0:
            s.work[n] = run.row[i, ROW_JOB]
            n += 1
    return n


@kernel
def take_down(table: Nodes, outages: Outages, row: int, event: int) -> int:
    """Take the nodes that are marked, on which nothing runs any more, out of what is free; their processors. ``event`` : for the log."""
    position = outages.position[row]
    return int(_turn(table, outages.pool[row], -1 - position, 1 + position, -1, event))


@kernel
def bring_up(table: Nodes, outages: Outages, row: int, event: int) -> int:
    """Bring the nodes back that the loss of this position took; their processors."""
    return int(_turn(table, outages.pool[row], 1 + outages.position[row], 0, 1, event))


@kernel
def _turn(table: Nodes, pool: int, before: int, after: int, sign: int, event: int) -> int:
    """Let the nodes that are ``before`` be ``after``, and add all of them to what is free (sign 1) or take them out (-1); their processors."""
    size = table.size
    procs = 0
    for node in range(table.first[pool], table.first[pool + 1]):
        if table.down[node] == before:
            table.down[node] = after
            procs += size.procs[node]
            node_room.change(
                table, table.free, node, sign * size.procs[node], sign * size.mem[node], sign * size.gpus[node], -sign
            )
    nodes.note(table, event)
    return procs
