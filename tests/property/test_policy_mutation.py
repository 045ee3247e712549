"""Mutated policies load or raise one clear line, never anything else."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apportion.core.errors import PolicyError
from apportion.policy.canonical import to_toml
from apportion.policy.load import from_dict, load, load_file
from apportion.policy.model import Policy
from apportion.policy.sections import (
    AccountEntry,
    PartitionEntry,
    QosEntry,
    ReservationEntry,
    SchedulerOptions,
    ShareOptions,
    UserEntry,
)

SECTIONS = {
    "accounts": AccountEntry,
    "users": UserEntry,
    "qos": QosEntry,
    "partitions": PartitionEntry,
    "reservations": ReservationEntry,
}
GOOD = """\
Order = "multifactor"
Backfill = "slurm"
SchedulerParameters = "bf_window=10080,bf_resolution=60"
PriorityWeightFairshare = 10000
PriorityMaxAge = "7-0"
PriorityFlags = "MAX_TRES"
TRESBillingWeights = "CPU=1.0,Mem=0.25G"
[[accounts]]
Name = "physics"
Fairshare = 40
GrpTRES = "cpu=512,mem=2T"
[[accounts]]
Name = "optics"
Parent = "physics"
[[users]]
User = "ada"
Account = "optics"
[[qos]]
Name = "urgent"
MaxWait = "04:00:00"
[[partitions]]
PartitionName = "batch"
TRES = "cpu=128,mem=1T"
[[reservations]]
ReservationName = "m"
StartTime = "now+1-0"
Duration = 60
Flags = "MAINT"
[[assign]]
Match = { Queue = ["1"] }
Set = { QOS = "urgent" }
"""
GOOD_YAML = """\
Order: multifactor
PriorityMaxAge: 7-0
accounts:
  - {Name: physics, Fairshare: 40}
  - Name: optics
    Parent: physics
qos:
  - Name: urgent
    MaxWait: 04:00:00
"""

words = st.sampled_from(
    [
        "-1",
        "0",
        "1",
        "7-0",
        "04:00:00",
        "UNLIMITED",
        "parent",
        "root",
        "a",
        "b",
        "c",
        "yes",
        "now",
        "now+1-0",
        "2024-01-01",
        "cpu=4",
        "mem=1G",
        "gres/gpu=1",
        "cpu=-1",
        "fcfs",
        "easy",
        "MAINT",
        "limit*procs",
    ]
)
scalars = st.one_of(
    words,
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.just(10**400),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | words, inner, max_size=3),
    max_leaves=5,
)


def keys(model: type) -> st.SearchStrategy[str]:
    names = st.sampled_from(sorted(model.model_fields))
    return st.one_of(names, names, names, names.map(str.lower), st.text(max_size=8))


entries = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.dictionaries(keys(model), scalars, max_size=5), max_size=4)
        for name, model in SECTIONS.items()
    }
    | {"assign": st.lists(st.fixed_dictionaries({}, optional={"Match": values, "Set": values}), max_size=3)}
    | {"ShareParameters": st.dictionaries(keys(ShareOptions), scalars, max_size=4)}
    | {"SchedulerParameters": st.dictionaries(keys(SchedulerOptions), scalars, max_size=4) | st.text(max_size=20)},
)


def survives(make) -> Policy | None:
    """The policy, or None after a PolicyError of one line; anything else is a fault."""
    refusal = None
    try:
        policy = make()
    except PolicyError as error:
        refusal = error
    if refusal is not None:
        assert "\n" not in str(refusal)
        assert refusal.problem
        return None
    assert len(policy.hash) == 64
    assert json.dumps(policy.canonical(), allow_nan=False)
    assert from_dict(policy.canonical()).hash == policy.hash
    return policy


@given(st.dictionaries(keys(Policy), values, max_size=6), entries)
@settings(max_examples=150, deadline=None)
def test_any_data_loads_or_is_refused(top, sections):
    survives(lambda: from_dict({key: value for key, value in top.items() if "lugin" not in key} | sections))


ROOTS = st.sampled_from(["root", "", *"abcdef"])


@given(st.dictionaries(st.sampled_from("abcdef"), ROOTS, min_size=1))
@settings(deadline=None)
def test_a_tree_is_accepted_and_anything_else_refused(parents):
    """A naive walk from every account decides what is a tree."""

    def reaches_root(name: str) -> bool:
        for _ in range(len(parents) + 1):
            if name in ("root", ""):
                return True
            if name not in parents:
                return False
            name = parents[name]
        return False

    policy = survives(
        lambda: from_dict({"accounts": [{"Name": name, "Parent": parent} for name, parent in parents.items()]})
    )
    assert (policy is not None) == all(reaches_root(name) for name in parents)


@pytest.mark.parametrize(("text", "suffix"), [(GOOD, "toml"), (GOOD_YAML, "yaml")])
def test_the_unmutated_text_loads(text, suffix, tmp_path):
    path = tmp_path / f"p.{suffix}"
    path.write_text(text)
    assert load(path).warnings == ()


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_text_loads_or_is_refused(tmp_path, data):
    text, suffix = data.draw(st.sampled_from([(GOOD, "toml"), (GOOD_YAML, "yaml")]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 3))
        put = data.draw(st.text(alphabet=string.printable + "äé\0\u2028", max_size=3) | words)
        text = text[:at] + put + text[at + cut :]
    path = tmp_path / f"p.{suffix}"
    path.write_text(text, newline="")
    survives(lambda: load_file(path))


@given(st.binary(max_size=200), st.sampled_from(["toml", "yaml"]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_binary_junk_is_refused(tmp_path, raw, suffix):
    path = tmp_path / f"p.{suffix}"
    path.write_bytes(raw)
    survives(lambda: load_file(path))


@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(1, 99), st.integers(0, 10**7)), min_size=1),
    st.permutations(["accounts", "Order", "PriorityMaxAge", "qos"]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_written_out_it_is_the_same_policy(tmp_path, accounts, order):
    data = {
        "Order": "multifactor",
        "PriorityMaxAge": 77,
        "qos": [{"Name": "q", "GrpTRES": {"mem": 3}}],
        "accounts": [{"Name": name, "Fairshare": shares, "GrpWall": wall} for name, (shares, wall) in accounts.items()],
    }
    policy = from_dict(data)
    assert from_dict({key: data[key] for key in order}).hash == policy.hash
    (tmp_path / "p.toml").write_text(to_toml(policy.canonical()))
    assert load(tmp_path / "p.toml").hash == policy.hash
