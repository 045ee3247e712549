"""What ``policy check`` asks about."""

from __future__ import annotations

import pytest

from apportion.policy.lint import lint
from apportion.policy.load import from_dict, load, preset_names

MULTIFACTOR = {"Order": "multifactor", "PriorityWeightFairshare": 10000}


@pytest.mark.parametrize("name", preset_names())
def test_presets_leave_nothing_to_ask(name):
    assert lint(load(name)) == []


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        (
            {"Backfill": "slurm", "partitions": [{"Name": "p", "MaxTime": "2-0"}]},
            "SchedulerParameters",
            "bf_window of 1440.*2-00:00:00",
        ),
        (
            {"Backfill": "easy", "SchedulerParameters": "bf_window=99"},
            "SchedulerParameters",
            "no effect with Backfill easy",
        ),
        (MULTIFACTOR | {"PriorityWeightAge": 10}, "PriorityWeightAge", "loses"),
        (MULTIFACTOR | {"PriorityWeightTRES": "cpu=10"}, "PriorityWeightTRES", "loses"),
        ({"Order": "multifactor"}, "Order", "without any weight"),
        ({"PriorityWeightAge": 1000}, "PriorityWeightAge", "no effect with Order fcfs"),
        ({"accounts": [{"Name": "a", "Fairshare": 3}]}, "Fairshare", "nothing weighs"),
        ({"OrderExpression": "limit", "accounts": [{"Name": "a", "Fairshare": 3}]}, "Fairshare", "nothing weighs"),
        (
            MULTIFACTOR | {"DefaultQOS": "b", "qos": [{"Name": "a", "Priority": 3}, {"Name": "b"}]},
            "PriorityWeightQOS",
            "weight is 0",
        ),
        ({"qos": [{"Name": "a"}]}, "DefaultQOS", "rejected"),
        (MULTIFACTOR | {"accounts": [{"Name": "a", "Priority": 3}]}, "PriorityWeightAssoc", "weight is 0"),
        (MULTIFACTOR | {"PriorityFlags": "CALCULATE_RUNNING"}, "PriorityFlags", "decides nothing"),
        (
            MULTIFACTOR | {"partitions": [{"Name": "a", "PriorityJobFactor": 3}, {"Name": "b"}]},
            "PriorityWeightPartition",
            "weight is 0",
        ),
        (MULTIFACTOR | {"FairShareDampeningFactor": 3}, "FairShareDampeningFactor", "no effect with Fair Tree"),
        (MULTIFACTOR | {"PriorityDecayHalfLife": 20}, "PriorityDecayHalfLife", "coarse"),
        (
            {"AccountingStorageEnforce": "none", "accounts": [{"Name": "a", "GrpJobs": 3}]},
            "AccountingStorageEnforce",
            "not enforced",
        ),
        (
            {"AccountingStorageEnforce": "qos", "DefaultQOS": "a", "qos": [{"Name": "a", "MaxJobsPU": 3}]},
            "AccountingStorageEnforce",
            "not enforced",
        ),
        ({"partitions": [{"Name": "p", "MaxTime": 0}]}, "MaxTime", "0 holds every job of partition p"),
        ({"accounts": [{"Name": "a", "MaxWall": 0}]}, "MaxWall", "0 holds every job of account a"),
        ({"users": [{"User": "u", "Account": "a"}]}, "users", "account a is not listed"),
        (
            {
                "qos": [{"Name": "q"}],
                "assign": [{"Set": {"QOS": "q"}}, {"Match": {"User": "u"}, "Set": {"Account": "a"}}],
            },
            "assign",
            "rule 1 matches every job",
        ),
        ({"reservations": [{"Name": "r", "StartTime": "now", "Duration": 5}]}, "reservations", "nobody may run in r"),
    ],
)
def test_asks(data, key, words):
    (finding,) = lint(from_dict(data))
    assert finding.key == key
    assert finding.remedy
    import re

    assert re.search(words, finding.problem)


@pytest.mark.parametrize(
    "data",
    [
        {"OrderExpression": "fairshare", "accounts": [{"Name": "a", "Fairshare": 3}]},
        MULTIFACTOR | {"accounts": [{"Name": "a", "Fairshare": 3}], "users": [{"User": "u", "Account": "a"}]},
        {"AccountingStorageEnforce": "none", "accounts": [{"Name": "a"}]},
        {"partitions": [{"Name": "p", "MaxTime": "UNLIMITED"}], "accounts": [{"Name": "a", "MaxWall": 1}]},
        {"AccountingStorageEnforce": "limits", "qos": [{"Name": "a"}]},
        {"qos": [{"Name": "a"}], "assign": [{"Set": {"QOS": "a"}}]},
        {"Backfill": "slurm", "SchedulerParameters": "bf_window=2880", "partitions": [{"Name": "p", "MaxTime": "2-0"}]},
        {"reservations": [{"Name": "r", "StartTime": "now", "Duration": 5, "Flags": "maint"}]},
    ],
)
def test_does_not_ask_without_cause(data):
    assert lint(from_dict(data)) == []


def test_the_longest_limit_of_a_trace_may_be_given():
    policy = from_dict({"Backfill": "slurm"})
    assert lint(policy) == []
    assert lint(policy, longest_limit_s=86400) == []
    assert "set bf_window=1441" in str(lint(policy, longest_limit_s=86401)[0])
