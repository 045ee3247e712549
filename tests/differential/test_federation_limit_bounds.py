"""Limits of a broker hold at every instant over all centers: runs worked out by hand, and a twin that counts who runs, or may start unasked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core.codes import CANCELLED, ENDED, NODE_FAIL, PENDING, PREEMPTED, REJECTED, RUNNING
from apportion.core.errors import UserError
from apportion.core.federation_tables import SENT, STUCK
from apportion.core.limit_tables import HELD_BILLING
from apportion.sim.federation import world
from apportion.sim.federation.replay import run
from federations import Job, Played, play, prepare

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

NAMES = ("A", "B", "C")
ENGINES = ("compiled", "simpy")
AUTONOMOUS = ["autonomous", "autonomous"]
MIXED = (["managed", "autonomous"], ["autonomous", "managed"])
MANAGED = ["managed", "managed"]
OVER = (ENDED, CANCELLED, REJECTED, NODE_FAIL, PREEMPTED)
FULL = Job(0, 4, 10, 10, user="stays", account="b")


def scenario(modes: list[str], policy: dict[str, Any], placement: str = "redundant", **keys: Any) -> dict[str, Any]:
    policy = {"Order": "fcfs", "AccountingStorageEnforce": ["limits"], **policy}
    return {
        "broker": {"Policy": policy, "Placement": placement, "ReplaceAfter": 0},
        "centers": [
            {"Center": name, "Mode": mode, "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": 0}
            for name, mode in zip(NAMES, modes, strict=False)
        ],
        "moves": [{"Match": {"User": ["u", "v", "needs"]}}],
        **keys,
    }


def of_account(**limits: Any) -> dict[str, Any]:
    return {"accounts": [{"Account": "A/a", **limits}]}


def of_qos(**limits: Any) -> dict[str, Any]:
    return {"qos": [{"Name": "q", **limits}], "assign": [{"Set": {"QOS": "q"}}]}


def starts(played: Played) -> list[int]:
    return (played.schedule.start_ms // 1000).tolist()


def check_books(played: Played) -> None:
    """When all is over nobody is counted."""
    counters = played.schedule.compiled.federation.broker.counters
    assert not counters.totals.any()
    assert not counters.owner.any()
    assert (counters.held[:, HELD_BILLING] < 0).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, *MIXED, MANAGED])
@pytest.mark.parametrize(
    "policy",
    [
        of_account(MaxJobs=1),
        of_account(GrpJobs=1),
        of_account(GrpTRES="cpu=3"),
        {"accounts": [{"Account": "A", "GrpTRES": "cpu=3"}]},
        of_qos(GrpTRES="cpu=3"),
        of_qos(MaxJobsPU=1),
        of_qos(MaxTRESPU="cpu=3"),
        of_qos(MaxJobsPA=1),
        of_qos(MaxTRESPA="cpu=3"),
    ],
    ids=[
        "MaxJobs",
        "GrpJobs",
        "GrpTRES",
        "of the center",
        "of a QOS",
        "MaxJobsPU",
        "MaxTRESPU",
        "MaxJobsPA",
        "MaxTRESPA",
    ],
)
def test_two_redundant_requests_share_one_limit(engine, modes, policy):
    """Either is within the limit, both are not: the second waits until the first ends, at 10, though both centers have room for it."""
    played = play(scenario(modes, policy), {"A": [Job(0, 2, 10, 10), Job(0, 2, 9, 9)], "B": []}, engine)
    assert starts(played) == [0, 10]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, *MIXED])
@pytest.mark.parametrize(("procs", "then"), [(2, 15), (1, 10)])
def test_a_redundant_request_counts_while_it_waits_at_an_autonomous_center(engine, modes, procs, then):
    """Both centers are full until 10. From 1 on a job counts 3 processors of 4: one of 2 waits until its end, at 15, one of 1 does not."""
    data = scenario(modes, of_account(GrpTRES="cpu=4"))
    played = play(data, {"A": [FULL, Job(1, 3, 5, 5), Job(2, procs, 5, 5)], "B": [FULL]}, engine)
    assert starts(played) == [0, 0, 10, then]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MIXED)
def test_jobs_of_a_managed_center_wait_for_what_redundant_requests_may_start(engine, modes):
    """A job that does not move comes to the managed center at 2, when one that was sent to both counts already: it waits for its end, at 15."""
    managed = NAMES[modes.index("managed")]
    data = scenario(modes, {"accounts": [{"Account": "A/a", "Parent": "g"}, {"Account": "g", "GrpJobs": 1}]})
    data["broker"]["Policy"]["accounts"].append({"Account": "B/a", "Parent": "g"})
    full = FULL._replace(account="c")
    jobs = {"A": [full, Job(1, 3, 5, 5)], "B": [full]}
    jobs[managed] = [*jobs[managed], Job(2, 1, 5, 5, user="stays")]
    assert starts(play(data, jobs, engine)) == [0, 0, 10, 15]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [AUTONOMOUS, *MIXED, MANAGED])
def test_a_cancelled_redundant_request_counts_no_longer(engine, modes):
    """Job 2 waits everywhere until it is cancelled at 5; job 3 is then sent, and starts when A and B have room, at 10."""
    data = scenario(modes, of_account(MaxJobs=1))
    played = play(data, {"A": [FULL, Job(1, 3, 5, 5, cancel=5), Job(2, 2, 5, 5)], "B": [FULL]}, engine)
    assert starts(played) == [0, 0, -1, 10]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_redundant_request_whose_data_are_under_way_counts(engine):
    """Only C, which takes no jobs, has the data. They are at A and B at 20, when job 0 starts; job 1 waits until 25."""
    data = with_data(scenario([*AUTONOMOUS, "autonomous"], of_account(GrpTRES="cpu=4")), "C")
    data["centers"][2]["Drain"] = True
    played = play(data, {"A": [Job(0, 3, 5, 5, user="needs"), Job(1, 2, 50, 50)], "B": [], "C": []}, engine)
    assert starts(played) == [20, 25]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_limits_are_asked_for_a_copy_that_follows_later(engine):
    """B has the data and is cut off until 8, so job 0 is sent to A, which is managed and has them at 11: until then nobody may start it, and job 1
    starts at 5 at A. At 8 job 0 may not go to B, which would start it at once; it starts at A when job 1 ends, at 20."""
    data = with_data(scenario(["managed", "autonomous"], of_account(GrpTRES="cpu=3")), "B")
    jobs = {"A": [Job(1, 2, 5, 5, user="needs"), Job(5, 2, 15, 15)], "B": []}
    scenario_, workload, moves, compiled = prepare(data, jobs)
    schedule = run(workload, replace(compiled, cuts=((0, 1), (8_000, 1))), engine)
    played = Played(scenario_, workload, moves, schedule)
    assert starts(played) == [20, 5]
    assert schedule.center.tolist() == [0, 0]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_that_a_limit_kept_back_follows_when_there_is_room_within_it(engine):
    """As above, but of A's 4 processors another job has 2 until 40. At 8 job 0, with 3, is too much beside job 1 to go to B, which would start it at
    once; when job 1 ends at 20, A has still too little room for it, and B, where its data are, has enough."""
    data = with_data(scenario(["managed", "autonomous"], of_account(GrpTRES="cpu=3")), "B")
    other = Job(0, 2, 40, 40, user="stays", account="b")
    jobs = {"A": [other, Job(1, 3, 5, 5, user="needs"), Job(5, 1, 15, 15)], "B": []}
    scenario_, workload, moves, compiled = prepare(data, jobs)
    schedule = run(workload, replace(compiled, cuts=((0, 1), (8_000, 1))), engine)
    played = Played(scenario_, workload, moves, schedule)
    assert starts(played) == [0, 20, 5]
    assert schedule.center.tolist() == [0, 1, 0]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_that_lacked_quota_follows_when_there_is_some(engine):
    """A is full until 40. B has the data, but of the quota there too little is left beside job 1 for job 2, which is sent to A alone at 1. Job 1
    ends at 5, and job 2 starts at B."""
    quota = {"NominalQuota": {"A": "cpu=3", "B": "cpu=3"}}
    data = with_data(scenario(["managed", "autonomous"], of_account(**quota)), "B")
    other = Job(0, 4, 40, 40, user="stays", account="b")
    played = play(data, {"A": [other, Job(0, 2, 5, 5), Job(1, 2, 5, 5, user="needs")], "B": []}, engine)
    assert starts(played) == [0, 0, 5]
    assert played.schedule.center.tolist() == [0, 1, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_that_may_follow_when_there_is_quota_is_not_turned_away(engine):
    """A is full until 40, and takes nobody as wide as job 3, whose data are there at 11. At B, where they were before, quota is free at 20."""
    quota = {"NominalQuota": {"A": "cpu=3", "B": "cpu=3"}}
    data = with_data(scenario(AUTONOMOUS, of_account(**quota)), "B")
    data["centers"][0]["Policy"] = NARROW
    other = Job(0, 2, 40, 40, user="stays", account="b")
    played = play(data, {"A": [other, other, Job(0, 2, 20, 20), Job(1, 3, 5, 5, user="needs")], "B": []}, engine)
    assert starts(played) == [0, 0, 0, 20]
    assert played.schedule.center.tolist() == [0, 0, 1, 1]


def with_data(data: dict[str, Any], replica: str) -> dict[str, Any]:
    names = [entry["Center"] for entry in data["centers"]]
    data["links"] = [{"From": name, "To": "hub", "Bandwidth": "1GB/s"} for name in names]
    data["datasets"] = [{"Dataset": "d", "Size": "10GB", "Replicas": [replica], "Match": {"User": ["needs"]}}]
    return data


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("modes", "most", "centers"),
    [(MIXED[0], 5, [1, 1]), (MIXED[0], 6, [0, 1]), (MIXED[1], 5, [0, 0]), (MIXED[1], 6, [0, 0])],
)
def test_a_redundant_request_counts_by_the_rate_of_where_it_starts(engine, modes, most, centers):
    """Two jobs of 2 processors wait for both centers to have room, at 10. Each counts 2, and 4 if it starts at the managed center: within 5
    neither may, as the other could start at the autonomous center with 2, and within 6 one may. A decides first; an autonomous one starts both."""
    data = scenario(modes, of_account(GrpTRES=f"billing={most}"))
    data["centers"][modes.index("managed")]["ExchangeRate"] = 2
    played = play(data, {"A": [FULL, Job(1, 2, 5, 5), Job(1, 2, 5, 5)], "B": [FULL]}, engine)
    assert starts(played) == [0, 0, 10, 10]
    assert played.schedule.center.tolist()[2:] == centers
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", ["urgent", "redundant"])
@pytest.mark.parametrize(("mode", "then"), [("managed", 5), ("autonomous", 0)])
def test_a_limit_on_billing_knows_the_rates_of_managed_centers_alone(engine, placement, mode, then):
    """Within 5 there is place for two jobs of 2 processors, and at a rate of 2 for one."""
    data = scenario([mode], of_account(GrpTRES="billing=5"), placement)
    data["centers"][0]["ExchangeRate"] = 2
    played = play(data, {"A": [Job(0, 2, 5, 5), Job(0, 2, 5, 5)]}, engine)
    assert starts(played) == [0, then]
    check_books(played)


@pytest.mark.parametrize("keys", [{"NominalQuota": "billing=9"}, {"Budget": {"billing": 9}, "BudgetPeriod": "month"}])
def test_quotas_and_budgets_of_billing_know_no_rates(keys):
    data = scenario(MIXED[0], of_account(**keys))
    data["centers"][1]["ExchangeRate"] = 2  # autonomous: charged alone
    prepare(data, {"A": [Job(0, 2, 5, 5)], "B": []})
    data["centers"][0]["ExchangeRate"] = 2
    with pytest.raises(UserError, match="A an ExchangeRate"):
        prepare(data, {"A": [Job(0, 2, 5, 5)], "B": []})


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_limit_is_looked_at_when_a_redundant_request_counts_for_less(engine):
    """A job counts 4 of 5 until it starts at C, whose rate is a half, at 10, and then 2: one of 2 at A, which has decided before, starts at 10."""
    accounts = [{"Account": "A/a", "Parent": "g"}, {"Account": "C/a", "Parent": "g"}]
    data = scenario(
        ["managed", "autonomous", "managed"], {"accounts": [{"Account": "g", "GrpTRES": "billing=5"}, *accounts]}
    )
    data["centers"][0]["Procs"] = 3
    data["centers"][2]["ExchangeRate"] = 0.5
    full = FULL._replace(run=20, limit=20)
    jobs = {"A": [Job(2, 2, 5, 5, user="stays")], "B": [full], "C": [FULL, Job(1, 4, 30, 30)]}
    played = play(data, jobs, engine)
    assert starts(played) == [0, 0, 10, 10]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bound_job_is_placed_anew_only_within_limits(engine):
    """Jobs 2 and 3 are bound to A, which is managed and by its limit full for 20 hours, B for 21; either of them may run, not both. A has room at
    50, where job 2 starts. At 75, a thousandth of the predicted wait later, B has room, too, but would start job 3 beside job 2: that waits
    until 250."""
    data = scenario(["managed", "autonomous"], of_account(MaxJobs=1), "urgent")
    data["broker"] |= {"ReplaceAfter": 0.001, "ReplaceMinWait": 0, "Hysteresis": 0}
    own = Job(0, 4, 50, 72_000, user="stays", account="b")
    jobs = {"A": [own, Job(2, 2, 200, 200), Job(3, 2, 50, 50)], "B": [own._replace(run=60, limit=75_600)]}
    played = play(data, jobs, engine)
    assert starts(played) == [0, 0, 50, 250]
    assert played.schedule.center.tolist() == [0, 1, 0, 0]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_limit_is_looked_at_when_it_is_free_again(engine):
    """Nobody moves: a job at B waits for one at A, which shares a limit with it, and then starts although nothing happens at B."""
    accounts = [{"Account": "g", "GrpJobs": 1}, {"Account": "A/a", "Parent": "g"}, {"Account": "B/a", "Parent": "g"}]
    data = scenario(MANAGED, {"accounts": accounts}, "home")
    assert starts(play(data, {"A": [Job(0, 2, 10, 10)], "B": [Job(1, 2, 5, 5)]}, engine)) == [0, 10]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", ["urgent", "redundant"])
def test_the_broker_does_not_wait_for_its_next_look_when_a_limit_is_free_again(engine, placement):
    """The broker looks at A and B once in 60 s; at 10 it is told that its job has ended, and sends the next."""
    data = scenario(AUTONOMOUS, of_account(MaxJobs=1), placement)
    for entry in data["centers"]:
        entry["PollInterval"] = 60
    assert starts(play(data, {"A": [Job(0, 2, 10, 10), Job(1, 2, 5, 5)], "B": []}, engine)) == [0, 10]


NARROW = {
    "Order": "fcfs",
    "AccountingStorageEnforce": ["limits"],
    "DefaultQOS": "narrow",
    "qos": [{"Name": "narrow", "Flags": ["DenyOnLimit"], "MaxTRESPerJob": "cpu=2"}],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_limit_is_looked_at_when_a_center_turns_a_job_away(engine):
    """Job 0 is too wide for B, and reaches A at 5, which takes none of its width. Then job 1 is sent, not at the next look, and starts at B."""
    data = scenario(AUTONOMOUS, of_account(MaxJobs=1), "urgent")
    for entry in data["centers"]:
        entry["PollInterval"] = 60
    data["centers"][0] |= {"Policy": NARROW, "Latency": 5}
    data["centers"][1]["Procs"] = 1
    played = play(data, {"A": [Job(0, 3, 10, 10), Job(1, 1, 10, 10)], "B": []}, engine)
    assert played.schedule.state.tolist() == [REJECTED, ENDED]
    assert starts(played) == [-1, 5]


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_limit_is_looked_at_when_a_redundant_request_is_turned_away(engine):
    """Data of job 0, which is too wide for B, are at A at 10, which takes none of its width. A job at B waits for that, where nothing happens."""
    accounts = [{"Account": "g", "GrpJobs": 1}, {"Account": "A/a", "Parent": "g"}, {"Account": "B/a", "Parent": "g"}]
    data = with_data(scenario(["autonomous", "managed", "autonomous"], {"accounts": accounts}), "C")
    data["centers"][0]["Policy"] = NARROW
    data["centers"][1]["Procs"] = 2
    data["centers"][2]["Drain"] = True
    jobs = {"A": [Job(0, 3, 10, 10, user="needs")], "B": [Job(1, 1, 10, 10, user="stays")], "C": []}
    played = play(data, jobs, engine)
    assert played.schedule.state.tolist() == [REJECTED, ENDED]
    assert starts(played) == [-1, 10]
    check_books(played)


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_quota_is_looked_at_when_a_job_is_placed_anew(engine):
    """Job 2 is bound to A, which has too little room until 250, and job 3 may run at A alone, where job 2 has their quota. At 122, its second look,
    job 2 goes to B, which was seen to have room at 120, and job 3 starts in its place."""
    quota = {"NominalQuota": {"A": "cpu=4", "B": "cpu=4"}}
    data = scenario(AUTONOMOUS, of_account(**quota), "urgent")
    data["broker"] |= {"ReplaceAfter": 0.1, "ReplaceMinWait": 0, "Hysteresis": 0}
    for entry in data["centers"]:
        entry["PollInterval"] = 60
    data["centers"][1]["partitions"] = [{"PartitionName": "short", "Procs": 4, "MaxTime": "00:05:00"}]
    own = Job(0, 2, 250, 250, user="stays")
    jobs = {"A": [own, Job(2, 3, 50, 50), Job(3, 2, 40, 400)], "B": [own._replace(procs=4, run=100, limit=300)]}
    played = play(data, jobs, engine)
    assert starts(played) == [0, 0, 122, 122]
    assert played.schedule.center.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", ["urgent", "redundant"])
def test_who_is_submitted_counts_for_the_partition_where_it_is(engine, placement):
    """One job may be submitted to the partition of B at a time. Job 1 is there from 1 to 11, as A is full until 50: another is refused at 5, not
    at 12, and again at 13. A's partition has its own count."""
    policy = {"qos": [{"Name": "q", "GrpSubmitJobs": 3}, {"Name": "one", "GrpSubmitJobs": 1}]}
    data = scenario(MANAGED, policy, placement)
    for entry, qos in zip(data["centers"], ("q", "one"), strict=True):
        entry["partitions"] = [{"PartitionName": "p", "Procs": 4, "QOS": qos}]
    own = Job(0, 1, 10, 10, user="stays")
    jobs = {
        "A": [own._replace(procs=4, run=50, limit=72_000), Job(1, 3, 10, 10)],
        "B": [own._replace(submit=k) for k in (5, 12, 13)],
    }
    played = play(data, jobs, engine)
    assert played.schedule.state.tolist() == [ENDED, ENDED, REJECTED, ENDED, REJECTED]
    assert starts(played) == [0, 1, -1, 12, -1]
    check_books(played)


