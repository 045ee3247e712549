"""What each node will have free over time: a row of counts beside each step of a pool's profile (`apportion.core.profile`).

A row stays where it is while its step moves, so that a new step costs one row, however many come after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel
from apportion.core.node_sets import WORD

if TYPE_CHECKING:
    from apportion.core.node_tables import NodeRows
    from apportion.core.tables import State


@kernel
def _sort_in(rows: NodeRows, row: int, i: int) -> None:
    """Let the sets of a row say of node ``i`` what its counts say."""
    w, bit = i // WORD, 1 << (i % WORD)
    rows.some[row, w] = rows.some[row, w] | bit if rows.procs[row, i] > 0 else rows.some[row, w] & ~bit
    rows.idle[row, w] = rows.idle[row, w] | bit if rows.jobs[row, i] == 0 else rows.idle[row, w] & ~bit


@kernel
def write_now(s: State, pool: int, k: int) -> None:
    """Let step ``k`` be as it is now."""
    rows, free = s.nodes.rows, s.nodes.free
    row = s.profile.row[k]
    low = s.nodes.first[pool]
    n = s.nodes.first[pool + 1] - low
    for i in range(n):
        rows.procs[row, i] = free.procs[low + i]
    for i in range(n):
        rows.jobs[row, i] = free.jobs[low + i]
    for i in range(min(n, rows.mem.shape[1])):
        rows.mem[row, i] = free.mem[low + i]
    for i in range(min(n, rows.gpus.shape[1])):
        rows.gpus[row, i] = free.gpus[low + i]
    for w in range(rows.some.shape[1]):
        rows.some[row, w] = 0
        rows.idle[row, w] = 0
    if rows.some.shape[1] > 0:
        for i in range(n):
            _sort_in(rows, row, i)


@kernel
def copy(rows: NodeRows, n: int, source: int, to: int) -> None:
    """Let the first ``n`` cells of row ``to`` be as in row ``source``."""
    for i in range(n):
        rows.procs[to, i] = rows.procs[source, i]
    for i in range(n):
        rows.jobs[to, i] = rows.jobs[source, i]
    for i in range(min(n, rows.mem.shape[1])):
        rows.mem[to, i] = rows.mem[source, i]
    for i in range(min(n, rows.gpus.shape[1])):
        rows.gpus[to, i] = rows.gpus[source, i]
    for w in range(rows.some.shape[1]):
        rows.some[to, w] = rows.some[source, w]
        rows.idle[to, w] = rows.idle[source, w]


@kernel
def repeat(s: State, pool: int, k: int) -> None:
    """Let step ``k`` be as the one before."""
    row = s.profile.row
    copy(s.nodes.rows, s.nodes.first[pool + 1] - s.nodes.first[pool], row[k - 1], row[k])


@kernel
def insert(s: State, pool: int, k: int, end: int) -> None:
    """Give a new step ``k`` a row that no step before ``end`` has, as the one before."""
    row = s.profile.row
    vacant = row[end]
    for i in range(end, k, -1):
        row[i] = row[i - 1]
    row[k] = vacant
    repeat(s, pool, k)


@kernel
def forget(s: State, first: int, end: int, gone: int) -> None:
    """Let the rows of the first ``gone`` steps be vacant; the others move up."""
    row = s.profile.row
    for k in range(first, end - gone):
        vacant = row[k]
        row[k] = row[k + gone]
        row[k + gone] = vacant


@kernel
def add(s: State, job: int, sign: int, low: int, high: int) -> None:
    """Give the nodes of a job back (sign 1) in the steps from ``low`` to ``high``, or take them (-1)."""
    rows, held = s.nodes.rows, s.nodes.held
    first = s.nodes.first[s.jobs.pool[job]]
    for k in range(low, high):
        row = s.profile.row[k]
        cell = held.first[job]
        while cell >= 0:
            i = held.node[cell] - first
            rows.procs[row, i] += sign * held.procs[cell]
            rows.jobs[row, i] -= sign
            if rows.mem.shape[1] > 0:
                rows.mem[row, i] += sign * held.mem[cell]
            if rows.gpus.shape[1] > 0:
                rows.gpus[row, i] += sign * held.gpus[cell]
            if rows.some.shape[1] > 0:
                _sort_in(rows, row, i)
            cell = held.next[cell]
