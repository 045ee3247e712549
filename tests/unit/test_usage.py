"""Usage: ageing, charging inside a slice, QOS, resets, daily bins."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise

import numpy as np
import pytest

from apportion.core.calendar import (
    DAY_MS,
    RESET_DAILY,
    RESET_MONTHLY,
    RESET_NONE,
    RESET_NOW,
    RESET_QUARTERLY,
    RESET_WEEKLY,
    RESET_YEARLY,
    next_reset,
)
from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.core.usage import IN_USE, LAST_TICK, TICKS, WALL, Usage, advance, charge_end, charge_start, new_usage
from apportion.core.usage import usage_params as params_of

PERIOD = 300_000
WEEK_S = 604_800
PARENT = np.array([-1, 0, 1, 1, 0])  # root { account { user 2, user 3 }, user 4 }
NO_EXTRA = np.zeros(0, np.int64)


class Book:
    """Usage of a small tree, charged through the kernels."""

    def __init__(self, half_life_s: float = WEEK_S, start_ms: int = 0, n_days: int = 0, **rules) -> None:
        params = params_of(half_life_s, PERIOD, **rules)
        self.usage: Usage = new_usage(len(PARENT), params, start_ms, n_days)
        self.handles = handle(self.usage), handle(params)
        self.jobs: dict[str, tuple] = {}

    def at(self, now: int) -> int:
        return advance(*self.handles, now)

    def start(self, name: str, now: int, assoc: int, units: float, qos: int = -1, procs: int = 1, extra=NO_EXTRA):
        self.at(now)
        self.jobs[name] = (assoc, qos, int(units * 1000), procs, extra, now)
        charge_start(*self.handles, PARENT, *self.jobs[name])

    def end(self, name: str, now: int) -> None:
        self.at(now)
        charge_end(*self.handles, PARENT, *self.jobs.pop(name), now)

    def values(self, meter: int = 0) -> list[float]:
        return self.usage.value[meter].tolist()


def s(seconds: float) -> int:
    return int(seconds * 1000)


def test_a_half_life_of_seven_days_leaves_slurms_half():
    book = Book()
    book.start("j", 0, 2, 1000)
    book.end("j", PERIOD)
    book.at(PERIOD)
    before = book.values()[2]
    book.at(PERIOD + s(WEEK_S))
    assert book.values()[2] / before == pytest.approx(0.50007, abs=5e-6)


def test_exact_decay_halves():
    book = Book(decay="exact")
    book.start("j", 0, 2, 1000)
    book.end("j", PERIOD)
    book.at(PERIOD)
    before = book.values()[2]
    book.at(PERIOD + s(WEEK_S))
    assert book.values()[2] / before == pytest.approx(0.5, rel=1e-9)


def test_a_whole_slice_is_aged_as_if_used_at_its_start():
    d = 1 - 0.693 / WEEK_S
    book = Book()
    book.start("j", 0, 2, 10)
    book.at(PERIOD)
    once = 10 * 300 * d**300
    assert book.values() == pytest.approx([once, once, once, 0, 0], rel=1e-9)
    book.at(2 * PERIOD)
    assert book.values()[2] == pytest.approx(once * d**300 + once, rel=1e-9)


def test_a_part_of_a_slice_is_aged_by_its_own_length_at_the_next_tick():
    d = 1 - 0.693 / WEEK_S
    book = Book()
    book.start("within", s(100), 2, 4)
    book.end("within", s(150))
    book.start("from", s(200), 3, 2)
    assert book.values() == [0] * 5
    book.at(PERIOD)
    assert book.values()[2] == pytest.approx(4 * 50 * d**50, abs=2e-6)
    assert book.values()[3] == pytest.approx(2 * 100 * d**100, abs=2e-6)
    book.end("from", s(420))
    book.at(2 * PERIOD)
    assert book.values()[3] == pytest.approx(2 * 100 * d**100 * d**300 + 2 * 120 * d**120, abs=4e-6)
    assert book.values()[0] == pytest.approx(sum(book.values()[2:4]), rel=1e-12)


@pytest.mark.parametrize("decay", ["slurm", "exact"])
def test_what_comes_and_goes_at_once_leaves_nothing(decay: str):
    book = Book(decay=decay)
    book.start("other", s(7), 3, 1 / 3)
    for k in range(100):
        book.start(f"j{k}", s(100), 2, 7.7 + k)
    for k in reversed(range(100)):
        book.end(f"j{k}", s(100))
    book.end("other", s(290))
    book.at(10 * PERIOD)
    assert book.values()[2] == 0.0
    assert book.values()[3] == book.values()[1] == book.values()[0] > 0


def test_parts_of_a_second_count_as_parts():
    fade = math.log(2) / 3600
    book = Book(half_life_s=3600, decay="exact")
    book.start("j", 100_250, 2, 10)
    book.end("j", 100_750)
    slurm = Book(half_life_s=3600)
    slurm.start("j", 100_250, 2, 10)
    slurm.end("j", 100_750)
    book.at(PERIOD)
    slurm.at(PERIOD)
    assert book.values()[2] == pytest.approx(5 * math.exp(-fade * 199.5), rel=1e-7)
    assert slurm.values()[2] == 5.0  # aged by whole seconds, here none


def test_no_decay_keeps_every_second():
    book = Book(half_life_s=0)
    book.start("j", s(12), 2, 3)
    book.end("j", s(1_000_000))
    book.at(s(2_000_000))
    assert book.values()[2] == pytest.approx(3 * (1_000_000 - 12), rel=1e-12)


def test_usage_factor_scales_and_may_be_zero():
    book = Book(half_life_s=0, usage_factor=np.array([2000, 250, 0]))
    for qos in range(3):
        book.start(f"q{qos}", 0, 2, 8, qos=qos)
    book.at(PERIOD)
    assert book.values() == [300 * 18.0, 300 * 18.0, 300 * 18.0, 0, 0, 300 * 16.0, 300 * 2.0, 0]


@pytest.mark.parametrize("decay", ["slurm", "exact"])
def test_a_qos_without_decay_keeps_the_undecayed_amount(decay: str):
    book = Book(half_life_s=3600, decay=decay, usage_factor=np.array([1000, 1000]), no_decay=np.array([0, 1]))
    for qos in range(2):
        book.start(f"q{qos}", s(30), 2, 1, qos=qos)
    for qos in range(2):
        book.end(f"q{qos}", s(5030))
    book.at(s(10_200))
    user, decaying, kept = book.values()[2], book.values()[5], book.values()[6]
    assert kept == pytest.approx(5000, rel=1e-12)
    assert user == pytest.approx(2 * decaying, rel=1e-8)
    assert decaying < 2500


def test_other_meters_count_their_own():
    extra = np.array([512, 2])  # memory, GPUs: TRES 1 and 2; billing is 3
    book = Book(
        half_life_s=0, billing_tres=3, meters=(WALL, 0, 2), usage_factor=np.array([500]), no_decay=np.array([0])
    )
    book.start("j", 0, 2, 7, qos=0, procs=16, extra=extra)
    book.at(PERIOD)
    assert [book.values(m)[1] for m in range(4)] == [300 * 3.5, 300.0, 300 * 8.0, 300 * 1.0]


def test_time_passes_cheaply_and_rightly_while_nothing_is_used():
    book = Book(reset=RESET_DAILY)
    assert book.at(PERIOD - 1) == 0
    assert book.at(s(86_400 * 365)) == 86_400 * 365 // 300
    assert book.usage.clock[LAST_TICK] == s(86_400 * 365)
    assert book.usage.clock[TICKS] == 86_400 * 365 // 300
    assert book.usage.clock[IN_USE] == 0


def test_old_usage_never_becomes_a_denormal_nor_nothing():
    book = Book(half_life_s=60)
    book.start("j", 0, 2, 1)
    book.end("j", s(1))
    book.at(s(86_400 * 30))
    assert book.values()[2] == np.finfo(np.float64).tiny
    assert book.values()[3] == 0.0


def test_reset_drops_all_but_the_slice_that_ends_there():
    book = Book(half_life_s=0, reset=RESET_DAILY, usage_factor=np.array([1000]), no_decay=np.array([1]))
    book.start("j", 0, 2, 1, qos=0)
    book.at(DAY_MS - 1)
    assert book.values()[2] == 86_400 - 300
    book.at(DAY_MS)
    assert book.values()[2] == 300
    assert book.values()[5] == 300
    book.at(DAY_MS + PERIOD)
    assert book.values()[2] == 600


@pytest.mark.parametrize("reset", [RESET_DAILY, RESET_WEEKLY, RESET_MONTHLY, RESET_QUARTERLY, RESET_YEARLY])
def test_next_reset_is_the_calendars(reset: int):
    def resets_at(day: dt.date) -> bool:
        return {
            RESET_DAILY: True,
            RESET_WEEKLY: day.weekday() == 6,
            RESET_MONTHLY: day.day == 1,
            RESET_QUARTERLY: day.day == 1 and day.month in {1, 4, 7, 10},
            RESET_YEARLY: day.day == 1 and day.month == 1,
        }[reset]

    epoch = dt.date(1970, 1, 1).toordinal()
    days = range(dt.date(1895, 1, 1).toordinal(), dt.date(2105, 1, 1).toordinal())  # leap years and years that are not
    boundaries = [(day - epoch) * DAY_MS for day in days if resets_at(dt.date.fromordinal(day))]
    for before, after in pairwise(boundaries):
        assert next_reset(reset, before) == after
        assert next_reset(reset, after - 1) == after


def test_without_a_period_there_is_no_reset():
    assert next_reset(RESET_NONE, 0) == next_reset(RESET_NOW, 0) == NEVER


def test_daily_bins_hold_raw_usage_by_day():
    book = Book(n_days=10, usage_factor=np.array([500]), no_decay=np.array([0]))
    book.start("a", DAY_MS - s(100), 2, 3, qos=0)
    book.start("b", DAY_MS - s(50), 4, 1)
    book.end("b", DAY_MS - s(20))
    book.end("a", 3 * DAY_MS + s(1))
    assert book.usage.daily[:, 2].tolist() == [1500 * x for x in (100, 86_400, 86_400, 1, 0, 0, 0, 0, 0, 0)]
    assert book.usage.daily[:, 4].tolist() == [30_000] + [0] * 9
    assert book.usage.daily[:, [0, 1, 3]].sum() == 0


def test_daily_bins_are_a_ring_of_the_latest_days():
    book = Book(n_days=3)
    book.start("old", 0, 2, 1)
    book.end("old", s(60))
    book.start("long", s(70), 3, 1)
    book.end("long", 4 * DAY_MS + s(10))
    assert book.usage.daily[:, 2].tolist() == [0, 0, 0]
    assert [book.usage.daily[day % 3, 3] for day in (2, 3, 4)] == [86_400_000, 86_400_000, 10_000]


@pytest.mark.parametrize(
    ("half_life_s", "period_ms"), [(0.5, PERIOD), (-1, PERIOD), (float("nan"), PERIOD), (60, 0), (60, 1500)]
)
def test_senseless_rules_are_refused(half_life_s: float, period_ms: int):
    with pytest.raises(ValueError, match="must be"):
        params_of(half_life_s, period_ms)
