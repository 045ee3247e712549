"""What the engines beside Slurm's remember: who runs how much now, since when, and what was used slice by slice.

Starts and ends move whole numbers (thousandths of billing units x UsageFactor, and seconds), so that usage up to any tick is exact and the order
of events within a slice cannot matter: units x seconds up to second t are ``done + running * t - started``. At each tick of PriorityCalcPeriod what
was used since the last one goes where the engine wants it: into a decaying sum, or into the newest of a ring of windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints

BILLED = 0  # row of `History.running`; processors and further TRES after it, where the engine asks for them
UNIT_HOUR = 3_600_000.0  # thousandths x seconds
LONGEST_S = 10 * 366 * 86_400  # a longer time limit, or none, counts as this

# Cells of History.clock
LAST_TICK = 0  # ms
WINDOW = 1  # number of the newest window


@table
class History(NamedTuple):
    """Columns have one row per association, an account's with all below it.

    Fixed:
    ``period`` : PriorityCalcPeriod, ms. ``interval`` : length of a window, ms; 0 for an engine without. ``decay`` : of a tick, or from window to
    window. ``factors`` : numbers of the policy, in an order that the engine's module knows.
    ``capacity`` (n_tres) : of the whole machine: processors, then further TRES.

    Moved by starts and ends:
    ``running`` (1 + n_tres or 1, n) : thousandths of units that run, then TRES. ``started`` : sum of thousandths x start in s.
    ``done`` : thousandths x s of jobs that ended. ``committed`` : thousandths x s that running jobs may take by their limits.
    ``asked`` : the same of all jobs that ever started.

    Moved by ticks:
    ``held`` (like ``running``), ``committed_then``, ``done_then``, ``asked_then`` : what these columns were at the last tick, so that a factor
    depends on the tick and not on when it is worked out. ``used`` : thousandths x s up to it.
    ``aged`` (2, n) : HTCondor: real priority; LSF: CPU time and run time of ended jobs, thousandths x s.
    ``windows``, ``asked_windows`` (n_windows, n) : thousandths x s. ``credits``, ``earned`` (n) : Karma's, thousandths of units x rounds:
    what is owned, and what was earned less what was paid.
    ``clock`` : see LAST_TICK.

    Scratch: ``recent`` (2, n) : sums over windows, of usage and of what was asked for. ``round`` (7, n) : of a round of Karma.
    """

    period: int
    interval: int
    decay: float
    factors: Floats
    capacity: Ints
    running: Ints
    started: Ints
    done: Ints
    committed: Ints
    asked: Ints
    held: Ints
    committed_then: Ints
    done_then: Ints
    asked_then: Ints
    used: Ints
    aged: Floats
    windows: Ints
    asked_windows: Ints
    credits: Ints
    earned: Ints
    clock: Ints
    recent: Floats
    round: Ints


def no_history() -> History:
    """For engines that need usage only."""
    return new_history(0, 1000, 0)


def new_history(
    n_assoc: int,
    period_ms: int,
    start_ms: int,
    *,
    interval_ms: int = 0,
    n_windows: int = 0,
    decay: float = 1.0,
    factors: tuple[float, ...] = (),
    capacity: tuple[int, ...] = (),
    aged: float = 0.0,
    asks: bool = False,
) -> History:
    """Allocate a history in which nothing has happened.

    Parameters
    ----------
    n_assoc : int
        Associations, users and accounts.
    period_ms : int
        PriorityCalcPeriod in ms.
    start_ms : int
        ms since the epoch; the last tick is the newest one not after it.
    interval_ms, n_windows : int
        Length of a window in ms, and how many are kept.
    decay, factors :
        See `History`.
    capacity : tuple of int
        Processors and further TRES, for an engine that counts what runs of them.
    aged : float
        Decaying sum at the start.
    asks : bool
        Keep windows of what was asked for, too.
    """

    def column(*shape: int) -> Ints:
        return np.zeros((*shape, n_assoc), np.int64)

    last = start_ms // period_ms * period_ms
    return History(
        period=period_ms,
        interval=interval_ms,
        decay=decay,
        factors=np.array(factors, np.float64),
        capacity=np.array(capacity, np.int64),
        running=column(1 + len(capacity)),
        started=column(),
        done=column(),
        committed=column(),
        asked=column(),
        held=column(1 + len(capacity)),
        committed_then=column(),
        done_then=column(),
        asked_then=column(),
        used=column(),
        aged=np.full((2, n_assoc), aged),
        windows=column(n_windows),
        asked_windows=column(n_windows if asks else 0),
        credits=column(),
        earned=column(),
        clock=np.array([last, window_of(last, interval_ms)], np.int64),
        recent=np.zeros((2, n_assoc)),
        round=column(7),
    )


@kernel
def window_of(tick: int, interval: int) -> int:
    """Number of the window in which the slice before ``tick`` lies: windows end at multiples of ``interval`` since the epoch, ms."""
    return (tick - 1) // interval if interval > 0 else 0


@kernel
def used_up_to(history: History, row: int, tick: int) -> int:
    """Thousandths x s that an association used up to ``tick``, ms."""
    return int(history.done[row] + history.running[BILLED, row] * (tick // 1000) - history.started[row])


@kernel
def begin(
    history: History, parent: Ints, assoc: int, amount: int, procs: int, extra: Ints, start: int, limit: int
) -> None:
    """A job starts. O(depth of its association).

    Parameters
    ----------
    amount : int
        Thousandths of billing units x UsageFactor.
    procs : int
    extra : int64[n_extra]
        Its further TRES.
    start, limit : int
        ms since the epoch, and ms.
    """
    row = assoc
    committed = amount * min(limit // 1000, LONGEST_S)
    while row >= 0:
        history.running[BILLED, row] += amount
        history.started[row] += amount * (start // 1000)
        history.committed[row] += committed
        history.asked[row] += committed
        _count(history, row, procs, extra, 1)
        row = parent[row]


@kernel
def end(
    history: History, parent: Ints, assoc: int, amount: int, procs: int, extra: Ints, start: int, limit: int, now: int
) -> None:
    """A job ends or loses its resources; arguments as for `begin`."""
    row = assoc
    while row >= 0:
        history.running[BILLED, row] -= amount
        history.started[row] -= amount * (start // 1000)
        history.committed[row] -= amount * min(limit // 1000, LONGEST_S)
        history.done[row] += amount * (now // 1000 - start // 1000)
        _count(history, row, procs, extra, -1)
        row = parent[row]


@kernel
def _count(history: History, row: int, procs: int, extra: Ints, sign: int) -> None:
    if history.running.shape[0] > 1:
        history.running[1, row] += sign * procs
        for e in range(history.running.shape[0] - 2):
            history.running[2 + e, row] += sign * extra[e]


@kernel
def take_stock(history: History) -> None:
    """Keep what the columns are at a tick that has just been remembered."""
    for r in range(history.running.shape[0]):
        for i in range(history.running.shape[1]):
            history.held[r, i] = history.running[r, i]
    for i in range(history.used.shape[0]):
        history.committed_then[i] = history.committed[i]
        history.done_then[i] = history.done[i]
        history.asked_then[i] = history.asked[i]


@kernel
def to_window(history: History, window: int) -> None:
    """Make ``window`` the newest, and empty it."""
    n_windows = history.windows.shape[0]
    for w in range(max(history.clock[WINDOW] + 1, window - n_windows + 1), window + 1):
        history.windows[w % n_windows, :] = 0
        if history.asked_windows.shape[0] > 0:
            history.asked_windows[w % n_windows, :] = 0
    history.clock[WINDOW] = window
