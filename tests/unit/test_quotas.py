"""Quotas in policies: what the keys mean, one by one, with schedules worked out by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from apportion.core import reasons
from apportion.core.errors import PolicyError
from apportion.policy.lint import lint
from apportion.policy.load import from_dict
from driving import run
from oracles.jobs import Job, Pool

HOUR = 3_600_000
ACCOUNTS = "ab"


def jobs(*rows: tuple[int, int, int, int]) -> list[Job]:
    """(submit in hours, hours, processors, account), numbered from 1; they run to their limit."""
    return [Job(k, s * HOUR, r * HOUR, r * HOUR, procs, user) for k, (s, r, procs, user) in enumerate(rows, start=1)]


def replayed(rows: list[Job], procs: int, *accounts: dict[str, Any], backfill: str = "easy", **keys: Any) -> Any:
    entries = [{"Account": name, **entry} for name, entry in zip(ACCOUNTS, accounts, strict=False)]
    return run(
        rows, procs, backfill=backfill, names={"account": lambda job: ACCOUNTS[job.user]}, accounts=entries, **keys
    )


def hours(done: Any) -> list[float]:
    return [start / HOUR if start >= 0 else -1 for start in done.starts]


def why(done: Any, job: int) -> list[str]:
    state = done.state
    return reasons.words(int(state.live.reasons[job - 1]), state.limits.bit_code)


def test_a_quota_alone_is_a_limit():
    done = replayed(jobs((0, 2, 3, 0), (0, 2, 2, 0), (0, 1, 5, 1)), 10, {"NominalQuota": "cpu=4"})
    assert hours(done) == [0, 2, 0]
    assert why(done, 2) == ["QuotaNominal"]


def test_idle_quota_of_the_cohort_is_borrowed():
    mine = {"Cohort": "c", "NominalQuota": "cpu=4"}
    done = replayed(jobs((0, 2, 6, 0), (1, 1, 4, 1), (1, 1, 2, 1)), 12, mine, mine)
    assert hours(done) == [0, 2, 1]
    assert why(done, 2) == ["QuotaCohort"]


def test_no_more_than_the_borrowing_limit():
    done = replayed(
        jobs((0, 2, 4, 0), (0, 1, 1, 0), (0, 1, 2, 0)),
        12,
        {"Cohort": "c", "NominalQuota": "cpu=4", "BorrowingLimit": "cpu=1"},
        {"Cohort": "c", "NominalQuota": "cpu=4"},
    )
    assert hours(done) == [0, 0, 2]
    assert why(done, 3) == ["QuotaBorrowingLimit"]


def test_what_is_not_lent_is_there_at_once():
    done = replayed(
        jobs((0, 9, 1, 0), (0, 9, 6, 0), (1, 1, 3, 1)),
        12,
        {"Cohort": "c", "NominalQuota": "cpu=4"},
        {"Cohort": "c", "NominalQuota": "cpu=5", "LendingLimit": "cpu=2"},
    )
    assert hours(done) == [0, 9, 1]


def test_quotas_of_single_pools_and_of_all_together():
    rows = [
        Job(1, 0, HOUR, HOUR, 2, pool=1),
        Job(2, 0, HOUR, HOUR, 2, pool=1),
        Job(3, 0, HOUR, HOUR, 3, pool=0),
        Job(4, 0, HOUR, HOUR, 1, pool=0),
    ]
    quota = {"Account": "a", "NominalQuota": {"*": "cpu=5", "p1": "cpu=3"}}
    done = run(rows, [Pool(8), Pool(8)], backfill="easy", names={"account": lambda _: "a"}, accounts=[quota])
    assert hours(done) == [0, 1, 0, 1]


def test_users_and_accounts_below_share_the_quota_of_the_account_above():
    done = run(
        jobs((0, 1, 3, 0), (0, 1, 3, 1)),
        12,
        names={"account": lambda job: ACCOUNTS[job.user]},
        accounts=[
            {"Account": "top", "NominalQuota": "cpu=4"},
            {"Account": "a", "Parent": "top"},
            {"Account": "b", "Parent": "top"},
        ],
    )
    assert hours(done) == [0, 1]


TAKES = {"Account": "a", "NominalQuota": "cpu=4", "ReclaimWithinCohort": "Any"}


@pytest.mark.parametrize(("strategy", "small"), [("BestEffortFIFO", 0), ("StrictFIFO", 2)])
def test_queueing_strategies(strategy, small):
    entry = {"NominalQuota": "cpu=4", "QueueingStrategy": strategy}
    done = replayed(jobs((0, 2, 3, 0), (0, 1, 2, 0), (0, 1, 1, 0), (0, 1, 1, 1)), 12, entry)
    assert hours(done) == [0, 2, small, 0]
    if small:
        assert why(done, 3) == ["QuotaOrder"]


@pytest.mark.parametrize("backfill", ["none", "easy", "easy-sjbf", "conservative"])
def test_the_next_in_line_is_looked_at_when_the_one_before_it_starts(backfill):
    """All of a's jobs fit at 0, and the shorter ones come first by the order, but the line of the account is by submission."""
    entry = {"NominalQuota": "cpu=4", "QueueingStrategy": "StrictFIFO"}
    done = replayed(jobs((0, 3, 1, 0), (0, 2, 1, 0), (0, 1, 1, 0)), 12, entry, order="sjf", backfill=backfill)
    assert hours(done) == [0, 0, 0]


