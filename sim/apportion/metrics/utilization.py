"""What the machine did: how much of what was there was used, lost while work waited, or spent in vain.

References
----------
Feitelson & Rudolph, "Metrics and benchmarking for parallel job scheduling", JSSPP 1998, doi:10.1007/BFb0053978.
Zhang, Franke, Moreira & Sivasubramaniam, "An integrated approach to parallel scheduling using gang-scheduling,
backfilling, and migration", IEEE TPDS 14(3), 2003 (capacity loss). Leung, Sabin & Sadayappan, "Parallel job
scheduling policies to improve fairness: a case study", ICPP Workshops 2010, doi:10.1109/ICPPW.2010.48 (loss of
capacity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.metrics.occupancy import Sweep, integral, sweep

if TYPE_CHECKING:
    from apportion.metrics.run import Run

CORE_H_S: Final = 3600.0
USEFUL: Final = ("COMPLETED",)
KILLED: Final = ("TIMEOUT",)


def utilization(run: Run, states: Sweep) -> dict[str, Any]:
    """Utilization metrics of a run, over its measure window.

    - used fraction = integral of busy processors / integral of capacity, capacity being what was really there at each
      moment (manifest ``capacity_steps``), not the nominal size (Feitelson & Rudolph 1998);
    - loss of capacity = integral of min(idle, processors asked for by queued jobs) / integral of capacity (Zhang et
      al. 2003; Leung et al. 2010): what a better packing could have used. Idle = capacity - busy, not below 0. With
      several pools each is taken by itself, as a job cannot use the idle processors of another pool;
    - core-hours of the jobs submitted in the window, by how they ended: useful (COMPLETED), killed at their limit
      (TIMEOUT), lost (any other end: FAILED, CANCELLED, NODE_FAIL, PREEMPTED, OUT_OF_MEMORY, ...), unfinished (no end
      in the run; counted to the run's horizon).

    Parameters
    ----------
    run : Run
    states : Sweep
        `occupancy.sweep` of all jobs.
    """
    begin, end = run.window_s
    capacity = float(integral(run.capacity, np.array([begin, end]))[0])
    used = float((states.used_procs * states.dt_s).sum())
    lost = sum(_lost_capacity(states if len(run.pools) == 1 else sweep(run, jobs, steps)) for jobs, steps in run.pools)
    return {
        "capacity_core_h": capacity / CORE_H_S,
        "used_core_h": used / CORE_H_S,
        "used_fraction": used / capacity if capacity > 0 else float("nan"),
        "loss_of_capacity_fraction": lost / capacity if capacity > 0 else float("nan"),
        **_by_end(run),
    }


def _lost_capacity(states: Sweep) -> float:
    idle = np.maximum(states.capacity_procs - states.used_procs, 0.0)
    return float((np.minimum(idle, states.queued_procs) * states.dt_s).sum())


def _by_end(run: Run) -> dict[str, float]:
    codes, names = run.codes("state")
    mine = run.is_measured & run.started
    running = mine & np.isinf(run.stop_s)
    done = mine & ~running
    by_state = np.bincount(codes[done], weights=run.core_s[done], minlength=len(names)) / CORE_H_S
    table = dict(zip(names, by_state.tolist(), strict=True))
    so_far = run.procs[running] * (run.horizon_s - run.start_s[running])
    return {
        "useful_core_h": sum(table.get(name, 0.0) for name in USEFUL),
        "killed_core_h": sum(table.get(name, 0.0) for name in KILLED),
        "lost_core_h": sum(value for name, value in table.items() if name not in (*USEFUL, *KILLED)),
        "unfinished_core_h": float(so_far.sum()) / CORE_H_S,
    }
