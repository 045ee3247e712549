"""Quota that is lent comes back by preemption, in whole schedules: the core in both drivers against the naive twin, and what must hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.codes import CANCELLED, PREEMPTED, REJECTED
from apportion.policy.load import from_dict
from driving import machine, submissions
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.quotas import AccountQuotas, Node
from oracles.reclaim import Reclaim, Rules
from oracles.workloads import random_jobs
from quota_cases import twin
from stop_cases import BACKFILLS, Played, decisions, play

MACHINES = [[Pool(6)], [Pool(5), Pool(4)]]
UNIT = 10_000
PRIORITIES = 3
STRATEGIES = ("LessThanOrEqualToFinalShare", "LessThanInitialShare")


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    within = draw(st.sampled_from(["Never", "Never", "LowerPriority", "LowerOrNewerEqualPriority"]))
    reclaim = draw(st.sampled_from(["Never", "LowerPriority", "Any", "Any"]))
    borrow = reclaim != "Never" and draw(st.booleans())
    return Rules(within, reclaim, borrow, draw(st.sampled_from([None, 0, 1])) if borrow else None)


def words(rules: Rules) -> dict[str, Any]:
    keys: dict[str, Any] = {"WithinClusterQueue": rules.within, "ReclaimWithinCohort": rules.reclaim}
    if rules.borrow:
        keys["BorrowWithinCohort"] = "LowerPriority"
        if rules.threshold is not None:
            keys["MaxPriorityThreshold"] = rules.threshold
    return keys


@st.composite
def lenders(draw: st.DrawFn, pools: list[Pool]) -> tuple[dict[str, Any], dict[str, Rules]]:
    """Accounts a0 to a2, mostly of one cohort, sometimes one below another, and what they may take back."""
    flavors = ["*", *(f"p{k}" for k in range(len(pools)) if len(pools) > 1 and draw(st.booleans()))]

    def amounts(density: float) -> dict[str, dict[str, int]]:
        return {
            f: {"cpu": draw(st.integers(0, 4))} for f in flavors if draw(st.floats(0, 1, exclude_max=True)) < density
        }

    cohorts = [
        {"Cohort": "c0", "Parent": "", "NominalQuota": {}, "BorrowingLimit": {}, "LendingLimit": {}},
        {"Cohort": "c1", "Parent": "c0", "NominalQuota": {}, "BorrowingLimit": amounts(0.2), "LendingLimit": {}},
    ]
    accounts, chosen = [], {}
    for k in range(3):
        name = f"a{k}"
        chosen[name] = draw(rules())
        entry = {
            "Account": name,
            "Parent": draw(st.sampled_from(["", "", *(f"a{i}" for i in range(k))])),
            "Cohort": draw(st.sampled_from(["c0", "c0", "c0", "c1", ""])),
            "NominalQuota": {"*": {"cpu": draw(st.integers(0, 4))}, **amounts(0.5)},
            "BorrowingLimit": amounts(0.1),
            "LendingLimit": amounts(0.1),
            "StopPolicy": draw(st.sampled_from(["None"] * 15 + ["Hold"])),
            "QueueingStrategy": draw(st.sampled_from(["BestEffortFIFO"] * 5 + ["StrictFIFO"])),
        }
        accounts.append(entry | words(chosen[name]))
    return {"accounts": accounts, "cohorts": cohorts}, chosen


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(st.sampled_from(MACHINES))
    jobs = random_jobs(draw(st.integers(0, 2**32 - 1)), draw(st.integers(4, 16)), pools, unit=UNIT, longest=20)
    jobs = [replace(job, id=k) for k, job in enumerate(jobs)]
    keys, chosen = draw(lenders(pools))
    priority = tuple(draw(st.integers(0, PRIORITIES - 1)) for _ in jobs)
    lowest = frozenset(k for k, level in enumerate(priority) if level == 0)
    cancel = lowest if draw(st.integers(0, 3)) == 0 else frozenset()
    fair = draw(st.sampled_from([(), (), *((s,) for s in STRATEGIES), STRATEGIES]))
    if fair:  # borrowers go by shares, not by priority
        chosen = {name: Rules("Never", rule.reclaim) for name, rule in chosen.items()}
        chosen["a0"] = Rules("Never", "Any")
        for entry in keys["accounts"]:
            for key in words(Rules("Never", "Never", True, 0)):
                entry.pop(key, None)
            entry.update(words(chosen[entry["Account"]]), FairWeight=draw(st.sampled_from([1, 1, 2, 0.5, 0])))
        keys["PreemptionStrategies"] = list(fair)
    how = Reclaim(chosen, priority, cancel, draw(st.sampled_from([0, 0, 20_000])), fair)
    return {"jobs": jobs, "pools": pools, "keys": keys, "how": how, "order": draw(st.sampled_from(["fcfs", "sjf"]))}


def policy_of(case: dict[str, Any], backfill: str) -> Any:
    how = case["how"]
    qos = [{"Name": f"q{level}", "Priority": level} for level in range(PRIORITIES)]
    if how.cancel:
        qos[0]["PreemptMode"] = "CANCEL"
    return from_dict(
        {
            "Order": case["order"],
            "Backfill": backfill,
            "PreemptMode": "REQUEUE",
            "PreemptExemptTime": f"0:00:{how.exempt // 1000:02}",
            "qos": qos,
            **machine(case["pools"]),
            **case["keys"],
        }
    )


@pytest.mark.parametrize("backfill", BACKFILLS)
@given(case=cases())
def test_reclaim(backfill, case):
    jobs, pools, how = case["jobs"], case["pools"], case["how"]
    table = submissions(
        jobs, pools[0].procs, account=lambda job: f"a{job.user}", qos=lambda job: f"q{how.priority[job.id]}"
    )
    owned = twin(case["keys"], pools)
    want = stops.simulate(jobs, pools, [], case["order"], backfill, quotas=owned, reclaim=how)
    played = [play(jobs, policy_of(case, backfill), table, [], engine) for engine in ("compiled", "simpy")]
    for got in played:
        state = got.state
        assert got.log == want.stops
        over = state.live.state == PREEMPTED
        assert set(np.flatnonzero(over).tolist()) == want.over
        assert np.where(over, -1, state.live.start).tolist() == want.starts
        assert state.pools.free.tolist() == [pool.procs for pool in pools]
        assert not state.quotas.usage.any()
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end
    check_properties(jobs, pools, policy_of(case, backfill), table, played[0], owned)


@st.composite
def demands(draw: st.DrawFn) -> dict[str, Any]:
    """Jobs that are all there from the beginning and run for five minutes; quotas in one cohort, none of them more than there is."""
    pools = [Pool(6)]
    shape = st.tuples(st.integers(1, 6), st.integers(0, 2), st.integers(0, PRIORITIES - 1))
    shapes = draw(st.lists(shape, min_size=2, max_size=9))
    long = 300_000
    jobs = [Job(k, 0, long, long, procs, user=user) for k, (procs, user, _) in enumerate(shapes)]
    fair = draw(st.sampled_from([[], ["LessThanOrEqualToFinalShare"], ["LessThanInitialShare"], list(STRATEGIES)]))
    accounts = []
    for k, quota in enumerate(
        draw(st.sampled_from([(0, 0, 0), (1, 2, 3), (0, 0, 6), (2, 2, 2), (1, 1, 1), (0, 3, 3)]))
    ):
        chosen = draw(rules())
        chosen = Rules("Never", "Any") if fair else chosen
        weight = draw(st.sampled_from([1, 1, 2, 0.5, 0]))
        accounts.append(
            {"Account": f"a{k}", "Cohort": "c0", "NominalQuota": f"cpu={quota}", "FairWeight": weight} | words(chosen)
        )
    cohort = {"Cohort": "c0", "NominalQuota": f"cpu={draw(st.integers(0, 6 - sum(q(e) for e in accounts)))}"}
    keys = {"accounts": accounts, "cohorts": [cohort], "PreemptionStrategies": fair}
    how = Reclaim({}, tuple(priority for *_, priority in shapes))
    return {"jobs": jobs, "pools": pools, "keys": keys, "how": how, "order": "fcfs"}


def q(entry: dict[str, Any]) -> int:
    return int(entry["NominalQuota"].removeprefix("cpu="))


@pytest.mark.parametrize("backfill", ["easy", "conservative"])
@settings(max_examples=300)
@given(case=demands())
def test_static_demand_comes_to_rest(backfill, case):
    """Each second jobs may take from others again; after a minute nobody does, until the first has come to its end."""
    jobs, how = case["jobs"], case["how"]
    table = submissions(jobs, 6, account=lambda job: f"a{job.user}", qos=lambda job: f"q{how.priority[job.id]}")
    played = [play(jobs, policy_of(case, backfill), table, [], engine) for engine in ("compiled", "simpy")]
    assert played[0].digest == played[1].digest
    log = [row for row in played[0].log if row[0] < jobs[0].run]
    assert all(time <= 60_000 for time, *_ in log)
    check_properties(jobs, case["pools"], policy_of(case, backfill), table, played[0], nominal_of(case["keys"]))


def nominal_of(keys: dict[str, Any]) -> AccountQuotas:
    """Quotas of accounts that are written in one string, for the naive twin."""
    nodes = [Node(entry["Account"], None, {("*", "cpu"): q(entry)}) for entry in keys["accounts"]]
    return AccountQuotas(dict(enumerate(nodes)), [""])


def check_properties(
    jobs: list[Job], pools: list[Pool], policy: Any, table: Any, got: Played, owned: AccountQuotas
) -> None:
    """Decision by decision: no account at or below its nominal quota loses a job to another one; what runs is never more than there is.

    What counts is what ran just before each stop: neither those that were stopped before it in the same round, nor those that started after it.
    """
    running: dict[int, int] = {}
    log = iter(got.log)
    for state, time, ended, decided in decisions(jobs, policy, table):
        for job in ended:
            del running[job]
        for job in decided:
            if job in running:
                when, who, start, by, _ = next(log)
                assert (when, who, start) == (time, job, running[job])
                check_stop(jobs, running, job, by, owned)
                del running[job]
            elif state.live.state[job] not in (REJECTED, CANCELLED):
                running[job] = time
                for pool, size in enumerate(pools):
                    assert sum(jobs[k].procs for k in running if jobs[k].pool == pool) <= size.procs
    assert not running
    assert next(log, None) is None
    assert tuple(state.digest.tolist()) == got.digest


def check_stop(jobs: list[Job], running: dict[int, int], job: int, by: int, owned: AccountQuotas) -> None:
    """A job is stopped by one of another account: its own uses more than its nominal quota of something that both ask for."""
    victim, taker = (owned.account[jobs[k].user] for k in (job, by))
    if victim is taker:
        return
    owned.use([(jobs[k], start) for k, start in running.items()])
    both = owned.asked(jobs[job]).keys() & owned.asked(jobs[by]).keys()
    assert any(victim.own.get(cell, 0) > victim.nominal.get(cell, 0) for cell in both)
