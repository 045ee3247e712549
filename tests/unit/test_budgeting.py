"""Budgets over time: by hand, and against what the decision core itself has left at the end."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.metrics.budgeting import budget_use
from driving import run as driven
from oracles.jobs import Job
from runs import make_run

HOUR = 3600.0
DAY = 24 * HOUR


def jobs(*rows):
    """Account, processors, start and run time in hours."""
    table = pd.DataFrame(rows, columns=["account", "procs", "start_s", "run_s"])
    table[["start_s", "run_s"]] *= HOUR
    return table.assign(submit_s=0.0)


def run_of(accounts, *rows, until=72.0, **manifest):
    table = rows[0] if isinstance(rows[0], pd.DataFrame) else jobs(*rows)
    return make_run(table, policy={"accounts": accounts}, measure_window_s=[0.0, until * HOUR], **manifest)


def budget(name, tres="cpu=10", **keys):
    return {"Account": name, "Budget": tres, "BudgetDays": 1} | keys


def told(run):
    return {
        (one.account, one.tres): [
            (period.begin_s / HOUR, period.end_s / HOUR, period.given, round(period.used, 9)) for period in one.periods
        ]
        for one in budget_use(run, 6)[1]
    }


def test_a_job_over_the_turn_of_a_period_counts_in_both_and_for_all_above():
    """4 processors from hour 22 to 25: 8 hours of the first day and 4 of the second."""
    accounts = [budget("top", "cpu=20"), budget("a", Parent="top"), {"Account": "below", "Parent": "a"}]
    run = run_of(accounts, ("below", 4, 22, 3), ("top", 1, 0, 1), ("other", 9, 0, 9), until=48)
    assert told(run) == {
        ("top", "cpu"): [(0, 24, 20, 9), (24, 48, 20, 4)],
        ("a", "cpu"): [(0, 24, 10, 8), (24, 48, 10, 4)],
    }


@pytest.mark.parametrize(
    ("keys", "second", "third"),
    [({}, 10, 10), ({"BudgetCarryOver": 0.5}, 13, 16.5), ({"BudgetCarryOver": 1, "BudgetCarryCap": "cpu=2"}, 12, 12)],
)
def test_what_is_left_is_carried_over(keys, second, third):
    """4 of 10 hours are used on the first day and none on the second; of what is left then, half is 3, and of 13 then 6.5."""
    (periods,) = told(run_of([budget("a", **keys)], ("a", 4, 0, 1))).values()
    assert [given for _, _, given, _ in periods] == [10, second, third]


def test_periods_of_the_calendar_and_what_is_overdrawn():
    """From 30 January on; nothing is carried of less than nothing."""
    origin = int(pd.Timestamp("2024-01-30", tz="UTC").timestamp() * 1000)
    entry = {"Account": "a", "Budget": "cpu=10", "BudgetPeriod": "month", "BudgetCarryOver": 1, "BudgetEnd": "soft"}
    run = run_of([entry], ("a", 1, 0, 100), until=24 * 40, origin_ms=origin)
    assert told(run) == {("a", "cpu"): [(0, 48, 10, 48), (48, 48 + 29 * 24, 10, 52), (744, 744 + 31 * 24, 10, 0)]}


def test_lines_fall_at_the_end_of_a_period():
    times, (one,) = budget_use(run_of([budget("a")], ("a", 1, 22, 4), until=36), 3)
    assert (times / HOUR).tolist() == [0, 12, 24, 24, 36]
    assert one.percent.tolist() == pytest.approx([0, 0, 20, 0, 20])


def test_a_run_without_budgets_or_time_has_none():
    assert budget_use(run_of([{"Account": "a"}], ("a", 1, 0, 1)))[1] == []
    assert budget_use(run_of([budget("a")], ("a", 1, 0, 1), until=0))[1] == []
    assert budget_use(run_of([budget("a", "billing=5")], ("a", 1, 0, 1)))[1] == []


def test_gpus_and_jobs_that_waited():
    rows = jobs(("a", 4, 0, 2), ("a", 4, 2, 1)).assign(reasons=["", "QuotaBudget,Priority"])
    run = run_of([budget("a", "cpu=10,gres/gpu=3")], rows)
    run = replace(run, jobs=run.jobs.assign(gpus=[1, 0]))
    assert {key: periods[0][3] for key, periods in told(run).items()} == {("a", "cpu"): 12, ("a", "gres/gpu"): 2}
    assert [one.held_jobs for one in budget_use(run)[1]] == [1, 1]


def test_what_is_refunded_is_not_used_but_only_in_its_period(tmp_path):
    """2 processors from hour 22 to 26, stopped then: of 3 hours given back the second day had paid 2."""
    stops = {"job_id": [1], "time_s": [26 * HOUR], "start_s": [22 * HOUR], "refunded_core_s": [2 * 3 * HOUR]}
    pd.DataFrame(stops).to_parquet(tmp_path / "preemptions.parquet")
    run = run_of([budget("a")], ("a", 2, 30, 1), until=48)
    assert told(replace(run, folder=tmp_path)) == {("a", "cpu"): [(0, 24, 10, 4), (24, 48, 10, 2)]}


JOBS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(0, 6), st.integers(1, 8)), min_size=1, max_size=10
)


@settings(deadline=None, max_examples=60)
@given(JOBS, st.integers(60, 400), st.sampled_from([0, 0.3, 1]), st.sampled_from(["", "cpu=7"]))
def test_as_much_is_left_as_the_core_has_left(rows, amount, carry, cap):
    entry = budget("a", f"cpu={amount}", BudgetCarryOver=carry) | ({"BudgetCarryCap": cap} if cap else {})
    jobs_of_core = [
        Job(k, submit * 3_600_000, run * 3_600_000, (run + more) * 3_600_000, procs, 0)
        for k, (submit, run, more, procs) in enumerate(sorted(rows, key=itemgetter(0)), start=1)
    ]
    done = driven(jobs_of_core, 8, backfill="easy", names={"account": lambda _: "a"}, accounts=[entry])
    table = [
        ("a", one.procs, start / 3_600_000, one.run / 3_600_000) if start >= 0 else ("a", one.procs, np.nan, np.nan)
        for one, start in zip(jobs_of_core, done.starts, strict=True)
    ]
    core = done.state.budgets
    run = run_of([entry], *table, until=int(core.end[0]) / 3_600_000)
    period = next(one for one in budget_use(run)[1][0].periods if one.begin_s * 1000 == core.begin[0])
    assert period.given - period.used == pytest.approx(core.left[0] / 3_600_000)
