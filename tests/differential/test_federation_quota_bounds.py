"""No account uses more than its quota at any moment, wherever its jobs run: what ran when, beside the naive twin of the quotas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PREEMPTED, REJECTED
from federations import Job, Played, play
from oracles.quotas import Node

NAMES = ("A", "B", "C")
ENGINES = ("compiled", "simpy")
ALL = "*"


def scenario(modes: list[str], accounts: list[dict[str, Any]], placement: str, **keys: Any) -> dict[str, Any]:
    return {
        "broker": {"Policy": {"Order": "fcfs", "accounts": accounts}, "Placement": placement, "ReplaceAfter": 0},
        "centers": [
            {"Center": name, "Mode": mode, "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": 0}
            for name, mode in zip(NAMES, modes, strict=False)
        ],
        "moves": [{}],
        **keys,
    }


def starts(played: Played) -> list[int]:
    return (played.schedule.start_ms // 1000).tolist()


def runs(played: Played) -> list[tuple[int, int, int, int]]:
    """(job, from, to, center) of each run of each job, in ms; those that were stopped, too."""
    schedule = played.schedule
    found = [
        (k, int(schedule.start_ms[k]), int(schedule.end_ms[k]), int(schedule.center[k]))
        for k in np.flatnonzero(schedule.end_ms >= 0).tolist()
        if schedule.start_ms[k] >= 0
    ]
    for center, core in enumerate(schedule.compiled.federation.cores):
        log = core.stops
        for row in range(int(log.count[0])):
            found.append((int(log.job[row]), int(log.start[row]), int(log.time[row]), center))
    return sorted(set(found))


def nodes(accounts: list[dict[str, Any]]) -> dict[str, Node]:
    """The accounts as the naive twin has them; all cohorts are roots."""
    cohorts: dict[str, Node] = {}
    found = {}
    for entry in accounts:
        if not any(key in entry for key in ("NominalQuota", "BorrowingLimit", "LendingLimit")):
            continue
        name = entry.get("Cohort", "")
        parent = cohorts.setdefault(name, Node(name)) if name else None
        amounts = [_amounts(entry.get(key, {})) for key in ("NominalQuota", "BorrowingLimit", "LendingLimit")]
        found[entry["Account"]] = Node(entry["Account"], parent, *amounts)
    return found


def _amounts(value: Any) -> dict[tuple[str, str], int]:
    by_flavor = {ALL: value} if isinstance(value, str) else value
    return {(flavor, "cpu"): int(text.removeprefix("cpu=")) for flavor, text in by_flavor.items()}


def check(played: Played, data: dict[str, Any]) -> None:
    """Nobody runs in two places at once, and at each start what runs is within the quotas of all accounts."""
    ran = runs(played)
    for (job, _, end, _), (other, start, _, _) in pairwise(ran):
        assert job != other or end <= start, "a job runs twice"
    by_account = nodes(data["broker"]["Policy"]["accounts"])
    managed = [entry["Mode"] == "managed" for entry in data["centers"]]
    jobs = played.workload.jobs
    counted = [run for run in ran if played.moves.movable[run[0]] or managed[run[3]]]
    for now in sorted({start for _, start, _, _ in counted}):
        for node in by_account.values():
            node.own = {}
        for job, start, end, center in counted:
            node = by_account.get(jobs.account.names[jobs.account.codes[job]])
            if node is not None and start <= now < end:
                for cell in ((ALL, "cpu"), (NAMES[center], "cpu")):
                    node.own[cell] = node.own.get(cell, 0) + int(jobs.procs[job])
        for name, node in by_account.items():
            for flavor in (ALL, *NAMES):
                if node.governed((flavor, "cpu")):
                    assert node.available((flavor, "cpu")) >= 0, (name, flavor, now)


AUTONOMOUS = ["autonomous", "autonomous"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, ["managed", "autonomous"], ["managed", "managed"]])
def test_two_redundant_requests_share_one_quota(engine, modes):
    """Either fits 3 processors, both do not: the second waits until the first ends, at 3, though a center has room for it."""
    accounts = [{"Account": "B/a", "NominalQuota": "cpu=3"}]
    data = scenario(modes, accounts, "redundant")
    played = play(data, {"A": [], "B": [Job(0, 1, 3, 31), Job(0, 3, 35, 35)]}, engine)
    assert starts(played) == [0, 3]
    check(played, data)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_redundant_request_has_its_quota_while_it_waits_at_an_autonomous_center(engine):
    """Both centers are full until 10. One job has 3 of 4 processors of quota from 1 on: one of 2 waits for its end, at 15, one of 1 does not."""
    accounts = [{"Account": "A/a", "NominalQuota": "cpu=4"}]
    full = Job(0, 4, 10, 10, user="stays", account="b")
    for procs, then in ((2, 15), (1, 10)):
        for modes in (AUTONOMOUS, ["managed", "autonomous"]):
            data = scenario(modes, accounts, "redundant")
            data["moves"] = [{"Match": {"User": ["u"]}}]
            played = play(data, {"A": [full, Job(1, 3, 5, 5), Job(2, procs, 5, 5)], "B": [full]}, engine)
            assert starts(played) == [0, 0, 10, then]
            check(played, data)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, ["managed", "autonomous"], ["autonomous", "managed"]])
def test_a_redundant_request_has_quota_of_each_center_until_one_starts_it(engine, modes):
    """2 processors at each of two centers: job 0 starts at A and leaves B's quota to job 1 at once; job 2 waits for one of them."""
    accounts = [{"Account": "A/a", "NominalQuota": {"A": "cpu=2", "B": "cpu=2"}}]
    data = scenario(modes, accounts, "redundant")
    played = play(data, {"A": [Job(0, 2, 10, 10), Job(0, 2, 20, 20), Job(0, 2, 5, 5)], "B": []}, engine)
    assert starts(played) == [0, 0, 10]
    assert played.schedule.center.tolist() == [0, 1, 0]
    check(played, data)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, ["managed", "autonomous"]])
