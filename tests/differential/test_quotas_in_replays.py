"""Quotas of accounts in whole schedules: the core through a compiled policy against the naive scheduler, under every backfill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.policy.load import from_dict
from apportion.sim.replay import replay
from driving import by_submit, machine, run, submissions
from oracles.jobs import Pool
from oracles.schedule import simulate
from oracles.workloads import job_lists, window_lists
from quota_cases import twin
from workloads import workload

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MACHINES = [[Pool(6)], [Pool(5), Pool(4)], [Pool(5, mem=6, gpus=2), Pool(3, mem=4)]]
UNIT = 10_000
DAY_MS = 86_400_000
ENGINES = ("compiled", "simpy")


@st.composite
def quotas(draw: st.DrawFn, pools) -> dict[str, Any]:
    """Cohorts c0.. and accounts a0.. in a tree; account aK is that of user K."""
    flavors = ["*"] + [f"p{k}" for k in range(len(pools)) if len(pools) > 1 and draw(st.booleans())]
    names = ["cpu", "gres/gpu"] if any(pool.gpus for pool in pools) else ["cpu"]

    def amounts(density: float) -> dict[str, dict[str, int]]:
        counts = {
            flavor: {
                name: draw(st.integers(0, 6)) for name in names if draw(st.floats(0, 1, exclude_max=True)) < density
            }
            for flavor in flavors
        }
        return {flavor: given for flavor, given in counts.items() if given}

    def keys(density: float) -> dict[str, Any]:
        return {"NominalQuota": amounts(density), "BorrowingLimit": amounts(0.3), "LendingLimit": amounts(0.3)}

    n_cohorts = draw(st.integers(0, 3))
    cohorts = [
        {"Cohort": f"c{k}", "Parent": draw(st.sampled_from(["", *(f"c{i}" for i in range(k))])), **keys(0.3)}
        for k in range(n_cohorts)
    ]
    accounts = []
    for k in range(draw(st.integers(1, 4))):
        above = draw(st.sampled_from(["", *(f"a{i}" for i in range(k))]))
        entry: dict[str, Any] = {"Account": f"a{k}", "Parent": above}
        if draw(st.integers(0, 4)):
            entry |= keys(0.8)
            entry["Cohort"] = draw(st.sampled_from(["", "", *(f"c{i}" for i in range(n_cohorts))]))
            entry["QueueingStrategy"] = draw(st.sampled_from(["BestEffortFIFO", "BestEffortFIFO", "StrictFIFO"]))
            entry["StopPolicy"] = draw(st.sampled_from(["None"] * 8 + ["Hold"]))
        accounts.append(entry)
    return {"accounts": accounts, "cohorts": cohorts}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    return {
        "jobs": draw(job_lists(pools, cancels=draw(st.booleans()), unit=UNIT)),
        "pools": pools,
        "windows": draw(st.just([]) | window_lists(pools, unit=UNIT)),
        "order": draw(st.sampled_from(["fcfs", "sjf", "wfp3"])),
        "keys": draw(quotas(pools)),
    }


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_schedules_under_quotas(backfill, case):
    keys = case.pop("keys")
    got = run(**case, backfill=backfill, names={"account": lambda job: f"a{job.user}"}, **keys)
    expected = simulate(
        case["jobs"],
        case["pools"],
        order=case["order"],
        backfill=backfill,
        windows=case["windows"],
        quotas=twin(keys, case["pools"]),
    )
    assert got.starts == expected


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases(), data=st.data())
def test_to_ask_again_when_nothing_has_happened_changes_nothing(backfill, case, data):
    """Cancels of jobs that run change nothing, but the core is called for each; before and after the others, and after the last start."""
    case |= {"order": "sjf" if case["order"] == "wfp3" else case["order"]}  # wfp3 is another order at any other time
    keys = case.pop("keys")
    names = {"account": lambda job: f"a{job.user}"}
    quiet = run(**case, backfill=backfill, names=names, **keys)
    after = st.integers(1, 400).map(lambda tenths: tenths * UNIT // 10)
    asked = [
        replace(job, cancel=start + data.draw(after)) if start >= 0 and job.cancel is None else job
        for job, start in zip(case["jobs"], quiet.starts, strict=True)
    ]
    again = run(**(case | {"jobs": asked}), backfill=backfill, names=names, **keys)
    assert again.starts == quiet.starts
    assert again.digest == quiet.digest


@pytest.mark.parametrize("backfill", BACKFILLS)
@settings(max_examples=15)
@given(pools=st.sampled_from(MACHINES), order=st.sampled_from(["fcfs", "sjf", "multifactor"]), data=st.data())
def test_both_drivers_decide_the_same(backfill, pools, order, data):
    jobs = data.draw(job_lists(pools, unit=UNIT))
    keys = data.draw(quotas(pools)) | {"Order": order, "Backfill": backfill, **machine(pools)}
    leases = st.sampled_from([{}, {"LendUntil": "now+1minutes"}, {"LendingLease": "0:20"}])
    keys["accounts"] = [entry | data.draw(leases) for entry in keys["accounts"]]
    if order == "multifactor":
        keys |= {"PriorityWeightFairshare": 1000}
    policy = from_dict(keys)
    table = submissions(jobs, pools[0].procs, account=lambda job: f"a{job.user}")
    with patch("apportion.sim.replay.PATIENCE_MS", DAY_MS):  # a job that no quota admits is waited for, tick by tick
        hashes = {engine: replay(workload(by_submit(jobs), table), policy, engine).decision_hash for engine in ENGINES}
    assert len(set(hashes.values())) == 1
