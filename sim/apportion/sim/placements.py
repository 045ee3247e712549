"""Which nodes each job had: found again from the order of starts and ends, since where a job goes follows from what is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core.errors import RunError
from apportion.core.jit import handle, kernel
from apportion.core.nodes import allocate, clear, release
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
def _play(s: State, events: int, job: Ints, node: Ints, procs: Ints, gpus: Ints) -> int:
    """Go on in the log up to so many events while there is room; how many pairs were written. The log writes itself anew as it is read."""
    nodes, held = s.nodes, s.nodes.held
    n = 0
    while nodes.logged[0] < events and n + nodes.size.procs.size <= job.size:
        event = nodes.log[nodes.logged[0]]
        if event < 0:
            release(s, -1 - event)
            continue
        allocate(s, event)
        cell = held.first[event]
        while cell >= 0:
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
    if events > len(state.nodes.log):
        raise RunError("jobs started more than once, so their nodes cannot be found again", "drop SelectType and nodes")
    columns = [np.zeros(ROOM + len(state.nodes.kind), np.int64) for _ in range(4)]
    core = handle(state)
    _rewind(core)
    while int(state.nodes.logged[0]) < events:
        n = int(_play(core, events, *columns))
        job, node, procs, gpus = (column[:n] for column in columns)
        cuts = np.flatnonzero(np.diff(job, prepend=-1, append=-1)) if n else np.zeros(0, np.int64)
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
