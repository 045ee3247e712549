"""Calendar of usage resets, in integer arithmetic and UTC.

Slurm resets usage (``PriorityUsageResetPeriod``, slurm.conf(5)) at midnight of the first day of a day, week, month,
quarter or year; a week begins on Sunday.
"""

from __future__ import annotations

from apportion.core.jit import kernel
from apportion.core.tables import NEVER

DAY_MS = 86_400_000

RESET_NONE = 0
RESET_NOW = 1
RESET_DAILY = 2
RESET_WEEKLY = 3
RESET_MONTHLY = 4
RESET_QUARTERLY = 5
RESET_YEARLY = 6
RESETS = {
    "NONE": RESET_NONE,
    "NOW": RESET_NOW,
    "DAILY": RESET_DAILY,
    "WEEKLY": RESET_WEEKLY,
    "MONTHLY": RESET_MONTHLY,
    "QUARTERLY": RESET_QUARTERLY,
    "YEARLY": RESET_YEARLY,
}


@kernel
def first_day_of_month(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of a month of the Gregorian calendar.

    ``month`` counts from 0 and may exceed 11, which leads into later years.
    """
    year += month // 12
    month %= 12
    before = year - 1  # whole years before this one, counted from year 1
    days = 365 * before + before // 4 - before // 100 + before // 400 - 719_162
    # What the months so far lack to 31 days each: 3 by March, then one more for each shorter month.
    days += 31 * month - (0 if month < 2 else (4 * month + 27) // 10)
    if month >= 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        days += 1
    return days


@kernel
def year_of_day(day: int) -> int:
    """Gregorian year in which a day (counted from 1970-01-01) lies."""
    year = 1970 + (day * 400) // 146_097
    while first_day_of_month(year, 0) > day:
        year -= 1
    while first_day_of_month(year + 1, 0) <= day:
        year += 1
    return year


@kernel
def next_reset(reset: int, now: int) -> int:
    """First reset of usage strictly after ``now``.

    Parameters
    ----------
    reset : int
        One of the ``RESET_*`` codes.
    now : int
        ms since the epoch.

    Returns
    -------
    int
        ms since the epoch; NEVER for ``RESET_NONE`` and ``RESET_NOW``.
    """
    if reset < RESET_DAILY:
        return NEVER
    day = now // DAY_MS
    if reset == RESET_DAILY:
        return (day + 1) * DAY_MS
    if reset == RESET_WEEKLY:
        return (day + 7 - (day + 4) % 7) * DAY_MS  # 1970-01-01 was a Thursday, day 4 of a week from Sunday
    months = 1 if reset == RESET_MONTHLY else (3 if reset == RESET_QUARTERLY else 12)
    year = year_of_day(day)
    month = 0
    while first_day_of_month(year, month) <= day:
        month += months
    return first_day_of_month(year, month) * DAY_MS
