"""What checkpoints keep of a job that is stopped, and what they cost.

A job with work left writes a checkpoint after each ``interval`` of work, which takes the time ``write``; none at its end. When it starts again, it
first takes the time ``restart`` to read the last one back. What it did since then is lost.

Sources: Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974, doi:10.1145/361147.361115;
Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006, doi:10.1016/j.future.2004.11.016.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from apportion.core.handle import table
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints


@table
class Checkpoints(NamedTuple):
    """Of each job, ms; empty where no job writes any.

    ``interval`` : work between two checkpoints, 0 for none. ``write``, ``restart`` : what one costs, and to start from it.
    ``saved`` : work that the last one holds.
    """

    interval: Ints
    write: Ints
    restart: Ints
    saved: Ints


def daly_ms(write_ms: int, mtbf_ms: int) -> int:
    """Work between two checkpoints that loses least time, by Daly's higher-order estimate (equation 37).

    Parameters
    ----------
    write_ms : int
        What a checkpoint costs, at least 0.
    mtbf_ms : int
        Mean time between the interruptions of a job, above 0.

    Returns
    -------
    int
        ms, at least 1. Young's estimate is its first term.
    """
    if write_ms >= 2 * mtbf_ms:
        return mtbf_ms
    part = write_ms / (2 * mtbf_ms)
    return max(round(sqrt(2 * write_ms * mtbf_ms) * (1 + sqrt(part) / 3 + part / 9) - write_ms), 1)


@kernel
def duration(c: Checkpoints, job: int, run: int) -> int:
    """How long a job takes from now on that takes ``run`` ms in one go and without checkpoints."""
    if c.saved.size == 0:
        return run
    work = run - c.saved[job]
    if c.interval[job] > 0 and work > 0:
        work += (work - 1) // c.interval[job] * c.write[job]
    return int(work + c.restart[job]) if c.saved[job] > 0 else int(work)


@kernel
def _written(c: Checkpoints, job: int, elapsed: int) -> int:
    """How many checkpoints a job has completed that has run for ``elapsed`` ms."""
    if c.saved[job] > 0:
        elapsed -= c.restart[job]
    if c.interval[job] == 0 or elapsed <= 0:
        return 0
    return int(elapsed // (c.interval[job] + c.write[job]))


@kernel
def lost(c: Checkpoints, job: int, elapsed: int) -> int:
    """How many of the last ms are lost if a job is stopped that has run for ``elapsed`` ms."""
    if c.saved.size == 0:
        return elapsed
    n = _written(c, job, elapsed)
    if n == 0:
        return elapsed
    begin = c.restart[job] if c.saved[job] > 0 else 0
    return int(elapsed - begin - n * (c.interval[job] + c.write[job]))


@kernel
def done(c: Checkpoints, job: int, elapsed: int) -> int:
    """Work that a job has done in ``elapsed`` ms since it started, whether a checkpoint holds it or not."""
    if c.saved[job] > 0:
        elapsed -= c.restart[job]
    if c.interval[job] == 0 or elapsed <= 0:
        return int(max(elapsed, 0))
    n = elapsed // (c.interval[job] + c.write[job])
    return int(n * c.interval[job] + min(elapsed - n * (c.interval[job] + c.write[job]), c.interval[job]))


@kernel
def save(c: Checkpoints, job: int, elapsed: int) -> None:
    """Remember what is kept of a job that is stopped after ``elapsed`` ms."""
    if c.saved.size > 0:
        c.saved[job] += _written(c, job, elapsed) * c.interval[job]