class Twin:
    """Who counts against the limits of a broker, from where the jobs are, and whether that is within them; knows no counters.

    Counted is what runs of the jobs that may move, and at managed centers of all; and what may start where the broker is not asked: at an
    autonomous center, or on its way there. Owners of limits are an account with those below it, a QOS, and a user or an account in either.
    """

    def __init__(self, data: dict[str, Any], jobs: Any, movable: Any, federation: Federation) -> None:
        self.limits = []  # (whose, what counts, most)
        policy = data["broker"]["Policy"]
        for entry in policy["accounts"]:
            name = entry["Account"]
            self._note(("account", name), entry, "GrpJobs", "GrpTRES")
            self._note(("association", name), entry, "MaxJobs")
        for entry in policy["qos"]:
            name = entry["Name"]
            self._note(("qos", name), entry, "GrpJobs", "GrpTRES")
            self._note(("user of qos", name), entry, "MaxJobsPU", "MaxTRESPU")
            self._note(("account of qos", name), entry, "MaxJobsPA", "MaxTRESPA")
        self.has_own_max_jobs = {entry["Name"] for entry in policy["qos"] if "MaxJobsPU" in entry}
        self.parent = {entry["Account"]: entry.get("Parent", "") for entry in policy["accounts"]}
        self.jobs, self.movable, self.f = jobs, movable, federation
        self.instants = 0
        qos_of = {rule["Match"]["User"][0]: rule["Set"]["QOS"] for rule in policy["assign"]}
        users = [jobs.user.names[code] for code in jobs.user.codes]
        self.user = users
        self.account = [jobs.account.names[code] for code in jobs.account.codes]
        self.qos = [qos_of.get(name, "") for name in users]

    def _note(self, whose: tuple[str, str], entry: dict[str, Any], *keys: str) -> None:
        for key in keys:
            if key in entry:
                most = entry[key]
                kind = "jobs" if isinstance(most, int) else most.partition("=")[0]
                self.limits.append((whose, kind, most if kind == "jobs" else int(most.partition("=")[2])))

    def counted(self) -> list[tuple[int, int]]:
        """Job and center of all that count; the center is the managed one where a job runs, else -1."""
        f, found = self.f, []
        is_managed = f.centers.managed == 1
        for job in range(len(self.user)):
            states = [int(core.live.state[job]) for core in f.cores]
            here = [k for k, state in enumerate(states) if state == RUNNING]
            managed = [k for k in here if is_managed[k]]
            if managed:
                found.append((job, managed[0]))
            elif self.movable[job]:
                may_start = [k for k, state in enumerate(states) if state == PENDING and not is_managed[k]]
                center = int(f.places.center[job])
                under_way = int(f.places.where[job]) in (SENT, STUCK) and center >= 0 and not is_managed[center]
                if here or may_start or under_way:
                    found.append((job, -1))
        return found

    def check(self) -> None:
        self.instants += 1
        used: Counter[tuple[tuple[str, ...], str]] = Counter()
        for job, center in self.counted():
            used.update(self._use(job, center))
        assert not self._exceeded(used)

    def is_hopeless(self, job: int) -> bool:
        """Whether a job that waits exceeds a limit wherever it does, even alone."""
        f = self.f
        if f.broker.live.state[job] == PENDING:
            return bool(self._exceeded(self._use(job, -1)))
        at = [k for k in np.flatnonzero(f.centers.managed) if f.cores[k].live.state[job] == PENDING]
        return len(at) > 0 and all(self._exceeded(self._use(job, k)) for k in at)

    def _use(self, job: int, center: int) -> Counter[tuple[tuple[str, ...], str]]:
        rate = 1 if center < 0 else int(self.f.centers.exchange[center]) // 1000
        cpu = int(self.jobs.procs[job])
        asked = {"jobs": 1, "cpu": cpu, "billing": rate * cpu}
        return Counter({(whose, kind): n for whose in self._owners(job) for kind, n in asked.items()})

    def _exceeded(self, used: Counter[tuple[tuple[str, ...], str]]) -> list[Any]:
        return [
            (whose, kind, amount, most)
            for owner, what, most in self.limits
            for (whose, kind), amount in used.items()
            if whose[:2] == owner and what == kind and amount > most
        ]

    def _owners(self, job: int) -> list[tuple[str, ...]]:
        account, user, qos = self.account[job], self.user[job], self.qos[job]
        found: list[tuple[str, ...]] = []
        if qos not in self.has_own_max_jobs:
            found.append(("association", account, user))
        if qos:
            found += [("qos", qos), ("user of qos", qos, user), ("account of qos", qos, account)]
        while account:
            found.append(("account", account))
            account = self.parent.get(account, account.partition("/")[0] if "/" in account else "")
        return found


