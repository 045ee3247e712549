"""What a preempted job lost for the sake of another is given back to its account.

It is given back as it was charged: aged usage as it is now, budgets as far as they paid for it in the present period. Nothing falls below zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import budget, usage
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def give_back(s: State, now: int, job: int, ms: int) -> None:
    """Give back the last ``ms`` of what a job has used that has just been stopped."""
    if ms <= 0:
        return
    if s.rules.charged == 1:
        give_back_usage(s, now, job, s.jobs.billing[job], ms)
    if s.rules.budgets == 1:
        budget.refund(s.budgets, s.jobs, job, now, ms)


@kernel
def give_back_usage(s: State, now: int, job: int, billing: int, ms: int) -> None:
    """Give back the last ``ms`` of usage that were charged at ``billing`` thousandths a second."""
    procs, extra = s.jobs.procs[job], s.jobs.extra[job]
    assoc, qos, parent = s.jobs.assoc[job], s.jobs.qos[job], s.accounts.parent
    usage.refund(s.usage, s.usage_params, parent, assoc, qos, billing, procs, extra, now - ms, now)
