"""Where a pending job stands: scores that are fixed, that move with time, and Slurm's priority."""

from __future__ import annotations

from apportion.core import queue
from apportion.core.codes import ORDER_FIXED, ORDER_MOVING, PENDING
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, State


@kernel
def enter(s: State, now: int, job: int) -> None:
    """Put an arriving job into the queue."""
    if s.rules.order == ORDER_FIXED:
        queue.insert(s.queue, s.live.state, s.live.score, s.jobs.submit, job)
    else:
        queue.append(s.queue, s.live.state, job)
        s.clock.unsorted[0] = 1


@kernel
def refresh(s: State, now: int) -> bool:
    """Bring the order of the queue up to date; True if the queue must be walked from the beginning."""
    return False


@kernel
def next_tick(s: State, now: int) -> int:
    """Time of the next priority calculation, ms."""
    return (now // s.rules.calc_period + 1) * s.rules.calc_period
