"""Whole schedules of the decision core, through a compiled policy, against the naive schedule oracles."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.policy import plugins
from driving import run
from oracles import brute
from oracles.backfill import SlurmBackfill
from oracles.jobs import Job, Pool, Window
from oracles.known import PROCS, SCHEDULES, known_folder, known_jobs, known_starts
from oracles.multifactor import Multifactor
from oracles.orders import PUBLISHED
from oracles.schedule import simulate
from oracles.workloads import job_lists, random_jobs, random_windows, window_lists
from real_traces import find

if TYPE_CHECKING:
    from oracles.jobs import Key

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MACHINES = [
    [Pool(4)],
    [Pool(4), Pool(3)],
    [Pool(4, mem=6, gpus=2)],
    [Pool(4, mem=6), Pool(3, mem=2, gpus=2)],
]
UNIT = 10_000  # ms; the grids of Slurm's passes (30 s and 60 s) are met now and then


@plugins.order("test-late-and-wide")
def late_and_wide(job: plugins.Job) -> float:
    return job.procs - 0.25 * job.wait if job.limit > 20.0 else job.procs * job.mem


def late_and_wide_again(job: Job, now: int) -> float:
    return job.procs - 0.25 * ((now - job.submit) / 1000) if job.limit > 20_000 else job.procs * job.mem


@dataclass(frozen=True)
class Order:
    """An order as a policy says it and as the oracle asks for it."""

    keys: dict[str, Any]
    key: Key


ORDERS = {name: Order({"Order": name}, key) for name, key in PUBLISHED.items()} | {
    "expression": Order(
        {"Order": "expression", "OrderExpression": "procs % 3 - wait / limit"},
        lambda job, now: job.procs % 3 - (now - job.submit) / job.limit,
    ),
    "fixed-expression": Order(
        {"Order": "expression", "OrderExpression": "min(area, 90) + gpus"},
        lambda job, _now: min(job.limit / 1000 * job.procs, 90) + job.gpus,
    ),
    "plugin": Order({"Order": "plugin", "OrderPlugin": "test-late-and-wide"}, late_and_wide_again),
}


def core_and_oracle(jobs, pools, order, backfill, *, windows=(), max_jobs=None, slurm=None, **keys):
    """Starts by the core and by the oracle."""
    asked = ORDERS[order]
    got = run(jobs, pools, backfill=backfill, windows=windows, max_jobs_per_user=max_jobs, **keys | asked.keys)
    scheduler = SlurmBackfill(**slurm) if slurm else backfill
    expected = simulate(jobs, pools, order=asked.key, backfill=scheduler, windows=windows, max_jobs_per_user=max_jobs)
    return got.starts, expected


@st.composite
def cases(draw: st.DrawFn, windows: bool) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    return {
        "jobs": draw(job_lists(pools, cancels=draw(st.booleans()), unit=UNIT)),
        "pools": pools,
        "windows": draw(window_lists(pools, unit=UNIT)) if windows else [],
        "max_jobs": draw(st.sampled_from([None, None, 1, 2])),
        "order": draw(st.sampled_from(sorted(ORDERS))),
    }


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases(windows=False))
def test_small_schedules(backfill, case):
    got, expected = core_and_oracle(**case, backfill=backfill)
    assert got == expected


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases(windows=True))
def test_small_schedules_with_windows(backfill, case):
    got, expected = core_and_oracle(**case, backfill=backfill)
    assert got == expected


@given(
    case=cases(windows=True),
    interval=st.sampled_from([10, 20, 70]),
    resolution=st.sampled_from([1, 20, 70]),
    window=st.integers(1, 3),
    tests=st.integers(1, 4),
    of_user=st.integers(0, 2),
    depth=st.integers(0, 3),
    full=st.sampled_from([10, 50, 60]),
)
def test_bounds_of_slurms_passes(case, interval, resolution, window, tests, of_user, depth, full):
    got, expected = core_and_oracle(
        **case,
        backfill="slurm",
        slurm={
            "bf_interval": interval * 1000,
            "bf_resolution": resolution * 1000,
            "bf_window": window * 60_000,
            "bf_max_job_test": tests,
            "bf_max_job_user": of_user,
            "default_queue_depth": depth,
            "sched_interval": full * 1000,
        },
        SchedulerParameters={
            "bf_interval": interval,
            "bf_resolution": resolution,
            "bf_window": window,
            "bf_max_job_test": tests,
            "bf_max_job_user": of_user,
            "default_queue_depth": depth,
            "sched_interval": full,
        },
    )
    assert got == expected


ACCOUNT = {0: "a", 1: "a", 2: "b", 3: "b"}
TWO_POOLS = [
    {"PartitionName": f"p{place}", "TRES": "cpu=4", "PriorityTier": 1 + place, "PriorityJobFactor": 1 + place}
    for place in range(2)
]
# Factors are halves, quarters, ..., so that the fractions of the oracle and the floats of the core are the same numbers.
PRIORITY = {
    "Order": "multifactor",
    "PriorityWeightAge": 640,
    "PriorityWeightAssoc": 128,
    "PriorityWeightFairshare": 512,
    "PriorityWeightJobSize": 64,
    "PriorityWeightPartition": 64,
    "PriorityWeightQOS": 96,
    "PriorityMaxAge": "0:128",
    "PriorityCalcPeriod": "1",
    "PriorityDecayHalfLife": 0,
    "PriorityUsageResetPeriod": "YEARLY",
    "accounts": [{"Name": "a", "Fairshare": 1, "Priority": 64}, {"Name": "b", "Fairshare": 3}],
    "users": [{"User": f"u{u}", "Account": name} for u, name in ACCOUNT.items() if u != 1]
    + [{"User": "u1", "Account": "a", "Priority": 16}],
    "qos": [{"Name": "q0", "Priority": 0}, {"Name": "q1", "Priority": 40}],
    "assign": [{"Match": {"User": "u3"}, "Set": {"Nice": 50}}, {"Match": {"User": "u2"}, "Set": {"Nice": "-30"}}],
}


def never_changing(job: Job, n_pools: int) -> Fraction:
    assoc = {0: Fraction(1), 1: Fraction(1, 4), 2: Fraction(0), 3: Fraction(0)}[job.user]
    partition = Fraction(1 + job.pool, n_pools)
    nice = {3: 50, 2: -30}.get(job.user, 0)
    return 128 * assoc + 64 * Fraction(job.procs, 4 * n_pools) + 64 * partition + 96 * (job.id % 2) - nice


def by_priority(jobs: list[Job], n_pools: int, backfill: str, *, incr_only: bool) -> tuple[list[int], list[int]]:
    """Starts by the core and by the oracle."""
    pools = [Pool(4)] * n_pools
    order = Multifactor(
        shares={"a": 1, "b": 3},
        account_of=ACCOUNT,
        constant={job.id: never_changing(job, n_pools) for job in jobs},
        age_weight=640,
        fairshare_weight=512,
        max_age=128_000,
        period=60_000,
        tier_of={place: 1 + place for place in range(n_pools)},
        incr_only=incr_only,
    )
    keys = PRIORITY | {"PriorityFlags": "INCR_ONLY" if incr_only else ""}
    if n_pools == 2:
        keys |= {"partitions": TWO_POOLS}
    names = {"account": lambda job: ACCOUNT[job.user], "qos": lambda job: f"q{job.id % 2}"}
    got = run(jobs, pools, backfill=backfill, names=names, **keys)
    return got.starts, simulate(jobs, pools, order=order, backfill=backfill)


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(data=st.data(), n_pools=st.sampled_from([1, 2]), incr_only=st.booleans())
def test_slurms_priority(backfill, data, n_pools, incr_only):
    jobs = data.draw(job_lists([Pool(4)] * n_pools, users=4, cancels=data.draw(st.booleans()), unit=UNIT))
    got, expected = by_priority(jobs, n_pools, backfill, incr_only=incr_only)
    assert got == expected


@pytest.mark.parametrize("incr_only", [False, True])
@pytest.mark.parametrize("backfill", BACKFILLS)
def test_slurms_priority_in_longer_queues(backfill, incr_only):
    for seed in range(4):
        n_pools = 1 + seed % 2
        jobs = random_jobs(seed, 60, [Pool(4)] * n_pools, users=4, cancelled=0.1 * (seed // 2), unit=UNIT)
        got, expected = by_priority(jobs, n_pools, backfill, incr_only=incr_only)
        assert got == expected, seed


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_longer_queues(order, backfill):
    for seed in range(4):
        random = Random(f"{order} {backfill} {seed}")
        scale = 4 if seed == 3 else 1
        pools = [Pool(pool.procs * scale, pool.mem * scale, pool.gpus * scale) for pool in random.choice(MACHINES)]
        jobs = random_jobs(seed, 80, pools, cancelled=random.choice([0.0, 0.15]), unit=UNIT)
        windows = random_windows(seed, 3, pools, until=80 * UNIT, unit=UNIT) if random.random() < 0.4 else []
        max_jobs = random.choice([None, None, 2])
        got, expected = core_and_oracle(jobs, pools, order, backfill, windows=windows, max_jobs=max_jobs)
        assert got == expected, (seed, pools, bool(windows), max_jobs)


def burst(n: int = 300) -> list[Job]:
    """Jobs that come ten times as fast as they can run."""
    jobs = random_jobs(5, n, 16, unit=7_000, longest=30)
    return [Job(j.id, j.submit // 10 // 1000 * 1000, j.run, j.limit, j.procs, j.user) for j in jobs]


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_deep_queues(backfill):
    """Hundreds wait at a time, so that queues and profiles are swept and built anew on the way."""
    jobs = burst(150 if backfill == "conservative" else 300)
    for order in ("fcfs", "sjf", "wfp3"):
        got, expected = core_and_oracle(jobs, [Pool(16)], order, backfill)
        assert got == expected, order


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_nobody_waits_behind_a_head_that_was_cancelled(backfill):
    """The head of the queue leaves as the last that waits; who comes next finds an empty machine but for job 1."""
    jobs = [
        Job(1, 0, 60_000, 60_000, 1),
        Job(2, 0, 10_000, 10_000, 4, cancel=20_000),
        Job(3, 30_000, 90_000, 90_000, 1),
    ]
    got, expected = core_and_oracle(jobs, [Pool(4)], "fcfs", backfill)
    assert got == expected == [0, -1, 30_000]


def test_limits_that_pools_share_go_by_rank():
    """A user with one job at a time: the better-ranked job gets it, though it has to pass the head of its pool."""
    jobs = [
        Job(1, 0, 50_000, 50_000, 3, user=0, pool=0),
        Job(2, 1_000, 10_000, 10_000, 4, user=1, pool=0),  # head of pool 0 until 50 s
        Job(3, 1_000, 9_000, 9_000, 1, user=2, pool=0),
        Job(4, 1_000, 9_000, 9_000, 1, user=2, pool=1),
    ]
    for backfill, expected in (("easy", [0, 50_000, 1_000, 10_000]), ("easy-sjbf", [0, 50_000, 10_000, 1_000])):
        found = run(jobs, [Pool(4), Pool(4)], "fcfs", backfill, max_jobs_per_user=1).starts
        assert found == simulate(jobs, [Pool(4), Pool(4)], backfill=backfill, max_jobs_per_user=1) == expected


def test_a_capacity_that_is_away_again_and_again():
    windows = [Window(start, start + 20_000, procs=4, mem=6, gpus=2) for start in range(0, 200_000, 40_000)]
    jobs = [Job(k, 1_000 * k, 20_000, 20_000, 3, mem=k % 3) for k in range(1, 6)]
    got, expected = core_and_oracle(jobs, [Pool(4, mem=6, gpus=2)], "fcfs", "easy", windows=windows)
    assert got == expected == [20_000, 60_000, 100_000, 140_000, 180_000]


@pytest.mark.skipif(known_folder() is None, reason="no folder of known schedules beside APPORTION_TRACES")
@pytest.mark.parametrize("name", SCHEDULES)
def test_known_schedules_are_met_by_all_jobs(name):
    folder = known_folder()
    assert folder is not None
    trace, order, backfill = SCHEDULES[name]
    assert run(known_jobs(folder, trace), PROCS, order, backfill).starts == known_starts(folder, name)


def brute_easy(jobs: list[Job], procs: int) -> list[int]:
    columns = ([getattr(j, name) for j in jobs] for name in ("submit", "run", "limit", "procs"))
    return brute.easy(*columns, procs)


@pytest.mark.parametrize("seed", range(6))
def test_the_fast_oracle_is_the_oracle(seed):
    jobs = random_jobs(seed, 200, 4 + 4 * seed, longest=8 if seed % 2 else 40)
    assert brute_easy(jobs, 4 + 4 * seed) == simulate(jobs, 4 + 4 * seed, backfill="easy")
    jobs = burst()
    assert brute_easy(jobs, 16) == simulate(jobs, 16, backfill="easy")


def test_easy_on_the_whole_of_hpc2n():
    """By the same path as the command: read, cleaned, replayed."""
    from apportion.policy.load import load
    from apportion.sim.conventions import Conventions
    from apportion.sim.replay import replay
    from apportion.sim.workload import from_trace
    from apportion.traces import read
    from apportion.traces.clean import clean

    trace, _ = clean(read(find("HPC2N-2002-2.2-cln.swf.gz")))
    workload = from_trace(trace, Conventions())
    jobs = workload.jobs
    columns = (column.tolist() for column in (jobs.submit_ms, workload.run_ms, jobs.limit_ms, jobs.procs))
    expected = brute.easy(*columns, jobs.capacity["cpu"])
    assert len(expected) > 200_000
    assert replay(workload, load("easy")).start_ms.tolist() == expected