def test_a_cancelled_redundant_request_gives_its_quota_back(engine, modes):
    """Job 0 waits everywhere until it is cancelled at 5; job 1 then has the quota, and starts when A and B have room, at 10."""
    accounts = [{"Account": "A/a", "NominalQuota": {"*": "cpu=3", "B": "cpu=3"}}]
    full = Job(0, 4, 10, 10, user="stays", account="b")
    data = scenario(modes, accounts, "redundant")
    data["moves"] = [{"Match": {"User": ["u"]}}]
    played = play(data, {"A": [full, Job(1, 3, 5, 5, cancel=5), Job(2, 2, 5, 5)], "B": [full]}, engine)
    assert starts(played) == [0, 0, -1, 10]
    quotas = played.schedule.compiled.federation.broker.quotas
    assert not quotas.usage.any()
    assert not quotas.held.any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_redundant_request_whose_data_are_under_way_has_its_quota(engine):
    """Only C, which takes no jobs, has the data. They are at A and B at 20, when job 0 starts with its quota of 3; job 1 of 2 waits until 25."""
    accounts = [{"Account": "A/a", "NominalQuota": "cpu=3"}]
    links = [{"From": name, "To": "hub", "Bandwidth": "1GB/s"} for name in NAMES]
    data = scenario([*AUTONOMOUS, "autonomous"], accounts, "redundant", links=links)
    data["centers"][2]["Drain"] = True
    data["datasets"] = [{"Dataset": "d", "Size": "10GB", "Replicas": ["C"], "Match": {"User": ["needs"]}}]
    played = play(data, {"A": [Job(0, 3, 5, 5, user="needs"), Job(1, 2, 50, 50)], "B": [], "C": []}, engine)
    assert starts(played) == [20, 25]
    check(played, data)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bound_job_is_placed_anew_only_where_there_is_quota(engine):
    """Job 1 is bound to A, as job 0 has all of its account's quota at B, until 200. By its second looks B has room, but no quota: it starts when A
    has room, at 150."""
    accounts = [{"Account": "A/a", "NominalQuota": {"A": "cpu=4", "B": "cpu=2"}}]
    data = scenario(AUTONOMOUS, accounts, "urgent")
    data["broker"] |= {"ReplaceAfter": 1, "ReplaceMinWait": 0, "Hysteresis": 0}
    data["moves"] = [{"Match": {"User": ["u"]}}]
    own = [Job(0, 4, 20, 20, user="stays"), Job(1, 4, 130, 130, user="stays")]
    played = play(data, {"A": [*own, Job(2, 2, 198, 198), Job(3, 2, 9, 9)], "B": []}, engine)
    assert starts(played) == [0, 20, 2, 150]
    assert played.schedule.center.tolist() == [0, 0, 1, 0]
    check(played, data)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", ["redundant", "urgent"])
@pytest.mark.parametrize("modes", [AUTONOMOUS, ["managed", "autonomous"]])
def test_what_waits_keeps_what_it_has_borrowed_when_a_lease_ends(engine, placement, modes):
    """Both centers are full until 20. Job 1 has borrowed all 4 processors from 1 on, and starts with them at 20 though nothing is lent from 10 on.
    Job 2, whose account has lent them, waits until it gets them back, at 50: never are more than 4 in use."""
    lender = {"Account": "A/b", "NominalQuota": "cpu=4", "Cohort": "c", "LendUntil": "1970-01-01T00:00:10"}
    data = scenario(modes, [lender, {"Account": "A/a", "NominalQuota": "cpu=0", "Cohort": "c"}], placement)
    data["moves"] = [{"Match": {"User": ["u"]}}]
    full = Job(0, 4, 20, 20, user="stays", account="x")
    played = play(data, {"A": [full, Job(1, 4, 30, 30), Job(11, 4, 30, 30, account="b")], "B": [full]}, engine)
    assert starts(played) == [0, 0, 20, 50]


