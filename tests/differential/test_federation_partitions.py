"""The partitions of managed centers are those of the broker, and a job from an autonomous center is in none of them: runs worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from apportion.core.codes import ENDED
from federations import Job, Played, play

ENGINES = ("compiled", "simpy")
PLACED = ("urgent", "redundant")


def scenario(
    policy: dict[str, Any], partition: dict[str, Any], placement: str, *others: dict[str, Any]
) -> dict[str, Any]:
    """A is managed and has the given partition, B is autonomous; who is called ``u`` may move."""
    managed = {"Center": "A", "Mode": "managed", "partitions": [{"PartitionName": "p", "Procs": 4, **partition}]}
    autonomous = {"Center": "B", "Mode": "autonomous", "Procs": 4, "PollInterval": 1, "Latency": 0}
    return {
        "broker": {
            "Policy": {"Order": "fcfs", "AccountingStorageEnforce": ["limits"], **policy},
            "Placement": placement,
            "ReplaceAfter": 0,
        },
        "centers": [entry | {"Policy": "easy"} for entry in (managed, autonomous, *others)],
        "moves": [{"Match": {"User": ["u"]}}],
    }


def own(submit: int, procs: int, run: int, limit: int = 0) -> Job:
    return Job(submit, procs, run, limit or run, user="stays", account="b")


def starts(played: Played) -> list[int]:
    assert (played.schedule.state == ENDED).all()
    return (played.schedule.start_ms // 1000).tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", PLACED)
def test_its_time_limit_is_not_asked_for(engine, placement):
    """It is longer than A allows, and starts at home at once."""
    data = scenario({}, {"MaxTime": "00:00:30"}, placement)
    assert starts(play(data, {"A": [], "B": [Job(0, 2, 50, 50)]}, engine)) == [0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", PLACED)
@pytest.mark.parametrize(("full_until", "start"), [(0, 1), (40, 10)])
def test_the_qos_of_a_partition_counts_where_it_is_placed(engine, placement, full_until, start):
    """One job may run at A at a time, and one does until 10. A job of B runs at home at 1 if there is room, else at A, at 10."""
    data = scenario({"qos": [{"Name": "one", "GrpJobs": 1}]}, {"QOS": "one"}, placement)
    full = [own(0, 4, full_until)] if full_until else []
    played = play(data, {"A": [own(0, 1, 10)], "B": [*full, Job(1, 4 if not full else 3, 5, 5)]}, engine)
    assert starts(played)[-1] == start
    assert played.schedule.center[-1] == (1 if start == 1 else 0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", PLACED)
def test_it_is_billed_as_partitions_do_not_say(engine, placement):
    """Billed by A a job of 2 processors would be 20, and never start within 5."""
    policy = {"accounts": [{"Account": "B/a", "GrpTRES": "billing=5"}]}
    data = scenario(policy, {"TRESBillingWeights": {"cpu": 10}}, placement)
    assert starts(play(data, {"A": [], "B": [Job(0, 2, 5, 5)]}, engine)) == [0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("policy", "high", "low"),
    [
        ({}, {"PriorityTier": 5}, {"PriorityTier": 3}),
        ({"PriorityWeightPartition": 1000}, {"PriorityJobFactor": 5}, {"PriorityJobFactor": 3}),
        ({"PriorityWeightTRES": {"cpu": 1000}}, {}, {"Procs": 20}),
    ],
    ids=["tier", "factor", "TRES"],
)
@pytest.mark.parametrize("homes", ["BC", "AC"])
def test_it_has_no_priority_from_a_partition(engine, policy, high, low, homes):
    """Two jobs wait for A, which is full until 10. That of C came later: one of A is before it by its partition, and one of B is not.

    For the term of TRES: 4 processors are all of A and a fifth of C, and nothing of no partition.
    """
    policy = {"Order": "multifactor", "PriorityWeightAge": 0, "PriorityWeightFairshare": 0, **policy}
    third = {"Center": "C", "Mode": "managed", "partitions": [{"PartitionName": "p", "Procs": 4, **low}]}
    data = scenario(policy, high, "urgent", third)
    jobs = {"A": [own(0, 4, 10)], "B": [own(0, 4, 900, 3600)], "C": [own(0, low.get("Procs", 4), 900, 3600)]}
    jobs[homes[0]] = [*jobs[homes[0]], Job(1, 4, 5, 5)]
    jobs["C"] = [*jobs["C"], Job(2, 4, 6, 6)]
    played = play(data, jobs, engine)
    assert starts(played)[3:] == ([16, 10] if homes[0] == "B" else [10, 15])
    assert played.schedule.center.tolist()[3:] == [0, 0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tier", "start"), [(2, 1), (1, 10)])
def test_it_can_be_preempted_as_of_the_lowest_tier(engine, tier, start):
    """B is full, so its job runs at A from 0, until one of A with a tier of 2 comes at 1 and takes its place; a tier of 1 is its own."""
    data = scenario({"PreemptType": "partition_prio", "PreemptMode": "REQUEUE"}, {"PriorityTier": tier}, "urgent")
    played = play(data, {"A": [own(1, 4, 5)], "B": [own(0, 4, 900, 3600), Job(0, 3, 10, 10)]}, engine)
    assert starts(played)[2] == start
