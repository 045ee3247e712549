"""Jobs that are stopped before their end, in both drivers, against the naive twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.codes import FAIL, LOSS, NODE_FAIL, RETURN
from apportion.core.jit import handle
from apportion.core.tables import NEVER, Outages
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim import compiled
from apportion.sim.world import SimulatedCenter
from driving import machine, submissions, world
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.stops import Fault
from oracles.workloads import job_lists

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MACHINES = [[Pool(6)], [Pool(6), Pool(5)]]
UNIT = 10_000


@dataclass
class Played:
    state: Any
    end: list[int]
    digest: tuple[int, int]
    log: list[tuple[int, int, int]]


def play(jobs, policy, table, faults, engine) -> Played:
    done = compile_policy(policy, table, fails=True)
    rows = [(f.time, LOSS, f.pool, f.procs, f.position) for f in faults if f.job < 0]
    rows += [(f.back, RETURN, f.pool, f.procs, 0) for f in faults if f.job < 0]
    happens = [(time, code, k) for k, (time, code, *_) in enumerate(rows)]
    happens += [(f.time, FAIL, f.job) for f in faults if f.job >= 0]
    columns = np.array([row[2:] for row in rows], np.int64).reshape(-1, 3)
    outages = Outages(*(np.ascontiguousarray(columns[:, k]) for k in range(3)))
    state = done.state._replace(outages=outages)
    around = world(jobs, done, failures=sorted(happens))
    if engine == "simpy":
        env = simpy.Environment(initial_time=min(job.submit for job in jobs))
        SimulatedCenter(env, state, around)
        while env.peek() < NEVER:
            env.step()
    else:
        assert compiled.replay(handle(state), handle(around), 20_000)
    log = state.stops
    told = [(int(log.time[k]), int(log.job[k]), int(log.start[k])) for k in range(int(log.count[0]))]
    return Played(state, around.end.tolist(), tuple(state.digest.tolist()), told)


@st.composite
def fault_lists(draw: st.DrawFn, n_jobs: int, pools: list[Pool]) -> list[Fault]:
    """Failures of jobs, and of processors one after the other: never two at a time away."""
    faults = [
        Fault(draw(st.integers(0, 30)) * UNIT, job=job)
        for job in draw(st.lists(st.integers(0, n_jobs - 1), max_size=4))
    ]
    time = 0
    for _ in range(draw(st.integers(0, 4))):
        time += draw(st.integers(1, 8)) * UNIT
        back = time + draw(st.integers(1, 6)) * UNIT
        pool = draw(st.integers(0, len(pools) - 1))
        position = draw(st.integers(0, 2**32 - 1))
        faults.append(Fault(time, pool=pool, procs=draw(st.integers(1, 2)), position=position, back=back))
        time = back
    return list({(fault.time, fault.job, fault.procs): fault for fault in faults}.values())


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    narrow = [Pool(pool.procs - 2) for pool in pools]
    jobs = draw(job_lists(narrow, cancels=False, unit=UNIT))
    jobs = [
        Job(k, job.submit, job.run, job.limit, job.procs, pool=job.pool)
        for k, job in enumerate(sorted(jobs, key=lambda j: (j.submit, j.id)))
    ]
    order = draw(st.sampled_from(["fcfs", "sjf", "wfp3"]))
    return {
        "jobs": jobs,
        "pools": pools,
        "faults": draw(fault_lists(len(jobs), pools)),
        "order": order,
        "requeue": draw(st.booleans()),
    }


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_failures(backfill, case):
    jobs, pools, faults, requeue = case["jobs"], case["pools"], case["faults"], case["requeue"]
    if not jobs:
        return
    policy = from_dict({"Order": case["order"], "Backfill": backfill, "JobRequeue": requeue, **machine(pools)})
    table = submissions(jobs, pools[0].procs)
    want = stops.simulate(jobs, pools, faults, case["order"], backfill, requeue=requeue)
    played = [play(jobs, policy, table, faults, engine) for engine in ("compiled", "simpy")]
    for got in played:
        state = got.state
        assert got.log == want.stops
        lost = state.live.state == NODE_FAIL
        assert set(np.flatnonzero(lost).tolist()) == want.over
        assert np.where(lost, -1, state.live.start).tolist() == want.starts
        assert state.live.restarts.tolist() == [
            requeue * sum(job == k for _, job, _ in want.stops) for k in range(len(jobs))
        ]
        ends = [
            job.run + start if start >= 0 else max(t for t, j, _ in want.stops if j == job.id)
            for job, start in zip(jobs, want.starts, strict=True)
        ]
        assert got.end == ends
        assert state.pools.free.tolist() == [pool.procs for pool in pools]
        assert not state.running.count.any()
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end
