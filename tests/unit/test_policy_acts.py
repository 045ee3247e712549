"""What keys of a policy do to schedules that are worked out by hand."""

from __future__ import annotations

import pytest

from apportion.core import reasons
from apportion.core.errors import PolicyError
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from driving import run, submissions
from oracles.jobs import Job, Pool

SECOND = 1000


def job(id_: int, submit: int, seconds: int, procs: int, user: int = 0, **more: int) -> Job:
    return Job(id_, submit * SECOND, seconds * SECOND, seconds * SECOND, procs, user=user, **more)


def words(done, id_: int) -> list[str]:
    row = [j.id for j in done.jobs].index(id_)
    return reasons.words(int(done.state.live.reasons[row]), done.state.limits.bit_code)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [5000, 2500, 1250, 0]),
        ("NO_NORMAL_ASSOC", [100_000, 50_000, 25_000, 0]),
        ("NO_NORMAL_ALL", [100_000, 50_000, 25_000, 0]),
    ],
)
def test_priorities_of_associations_are_inherited_and_normalised(flags, expected):
    data = {
        "Order": "multifactor",
        "PriorityWeightAssoc": 5000,
        "PriorityFlags": flags,
        "accounts": [
            {"Name": "a", "Priority": 20},
            {"Name": "below", "Parent": "a", "Priority": 10},
            {"Name": "other"},
        ],
        "users": [{"User": "u2", "Account": "below", "Priority": 5}],
    }
    account = {0: "a", 1: "below", 2: "below", 3: "other"}
    jobs = submissions([job(u + 1, 0, 1, 1, user=u) for u in range(4)], account=lambda j: account[j.user])
    found = compile_policy(from_dict(data), jobs).state.jobs.static_priority.tolist()
    assert found == expected


def test_limits_in_percent_of_the_machine():
    data = {"qos": [{"Name": "half", "GrpTRES": "cpu=50", "Flags": "Relative"}], "DefaultQOS": "half"}
    jobs = [job(1, 0, 10, 3), job(2, 0, 10, 2), job(3, 0, 10, 1)]
    done = run(jobs, [Pool(9)], **data)  # half of 9 is 4, as Slurm counts
    assert done.starts == [0, 10 * SECOND, 0]
    assert words(done, 2) == ["QOSGrpCpuLimit"]


def test_limits_in_percent_of_a_partition():
    data = {
        "qos": [{"Name": "half", "GrpTRES": "cpu=50", "Flags": "Relative"}, {"Name": "normal"}],
        "DefaultQOS": "normal",
        "partitions": [{"Name": "p0", "TRES": "cpu=4", "QOS": "half"}, {"Name": "p1", "TRES": "cpu=100"}],
    }
    jobs = [job(1, 0, 10, 2), job(2, 0, 10, 1), job(3, 0, 10, 99, pool=1)]
    assert run(jobs, [Pool(4), Pool(100)], **data).starts == [0, 10 * SECOND, 0]
    done = run(jobs, [Pool(4), Pool(100)], names={"qos": lambda j: "half" if j.id == 2 else ""}, **data)
    assert done.starts == [0, -1, 0]
    assert words(done, 2) == ["QOSNotAllowed"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"qos": [{"Name": "q", "GrpTRES": "cpu=101", "Flags": "Relative"}]}, "GrpTRES is 101 % of cpu"),
        ({"qos": [{"Name": "q", "MaxTRESPU": "billing=5", "Flags": "Relative"}]}, "percentage of billing"),
        (
            {
                "qos": [{"Name": "q", "Flags": "Relative"}],
                "partitions": [{"Name": "a", "TRES": "cpu=1", "QOS": "q"}, {"Name": "b", "TRES": "cpu=1", "QOS": "q"}],
            },
            "that of two partitions",
        ),
        (
            {
                "qos": [{"Name": "q", "Flags": "Relative"}],
                "DefaultQOS": "q",
                "partitions": [{"Name": "a", "TRES": "cpu=1", "QOS": "q"}],
            },
            "no job may ask for it",
        ),
        ({"assign": [{"Set": {"Nice": "much"}}]}, "much"),
        ({"assign": [{"Set": {"Nice": -3_000_000_000}}]}, "out of range"),
        ({"assign": [{"Set": {}}]}, "sets nothing"),
    ],
)
def test_mistakes(data, message):
    with pytest.raises(PolicyError, match=message):
        from_dict(data)