def test_under_conservative_backfill_a_planned_start_lets_the_next_in_line_have_its_plan():
    """Job 1 has the machine to 2; job 2 is planned then and starts, and job 3 of the same account beside it, at once."""
    entry = {"NominalQuota": "cpu=4", "QueueingStrategy": "StrictFIFO"}
    done = replayed(jobs((0, 2, 4, 1), (1, 2, 2, 0), (1, 1, 2, 0)), 4, entry, backfill="conservative")
    assert hours(done) == [0, 2, 2]


@pytest.mark.parametrize(("strategy", "small"), [("BestEffortFIFO", 2), ("StrictFIFO", 4)])
def test_a_job_that_was_stopped_keeps_its_place_in_the_line(strategy, small):
    """b takes 3 processors back at 1, so job 1 waits until 3; job 4 was submitted later, and waits behind it although there is room for it."""
    done = replayed(
        jobs((0, 4, 4, 0), (0, 4, 4, 0), (1, 2, 3, 1), (2, 1, 1, 0)),
        8,
        {"NominalQuota": "cpu=4", "Cohort": "c", "QueueingStrategy": strategy},
        {"NominalQuota": "cpu=4", "Cohort": "c", "ReclaimWithinCohort": "Any"},
        PreemptMode="REQUEUE",
    )
    assert hours(done) == [3, 0, 1, small]


@pytest.mark.parametrize("stop", ["Hold", "HoldAndDrain"])
def test_a_stopped_account_starts_nothing(stop):
    done = replayed(jobs((0, 1, 1, 0), (0, 1, 1, 1)), 12, {"StopPolicy": stop})
    assert hours(done) == [-1, 0]
    assert why(done, 1) == ["JobHeldAdmin"]


def test_nothing_is_borrowed_after_a_lease_has_ended():
    accounts = (
        {"Cohort": "c", "NominalQuota": "cpu=4"},
        {"Cohort": "c", "NominalQuota": "cpu=4", "LendUntil": "now+3hours"},
    )
    done = replayed(jobs((0, 2, 6, 0), (0, 2, 6, 0), (0, 1, 6, 0), (5, 1, 4, 0)), 12, *accounts)
    assert hours(done) == [0, 2, -1, 5]


@pytest.mark.parametrize(("lease", "third"), [({}, 3), ({"LendingLease": "1:00:00"}, 4)])
def test_a_lease_is_renewed_only_while_the_lender_has_no_job_waiting(lease, third):
    done = replayed(
        jobs((0, 3, 4, 1), (1, 1, 2, 1), (2, 1, 5, 0)),
        12,
        {"Cohort": "c", "NominalQuota": "cpu=4", "LendingLimit": "cpu=0"},
        {"Cohort": "c", "NominalQuota": "cpu=4", **lease},
    )
    # b's second job waits from 1 h to 3 h, so at 2 h and at 3 h b does not lend for the next hour; at 4 h it does.
    assert hours(done) == [0, 3, third]


