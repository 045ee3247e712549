"""One quota over several centers: jobs wait in the broker's queue while it is used up, in both drivers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from federations import Job, play

NAMES = ("A", "B", "C")
ENGINES = ("compiled", "simpy")


def scenario(modes: list[str], accounts: list[dict[str, Any]], procs: int = 4, **broker: Any) -> dict[str, Any]:
    policy = {"Order": "fcfs", "accounts": accounts}
    if any("ReclaimWithinCohort" in entry for entry in accounts):
        policy["PreemptMode"] = "REQUEUE"
    return {
        "broker": {"Policy": policy, "Placement": "urgent", "ReplaceAfter": 0, **broker},
        "centers": [
            {"Center": name, "Mode": mode, "Policy": "easy", "Procs": procs, "PollInterval": 1, "Latency": 0}
            for name, mode in zip(NAMES, modes, strict=False)
        ],
        "moves": [{}],
    }


def starts(played) -> list[int]:
    return (played.schedule.start_ms // 1000).tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [["managed", "managed"], ["autonomous", "autonomous"], ["managed", "autonomous"]])
def test_a_job_waits_in_the_brokers_queue_while_its_quota_is_used_up(engine, modes):
    jobs = {"A": [Job(0, 2, 10, 10), Job(0, 2, 20, 20), Job(0, 2, 10, 10), Job(0, 2, 10, 10, account="b")], "B": []}
    played = play(scenario(modes, [{"Account": "A/a", "NominalQuota": "cpu=4"}, {"Account": "A/b"}]), jobs, engine)
    assert starts(played) == [0, 0, 10, 0]
    f = played.schedule.compiled.federation
    assert int(f.broker.quotas.usage.sum()) == 0
    assert int(f.broker.quotas.waiting.sum()) == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [["managed", "managed"], ["autonomous", "autonomous"]])
def test_a_quota_of_one_center(engine, modes):
    quota = {"Account": "A/a", "NominalQuota": {"B": "cpu=1", "A/A": "cpu=2"}}
    jobs = {"A": [Job(0, 2, 10, 10), Job(0, 1, 10, 10), Job(0, 1, 10, 10)], "B": []}
    played = play(scenario(modes, [quota]), jobs, engine)
    assert starts(played) == [0, 0, 10]
    assert played.schedule.center.tolist()[:2] == [0, 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [["managed", "managed"], ["autonomous", "autonomous"]])
def test_the_account_with_the_lowest_share_is_bound_first(engine, modes):
    """Three jobs of a before two of b in the broker's queue, 2 processors each, of the 6 that c lends: of each account two are bound, a's first.

    With one job each a and b have 2/6, with two 4/6 both: the order decides, and of 6 processors there are none left for b's second.
    """
    accounts = [
        *({"Account": f"A/{name}", "Cohort": "c", "NominalQuota": "cpu=0"} for name in "ab"),
        {"Account": "A/c", "Cohort": "c", "NominalQuota": "cpu=6"},
    ]
    rows = [Job(0, 2, 10, 10), Job(0, 2, 10, 10), Job(0, 2, 10, 10)]
    jobs = {"A": [*rows, *(Job(0, 2, 10, 10, account="b") for _ in range(2))], "B": []}
    data = scenario(modes, accounts)
    assert starts(play(data, jobs, engine)) == [0, 0, 0, 10, 10]
    data["broker"]["Policy"]["FairSharing"] = True
    played = play(data, jobs, engine)
    assert starts(played) == [0, 0, 10, 0, 10]
    assert not played.schedule.compiled.federation.broker.quotas.usage.any()


LENT = {"Cohort": "c", "ReclaimWithinCohort": "Any"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_in_the_brokers_queue_takes_back_what_its_account_lends(engine):
    """A and B have 4 processors each, a and b a quota of 4 each in one cohort; from 0 on a has all 8. At 5, b's job of 3 stops the job of a
    that started last, of equals the first one: it frees 4 at A or B. That job goes on when the first of a ends, at 20.
    """
    accounts = [{"Account": f"A/{name}", "NominalQuota": "cpu=4", **LENT} for name in "ab"]
    jobs = {
        "A": [Job(0, 4, 20, 20), Job(0, 4, 20, 20), Job(5, 3, 30, 30, account="b"), Job(5, 3, 9, 9, account="b")],
        "B": [],
    }
    played = play(scenario(["managed", "managed"], accounts), jobs, engine)
    assert starts(played) == [35, 0, 5, 20]
    f = played.schedule.compiled.federation
    log = f.cores[int(played.schedule.center[0])].stops
    assert (int(log.count[0]), int(log.job[0]), int(log.by[0]), int(log.time[0])) == (1, 0, 2, 5000)
    assert not f.broker.quotas.usage.any()
    assert not f.broker.quotas.waiting.any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_stays_at_home_takes_back_there(engine):
    accounts = [{"Account": f"A/{name}", "NominalQuota": "cpu=4", **LENT} for name in "ab"]
    jobs = {"A": [Job(0, 4, 20, 20), Job(5, 3, 30, 30, account="b")], "B": []}
    data = scenario(["managed", "managed"], accounts, Placement="home")
    data["broker"]["Policy"]["accounts"][0]["NominalQuota"] = "cpu=0"
    data["broker"]["Policy"]["accounts"][1]["NominalQuota"] = "cpu=4"
    assert starts(play(data, jobs, engine)) == [35, 5]


ACCOUNT = st.fixed_dictionaries(
    {
        "NominalQuota": st.sampled_from(["cpu=0", "cpu=3", "cpu=5", {"*": "cpu=6", "A": "cpu=2"}, {"B": "cpu=3"}]),
        "BorrowingLimit": st.sampled_from([{}, "cpu=0", "cpu=2"]),
        "LendingLimit": st.sampled_from([{}, "cpu=1"]),
        "Cohort": st.sampled_from(["", "c"]),
        "QueueingStrategy": st.sampled_from(["BestEffortFIFO", "StrictFIFO"]),
    },
    optional={
        "LendingLease": st.just("0:30"),
        "LendUntil": st.just("now+1minutes"),
        "ReclaimWithinCohort": st.sampled_from(["Any", "LowerPriority"]),
    },
)
JOB = st.builds(
    Job,
    submit=st.integers(0, 60),
    procs=st.integers(1, 4),
    run=st.integers(0, 40),
    limit=st.integers(1, 40),
    user=st.sampled_from(["u", "v"]),
    account=st.sampled_from(["a", "b"]),
    cancel=st.none(),
)


@st.composite
def cases(draw):
    modes = draw(st.lists(st.sampled_from(["managed", "autonomous"]), min_size=2, max_size=3))
    accounts = [
        {"Account": f"{center}/{name}", **draw(ACCOUNT)} for center in NAMES[:2] for name in "ab" if draw(st.booleans())
    ]
    placement = draw(st.sampled_from(["urgent", "round-robin", "least-loaded", "redundant"]))
    data = scenario(modes, accounts, Placement=placement, ReplaceAfter=draw(st.sampled_from([0, 1])), ReplaceMinWait=0)
    turns = draw(st.integers(0, 3))
    if accounts and turns & 1:
        data["broker"]["Policy"]["FairSharing"] = True
    if accounts and turns & 2 and accounts[0]["QueueingStrategy"] != "StrictFIFO":
        accounts[0]["AdmissionMode"] = "UsageBasedAdmissionFairSharing"
        data["broker"]["Policy"] |= {"UsageHalfLifeTime": "0:00:20", "UsageSamplingInterval": "0:00:10"}
    data["moves"] = [{"Fraction": draw(st.sampled_from([0.5, 1]))}]
    for entry in data["centers"]:
        entry["Policy"] = draw(st.sampled_from(["fcfs", "easy", "conservative", "slurm"]))
        entry["Latency"] = draw(st.sampled_from([0, 2])) if entry["Mode"] == "autonomous" else 0
    jobs = {}
    for name in NAMES[: len(modes)]:
        jobs[name] = [
            job._replace(cancel=job.submit + draw(st.integers(0, 30))) if draw(st.integers(0, 3)) == 0 else job
            for job in draw(st.lists(JOB, min_size=1, max_size=8))
        ]
    return data, jobs


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases())
def test_random_federations(case):
    data, jobs = case
    played = {engine: play(data, jobs, engine) for engine in ENGINES}
    assert len({p.schedule.decision_hash for p in played.values()}) == 1
    one = played["compiled"]
    quotas = one.schedule.compiled.federation.broker.quotas
    if one.schedule.compiled.federation.broker.rules.quotas == 0:
        return
    assert (quotas.own.sum(axis=1) >= 0).all()
    running = [
        (
            start,
            end,
            int(one.workload.jobs.procs[k]),
            one.workload.jobs.account.names[one.workload.jobs.account.codes[k]],
        )
        for k, (start, end) in enumerate(zip(one.schedule.start_ms, one.schedule.end_ms, strict=True))
        if start >= 0 and one.moves.movable[k]
    ]
    ended = all(end >= 0 for _, end, _, _ in running)
    if ended:
        assert int(quotas.usage.sum()) == 0
    alone = {
        entry["Account"]: int(entry["NominalQuota"][4:])
        for entry in data["broker"]["Policy"]["accounts"]
        if entry["Cohort"] == "" and isinstance(entry["NominalQuota"], str)
    }
    for time, *_ in running:
        used: Counter[str] = Counter()
        for start, end, procs, account in running:
            if start <= time < end:
                used[account] += procs
        assert all(used[account] <= quota for account, quota in alone.items())