def test_the_twin_sees_who_may_start_unasked():
    """Both centers are full until 10. Where both may run, they are sent at 1 and 2: one too many before either runs."""
    jobs = {"A": [FULL, Job(1, 2, 10, 10), Job(2, 2, 10, 10)], "B": [FULL]}
    data = {most: scenario(AUTONOMOUS, {**of_account(MaxJobs=most), "qos": [], "assign": []}) for most in (1, 2)}
    watched(data[2], jobs, data[2])
    with pytest.raises(AssertionError, match=r"association.* 2, 1"):
        watched(data[2], jobs, data[1])


def watched(data: dict[str, Any], jobs: dict[str, list[Job]], limits: dict[str, Any]) -> Played:
    """Replay in SimPy, with a `Twin` that looks on after each instant whether the limits of a scenario are kept, and in the end who waits."""
    made = prepare(data, jobs)
    twin = Twin(limits, made.workload.jobs, made.moves.movable, made.compiled.federation)
    step_all = world.step_all

    def step_and_check(*args: Any) -> int:
        n = step_all(*args)
        twin.check()
        return int(n)

    with patch.object(world, "step_all", step_and_check):
        schedule = run(made.workload, made.compiled, "simpy")
    assert twin.instants == schedule.instants > 0
    if not data.get("failures"):
        assert all(twin.is_hopeless(job) for job in np.flatnonzero(~np.isin(schedule.state, OVER)))
    return Played(made.scenario, made.workload, made.moves, schedule)


