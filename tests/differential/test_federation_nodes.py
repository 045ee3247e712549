"""Centers that are made of nodes inside a federation: both drivers agree, at home they are as if alone, and what has no such nodes is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core import federation_tables as tables
from apportion.core.errors import ScenarioError
from apportion.sim.placements import node_lists
from apportion.sim.replay import replay
from apportion.sim.scenario import scenario_from_dict
from differential.test_federation import NAMES, SETTINGS, federations
from federations import Job, Played, play

NODES = [
    {"NodeName": "n[1-3]", "CPUs": 2},
    {"NodeName": "g[1-2]", "CPUs": 2, "Gres": "gpu:a100:1", "Features": ["fast"], "Weight": 2},
]
FAST = [{"Match": {"User": ["u1"]}, "Set": {"Constraint": "fast"}}]


@st.composite
def on_nodes(draw, placements=("balanced", "random", "redundant")):
    """A federation, some of its centers made of nodes."""
    data, jobs, follows = draw(federations(placements))
    data.pop("failures", None)
    for k, entry in enumerate(data["centers"]):
        if k > 0 and draw(st.booleans()):
            continue
        entry.pop("Procs")
        entry["Policy"] = {
            "Backfill": draw(st.sampled_from(["none", "easy", "easy-sjbf"])),
            "SelectType": draw(st.sampled_from(["select/linear", "select/cons_tres"])),
            "nodes": NODES,
            "assign": FAST,
        }
    if not isinstance(data["broker"]["Policy"], str):
        data["broker"]["Policy"] = "fcfs"
    return data, jobs, follows


def lists_of(played: Played, k: int) -> list[str]:
    """Nodes that the jobs had at a center."""
    compiled = played.schedule.compiled
    found = node_lists(replace(compiled.centers[k], state=compiled.federation.cores[k]))[0]
    return [text for text, center in zip(found, played.schedule.center.tolist(), strict=True) if center == k]


@given(on_nodes())
@settings(SETTINGS, max_examples=12)
def test_drivers_agree_and_nodes_suffice(case):
    data, jobs, follows = case
    compiled, simulated = (play(data, jobs, engine, follows) for engine in ("compiled", "simpy"))
    assert compiled.schedule.decision_hash == simulated.schedule.decision_hash
    for name in ("start_ms", "end_ms", "center", "state", "reasons"):
        assert (getattr(compiled.schedule, name) == getattr(simulated.schedule, name)).all(), name
    for k, core in enumerate(compiled.schedule.compiled.federation.cores):
        for left, size in zip(core.nodes.free, core.nodes.size, strict=True):
            assert left.tolist() == size.tolist()  # all was freed
        if len(core.nodes.kind):
            assert lists_of(compiled, k) == lists_of(simulated, k)


@given(on_nodes(placements=("home",)))
@settings(SETTINGS, max_examples=10)
def test_at_home_a_center_of_nodes_is_as_if_alone(case):
    data, jobs, follows = case
    data["centers"][0]["Mode"] = "autonomous"
    played = play(data, jobs, follows=follows)
    alone = replay(played.workload.parts[0], played.scenario.policy_of("A"))
    mine = played.workload.home == 0
    assert (alone.start_ms == played.schedule.start_ms[mine]).all()
    home = np.flatnonzero(played.schedule.center == 0)
    row = played.workload.row[home]
    assert lists_of(played, 0) == [node_lists(alone.compiled)[0][k] for k in row.tolist()]


@pytest.mark.parametrize("mode", ["managed", "autonomous"])
def test_a_center_without_such_nodes_is_refused(mode):
    on = {"Backfill": "easy", "SelectType": "select/cons_tres", "assign": FAST}
    centers = [
        {"Center": "A", "Mode": mode, "Policy": {**on, "nodes": NODES}},
        {"Center": "B", "Mode": mode, "Policy": {**on, "nodes": NODES[:1], "assign": []}},
        {"Center": "C", "Mode": mode, "Policy": "easy", "Procs": 64},
    ]
    data = {"broker": {"Placement": "urgent"}, "centers": centers, "moves": [{"Fraction": 1, "By": "job"}]}
    many = [Job(0, 4, 100, 100, user="u1") for _ in range(3)]  # one at a time fits the fast nodes of A
    wide = [Job(0, 5, 100, 100, user="u1"), Job(0, 6, 100, 100, user="u2")]
    played = play(data, {"A": [*many, *wide], "B": [Job(500, 1, 1, 1)], "C": [Job(500, 1, 1, 1)]})
    f, schedule = played.schedule.compiled.federation, played.schedule
    fast = [k for k in range(len(schedule.start_ms)) if schedule.submit_ms[k] == 0][:3]
    assert schedule.center[fast].tolist() == [0, 0, 0]
    assert sorted(schedule.start_ms[fast].tolist())[1:] == [100_000, 200_000] or mode == "autonomous"
    assert schedule.start_ms[3] == -1  # wider than the fast nodes of any center
    rows = range(int(f.log.rows[0]))
    reasons = {int(f.log.job[row]): f.log.reason[row].tolist() for row in rows}
    assert [NAMES[t] for t in range(3)] == [name for name, _ in schedule.compiled.target_names]
    for job in fast:
        assert reasons[job] == [tables.ALLOWED, tables.WRONG_GPU, tables.WRONG_GPU]
    assert reasons[4] == [tables.ALLOWED, tables.ALLOWED, tables.ALLOWED]


def test_nodes_and_processors_contradict_each_other():
    policy = {"SelectType": "select/cons_tres", "nodes": NODES}
    with pytest.raises(ScenarioError, match="Procs of A is given, but its policy lists its nodes"):
        scenario_from_dict({"centers": [{"Center": "A", "Procs": 4, "Policy": policy}]})
