"""Decision passes of a broker with a deep queue: 100,000 pending jobs, 20 centers of 5 partitions, 1,000 accounts.

Each instant is played by itself and timed: a *full* pass ranks all jobs anew (a tick of PriorityCalcPeriod) and places what has room; an
*incremental* one follows a single arrival or a single end.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.policy.workload import Labels, Submissions
from apportion.sim.federation.compile import compile_federation
from apportion.sim.federation.compiled import replay
from apportion.sim.federation.moves import moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.replay import run, world_of
from apportion.sim.federation.workload import FederationWorkload, merge
from apportion.sim.scenario import Scenario, scenario_from_dict
from apportion.sim.workload import Workload

HOUR_MS = 3_600_000
MEAN_PROC_MS = 32.5 * 6 * HOUR_MS  # of a job, as `jobs_of` makes them


class Passes(NamedTuple):
    """Medians, ms, and how many jobs were pending at the end."""

    full_ms: float
    arrival_ms: float
    end_ms: float
    pending: int


def federation(n_centers: int, n_partitions: int, procs: int) -> Scenario:
    """Centers with equal partitions, every second one autonomous."""
    centers = [
        {
            "Center": f"C{k}",
            "Mode": "managed" if k % 2 else "autonomous",
            "Policy": "easy",
            "Price": 0.01 * (k % 5),
            "PowerBusy": 50 + k,
            "Carbon": 100 + 10 * k,
            "partitions": [{"PartitionName": f"p{p}", "Procs": procs, "Default": p == 0} for p in range(n_partitions)],
        }
        for k in range(n_centers)
    ]
    return scenario_from_dict(
        {"broker": {"Policy": "multifactor"}, "centers": centers, "moves": [{"Fraction": 1}], "Seed": 1}
    )


def jobs_of(n: int, within_ms: int, seed: int, accounts: int, procs: int) -> Workload:
    """Jobs of one center that come at random times within a span."""
    random = np.random.default_rng(seed)
    account = random.integers(0, accounts, n)
    names = tuple(f"a{k}" for k in range(accounts))
    limit = random.integers(1, 24, n) * HOUR_MS
    nobody: object = None
    return Workload(
        jobs=Submissions(
            submit_ms=np.sort(random.integers(0, within_ms, n)),
            limit_ms=limit,
            procs=random.integers(1, 65, n),
            user=Labels(account.copy(), tuple(f"u{k}" for k in range(accounts))),
            account=Labels(account, names),
            group=Labels.none(n),
            qos=Labels.none(n),
            queue=Labels.none(n),
            partition=Labels.none(n),
            origin_ms=0,
            capacity={"cpu": procs},
        ),
        run_ms=(limit * random.random(n)).astype(np.int64) + 1,
        cancel_ms=np.full(n, NEVER, np.int64),
        killed=np.zeros(n, bool),
        status=np.zeros(n, np.int8),
        row=np.arange(n, dtype=np.int64),
        trace=nobody,  # type: ignore[arg-type]  # nothing here reads it
        capacity_from="made",
    )


def workload(n_centers: int, procs: int, n_jobs: int, within_ms: int, accounts: int) -> FederationWorkload:
    """The same number of jobs from every center of so many processors; ``accounts`` in sum."""
    each = n_jobs // n_centers
    parts = [jobs_of(each, within_ms, k, max(accounts // n_centers, 1), procs) for k in range(n_centers)]
    return merge([f"C{k}" for k in range(n_centers)], parts)


def passes(n_centers: int = 20, n_partitions: int = 5, pending: int = 100_000, accounts: int = 1000) -> Passes:
    """Fill a broker's queue, then time what follows instant by instant."""
    procs = 200
    scenario = federation(n_centers, n_partitions, procs)
    flood = int(pending * 1.1)
    jobs = workload(n_centers, procs * n_partitions, flood, HOUR_MS, accounts)
    compiled = compile_federation(scenario, jobs, moves_of(scenario, jobs, data_times(scenario)))
    f, world = compiled.federation, world_of(scenario, jobs, compiled)
    core, happenings = handle(f), handle(world)
    replay(core, happenings, 0)
    while int(f.broker.clock.pending[0]) < pending:
        replay(core, happenings, 1000 if int(f.broker.clock.pending[0]) < pending - 2000 else 1)
    found: dict[str, list[float]] = {"full": [], "arrival": [], "end": []}
    while min(len(found["full"]), len(found["arrival"]) // 20, len(found["end"]) // 20) < 10:
        tick, arrived, ended = int(f.broker.clock.tick[0]), int(world.at[0]), int((world.end >= 0).sum())
        begin = time.perf_counter()
        over = replay(core, happenings, 1)
        ms = 1000 * (time.perf_counter() - begin)
        if over:
            break
        arrivals, ends = int(world.at[0]) - arrived, int((world.end >= 0).sum()) - ended
        if int(f.broker.clock.tick[0]) != tick:
            found["full"].append(ms)
        elif (arrivals, ends) in {(1, 0), (0, 1)}:
            found["arrival" if arrivals else "end"].append(ms)
    medians = (statistics.median(found[kind]) for kind in ("full", "arrival", "end"))
    return Passes(*medians, int(f.broker.clock.pending[0]))


def growth(n_jobs: int = 30_000, few: int = 3, many: int = 30) -> float:
    """How much longer the same jobs take with ten times the centers, each a tenth as large, at a load of 0.8."""
    seconds = []
    procs = 6000  # in sum
    within_ms = int(n_jobs * MEAN_PROC_MS / (procs * 0.8))
    for n_centers in (few, many):
        scenario = federation(n_centers, 1, procs // n_centers)
        jobs = workload(n_centers, procs // n_centers, n_jobs, within_ms, 300)
        moves = moves_of(scenario, jobs, data_times(scenario))
        run(jobs, compile_federation(scenario, jobs, moves))
        seconds.append(statistics.median(run(jobs, compile_federation(scenario, jobs, moves)).loop_s for _ in range(3)))
    return seconds[1] / seconds[0]
