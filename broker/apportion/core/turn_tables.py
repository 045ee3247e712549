"""Whose turn it is to be admitted, where shares or what was used of late decide: what is remembered for it, and room to work it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints


@table
class Turns(NamedTuple):
    """Empty where the policy's order alone decides.

    ``by_share`` : 1 if accounts go by their dominant shares. ``by_usage`` (nodes) : 1 if the jobs of an account go by what their users used.
    ``half_life``, ``interval`` : of averages of usage, and between samples of it, ms (0 where there are none).
    ``factor`` (resources of the quotas) : what each weighs in what was used. ``weight`` (associations) : FairWeight of users.
    ``used`` (associations, resources) : average usage with the penalties of starts. ``next_sample`` : int64[1], ms, NEVER without samples.

    The rest is scratch. A *line* is of jobs between which the order decides: of a node, else of an association (after the nodes), and the last of
    jobs without quota. ``first`` (lines), ``next`` (jobs) : the jobs of a line that have no turn yet. ``place`` (jobs) : by the order.
    ``best`` (nodes) : the job that has the next turn of those of a node and below it, -1 none; ``most``, ``lendable`` : the node's share with it.
    ``added`` (associations) : to what was used, for turns of this round. ``admitted`` (jobs), ``row`` (jobs) : jobs counted as admitted; order.
    ``nothing`` (cells) : zeros.
    """

    by_share: int
    by_usage: Ints
    half_life: int
    interval: int
    factor: Floats
    weight: Floats
    used: Floats
    next_sample: Ints
    first: Ints
    next: Ints
    place: Ints
    best: Ints
    most: Ints
    lendable: Ints
    added: Floats
    admitted: Ints
    row: Ints
    nothing: Ints


def new_turns(
    by_usage: Ints,
    *,
    by_share: bool,
    half_life_ms: int,
    interval_ms: int,
    origin_ms: int,
    factor: Floats,
    weight: Floats,
    n_jobs: int,
    n_cells: int,
) -> Turns:
    """Nothing used yet; arguments as in `Turns`. ``interval_ms`` : 0 if nobody goes by usage."""
    n_nodes, n_assoc = len(by_usage), len(weight)
    return Turns(
        by_share=int(by_share),
        by_usage=by_usage,
        half_life=half_life_ms,
        interval=interval_ms,
        factor=factor,
        weight=weight,
        used=np.zeros((n_assoc, len(factor))),
        next_sample=np.full(1, (origin_ms // interval_ms + 1) * interval_ms if interval_ms else NEVER, np.int64),
        first=np.full(n_nodes + n_assoc + 1, -1, np.int64),
        next=np.full(n_jobs, -1, np.int64),
        place=np.zeros(n_jobs, np.int64),
        best=np.full(n_nodes, -1, np.int64),
        most=np.zeros(n_nodes, np.int64),
        lendable=np.ones(n_nodes, np.int64),
        added=np.zeros(n_assoc),
        admitted=np.zeros(n_jobs, np.int64),
        row=np.zeros(n_jobs, np.int64),
        nothing=np.zeros(n_cells, np.int64),
    )


def no_turns() -> Turns:
    """The policy's order alone decides."""
    none, nothing = np.zeros(0, np.int64), np.zeros(0)
    return new_turns(
        none,
        by_share=False,
        half_life_ms=0,
        interval_ms=0,
        origin_ms=0,
        factor=nothing,
        weight=nothing.copy(),
        n_jobs=0,
        n_cells=0,
    )
