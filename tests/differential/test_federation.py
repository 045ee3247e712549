"""Federations of random centers and jobs with heavy ties: both drivers decide the same, and what they decide is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PREEMPTED, REJECTED
from apportion.core.placement import job_class
from apportion.sim.replay import replay
from federations import Job, Played, play

PLACEMENTS = ("balanced", "urgent", "economy", "green", "random", "round-robin", "least-loaded", "redundant")
NAMES = ("A", "B", "C")
SETTINGS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a federation takes minutes
)


@st.composite
def preemptions(draw):
    """Jobs of at most a minute may preempt the others, which write checkpoints."""
    long = {"Name": "long", "Priority": 1, "CheckpointInterval": 50, "CheckpointWriteTime": 5, "RestartTime": 7}
    return {
        "PreemptType": "qos",
        "PreemptMode": draw(st.sampled_from(["REQUEUE", "SUSPEND", "CHECKPOINT"])),
        "qos": [
            {"Name": "short", "Priority": 10, "Preempt": ["long"]},
            {**long, "GraceTime": draw(st.sampled_from([0, 0, 10]))},
        ],
        "assign": [{"Match": {"LimitMax": 60}, "Set": {"QOS": "short"}}, {"Set": {"QOS": "long"}}],
    }


@st.composite
def federations(draw, placements=PLACEMENTS):
    n = draw(st.integers(2, 3))
    centers = [
        {
            "Center": NAMES[k],
            "Mode": draw(st.sampled_from(["managed", "autonomous"])),
            "Policy": draw(
                st.sampled_from(["fcfs", "easy", "conservative", "easy-sjbf", "sjf", "multifactor", "slurm"])
            ),
            "Procs": draw(st.integers(2, 8)),
            "Speed": draw(st.sampled_from([1, 1, 2, 0.5])),
            "Price": draw(st.sampled_from([0, 0.1, 1])),
            "PowerBusy": draw(st.sampled_from([0, 100])),
            "Carbon": draw(st.sampled_from([0, 300])),
            "ExchangeRate": draw(st.sampled_from([1, 1.5])),
            "PollInterval": draw(st.sampled_from([1, 7, 30])),
            "Latency": draw(st.sampled_from([0, 0.5, 3])),
            "FailureRate": draw(st.sampled_from([0, 0.1])),
        }
        for k in range(n)
    ]
    data = {
        "Seed": draw(st.integers(0, 5)),
        "broker": {
            "Policy": draw(st.sampled_from(["fcfs", "multifactor", "sjf"])),
            "Placement": draw(st.sampled_from(placements)),
            "LookAhead": draw(st.sampled_from([1, 2, 64])),
            "Depth": draw(st.sampled_from([1, 3, 100])),
            "ReplaceAfter": draw(st.sampled_from([0, 1, 2])),
            "ReplaceMinWait": draw(st.sampled_from([0, 60])),
            "Hysteresis": draw(st.sampled_from([0, 0.2])),
        },
        "centers": centers,
        "moves": [{"Fraction": draw(st.sampled_from([0.5, 1])), "By": draw(st.sampled_from(["user", "job"]))}],
    }
    if draw(st.booleans()):
        data["links"] = [
            {"From": NAMES[k], "To": "hub", "Bandwidth": draw(st.sampled_from(["1GB/s", "10MB/s"])), "Latency": 0.1}
            for k in range(n)
        ]
        data["datasets"] = [
            {
                "Dataset": "d",
                "Size": draw(st.sampled_from(["1GB", "50GB"])),
                "Replicas": [NAMES[0]],
                "Residency": list(NAMES[: draw(st.integers(1, n))]),
                "Match": {"User": ["u1"]},
            }
        ]
    if draw(st.booleans()):
        data["failures"] = [
            {
                "Kind": "network",
                "Center": draw(st.sampled_from(["", "A"])),
                "MTBF": 120,
                "Repair": draw(st.sampled_from([5, 90])),
            }
        ]
    if draw(st.booleans()):
        data.setdefault("failures", []).append(
            {
                "Kind": draw(st.sampled_from(["node", "center"])),
                "Center": draw(st.sampled_from(["", "B"])),
                "MTBF": draw(st.sampled_from([60, 300])),
                "Repair": draw(st.sampled_from([5, 90])),
                "Procs": draw(st.integers(1, 3)),
            }
        )
        stops = {"Order": "fcfs", "JobRequeue": draw(st.booleans()), **draw(st.one_of(st.just({}), preemptions()))}
        for entry in centers:
            backfill = entry["Policy"] if entry["Policy"] in ("easy", "conservative") else "none"
            entry["Policy"] = {**stops, "Backfill": backfill}
        data["broker"]["Policy"] = stops
    job = st.builds(
        Job,
        submit=st.integers(0, 12).map(lambda t: 20 * t),
        procs=st.integers(1, 8),
        run=st.integers(0, 300),
        limit=st.sampled_from([60, 120, 300]),
        user=st.sampled_from(["u1", "u2", "u3"]),
        account=st.sampled_from(["a", "b"]),
        cancel=st.none(),
    )
    late = st.integers(0, 12).map(lambda t: 20 * t)
    jobs = {}
    for k in range(n):
        mine = draw(st.lists(job, min_size=1, max_size=14))
        jobs[NAMES[k]] = [
            one._replace(cancel=one.submit + draw(late)) if draw(st.integers(0, 5)) == 0 else one for one in mine
        ]
    follows = {}
    for center, mine in jobs.items():
        if len(mine) > 1 and all(one.cancel is None for one in mine) and draw(st.booleans()):
            pair = st.tuples(
                st.integers(0, len(mine) - 2), st.integers(1, len(mine) - 1), st.sampled_from([0, 20, 100])
            )
            edges = draw(st.lists(pair, max_size=4, unique_by=lambda edge: edge[:2]))
            follows[center] = [edge for edge in edges if edge[0] < edge[1]]
    return data, jobs, follows


def check_possible(played: Played) -> None:
    """Nothing runs twice, too early, for another time than it takes there, where it may not, or beyond what there is."""
    workload, schedule, moves = played.workload, played.schedule, played.moves
    f = schedule.compiled.federation
    failed = np.isin(schedule.state, (NODE_FAIL, PREEMPTED))
    writes = any(len(core.checkpoints.saved) for core in f.cores)
    started, ended = schedule.start_ms >= 0, schedule.end_ms >= 0
    assert ((schedule.state == ENDED) | (schedule.state == CANCELLED) | (schedule.state == REJECTED) | failed).all()
    assert (started == ended).all()
    assert (schedule.start_ms[started] >= schedule.submit_ms[started]).all()
    accounts = workload.jobs.account.text()
    has = list(zip(accounts, moves.dataset.tolist(), moves.constraint.codes.tolist(), strict=True))
    assert [moves.groups[group] for group in moves.group.tolist()] == has
    assert sorted(moves.groups) == sorted(set(has))
    stays = ~moves.movable & started
    assert (schedule.center[stays] == workload.home[stays]).all()
    speed = f.centers.speed
    for job in np.flatnonzero(started).tolist():
        home, here = speed[workload.home[job]], speed[schedule.center[job]]
        takes = workload.run_ms[job]
        expected = takes if home == here else max(-(-takes * home // here), 1)
        if failed[job] and not writes:
            assert schedule.end_ms[job] - schedule.start_ms[job] <= expected
        elif not writes:
            assert schedule.end_ms[job] - schedule.start_ms[job] == expected
        if moves.dataset[job] >= 0 and moves.movable[job]:
            assert played.scenario.centers[schedule.center[job]].Center in played.scenario.datasets[0].Residency
    for k, entry in enumerate(played.scenario.centers):
        here = started & (schedule.center == k)
        times = np.concatenate([schedule.start_ms[here], schedule.end_ms[here]])
        change = np.concatenate([workload.jobs.procs[here], -workload.jobs.procs[here]])
        order = np.lexsort((change, times))
        assert np.cumsum(change[order]).max(initial=0) <= entry.Procs
    states = np.array([core.live.state for core in f.cores])
    assert ((states == ENDED).sum(axis=0) <= 1).all()
    assert (f.centers.waiting == 0).all()
    assert not f.seen.owed.any()
    assert not f.seen.on_way.any()


@given(federations())
@settings(SETTINGS, max_examples=15)
def test_drivers_agree_and_schedules_are_possible(case):
    data, jobs, follows = case
    compiled = play(data, jobs, follows=follows)
    simulated = play(data, jobs, "simpy", follows)
    assert compiled.schedule.decision_hash == simulated.schedule.decision_hash
    for name in ("submit_ms", "start_ms", "end_ms", "center", "state", "reasons"):
        assert (getattr(compiled.schedule, name) == getattr(simulated.schedule, name)).all(), name
    check_possible(compiled)


@given(federations(placements=("home",)))
@settings(SETTINGS, max_examples=12)
def test_without_moves_every_autonomous_center_is_as_if_alone(case):
    data, jobs, follows = case
    played = play(data, jobs, follows=follows)
    for k, entry in enumerate(played.scenario.centers):
        if entry.Mode == "autonomous" and not any(entry.Kind != "network" for entry in played.scenario.failures):
            alone = replay(played.workload.parts[k], played.scenario.policy_of(entry.Center))
            assert (alone.start_ms == played.schedule.start_ms[played.workload.home == k]).all()


@given(federations(placements=("balanced", "green")))
@settings(SETTINGS, max_examples=12)
def test_the_log_recomputes(case):
    """Every score in the log is what the weights make of its terms, and the winner had the best of those allowed."""
    data, jobs, follows = case
    played = play(data, jobs, follows=follows)
    f = played.schedule.compiled.federation
    n = int(f.log.rows[0])
    n_targets = len(f.targets.center)
    for row in range(n):
        allowed = f.log.reason[row] == 0
        terms = f.log.terms[row * n_targets : (row + 1) * n_targets]
        assert f.log.score[row][allowed] == pytest.approx((terms @ f.rules.weights)[allowed])
        target = f.log.target[row]
        assert allowed[target]
        assert f.log.score[row][target] == f.log.score[row][allowed].min()


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_a_job_that_comes_to_a_slower_center_is_planned_with_its_time_there(engine):
    """Where jobs may be suspended their planned time is a column of its own; the next job must not be planned into the last half of it."""
    policy = {
        "Order": "fcfs",
        "PreemptType": "qos",
        "PreemptMode": "SUSPEND",
        "qos": [{"Name": "short", "Priority": 10, "Preempt": ["long"]}, {"Name": "long", "Priority": 1}],
        "assign": [{"Set": {"QOS": "long"}}],
    }
    fast = {"Center": "A", "Mode": "managed", "Policy": policy | {"Backfill": "easy"}, "Procs": 2, "Speed": 2}
    slow = {
        "Center": "B",
        "Mode": "autonomous",
        "Policy": policy | {"Backfill": "conservative"},
        "Procs": 4,
        "Speed": 1,
    }
    data = {
        "broker": {"Policy": policy, "Placement": "least-loaded"},
        "centers": [fast, slow],
        "moves": [{"Fraction": 1, "By": "user"}],
    }
    jobs = {"A": [Job(10, 4, 60, 60)], "B": [Job(20, 4, 50, 100)]}  # the first is too wide for A, and takes 120 s at B
    schedule = play(data, jobs, engine).schedule
    assert schedule.center.tolist() == [1, 1]
    assert schedule.end_ms[0] - schedule.start_ms[0] == 120_000
    assert schedule.start_ms[1] >= schedule.end_ms[0]


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
@pytest.mark.parametrize("mode", ["managed", "autonomous"])
def test_a_wait_that_nobody_foresaw_teaches_nothing(engine, mode):
    """A is full from 0, when nobody had looked at it, until 1,000, and B from 2 until 502. So a job that comes at 5 is for B: it has no reason to
    think that waits at A are next to nothing of what is foreseen for them."""
    centers = [
        {"Center": "A", "Mode": mode, "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": 0},
        {"Center": "B", "Mode": "autonomous", "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": 0},
    ]
    broker = {"Policy": "fcfs", "Placement": "urgent", "ReplaceAfter": 0}
    data = {"broker": broker, "centers": centers, "moves": [{"Match": {"User": ["moves"]}}]}
    jobs = {"A": [Job(0, 4, 1000, 1000), Job(5, 4, 10, 10, user="moves")], "B": [Job(2, 4, 500, 500)]}
    schedule = play(data, jobs, engine).schedule
    assert (schedule.start_ms // 1000).tolist() == [0, 2, 502]
    assert schedule.center.tolist() == [0, 1, 1]


def test_jobs_are_classed_by_their_part_of_a_pool_and_their_hours():
    hour = np.int64(3_600_000)
    pool = np.int64(128)
    assert [job_class(np.int64(procs), pool, hour) for procs in (2, 3, 8, 9, 32, 33)] == [0, 4, 4, 8, 8, 12]
    assert [job_class(np.int64(9), pool, hour * n // 2) for n in (2, 3, 8, 9, 32, 33)] == [8, 9, 9, 10, 10, 11]
