"""Machines of nodes and jobs for them: drawn, turned into policies, and replayed by the core."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from apportion.policy.load import from_dict
from apportion.sim.placements import holdings
from driving import Run, by_submit, submissions
from oracles.jobs import Job
from oracles.nodes import PLACEMENTS, Machine, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = 1_000
SMALL = st.builds(
    Node,
    procs=st.integers(1, 4),
    mem=st.integers(0, 4),
    gpus=st.sampled_from([0, 0, 1, 2]),
    weight=st.sampled_from([1, 1, 1, 2]),
)


def policy_keys(machine: Machine, backfill: str = "none") -> dict[str, Any]:
    """The machine as a policy says it; node number k is called k."""
    nodes = []
    at = 0
    for node, same in groupby(machine.nodes):
        n = len(list(same))
        entry: dict[str, Any] = {"NodeName": f"n[{at}-{at + n - 1}]", "CPUs": node.procs, "Weight": node.weight}
        entry |= {"RealMemory": node.mem, "Gres": f"gpu:{node.gpus}"}
        nodes.append(entry | ({"Pool": f"p{node.pool}"} if node.pool else {}))
        at += n
    memory = {True: "CR_Memory" if machine.whole else "CR_Core_Memory", False: ""}[machine.memory]
    keys: dict[str, Any] = {
        "Backfill": backfill,
        "SelectType": "select/linear" if machine.whole else "select/cons_tres",
        "SelectTypeParameters": ",".join(filter(None, [memory, machine.placement])),
        "nodes": nodes,
    }
    pools = sorted({node.pool for node in machine.nodes})
    if len(pools) > 1:
        keys["partitions"] = [{"PartitionName": f"p{pool}"} | ({"Pool": f"p{pool}"} if pool else {}) for pool in pools]
    return keys


def replay(jobs: Sequence[Job], machine: Machine, backfill: str = "none", **keys: Any) -> Run:
    """Replay by the compiled driver; ``keys`` are further keys of the policy."""
    table = submissions(jobs, 1, nodes=lambda job: machine.nodes_of.get(job.id, 0))
    run = Run(from_dict(policy_keys(machine, backfill) | keys), jobs, table)
    assert not run.stuck
    return run


def places(run: Run) -> dict[int, list[tuple[int, int, int]]]:
    """Number of the node, processors and GPUs on it, of each job by id."""
    number = [int(name[1:]) for name in run.compiled.node_names]
    ids = [job.id for job in by_submit(run.jobs)]
    return {
        ids[job]: [(number[k], p, g) for k, p, g in zip(node.tolist(), procs.tolist(), gpus.tolist(), strict=True)]
        for job, node, procs, gpus in holdings(run.state)
    }


@st.composite
def cases(draw: st.DrawFn, max_jobs: int = 10) -> tuple[list[Job], Machine]:
    """Few nodes, few distinct times."""
    kinds = draw(st.lists(SMALL, min_size=1, max_size=3))
    nodes = [node for node in kinds for _ in range(draw(st.integers(1, 4)))]
    if draw(st.booleans()):
        nodes += [Node(draw(st.integers(1, 3)), 2, 1, pool=1) for _ in range(draw(st.integers(1, 3)))]
    jobs, now, nodes_of = [], 0, {}
    for id_ in range(1, draw(st.integers(1, max_jobs)) + 1):
        now += draw(st.sampled_from([0, 0, 0, 1, 2]))
        pool = draw(st.sampled_from(sorted({node.pool for node in nodes})))
        total = sum(node.procs for node in nodes if node.pool == pool)
        limit = draw(st.integers(1, 5))
        if draw(st.integers(0, 3)) == 0:
            nodes_of[id_] = draw(st.integers(1, 3))
        jobs.append(
            Job(
                id_,
                now * UNIT,
                draw(st.sampled_from([limit, limit, 0, limit // 2])) * UNIT,
                limit * UNIT,
                draw(st.integers(1, max(1, total))),
                mem=draw(st.integers(0, 5)),
                gpus=draw(st.sampled_from([0, 0, 0, 1, 2, 3])),
                pool=pool,
                cancel=(now + draw(st.integers(0, 6))) * UNIT if draw(st.integers(0, 5)) == 0 else None,
            )
        )
    machine = Machine(
        nodes,
        draw(st.sampled_from(PLACEMENTS)),
        whole=draw(st.booleans()),
        memory=draw(st.booleans()),
        nodes_of=nodes_of,
    )
    return jobs, machine
