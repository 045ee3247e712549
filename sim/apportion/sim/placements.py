"""Which nodes each job had: found again from the order of starts and ends, since where a job goes follows from what is free.

Where it follows from plans, or from where a job was before, the nodes of each start were written down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core.errors import RunError
from apportion.core.handle import handle
from apportion.core.jit import kernel
from apportion.core.node_failures import bring_up, mark, take_down
from apportion.core.nodes import allocate, clear, recall, release
from apportion.policy.hostlist import compress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apportion.core.tables import Ints, State
    from apportion.policy.compile import Compiled

ROOM = 1_000_000  # pairs of job and node that are held in memory at a time


@kernel
def _rewind(s: State) -> None:
    clear(s.nodes)


@kernel
def _play(s: State, events: int, start: Ints, job: Ints, node: Ints, procs: Ints, gpus: Ints) -> int:
    """Go on in the log up to so many events while there is room; how many pairs were written. The log writes itself anew as it is read."""
    nodes, held = s.nodes, s.nodes.held
    n_jobs = s.jobs.submit.size
    n = 0
    while nodes.logged[0] < events and n + nodes.size.procs.size <= job.size:
        event = nodes.log[nodes.logged[0]]
        about = event if event >= 0 else -1 - event
        if about >= n_jobs:
            if event >= 0:
                mark(nodes, s.outages, about - n_jobs)
                take_down(nodes, s.outages, about - n_jobs, event)
            else:
                bring_up(nodes, s.outages, about - n_jobs, event)
            continue
        if event < 0:
            release(s, about)
            continue
        if nodes.placed.size > 0:
            recall(s, event)
        allocate(s, event)
        cell = held.first[event]
        while cell >= 0:
            start[n] = nodes.logged[0]
            job[n] = event
            node[n] = held.node[cell]
            procs[n] = held.procs[cell]
            gpus[n] = held.gpus[cell]
            n += 1
            cell = held.next[cell]
    return n


def holdings(state: State) -> Iterator[tuple[int, Ints, Ints, Ints]]:
    """Each start in order: the job, its nodes, and its processors and GPUs on each. Arrays are valid until the next.

    Raises
    ------
    RunError
        If jobs have started so often that the log of starts and ends was full.
    """
    events = int(state.nodes.logged[0])
    placed = state.nodes.placed
    if events > len(state.nodes.log) or (len(placed) and int(state.nodes.placed_n[0]) > len(placed)):
        raise RunError("jobs were stopped so often that their nodes cannot be found again", "let nodes fail less often")
    columns = [np.zeros(ROOM + len(state.nodes.kind), np.int64) for _ in range(5)]
    core = handle(state)
    _rewind(core)
    while int(state.nodes.logged[0]) < events:
        n = int(_play(core, events, *columns))
        start, job, node, procs, gpus = (column[:n] for column in columns)
        cuts = np.flatnonzero(np.diff(start, prepend=-1, append=-1)) if n else np.zeros(0, np.int64)
        for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            yield int(job[begin]), node[begin:end], procs[begin:end], gpus[begin:end]


def node_lists(compiled: Compiled) -> tuple[list[str], Ints]:
    """Nodes of each job as a hostlist expression ("" if it did not start), and the processors it held there."""
    state = compiled.state
    lists = [""] * len(state.jobs.submit)
    held = np.zeros(len(lists), np.int64)
    for job, node, procs, _ in holdings(state):
        lists[job] = compress(compiled.node_names[k] for k in node.tolist())
        held[job] = procs.sum()
    return lists, held


def failed_procs(state: State) -> Ints:
    """Processors that each loss and each return of `Outages` came to: those of the whole nodes that it hit; -1 where it did not happen."""
    nodes, outages = state.nodes, state.outages
    procs = np.full(len(outages.procs), -1, np.int64)
    if len(nodes.down) == 0:
        return procs
    first = len(state.jobs.submit)
    log = nodes.log[: int(nodes.logged[0])]
    before = nodes.down.copy()
    table, rows = handle(nodes), handle(outages)
    nodes.down[:] = 0
    for event in log[(log >= first) | (log < -first)].tolist():
        row = event - first if event >= 0 else -1 - event - first
        if event >= 0:
            mark(table, rows, row)
            hit = nodes.down < 0
            nodes.down[hit] *= -1
        else:
            hit = nodes.down == 1 + outages.position[row]
            nodes.down[hit] = 0
        procs[row] = nodes.size.procs[hit].sum()
    nodes.down[:] = before
    return procs
