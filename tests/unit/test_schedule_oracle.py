"""The naive schedule oracles against hand-made schedules, against each other, and against known schedules."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import anchor
from oracles.backfill import Easy, SlurmBackfill
from oracles.jobs import ORDERS, Job, Pool, Window
from oracles.known import PROCS, SCHEDULES, known_folder, known_jobs, known_starts
from oracles.profile import Profile
from oracles.schedule import simulate
from oracles.workloads import job_lists, random_jobs, random_windows, window_lists

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MINUTE = 60_000


def job(id_, submit, run, procs, *, limit=None, **more):
    return Job(id=id_, submit=submit, run=run, limit=max(run if limit is None else limit, 1), procs=procs, **more)


# Profile


def test_profile_finds_the_earliest_gap_that_is_long_enough():
    profile = Profile(10, (4, 0, 0))
    profile.take((3, 0, 0), 0, 20)
    profile.take((4, 0, 0), 30, 40)
    assert (profile.times, profile.free) == ([10, 20, 30, 40], [(1, 0, 0), (4, 0, 0), (0, 0, 0), (4, 0, 0)])
    assert profile.earliest((1, 0, 0), 20) == 10
    assert profile.earliest((1, 0, 0), 21) == 40
    assert profile.earliest((2, 0, 0), 10) == 20
    assert profile.earliest((2, 0, 0), 11) == 40
    assert profile.fits((4, 0, 0), 20, 30)
    assert not profile.fits((4, 0, 0), 20, 31)
    assert profile.at(29) == (4, 0, 0)
    with pytest.raises(ValueError, match="never"):
        profile.earliest((5, 0, 0), 1)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 8), st.integers(1, 5))), st.integers(1, 4), st.integers(1, 6)
)
def test_profile_is_what_counting_each_time_says(stretches, need, length):
    profile = Profile(2, (4, 0, 0))
    for procs, start, long in stretches:
        profile.take((procs, 0, 0), start, start + long)

    def free(time):
        return 4 - sum(procs for procs, start, long in stretches if start <= time < start + long)

    expected = next(start for start in range(2, 30) if all(free(t) >= need for t in range(start, start + length)))
    assert profile.earliest((need, 0, 0), length) == expected
    assert [profile.at(t)[0] for t in range(2, 30)] == [free(t) for t in range(2, 30)]


# Hand-made schedules


def test_all_ends_and_submits_of_an_instant_come_before_its_one_pass():
    # Job 2 is first in the queue although job 3, submitted at the same time, would fit before the end of job 1 is seen.
    jobs = [job(1, 0, 5, 2), job(2, 5, 5, 3), job(3, 5, 1, 1)]
    for backfill in ("none", "easy", "conservative"):
        assert simulate(jobs, 3, backfill=backfill) == [0, 5, 10]


def test_a_job_of_zero_run_time_opens_a_further_round():
    jobs = [job(1, 7, 0, 2, limit=10), job(2, 7, 0, 2, limit=10), job(3, 7, 0, 2, limit=10), job(4, 7, 3, 1)]
    for backfill in BACKFILLS:
        assert simulate(jobs, 2, backfill=backfill) == [7, 7, 7, 7]


def test_easy_lets_pass_what_ends_by_the_shadow_or_fits_the_extra():
    running = [job(1, 0, 10, 6)]
    head = job(2, 1, 10, 7)
    # Shadow 10, extra 3. Until then 4 are free.
    by_shadow = job(3, 2, 8, 4)  # ends at the very shadow
    late = job(4, 2, 9, 4)  # would not, and 4 > 3
    assert simulate([*running, head, by_shadow], 10, backfill="easy") == [0, 10, 2]
    assert simulate([*running, head, late], 10, backfill="easy") == [0, 10, 20]
    extra = [job(3, 2, 90, 2), job(4, 2, 90, 2), job(5, 2, 90, 1)]  # 4 finds only 1 left of the extra
    assert simulate([*running, head, *extra], 10, backfill="easy") == [0, 10, 2, 20, 2]


def test_easy_sjbf_tries_the_shortest_first_and_keeps_the_head():
    jobs = [job(1, 0, 10, 8), job(2, 1, 10, 9), job(3, 2, 8, 2), job(4, 2, 7, 2)]
    assert simulate(jobs, 10, backfill="easy") == [0, 10, 2, 20]
    assert simulate(jobs, 10, backfill="easy-sjbf") == [0, 10, 20, 2]


def test_conservative_protects_all_where_easy_protects_the_head():
    # Job 4 does not delay the head (job 2) but would delay job 3.
    jobs = [job(1, 0, 10, 3), job(2, 1, 10, 3), job(3, 2, 10, 4), job(4, 3, 30, 1)]
    assert simulate(jobs, 4, backfill="easy") == [0, 10, 33, 3]
    assert simulate(jobs, 4, backfill="conservative") == [0, 10, 20, 30]


def test_conservative_starts_at_a_planned_time_at_which_nothing_happens():
    # At 0 jobs 1, 2, 3 fill the machine; job 4 is planned at 7, job 5 from 3 to 5. Jobs 2 and 3 end at once. Job 4 is
    # asked first, moves to 5 (behind job 5's plan), and only then job 5 moves to 0. Jobs 1 and 5 use up their limits,
    # so nobody is asked again, and job 4 starts at its plan, at which nothing ends.
    jobs = [job(1, 0, 3, 2), job(2, 0, 0, 1, limit=4), job(3, 0, 0, 1, limit=7), job(4, 0, 7, 4), job(5, 0, 2, 2)]
    assert simulate(jobs, 4, backfill="conservative") == [0, 0, 0, 5, 0]


def test_conservative_gives_away_the_plan_of_a_job_that_is_held_when_it_comes():
    # Jobs 2 and 3 are both planned at 10. Job 2 starts, so job 3 is held, and its place goes to job 4 at once.
    jobs = [job(1, 0, 10, 2), job(2, 1, 5, 1, user=1), job(3, 2, 5, 1, user=1), job(4, 3, 10, 1, user=2)]
    assert simulate(jobs, 2, backfill="conservative", max_jobs_per_user=1) == [0, 10, 15, 10]


def test_cancelled_jobs_leave_the_queue_and_free_their_plan():
    jobs = [job(1, 0, 10, 2), job(2, 1, 10, 3, cancel=5), job(3, 2, 20, 1), job(4, 6, 1, 1, cancel=6)]
    assert simulate(jobs, 3, backfill="none") == [0, -1, 5, -1]
    assert simulate(jobs, 3, backfill="conservative") == [0, -1, 5, -1]
    late = [job(1, 0, 10, 3, cancel=4)]
    assert simulate(late, 3) == [0]  # a running job is not touched


def test_windows_are_kept_free_for_whole_limits():
    window = [Window(start=10, end=20, procs=2)]
    jobs = [job(1, 0, 3, 3, limit=11), job(2, 0, 10, 3), job(3, 0, 99, 1)]
    assert simulate(jobs, 3, windows=window, backfill="none") == [20, 20 + 3, 20 + 3 + 10]
    # EASY: the head has 20, so job 2 goes before the window; job 3 would fit the window but not the head's slot.
    assert simulate(jobs, 3, windows=window, backfill="easy") == [20, 0, 23]
    assert simulate(jobs[2:], 3, windows=window, backfill="none") == [0]


def test_a_user_at_the_running_limit_neither_blocks_nor_reserves():
    jobs = [job(1, 0, 10, 1, user=1), job(2, 1, 10, 4, user=1), job(3, 2, 90, 3, user=2), job(4, 3, 1, 1, user=2)]
    for backfill in ("none", "easy", "conservative"):
        assert simulate(jobs, 4, backfill=backfill, max_jobs_per_user=1) == [0, 92, 2, 102]


def test_pools_block_one_by_one_and_memory_counts():
    pools = [Pool(4, mem=10), Pool(4, mem=100, gpus=2)]
    jobs = [
        job(1, 0, 10, 1, mem=8),
        job(2, 1, 10, 1, mem=3),  # blocked by memory only
        job(3, 1, 5, 1, pool=1, gpus=2),  # another pool goes on
        job(4, 2, 8, 1, mem=2),  # ends at the shadow
        job(5, 2, 5, 1, pool=1, gpus=1),
    ]
    assert simulate(jobs, pools, backfill="none") == [0, 10, 1, 10, 6]
    assert simulate(jobs, pools, backfill="easy") == [0, 10, 1, 2, 6]


def test_dynamic_orders_are_asked_at_each_pass():
    jobs = [job(1, 0, 100, 1), job(2, 0, 50, 1), job(3, 98, 1, 1)]
    assert simulate(jobs, 1, order="wfp3") == [0, 100, 150]
    assert simulate(jobs, 1, order="sjf") == [50, 0, 150]
    patient = [job(1, 0, 10, 1), job(2, 1, 1000, 1), job(3, 9, 9, 1)]
    assert simulate(patient, 1, order="unicef") == [0, 19, 10]


# Slurm


def slurm_vector(minutes_of_j2):
    return [
        job(0, 0, 60 * MINUTE, 2),
        job(1, 0, 60 * MINUTE, 4),
        job(2, 0, minutes_of_j2 * MINUTE, 2),
        job(3, 0, 90 * MINUTE, 2),
        job(4, 0, 30 * MINUTE, 1),
    ]


@pytest.mark.parametrize(("minutes", "plan"), [(60, [60, 0, 120, 120]), (61, [60, 120, 120, 0])])
def test_slurm_plans_its_check_vector(minutes, plan):
    plans = []

    class Watched(SlurmBackfill):
        def decide(self, world, news, *, first_round):
            super().decide(world, news, first_round=first_round)
            plans.append(dict(self.plan))

    simulate(slurm_vector(minutes), 4, backfill=Watched())
    assert plans[0] == {id_: time * MINUTE for id_, time in zip((1, 2, 3, 4), plan, strict=True)}


def test_slurm_backfills_at_ticks_only():
    jobs = [job(1, 0, 100_000, 2), job(2, 1_000, 100_000, 3), job(3, 2_000, 10_000, 1)]
    assert simulate(jobs, 3, backfill="slurm") == [0, 100_000, 30_000]
    assert simulate(jobs, 3, backfill=SlurmBackfill(bf_interval=7_000)) == [0, 100_000, 7_000]


def test_slurm_reserves_on_the_grid_of_its_resolution():
    # Job 1 ends by 90 s; job 2 is planned there but holds from 60 s on, so a job of 45 s may not start at 30 s.
    jobs = [job(1, 0, 90_000, 2), job(2, 1_000, 10_000, 3), job(3, 2_000, 45_000, 1), job(4, 2_000, 30_000, 1)]
    assert simulate(jobs, 3, backfill="slurm") == [0, 90_000, 100_000, 30_000]
    assert simulate(jobs, 3, backfill=SlurmBackfill(bf_resolution=1_000)) == [0, 90_000, 30_000, 100_000]

    plans = {}

    class Watched(SlurmBackfill):
        def decide(self, world, news, *, first_round):
            super().decide(world, news, first_round=first_round)
            plans[world.now] = dict(self.plan)

    simulate([*jobs[:2], job(3, 2_000, 61_000, 1)], 3, backfill=Watched())
    assert plans[30_000] == {2: 90_000, 3: 120_000}  # job 2 would end by 100 s, and holds to 120 s


def test_slurm_backfills_once_an_instant():
    # Job 2 ends in a further round at 0; job 4, for which there is room now, is seen at the next tick.
    jobs = [job(1, 0, 100_000, 1), job(2, 0, 0, 2, limit=50_000), job(3, 0, 10_000, 3), job(4, 0, 50_000, 2)]
    assert simulate(jobs, 3, backfill=SlurmBackfill(bf_resolution=1_000)) == [0, 0, 100_000, 30_000]


def test_slurm_bounds_depth_window_and_jobs_of_a_user():
    many = [job(id_, 1_000, 300_000, 1) for id_ in range(1, 6)]
    slow = SlurmBackfill(default_queue_depth=2, bf_max_job_test=1, sched_interval=10_000_000)
    assert simulate(many, 9, backfill=slow) == [1_000, 1_000, 30_000, 60_000, 90_000]
    # At the full minute the main pass tests them all.
    slow = SlurmBackfill(default_queue_depth=2, bf_max_job_test=1)
    assert simulate(many, 9, backfill=slow) == [1_000, 1_000, 30_000, 60_000, 60_000]
    # Beyond the window nothing is kept, so the long job delays the wide one.
    wide = [job(1, 0, 120_000, 2), job(2, 1_000, 10_000, 3), job(3, 1_000, 500_000, 1)]
    assert simulate(wide, 3, backfill=SlurmBackfill()) == [0, 120_000, 130_000]
    assert simulate(wide, 3, backfill=SlurmBackfill(bf_window=60_000)) == [0, 530_000, 30_000]
    users = [job(1, 0, 90_000, 2), job(2, 0, 9_000, 3), *(job(id_, 0, 9_000, 1, user=1) for id_ in (3, 4))]
    assert simulate(users, 4, backfill=SlurmBackfill(bf_max_job_user=1)) == [0, 90_000, 0, 30_000]


# Properties


def used(jobs, starts, pool, time, unit):
    """Count what is busy during [time, time + unit); jobs of zero run time are never busy."""
    busy = [j for j, start in zip(jobs, starts, strict=True) if j.pool == pool and 0 <= start <= time < start + j.run]
    return tuple(sum(j.need[k] for j in busy) for k in range(3))


POOLS = [Pool(4, mem=6), Pool(3, mem=2, gpus=2)]


@given(
    job_lists(POOLS, cancels=True, unit=1),
    window_lists(POOLS, unit=1),
    st.sampled_from(BACKFILLS),
    st.sampled_from(sorted(ORDERS)),
    st.sampled_from([None, 1, 2]),
)
def test_every_schedule_is_possible(jobs, windows, backfill, order, max_jobs):
    if backfill == "slurm":
        scheduler = SlurmBackfill(bf_interval=3, bf_resolution=2, bf_window=8, bf_max_job_test=4, default_queue_depth=3)
    else:
        scheduler = backfill
    starts = simulate(jobs, POOLS, backfill=scheduler, order=order, windows=windows, max_jobs_per_user=max_jobs)
    for j, start in zip(jobs, starts, strict=True):
        assert (start >= j.submit) if j.cancel is None else (start == -1 or j.submit <= start < j.cancel)
    for time in range(max(starts) + 6):
        for place, pool in enumerate(POOLS):
            away = [w.need for w in windows if w.pool == place and w.start <= time < w.end]
            busy = used(jobs, starts, place, time, 1)
            for k in range(3):
                assert busy[k] + sum(need[k] for need in away) <= pool.capacity[k]
        if max_jobs is not None:
            for user in {j.user for j in jobs}:
                at_once = sum(
                    j.user == user and start <= time < start + j.run
                    for j, start in zip(jobs, starts, strict=True)
                    if start >= 0
                )
                assert at_once <= max_jobs


@given(job_lists(4, unit=1))
def test_fcfs_is_the_earliest_start_after_the_one_before(jobs):
    starts = []
    for j in jobs:
        time = max([j.submit, *starts[-1:]])
        while used(jobs[: len(starts)], starts, 0, time, 1)[0] + j.procs > 4:
            time += 1
        starts.append(time)
    assert simulate(jobs, 4) == starts


@given(job_lists(4, exact_runs=True, unit=1))
def test_conservative_with_exact_runs_puts_each_job_into_the_earliest_hole(jobs):
    starts = []
    for j in jobs:
        time = j.submit
        while any(used(jobs[: len(starts)], starts, 0, t, 1)[0] + j.procs > 4 for t in range(time, time + j.limit)):
            time += 1
        starts.append(time)
    assert simulate(jobs, 4, backfill="conservative") == starts
    # Slurm's plan, made anew at each time without rounding and bounds, says the same.
    unbounded = SlurmBackfill(1, 10**9, 1, bf_max_job_test=0, default_queue_depth=0)
    assert simulate(jobs, 4, backfill=unbounded) == starts


@given(job_lists(POOLS, cancels=True), st.booleans(), st.sampled_from(sorted(ORDERS)), st.sampled_from([None, 1]))
def test_shadow_and_extra_say_what_the_profile_says(jobs, shortest_first, order, max_jobs):
    one, other = (
        simulate(jobs, POOLS, order=order, backfill=Easy(shortest_first, by_profile), max_jobs_per_user=max_jobs)
        for by_profile in (False, True)
    )
    assert one == other


@pytest.mark.parametrize("seed", range(5))
def test_shadow_and_extra_say_what_the_profile_says_on_longer_queues(seed):
    jobs = random_jobs(seed, 300, 16)
    assert simulate(jobs, 16, backfill=Easy()) == simulate(jobs, 16, backfill=Easy(by_profile=True))


@given(job_lists(POOLS, cancels=True), st.sampled_from(BACKFILLS))
def test_a_window_that_takes_nothing_changes_nothing(jobs, backfill):
    empty = [Window(start=0, end=100_000, procs=0, pool=0), Window(start=0, end=100_000, procs=0, pool=1)]
    assert simulate(jobs, POOLS, backfill=backfill, windows=empty) == simulate(jobs, POOLS, backfill=backfill)


def test_generators_are_repeatable_and_full_of_ties():
    jobs = random_jobs(7, 400, POOLS, cancelled=0.2)
    assert jobs == random_jobs(7, 400, POOLS, cancelled=0.2)
    assert sum(a.submit == b.submit for a, b in pairwise(jobs)) > 150
    assert sum(j.run == 0 for j in jobs) > 20
    assert sum(j.run == j.limit for j in jobs) > 100
    windows = random_windows(7, 4, POOLS, until=60_000)
    assert len(windows) == 4
    assert all(a.end <= b.start for a, b in pairwise(windows))


# Known schedules


@pytest.mark.skipif(known_folder() is None, reason="no folder of known schedules beside APPORTION_TRACES")
@pytest.mark.parametrize("name", SCHEDULES)
def test_known_schedules_are_met(name):
    """Simulate the first jobs only; what happens before the next submit cannot know of those left out."""
    folder = known_folder()
    trace, order, backfill = SCHEDULES[name]
    jobs = known_jobs(folder, trace)
    expected = dict(zip((j.id for j in jobs), known_starts(folder, name), strict=True))
    by_submit = sorted(jobs, key=lambda j: (j.submit, j.id))
    first, horizon = sorted(by_submit[:3000], key=lambda j: j.id), by_submit[3000].submit
    starts = simulate(first, PROCS, order=order, backfill=backfill)
    assert [min(start, horizon) for start in starts] == [min(expected[j.id], horizon) for j in first]
    assert sum(start < horizon for start in starts) > 2500


# The C anchor of the benchmarks


def anchored(policy, jobs, procs):
    jobs = sorted(jobs, key=lambda j: (j.submit, j.id))
    arrays = tuple([getattr(j, name) for j in jobs] for name in ("submit", "run", "limit", "procs"))
    starts = anchor.run(policy, arrays, procs, repeat=1)[1].tolist()
    return [start for _, start in sorted(zip((j.id for j in jobs), starts, strict=True))]


@pytest.mark.skipif(not anchor.has_compiler(), reason="no C compiler")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("policy", anchor.POLICIES)
def test_the_anchor_replays_as_the_oracle_does(policy, seed):
    procs = (3, 16)[seed % 2]
    jobs = random_jobs(seed, 250, procs)
    assert anchored(policy, jobs, procs) == simulate(
        jobs, procs, backfill="none" if policy.startswith("fcfs") else "easy"
    )


@pytest.mark.skipif(known_folder() is None, reason="no folder of known schedules beside APPORTION_TRACES")
@pytest.mark.skipif(not anchor.has_compiler(), reason="no C compiler")
@pytest.mark.parametrize("name", ["kth.fcfs", "kth.easy-batch", "kth-tiefree.fcfs", "kth-tiefree.easy"])
def test_the_anchor_meets_whole_known_schedules(name):
    folder = known_folder()
    trace, _, backfill = SCHEDULES[name]
    jobs, expected = known_jobs(folder, trace), known_starts(folder, name)
    for policy in ("fcfs", "fcfs-bare") if backfill == "none" else ("easy", "easy-inc"):
        assert anchored(policy, jobs, PROCS) == expected
