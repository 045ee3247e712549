"""Lent quota that comes back on nodes: in both drivers, against the naive twin of pools where nodes are processors, and by hand where not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from apportion.core.codes import PREEMPTED
from apportion.policy.load import from_dict
from differential.test_reclaim_in_replays import cases, policy_of
from driving import submissions
from node_cases import policy_keys
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.nodes import Machine, Node
from quota_cases import twin
from stop_cases import play


def on_processors(pools: list[Pool]) -> dict[str, Any]:
    """Keys of a machine whose nodes have one processor each."""
    return {
        "SelectType": "select/cons_tres",
        "nodes": [
            {"NodeName": f"{'ab'[k]}[1-{pool.procs}]", "CPUs": 1} | ({"Pool": f"p{k}"} if len(pools) > 1 else {})
            for k, pool in enumerate(pools)
        ],
        "partitions": [{"PartitionName": f"p{k}", "Pool": f"p{k}"} for k in range(len(pools)) if len(pools) > 1],
    }


@pytest.mark.parametrize("backfill", ["none", "easy", "easy-sjbf"])
@settings(max_examples=60)
@given(case=cases())
def test_reclaim_on_nodes_of_one_processor_is_reclaim_on_a_pool(backfill, case):
    jobs, pools, how = case["jobs"], case["pools"], case["how"]
    table = submissions(
        jobs, pools[0].procs, account=lambda job: f"a{job.user}", qos=lambda job: f"q{how.priority[job.id]}"
    )
    want = stops.simulate(jobs, pools, [], case["order"], backfill, quotas=twin(case["keys"], pools), reclaim=how)
    policy = policy_of(case, backfill).canonical()
    policy = from_dict(
        {key: value for key, value in policy.items() if key not in ("TRES", "partitions")} | on_processors(pools)
    )
    played = [play(jobs, policy, table, [], engine) for engine in ("compiled", "simpy")]
    for got in played:
        assert got.log == want.stops
        over = got.state.live.state == PREEMPTED
        assert set(np.flatnonzero(over).tolist()) == want.over
        assert np.where(over, -1, got.state.live.start).tolist() == want.starts
        assert got.state.nodes.free.procs.tolist() == got.state.nodes.size.procs.tolist()
        assert not got.state.quotas.usage.any()
    assert played[0].digest == played[1].digest


def test_those_go_who_leave_a_whole_node():
    """By hand: two borrowed processors of each of two nodes are in use; there are as many as the lender's job asks for, but it needs one node.

    Of the four jobs of the borrower the newest go first, until node 1 is free; the one of node 0 that went in vain stays.
    """
    machine = Machine([Node(4), Node(4)], "CR_LLN", nodes_of={9: 1})
    borrowed = [Job(k, k * 1_000, 100_000, 100_000, 1, user=0) for k in (1, 2, 3, 4)]  # on nodes 0, 1, 0, 1
    lender = Job(9, 20_000, 10_000, 10_000, 4, user=1)
    jobs = [*borrowed, lender]
    accounts = [
        {"Account": "a0", "Cohort": "c", "NominalQuota": "cpu=0"},
        {"Account": "a1", "Cohort": "c", "NominalQuota": "cpu=8", "ReclaimWithinCohort": "Any"},
    ]
    policy = from_dict(policy_keys(machine, "easy") | {"accounts": accounts, "PreemptMode": "REQUEUE"})
    table = submissions(jobs, 1, nodes=lambda job: machine.nodes_of.get(job.id, 0), account=lambda job: f"a{job.user}")
    played = [play(jobs, policy, table, [], engine) for engine in ("compiled", "simpy")]
    assert played[0].digest == played[1].digest
    assert [(time, job + 1, by + 1) for time, job, _, by, _ in played[0].log] == [(20_000, 4, 5), (20_000, 2, 5)]
    alone = [replace(job, procs=2) if job is lender else job for job in jobs]
    assert not play(alone, policy, submissions(alone, 1, account=lambda job: f"a{job.user}"), [], "compiled").log
