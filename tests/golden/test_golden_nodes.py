"""Which nodes a job gets, and when, worked out by hand for each placement."""

from __future__ import annotations

from typing import Any

import pytest

from node_cases import places, replay
from oracles.jobs import Job
from oracles.nodes import Machine, Node

HOUR = 3_600_000


def where(nodes, placement, jobs, *, nodes_of=None, whole=False, memory=False, backfill="none") -> dict[int, Any]:
    machine = Machine(nodes, placement, whole=whole, memory=memory, nodes_of=nodes_of or {})
    return places(replay(jobs, machine, backfill))


def long(id_: int, procs: int, **more: int) -> Job:
    return Job(id_, id_ * 1_000, HOUR, HOUR, procs, **more)


# Five nodes of 4 processors. By its memory each of three jobs fits on just one of those that are free yet, whatever the placement; 1, 3, 2, 4
# and 4 processors are left.
LEFT = [Node(4, 8), Node(4, 6), Node(4, 7), Node(4, 1), Node(4, 1)]
FIRST = [Job(1, 0, HOUR, HOUR, 3, mem=8), Job(2, 10, HOUR, HOUR, 2, mem=7), Job(3, 20, HOUR, HOUR, 1, mem=6)]
ON_ONE = {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("placement", "procs", "expected"),
    [
        ("FirstFit", 1, [(0, 1)]),
        ("FirstFit", 6, [(0, 1), (1, 3), (2, 2)]),
        ("FirstFit", 7, [(0, 1), (1, 3), (2, 2), (3, 1)]),
        ("BestFit", 1, [(0, 1)]),  # 1 free is the fewest that suffice
        ("BestFit", 2, [(2, 2)]),
        ("BestFit", 3, [(1, 3)]),
        ("BestFit", 4, [(3, 4)]),  # of n3 and n4 the first
        ("BestFit", 5, [(3, 4), (0, 1)]),  # no node has 5: the largest, then what fits the rest best
        ("BestFit", 9, [(3, 4), (4, 4), (0, 1)]),
        ("BestFit", 11, [(3, 4), (4, 4), (1, 3)]),
        ("CR_LLN", 1, [(3, 1)]),
        ("CR_LLN", 9, [(3, 4), (4, 4), (1, 1)]),
        ("LeastFragmentation", 1, [(0, 1)]),
        ("LeastFragmentation", 4, [(0, 1), (2, 2), (1, 1)]),  # the fullest first: no node without jobs is touched
        ("LeastFragmentation", 7, [(0, 1), (2, 2), (1, 3), (3, 1)]),
    ],
)
def test_processors_spread_over_nodes(placement, procs, expected):
    found = where(LEFT, placement, [*FIRST, long(4, procs)], nodes_of=ON_ONE, memory=True)
    assert {id_: found[id_] for id_ in ON_ONE} == {1: [(0, 3, 0)], 2: [(2, 2, 0)], 3: [(1, 1, 0)]}
    assert [(node, n) for node, n, _ in found[4]] == expected


@pytest.mark.parametrize(
    ("procs", "expected"),
    [
        (4, [(6, 4)]),  # the run of one node
        (8, [(3, 4), (4, 4)]),  # n3 and n4 are a run of just two
        (12, [(8, 4), (9, 4), (10, 4)]),
        (16, [(6, 4), (8, 4), (9, 4), (10, 4)]),  # no run has four: the shortest, and then the one that has three
    ],
)
def test_least_fragmentation_leaves_the_longest_run(procs, expected):
    """n0 to n2, n5, n7 are taken; what is left are runs of 2 (n3, n4), 1 (n6) and 3 nodes (n8 to n10)."""
    taken = (0, 1, 2, 5, 7)
    nodes = [Node(4, 9 if k in taken else 0) for k in range(11)]
    first = [Job(k, 0, HOUR, HOUR, 4, mem=9) for k in range(1, 6)]
    found = where(
        nodes, "LeastFragmentation", [*first, long(6, procs)], nodes_of=dict.fromkeys(range(1, 6), 1), memory=True
    )
    assert sorted(found[k][0][0] for k in range(1, 6)) == list(taken)
    assert [(node, n) for node, n, _ in found[6]] == expected


