"""Timetables of failures: distributions, logs, overlaps, and whom a failure hits."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from apportion.core.codes import SUBMIT
from apportion.core.errors import ScenarioError
from apportion.core.handle import handle
from apportion.core.step import step
from apportion.core.victims import hit
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim.failures import (
    NETWORK_BACK,
    NETWORK_CUT,
    POSITIONS,
    PROCS_BACK,
    PROCS_LOST,
    FailureSource,
    timetable,
)
from driving import submissions
from oracles.jobs import Job

HOUR = 3_600_000
YEARS = 400 * 365 * 24 * HOUR
DAY_S = 86_400.0


def rows(table):
    columns = (table.time_ms, table.what, table.place, table.procs, table.position)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def times(table, what, place=0):
    return table.time_ms[(table.what == what) & (table.place == place)]


@pytest.mark.parametrize(
    ("source", "law"),
    [
        (FailureSource(0, mtbf_s=10 * DAY_S), stats.expon(scale=10 * DAY_S)),
        (
            FailureSource(0, distribution="weibull", shape=0.7, mtbf_s=5 * DAY_S),
            stats.weibull_min(0.7, scale=5 * DAY_S / math.gamma(1 + 1 / 0.7)),
        ),
        (
            FailureSource(0, distribution="weibull", shape=3.0, mtbf_s=5 * DAY_S),
            stats.weibull_min(3.0, scale=5 * DAY_S / math.gamma(1 + 1 / 3)),
        ),
    ],
)
def test_times_between_failures_follow_their_law(source, law):
    table = timetable([source], [1_000_000], 0, YEARS, seed=11)
    gaps = np.diff(np.concatenate([[0], times(table, PROCS_LOST)])) / 1000
    assert len(gaps) > 10_000
    assert stats.kstest(gaps, law.cdf).pvalue > 0.01
    assert gaps.mean() == pytest.approx(source.mtbf_s, rel=0.05)


@pytest.mark.parametrize("kind", ["center", "network"])
def test_what_is_away_as_a_whole_fails_again_only_when_it_is_back(kind):
    source = FailureSource(0, kind, mtbf_s=3 * DAY_S, repair_s=2 * DAY_S)
    table = timetable([source], [64], 0, YEARS, seed=5)
    lost, back = (PROCS_LOST, PROCS_BACK) if kind == "center" else (NETWORK_CUT, NETWORK_BACK)
    gone, home = times(table, lost), times(table, back)
    assert (home >= gone).all()
    assert (gone[1:] >= home[:-1]).all()
    assert stats.kstest((gone[1:] - home[:-1]) / 1000, stats.expon(scale=3 * DAY_S).cdf).pvalue > 0.01
    assert stats.kstest((home - gone) / 1000, stats.expon(scale=2 * DAY_S).cdf).pvalue > 0.01
    assert set(table.procs.tolist()) == ({64} if kind == "center" else {0})
    summary = table.summary([64], 0, YEARS)
    part = summary["lost_fraction"] if kind == "center" else summary["network_away_h"] * HOUR / YEARS
    assert part == pytest.approx(2 / 5, abs=0.02)  # MTTR / (MTTF + MTTR)


def test_positions_are_uniform_and_a_seed_is_a_seed():
    sources = [FailureSource(0, mtbf_s=DAY_S), FailureSource(1, "center", mtbf_s=9 * DAY_S)]
    one = timetable(sources, [10**6, 8], 0, YEARS // 10, seed=1)
    assert rows(one) == rows(timetable(sources, [10**6, 8], 0, YEARS // 10, seed=1))
    assert rows(one) != rows(timetable(sources, [10**6, 8], 0, YEARS // 10, seed=2))
    alone = timetable(sources[:1], [10**6, 8], 0, YEARS // 10, seed=1)
    assert rows(alone) == [row for row in rows(one) if row[2] == 0]  # the other source changes nothing
    positions = alone.position[alone.what == PROCS_LOST]
    assert stats.kstest(positions / POSITIONS, "uniform").pvalue > 0.01
    assert 0 <= positions.min() <= positions.max() < POSITIONS


def log_source(tmp_path, text, **more):
    path = tmp_path / "failures.csv"
    path.write_text(text)
    return FailureSource(0, log=path, **more)


def test_a_log_by_hand(tmp_path):
    """Ten processors: 6 go at 100 s for 50 s; at 120 s 8 would go, but 4 are left; at 150 s the 6 are back before 7 go, 6 of them."""
    source = log_source(tmp_path, "time_s,procs,repair_s\n100,6,50\n120,8,100\n\n150,7,1.5\n9999999,1,1\n")
    table = timetable([source], [10], 0, 1_000_000, seed=1)
    assert [row[:4] for row in rows(table)] == [
        (100_000, PROCS_LOST, 0, 6),
        (120_000, PROCS_LOST, 0, 4),
        (150_000, PROCS_BACK, 0, 6),
        (150_000, PROCS_LOST, 0, 6),
        (151_500, PROCS_BACK, 0, 6),
        (220_000, PROCS_BACK, 0, 4),
    ]
    summary = table.summary([10], 0, 1_000_000)
    assert summary["failures"] == 3
    assert summary["lost_proc_h"] == pytest.approx((6 * 50 + 4 * 100 + 6 * 1.5) / 3600)
    assert table.summary([10], 0, 200_000)["lost_fraction"] == pytest.approx((6 * 50 + 4 * 80 + 6 * 1.5) / 2000)


def test_a_log_of_networks_overlapping(tmp_path):
    source = log_source(tmp_path, "repair_s,time_s,procs\n10,5,1\n10,12,1\n1,40,1\n3,40,1\n", kind="network")
    table = timetable([source], [10], 0, 1_000_000, seed=1)
    expected = [(5_000, NETWORK_CUT), (22_000, NETWORK_BACK), (40_000, NETWORK_CUT), (43_000, NETWORK_BACK)]
    assert [row[:2] for row in rows(table)] == expected
    assert table.summary([10], 0, 1_000_000)["network_away_h"] == pytest.approx(20 / 3600)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "failures.csv:1: there is no column time_s"),
        ("time_s,procs\n1,2\n", "no column repair_s"),
        ("time_s,procs,repair_s\n1,2,3\nx,1,1\n", "failures.csv:3: this is not a failure: x,1,1"),
        ("time_s,procs,repair_s\n1,2\n", "failures.csv:2"),
        ("time_s,procs,repair_s\n1,0,3\n", "failures.csv:2"),
        ("time_s,procs,repair_s\n1,1.5,3\n", "failures.csv:2"),
        ("time_s,procs,repair_s\n1,1,-3\n", "failures.csv:2"),
        ("time_s,procs,repair_s\nnan,1,3\n", "failures.csv:2"),
        ("time_s,procs,repair_s\n1,inf,3\n", "failures.csv:2"),
    ],
)
def test_a_bad_log_is_one_clear_line(text, said, tmp_path):
    with pytest.raises(ScenarioError) as caught:
        timetable([log_source(tmp_path, text)], [4], 0, HOUR, seed=1)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_log_and_too_many_failures(tmp_path):
    with pytest.raises(ScenarioError, match="no such file"):
        timetable([FailureSource(0, log=tmp_path / "none.csv")], [4], 0, HOUR, seed=1)
    with pytest.raises(ScenarioError, match="MTBF"):
        timetable([FailureSource(0, mtbf_s=0.001)], [4], 0, HOUR, seed=1)


@given(
    seed=st.integers(0, 100),
    sources=st.lists(
        st.builds(
            FailureSource,
            place=st.integers(0, 1),
            kind=st.sampled_from(["node", "center", "network"]),
            mtbf_s=st.sampled_from([50.0, 400.0]),
            repair_s=st.sampled_from([5.0, 300.0]),
            procs=st.integers(1, 9),
        ),
        max_size=4,
    ),
)
def test_nothing_is_lost_twice(seed, sources):
    capacity = [4, 7]
    table = timetable(sources, capacity, -10_000, HOUR, seed)
    there = list(capacity)
    reachable = [True, True]
    naive = 0
    before = -10_000
    for time, what, place, procs, _ in rows(table):
        naive += (sum(capacity) - sum(there)) * (min(time, HOUR) - min(before, HOUR))
        before = time
        if what in (PROCS_LOST, PROCS_BACK):
            there[place] += procs if what == PROCS_BACK else -procs
            assert procs > 0
            assert 0 <= there[place] <= capacity[place]
        else:
            assert reachable[place] == (what == NETWORK_CUT)
            reachable[place] = not reachable[place]
    assert there == capacity
    assert reachable == [True, True]
    assert (np.diff(table.time_ms) >= 0).all()
    assert table.summary(capacity, -10_000, HOUR)["lost_proc_h"] == pytest.approx(naive / HOUR)


def naive_hit(widths, total, position, procs):
    """Processors in a row, each with its job or none; the block is cut out of it."""
    row = list(itertools.chain.from_iterable([job] * width for job, width in widths))
    row += [None] * (total - len(row))
    begin = position * (max(total - procs, 0) + 1) // 2**32
    return list(dict.fromkeys(job for job in row[begin : begin + procs] if job is not None))


@given(
    jobs=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), max_size=6),
    position=st.one_of(st.sampled_from([0, POSITIONS - 1]), st.integers(0, POSITIONS - 1)),
    procs=st.integers(1, 30),
)
def test_whom_a_failure_hits(jobs, position, procs):
    total = 24  # enough for all to start at once
    running = [Job(k + 1, 0, limit * 1000, limit * 1000, width) for k, (width, limit) in enumerate(jobs)]
    state = begun(running, total)
    n = hit(handle(state), 0, position, procs)
    by_end = sorted(range(len(jobs)), key=lambda k: (jobs[k][1], k))
    expected = naive_hit([(k, jobs[k][0]) for k in by_end], total, position, procs)
    assert state.work[:n].tolist() == expected


def begun(jobs, total):
    """State of a core in which all jobs have just started."""
    state = compile_policy(from_dict({"Order": "fcfs", "Backfill": "easy"}), submissions(jobs, total)).state
    n = len(jobs)
    started = step(handle(state), 0, np.full(n, SUBMIT), np.arange(n), n)
    assert started == n
    return state


def test_every_processor_fails_alike():
    """Single processors: a job of w of 24 processors is hit w times in 24, within three standard deviations."""
    jobs = [Job(1, 0, 1000, 1000, 2), Job(2, 0, 2000, 2000, 10)]
    state = begun(jobs, 24)
    core = handle(state)
    found: Counter[int] = Counter()
    draws = 20_000
    for position in np.random.default_rng(4).integers(POSITIONS, size=draws).tolist():
        found.update(state.work[: hit(core, 0, position, 1)].tolist())
    for job, width in ((0, 2), (1, 10)):
        p = width / 24
        assert abs(found[job] - draws * p) < 3 * math.sqrt(draws * p * (1 - p))
