"""Quotas over a forest of cohorts and accounts, as tables.

A *node* is a cohort or an account; accounts are mostly leaves. A *flavour* is a kind of capacity with quotas of its own: a pool of a
center, or a center of a federation. A *cell* is a resource in a flavour; the first cells are those of all flavours together, for
quotas that name none.

One table may serve several cores: each knows its pools' flavours itself (``Pools.flavor``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import Bytes, Ints

UNLIMITED: Final = -1
ALL_FLAVORS: Final = -1  # flavour of the quotas that name none
NOT_COUNTED: Final = -2
MOST: Final = 2**42  # largest sum of quotas of a cell: millions of it, or weights times it, fit an int64
UNIT_WEIGHT: Final = 1000
MOST_WEIGHT: Final = 1000 * UNIT_WEIGHT

# When an account's jobs may start although an older one of it waits for quota.
BEST_EFFORT_FIFO: Final = 0
STRICT_FIFO: Final = 1


@table
class Quotas(NamedTuple):
    """Quotas and usage; amounts as in `apportion.core.tables` (billing in thousandths), at most `MOST` in sum.

    ``parent`` (nodes) : in topological order, a parent before its children; -1 for a root. ``of_assoc`` (associations) : node whose quota
    the jobs of an association use, -1 none. ``tres`` (resources) : TRES, in alphabetical order of their names.
    ``governed`` (nodes, cells) : 1 where some node of the tree states a quota; elsewhere nothing is counted.
    ``nominal``, ``borrowing``, ``lending`` (nodes, cells) : quota, and how much more may be used of, or lent to, the cohort (-1
    unlimited). ``subtree`` : nominal and what the children lend. ``own`` : used by the jobs of the node itself; ``usage`` : with
    what its children use beyond what they keep to themselves.
    ``weight`` (nodes) : FairWeight in thousandths. ``strict`` : STRICT_FIFO or BEST_EFFORT_FIFO. ``stopped`` : 1 if no job may start.
    ``lease_end`` (nodes) : ms from which nothing is lent, NEVER. ``lease_length`` : ms after which it is decided anew whether to lend, 0
    never; ``lease_next`` : when next, ms. ``lent`` : 1 while the node lends. ``waiting`` : its pending jobs.
    ``turn`` : int64[1], next time at which a lease ends or is decided anew, ms.
    ``counted`` (jobs) : flavour in which a job's usage is counted, NOT_COUNTED. ``held`` (jobs, flavours) : 1 for each further one in which it
    is, as the job may yet start there; empty where no job waits in several.
    ``oldest``, ``newest`` (nodes), ``older``, ``newer`` (jobs) : pending jobs of the nodes with STRICT_FIFO, as lists; -1 at the ends. The
    columns by jobs are empty without such nodes. ``moved_up`` : int64[1], how often a job has become the oldest of such a node because the one
    before it left.
    ``in_use`` (associations, resources) : by the jobs of each that have quota; empty where nobody asks.
    """

    parent: Ints
    of_assoc: Ints
    tres: Ints
    governed: Ints
    nominal: Ints
    borrowing: Ints
    lending: Ints
    subtree: Ints
    own: Ints
    usage: Ints
    weight: Ints
    strict: Ints
    stopped: Ints
    lease_end: Ints
    lease_length: Ints
    lease_next: Ints
    lent: Ints
    waiting: Ints
    turn: Ints
    counted: Ints
    held: Bytes
    oldest: Ints
    newest: Ints
    older: Ints
    newer: Ints
    moved_up: Ints
    in_use: Ints


def new_quotas(
    parent: Ints,
    nominal: Ints,
    borrowing: Ints,
    lending: Ints,
    *,
    of_assoc: Ints,
    tres: Ints,
    governed: Ints,
    strict: Ints,
    n_jobs: int,
) -> Quotas:
    """Quotas without usage, leases, stops or weights; arguments as in `Quotas`, ``subtree`` is still to be summed up."""
    nodes = len(parent)
    in_line = n_jobs if (strict == STRICT_FIFO).any() else 0
    return Quotas(
        parent=parent,
        of_assoc=of_assoc,
        tres=tres,
        governed=governed,
        nominal=nominal,
        borrowing=borrowing,
        lending=lending,
        subtree=nominal.copy(),
        own=np.zeros_like(nominal),
        usage=np.zeros_like(nominal),
        weight=np.full(nodes, UNIT_WEIGHT, np.int64),
        strict=strict,
        stopped=np.zeros(nodes, np.int64),
        lease_end=np.full(nodes, NEVER, np.int64),
        lease_length=np.zeros(nodes, np.int64),
        lease_next=np.full(nodes, NEVER, np.int64),
        lent=np.ones(nodes, np.int64),
        waiting=np.zeros(nodes, np.int64),
        turn=np.full(1, NEVER, np.int64),
        counted=np.full(n_jobs, NOT_COUNTED, np.int64),
        held=np.zeros((0, 0), np.int8),
        oldest=np.full(nodes, -1, np.int64),
        newest=np.full(nodes, -1, np.int64),
        older=np.full(in_line, -1, np.int64),
        newer=np.full(in_line, -1, np.int64),
        moved_up=np.zeros(1, np.int64),
        in_use=np.zeros((0, len(tres)), np.int64),
    )


def no_quotas() -> Quotas:
    """Tables of a policy without quotas."""
    none, cells = np.zeros(0, np.int64), np.zeros((0, 0), np.int64)
    return new_quotas(
        none,
        cells,
        cells.copy(),
        cells.copy(),
        of_assoc=none.copy(),
        tres=none.copy(),
        governed=cells.copy(),
        strict=none.copy(),
        n_jobs=0,
    )
