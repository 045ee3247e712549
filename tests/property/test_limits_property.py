"""What must hold of limits whatever the policy and the order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core import limit_tables as lt
from apportion.core import limit_usage, limits
from apportion.core.reasons import (
    ASSOC_GRP_JOBS,
    ASSOC_GRP_MINS,
    ASSOC_GRP_RUN_MINS,
    ASSOC_GRP_SUBMIT,
    ASSOC_GRP_TRES,
    QOS_GRP_JOBS,
    QOS_GRP_MINS,
    QOS_GRP_RUN_MINS,
    QOS_GRP_SUBMIT,
    QOS_GRP_TRES,
)
from limit_cases import TRES, Pair, random_pair

if TYPE_CHECKING:
    from random import Random


def legal_walk(pair: Pair, rng: Random) -> None:
    """Submit, start, end and cancel as a scheduler that respects every limit would."""
    now = 0
    to_come = list(range(len(pair.jobs)))
    for _ in range(30):
        now += rng.choice([0, 1000, 30_000])
        pending = [pair.jobs.index(job) for job in pair.world.pending]
        running = [pair.jobs.index(job) for job in pair.world.running]
        if to_come and rng.random() < 0.5:
            j = to_come.pop()
            if limits.submit_mask(pair.L, pair.C, pair.table, j) == 0:
                pair.submit(j)
                check_submitted(pair)
        elif pending and rng.random() < 0.6:
            j = rng.choice(pending)
            if limits.may_start(pair.L, pair.C, pair.table, j):
                pair.start(j, now)
                check_started(pair, j)
        elif running and rng.random() < 0.4:
            pair.end(rng.choice(running), now, 0.5)
        elif pending and rng.random() < 0.2:
            pair.cancel(rng.choice(pending))
        else:
            pair.tick(now, 0.5, 0.5)
        check_sums(pair)


def check_sums(pair: Pair) -> None:
    """An account counts what its children count, plus what runs in it directly; nothing is negative."""
    counters, world = pair.counters, pair.world
    for column in (counters.totals, counters.owner, counters.used, counters.left):
        assert (column >= 0).all()
    for place in range(len(world.parent)):
        children = [i for i, above in enumerate(world.parent) if above == place]
        direct = [job for job in world.running if job.assoc == place]
        waiting = [job for job in world.pending if job.assoc == place]
        totals = counters.totals[children].sum(axis=0)
        if len(pair.tables.slot):
            assert counters.totals[place, lt.RUNNING] == totals[lt.RUNNING] + len(direct)
            assert counters.totals[place, lt.SUBMITTED] == totals[lt.SUBMITTED] + len(direct) + len(waiting)
        for t in np.flatnonzero(pair.tables.kept & lt.COUNTED):
            assert counters.totals[place, lt.FIRST_TRES + t] == totals[lt.FIRST_TRES + t] + sum(
                job.tres[TRES[t]] for job in direct
            )


def at_places(pair: Pair, j: int, families: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Place, TRES and value of the limits of some families that apply to a job, LimitFactor left out."""
    found = []
    for s, row in enumerate(pair.tables.slot):
        if row[lt.FAMILY] in families:
            for place in pair.world.places(pair.jobs[j]):
                if pair.tables.limit[s, place] >= 0:
                    found.append((place, int(row[lt.TRES]), int(pair.tables.limit[s, place])))
    return found


def check_submitted(pair: Pair) -> None:
    for j, job in enumerate(pair.jobs):
        if job in pair.world.pending:
            for place, _, limit in at_places(pair, j, (QOS_GRP_SUBMIT, ASSOC_GRP_SUBMIT)):
                assert pair.counters.totals[place, lt.SUBMITTED] <= limit


def check_started(pair: Pair, j: int) -> None:
    """No group limit on the way of a job that has just started is broken."""
    job, counters = pair.jobs[j], pair.counters
    stretched = job.qos >= 0 and pair.world.qos[job.qos].limit_factor is not None
    for place, _, limit in at_places(pair, j, (QOS_GRP_JOBS, ASSOC_GRP_JOBS)):
        assert counters.totals[place, lt.RUNNING] <= limit
    for place, t, limit in at_places(pair, j, (QOS_GRP_TRES, ASSOC_GRP_TRES)):
        is_stretched = stretched and place < len(pair.world.parent)
        assert is_stretched or job.tres[TRES[t]] == 0 or counters.totals[place, lt.FIRST_TRES + t] <= limit
    for place, t, limit in at_places(pair, j, (QOS_GRP_RUN_MINS, ASSOC_GRP_RUN_MINS)):
        assert job.tres[TRES[t]] == 0 or counters.left[place, t] <= limit
    for place, t, limit in at_places(pair, j, (QOS_GRP_MINS, ASSOC_GRP_MINS)):
        assert job.tres[TRES[t]] == 0 or counters.used[place, t] < limit


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_children_add_up_and_no_started_job_breaks_a_group_limit(rng):
    legal_walk(random_pair(rng), rng)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_counters_return_to_zero_when_all_is_over(rng):
    pair = random_pair(rng)
    legal_walk(pair, rng)
    for job in list(pair.world.running):
        pair.end(pair.jobs.index(job), 10_000_000, 1.0)
    for job in list(pair.world.pending):
        pair.cancel(pair.jobs.index(job))
    assert not pair.counters.totals.any()
    assert not pair.counters.owner.any()
    assert not pair.counters.left.any()


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_never_ends_binds_now(rng):
    pair = random_pair(rng)
    legal_walk(pair, rng)
    for job in pair.world.pending:
        j = pair.jobs.index(job)
        now = limits.binding(pair.L, pair.C, pair.table, j)
        assert limits.never(pair.L, pair.C, pair.table, j) & ~now == 0
        assert limits.may_start(pair.L, pair.C, pair.table, j) == (now == 0)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_job_that_ages_keeps_ageing_until_it_starts(rng):
    pair = random_pair(rng)
    if not pair.tables.n_accrue:
        return
    for j in range(len(pair.jobs)):
        pair.submit(j)
    ageing: set[int] = set()
    for now in range(20):
        j = rng.randrange(len(pair.jobs))
        if pair.jobs[j] not in pair.world.pending:
            continue
        if rng.random() < 0.3:
            pair.start(j, now)
            ageing.discard(j)
        elif limit_usage.accrue(pair.L, pair.C, pair.table, j, now):
            ageing.add(j)
        assert {j for j in range(len(pair.jobs)) if pair.counters.accrue_since[j] >= 0} == ageing
