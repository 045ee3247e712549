"""Synthetic workloads for the benchmarks, built straight from arrays: no trace, hence any number of jobs in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apportion.core.tables import NEVER
from apportion.policy.workload import Labels, Submissions
from apportion.sim.workload import Workload
from apportion.traces.schema import Status, Trace, TraceMeta

if TYPE_CHECKING:
    from apportion.core.tables import Ints

DAY_S = 86_400


def workload(submit_s: Ints, run_s: Ints, limit_s: Ints, procs: Ints, machine: int) -> Workload:
    """Arrange jobs as `apportion.sim.workload.from_trace` does, each column an array of its own; nobody has a name."""
    n = len(submit_s)
    return Workload(
        jobs=Submissions(
            submit_ms=submit_s * 1000,
            limit_ms=np.maximum(limit_s * 1000, 1),
            procs=procs,
            user=Labels.none(n),
            account=Labels.none(n),
            group=Labels.none(n),
            qos=Labels.none(n),
            queue=Labels.none(n),
            partition=Labels.none(n),
            origin_ms=0,
            capacity={"cpu": machine},
        ),
        run_ms=run_s * 1000,
        cancel_ms=np.full(n, NEVER, np.int64),
        killed=np.zeros(n, np.bool_),
        status=np.full(n, Status.COMPLETED, np.int8),
        row=np.arange(n),
        trace=Trace(pd.DataFrame(), TraceMeta(name="synthetic", format="synthetic")),
        capacity_from="given",
    )


def steady(n_jobs: int, machine: int = 1024, load: float = 0.8) -> Workload:
    """Jobs like those of `apportion.traces.synth.steady`: Poisson arrivals at the same load however many there are."""
    rng = np.random.default_rng(1)
    procs = np.left_shift(np.int64(1), rng.integers(machine.bit_length() - 2, size=n_jobs))
    run = np.maximum(rng.exponential(3600.0, n_jobs), 1.0).astype(np.int64)
    limit = -(-(run * rng.integers(1, 5, size=n_jobs)) // 60) * 60
    arrival = np.cumsum(rng.exponential(size=n_jobs))
    arrival *= int(procs @ run) / (machine * load) / arrival[-1]
    return workload(arrival.astype(np.int64), run, limit, procs, machine)


def many_running(n_jobs: int = 100_000, machine: int = 12_857) -> Workload:
    """Narrow jobs at a load of 1.1: some 5,000 run at a time, and the queue grows to thousands."""
    rng = np.random.default_rng(1)
    limit = rng.integers(3600, DAY_S, size=n_jobs)
    run = np.floor(limit * rng.uniform(0.2, 1.0, n_jobs)).astype(np.int64)
    procs = rng.choice(np.array([1, 1, 1, 1, 2, 4, 8]), n_jobs)
    gap = 27_000 * 18 / 7 / machine / 1.1  # mean run x mean size / machine / load
    submit = np.floor(np.cumsum(rng.exponential(gap, n_jobs))).astype(np.int64)
    return workload(submit, run, limit, procs, machine)