def test_weight_goes_before_any_placement():
    nodes = [Node(4, weight=3), Node(4, weight=1), Node(8, weight=2)]
    for placement in ("FirstFit", "BestFit", "CR_LLN", "LeastFragmentation"):
        assert where(nodes, placement, [long(1, 7)])[1] == [(1, 4, 0), (2, 3, 0)], placement


def test_whole_nodes_are_shared_with_nobody():
    """5 processors take two nodes of four and all of their processors; the next job waits for one that is free, though 7 are idle."""
    jobs = [long(1, 5), long(2, 1), long(3, 1), long(4, 9)]  # the last needs all three
    found = where([Node(4)] * 3, "FirstFit", jobs[:2], whole=True)
    assert found == {1: [(0, 4, 0), (1, 4, 0)], 2: [(2, 4, 0)]}
    run = replay(jobs, Machine([Node(4)] * 3, "FirstFit", whole=True))
    assert run.starts == [1_000, 2_000, 1_000 + HOUR, 1_000 + 2 * HOUR]


def test_a_number_of_nodes_and_what_each_gives():
    """7 processors and 5 GPUs on 3 nodes: 3, 2, 2 and 2, 2, 1; a node must have room for the larger part."""
    nodes = [Node(2, gpus=2), Node(3, gpus=2), Node(9, gpus=2), Node(3, gpus=1), Node(3, gpus=4)]
    assert where(nodes, "FirstFit", [long(1, 7, gpus=5)], nodes_of={1: 3}) == {1: [(1, 3, 2), (2, 2, 2), (4, 2, 1)]}


def test_gpus_bring_their_processors():
    """8 processors with 4 GPUs are four slices of 2 and 1: a node with 3 processors takes one, however many GPUs it has."""
    assert where([Node(3, gpus=4), Node(4, gpus=2), Node(9), Node(8, gpus=1)], "FirstFit", [long(1, 8, gpus=4)]) == {
        1: [(0, 2, 1), (1, 4, 2), (3, 2, 1)]
    }


def test_memory_goes_with_processors():
    """4 processors with 10 MiB: at most 3 each, so 2 fit a node of 8."""
    assert where([Node(4, 8), Node(4, 2), Node(4, 8)], "FirstFit", [long(1, 4, mem=10)], memory=True) == {
        1: [(0, 2, 0), (2, 2, 0)]
    }


def test_a_job_behind_the_head_may_take_no_node_that_it_needs():
    """Two nodes of 4. Job 1 holds n0 until 10 s, job 2 half of n1 until 4 s. Job 3 wants both and can at 10 s.

    Job 4 (2 processors, 9 s) fits on n1 at once, but would be there until 12 s; on pools of 8 processors it could not start either. Job 5
    (2 processors, 7 s) ends at 10 s and may. Job 6 wants one node and comes after.
    """
    jobs = [
        Job(1, 0, 10_000, 10_000, 4),
        Job(2, 0, 4_000, 4_000, 2),
        Job(3, 1_000, 5_000, 5_000, 8),
        Job(4, 2_000, 9_000, 9_000, 2),
        Job(5, 3_000, 7_000, 7_000, 2),
    ]
    run = replay(jobs, Machine([Node(4)] * 2, "FirstFit"), "easy")
    assert run.starts == [0, 0, 10_000, 15_000, 3_000]
    assert run.first_plan[2] == 10_000


def test_a_plan_counts_nodes_and_not_sums():
    """Three nodes of 2; jobs 1 to 3 hold one processor of each, until 9, 6 and 8 s. Job 4 needs 2 on one node: at 6 s, though 3 are free now.

    Until then those 3 are lost to it: from its coming at 1 s until 6 s.
    """
    jobs = [Job(k, 0, end, end, 1) for k, end in ((1, 9_000), (2, 6_000), (3, 8_000))] + [Job(4, 1_000, 500, 500, 2)]
    run = replay(jobs, Machine([Node(2)] * 3, "CR_LLN", nodes_of={4: 1}), "easy")
    assert (run.starts[3], run.first_plan[3]) == (6_000, 6_000)
    assert run.state.nodes.lost.tolist() == [3 * 5_000]