# What is refused and what is asked


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"cohorts": [{"Cohort": "x", "Parent": "y"}, {"Cohort": "y", "Parent": "x"}]},
            "the cohorts x -> y -> x borrow in a circle",
        ),
        ({"cohorts": [{"Cohort": "x"}, {"Cohort": "x"}]}, "the cohort x is listed twice"),
        ({"accounts": [{"Account": "a", "NominalQuota": "cpus=4"}]}, "cpus"),
        ({"accounts": [{"Account": "a", "NominalQuota": -4}]}, "not a TRES list"),
        ({"accounts": [{"Account": "a", "FairWeight": 2000}]}, "1000"),
        ({"accounts": [{"Account": "a", "NominalQuotas": "cpu=4"}]}, "did you mean 'NominalQuota'"),
        ({"accounts": [TAKES]}, "ReclaimWithinCohort is given, but PreemptMode is OFF: no job can be stopped"),
        (
            {"accounts": [{"Account": "a", "WithinClusterQueue": "Any"}]},
            "choose from Never, LowerPriority, LowerOrNewerEqual",
        ),
        (
            {"accounts": [TAKES, {"Account": "b", "BorrowWithinCohort": "LowerPriority"}], "PreemptMode": "CANCEL"},
            "b may stop jobs to borrow, but not to have its own quota back (give ReclaimWithinCohort",
        ),
        (
            {"accounts": [TAKES | {"MaxPriorityThreshold": 3}], "PreemptMode": "CANCEL"},
            "MaxPriorityThreshold is given, but no BorrowWithinCohort",
        ),
        (
            {
                "accounts": [TAKES | {"BorrowWithinCohort": "LowerPriority"}],
                "PreemptMode": "CANCEL",
                "PreemptionStrategies": ["LessThanInitialShare"],
            },
            "BorrowWithinCohort goes by priority, PreemptionStrategies by shares",
        ),
        (
            {
                "accounts": [TAKES | {"WithinClusterQueue": "LowerPriority"}],
                "PreemptMode": "CANCEL",
                "PreemptionStrategies": ["LessThanInitialShare"],
            },
            "with WithinClusterQueue and PreemptionStrategies jobs may stop each other for ever",
        ),
        ({"FairSharing": True}, "FairSharing is on, but no account has a quota"),
        ({"UsageHalfLifeTime": 60}, "UsageHalfLifeTime is given, but no account goes by what users used"),
        (
            {"accounts": [{"Account": "a", "AdmissionMode": "UsageBasedAdmissionFairSharing"}]},
            "AdmissionMode needs a half-life of what was used (give UsageHalfLifeTime",
        ),
        (
            {
                "accounts": [
                    {
                        "Account": "a",
                        "AdmissionMode": "UsageBasedAdmissionFairSharing",
                        "QueueingStrategy": "StrictFIFO",
                    }
                ],
                "UsageHalfLifeTime": 60,
            },
            "jobs of a go by submission (StrictFIFO) and by what users used (AdmissionMode)",
        ),
        (
            {
                "accounts": [{"Account": "a", "AdmissionMode": "UsageBasedAdmissionFairSharing"}],
                "UsageHalfLifeTime": 60,
                "ResourceWeights": {"gres/gpu": 2},
            },
            "gres/gpu has a weight, but no quota is of it (choose from cpu",
        ),
        (
            {"users": [{"User": "u", "Account": "a", "FairWeight": 2}]},
            "FairWeight of u is given, but no account goes by what users used",
        ),
        ({"accounts": [{"Account": "a", "AdmissionMode": "Usage"}]}, "UsageBasedAdmissionFairSharing"),
        (
            {"accounts": [{"Account": "a"}], "PreemptionStrategies": ["LessThanInitialShare"]},
            "no account may take anything from another",
        ),
    ],
)
def test_bad_quotas_are_refused_in_one_line(keys, said):
    with pytest.raises(PolicyError) as error:
        from_dict(keys)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_quota_for_an_unknown_pool_is_refused():
    with pytest.raises(PolicyError, match=r"a quota is for machin, which is no pool.*did you mean 'machine'"):
        replayed(jobs((0, 1, 1, 0)), 4, {"NominalQuota": {"machin": "cpu=4"}})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"accounts": [{"Account": "a", "NominalQuota": "cpu=80"}], "TRES": "cpu=64"},
            "80 cpu are promised, 64 there are",
        ),
        ({"accounts": [{"Account": "a", "NominalQuota": "cpu=8", "BorrowingLimit": "cpu=1"}]}, "nobody to borrow from"),
        ({"accounts": [TAKES], "PreemptMode": "REQUEUE"}, "a lends to nobody"),
        (
            {"accounts": [{"Account": "a", "Cohort": "sience"}], "cohorts": [{"Cohort": "science"}]},
            "nothing but a is in sience",
        ),
    ],
)
def test_what_policy_check_asks(keys, said):
    assert any(said in str(finding) for finding in lint(from_dict(keys)))


def test_keys_that_take_nothing_back_change_no_hash():
    plain = {"Account": "a", "NominalQuota": "cpu=4"}
    written = plain | {"ReclaimWithinCohort": "Never", "WithinClusterQueue": "Never"}
    assert from_dict({"accounts": [plain]}).hash == from_dict({"accounts": [written]}).hash
    takes = from_dict({"accounts": [TAKES], "PreemptMode": "REQUEUE"})
    assert takes.hash != from_dict({"accounts": [plain], "PreemptMode": "REQUEUE"}).hash
    assert from_dict(takes.canonical()).hash == takes.hash


def test_equal_quotas_have_equal_hashes_and_none_changes_no_hash():
    plain = from_dict({"accounts": [{"Account": "a", "NominalQuota": "cpu=4"}]})
    starred = from_dict({"accounts": [{"Account": "a", "NominalQuota": {"*": "cpu=4"}}]})
    assert plain.hash == starred.hash != from_dict({"accounts": [{"Account": "a", "NominalQuota": "cpu=5"}]}).hash
    assert "NominalQuota" not in str(from_dict({"accounts": [{"Account": "a"}]}).canonical())
    assert from_dict(plain.canonical()).hash == plain.hash
