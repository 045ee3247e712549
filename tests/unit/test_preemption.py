"""Checkpoints and preemption: numbers worked out by hand, and policies that make no sense."""

from __future__ import annotations

import pytest

from apportion.core.checkpoint import daly_ms
from apportion.core.errors import PolicyError
from apportion.policy.load import from_dict
from driving import run
from oracles.jobs import Job, Pool

S = 1000
LOW_AND_HIGH = {
    "PreemptType": "qos",
    "PreemptMode": "REQUEUE",
    "qos": [{"Name": "low"}, {"Name": "high", "Priority": 5, "Preempt": ["low"]}],
}
NAMES = {"qos": lambda job: "high" if job.user else "low", "account": lambda job: f"a{job.id}"}


def test_daly():
    """Equation 37 by hand, delta = 300 s and M = 86,400 s: sqrt(2 x 300 x 86,400) = 7200 s times
    (1 + sqrt(1/576) / 3 + 1/576/9) = 1 + 1/72 + 1/5184, less 300 s, is 7001.39 s.
    """
    assert daly_ms(300 * S, 86_400 * S) == 7_001_389
    assert daly_ms(2 * S, 1 * S) == 1 * S  # a checkpoint that costs twice the MTBF: one every MTBF
    assert daly_ms(0, 100 * S) == 1


def test_a_job_goes_on_from_its_last_checkpoint():
    """4 s of work, 1 s to write, 2 s to read. Stopped at 10 s with two checkpoints, 8 s of work and nothing lost; 92 s are left, with 22
    checkpoints. The other job writes 12. The victim starts at 10 + 50 + 12 = 72 s and ends at 72 + 2 + 92 + 22 = 188 s.
    """
    jobs = [Job(0, 0, 100 * S, 100 * S, 4), Job(1, 10 * S, 50 * S, 60 * S, 2, user=1)]
    times = {"CheckpointInterval": "00:00:04", "CheckpointWriteTime": "00:00:01", "RestartTime": "00:00:02"}
    done = run(jobs, 4, names=NAMES, **LOW_AND_HIGH, **times)
    assert done.starts == [72 * S, 10 * S]
    assert done.end == [188 * S, 72 * S]
    assert done.state.stops.lost[:1].tolist() == [0]


def test_grace():
    """The victim runs on for 20 s, so the other job starts at 30 s; nobody gets the two free processors meanwhile: the third job waits."""
    jobs = [Job(0, 0, 100 * S, 100 * S, 4), Job(1, 10 * S, 50 * S, 60 * S, 6, user=1), Job(2, 15 * S, 5 * S, 5 * S, 2)]
    low = {"Name": "low", "GraceTime": "00:00:20"}
    done = run(jobs, 6, backfill="easy", names=NAMES, **LOW_AND_HIGH | {"qos": [low, LOW_AND_HIGH["qos"][1]]})
    assert done.starts == [80 * S, 30 * S, 80 * S]
    assert done.state.stops.time[:1].tolist() == [30 * S]
    assert done.state.stops.lost[:1].tolist() == [30 * S]


def test_a_victim_that_ends_in_its_grace():
    jobs = [Job(0, 0, 25 * S, 100 * S, 4), Job(1, 10 * S, 50 * S, 60 * S, 6, user=1)]
    low = {"Name": "low", "GraceTime": "00:00:20"}
    done = run(jobs, 6, names=NAMES, **LOW_AND_HIGH | {"qos": [low, LOW_AND_HIGH["qos"][1]]})
    assert done.starts == [0, 25 * S]
    assert done.state.stops.count[0] == 0


@pytest.mark.parametrize("grace", ["00:00:20", "00:00:00"])
def test_a_cancelled_claim(grace):
    """The job that waits is cancelled at 15 s: the victim leaves in vain, if it has grace; what was held is free at once."""
    jobs = [
        Job(0, 0, 100 * S, 100 * S, 4),
        Job(1, 10 * S, 50 * S, 60 * S, 6, user=1, cancel=15 * S),
        Job(2, 12 * S, 5 * S, 5 * S, 2),
    ]
    low = {"Name": "low", "GraceTime": grace}
    done = run(jobs, 6, names=NAMES, **LOW_AND_HIGH | {"qos": [low, LOW_AND_HIGH["qos"][1]]})
    assert done.starts == ([30 * S, -1, 15 * S] if grace > "00:00:00" else [60 * S, 10 * S, 60 * S])


def test_suspended_jobs_resume_first():
    """Job 0 has 90 s left when it is suspended at 10 s, and goes on at 60 s, before job 2, which is shorter and so ranks before it."""
    jobs = [Job(0, 0, 100 * S, 100 * S, 4), Job(1, 10 * S, 50 * S, 60 * S, 4, user=1), Job(2, 15 * S, 5 * S, 5 * S, 4)]
    done = run(jobs, 4, order="sjf", names=NAMES, **LOW_AND_HIGH | {"PreemptMode": "SUSPEND"})
    assert done.starts == [60 * S, 10 * S, 150 * S]
    assert done.end == [150 * S, 60 * S, 155 * S]
    assert done.state.stops.lost[:1].tolist() == [0]


