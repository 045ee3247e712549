"""Budgets: how much an account may use in a month, a quarter, a year, or so many days.

A job that starts is promised its whole time limit, and gives back what it does not use when it ends, so a budget is never
overdrawn by jobs that run longer than hoped. What running jobs may use after the end of a period is taken from the next one. All
numbers are whole: TRES x ms. The budgets of an account and of all accounts above it bind.

A job that a broker has bound to a center may start there at any time: its time limit is *reserved* until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.calendar import next_reset
from apportion.core.handle import table
from apportion.core.jit import apart, kernel
from apportion.core.limits import association_of, tres_count
from apportion.core.reasons import QUOTA_BUDGET
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import Ints, Jobs

HOUR_MS = 3_600_000
NO_CAP = -1


@table
class Budgets(NamedTuple):
    """One row for each TRES of an account's budget; amounts in TRES x ms, billing in thousandths.

    ``first`` (associations) : first row that its jobs are charged to, -1 none. ``following`` (rows) : the next one, up to root.
    ``tres``, ``amount``, ``cap`` : TRES, budget of a period, most that is carried over (NO_CAP). ``carry`` : thousandths of what is left
    that the next period gets. ``hard`` : 1 if a job whose time limit does not fit must wait.
    ``reset`` : code of a calendar period (`apportion.core.calendar`); ``length`` : else its length, ms.
    ``begin``, ``end`` : of the present period, ms. ``left`` : not promised yet, negative when overdrawn.
    ``rate`` : TRES that run; ``promised`` : TRES x ms by limits of the running jobs, counted from ``begin``; ``reserved`` : for bound ones.
    ``turn`` : int64[1], first ``end``. ``until`` (jobs) : when the limit of a job that counts is reached, ms; -1 if it does not count.
    ``held`` (jobs) : the time limit that is reserved for a job, ms.
    """

    first: Ints
    following: Ints
    tres: Ints
    amount: Ints
    cap: Ints
    carry: Ints
    hard: Ints
    reset: Ints
    length: Ints
    begin: Ints
    end: Ints
    left: Ints
    rate: Ints
    promised: Ints
    reserved: Ints
    turn: Ints
    until: Ints
    held: Ints


def no_budgets() -> Budgets:
    """Tables of a policy without budgets."""
    empty = {name: np.zeros(0, np.int64) for name in Budgets._fields}
    return Budgets(**{**empty, "turn": np.full(1, NEVER, np.int64)})


@kernel
def _first(B: Budgets, jobs: Jobs, j: int) -> int:
    assoc = association_of(jobs, j)
    return int(B.first[assoc]) if assoc >= 0 else -1


@kernel
def binding(B: Budgets, jobs: Jobs, j: int) -> int:
    """QUOTA_BUDGET if the time limit of a pending job does not fit what is left of a hard budget, else 0."""
    row = _first(B, jobs, j)
    while row >= 0:
        count = tres_count(jobs, j, B.tres[row])
        if B.hard[row] == 1 and count > 0 and count * (jobs.limit[j] - B.held[j]) > B.left[row]:
            return QUOTA_BUDGET
        row = int(B.following[row])
    return 0


@kernel
def explain(B: Budgets, jobs: Jobs, j: int, rows: Ints) -> int:
    """Write TRES, what is left and what is asked (both in milliseconds of it) of each hard budget that holds a pending job; return how many."""
    n = 0
    row = _first(B, jobs, j)
    while row >= 0 and n < rows.shape[0]:
        asked = tres_count(jobs, j, B.tres[row]) * jobs.limit[j]
        if B.hard[row] == 1 and asked > max(0, B.left[row]):
            rows[n, 0] = B.tres[row]
            rows[n, 1] = B.left[row]
            rows[n, 2] = asked
            n += 1
        row = int(B.following[row])
    return n


@kernel
def is_overdrawn(B: Budgets, jobs: Jobs, j: int) -> bool:
    """Whether nothing is left of a budget that is not hard."""
    row = _first(B, jobs, j)
    while row >= 0:
        if B.hard[row] == 0 and B.left[row] <= 0:
            return True
        row = int(B.following[row])
    return False


@kernel
def reserve(B: Budgets, jobs: Jobs, j: int, limit: int) -> None:
    """Reserve a time limit (ms) for a job that may start from now on, if none is yet."""
    row = _first(B, jobs, j)
    if row < 0 or B.until[j] >= 0 or B.held[j] > 0:
        return
    B.held[j] = limit
    while row >= 0:
        amount = tres_count(jobs, j, B.tres[row]) * limit
        B.left[row] -= amount
        B.reserved[row] += amount
        row = int(B.following[row])


@kernel
def free(B: Budgets, jobs: Jobs, j: int) -> None:
    """Reserve nothing any more for a job; nothing happens if nothing is."""
    row = _first(B, jobs, j)
    while row >= 0:
        amount = tres_count(jobs, j, B.tres[row]) * B.held[j]
        B.left[row] += amount
        B.reserved[row] -= amount
        row = int(B.following[row])
    B.held[j] = 0


@kernel
def on_start(B: Budgets, jobs: Jobs, j: int, now: int, limit: int) -> None:
    """Promise a job its time limit (ms)."""
    row = _first(B, jobs, j)
    if row < 0 or B.until[j] >= 0:
        return
    free(B, jobs, j)
    B.until[j] = now + limit
    while row >= 0:
        count = tres_count(jobs, j, B.tres[row])
        B.left[row] -= count * limit
        B.rate[row] += count
        B.promised[row] += count * (now + limit - B.begin[row])
        row = int(B.following[row])


@kernel
def on_end(B: Budgets, jobs: Jobs, j: int, now: int) -> None:
    """Take back what a job has not used."""
    row = _first(B, jobs, j)
    if row < 0 or B.until[j] < 0:
        return
    while row >= 0:
        count = tres_count(jobs, j, B.tres[row])
        B.left[row] += count * (B.until[j] - now)
        B.rate[row] -= count
        B.promised[row] -= count * (B.until[j] - B.begin[row])
        row = int(B.following[row])
    B.until[j] = -1


@kernel
def refund(B: Budgets, jobs: Jobs, j: int, now: int, ms: int) -> None:
    """Give back the last ``ms`` that a job has run, as far as the present period paid for them."""
    row = _first(B, jobs, j)
    while row >= 0:
        B.left[row] += tres_count(jobs, j, B.tres[row]) * min(ms, max(now - B.begin[row], 0))
        row = int(B.following[row])


@apart
def advance(B: Budgets, now: int) -> bool:
    """Begin the periods that are due up to ``now``, ms, before the events of the instant are applied; True if any was."""
    if B.turn[0] > now:
        return False
    turn = NEVER
    for row in range(B.end.size):
        while B.end[row] <= now:
            _begin_period(B, row)
        turn = min(turn, B.end[row])
    B.turn[0] = turn
    return True


@kernel
def _beyond(B: Budgets, row: int) -> int:
    """What running jobs may use after the present period."""
    return int(B.promised[row] - B.rate[row] * (B.end[row] - B.begin[row]))


@kernel
def _next_left(B: Budgets, row: int) -> int:
    """What is left at the begin of the next period, if nothing happens until then."""
    beyond = _beyond(B, row)
    rest = max(0, int(B.left[row]) + int(B.reserved[row]) + beyond)
    carried = rest // 1000 * int(B.carry[row]) + rest % 1000 * int(B.carry[row]) // 1000
    if B.cap[row] != NO_CAP:
        carried = min(carried, int(B.cap[row]))
    return int(B.amount[row]) + carried - beyond - int(B.reserved[row])


@kernel
def _begin_period(B: Budgets, row: int) -> None:
    B.left[row], B.promised[row] = _next_left(B, row), _beyond(B, row)
    B.begin[row] = B.end[row]
    B.end[row] += B.length[row] if B.length[row] > 0 else next_reset(B.reset[row], B.end[row]) - B.end[row]


@kernel
def next_change(B: Budgets) -> int:
    """First turn of a period after which something else is left than now, ms; NEVER if nothing happens by itself any more."""
    time = NEVER
    for row in range(B.end.size):
        if B.rate[row] > 0 or _next_left(B, row) != B.left[row]:
            time = min(time, B.end[row])
    return time
