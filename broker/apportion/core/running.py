"""The running jobs of each pool by expected end (start plus limit), as backfill reads them.

While somebody reads them they are kept in order, which costs a search and a move at each start and end. While nobody does, those that start
are appended and those that end stay where they are; the next reader settles what is owed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.codes import KILLED, RUNNING
from apportion.core.handle import move
from apportion.core.jit import apart, inlined, kernel
from apportion.core.tables import ROW_END, ROW_JOB, ROW_PROCS

if TYPE_CHECKING:
    from apportion.core.tables import Bytes, Running

PATIENCE = 64  # starts since the last reading after which order is no longer kept


@kernel
def add(running: Running, state: Bytes, pool: int, end: int, procs: int, job: int) -> None:
    """Note a job that has just started. ``state`` : of all jobs."""
    running.count[pool] += 1
    room = running.first[pool + 1] - running.first[pool]
    if room == 0:  # the policy never reads them
        return
    if running.rows[pool] == room:
        _forget_ended(running, state, pool)
    at = running.rows[pool]
    row = running.first[pool] + at
    running.rows[pool] = at + 1
    running.unread[pool] += 1
    if running.ordered[pool] == at and running.unread[pool] <= PATIENCE:
        _put_in_order(running, pool, at, end, procs, job)
    else:
        _write(running, row, end, procs, job)


@kernel
def remove(running: Running, pool: int, end: int, job: int) -> None:
    """Note that a job has ended that was to end at ``end``; its state says so already."""
    running.count[pool] -= 1
    rows = running.rows[pool]
    if running.ordered[pool] != rows or running.count[pool] + 1 != rows:
        return
    first = running.first[pool]
    at = _position(running, first, first + rows, end - 1)
    while running.row[at, ROW_JOB] != job:
        at += 1
    move(running.row, at, at + 1, first + rows - 1 - at)
    running.rows[pool] = rows - 1
    running.ordered[pool] = rows - 1


@inlined
def settle(running: Running, state: Bytes, pool: int) -> None:
    """Make the rows of a pool what they are meant to be: ``count`` running jobs by expected end, of equals who started first."""
    running.unread[pool] = 0
    if running.rows[pool] != running.count[pool]:
        _forget_ended(running, state, pool)
    for at in range(running.ordered[pool], running.rows[pool]):
        row = running.first[pool] + at
        end, procs, job = running.row[row, ROW_END], running.row[row, ROW_PROCS], running.row[row, ROW_JOB]
        _put_in_order(running, pool, at, end, procs, job)


@kernel
def _write(running: Running, row: int, end: int, procs: int, job: int) -> None:
    running.row[row, ROW_END] = end
    running.row[row, ROW_PROCS] = procs
    running.row[row, ROW_JOB] = job


@apart
def _forget_ended(running: Running, state: Bytes, pool: int) -> None:
    first = running.first[pool]
    to = first
    ordered = 0
    for i in range(first, first + running.rows[pool]):
        job = running.row[i, ROW_JOB]
        if state[job] == RUNNING or state[job] == KILLED:
            _write(running, to, running.row[i, ROW_END], running.row[i, ROW_PROCS], job)
            to += 1
            if i < first + running.ordered[pool]:
                ordered += 1
    running.rows[pool] = to - first
    running.ordered[pool] = ordered


@kernel
def _position(running: Running, low: int, high: int, end: int) -> int:
    """First row from ``low`` on, below ``high``, that ends later than ``end``."""
    while low < high:
        middle = (low + high) >> 1
        if running.row[middle, ROW_END] <= end:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _put_in_order(running: Running, pool: int, at: int, end: int, procs: int, job: int) -> None:
    """Write what row number ``at`` is to hold among the ordered ones, all before it."""
    first = running.first[pool]
    row = first + at
    to = _position(running, first, row, end)
    move(running.row, to + 1, to, row - to)
    _write(running, to, end, procs, job)
    running.ordered[pool] = at + 1