SUSPENDING = LOW_AND_HIGH | {"PreemptMode": "SUSPEND"}


@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize(("asked", "start"), [(40, 10), (41, 100)])
def test_a_suspended_job_keeps_its_memory(backfill, asked, start):
    """Of 100 MiB job 0 has 60: another that asks for more than 40 gains nothing by suspending it."""
    jobs = [Job(0, 0, 100 * S, 100 * S, 4, mem=60), Job(1, 10 * S, 50 * S, 60 * S, 4, user=1, mem=asked)]
    done = run(jobs, [Pool(4, mem=100)], backfill=backfill, names=NAMES, **SUSPENDING)
    assert done.starts == ([60 * S, 10 * S] if start == 10 else [0, 100 * S])


@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize(("cancel", "start"), [(None, 60), (20, 20)])
def test_nobody_gets_that_memory_until_it_resumes_or_is_cancelled(backfill, cancel, start):
    """From 10 s to 60 s 60 MiB are kept for job 0 and job 1 uses 10: job 2 asks for 40."""
    jobs = [
        Job(0, 0, 100 * S, 100 * S, 4, mem=60, cancel=None if cancel is None else cancel * S),
        Job(1, 10 * S, 50 * S, 60 * S, 4, user=1, mem=10),
        Job(2, 12 * S, 5 * S, 5 * S, 2, mem=40),
    ]
    done = run(jobs, [Pool(6, mem=100)], backfill=backfill, names=NAMES, **SUSPENDING)
    assert done.starts[1:] == [10 * S, start * S]
    assert done.starts[0] == (60 * S if cancel is None else -1)
    assert done.state.pools.extra_free.max() == 100


def test_memory_is_kept_after_grace_too():
    """Job 0 leaves at 30 s: job 1 starts with the 40 MiB that it leaves; one that asked for more would have let it run."""
    low = {"Name": "low", "GraceTime": "00:00:20"}
    keys = SUSPENDING | {"qos": [low, LOW_AND_HIGH["qos"][1]]}
    for asked, starts in ((40, [80 * S, 30 * S]), (41, [0, 100 * S])):
        jobs = [Job(0, 0, 100 * S, 100 * S, 4, mem=60), Job(1, 10 * S, 50 * S, 60 * S, 4, user=1, mem=asked)]
        assert run(jobs, [Pool(4, mem=100)], names=NAMES, **keys).starts == starts


def test_a_checkpoint_when_preempted():
    """Preempted at 10 s, job 0 writes for 3 s, and has 90 s left, which take 2 + 90 s from 63 s on."""
    jobs = [Job(0, 0, 100 * S, 100 * S, 4), Job(1, 10 * S, 50 * S, 60 * S, 4, user=1)]
    keys = {"PreemptMode": "CHECKPOINT", "CheckpointWriteTime": "00:00:03", "RestartTime": "00:00:02"}
    done = run(jobs, 4, names=NAMES, **LOW_AND_HIGH | keys)
    assert done.starts == [63 * S, 13 * S]
    assert done.end == [155 * S, 63 * S]
    assert done.state.stops.lost[:1].tolist() == [0]


def test_not_again_so_soon():
    """Job 0 is preempted at 10 s and back at 20 s; job 2 comes at 30 s, and may preempt it from 10 + 45 s on, job 0 having done 35 s more."""
    jobs = [
        Job(0, 0, 100 * S, 100 * S, 4),
        Job(1, 10 * S, 10 * S, 10 * S, 4, user=1),
        Job(2, 30 * S, 10 * S, 10 * S, 4, user=1),
    ]
    done = run(jobs, 4, names=NAMES, **LOW_AND_HIGH, PreemptParameters={"again_after": "00:00:45"})
    assert done.starts == [65 * S, 10 * S, 55 * S]
    assert done.state.stops.lost[:2].tolist() == [10 * S, 35 * S]


@pytest.mark.parametrize(("refund", "left_h"), [(0, 10 - 4 - 8), (0.25, 10 - 4 - 8 + 1), (1, 10 - 8)])
def test_a_budget_gets_back_what_was_lost(refund, left_h):
    """4 processors x 1 h are lost at 1 h, then 4 x 2 h run through, of a budget of 10 core-hours with a soft end."""
    hour = 3600 * S
    jobs = [Job(0, 0, 2 * hour, 2 * hour, 4), Job(1, hour, hour, hour, 4, user=1)]
    names = NAMES | {"account": lambda job: "high" if job.user else "low"}
    budget = {"Account": "low", "Budget": "cpu=10", "BudgetDays": 30, "BudgetEnd": "soft"}
    done = run(
        jobs,
        4,
        names=names,
        **LOW_AND_HIGH,
        accounts=[budget, {"Account": "high"}],
        PreemptParameters={"refund": refund},
    )
    assert done.starts == [2 * hour, hour]
    assert done.state.budgets.left.tolist() == [left_h * hour]
    assert done.state.stops.refunded[:1].tolist() == [refund * hour]


