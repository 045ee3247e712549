"""Raw usage by UTC day, in a ring of the latest days: what windows of days and reports are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.calendar import DAY_MS
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints


@kernel
def charge_days(daily: Ints, newest: int, column: int, amount: int, start: int, end: int) -> int:
    """Spread what ran from ``start`` to ``end`` over its days.

    Whole seconds of the clock are counted, so that a job cut in pieces comes to the same as in one.

    Parameters
    ----------
    daily : int64[n_days, n_columns]
        Amount x seconds; day d since the epoch is in row ``d % n_days``.
    newest : int
        Newest day that the ring knows.
    column : int
        Whose usage it is.
    amount : int
        What is used in a second.
    start, end : int
        ms since the epoch.

    Returns
    -------
    int
        Newest day that the ring knows now; days too old for it are left out.
    """
    n_days = daily.shape[0]
    day = end // DAY_MS
    while newest < day:
        newest += 1
        if day - newest < n_days:
            daily[newest % n_days, :] = 0
    upper = end // 1000
    start_s = start // 1000
    while upper > start_s and newest - day < n_days:
        lower = max(start_s, day * (DAY_MS // 1000))
        daily[day % n_days, column] += amount * (upper - lower)
        upper = lower
        day -= 1
    return newest
