"""The kernels of limits against the naive twin: the same reasons, rows, counters and ageing after each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core import limit_tables as lt
from apportion.core import limit_usage, limits
from limit_cases import TRES, Pair, random_pair

if TYPE_CHECKING:
    from random import Random


def walk(pair: Pair, rng: Random, *, legal: bool, steps: int = 25) -> None:
    now = 0
    to_come = list(range(len(pair.jobs)))
    world = pair.world
    per_second = rng.choice([1.0, 0.5])
    for _ in range(steps):
        now += rng.choice([0, 500, 1000, 30_000])
        pending = [pair.jobs.index(job) for job in world.pending]
        running = [pair.jobs.index(job) for job in world.running]
        what = rng.choice(["submit", "submit", "start", "start", "start", "end", "cancel", "tick", "accrue"])
        if what == "submit" and to_come:
            j = to_come.pop()
            mask = limits.submit_mask(pair.L, pair.C, pair.table, j)
            assert sorted(set(pair.words(mask))) == sorted(set(world.refused(pair.jobs[j])))
            if mask == 0 or not legal:
                pair.submit(j)
        elif what == "start" and pending:
            j = rng.choice(pending)
            if not legal or limits.may_start(pair.L, pair.C, pair.table, j):
                pair.start(j, now)
        elif what == "end" and running:
            pair.end(rng.choice(running), now, per_second)
        elif what == "cancel" and pending:
            pair.cancel(rng.choice(pending))
        elif what == "accrue" and pending and pair.tables.n_accrue:
            for j in pending:
                assert limit_usage.accrue(pair.L, pair.C, pair.table, j, now) == world.accrue(pair.jobs[j], now)
        elif what == "tick":
            pair.tick(now, rng.choice([1.0, 0.5, 0.25, 0.0]), per_second)
        compare(pair)


def compare(pair: Pair) -> None:
    world = pair.world
    for job in world.pending:
        j = pair.jobs.index(job)
        rows = world.rows(job)
        mask = limits.binding(pair.L, pair.C, pair.table, j)
        assert pair.explained(limits.explain, j) == rows
        assert pair.words(mask) == list(dict.fromkeys(row[0] for row in rows))
        assert limits.may_start(pair.L, pair.C, pair.table, j) == (not rows)
        assert pair.words(limits.never(pair.L, pair.C, pair.table, j)) == list(
            dict.fromkeys(row[0] for row in world.rows(job, alone=True))
        )
    if pair.tables.n_accrue:
        assert pair.counters.accrue_since.tolist() == [job.ageing_since for job in pair.jobs]
    if len(pair.tables.slot):
        compare_counters(pair)
    out = np.zeros(len(pair.jobs), np.int64)
    running = pair.running()
    n = limit_usage.to_kill(pair.L, pair.C, pair.table, running, out)
    assert [pair.jobs[j] for j in out[:n]] == world.to_kill()


def compare_counters(pair: Pair) -> None:
    world, counters, kept = pair.world, pair.counters, pair.tables.kept
    for place in range(len(world.parent) + len(world.qos)):
        running = world.jobs_at(world.running, place)
        totals = counters.totals[place]
        assert totals[lt.RUNNING] == len(running)
        assert totals[lt.SUBMITTED] == len(running) + len(world.jobs_at(world.pending, place))
        if pair.tables.n_accrue:
            assert totals[lt.ACCRUING] == len(world.ageing(place))
        for t, tres in enumerate(TRES):
            if kept[t] & lt.COUNTED:
                assert totals[lt.FIRST_TRES + t] == sum(job.tres[tres] for job in running)
            if kept[t] & lt.REMAINING:
                assert counters.left[place, t] == world.left_s(place, tres)
            if kept[t] & lt.METERED:
                assert counters.used[place, t] == pytest.approx(world.used_s.get((place, tres), 0.0))
        if pair.tables.walled:
            assert counters.used[place, len(TRES)] == pytest.approx(world.wall_s.get(place, 0.0))
    for q in range(len(world.qos)):
        compare_owners(pair, q, lt.USER_ROW, world.user_of)
        compare_owners(pair, q, lt.ACCOUNT_ROW, world.account_of)


def compare_owners(pair: Pair, q: int, column: int, owner_of: list[int]) -> None:
    world, row = pair.world, int(pair.tables.qos[q, column])
    place = len(world.parent) + q
    for owner in set(owner_of) if row >= 0 else ():
        mine = [i for i, other in enumerate(owner_of) if other == owner]
        totals = pair.counters.owner[row, owner]
        running = [job for job in world.jobs_at(world.running, place) if job.assoc in mine]
        pending = [job for job in world.jobs_at(world.pending, place) if job.assoc in mine]
        assert totals[lt.RUNNING] == len(running)
        assert totals[lt.SUBMITTED] == len(running) + len(pending)
        if pair.tables.n_accrue:
            assert totals[lt.ACCRUING] == sum(job.assoc in mine and job.qos == q for job in world.ageing(place))


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_same_reasons_and_counters_in_any_order_of_events(rng):
    walk(random_pair(rng), rng, legal=True)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_same_when_jobs_run_that_break_limits(rng):
    walk(random_pair(rng), rng, legal=False)
