"""Fair sharing and admission fair sharing in whole schedules: the core through a compiled policy against the naive twin, and both drivers."""

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
from oracles.quotas import AccountQuotas
from oracles.schedule import simulate
from oracles.turns import Turns, Usage
from oracles.workloads import random_jobs
from quota_cases import twin
from workloads import workload

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
MACHINES = [[Pool(6)], [Pool(5), Pool(4)], [Pool(5, mem=6, gpus=2), Pool(3, mem=4)]]
UNIT = 10_000
DAY_MS = 86_400_000
WEIGHTS = [1, 1, 2, 0.5, 0]
USERS = 4
BY_USAGE = "UsageBasedAdmissionFairSharing"


@st.composite
def policies(draw: st.DrawFn, pools: list[Pool]) -> tuple[dict[str, Any], AccountQuotas, Turns, dict[int, str]]:
    """Keys of a policy, and the same for the naive twin; users 0 to 3 of accounts a0 to a2."""
    flavors = ["*"] + [f"p{k}" for k in range(len(pools)) if len(pools) > 1 and draw(st.booleans())]
    names = ["cpu", "gres/gpu"] if any(pool.gpus for pool in pools) else ["cpu"]

    def amounts(density: float) -> dict[str, dict[str, int]]:
        return {
            flavor: {name: draw(st.integers(0, 5)) for name in names}
            for flavor in flavors
            if draw(st.floats(0, 1, exclude_max=True)) < density
        }

    def keys(density: float) -> dict[str, Any]:
        limits = {"BorrowingLimit": amounts(0.15), "LendingLimit": amounts(0.15)}
        return {"NominalQuota": amounts(density), **limits, "FairWeight": draw(st.sampled_from(WEIGHTS))}

    cohorts = [{"Cohort": f"c{k}", "Parent": "c0" if k else "", **keys(0.5)} for k in range(2)]
    by_share, by_usage = draw(st.sampled_from([(True, False), (True, False), (True, True), (False, True)]))
    accounts = []
    for k in range(3):
        entry: dict[str, Any] = {
            "Account": f"a{k}",
            "Parent": draw(st.sampled_from(["", *(f"a{i}" for i in range(k))])),
        }
        if k == 0 or draw(st.integers(0, 5)):
            entry |= keys(0.9)
            entry["NominalQuota"] = entry["NominalQuota"] or {"*": {"cpu": 2}}
            entry["Cohort"] = draw(st.sampled_from(["c0", "c0", "c1", ""]))
            entry["StopPolicy"] = draw(st.sampled_from(["None"] * 8 + ["Hold"]))
            entry["QueueingStrategy"] = "BestEffortFIFO"
            entry["AdmissionMode"] = (
                BY_USAGE if by_usage and (k == 0 or draw(st.booleans())) else "NoAdmissionFairSharing"
            )
            if entry["AdmissionMode"] != BY_USAGE:
                entry["QueueingStrategy"] = draw(st.sampled_from(["BestEffortFIFO"] * 3 + ["StrictFIFO"]))
        accounts.append(entry)
    given = {"accounts": accounts, "cohorts": cohorts}
    of_user = {user: draw(st.sampled_from(["a0", "a0", "a1", "a2"])) for user in range(USERS)}
    owned = twin(given, pools)
    account = {user: owned.account[int(name[1])] for user, name in of_user.items() if int(name[1]) in owned.account}
    owned = replace(owned, account=account)
    usage = None
    if by_usage:
        half, interval = draw(st.sampled_from([0, 20, 50])), draw(st.sampled_from([10, 25]))
        weight = {user: draw(st.sampled_from([1.0, 1.0, 2.0, 0.0])) for user in range(USERS)}
        factor = {name: draw(st.sampled_from([1.0, 0.0, 3.0])) for name in names if draw(st.booleans())}
        going = frozenset(entry["Account"] for entry in accounts if entry.get("AdmissionMode") == BY_USAGE)
        usage = Usage(going, half * 1000, interval * 1000, weight, factor)
        given |= {
            "UsageHalfLifeTime": f"0:00:{half}",
            "UsageSamplingInterval": f"0:00:{interval}",
            "ResourceWeights": factor,
        }
        given["users"] = [
            {"User": f"u{user}", "Account": name, "FairWeight": weight[user]} for user, name in of_user.items()
        ]
    stated = {
        tres
        for e in (*cohorts, *accounts)
        for key in ("NominalQuota", "BorrowingLimit", "LendingLimit")
        for f in e.get(key, {}).values()
        for tres in f
    }
    return given | {"FairSharing": by_share}, owned, Turns(by_share, usage, tuple(sorted(stated))), of_user


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    cancelled, seed = draw(st.sampled_from([0.0, 0.2])), draw(st.integers(0, 2**32 - 1))
    n = draw(st.integers(4, 16))
    jobs = random_jobs(seed, n, pools, users=USERS, cancelled=cancelled, unit=UNIT, longest=20)
    keys, owned, turns, of_user = draw(policies(pools))
    order = draw(st.sampled_from(["fcfs", "fcfs", "sjf", "wfp3"]))
    return {"jobs": jobs, "pools": pools, "order": order, "keys": keys, "owned": owned, "turns": turns, "of": of_user}


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_schedules_by_turns(backfill, case):
    got = run(
        case["jobs"],
        case["pools"],
        case["order"],
        backfill,
        names={"account": lambda job: case["of"][job.user]},
        **case["keys"],
    )
    expected = simulate(
        case["jobs"], case["pools"], order=case["order"], backfill=backfill, quotas=case["owned"], turns=case["turns"]
    )
    assert got.starts == expected
    assert not got.state.quotas.usage.any()
    assert not got.state.quotas.in_use.any()


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases(), data=st.data())
def test_to_ask_again_when_nothing_has_happened_changes_nothing(backfill, case, data):
    """Cancels of jobs that run change nothing, but the core is called for each."""
    order = "sjf" if case["order"] == "wfp3" else case["order"]  # wfp3 is another order at any other time
    names = {"account": lambda job: case["of"][job.user]}
    quiet = run(case["jobs"], case["pools"], order, backfill, names=names, **case["keys"])
    after = st.integers(1, 400).map(lambda tenths: tenths * UNIT // 10)
    asked = [
        replace(job, cancel=start + data.draw(after)) if start >= 0 and job.cancel is None else job
        for job, start in zip(case["jobs"], quiet.starts, strict=True)
    ]
    again = run(asked, case["pools"], order, backfill, names=names, **case["keys"])
    assert again.starts == quiet.starts
    assert again.digest == quiet.digest


@pytest.mark.parametrize("backfill", BACKFILLS)
@settings(max_examples=8)
@given(case=cases(), order=st.sampled_from(["fcfs", "sjf", "multifactor"]))
def test_both_drivers_decide_the_same(backfill, case, order):
    jobs, pools = case["jobs"], case["pools"]
    keys = case["keys"] | {"Order": order, "Backfill": backfill, **machine(pools)}
    if order == "multifactor":
        keys |= {
            "PriorityWeightFairshare": 1000,
            "PriorityWeightAge": 10,
            "PriorityMaxAge": "0:10:00",
            "PriorityCalcPeriod": "0:05:00",  # a job that no quota admits is waited for, tick by tick
        }
    policy = from_dict(keys)
    table = submissions(jobs, pools[0].procs, account=lambda job: case["of"][job.user])
    with patch("apportion.sim.replay.PATIENCE_MS", DAY_MS):  # all that changes with time has come to rest after minutes
        one, other = (
            replay(workload(by_submit(jobs), table), policy, engine).decision_hash for engine in ("compiled", "simpy")
        )
    assert one == other
