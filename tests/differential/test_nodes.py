"""Jobs on nodes: the core against the naive machine, start for start and node for node."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from apportion.policy.hostlist import expand
from apportion.policy.load import from_dict
from apportion.sim.conventions import Conventions
from apportion.sim.placements import node_lists
from apportion.sim.replay import replay as replay_workload
from apportion.sim.workload import from_trace
from apportion.traces.synth import lublin
from node_cases import UNIT, cases, places, replay
from oracles.jobs import Job, Pool
from oracles.nodes import PLACEMENTS, Machine, Node, simulate
from oracles.workloads import random_jobs

BACKFILLS = ["none", "easy", "easy-sjbf"]


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_core_and_naive_machine_agree(backfill, case):
    jobs, machine = case
    run = replay(jobs, machine, backfill)
    want = simulate(jobs, machine, backfill)
    assert run.starts == [want.starts.get(job.id, -1) for job in jobs]
    naive = {id_: [(held.node, held.procs, held.gpus) for held in some] for id_, some in machine.history.items()}
    assert places(run) == naive
    assert int(run.state.nodes.lost.sum()) == want.lost


SHARED = Machine(
    [Node(8, 16, 2)] * 6 + [Node(16, 64, weight=2)] * 3 + [Node(4, 4)] * 4,
    "LeastFragmentation",
    memory=True,
    nodes_of={},
)


def crowd() -> list[Job]:
    """Jobs enough that many wait, with ties."""
    return [
        replace(job, mem=job.mem % 40, gpus=job.gpus % 4 if job.id % 5 == 0 else 0)
        for job in random_jobs(11, 120, [Pool(112, mem=200, gpus=12)], unit=UNIT)
    ]


def digests() -> str:
    """What is decided about them, and where they go."""
    found = []
    for backfill in BACKFILLS:
        for placement in PLACEMENTS:
            run = replay(crowd(), replace(SHARED, placement=placement), backfill)
            found.append((run.digest, sorted(places(run).items())))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def test_the_same_without_the_compiler():
    tests = Path(__file__).parents[1]
    code = "from differential.test_nodes import digests; print(digests())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tests)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digests()


TOGETHER = {
    "Order": "multifactor",
    "PriorityWeightFairshare": 10_000,
    "PriorityWeightAge": 1_000,
    "qos": [{"Name": "normal", "MaxTRESPU": {"cpu": 64}}],
    "DefaultQOS": "normal",
}


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("select", ["select/linear", "select/cons_tres"])
@pytest.mark.parametrize("rules", [{}, TOGETHER], ids=["plain", "rules"])
def test_both_drivers_agree_on_a_trace(select, backfill, rules):
    trace = lublin(400, 5, procs=128, load=1.1, users=12, accounts=3)
    keys = {
        "Backfill": backfill,
        "SelectType": select,
        "nodes": [{"NodeName": "a[1-6]", "CPUs": 16}, {"NodeName": "b[01-08]", "CPUs": 4, "Weight": 2}],
    } | rules
    if rules and backfill != "none":
        keys["Predictor"] = "last-two"
    compiled, simpy = (
        replay_workload(from_trace(trace, Conventions()), from_dict(keys), engine) for engine in ("compiled", "simpy")
    )
    assert compiled.decision_hash == simpy.decision_hash
    assert compiled.start_ms.max() > 0
    lists, held = node_lists(compiled.compiled)
    assert (lists, held.tolist()) == (node_lists(simpy.compiled)[0], node_lists(simpy.compiled)[1].tolist())
    procs = compiled.compiled.state.jobs.procs
    started = compiled.start_ms >= 0
    assert all(
        sum(16 if name[0] == "a" else 4 for name in members(text)) >= n for text, n in zip(lists, held, strict=True)
    )
    assert (held[started] >= procs[started]).all()
    assert (held[~started] == 0).all()


def members(text: str) -> list[str]:
    """Names that a list of hostlist expressions stands for."""
    return [name for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?", text) for name in expand(part)]
