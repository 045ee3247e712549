"""When the head of a pool is expected to start on nodes, and who may start before it.

Running jobs give their nodes back in the order of their expected ends until the head fits. A later job may start on the nodes that the
placement gives it now, if it ends by then or the head would still fit without these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_choice, node_room
from apportion.core.jit import apart, kernel
from apportion.core.nodes import give_back, take
from apportion.core.tables import NEVER, ROW_END, ROW_JOB

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def _fits_later(s: State, pool: int, job: int) -> bool:
    """Whether a job fits what will be free when the head of its pool is expected to start."""
    if s.jobs.procs[job] > s.nodes.later_procs[pool]:
        return False
    for e in range(s.pools.extra.shape[1]):
        if s.jobs.extra[job, e] > s.nodes.later_extra[pool, e]:
            return False
    return node_room.fits(s.nodes, s.nodes.later, pool, job)


@kernel
def _count_later(s: State, pool: int, job: int, sign: int) -> None:
    s.nodes.later_procs[pool] += sign * s.jobs.procs[job]
    for e in range(s.pools.extra.shape[1]):
        s.nodes.later_extra[pool, e] += sign * s.jobs.extra[job, e]


@apart
def look_ahead(s: State, pool: int, head: int) -> None:
    """Work out when the running jobs will have left room for ``head`` if all take as long as expected; what is free then stands in ``later``."""
    nodes = s.nodes
    node_room.copy(nodes, pool, nodes.free, nodes.later)
    nodes.later_procs[pool] = s.pools.free[pool]
    for e in range(s.pools.extra.shape[1]):
        nodes.later_extra[pool, e] = s.pools.extra_free[pool, e]
    s.pools.shadow[pool] = NEVER
    run = s.running
    i = run.first[pool]
    last = i + run.count[pool]
    while i < last and s.pools.shadow[pool] == NEVER:
        end = run.row[i, ROW_END]
        while i < last and run.row[i, ROW_END] == end:
            give_back(nodes, nodes.later, run.row[i, ROW_JOB], 1)
            _count_later(s, pool, run.row[i, ROW_JOB], 1)
            i += 1
        if _fits_later(s, pool, head):
            s.pools.shadow[pool] = end
            if s.live.first_plan[head] < 0:
                s.live.first_plan[head] = end
    s.pools.spare[pool] = node_room.within_reach(nodes, nodes.later, pool, nodes.later_procs[pool]) - s.jobs.procs[head]


@apart
def keeps_head(s: State, pool: int, job: int) -> bool:
    """Take ``job``, which fits now and will still run then, out of ``later``; False, and nothing is taken, if the head would be late."""
    nodes = s.nodes
    n = node_choice.choose(s, job)
    take(nodes, nodes.later, n, 1)
    _count_later(s, pool, job, -1)
    if _fits_later(s, pool, s.pools.head[pool]):
        return True
    take(nodes, nodes.later, n, -1)
    _count_later(s, pool, job, 1)
    return False