def test_percent_of_what_nobody_counts():
    policy = from_dict({"qos": [{"Name": "q", "GrpTRES": "gres/gpu=50", "Flags": "Relative"}]})
    with pytest.raises(PolicyError, match="part of the gres/gpu there is"):
        compile_policy(policy, submissions([job(1, 0, 1, 1)]))


@pytest.mark.parametrize(("flags", "third", "fourth"), [("", 1800, 1200), ("ACCRUE_ALWAYS", 1200, 1800)])
def test_accrue_always_lifts_the_limits_on_ageing(flags, third, fourth):
    """Age counts a point a second. At 1200 job 3 has 1198 or, if it only aged since job 2 began, at most 600; job 4 has 1150."""
    data = {
        "PriorityFlags": flags,
        "PriorityWeightAge": 100_000,
        "PriorityMaxAge": "0:100000",
        "PriorityWeightQOS": 250,
        "PriorityCalcPeriod": "1",
        "users": [{"User": "u0", "Account": "a", "MaxJobsAccrue": 1}],
        "qos": [{"Name": "normal"}, {"Name": "high", "Priority": 1}],
        "DefaultQOS": "normal",
    }
    jobs = [job(1, 0, 600, 1, user=9), job(2, 1, 600, 1), job(3, 2, 600, 1), job(4, 300, 600, 1, user=1)]
    names = {"account": lambda _: "a", "qos": lambda j: "high" if j.id == 4 else ""}
    done = run(jobs, [Pool(1)], "multifactor", names=names, **data)
    assert done.starts == [0, 600 * SECOND, third * SECOND, fourth * SECOND]


@pytest.mark.parametrize(("threshold", "second", "third"), [(0, 100, 200), (1_000_000, 330, 30)])
def test_backfill_reserves_only_for_high_priorities(threshold, second, third):
    data = {"PriorityWeightAge": 1000, "SchedulerParameters": {"bf_min_prio_reserve": threshold}}
    jobs = [job(1, 0, 100, 3), job(2, 1, 100, 4), job(3, 2, 300, 1)]
    done = run(jobs, [Pool(4)], "multifactor", "slurm", **data)
    assert done.starts == [0, second * SECOND, third * SECOND]


def test_priorities_that_only_rise():
    """Job 3 came while its user had used nothing; what the user then used took that back, unless INCR_ONLY.

    User 0 runs job 1 alone until 90; user 1 runs nothing. Fair-share is 1 for whoever used less, else a half.
    """
    data = {"PriorityWeightFairshare": 1000, "PriorityCalcPeriod": "1", "PriorityWeightAge": 0}
    jobs = [job(1, 10, 80, 1), job(3, 20, 10, 1), job(4, 70, 10, 1, user=1)]
    names = {"account": lambda _: "a"}
    assert run(jobs, [Pool(1)], "multifactor", names=names, **data).starts == [10_000, 100_000, 90_000]
    rising = run(jobs, [Pool(1)], "multifactor", names=names, PriorityFlags="INCR_ONLY", **data)
    assert rising.starts == [10_000, 90_000, 100_000]


def test_the_whole_queue_is_tested_now_and_then():
    """Pool 1 is free, but its job is second in the queue, and the main pass at an event tests one."""
    pools = [Pool(1), Pool(1)]
    jobs = [job(1, 0, 200, 1), job(2, 5, 10, 1, user=1), job(3, 5, 10, 1, pool=1, user=1)]
    slow = {"bf_interval": 1000, "default_queue_depth": 1}
    for every, start in ((60, 60), (90, 90), (1000, 210)):
        done = run(jobs, pools, "fcfs", "slurm", SchedulerParameters=slow | {"sched_interval": every})
        assert done.starts[2] == start * SECOND
