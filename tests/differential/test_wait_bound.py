"""The wait bound: a reservation, once earned, is kept whatever the order, the backfill and the jobs that come later."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.handle import handle
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim import compiled
from driving import by_submit, machine, run, submissions, world
from oracles.jobs import Job, Pool, Window
from oracles.workloads import job_lists, random_jobs, random_windows, window_lists

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKFILLS = ["none", "easy", "easy-sjbf", "slurm"]
ORDERS = ["sjf", "ljf", "laf", "wfp3"]
MACHINES = [[Pool(4)], [Pool(4), Pool(3)], [Pool(4, mem=6, gpus=2)]]
BOUNDS = [(1, 0.001), (60, 0.5), (120, 1.0)]  # MaxWait in seconds, MaxWaitReserveAt
UNIT = 10_000


def played(
    jobs: Sequence[Job], pools: Sequence[Pool], windows: Sequence[Window], **keys: Any
) -> tuple[list[list[int]], list[int], list[int]]:
    """Replay instant by instant: the plans that each job has held, one after the other, starts, and times of the plans."""
    policy = compile_policy(from_dict({**machine(pools, windows), **keys}), submissions(jobs, pools[0].procs))
    core, around = handle(policy.state), handle(world(jobs, policy))
    live = policy.state.live
    plans: list[list[int]] = [[] for _ in jobs]
    made = [-1] * len(jobs)
    for _ in range(5_000):
        over = compiled.replay(core, around, 1)
        for job in np.flatnonzero(live.plan >= 0).tolist():
            if not plans[job]:
                made[job] = int(policy.state.clock.now[0])
            if plans[job][-1:] != [live.plan[job]]:
                plans[job].append(int(live.plan[job]))
        if over:
            return plans, live.start.tolist(), made
    raise AssertionError("the replay does not end")


def check(
    jobs: Sequence[Job],
    pools: Sequence[Pool],
    windows: Sequence[Window],
    bound: tuple[int, float],
    order: str,
    backfill: str,
) -> int:
    """Each reservation is made in time, only ever moves forward, and is met; return how many were made."""
    max_wait, part = bound
    keys = {"Order": order, "Backfill": backfill, "MaxWait": f"0:{max_wait}", "MaxWaitReserveAt": part}
    plans, starts, made = played(jobs, pools, windows, **keys)
    for job, held, start, at in zip(by_submit(jobs), plans, starts, made, strict=True):
        earned = job.submit + max_wait * part * 1000
        assert held == sorted(held, reverse=True)
        if held:
            assert at >= earned
            if start >= 0:
                assert start <= held[-1]
            else:
                assert job.cancel is not None
                assert job.cancel <= held[-1]
        elif start >= 0:
            # It had none because it started as soon as anything could start again.
            pairs = zip(by_submit(jobs), starts, strict=True)
            assert not [other for other, at in pairs if other.pool == job.pool and earned <= at < start]
    return sum(bool(held) for held in plans)


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(data=st.data())
def test_reservations_are_met(backfill, data):
    pools = data.draw(st.sampled_from(MACHINES))
    check(
        data.draw(job_lists(pools, cancels=data.draw(st.booleans()), unit=UNIT)),
        pools,
        data.draw(st.one_of(st.just([]), window_lists(pools, unit=UNIT))),
        data.draw(st.sampled_from(BOUNDS)),
        data.draw(st.sampled_from(ORDERS)),
        backfill,
    )


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_reservations_are_met_in_longer_queues(backfill):
    reserved = 0
    for seed in range(24):
        random = Random(f"{backfill} {seed}")
        pools = random.choice(MACHINES)
        jobs = random_jobs(seed, 60, pools, cancelled=random.choice([0.0, 0.15]), unit=UNIT)
        windows = random_windows(seed, 3, pools, until=60 * UNIT, unit=UNIT) if seed % 3 == 0 else []
        reserved += check(jobs, pools, windows, random.choice(BOUNDS), random.choice(ORDERS), backfill)
    assert reserved > 300


@pytest.mark.parametrize("order", ["sjf", "ljf"])
def test_conservative_keeps_the_first_plan_by_itself(order):
    for seed in range(8):
        jobs = random_jobs(seed, 60, [Pool(4)], unit=UNIT)
        done = run(jobs, 4, order, "conservative", MaxWait="0:60")
        for start, plan in zip(done.starts, done.first_plan, strict=True):
            assert 0 <= start <= plan


def flood(wide: Job, n: int, limit: int) -> list[Job]:
    """A wide job, and behind it a stream of narrow ones that keeps half the machine busy at any time."""
    return [Job(1, 0, limit, limit, 2), Job(2, 0, limit // 2, limit, 2), wide] + [
        Job(10 + k, (k + 1) * limit // 2 - 1, limit, limit, 2) for k in range(n)
    ]


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_the_bound_saves_a_job_that_the_order_starves(backfill):
    """Shortest first: a wide job that is longer than those which keep coming never gets the whole machine."""
    wide = Job(3, 1_000, 100_000, 100_000, 4)
    jobs = flood(wide, 60, 20_000)
    last = max(job.submit for job in jobs)
    assert run(jobs, 4, "sjf", backfill).starts[2] > last
    bounded = run(jobs, 4, "sjf", backfill, MaxWait="2:00").starts
    # From 61 s on a reservation is earned; what then runs holds it up by one limit at most.
    assert 61_000 <= bounded[2] <= 61_000 + 20_000 + 10_000


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_a_bound_of_one_qos_is_for_its_jobs_only(backfill):
    first, second = Job(3, 1_000, 100_000, 100_000, 4), Job(4, 500, 100_000, 100_000, 4)
    jobs = sorted([*flood(first, 60, 20_000), second], key=lambda job: job.id)
    qos = [{"Name": "normal"}, {"Name": "promised", "MaxWait": "1:00", "MaxWaitReserveAt": 0.1}]
    names = {"qos": lambda job: "promised" if job is first else "normal"}
    starts = run(jobs, 4, "sjf", backfill, qos=qos, names=names).starts
    assert 7_000 <= starts[2] <= 7_000 + 30_000
    assert starts[3] > max(job.submit for job in jobs)


def test_reservations_are_earned_in_the_order_of_time():
    """Largest first would take job 3; job 2 came first and so has the earlier slot."""
    jobs = [Job(1, 0, 100_000, 100_000, 4), Job(2, 1_000, 50_000, 50_000, 3), Job(3, 2_000, 50_000, 50_000, 4)]
    jobs.append(Job(4, 30_000, 1_000, 1_000, 1))  # something happens when both have earned theirs
    assert run(jobs, 4, "laf", "easy").starts[1:3] == [150_000, 100_000]
    assert run(jobs, 4, "laf", "easy", MaxWait="0:10").starts[1:3] == [100_000, 150_000]


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_a_job_that_outstays_its_limit_does_not_stop_the_clock(backfill):
    """The reservation behind it is always due in a moment; it is met when the job has gone."""
    jobs = [Job(1, 0, 12_000, 10_000, 4), Job(2, 1_000, 5_000, 5_000, 4)]
    assert run(jobs, 4, "fcfs", backfill, MaxWait="0:1").starts == [0, 12_000]
