"""Policies with nodes: names, capacities, and what is refused in one line."""

from __future__ import annotations

import pytest

from apportion.core import nodes
from apportion.core.errors import PolicyError, RunError
from apportion.core.handle import handle
from apportion.policy.compile import compile_policy
from apportion.policy.fields import parse_gres
from apportion.policy.hostlist import compress, expand
from apportion.policy.load import from_dict, load_file
from apportion.sim.placements import holdings
from driving import submissions
from oracles.jobs import Job

NODES = [{"NodeName": "n[1-4]", "CPUs": 8}]
LINEAR = {"SelectType": "select/linear", "nodes": NODES}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n7", ["n7"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[1-2,7]", ["n1", "n2", "n7"]),
        ("n[08-11]-ib", ["n08-ib", "n09-ib", "n10-ib", "n11-ib"]),
    ],
)
def test_hostlists_name_nodes(text, names):
    assert expand(text) == names


@pytest.mark.parametrize("text", ["n[", "n[3-1]", "n[a-b]", "n[1-2][3]", "n[1-99999999]", "n 1", "n[]"])
def test_what_is_no_hostlist_is_refused(text):
    with pytest.raises(ValueError, match=r"write one such|empty or too long"):
        expand(text)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["n3", "n1", "n2", "n7"], "n[1-3,7]"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["n08", "n09", "n10"], "n[08-10]"),
        (["b1", "a1", "a2", "login"], "login,a[1-2],b1"),
        (["n1"], "n1"),
    ],
)
def test_names_are_written_as_short_as_slurm_does(names, text):
    assert compress(names) == text


def test_gpus_of_a_node():
    assert parse_gres("gpu:a100:4,gpu:2") == {"a100": 4, "": 2}
    for wrong in ("a100:4", "gpu", "gpu:a100:x", "gpu:1:2:3", "gpu:1,gpu:2"):
        with pytest.raises(ValueError, match=r"GPU"):
            parse_gres(wrong)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"nodes": NODES}, "no SelectType"),
        ({"SelectTypeParameters": "CR_LLN"}, "no SelectType"),
        ({"partitions": [{"PartitionName": "p", "OverSubscribe": "EXCLUSIVE"}]}, "there are no nodes"),
        ({"assign": [{"Set": {"Constraint": "a100"}}]}, "there are no nodes"),
        ({"SelectType": "select/linear"}, "no nodes"),
        (LINEAR | {"SelectTypeParameters": "CR_Core"}, "not for select/linear"),
        (LINEAR | {"SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Memory"}, "not for select/cons_tres"),
        (LINEAR | {"SelectTypeParameters": "CR_LLN,FirstFit"}, "contradict"),
        (LINEAR | {"SelectTypeParameters": "CR_Memory"}, "no RealMemory"),
        (LINEAR | {"MaxWait": "1-0"}, "MaxWait cannot be planned"),
        (
            LINEAR | {"reservations": [{"ReservationName": "r", "StartTime": "now", "Duration": 5}]},
            "reservations cannot",
        ),
        (LINEAR | {"nodes": [*NODES, {"NodeName": "n[4-5]", "CPUs": 1}]}, "n4 is listed twice"),
        (LINEAR | {"nodes": [{"NodeName": "n[4-1]", "CPUs": 1}]}, "empty or too long"),
        (LINEAR | {"nodes": [{"NodeName": "n", "CPUs": 1, "Gres": "fpga:1"}]}, "is not GPUs"),
        (LINEAR | {"nodes": [{"NodeName": "n", "CPUs": 1, "State": "DOWN"}]}, "no node is up"),
        (LINEAR | {"nodes": [{"NodeName": "n", "CPUs": 1, "Pool": "x"}]}, "no pool 'x'"),
        (LINEAR | {"nodes": [{"NodeName": "n", "CPUs": 0}]}, "CPUs"),
        (LINEAR | {"partitions": [{"PartitionName": "p", "Procs": 4}]}, "pool"),
        (LINEAR | {"partitions": [{"PartitionName": "p"}, {"PartitionName": "q", "Pool": "q"}]}, "q has no capacity"),
        (
            {
                "SelectType": "select/linear",
                "nodes": [{"NodeName": "n", "CPUs": 1, "Pool": "x"}],
                "partitions": [{"PartitionName": "p"}, {"PartitionName": "q", "Pool": "x"}],
            },
            "p has no nodes",
        ),
        (LINEAR | {"assign": [{"Set": {"Constraint": "a100"}}]}, "no feature 'a100'"),
    ],
)
def test_what_cannot_be_is_refused(keys, says):
    with pytest.raises(PolicyError, match=says):
        from_dict(keys)


