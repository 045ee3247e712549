"""Budgets of accounts: periods, carry-over and ends, with schedules worked out by hand; sums against a naive ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core import reasons
from apportion.core.errors import PolicyError
from apportion.policy.load import from_dict
from apportion.sim.replay import replay
from driving import by_submit, run, submissions
from oracles.jobs import Job
from workloads import workload

HOUR = 3_600_000
DAY = 24 * HOUR
ACCOUNTS = "ab"


def job(k: int, submit_h: float, run_h: float, limit_h: float, procs: int, user: int = 0) -> Job:
    return Job(k, round(submit_h * HOUR), round(run_h * HOUR), round(limit_h * HOUR), procs, user)


def replayed(rows: list[Job], *accounts: dict[str, Any], origin: str = "", **keys: Any) -> Any:
    entries = [{"Account": name, **entry} for name, entry in zip(ACCOUNTS, accounts, strict=False)]
    origin_ms = int(datetime.fromisoformat(origin).replace(tzinfo=UTC).timestamp() * 1000) if origin else 0
    names = {"account": lambda one: ACCOUNTS[one.user]}
    return run(rows, 16, backfill="easy", names=names, accounts=entries, origin_ms=origin_ms, **keys)


def hours(done: Any) -> list[float]:
    return [start / HOUR if start >= 0 else -1 for start in done.starts]


def test_a_limit_that_does_not_fit_waits_until_what_was_promised_comes_back():
    done = replayed(
        [job(1, 0, 1, 6, 1), job(2, 0, 1, 4, 1), job(3, 0, 1, 4, 1), job(4, 0, 1, 1, 1, user=1)],
        {"Budget": "cpu=10", "BudgetDays": 30},
    )
    # 10 hours: 6 and 4 are promised. At 1 h both have used 1 and give back 5 and 3: 8 are left for the third.
    assert hours(done) == [0, 0, 1, 0]
    assert reasons.words(int(done.state.live.reasons[2]), done.state.limits.bit_code) == ["QuotaBudget"]


@pytest.mark.parametrize(
    ("carry", "second"),
    [
        ({}, -1),  # 10 hours each day: 12 fit never
        ({"BudgetCarryOver": 1}, 24),  # 5 are carried
        ({"BudgetCarryOver": 0.4}, 24),  # 2 are
        ({"BudgetCarryOver": 0.3}, 48),  # 1.5, then 0.3 x 11.5 = 3.45
        ({"BudgetCarryOver": 1, "BudgetCarryCap": "cpu=1"}, -1),
        ({"BudgetCarryOver": 1, "BudgetCarryCap": "cpu=2"}, 24),
    ],
)
def test_what_is_left_is_carried_over_by_a_fraction_and_a_cap(carry, second):
    done = replayed([job(1, 0, 1, 1, 5), job(2, 1, 1, 1, 12)], {"Budget": "cpu=10", "BudgetDays": 1, **carry})
    assert hours(done) == [0, second]


def test_what_runs_over_the_turn_is_charged_to_the_next_period():
    done = replayed(
        [job(1, 23, 4, 4, 2), job(2, 24, 1, 1, 5), job(3, 24, 1, 1, 4)],
        {"Budget": "cpu=10", "BudgetDays": 1},
    )
    # Of 8 processor hours 6 belong to the second day, which has 4 left: the third job starts, the second the day after.
    assert hours(done) == [23, 48, 24]


def test_periods_of_the_calendar():
    rows = [job(1, 0, 1, 1, 10), job(2, 1, 1, 1, 10)]
    for period, wanted in (("month", "2024-03-01"), ("quarter", "2024-04-01"), ("year", "2025-01-01")):
        done = replayed(rows, {"Budget": "cpu=15", "BudgetPeriod": period}, origin="2024-02-10")
        turn = datetime.fromisoformat(wanted) - datetime.fromisoformat("2024-02-10")
        assert hours(done) == [0, turn.total_seconds() / 3600]


def test_days_are_counted_from_the_date_given():
    budget = {"Budget": "cpu=15", "BudgetDays": 7, "BudgetStart": "2024-02-07"}
    done = replayed([job(1, 0, 1, 1, 10), job(2, 1, 1, 1, 10)], budget, origin="2024-02-10")
    assert hours(done) == [0, 4 * 24]


def test_all_levels_bind():
    done = run(
        [job(1, 0, 1, 1, 4), job(2, 2, 1, 1, 4, 1), job(3, 2, 1, 1, 2, 1)],
        16,
        names={"account": lambda one: ACCOUNTS[one.user]},
        accounts=[
            {"Account": "top", "Budget": "cpu=6", "BudgetDays": 1},
            {"Account": "a", "Parent": "top", "Budget": "cpu=5", "BudgetDays": 1},
            {"Account": "b", "Parent": "top", "Budget": "cpu=5", "BudgetDays": 1},
        ],
    )
    assert hours(done) == [0, 24, 2]


def test_no_room_is_kept_for_an_account_that_has_used_up_a_soft_budget():
    rows = [job(1, 0, 1, 1, 10), job(2, 1, 4, 4, 10, 1), job(3, 2, 1, 1, 16), job(4, 2, 6, 6, 6, 1)]
    entry = {"Budget": "cpu=10", "BudgetDays": 30, "BudgetEnd": "soft"}
    assert hours(replayed(rows, entry)) == [0, 1, 8, 2]
    assert hours(replayed(rows, entry | {"Budget": "cpu=11"})) == [0, 1, 5, 6]
    assert hours(replayed(rows, entry | {"BudgetEnd": "hard"})) == [0, 1, -1, 2]


def test_a_budget_too_large_to_be_counted_is_refused():
    with pytest.raises(PolicyError, match="cannot be counted exactly"):
        replayed([job(1, 0, 1, 1, 1)], {"Budget": "cpu=9007199254740992"})


JOBS = st.lists(
    st.builds(
        lambda submit, limit, part, procs, user: (submit, limit * part // 4, limit, procs, user),
        st.integers(0, 40),
        st.integers(1, 12),
        st.integers(0, 4),
        st.integers(1, 8),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=10,
)


@given(
    JOBS,
    st.integers(4, 60),
    st.sampled_from([0, 0.5, 1]),
    st.sampled_from(["none", "easy", "conservative", "slurm", "easy-sjbf"]),
)
def test_a_hard_budget_is_never_overdrawn_and_both_drivers_agree(rows, hours_, carry, backfill):
    jobs = by_submit([job(k, *row) for k, row in enumerate(rows, start=1)])
    policy = from_dict(
        {
            "Backfill": backfill,
            "accounts": [
                {"Account": "top", "Budget": f"cpu={hours_}", "BudgetDays": 1, "BudgetCarryOver": carry},
                {"Account": "a", "Parent": "top"},
                {"Account": "b", "Parent": "top"},
            ],
        }
    )
    table = submissions(jobs, 8, account=lambda one: ACCOUNTS[one.user])
    done = [replay(workload(jobs, table), policy, engine) for engine in ("compiled", "simpy")]
    assert done[0].decision_hash == done[1].decision_hash
    ran = [
        (start, start + one.run, one.procs)
        for one, start in zip(jobs, done[0].start_ms.tolist(), strict=True)
        if start >= 0
    ]
    carried = Fraction(0)
    for day in range(60):
        begin, end = day * DAY, (day + 1) * DAY
        used = sum(procs * max(0, min(stop, end) - max(start, begin)) for start, stop, procs in ran)
        left = hours_ * HOUR + carried - used
        if any(start < end <= stop for start, stop, _ in ran):  # what runs over the turn was promised out of the next
            carried = max(left, Fraction(0)) * Fraction(str(carry))
            continue
        assert left >= 0
        carried = left * Fraction(str(carry))
    budgets = done[0].compiled.state.budgets
    if all(start >= 0 for start in done[0].start_ms):
        assert np.array_equal(budgets.rate, [0])
        assert np.array_equal(budgets.promised, [0])
