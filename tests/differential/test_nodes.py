"""Jobs on nodes: the core against the naive machine, start for start and node for node."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.policy.hostlist import expand
from apportion.policy.load import from_dict
from apportion.sim.conventions import Conventions
from apportion.sim.placements import node_lists
from apportion.sim.replay import replay as replay_workload
from apportion.sim.workload import from_trace
from apportion.traces.synth import lublin
from driving import run as run_on_pool
from node_cases import UNIT, cases, places, replay
from oracles.jobs import Job, Pool
from oracles.nodes import PLACEMENTS, Machine, Node, Slurm, simulate
from oracles.workloads import random_jobs

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
NAIVE_SLURM = Slurm()
DAY_MS = 86_400_000


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_core_and_naive_machine_agree(backfill, case):
    check(*case, backfill)


def check(jobs, machine, backfill, slurm=NAIVE_SLURM, **keys):
    """The core starts the same jobs as the naive machine, on the same nodes."""
    run = replay(jobs, machine, backfill, **keys)
    want = simulate(jobs, machine, backfill, slurm=slurm)
    assert run.starts == [want.starts.get(job.id, -1) for job in jobs]
    naive = {id_: [(held.node, held.procs, held.gpus) for held in some] for id_, some in machine.history.items()}
    assert places(run) == naive
    assert int(run.state.nodes.lost.sum()) == want.lost


@given(
    case=cases(),
    interval=st.integers(1, 3),
    resolution=st.sampled_from([1, 2, 5]),
    tests=st.integers(1, 4),
    depth=st.integers(0, 3),
    full=st.integers(1, 5),
)
def test_bounds_of_slurms_passes(case, interval, resolution, tests, depth, full):
    """The times of the cases are whole seconds, and so are these."""
    asked = {
        "bf_interval": interval,
        "bf_resolution": resolution,
        "bf_max_job_test": tests,
        "default_queue_depth": depth,
        "sched_interval": full,
    }
    counts = ("bf_max_job_test", "default_queue_depth")
    naive = Slurm(**{key: value * (1 if key in counts else UNIT) for key, value in asked.items()})
    check(*case, "slurm", naive, SchedulerParameters=asked)


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
@patch("apportion.sim.replay.PATIENCE_MS", 30 * DAY_MS)  # for jobs above their limit; age counts for a week
def test_both_drivers_agree_on_a_trace(select, backfill, rules):
    trace = lublin(400, 5, procs=128, load=1.1, users=12, accounts=3)
    keys = {
        "Backfill": backfill,
        "SelectType": select,
        "nodes": [{"NodeName": "a[1-6]", "CPUs": 16}, {"NodeName": "b[01-08]", "CPUs": 4, "Weight": 2}],
    } | rules
    if rules and backfill not in ("none", "conservative"):
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


def test_a_plan_names_room_that_will_be_there():
    """By hand: one of two nodes is free until 10 s, the other from 10 s on; the last job needs one of them for 20 s."""
    machine = Machine([Node(1), Node(1)], "FirstFit")
    jobs = [
        Job(1, 0, 10_000, 10_000, 1),  # on node 0
        Job(2, 0, 30_000, 30_000, 1),  # on node 1
        Job(3, 1_000, 5_000, 5_000, 2),  # on both at 30 s
        Job(4, 2_000, 20_000, 20_000, 1),  # node 0 is free from 10 s on, just until 30 s
        Job(5, 3_000, 1_000, 1_000, 1),  # behind job 3, since no node is free before
    ]
    for backfill in ("conservative", "easy"):
        check(jobs, machine, backfill)
    run = replay(jobs, machine, "conservative")
    assert run.starts == [0, 0, 30_000, 10_000, 35_000]
    assert places(run)[4] == [(0, 1, 0)]


def test_plans_on_nodes_may_be_later_than_plans_of_counts():
    """By hand: a processor is free from 10 s on, but it is on node 0 until 20 s, where job 4 is planned then, and on node 2 after that."""
    machine = Machine([Node(1)] * 3, "FirstFit")
    first = [Job(1, 0, 10_000, 10_000, 1), Job(2, 0, 20_000, 20_000, 1), Job(3, 0, 20_000, 20_000, 1)]
    jobs = [*first, Job(4, 1_000, 20_000, 20_000, 2), Job(5, 2_000, 20_000, 20_000, 1)]
    check(jobs, machine, "conservative")
    on_nodes = replay(jobs, machine, "conservative")
    assert on_nodes.starts == [0, 0, 0, 20_000, 20_000]
    assert places(on_nodes)[5] == [(2, 1, 0)]
    assert run_on_pool(jobs, 3, backfill="conservative").starts == [0, 0, 0, 20_000, 10_000]
