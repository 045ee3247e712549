"""What holds on nodes whatever the jobs: nothing is given twice, whole nodes are shared with nobody, one-processor nodes are a pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driving import run as run_pooled
from node_cases import UNIT, cases, places, replay
from oracles.jobs import Pool
from oracles.nodes import PLACEMENTS, Machine, Node, simulate
from oracles.workloads import job_lists

BACKFILLS = st.sampled_from(["none", "easy", "easy-sjbf"])


@given(case=cases(max_jobs=14), backfill=BACKFILLS)
def test_no_node_gives_more_than_it_has(case, backfill):
    jobs, machine = case
    run = replay(jobs, machine, backfill)
    state = run.state
    for left, size in zip(state.nodes.free, state.nodes.size, strict=True):
        assert left.tolist() == size.tolist()  # all was freed
    assert (state.nodes.held.first == -1).all()
    held = places(run)
    by_id = {job.id: (job, start) for job, start in zip(jobs, run.starts, strict=True)}
    for id_, some in held.items():
        job, start = by_id[id_]
        assert len({node for node, _, _ in some}) == len(some)
        assert all(machine.nodes[node].pool == job.pool for node, _, _ in some)
        assert sum(procs for _, procs, _ in some) >= job.procs
        assert sum(gpus for _, _, gpus in some) >= job.gpus
        if not machine.whole:
            assert sum(procs for _, procs, _ in some) == max(job.procs, machine.nodes_of.get(id_, 0))
        for now in {begin for _, begin in by_id.values()}:
            if not start <= now < start + job.run:
                continue
            there = [
                (other, part)
                for other, parts in held.items()
                for part in parts
                if by_id[other][1] <= now < by_id[other][1] + by_id[other][0].run
            ]
            for node, procs, _ in some:
                here = [(other, part) for other, part in there if part[0] == node]
                assert sum(part[1] for _, part in here) <= machine.nodes[node].procs
                assert sum(part[2] for _, part in here) <= machine.nodes[node].gpus
                if machine.whole:
                    assert [other for other, _ in here] == [id_]
                    assert procs == machine.nodes[node].procs


@given(case=cases(max_jobs=14), backfill=BACKFILLS)
def test_memory_of_a_node_is_not_given_twice(case, backfill):
    """By the naive machine, which the core agrees with: see tests/differential/test_nodes.py."""
    jobs, machine = case
    machine.memory = True
    center = simulate(jobs, machine, backfill)
    for now in set(center.starts.values()):
        used = [0] * len(machine.nodes)
        for job in jobs:
            if job.id in center.starts and center.starts[job.id] <= now < center.starts[job.id] + job.run:
                for part in machine.history[job.id]:
                    used[part.node] += part.mem
        assert all(amount <= node.mem for amount, node in zip(used, machine.nodes, strict=True))


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("whole", [False, True])
@given(data=st.data(), backfill=BACKFILLS)
def test_nodes_of_one_processor_are_a_pool(placement, whole, data, backfill):
    """Decision for decision."""
    n_pools = data.draw(st.sampled_from([1, 2]))
    jobs = data.draw(job_lists([Pool(5)] * n_pools, cancels=True, unit=UNIT, max_size=14))
    nodes = [Node(1, pool=pool) for pool in range(n_pools) for _ in range(5)]
    on_nodes = replay(jobs, Machine(nodes, placement, whole=whole), backfill)
    pooled = run_pooled(jobs, [Pool(5)] * n_pools, backfill=backfill)
    assert on_nodes.digest == pooled.digest
    assert on_nodes.state.nodes.lost.sum() == 0


RULES = {
    "multifactor": {
        "Order": "multifactor",
        "PriorityWeightFairshare": 1000,
        "PriorityWeightAge": 10,
        "PriorityCalcPeriod": 2,
        "PriorityMaxAge": 10,
    },
    "limits": {"qos": [{"Name": "normal", "MaxJobsPU": 1, "GrpTRES": {"cpu": 4}}], "DefaultQOS": "normal"},
    "limits stop": {
        "qos": [{"Name": "normal", "MaxJobsPU": 1}],
        "DefaultQOS": "normal",
        "SchedulerParameters": "assoc_limit_stop",
    },
    "predictor": {"Predictor": "last-two"},
}


@pytest.mark.parametrize("rules", RULES)
@given(data=st.data(), backfill=BACKFILLS)
def test_rules_beside_resources_are_those_of_a_pool(rules, data, backfill):
    """Decision for decision, on nodes of one processor."""
    jobs = data.draw(job_lists([Pool(5)], cancels=True, unit=UNIT, max_size=14))
    if rules == "predictor" and backfill == "none":
        backfill = "easy"  # nobody would ask it
    on_nodes = replay(jobs, Machine([Node(1)] * 5, "BestFit"), backfill, **RULES[rules])
    pooled = run_pooled(jobs, [Pool(5)], backfill=backfill, **RULES[rules])
    assert on_nodes.digest == pooled.digest
