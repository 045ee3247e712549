"""Tables of the nodes of a machine: what each has and has free, what jobs ask of them, and which job holds what.

Empty where the policy counts resources by pools only. Memory is MiB; GPUs of all types are one count, and their types are told apart by the
kind of node.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.tables import Ints

# Rules.placement
POOLED: Final = 0  # pools count, there are no nodes
FIRST_FIT: Final = 1
BEST_FIT: Final = 2
LEAST_LOADED: Final = 3
LEAST_FRAGMENTATION: Final = 4


@table
class NodeCounts(NamedTuple):
    """An amount of everything, a row a node. ``jobs`` : jobs that are there.

    ``state`` : nodes of one kind are in the same state, by processors, if they are in use and have as many free, or without jobs. Those of kind
    k are numbered from ``Nodes.states[k]`` on: in use with 0, 1, 2, ... processors free, and last without jobs. ``alike`` : nodes in each state.
    """

    procs: Ints
    mem: Ints
    gpus: Ints
    jobs: Ints
    state: Ints
    alike: Ints


@table
class Shapes(NamedTuple):
    """What each job asks of nodes: ``slices`` equal parts, each of which must find all of its resources on one node.

    ``procs`` (at least 1), ``mem``, ``gpus`` : of one slice. ``all_procs``, ``all_mem``, ``all_gpus`` : of the job, dealt out to its slices one by
    one, so that the last ones may get one less. ``apart`` : 1 if each slice must have a node of its own. ``whole`` : 1 if the job takes whole
    nodes, and shares them with nobody. ``kinds`` : mask of the kinds of node that will do.
    """

    slices: Ints
    procs: Ints
    mem: Ints
    gpus: Ints
    all_procs: Ints
    all_mem: Ints
    all_gpus: Ints
    apart: Ints
    whole: Ints
    kinds: Ints


@table
class Holdings(NamedTuple):
    """What running jobs hold of nodes, and planned ones are to have: a list of cells for each, from ``first[job]`` along ``next`` to -1.

    ``share`` : slices there. ``vacant`` : int64[1], first of the cells that nobody uses. ``kept`` : likewise what suspended jobs come back to, -1
    where a job is not suspended (empty where none ever is).
    """

    first: Ints
    next: Ints
    node: Ints
    share: Ints
    procs: Ints
    mem: Ints
    gpus: Ints
    vacant: Ints
    kept: Ints


@table
class NodeRows(NamedTuple):
    """What nodes will have free: row ``Profile.row[k]`` is that of step k, with a cell for each node of the pool, from ``Nodes.first`` on.

    Columns without cells are not counted. ``jobs`` : jobs that will be there. ``some``, ``idle`` : sets (`apportion.core.node_sets`) of the nodes
    that will have processors free, and of those without jobs.
    """

    procs: Ints
    mem: Ints
    gpus: Ints
    jobs: Ints
    some: Ints
    idle: Ints


@table
class WindowSets(NamedTuple):
    """Sets of nodes of a pool that stay as they are for a time.

    ``some`` : with processors free. ``sure`` : without jobs. ``likely`` : without jobs, or perhaps without any but the one that asks, which is
    planned there. ``own`` : where that is.
    """

    some: Ints
    sure: Ints
    likely: Ints
    own: Ints


@table
class Nodes(NamedTuple):
    """All about nodes.

    ``first`` (n_pools + 1) : pool p has the nodes ``first[p]`` to ``first[p + 1]``, by weight and then as the policy lists them; an index is a
    rank. ``kind`` : of each node. ``kinds`` (n_pools + 1) : pool p has the kinds ``kinds[p]`` to ``kinds[p + 1]``. ``first_of`` (n_kinds + 1) :
    kind k has the nodes ``first_of[k]`` to ``first_of[k + 1]``. ``weight`` : of each kind. ``states`` (n_kinds + 1) : see `NodeCounts`.
    ``alone`` : 1 if all jobs have whole nodes.
    ``size`` : what there is; ``free`` : what is not in use; ``later`` : what will be free when the head of a pool is expected to start (EASY),
    without that head. ``later_procs`` (n_pools), ``later_extra`` (n_pools, n_extra) : the same of the pool's counts.
    ``trial`` : what would be free for the job ``tried`` without some others (preemption).
    ``rows`` : what will be free, step by step of the profile; ``window`` : of that, what stays free for a time;
    ``sets`` : the same as sets.
    ``order``, ``room``, ``bucket``, ``fit`` : scratch. ``chosen``, ``share``, ``procs``, ``mem``, ``gpus`` : nodes that were chosen for a job,
    the slices each is to take, and what that comes to; ``choice`` (2) : the job, -1 if that no longer holds, and their number.
    ``down`` : of each node, 0 if it is up, else 1 + the position of the failure that took it, negative while that is being dealt with.
    ``log``, ``logged`` : starts (job) and ends (-1 - job), losses (n_jobs + row of `Outages`) and returns (-1 - n_jobs - row) in the order in
    which they happened, from which the nodes of each job can be found again; where jobs start on nodes that were chosen before,
    ``placed`` has them: node and share (the lower 32 bits) of one after another, ``placed_n`` so many.
    ``blocked`` (n_pools) : processors that are free and enough for the head, but not where it could use them; ``lost`` : these times ms, so far;
    ``since`` : ms.
    """

    first: Ints
    kind: Ints
    kinds: Ints
    first_of: Ints
    weight: Ints
    states: Ints
    alone: Ints
    size: NodeCounts
    free: NodeCounts
    later: NodeCounts
    later_procs: Ints
    later_extra: Ints
    shapes: Shapes
    held: Holdings
    order: Ints
    room: Ints
    bucket: Ints
    fit: Ints
    trial: NodeCounts
    tried: Ints
    rows: NodeRows
    window: NodeCounts
    sets: WindowSets
    chosen: Ints
    share: Ints
    procs: Ints
    mem: Ints
    gpus: Ints
    choice: Ints
    down: Ints
    log: Ints
    logged: Ints
    placed: Ints
    placed_n: Ints
    blocked: Ints
    lost: Ints
    since: Ints


def no_nodes() -> Nodes:
    """The tables where pools are counts."""

    def none() -> Ints:
        return np.zeros(0, np.int64)

    def empty(kind: Any) -> Any:
        return kind(*(none() for _ in kind._fields))

    tables = {
        "size": NodeCounts,
        "free": NodeCounts,
        "later": NodeCounts,
        "trial": NodeCounts,
        "window": NodeCounts,
        "sets": WindowSets,
        "shapes": Shapes,
        "held": Holdings,
    }
    nothing = np.zeros((0, 0), np.int64)
    special = {name: empty(kind) for name, kind in tables.items()}
    special |= {"later_extra": nothing, "rows": NodeRows(*(nothing for _ in NodeRows._fields))}
    return Nodes(**{name: special.get(name, none()) for name in Nodes._fields})
