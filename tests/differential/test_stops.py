"""Jobs that are stopped before their end, in both drivers, against the naive twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.codes import FAIL, LOSS, NODE_FAIL, PREEMPTED, RETURN
from apportion.core.jit import handle
from apportion.core.tables import NEVER, Outages
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim import compiled
from apportion.sim.world import SimulatedCenter
from driving import machine, submissions, world
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.stops import Checkpoint, Fault, Preempt
from oracles.workloads import job_lists

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MACHINES = [[Pool(6)], [Pool(6), Pool(5)]]
UNIT = 10_000


@dataclass
class Played:
    state: Any
    end: list[int]
    digest: tuple[int, int]
    log: list[tuple[int, ...]]


def play(jobs, policy, table, faults, engine) -> Played:
    done = compile_policy(policy, table, fails=True)
    rows = [(f.time, LOSS, f.pool, f.procs, f.position) for f in faults if f.job < 0]
    rows += [(f.back, RETURN, f.pool, f.procs, f.position) for f in faults if f.job < 0]
    happens = [(time, code, k) for k, (time, code, *_) in enumerate(rows)]
    happens += [(f.time, FAIL, f.job) for f in faults if f.job >= 0]
    table_of = np.array([row[2:] for row in rows], np.int64).reshape(-1, 3)
    outages = Outages(*(np.ascontiguousarray(table_of[:, k]) for k in range(3)))
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
    columns = (log.time, log.job, log.start, log.by, log.lost)
    told = [tuple(int(column[k]) for column in columns) for k in range(int(log.count[0]))]
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
            requeue * sum(job == k for _, job, *_ in want.stops) for k in range(len(jobs))
        ]
        ends = [
            job.run + start if start >= 0 else max(t for t, j, *_ in want.stops if j == job.id)
            for job, start in zip(jobs, want.starts, strict=True)
        ]
        assert got.end == ends
        assert state.pools.free.tolist() == [pool.procs for pool in pools]
        assert not state.running.count.any()
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end


CLASSES = ["low", "mid", "high"]
ORDERS_OF_CLASSES = [
    frozenset({(2, 0), (2, 1), (1, 0)}),
    frozenset({(2, 0)}),
    frozenset({(2, 0), (1, 0)}),
    frozenset({(2, 1), (1, 0)}),
]


@st.composite
def preemptions(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    jobs = draw(job_lists(pools, cancels=False, unit=UNIT))
    jobs = [
        Job(k, job.submit, job.run, job.limit, job.procs, user=draw(st.integers(0, 2)), pool=job.pool)
        for k, job in enumerate(sorted(jobs, key=lambda j: (j.submit, j.id)))
    ]
    checkpoint = draw(st.sampled_from([None, None, Checkpoint(20_000, 5_000, 3_000), Checkpoint(7_000)]))
    bounds: dict[str, Any] = {}
    if checkpoint is None:  # what is lost only grows then, so that nothing becomes possible between events
        bounds = {
            "min_gain": draw(st.sampled_from([0, 0, 0.5, 2])),
            "lost_budget": draw(st.sampled_from([None, None, 1])),
            "caused_budget": draw(st.sampled_from([None, None, 1])),
        }
    rules = Preempt(
        may=draw(st.sampled_from(ORDERS_OF_CLASSES)),
        worth=draw(st.sampled_from([(0, 1, 2), (0, 0, 0), (1, 0, 2)])),
        cancel=draw(st.sampled_from([frozenset(), frozenset(), frozenset({0}), frozenset({0, 1})])),
        exempt=draw(st.sampled_from([0, 0, 20_000, 33_000])),
        youngest_first=draw(st.booleans()),
        min_wait=draw(st.sampled_from([0, 0, 15_000])),
        rate_limit=draw(st.sampled_from([None, None, 1, 2])),
        **bounds,
    )
    scale = draw(st.sampled_from([1, 30, 400]))  # up to days, so that hours and days turn
    return {
        "jobs": jobs,
        "pools": pools,
        "rules": rules,
        "checkpoint": checkpoint,
        "order": draw(st.sampled_from(["fcfs", "sjf"])),
        "scale": scale,
    }


def stretched(job: Job, scale: int) -> Job:
    return Job(job.id, job.submit * scale, job.run * scale, job.limit * scale, job.procs, user=job.user, pool=job.pool)


def keys_of(rules: Preempt, checkpoint: Checkpoint | None) -> dict[str, Any]:
    qos = [
        {
            "Name": name,
            "Priority": rules.worth[k],
            "Preempt": [CLASSES[b] for a, b in sorted(rules.may) if a == k],
            "PreemptMode": "CANCEL" if k in rules.cancel else "REQUEUE",
        }
        for k, name in enumerate(CLASSES)
    ]
    options = {"youngest_first": rules.youngest_first, "min_wait": rules.min_wait // 1000, "min_gain": rules.min_gain}
    for name, unit in (("rate_limit", 1), ("lost_budget", 3_600_000), ("caused_budget", 3_600_000)):
        value = getattr(rules, name)
        if value is not None:
            options[name] = value // unit
    options["min_wait"] = f"0:00:{rules.min_wait // 1000:02}"
    keys = {
        "PreemptType": "qos",
        "PreemptExemptTime": f"0:00:{rules.exempt // 1000:02}",
        "PreemptParameters": options,
        "qos": qos,
    }
    if checkpoint is not None:
        times = {
            "CheckpointInterval": checkpoint.interval,
            "CheckpointWriteTime": checkpoint.write,
            "RestartTime": checkpoint.restart,
        }
        keys |= {name: f"0:00:{ms // 1000:02}" for name, ms in times.items()}
    return keys


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=preemptions())
def test_preemption(backfill, case):
    pools, checkpoint = case["pools"], case["checkpoint"]
    jobs = [stretched(job, case["scale"]) for job in case["jobs"]]
    hour = 3_600_000
    bounds = {name: getattr(case["rules"], name) for name in ("lost_budget", "caused_budget")}
    rules = replace(case["rules"], **{name: None if value is None else value * hour for name, value in bounds.items()})
    if not jobs:
        return
    policy = from_dict({"Order": case["order"], "Backfill": backfill, **keys_of(rules, checkpoint), **machine(pools)})
    given_names = {"qos": lambda job: CLASSES[job.user], "account": lambda job: CLASSES[job.user]}
    table = submissions(jobs, pools[0].procs, **given_names)
    want = stops.simulate(jobs, pools, [], case["order"], backfill, preempt=rules, checkpoint=checkpoint)
    played = [play(jobs, policy, table, [], engine) for engine in ("compiled", "simpy")]
    for got in played:
        state = got.state
        assert got.log == want.stops
        over = state.live.state == PREEMPTED
        assert set(np.flatnonzero(over).tolist()) == want.over
        assert np.where(over, -1, state.live.start).tolist() == want.starts
        assert all(end >= 0 for end in got.end)
        assert state.pools.free.tolist() == [pool.procs for pool in pools]
        check_properties(jobs, rules, got.log)
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end


def check_properties(jobs, rules, log):
    """No job preempts one of its own class or a higher one, so that no two preempt each other, nor any longer circle; budgets hold."""
    above = {(by, job) for _, job, _, by, _ in log}
    assert all((jobs[by].user, jobs[job].user) in rules.may for by, job in above)
    left = {job for pair in above for job in pair}
    while ends := {job for job in left if not any(a == job and b in left for a, b in above)}:
        left -= ends
    assert not left
    lost: dict[tuple[int, int], int] = {}
    caused: dict[tuple[int, int], int] = {}
    for time, job, _, by, ms in log:
        for table, who in ((lost, job), (caused, by)):
            key = (time // 86_400_000, jobs[who].user)
            table[key] = table.get(key, 0) + ms * jobs[job].procs
    assert rules.lost_budget is None or all(value <= rules.lost_budget for value in lost.values())
    assert rules.caused_budget is None or all(value <= rules.caused_budget for value in caused.values())
