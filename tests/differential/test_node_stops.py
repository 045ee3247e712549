"""Nodes that fail, and jobs that preempt others on nodes, in both drivers, against the naive machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim.placements import failed_procs, holdings
from differential.test_stops import CLASSES, ORDERS_OF_CLASSES, play
from driving import submissions
from node_cases import UNIT, cases, policy_keys
from oracles.jobs import Job
from oracles.nodes import Machine, Node, simulate
from oracles.stops import Fault

WHOLE = settings(phases=(Phase.explicit, Phase.reuse, Phase.generate), max_examples=60)  # shrinking takes minutes
BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]


@st.composite
def fault_lists(draw: st.DrawFn, jobs: list[Job], machine: Machine) -> list[Fault]:
    """Failures of processors from the first submission on, some while others last."""
    faults = []
    for position in draw(st.lists(st.integers(0, 2**32 - 1), max_size=4, unique=True)):
        time = jobs[0].submit + draw(st.integers(0, 12)) * UNIT
        back = time + draw(st.integers(1, 5)) * UNIT
        pool = draw(st.sampled_from(sorted({node.pool for node in machine.nodes})))
        faults.append(Fault(time, pool=pool, procs=draw(st.integers(1, 4)), position=position, back=back))
    return faults


def check(jobs, machine, backfill, faults, keys, may=frozenset(), worth=(0, 0, 0)):
    """The core and the naive machine stop, start and place the same jobs."""
    jobs = [replace(job, cancel=None) for job in jobs]
    policy = from_dict(policy_keys(machine, backfill) | keys)
    table = submissions(
        jobs, 1, nodes=lambda job: machine.nodes_of.get(job.id, 0), qos=lambda job: CLASSES[job.user] if may else ""
    )
    suspends = keys.get("PreemptMode") == "SUSPEND"
    want = simulate(jobs, machine, backfill, faults, may, worth, suspends=suspends)
    names = compile_policy(policy, table, fails=True).node_names
    played = [play(jobs, policy, table, faults, engine) for engine in ("compiled", "simpy")]
    for got in played:
        assert [(time, job + 1, start, by + 1 if by >= 0 else -1) for time, job, start, by, _ in got.log] == want.stops
        assert got.state.live.start.tolist() == [want.starts.get(job.id, -1) for job in jobs]
        assert int(got.state.nodes.lost.sum()) == want.lost
        assert failed_procs(got.state).tolist() == [want.failed[k] for k in range(len(faults))] * 2
        assert not got.state.nodes.down.any()
        for left, size in zip(got.state.nodes.free, got.state.nodes.size, strict=True):
            assert left.tolist() == size.tolist()
        found = {}
        for job, node, procs, gpus in holdings(got.state):
            number = [int(names[k][1:]) for k in node.tolist()]
            found[job + 1] = list(zip(number, procs.tolist(), gpus.tolist(), strict=True))
        naive = {id_: [(held.node, held.procs, held.gpus) for held in some] for id_, some in machine.history.items()}
        assert found == naive
    assert played[0].digest == played[1].digest
    return played[0]


@pytest.mark.parametrize("backfill", BACKFILLS)
@WHOLE
@given(data=st.data())
def test_failures_of_nodes(backfill, data):
    jobs, machine = data.draw(cases())
    check(jobs, machine, backfill, data.draw(fault_lists(jobs, machine)), {})


@pytest.mark.parametrize("backfill", BACKFILLS)
@WHOLE
@given(data=st.data())
def test_preemption_on_nodes(backfill, data):
    jobs, machine = data.draw(cases())
    jobs = [replace(job, user=data.draw(st.integers(0, 2))) for job in jobs]
    may = data.draw(st.sampled_from(ORDERS_OF_CLASSES))
    worth = data.draw(st.sampled_from([(0, 1, 2), (0, 0, 0)]))
    qos = [
        {"Name": name, "Priority": worth[k], "Preempt": [CLASSES[b] for a, b in sorted(may) if a == k]}
        for k, name in enumerate(CLASSES)
    ]
    keys = {"PreemptType": "qos", "PreemptMode": data.draw(st.sampled_from(["REQUEUE", "SUSPEND"])), "qos": qos}
    faults = data.draw(st.one_of(st.just([]), fault_lists(jobs, machine)))
    check(jobs, machine, backfill, faults, keys, may, worth)


def test_a_failure_stops_the_jobs_of_that_node_alone():
    """By hand: two jobs on nodes 0 and 1; the block begins in the middle of node 1, which is down until 30 s."""
    jobs = [Job(1, 0, 20_000, 20_000, 4), Job(2, 0, 20_000, 20_000, 4)]
    fault = Fault(10_000, procs=1, position=int(2**32 * 0.7), back=30_000)
    got = check(jobs, Machine([Node(4), Node(4)], "BestFit"), "easy", [fault], {})
    assert got.log == [(10_000, 1, 0, -1, 10_000)]
    assert got.state.live.start.tolist() == [0, 20_000]  # on node 0, when that is free


def test_victims_make_room_on_one_node():
    """By hand: the last job needs a whole node, and the first two jobs share one."""
    low = [Job(k, 0, 100_000, 100_000, 2) for k in (1, 2, 3, 4)]
    machine = Machine([Node(4), Node(4)], "BestFit", nodes_of={5: 1})
    high = Job(5, 5_000, 1_000, 1_000, 4, user=2)
    qos = [{"Name": name, "Preempt": ["low"] if name == "high" else []} for name in CLASSES]
    keys = {"PreemptType": "qos", "PreemptMode": "REQUEUE", "qos": qos}
    got = check([*low, high], machine, "easy", [], keys, frozenset({(2, 0)}))
    assert [(job, by) for _, job, _, by, _ in got.log] == [(0, 4), (1, 4)]
    assert np.flatnonzero(got.state.live.restarts).tolist() == [0, 1]


@pytest.mark.parametrize(("backfill", "third"), [("conservative", 3_000), ("slurm", 30_000)])
def test_a_suspended_job_is_planned_on_the_node_it_had(backfill, third):
    """By hand: the second job needs the GPU of node 0, where the first is; that waits for it, and leaves node 1 to the third."""
    low, later = Job(1, 0, 4_000, 8_000, 1), Job(3, 3_000, 1_000, 1_000, 1)
    high = Job(2, 2_000, 33_000, 60_000, 1, gpus=1, user=2)
    qos = [{"Name": name, "Preempt": ["low"] if name == "high" else []} for name in CLASSES]
    keys = {"PreemptType": "qos", "PreemptMode": "SUSPEND", "qos": qos}
    machine = Machine([Node(1, gpus=1), Node(1)], "FirstFit")
    got = check([low, high, later], machine, backfill, [], keys, frozenset({(2, 0)}))
    assert [(time, job, by) for time, job, _, by, _ in got.log] == [(2_000, 0, 1)]
    assert got.state.live.start.tolist() == [35_000, 2_000, third]  # Slurm's next backfill pass is at 30 s
