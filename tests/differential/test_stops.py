"""Jobs that are stopped before their end, in both drivers, against the naive twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.codes import NODE_FAIL, PREEMPTED
from apportion.policy.load import from_dict
from driving import machine, submissions
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.stops import Checkpoint, Fault, Preempt
from oracles.workloads import job_lists
from stop_cases import BACKFILLS, play

MACHINES = [[Pool(6)], [Pool(6), Pool(5)]]
UNIT = 10_000


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
    if draw(st.booleans()):  # memory, which suspended jobs keep
        pools = [replace(pool, mem=20) for pool in pools]
        jobs = [replace(job, mem=draw(st.integers(0, 20))) for job in jobs]
    checkpoint = draw(st.sampled_from([None, None, Checkpoint(20_000, 5_000, 3_000), Checkpoint(7_000)]))
    bounds: dict[str, Any] = {}
    if checkpoint is None:  # what is lost only grows then, so that nothing becomes possible between events
        bounds = {
            "min_gain": draw(st.sampled_from([0, 0, 0.5, 2])),
            "lost_budget": draw(st.sampled_from([None, None, 1])),
            "caused_budget": draw(st.sampled_from([None, None, 1])),
        }
    kinds = draw(st.sampled_from(["", "", "grace", "suspend", "write", "all"]))
    grace = (0, 0, 0)
    if kinds in ("grace", "all"):
        grace = draw(st.sampled_from([(20_000, 20_000, 0), (5_000, 0, 0), (0, 13_000, 9_000)]))
    if kinds in ("write", "all") and checkpoint is None:
        checkpoint = draw(st.sampled_from([Checkpoint(0), Checkpoint(0, 6_000, 4_000)]))
    suspend = frozenset({"suspend": {0, 1}, "all": {1}}.get(kinds, ()))
    write = frozenset({"write": {0, 1}, "all": {0}}.get(kinds, ()))
    rules = Preempt(
        grace=grace,
        suspend=suspend,
        write=write,
        may=draw(st.sampled_from(ORDERS_OF_CLASSES)),
        worth=draw(st.sampled_from([(0, 1, 2), (0, 0, 0), (1, 0, 2)])),
        cancel=draw(st.sampled_from([frozenset(), frozenset(), frozenset({0}), frozenset({0, 1})])) - suspend - write,
        exempt=draw(st.sampled_from([0, 0, 20_000, 33_000])),
        again=draw(st.sampled_from([0, 0, 25_000])),
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
    return replace(job, submit=job.submit * scale, run=job.run * scale, limit=job.limit * scale)


def mode_of(class_: int, rules: Preempt) -> str:
    if class_ in rules.cancel:
        return "CANCEL"
    return "SUSPEND" if class_ in rules.suspend else "CHECKPOINT" if class_ in rules.write else "REQUEUE"


def keys_of(rules: Preempt, checkpoint: Checkpoint | None) -> dict[str, Any]:
    qos = [
        {
            "Name": name,
            "Priority": rules.worth[k],
            "Preempt": [CLASSES[b] for a, b in sorted(rules.may) if a == k],
            "PreemptMode": mode_of(k, rules),
            "GraceTime": f"0:00:{rules.grace[k] // 1000:02}",
        }
        for k, name in enumerate(CLASSES)
    ]
    options = {"youngest_first": rules.youngest_first, "min_wait": rules.min_wait // 1000, "min_gain": rules.min_gain}
    for name, unit in (("rate_limit", 1), ("lost_budget", 3_600_000), ("caused_budget", 3_600_000)):
        value = getattr(rules, name)
        if value is not None:
            options[name] = value // unit
    options["again_after"] = f"0:00:{rules.again // 1000:02}"
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
        keys |= {name: f"0:00:{ms // 1000:02}" for name, ms in times.items() if ms}
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
        assert (state.pools.extra_free == state.pools.extra).all()
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


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(data=st.data())
def test_failures_amid_preemption(backfill, data):
    """Nodes fail while victims leave and jobs hold what they wait for: the drivers agree, all jobs end, and nothing stays held."""
    case = data.draw(preemptions())
    pools = [replace(pool, procs=pool.procs + 2) for pool in case["pools"]]  # so wide that no failure leaves too few
    faults = data.draw(fault_lists(max(len(case["jobs"]), 1), pools))
    if not case["jobs"]:
        return
    rules = replace(case["rules"], lost_budget=None, caused_budget=None)
    keys = keys_of(rules, case["checkpoint"])
    policy = from_dict({"Order": case["order"], "Backfill": backfill, **keys, **machine(pools)})
    names = {"qos": lambda job: CLASSES[job.user], "account": lambda job: CLASSES[job.user]}
    table = submissions(case["jobs"], pools[0].procs, **names)
    played = [play(case["jobs"], policy, table, faults, engine) for engine in ("compiled", "simpy")]
    for got in played:
        assert all(end >= 0 for end in got.end)
        assert got.state.pools.free.tolist() == [pool.procs for pool in pools]
        assert not got.state.preemption.held.any()
        assert not got.state.running.count.any()
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end
