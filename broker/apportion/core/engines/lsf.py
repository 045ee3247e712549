"""LSF's dynamic user priority: shares over what was used, what runs and what running jobs may yet take.

Source: IBM Spectrum LSF, "Dynamic user priority", https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=scheduling-dynamic-user-priority. Left out:
the adjustment of the fair-share plug-in (FAIRSHARE_ADJUSTMENT_FACTOR), which a site would write itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.engines.history import BILLED, UNIT_HOUR, used_up_to
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.engines.history import History
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats

# Cells of `History.factors`
CPU_TIME = 0
RUN_TIME = 1
COMMITTED = 2
RUN_JOB = 3
HIST_RUN_TIME = 4  # 1 with ENABLE_HIST_RUN_TIME


@kernel
def dynamic_priority(
    shares: float, cpu_h: float, run_h: float, committed_h: float, slots: float, factors: Floats
) -> float:
    """Dynamic priority; larger is better.

    Parameters
    ----------
    shares : float
    cpu_h : float
        CPU time, decayed: hours.
    run_h : float
        Run time of running jobs, and with ENABLE_HIST_RUN_TIME of those that ended, decayed: slot-hours.
    committed_h : float
        Time that running jobs asked for and have not run yet: slot-hours.
    slots : float
        Slots in use.
    factors : float64[>= 4]
        CPU_TIME_FACTOR, RUN_TIME_FACTOR, COMMITTED_RUN_TIME_FACTOR, RUN_JOB_FACTOR.
    """
    return shares / (
        cpu_h * factors[CPU_TIME]
        + run_h * factors[RUN_TIME]
        + committed_h * factors[COMMITTED]
        + (1.0 + slots) * factors[RUN_JOB]
    )


@kernel
def remember(history: History, tick: int) -> None:
    """Age CPU time, and run time of jobs that ended, by one slice and add what it holds. ``History.decay`` : 0.1^(slice / HIST_HOURS)."""
    for i in range(history.used.shape[0]):
        used = used_up_to(history, i, tick)
        history.aged[0, i] = history.aged[0, i] * history.decay + (used - history.used[i])
        history.aged[1, i] = history.aged[1, i] * history.decay + (history.done[i] - history.done_then[i])
        history.used[i] = used
        history.done_then[i] = history.done[i]


@kernel
def of_association(history: History, row: int) -> tuple[float, float, float, float]:
    """CPU, run and committed time in hours, and slots in use, of an association with all below it, at the last tick."""
    run = history.used[row] - history.done_then[row]
    committed = max(history.committed_then[row] - run, 0) / UNIT_HOUR
    kept = history.aged[1, row] if history.factors[HIST_RUN_TIME] > 0.0 else 0.0
    return history.aged[0, row] / UNIT_HOUR, (run + kept) / UNIT_HOUR, committed, history.held[BILLED, row] / 1000.0


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Dynamic priority of every association; accounts are compared with accounts as users with users."""
    history = state.history
    for i in range(accounts.parent.shape[0]):
        cpu, run, committed, slots = of_association(history, i)
        shares = float(accounts.shares[i])
        state.level_fs[i] = dynamic_priority(shares, cpu, run, committed, slots, history.factors)
