"""Jobs on nodes: the core against the naive machine, start for start and node for node."""

from __future__ import annotations

import pytest
from hypothesis import given

from node_cases import cases, places, replay
from oracles.nodes import simulate

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
