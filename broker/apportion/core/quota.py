"""Limits of associations and QOS, as the passes ask about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import limits
from apportion.core.codes import ORDER_MULTIFACTOR
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import State

PRIORITY_RANGE = 2**33  # what a score adds for each PriorityTier (see `apportion.core.rank`)


@kernel
def held(s: State, job: int) -> bool:
    """True if the job may not start now although resources might be free; its reasons are noted."""
    if s.rules.limited == 0 or limits.may_start(s.limits, s.counters, s.jobs, job):
        return False
    s.live.reasons[job] |= limits.binding(s.limits, s.counters, s.jobs, job)
    return True


@kernel
def may_reserve(s: State, job: int) -> bool:
    """False for a job that must never keep others waiting (QOS flag NoReserve, or MinPrioThreshold)."""
    if s.rules.limited == 0:
        return True
    priority = 0
    if s.rules.order == ORDER_MULTIFACTOR:
        priority = int(-s.live.score[job]) % PRIORITY_RANGE
    return limits.may_reserve(s.limits, s.jobs, job, priority, -(2**62))
