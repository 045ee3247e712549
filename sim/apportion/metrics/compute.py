"""All metrics of a run in one go: what stands in ``metrics.json``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.metrics.fair_start import SEED, fair_start
from apportion.metrics.fairness import DAY_S, fairness
from apportion.metrics.nodes import nodes
from apportion.metrics.occupancy import sweep
from apportion.metrics.service import service
from apportion.metrics.starvation import starvation
from apportion.metrics.stops import stops
from apportion.metrics.utilization import utilization

if TYPE_CHECKING:
    from apportion.metrics.run import Run

STATES = {
    "completed": "COMPLETED",
    "timed_out": "TIMEOUT",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "rejected": "REJECTED",
}


def compute(run: Run, *, seed: int = SEED) -> dict[str, Any]:
    """Every metric of a run, ready for ``json.dump``.

    Parameters
    ----------
    run : Run
    seed : int
        Of the sample of jobs whose fair start times are found.

    Returns
    -------
    dict
        Nested groups ``window``, ``jobs``, ``service``, ``utilization``, ``fairness``, ``starvation``, ``nodes`` where the policy
        had nodes, and ``stops`` where jobs may be stopped. Units are in
        the names; an undefined value is None. `apportion.metrics.glossary` gives the meaning of every key.
    """
    states = sweep(run)
    begin, end = run.window_s
    result = {
        "window": {"from_s": begin, "to_s": end, "days": (end - begin) / DAY_S},
        "jobs": _counts(run),
        "service": service(run, states),
        "utilization": utilization(run, states),
        "fairness": {**fairness(run), "fair_start_sample": fair_start(run, seed=seed)},
        "starvation": starvation(run),
    }
    if "alloc_cpus" in run.jobs:
        result["nodes"] = nodes(run)
    stopped = stops(run)
    if stopped is not None:
        result["stops"] = stopped
    return {key: _plain(value) for key, value in result.items()}


def _counts(run: Run) -> dict[str, int]:
    codes, names = run.codes("state")
    of_state = np.bincount(codes[run.is_measured], minlength=len(names))
    table = dict(zip(names, of_state.tolist(), strict=True))
    return {
        "total": len(run.jobs),
        "measured": int(run.is_measured.sum()),
        "started": int((run.is_measured & run.started).sum()),
        **{key: int(table.get(state, 0)) for key, state in STATES.items()},
        "other": int(sum(count for name, count in table.items() if name not in STATES.values())),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
