"""Tables of the nodes of a machine: what each has and has free, what jobs ask of them, and which job holds what.

Empty where the policy counts resources by pools only. Memory is MiB; GPUs of all types are one count, and their types are told apart by the
kind of node.
"""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.jit import table
from apportion.core.tables import Ints


@table
class NodeCounts(NamedTuple):
    """An amount of everything, a row a node. ``jobs`` : jobs that are there."""

    procs: Ints
    mem: Ints
    gpus: Ints
    jobs: Ints


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
    """What running jobs hold of nodes: a list of cells for each, from ``first[job]`` along ``next`` to -1.

    ``vacant`` : int64[1], first of the cells that nobody uses.
    """

    first: Ints
    next: Ints
    node: Ints
    procs: Ints
    mem: Ints
    gpus: Ints
    vacant: Ints


@table
class Nodes(NamedTuple):
    """All about nodes.

    ``first`` (n_pools + 1) : pool p has the nodes ``first[p]`` to ``first[p + 1]``, by weight and then as the policy lists them; an index is a
    rank. ``weight``, ``kind`` : of each node. ``size`` : what there is; ``free`` : what is not in use; ``later`` : what will be free when the
    head of a pool is expected to start (EASY), without that head. ``later_procs`` (n_pools), ``later_extra`` (n_pools, n_extra) : the same of the
    pool's counts. ``idle`` : (n_pools) nodes without jobs.
    ``order``, ``room``, ``bucket`` : scratch. ``chosen``, ``share``, ``procs``, ``mem``, ``gpus`` : nodes that were chosen for a job, the slices
    each is to take, and what that comes to.
    ``log``, ``logged`` : starts (job) and ends (-1 - job) in the order in which they happened, from which the nodes of each job can be found again.
    ``blocked`` (n_pools) : processors that are free and enough for the head, but not where it could use them; ``lost`` : these times ms, so far;
    ``since`` : ms.
    """

    first: Ints
    weight: Ints
    kind: Ints
    size: NodeCounts
    free: NodeCounts
    later: NodeCounts
    later_procs: Ints
    later_extra: Ints
    idle: Ints
    shapes: Shapes
    held: Holdings
    order: Ints
    room: Ints
    bucket: Ints
    chosen: Ints
    share: Ints
    procs: Ints
    mem: Ints
    gpus: Ints
    log: Ints
    logged: Ints
    blocked: Ints
    lost: Ints
    since: Ints
