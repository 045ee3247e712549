"""Scenarios load or are refused in one clear line each, with file, line and remedy, before anything runs."""

from __future__ import annotations

import json
import re

import pytest

from apportion.core.errors import ScenarioError
from apportion.sim.conventions import Conventions
from apportion.sim.federation.source import read_input
from apportion.sim.scenario import examine, load_scenario, preset_names, scenario_from_dict, schema
from apportion.traces import write_swf
from apportion.traces.synth import lublin

GOOD = """\
Name = "two"
[broker]
Placement = "balanced"
[[centers]]
Center = "North"
Procs = 64
Price = 0.02
[[centers]]
Center = "South"
Procs = 128
Storage = "10TB"
[[links]]
From = "North"
To = "South"
Bandwidth = "1Gbit/s"
[[datasets]]
Dataset = "archive"
Size = "1TB"
Replicas = ["South"]
Match = { Center = "North" }
[[moves]]
Fraction = 0.5
"""

# What is written instead of what, on which line the fault is, and what is said: problem and remedy.
BAD = {
    "no partitions": ("Procs = 64\n", "", 5, "center North has no partitions (give it Procs, partitions or a Trace)"),
    "no processors": ("Procs = 64", "Procs = 0", 6, "center North has no processors (give it Procs of 1 or more)"),
    "empty partition": (
        "Price = 0.02",
        ("Price = 0.02\n[[centers.partitions]]\nPartitionName = 'a'\nProcs = 4\n[[centers.partitions]]\n"
        "PartitionName = 'b'\nTRES = 'cpu=0'"),
        12,
        "partition b of North has no capacity (give it Procs of 1 or more, or leave it out)",
    ),
    "link to nowhere": (
        'To = "South"',
        'To = "Soutn"',
        14,
        "a link leads to Soutn, which is neither a center nor a waypoint of another link (did you mean South?)",
    ),
    "link to itself": ('To = "South"', 'To = "North"', 14, "a link leads from North to itself (give two ends)"),
    "negative bandwidth": (
        '"1Gbit/s"',
        '"-1Gbit/s"',
        15,
        "Bandwidth: a bandwidth of -1Gbit/s is below zero (write for example 10Gbit/s)",
    ),
    "no bandwidth": (
        '"1Gbit/s"',
        "0",
        15,
        "Bandwidth: a link without bandwidth carries nothing (write for example 10Gbit/s, or leave the link out)",
    ),
    "negative price": ("Price = 0.02", "Price = -0.02", 7, "Price: -0.02 is below zero (give 0 or more)"),
    "no data at all": ('["South"]', "[]", 19, "archive is nowhere (name the centers that have it)"),
    "unknown replica": ('["South"]', '["South", "Suoth"]', 19, "there is no center Suoth (did you mean South?)"),
    "unknown residency": (
        'Replicas = ["South"]',
        'Replicas = ["South"]\nResidency = "South,Mars"',
        20,
        "there is no center Mars (centers are North, South)",
    ),
    "residency without its replicas": (
        'Replicas = ["South"]',
        'Replicas = ["South"]\nResidency = ["North"]',
        20,
        "the residency rule of archive excludes every center that has it (name one of South)",
    ),
    "replica where it may not be": (
        'Replicas = ["South"]',
        'Replicas = ["North", "South"]\nResidency = ["North"]',
        19,
        "archive is at South, where it may not be (correct Residency or Replicas)",
    ),
    "larger than every store": (
        '"1TB"',
        '"11TB"',
        18,
        "archive is larger than the storage of South, where it is (correct its Size, or Storage of the center)",
    ),
    "unknown center of jobs": (
        'Center = "North" }',
        'Center = "Norht" }',
        20,
        "there is no center Norht (did you mean North?)",
    ),
    "unknown key": ("Storage =", "Storag =", 11, "unknown key 'Storag' in centers number 2 (did you mean 'Storage'?)"),
    "same center twice": ('"South"\nProcs', '"North"\nProcs', 9, "there are two centers named North (name one of them otherwise)"),
    "unknown placement": ('"balanced"', '"balancd"', 3, "Placement: 'balancd' is unknown (did you mean 'balanced'?)"),
    "unknown policy": (
        'Placement = "balanced"',
        'Policy = "multifacter"',
        3,
        "there is no policy or file 'multifacter' (did you mean 'multifactor'?)",
    ),
    "fraction": ("Fraction = 0.5", "Fraction = 1.5", 22, "Fraction: input should be less than or equal to 1 (correct the value)"),
    "window": ('Name = "two"', "Start = 2005-01-01\nEnd = 2004-01-01", 2, "End is not after Start (exchange or correct them)"),
    "no date": ('Name = "two"', 'Start = "now+1-0"', 1, "Start counts from the origin of a trace (give a date: centers share one calendar)"),
    "no TOML": ("[broker]", "[broker", 2, "not valid TOML: expected ']' at the end of a table declaration (mend the line)"),
    "not a list": ("[[moves]]", "[moves]", 21, "moves is not a list of tables (write each entry under [[moves]])"),
    "missing": ('Center = "North"\n', "", 4, "Center is missing (add Center)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_one_line_with_its_place_and_a_remedy(case, tmp_path):
    old, new, line, said = BAD[case]
    assert GOOD.count(old) == 1
    path = tmp_path / "s.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value) == f"{path}:{line}: {said}"


def test_the_scenario_that_is_broken_above_is_good(tmp_path):
    (tmp_path / "s.toml").write_text(GOOD)
    assert load_scenario(tmp_path / "s.toml").Name == "two"


@pytest.mark.parametrize("section", ["broker", "centers"])
def test_accounts_that_borrow_in_a_circle(section, tmp_path):
    """As TOML below the section, and as a YAML file of its own, whose line is then told."""
    path = tmp_path / "s.toml"
    entry = "[[{}]]\nAccount = '{}'\nParent = '{}'\n"
    places = [(f"{section}.Policy.accounts", "a", "b"), (f"{section}.Policy.accounts", "b", "a")]
    circle = "".join(entry.format(*place) for place in places)
    before = '[[centers]]\nCenter = "South"' if section == "centers" else "[[links]]"
    path.write_text(GOOD.replace(before, circle + before))
    said = "the account tree has a cycle: a > b > a (give one of them another Parent)"
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    line = {"broker": 12, "centers": 8}[section]
    assert str(caught.value) == f"{path}:{line}: {said}"
    (tmp_path / "p.yaml").write_text("accounts:\n  - {Account: a, Parent: b}\n  - {Account: b, Parent: a}\n")
    path.write_text(GOOD.replace("[broker]", "[broker]\nPolicy = 'p.yaml'"))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(f"{tmp_path / 'p.yaml'}:")
    assert str(caught.value).endswith(said)


def test_more_ways_to_leave_no_center_for_a_dataset(tmp_path):
    path = tmp_path / "s.toml"
    drained = GOOD.replace('Storage = "10TB"', "Drain = true").replace(
        'Replicas = ["South"]', 'Replicas = ["South"]\nResidency = ["South"]'
    )
    path.write_text(drained)
    with pytest.raises(
        ScenarioError, match=r"excludes every center that takes jobs .name one that is not drained"
    ) as caught:
        load_scenario(path)
    assert caught.value.line == 20
    path.write_text(GOOD.replace("Price = 0.02", "Storage = '1GB'").replace('"1TB"', '"11TB"'))
    with pytest.raises(ScenarioError, match="archive is larger than the storage of every center") as caught:
        load_scenario(path)
    assert caught.value.line == 18
    path.write_text(GOOD.replace('Replicas = ["South"]', 'Replicas = ["South"]\nResidency = ["Mars"]'))
    _, faults = examine(path)
    assert [fault.problem for fault in faults] == [
        "there is no center Mars",
        "the residency rule of archive excludes every center",
    ]


def test_a_dataset_is_given_once(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(f"{GOOD}[[datasets]]\nDataset = 'archive'\nSize = 1\nReplicas = 'North'\nMatch = {{}}\n")
    with pytest.raises(ScenarioError, match=r"two datasets named archive .name one of them otherwise") as caught:
        load_scenario(path)
    assert caught.value.line == 24


def test_every_fault_is_found_from_the_top_down(tmp_path):
    path = tmp_path / "s.toml"
    text = GOOD
    for case in ("unknown key", "negative price", "link to nowhere", "unknown policy", "unknown replica", "fraction"):
        text = text.replace(*BAD[case][:2])
    path.write_text(text)
    _, faults = examine(path)
    assert [fault.line for fault in faults] == [3, 7, 11, 14, 19, 22]
    assert [fault.problem.split(":")[0].split(" ")[0] for fault in faults] == [
        "there", "Price", "unknown", "a", "there", "Fraction",
    ]  # fmt: skip
    path.write_text(GOOD.replace("Bandwidth", "Bandwith"))
    _, faults = examine(path)  # and not that Bandwidth is missing as well
    assert [fault.problem for fault in faults] == ["unknown key 'Bandwith' in links number 1"]


def test_yaml_says_the_same(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "centers:\n- Center: A\n  Procs: 4\n- Center: B\n  Procs: 4\n  Price: -1\nlinks:\n"
        "- {From: A, To: C, Bandwidth: 1Gbit/s}\n"
    )
    _, faults = examine(path)
    assert [str(fault) for fault in faults] == [
        f"{path}:6: Price: -1 is below zero (give 0 or more)",
        f"{path}:8: a link leads to C, which is neither a center nor a waypoint of another link (centers are A, B)",
    ]


@pytest.mark.parametrize("name", ["europe-us-2005", "nothing-like-it", "\0", ""])
def test_a_name_that_is_none(name, tmp_path):
    with pytest.raises(ScenarioError, match=r"europe-us-2004|this is a folder"):
        load_scenario(name)
    with pytest.raises(ScenarioError, match="this is a folder"):
        load_scenario(tmp_path)


# What only the traces tell


def federation(tmp_path, head="", **keys):
    """Two centers with traces of one week that begin at the same moment, and a scenario over them."""
    for seed, name in enumerate(("North", "South")):
        write_swf(lublin(200, seed, procs=64, load=0.8, users=5, accounts=2), tmp_path / f"{name}.swf")
    lines = [f"{head}\n" if head else ""]
    for name in ("North", "South"):
        extra = keys.get(name, "")
        lines.append(f'[[centers]]\nCenter = "{name}"\nProcs = 64\nTrace = "{name}.swf"\n{extra}\n')
    path = tmp_path / "s.toml"
    path.write_text("".join(lines))
    return path


def test_traces_are_found_beside_the_scenario(tmp_path):
    given = read_input(load_scenario(federation(tmp_path)), Conventions())
    assert given.workload.centers == ("North", "South")


def test_traces_that_do_not_overlap(tmp_path):
    path = federation(tmp_path, South='Shift = "3650-0"')
    with pytest.raises(
        ScenarioError, match=r"the traces do not overlap: that of North ends on .*shift one of them"
    ) as caught:
        read_input(load_scenario(path), Conventions())
    assert (caught.value.path, caught.value.line) == (str(path), 9)


def test_a_window_outside_of_a_trace(tmp_path):
    path = federation(tmp_path, head="Start = 2090-01-01")
    with pytest.raises(
        ScenarioError, match=r"the trace of North runs from .*outside of the scenario .correct Start"
    ) as caught:
        read_input(load_scenario(path), Conventions())
    assert (caught.value.path, caught.value.line) == (str(path), 5)


def test_a_center_without_a_trace_has_no_jobs_of_its_own(tmp_path):
    path = federation(tmp_path)
    path.write_text(path.read_text().replace('Trace = "South.swf"\n', ""))
    given = read_input(load_scenario(path), Conventions())
    assert [len(part) for part in given.workload.parts] == [200, 0]
    assert [part.jobs.capacity["cpu"] for part in given.workload.parts] == [64, 64]
    assert set(given.trace.labels("x_center")[1]) == {"North"}


def test_some_center_must_have_a_trace(tmp_path):
    path = federation(tmp_path)
    path.write_text(re.sub(r'Trace = ".*"\n', "", path.read_text()))
    with pytest.raises(ScenarioError, match="no center has a Trace, so nobody submits jobs") as caught:
        read_input(load_scenario(path), Conventions())
    assert (caught.value.path, caught.value.line) == (str(path), 2)


# Presets and schema


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_written_out_is_the_same_scenario(name):
    scenario = load_scenario(name)
    again = scenario_from_dict(json.loads(json.dumps(scenario.canonical())))
    assert again.hash == scenario.hash


def test_the_schema_describes_every_key():
    described = schema()
    for model in (described, *described["$defs"].values()):
        for name, field in model["properties"].items():
            assert field.get("description"), name
    assert described["additionalProperties"] is False