def test_grace_is_not_for_nodes():
    keys = {"PreemptType": "qos", "PreemptMode": "REQUEUE", "qos": [{"Name": "q", "GraceTime": 60}]}
    with pytest.raises(PolicyError, match="grace is of counted processors"):
        compile_policy(from_dict(LINEAR | keys), submissions([Job(1, 0, 1, 1, 1)], qos=lambda _: "q"))


def test_a_fault_names_its_line(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('SelectType = "select/linear"\n[[nodes]]\nNodeName = "n[2-1]"\nCPUs = 4\n')
    with pytest.raises(PolicyError) as error:
        load_file(path)
    assert error.value.line == 3


def test_pools_are_as_large_as_their_nodes():
    """Nodes that are not there do not count; lower weights come first."""
    keys = {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "TRES": "mem=1",
        "nodes": [
            {"NodeName": "big[1-2]", "CPUs": 16, "RealMemory": 100, "Gres": "gpu:a100:2,gpu:v100:1", "Weight": 5},
            {"NodeName": "n[1-4]", "CPUs": 8, "RealMemory": 50},
            {"NodeName": "n5", "CPUs": 8, "RealMemory": 50, "State": "DRAIN"},
            {"NodeName": "x[1-3]", "CPUs": 2, "RealMemory": 5, "Pool": "x"},
        ],
        "partitions": [{"PartitionName": "p0"}, {"PartitionName": "p1", "Pool": "x"}],
    }
    done = compile_policy(from_dict(keys), submissions([Job(1, 0, 1, 1, 1)]))
    assert done.pool_capacity == (64, 6)
    assert done.state.pools.extra.tolist() == [[400], [15]]
    assert done.node_names == ("n1", "n2", "n3", "n4", "big1", "big2", "x1", "x2", "x3")
    assert done.state.nodes.size.gpus.tolist() == [0, 0, 0, 0, 3, 3, 0, 0, 0]


def test_constraints_and_exclusive_partitions_shape_jobs():
    keys = {
        "SelectType": "select/cons_tres",
        "nodes": [
            {"NodeName": "a", "CPUs": 4, "Features": "fast"},
            {"NodeName": "b", "CPUs": 4, "Gres": "gpu:v100:2"},
            {"NodeName": "c", "CPUs": 4, "Gres": "gpu:v100:2", "Features": "fast"},
        ],
        "partitions": [{"PartitionName": "p0"}, {"PartitionName": "p1", "OverSubscribe": "EXCLUSIVE"}],
        "assign": [
            {"Match": {"User": "u1"}, "Set": {"Constraint": "fast"}},
            {"Match": {"User": "u2"}, "Set": {"Constraint": "v100"}},
        ],
    }
    jobs = [Job(1, 0, 1, 1, 3), Job(2, 0, 1, 1, 3, user=1), Job(3, 0, 1, 1, 3, user=2, gpus=1, pool=1)]
    shapes = compile_policy(from_dict(keys), submissions(jobs)).state.nodes.shapes
    assert shapes.kinds.tolist() == [0b111, 0b101, 0b110]
    assert shapes.whole.tolist() == [0, 0, 1]
    assert shapes.slices.tolist() == [3, 3, 1]


def test_policies_without_nodes_have_none():
    state = compile_policy(from_dict({}), submissions([Job(1, 0, 1, 1, 1)])).state
    assert state.rules.placement == 0
    assert all(len(column) == 0 for column in state.nodes.shapes)
    assert len(state.nodes.log) == 0
    assert "nodes" not in from_dict({}).canonical()


def test_a_full_log_is_said_and_not_written_over():
    """A job that starts a second time has no place in the log."""
    keys = {"SelectType": "select/cons_tres", "nodes": NODES}
    state = compile_policy(from_dict(keys), submissions([Job(1, 0, 1, 1, 3)])).state
    for _ in range(2):
        nodes.allocate(handle(state), 0)
        nodes.release(handle(state), 0)
    assert (state.nodes.log.tolist(), state.nodes.logged.tolist()) == ([0, -1], [4])
    with pytest.raises(RunError, match="stopped so often"):
        next(holdings(state))
