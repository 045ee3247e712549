"""Workloads for the drivers from jobs of the naive oracles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.tables import NEVER
from apportion.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apportion.policy.workload import Submissions
    from apportion.sim.releases import Precedence
    from oracles.jobs import Job


def workload(jobs: Sequence[Job], table: Submissions, precedence: Precedence | None = None) -> Workload:
    """Jobs in submit order, and the same as a policy is compiled for them, without the trace that they would come from."""
    nothing: Any = None
    return Workload(
        jobs=table,
        run_ms=np.array([job.run for job in jobs], np.int64),
        cancel_ms=np.full(len(jobs), NEVER, np.int64),
        killed=np.zeros(len(jobs), bool),
        status=np.zeros(len(jobs), np.int8),
        row=np.arange(len(jobs)),
        trace=nothing,
        capacity_from="given",
        precedence=precedence,
    )