AMOUNT = st.sampled_from(["cpu=3", "cpu=5", "cpu=7", "billing=5", "billing=9"])
COUNT = st.integers(1, 3)
ACCOUNT = st.fixed_dictionaries({}, optional={"GrpJobs": COUNT, "GrpTRES": AMOUNT, "MaxJobs": COUNT})
QOS = st.fixed_dictionaries(
    {},
    optional={
        "GrpJobs": COUNT,
        "GrpTRES": AMOUNT,
        "MaxJobsPU": COUNT,
        "MaxTRESPU": AMOUNT,
        "MaxJobsPA": COUNT,
        "MaxTRESPA": AMOUNT,
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


@st.composite
def cases(draw):
    modes = draw(st.lists(st.sampled_from(["managed", "autonomous", "autonomous"]), min_size=2, max_size=3))
    names = NAMES[: len(modes)]
    accounts = [{"Account": center, **draw(ACCOUNT)} for center in names]
    accounts += [{"Account": f"{center}/{name}", "Parent": center, **draw(ACCOUNT)} for center in "AB" for name in "ab"]
    policy = {
        "accounts": accounts,
        "qos": [{"Name": name, **draw(QOS)} for name in ("q", "r")] + [{"Name": f"of {name}"} for name in names],
        "assign": [
            {"Match": {"User": [f"{center}/{user}"]}, "Set": {"QOS": qos}}
            for center in names
            for user, qos in (("u", "q"), ("v", "r"))
        ],
    }
    placement = draw(st.sampled_from(["redundant", "redundant", "redundant", "urgent", "random", "least-loaded"]))
    data = scenario(modes, policy, placement, Seed=draw(st.integers(0, 9)))
    data["broker"] |= {"ReplaceAfter": draw(st.sampled_from([0, 0.001])), "ReplaceMinWait": 0, "Hysteresis": 0}
    data["moves"] = [{"Fraction": draw(st.sampled_from([0.5, 1]))}]
    for entry in data["centers"]:
        entry["Policy"] = draw(st.sampled_from(["fcfs", "easy", "conservative", "slurm"]))
        entry["ExchangeRate"] = draw(st.sampled_from([1, 1, 2]))
        if entry["Mode"] == "managed":
            entry["partitions"] = [{"PartitionName": "p", "Procs": 4, "QOS": f"of {entry['Center']}"}]
        else:
            entry["Latency"] = draw(st.sampled_from([0, 2, 20]))
            entry["PollInterval"] = draw(st.sampled_from([1, 7]))
    if draw(st.booleans()):
        with_data(data, draw(st.sampled_from(names)))
        data["datasets"][0]["Size"] = draw(st.sampled_from(["5GB", "50GB"]))
    cut = {"Kind": "network", "Center": draw(st.sampled_from(names)), "MTBF": 60, "Repair": 20}
    fails = {"Kind": "node", "Center": draw(st.sampled_from(names)), "MTBF": 200, "Repair": 20, "Procs": 2}
    data["failures"] = draw(st.lists(st.sampled_from([cut, fails]), max_size=2))
    late = st.one_of(st.none(), st.none(), st.integers(0, 90))
    jobs = {}
    for name in names:
        mine = draw(st.lists(JOB, min_size=1, max_size=10))
        jobs[name] = [job._replace(cancel=None if (d := draw(late)) is None else job.submit + d) for job in mine]
    return data, jobs


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases())
def test_nobody_exceeds_a_limit_at_any_instant_or_waits_in_vain(case):
    data, jobs = case
    with patch(
        "apportion.sim.federation.compile.AFTER_MS", 3_600_000
    ):  # what fails in the hour after the last job came
        one = watched(data, jobs, data)
        assert play(data, jobs, "compiled").schedule.decision_hash == one.schedule.decision_hash
    if np.isin(one.schedule.state, OVER).all():
        check_books(one)
