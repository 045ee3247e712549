"""Limits of associations and QOS, quotas and budgets of accounts, as the passes ask about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, cohort, lifecycle, limit_usage, limits
from apportion.core.codes import ORDER_MULTIFACTOR
from apportion.core.jit import apart, inlined, kernel
from apportion.core.reasons import PRIORITY, RESOURCES
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import State

PRIORITY_RANGE = 2**33  # what a score adds for each PriorityTier (see `apportion.core.rank`)


@inlined
def held(s: State, job: int) -> bool:
    """True if the job may not start now although resources might be free; its reasons are noted."""
    return s.rules.holds == 1 and _is_held(s, job)


@apart
def _is_held(s: State, job: int) -> bool:
    mask = binding(s, job)
    s.live.reasons[job] |= mask
    return mask != 0


@kernel
def _by_quotas(s: State, job: int) -> int:
    """Mask of the quotas and budgets that hold a pending job where it is."""
    mask = budget.binding(s.budgets, s.jobs, job) if s.rules.budgets == 1 else 0
    if s.rules.quotas == 1:
        mask |= cohort.binding(s.quotas, s.jobs, job, s.pools.flavor[s.jobs.pool[job]])
    return mask


@kernel
def binding(s: State, job: int) -> int:
    """Mask of all limits, quotas and budgets that hold a pending job now."""
    return by_limits(s, job) | _by_quotas(s, job)


@kernel
def by_limits(s: State, job: int) -> int:
    """Mask of the limits that hold a pending job; if it is counted as running already, it is not in its own way."""
    if s.rules.limited == 0:
        return 0
    limit_usage.count_out(s.limits, s.counters, s.jobs, job)
    mask = 0
    if not limits.may_start(s.limits, s.counters, s.jobs, job):
        mask = limits.binding(s.limits, s.counters, s.jobs, job)
    limit_usage.count_in(s.limits, s.counters, s.jobs, job)
    return mask


@kernel
def reasons_now(s: State, job: int) -> int:
    """Mask of all that keeps a pending job from starting at this moment: limits and resources, else its rank."""
    mask = binding(s, job)
    if not lifecycle.fits_now(s, job):
        mask |= RESOURCES
    return mask if mask != 0 else PRIORITY


@inlined
def may_reserve(s: State, job: int) -> bool:
    """False for a job that must never keep others waiting (NoReserve, MinPrioThreshold, bf_min_prio_reserve, a soft budget that is used up).

    Thresholds are for Slurm's priority; under other orders no job is below them.
    """
    return (s.rules.holds == 0 and s.rules.bf_min_prio_reserve == 0) or _may_keep_waiting(s, job)


@apart
def _may_keep_waiting(s: State, job: int) -> bool:
    if s.rules.budgets == 1 and budget.is_overdrawn(s.budgets, s.jobs, job):
        return False
    priority = NEVER
    if s.rules.order == ORDER_MULTIFACTOR:
        priority = int(-s.live.score[job]) % PRIORITY_RANGE
    if s.rules.limited == 0:
        return priority >= s.rules.bf_min_prio_reserve
    return limits.may_reserve(s.limits, s.jobs, job, priority, s.rules.bf_min_prio_reserve)
