"""Which running jobs a failure of some processors hits.

Processors are counted, not named, so the running jobs of a pool are laid side by side, in the order in which `apportion.core.running`
keeps them, and what is free comes after them; the failing processors are a block of neighbours. Every processor that there is
fails as often as any other but for those at the edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import running
from apportion.core.jit import kernel
from apportion.core.tables import ROW_JOB, ROW_PROCS

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def hit(s: State, pool: int, position: int, procs: int) -> int:
    """Find the running jobs of a pool that lose processors.

    Parameters
    ----------
    position : int
        Drawn, 0 to 2^32 - 1; says where the block begins, from the first to the last place at which it fits.
    procs : int
        Processors that fail at once.

    Returns
    -------
    int
        Number of jobs; they are ``s.work[:n]``. The pool must keep its running jobs (a backfill, or ``open_pools``).
    """
    run = s.running
    running.settle(run, s.live.state, pool)
    places = max(s.pools.procs[pool] - procs, 0) + 1
    begin = (position * places) >> 32
    end = begin + procs
    n = 0
    at = 0
    for row in range(run.first[pool], run.first[pool] + run.count[pool]):
        if at < end and at + run.row[row, ROW_PROCS] > begin:
            s.work[n] = run.row[row, ROW_JOB]
            n += 1
        at += run.row[row, ROW_PROCS]
    return n
