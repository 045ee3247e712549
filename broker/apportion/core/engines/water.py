"""Water-filling in whole units: what goes, one unit after the other, to whoever stands lowest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints


@kernel
def fill(level: Ints, room: Ints, units: int, out: Ints) -> int:
    """Give out ``units`` one by one, each to the lowest of those that still have room, of equals to the first.

    Found by bisection on the water level, so the number of units costs nothing.

    Parameters
    ----------
    level : int64[n]
        Where each stands; a unit raises it by one.
    room : int64[n]
        Units that each may take; below 0 counts as 0.
    units : int
    out : int64[n]
        Written: units that each got.

    Returns
    -------
    int
        Units that were given out: all, or as many as there is room for.
    """
    n = level.shape[0]
    total = 0
    low = 0
    high = 0
    for i in range(n):
        total += max(room[i], 0)
        low = min(low, level[i])
        high = max(high, level[i] + max(room[i], 0))
    given = min(units, total)
    # The highest water that takes no more than there is.
    while low < high:
        middle = (low + high + 1) >> 1
        if _below(level, room, middle) <= given:
            low = middle
        else:
            high = middle - 1
    rest = given
    for i in range(n):
        out[i] = min(max(low - level[i], 0), max(room[i], 0))
        rest -= out[i]
    for i in range(n):
        if rest > 0 and level[i] <= low and out[i] == low - level[i] and out[i] < room[i]:
            out[i] += 1
            rest -= 1
    return given


@kernel
def _below(level: Ints, room: Ints, water: int) -> int:
    """Units that are needed to bring everybody up to ``water``."""
    needed = 0
    for i in range(level.shape[0]):
        needed += min(max(water - level[i], 0), max(room[i], 0))
    return needed
