"""Karma: who gives up part of a guaranteed share earns credits, and pays with them for more than that share later.

Of ``capacity`` slices, everybody is guaranteed a fair share times (1 - alpha); the rest is a pool. In each round everybody gets
credits for a part of the pool. Whoever wants less than is guaranteed donates the difference. Whoever wants more borrows, at one credit a
slice: from donors first, the poorest donor earning first, then from the pool. If too little is to be had, the richest borrow first.

Source: Vuppalapati et al., "Karma: Resource Allocation for Dynamic Demands", OSDI 2023, https://www.usenix.org/conference/osdi23/presentation/vuppalapati.
Shares may differ here; the paper has all equal, and so has its library. ``alpha`` is the part of the whole that is pooled, as in that library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.engines.water import fill
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.engines.history import History
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

# Cells of `History.factors`
ALPHA = 0
INITIAL = 1  # rounds of one's own share


@kernel
def guarantees(capacity: int, alpha: float, share: Floats, guaranteed: Ints, free: Ints) -> None:
    """Slices that are guaranteed, and credits that are free in a round: whole numbers, rounded down.

    Parameters
    ----------
    share : float64[n]
        Part of the capacity that each is due; they sum to 1 at most.
    """
    for i in range(share.shape[0]):
        guaranteed[i] = int((1.0 - alpha) * capacity * share[i] + 1e-9)
        free[i] = int(alpha * capacity * share[i] + 1e-9)


@kernel
def one_round(
    demand: Ints, guaranteed: Ints, free: Ints, capacity: int, credits_: Ints, allocation: Ints, scratch: Ints
) -> None:
    """Allocate one round.

    Parameters
    ----------
    demand : int64[n]
        Slices that each wants.
    guaranteed, free : int64[n]
        As `guarantees` gives them.
    capacity : int
        Slices there are.
    credits_ : int64[n]
        Read and written; nobody borrows without credits, so they never fall below 0.
    allocation : int64[n]
        Written: slices that each gets; never more than the capacity together.
    scratch : int64[3, n]
    """
    level, room, got = scratch[0], scratch[1], scratch[2]
    kept = 0
    donated = 0
    for i in range(demand.shape[0]):
        credits_[i] += free[i]
        allocation[i] = min(max(demand[i], 0), guaranteed[i])
        kept += guaranteed[i]
        donated += guaranteed[i] - allocation[i]
        level[i] = -credits_[i]
        room[i] = min(demand[i] - guaranteed[i], credits_[i])
    borrowed = fill(level, room, max(capacity - kept, 0) + donated, got)
    for i in range(demand.shape[0]):
        allocation[i] += got[i]
        credits_[i] -= got[i]
        level[i] = credits_[i]
        room[i] = guaranteed[i] - demand[i] if demand[i] > 0 else guaranteed[i]
    fill(level, room, min(borrowed, donated), got)
    for i in range(demand.shape[0]):
        credits_[i] += got[i]


@kernel
def endow(accounts: Accounts, history: History, share: Floats) -> None:
    """Give everybody the credits to begin with: so many rounds of one's own share of the machine."""
    for i in range(accounts.parent.shape[0]):
        if accounts.is_user[i] == 1:
            history.credits[i] = int(history.factors[INITIAL] * 1000.0 * history.capacity[0] * share[i])
    _sum_up(accounts, history.credits)


@kernel
def _sum_up(accounts: Accounts, credits_: Ints) -> None:
    """Credits of accounts from those of the users below."""
    n = accounts.parent.shape[0]
    for i in range(n):
        if accounts.is_user[i] == 0:
            credits_[i] = 0
    for i in range(n - 1, 0, -1):
        credits_[accounts.parent[i]] += credits_[i]


@kernel
def settle(accounts: Accounts, state: ShareState) -> None:
    """End a round: what users held in it on average, in thousandths of a processor, is what they are taken to have wanted.

    A job that runs is not taken back, so it pays; what its user could not get costs nothing.
    """
    history = state.history
    demand, guaranteed, free, allocation = history.round[0], history.round[1], history.round[2], history.round[3]
    capacity = 1000 * history.capacity[0]
    guarantees(capacity, history.factors[ALPHA], state.norm_shares, guaranteed, free)
    seconds = history.interval // 1000
    for i in range(demand.shape[0]):
        demand[i] = history.windows[0, i] // seconds
        if accounts.is_user[i] == 0:
            demand[i] = 0
            guaranteed[i] = 0
            free[i] = 0
            history.credits[i] = 0
        history.earned[i] -= history.credits[i] + free[i]
    one_round(demand, guaranteed, free, capacity, history.credits, allocation, history.round[4:])
    for i in range(demand.shape[0]):
        history.earned[i] += history.credits[i]
    _sum_up(accounts, history.credits)
    _sum_up(accounts, history.earned)


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Credits earned, less those paid, in rounds of one's own share: the richest come first.

    The credits that all were given, to begin with and in each round, are the same in rounds of one's own share but for rounding, which must not
    decide who comes first.
    """
    history = state.history
    machine = 1000.0 * history.capacity[0]
    for i in range(accounts.parent.shape[0]):
        due = machine * state.norm_shares[i]
        state.level_fs[i] = history.earned[i] / due if due > 0.0 else -math.inf