QUOTA = st.sampled_from(
    ["cpu=3", "cpu=4", "cpu=6", {"*": "cpu=6", "A": "cpu=2"}, {"B": "cpu=3"}, {"A": "cpu=4", "B": "cpu=2"}]
)
ACCOUNT = st.fixed_dictionaries(
    {"NominalQuota": QUOTA, "Cohort": st.sampled_from(["", "c"])},
    optional={
        "BorrowingLimit": st.sampled_from(["cpu=0", "cpu=2", {"A": "cpu=1"}]),
        "LendingLimit": st.sampled_from(["cpu=1", {"B": "cpu=0"}]),
        "QueueingStrategy": st.just("StrictFIFO"),
        "ReclaimWithinCohort": st.sampled_from(["Any", "LowerPriority"]),
        "Budget": st.just("cpu=1"),
        "BudgetDays": st.just(1),
        "MaxJobs": st.integers(1, 3),
    },
)
JOB = st.builds(
    Job,
    submit=st.integers(0, 150),
    procs=st.integers(1, 5),
    run=st.integers(0, 200),
    limit=st.integers(1, 200),
    user=st.sampled_from(["u", "v", "needs"]),
    account=st.sampled_from(["a", "b"]),
    cancel=st.none(),
)
DATASET = {"Dataset": "d", "Match": {"User": ["needs"]}}


@st.composite
def cases(draw):
    modes = draw(st.lists(st.sampled_from(["managed", "autonomous", "autonomous"]), min_size=2, max_size=3))
    names = NAMES[: len(modes)]
    accounts = [{"Account": f"{center}/{name}", **draw(ACCOUNT)} for center in "AB" for name in "ab"]
    for entry in accounts:
        if "Budget" not in entry or "BudgetDays" not in entry:
            entry.pop("Budget", None), entry.pop("BudgetDays", None)
    placement = draw(st.sampled_from(["redundant", "redundant", "urgent", "random", "least-loaded"]))
    data = scenario(modes, accounts, placement, Seed=draw(st.integers(0, 9)))
    data["broker"] |= {"ReplaceAfter": draw(st.sampled_from([0, 1])), "ReplaceMinWait": 0, "Hysteresis": 0}
    policy = data["broker"]["Policy"]
    policy["AccountingStorageEnforce"] = ["limits"]
    if draw(st.booleans()):
        policy["FairSharing"] = True
    if any("ReclaimWithinCohort" in entry for entry in accounts):
        policy["PreemptMode"] = "REQUEUE"
    data["moves"] = [{"Fraction": draw(st.sampled_from([0.5, 1]))}]
    for entry in data["centers"]:
        entry["Policy"] = draw(st.sampled_from(["fcfs", "easy", "conservative", "slurm"]))
        if entry["Mode"] == "autonomous":
            entry["Latency"] = draw(st.sampled_from([0, 2, 20]))
            entry["PollInterval"] = draw(st.sampled_from([1, 7]))
    data["links"] = [{"From": name, "To": "hub", "Bandwidth": "1GB/s"} for name in names]
    if draw(st.booleans()):
        size = draw(st.sampled_from(["5GB", "50GB"]))
        data["datasets"] = [{**DATASET, "Size": size, "Replicas": [draw(st.sampled_from(names))]}]
    cut = {"Kind": "network", "Center": draw(st.sampled_from(names)), "MTBF": 60, "Repair": 20}
    fails = {"Kind": "node", "Center": draw(st.sampled_from(names)), "MTBF": 200, "Repair": 20, "Procs": 2}
    data["failures"] = draw(st.lists(st.sampled_from([cut, fails]), max_size=2))
    jobs = {}
    late = st.one_of(st.none(), st.none(), st.integers(0, 90))
    for name in names:
        mine = draw(st.lists(JOB, min_size=1, max_size=10))
        jobs[name] = [job._replace(cancel=None if (d := draw(late)) is None else job.submit + d) for job in mine]
    return data, jobs


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases())
def test_nobody_uses_more_than_its_quota(case):
    data, jobs = case
    played = {engine: play(data, jobs, engine) for engine in ENGINES}
    assert len({p.schedule.decision_hash for p in played.values()}) == 1
    one = played["compiled"]
    check(one, data)
    schedule = one.schedule
    quotas = schedule.compiled.federation.broker.quotas
    waits = ~np.isin(schedule.state, (ENDED, CANCELLED, REJECTED, NODE_FAIL, PREEMPTED))
    if not waits.any():
        assert not quotas.usage.any()
        assert not quotas.held.any()
        assert not quotas.waiting.any()
