"""Jobs that come only when others have ended: what both drivers ask after each end.

A *node* is a job or, after the jobs, a gate: a batch of jobs whose last end lets others come. Edges lead from jobs to jobs and
gates, and from gates to jobs. A job is released when all that it follows have ended, each by the delay of its edge ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Precedence:
    """Who follows whom.

    Attributes
    ----------
    before, after, delay_ms : int64[n_edges]
        Nodes, and the time from the end of the one to the release of the other; nodes from ``len(not_before_ms)`` on are gates.
    n_gates : int
    not_before_ms : int64[n_jobs]
        When a job that follows others is released at the earliest, ms since the epoch; -`NEVER` if only they decide.
    is_held : bool[n_jobs]
        The job was in the queue as recorded and waits there for others (Slurm's reason ``Dependency``); else it is submitted when released.
    """

    before: Ints
    after: Ints
    delay_ms: Ints
    n_gates: int
    not_before_ms: Ints
    is_held: NDArray[np.bool_]

    @property
    def follows(self) -> NDArray[np.bool_]:
        """Jobs that follow others."""
        found = np.zeros(len(self.not_before_ms) + self.n_gates, np.bool_)
        found[self.after] = True
        return found[: len(self.not_before_ms)]


@table
class Releases(NamedTuple):
    """Precedence as the drivers count it down; all columns are empty where no job follows another.

    ``first`` (n_nodes + 1), ``target``, ``delay`` : edges by the node they leave. ``missing`` : ends that a node waits for. ``time`` : earliest
    release so far, ms. ``known`` : scratch, the jobs whose release has become known. ``due_time``, ``due_job`` : heap of releases to come,
    with ``n_due[0]`` entries (the compiled loop's). ``n_jobs`` : nodes from there on are gates.
    """

    first: Ints
    target: Ints
    delay: Ints
    missing: Ints
    time: Ints
    known: Ints
    due_time: Ints
    due_job: Ints
    n_due: Ints
    n_jobs: int


def releases_of(precedence: Precedence | None) -> Releases:
    """Lay out the table."""
    if precedence is None:
        nothing = np.zeros(0, np.int64)
        precedence = Precedence(nothing, nothing, nothing, 0, nothing, nothing.astype(np.bool_))
    n_jobs = len(precedence.not_before_ms)
    n_nodes = n_jobs + precedence.n_gates
    by_source = np.argsort(precedence.before, kind="stable")
    n_followers = int(precedence.follows.sum())
    time = np.full(n_nodes, -NEVER, np.int64)
    time[:n_jobs] = precedence.not_before_ms
    return Releases(
        first=np.searchsorted(precedence.before[by_source], np.arange(n_nodes + 1)).astype(np.int64),
        target=precedence.after[by_source],
        delay=precedence.delay_ms[by_source],
        missing=np.bincount(precedence.after, minlength=n_nodes).astype(np.int64),
        time=time,
        known=np.zeros(n_followers, np.int64),
        due_time=np.zeros(n_followers, np.int64),
        due_job=np.zeros(n_followers, np.int64),
        n_due=np.zeros(1, np.int64),
        n_jobs=n_jobs,
    )


@kernel
def _is_last(r: Releases, time: int, edge: int) -> bool:
    """Note the end that an edge stands for; True if it was the last that its target waited for."""
    node = r.target[edge]
    r.time[node] = max(r.time[node], time + r.delay[edge])
    r.missing[node] -= 1
    return bool(r.missing[node] == 0)


@kernel
def follow(r: Releases, now: int, job: int) -> int:
    """Count down for a job that has ended, or will never run.

    Returns
    -------
    int
        Number of jobs whose release is known now; they are ``r.known[:n]``, released at ``r.time[job]``, not before ``now``.
    """
    n = 0
    for edge in range(r.first[job], r.first[job + 1]):
        if not _is_last(r, now, edge):
            continue
        node = r.target[edge]
        if node < r.n_jobs:
            r.known[n] = node
            n += 1
            continue
        for onward in range(r.first[node], r.first[node + 1]):
            if _is_last(r, r.time[node], onward):
                r.known[n] = r.target[onward]
                n += 1
    return n
