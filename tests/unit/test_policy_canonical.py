"""One canonical form: equal meaning, equal hash; what differs is listed."""

from __future__ import annotations

import hashlib
import json

import pytest

from apportion.policy.canonical import to_toml
from apportion.policy.diff import changes
from apportion.policy.load import from_dict, load, load_file, preset_names
from apportion.policy.source import parse_toml

BASE = {"Order": "multifactor", "PriorityWeightAge": 1000}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"PriorityMaxAge": "7-0"}, {"PriorityMaxAge": "168:00:00"}),
        ({"PriorityMaxAge": "7-0"}, {}),
        ({"prioritymaxage": 90}, {"PriorityMaxAge": "01:30:00"}),
        ({"Name": "a", "Description": "b"}, {"Name": "c"}),
        ({"PriorityFlags": "max_tres,INCR_ONLY"}, {"PriorityFlags": ["INCR_ONLY", "MAX_TRES"]}),
        ({"PriorityFlags": "NO_FAIR_TREE"}, {"ShareEngine": "classic"}),
        ({"PriorityFlags": "FAIR_TREE"}, {}),
        ({"SchedulerParameters": "bf_window=1440"}, {"SchedulerParameters": {"bf_interval": 30}}),
        ({"TRESBillingWeights": "Mem=0.25G,CPU=1"}, {"TRESBillingWeights": {"cpu": "1.0", "mem": 0.25 / 1024}}),
        ({"AccountingStorageEnforce": "safe"}, {"AccountingStorageEnforce": "limits,safe"}),
        ({"accounts": [{"Name": "a", "MaxJobs": -1}]}, {"accounts": [{"Account": "a", "GrpTRES": "cpu=-1"}]}),
        ({"qos": [{"Name": "q", "MaxTRESPerUser": "mem=2048"}]}, {"qos": [{"Name": "q", "MaxTRESPU": "mem=2G"}]}),
        (
            {"partitions": [{"Name": "p", "Procs": 8, "TRES": "mem=1G"}]},
            {"partitions": [{"Name": "p", "TRES": "cpu=8,mem=1024"}]},
        ),
        ({"PreemptType": "preempt/qos"}, {"PreemptType": "qos"}),
        ({"FairSharing": False}, {}),
    ],
)
def test_equal_meaning_gives_equal_hash(one, other):
    assert from_dict(BASE | one).hash == from_dict(BASE | other).hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"PriorityWeightAge": 1001}),
        ({}, {"Backfill": "easy"}),
        ({}, {"accounts": [{"Name": "a"}]}),
        ({"accounts": [{"Name": "a"}]}, {"accounts": [{"Name": "a", "GrpTRES": "cpu=0"}]}),
        ({"accounts": [{"Name": "a"}]}, {"accounts": [{"Name": "a", "MaxJobs": 0}]}),
        ({"PriorityFlags": "DEPTH_OBLIVIOUS"}, {"PriorityFlags": "NO_FAIR_TREE"}),
        ({"AccountingStorageEnforce": "none"}, {}),
        ({"AccountingStorageEnforce": "limits"}, {}),
    ],
)
def test_other_meaning_gives_another_hash(one, other):
    assert from_dict(BASE | one).hash != from_dict(BASE | other).hash


def test_order_of_keys_does_not_count():
    data = json.loads(json.dumps(load("slurm").canonical()))
    backwards = {key: data[key] for key in sorted(data, reverse=True)}
    assert from_dict(backwards).hash == load("slurm").hash


def test_hash_is_that_of_the_compact_json():
    plain = load("easy").canonical()
    for key in ("Name", "Description"):
        plain.pop(key)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert load("easy").hash == hashlib.sha256(text.encode()).hexdigest()


def test_presets_differ_from_each_other():
    assert len({load(name).hash for name in preset_names()}) == len(preset_names())


FULL = {
    **BASE,
    "Name": 'quoted "name" \\ ä',
    "Licenses": "matlab:50",
    "PriorityWeightTRES": "CPU=5",
    "MaxWait": "UNLIMITED",
    "AllowZeroShares": "yes",
    "accounts": [{"Name": "a", "Fairshare": 0, "GrpWall": "1-0"}, {"Name": "b", "Parent": "a", "Fairshare": "parent"}],
    "users": [{"User": "u", "Account": "b", "MaxTRESPerJob": "cpu=4,gres/gpu:a100=1"}],
    "qos": [{"Name": "q", "MaxWait": "4:00:00", "UsageFactor": 0.1, "Flags": "NoReserve", "LimitFactor": -1}],
    "partitions": [{"Name": "p", "Procs": 4, "MaxTime": "UNLIMITED", "TRESBillingWeights": "Mem=0.3G"}],
    "reservations": [
        {"Name": "r", "StartTime": "2024-05-06T08:00:00+02:00", "Duration": 90, "Users": "u"},
        {"Name": "s", "StartTime": "now+2days", "EndTime": "now+3-0", "Flags": "MAINT,DAILY"},
    ],
    "assign": [{"Match": {"Queue": [1], "LimitMin": "1-0"}, "Set": {"QOS": "q"}}, {"Set": {"Account": "b"}}],
}


@pytest.mark.parametrize("data", [FULL, *[{"Order": name} for name in ("sjf", "f3")], {"OrderExpression": "limit+ 1"}])
def test_canonical_form_loads_as_the_same_policy(data, tmp_path):
    policy = from_dict(data)
    assert from_dict(policy.canonical()).canonical() == policy.canonical()
    (tmp_path / "shown.toml").write_text(to_toml(policy.canonical()))
    shown = load_file(tmp_path / "shown.toml")
    assert (shown.hash, shown.canonical()) == (policy.hash, {"Name": "shown"} | policy.canonical())
    assert parse_toml(to_toml(policy.canonical())) == policy.canonical()


def test_diff_names_entries_and_not_positions():
    before = from_dict(FULL)
    after = from_dict(
        FULL
        | {
            "PriorityWeightAge": 2000,
            "accounts": [{"Name": "c"}, *FULL["accounts"]],
            "users": [{"User": "u", "Account": "b", "MaxTRESPerJob": "cpu=8,gres/gpu:a100=1"}],
            "qos": [{"Name": "q", "UsageFactor": 0.1, "Flags": "NoReserve"}],
        }
    )
    assert {change.key: (change.before, change.after) for change in changes(before, after)} == {
        "PriorityWeightAge": (1000, 2000),
        "accounts[c]": (None, "present"),
        "accounts[c].Fairshare": (None, 1),
        "users[b/u].MaxTRESPerJob": ("cpu=4,gres/gpu:a100=1", "cpu=8,gres/gpu:a100=1"),
        "qos[q].MaxWait": ("04:00:00", None),
    }
    assert changes(before, before) == []
