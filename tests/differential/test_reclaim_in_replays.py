"""Quota that is lent comes back by preemption, in whole schedules: the core in both drivers against the naive twin, and what must hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.codes import PREEMPTED
from apportion.policy.load import from_dict
from driving import machine, submissions
from oracles import stops
from oracles.jobs import Job, Pool
from oracles.quotas import AccountQuotas
from oracles.reclaim import Reclaim, Rules
from oracles.workloads import random_jobs
from quota_cases import twin
from stop_cases import BACKFILLS, play

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
    how = Reclaim(chosen, priority, cancel, draw(st.sampled_from([0, 0, 20_000])))
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
        check_properties(jobs, pools, got, owned, how)
    assert played[0].digest == played[1].digest
    assert played[0].end == played[1].end


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
@settings(max_examples=25)
@given(case=demands())
def test_static_demand_comes_to_rest(backfill, case):
    """Each second jobs may take from others again; after a minute nobody does, until the first has come to its end."""
    jobs, how = case["jobs"], case["how"]
    table = submissions(jobs, 6, account=lambda job: f"a{job.user}", qos=lambda job: f"q{how.priority[job.id]}")
    quota = {entry["Account"]: q(entry) for entry in case["keys"]["accounts"]}
    played = [play(jobs, policy_of(case, backfill), table, [], engine) for engine in ("compiled", "simpy")]
    assert played[0].digest == played[1].digest
    log = [row for row in played[0].log if row[0] < jobs[0].run]
    assert all(time <= 60_000 for time, *_ in log)
    spans = [(start, time, job) for time, job, start, _, _ in played[0].log]
    last = zip(played[0].state.live.start.tolist(), played[0].end, strict=True)
    spans += [(start, end, job) for job, (start, end) in enumerate(last) if start >= 0]
    for time, job, _, by, _ in log:
        used = sum(jobs[k].procs for start, end, k in spans if start <= time <= end and jobs[k].user == jobs[job].user)
        assert jobs[job].user == jobs[by].user or used > quota[f"a{jobs[job].user}"]


def check_properties(jobs: list[Job], pools: list[Pool], got: Any, owned: AccountQuotas, how: Reclaim) -> None:
    """No account at or below its nominal quota loses a job to another one; what runs is never more than there is."""
    spans = [(start, time, job) for time, job, start, _, _ in got.log]
    spans += [
        (int(got.state.live.start[k]), got.end[k], k)
        for k in range(len(jobs))
        if got.state.live.start[k] >= 0 and got.state.live.state[k] != PREEMPTED
    ]
    for time in {begin for begin, _, _ in spans}:
        for pool, size in enumerate(pools):
            running = [job for begin, end, job in spans if begin <= time < end and jobs[job].pool == pool]
            assert sum(jobs[job].procs for job in running) <= size.procs
    gone: set[tuple[int, int]] = set()
    for row, (time, job, start, by, _) in enumerate(got.log):
        victim, taker = (owned.account[jobs[k].user] for k in (job, by))
        # those that were stopped before in this instant have gone, and those that take from others only later are not there yet
        later = {taken_by for t, _, _, taken_by, _ in got.log[row:] if t == time}
        running = [
            (jobs[k], b) for b, e, k in spans if b <= time <= e and (k, b) not in gone and (b < time or k not in later)
        ]
        owned.use([pair for pair in running if is_there(pair, time, got)])
        gone.add((job, start))
        if victim is not taker:
            assert any(victim.own.get(cell, 0) > victim.nominal.get(cell, 0) for cell in owned.asked(jobs[job]))


def is_there(pair: tuple[Job, int], time: int, got: Any) -> bool:
    """Whether a job has not ended before what happens now; one without length, too, has its quota in the round in which it starts."""
    job, start = pair
    stopped = any(k == job.id and s == start and t == time for t, k, s, _, _ in got.log)
    return stopped or start + job.run > time or start == time