@pytest.mark.parametrize("refund", [0, 0.5, 1])
def test_usage_that_was_lost_is_given_back(refund):
    """Without ageing: 4 processors x 1000 s lost, 4 x 2000 s of use, x 3 s of the job that preempted."""
    jobs = [Job(0, 0, 2000 * S, 2000 * S, 4), Job(1, 1000 * S, 3 * S, 3 * S, 4, user=1)]
    done = run(
        jobs,
        4,
        order="multifactor",
        names=NAMES | {"account": lambda job: "high" if job.user else "low"},
        **LOW_AND_HIGH,
        PriorityWeightFairshare=1,
        PriorityDecayHalfLife=0,
        PriorityUsageResetPeriod="YEARLY",
        accounts=[{"Account": "low"}, {"Account": "high"}],
        PreemptParameters={"refund": refund},
    )
    usage = done.state.usage
    root = usage.value[0, 0] + usage.pending[0, 0] * 1e-6
    assert root == pytest.approx(4 * (1000 * (1 - refund) + 2000 + 3))


@pytest.mark.parametrize("rate_limit", [None, 1])
def test_the_rate_limit_in_a_replay(rate_limit):
    """Jobs 2 and 3 preempt at 100 s and 200 s; with one an hour, job 3 waits for the next hour of the clock."""
    jobs = [
        *(Job(k, 0, 9000 * S, 9000 * S, 2) for k in (0, 1)),
        *(Job(k, 100 * S * (k - 1), 9000 * S, 9000 * S, 2, user=1) for k in (2, 3)),
    ]
    done = run(jobs, 4, names=NAMES, **LOW_AND_HIGH, PreemptParameters={"rate_limit": rate_limit} if rate_limit else {})
    assert done.starts[2:] == [100 * S, 3600 * S if rate_limit else 200 * S]


def victims(jobs, procs, **options):
    done = run(jobs, procs, names=NAMES, **LOW_AND_HIGH, PreemptParameters=options)
    log = done.state.stops
    return [job for job, time in zip(log.job.tolist(), log.time.tolist(), strict=True) if time == 100 * S]


def test_whom():
    """At 100 s: job 0 has lost 100 s x 1, job 1 50 s x 4, job 2 20 s x 3 processors; 4 of 8 are asked for and none is free."""
    jobs = [Job(0, 0, 900 * S, 900 * S, 1), Job(1, 50 * S, 900 * S, 900 * S, 4), Job(2, 80 * S, 900 * S, 900 * S, 3)]
    urgent = Job(3, 100 * S, 900 * S, 900 * S, 4, user=1)
    assert victims([*jobs, urgent], 8) == [2, 0]  # 60 and 100 processor-seconds, 4 processors
    assert victims([*jobs, urgent], 9) == [2]  # one is free
    five = Job(3, 100 * S, 900 * S, 900 * S, 5, user=1)
    assert victims([*jobs, five], 8) == [2, 1]  # least loss first takes all three; 0 is given back
    assert victims([*jobs, urgent], 8, youngest_first=True) == [
        1
    ]  # 2, then 1, without whom it is not enough; 2 is given back
    assert victims([*jobs, urgent], 8, rate_limit=1) == []  # two are needed, so none goes
    assert victims([*jobs, urgent], 8, min_gain=22.5) == [2, 0]  # 4 x 900 is 22.5 times 160
    assert victims([*jobs, urgent], 8, min_gain=22.6) == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"qos": [{"Name": "a", "Preempt": ["b"]}, {"Name": "b", "Preempt": ["a"]}]},
            "QOS a, b may preempt each other in a circle",
        ),
        ({"qos": [{"Name": "a", "Preempt": ["a"]}]}, "QOS a may preempt each other in a circle"),
        ({"qos": [{"Name": "a", "Preempt": ["aa"]}]}, "QOS a may preempt QOS aa, which is not there"),
        ({"PreemptMode": "GANG"}, "'GANG' is unknown"),
        ({"RestartTime": "1:00"}, "RestartTime is given, but no job writes checkpoints"),
        ({"MTBF": "1-0", "Predictor": "last-two", "Backfill": "easy"}, "checkpoints lengthen jobs"),
        ({"PreemptParameters": "youngest_first,min_gain=-1"}, "min_gain"),
        ({"PreemptParameters": {"refund": 2}}, "refund"),
        ({"PreemptParameters": {"refund": 1}, "ShareEngine": "karma"}, "keeps no usage that could be given back"),
    ],
)
def test_a_policy_that_makes_no_sense(keys, said):
    with pytest.raises(PolicyError) as error:
        from_dict(keys)
    assert said in str(error.value)
