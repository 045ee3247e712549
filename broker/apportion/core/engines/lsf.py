"""LSF's dynamic user priority: shares over what was used, what runs and what running jobs may yet take.

Source: IBM Spectrum LSF, "Dynamic user priority", https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=scheduling-dynamic-user-priority. Left out:
the adjustment of the fair-share plug-in (FAIRSHARE_ADJUSTMENT_FACTOR), which a site would write itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats

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
