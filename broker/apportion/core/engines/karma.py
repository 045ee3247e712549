"""Karma: who gives up part of a guaranteed share earns credits, and pays with them for more than that share later.

Of ``capacity`` slices, everybody is guaranteed a fair share times (1 - alpha); the rest is a pool. In each round everybody gets
credits for a part of the pool. Whoever wants less than is guaranteed donates the difference. Whoever wants more borrows, at one credit a
slice: from donors first, the poorest donor earning first, then from the pool. If too little is to be had, the richest borrow first.

Source: Vuppalapati et al., "Karma: Resource Allocation for Dynamic Demands", OSDI 2023, https://www.usenix.org/conference/osdi23/presentation/vuppalapati.
Shares may differ here; the paper has all equal, and so has its library. ``alpha`` is the part of the whole that is pooled, as in that library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.engines.water import fill
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints


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
