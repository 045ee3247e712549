"""Who is admitted first: Kueue's fair sharing and admission fair sharing in whole replays, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from driving import run
from oracles.jobs import Job, Pool

MINUTE = 60_000
NAMES = "abcd"


def minutes(jobs: list[tuple[int, int, int]], procs: int, of: Any, length: int = 60, **keys: Any) -> list[int]:
    """Start of each job in minutes; jobs are (minute of submission, user, processors)."""
    long = length * MINUTE
    table = [Job(k, time * MINUTE, long, long, width, user=user) for k, (time, user, width) in enumerate(jobs)]
    done = run(table, procs, names={"account": lambda job: of[job.user]}, **keys)
    assert not done.state.quotas.usage.any()
    return [start // MINUTE for start in done.starts]


def team(lent: int, weights: list[float], cohorts: list[str]) -> list[dict[str, Any]]:
    """Accounts a, b, ... that have nothing but what the last account lends."""
    accounts = [
        {"Account": NAMES[k], "Cohort": cohort, "NominalQuota": "cpu=0", "FairWeight": weight}
        for k, (cohort, weight) in enumerate(zip(cohorts, weights, strict=True))
    ]
    return [*accounts, {"Account": "lender", "Cohort": "team", "NominalQuota": f"cpu={lent}"}]


@pytest.mark.parametrize("backfill", ["none", "easy", "easy-sjbf", "conservative", "slurm"])
@pytest.mark.parametrize(
    ("fair", "weights", "expected"),
    [
        (False, [1, 1], [0, 0, 0, 0, 60, 60]),
        # a 1/4 before b 1/4 by the order; then b 1/4 before a 2/4; then a 2/4 before b 2/4; then b 2/4 before a 3/4
        (True, [1, 1], [0, 0, 60, 60, 0, 0]),
        # a 1/12, 2/12, and 3/12 before b's 1/4 by the order; then b before a 4/12
        (True, [3, 1], [0, 0, 0, 60, 0, 60]),
        # a with weight 0 has an infinite share with any job
        (True, [0, 1], [0, 0, 60, 60, 0, 0]),
    ],
)
def test_the_account_with_the_lowest_share_is_admitted_first(backfill, fair, weights, expected):
    """Four jobs of a, two of b, a processor each, on the four that are lent."""
    jobs = [(0, 0, 1)] * 4 + [(0, 1, 1)] * 2
    tree = team(4, weights, ["team", "team"])
    assert minutes(jobs, 4, NAMES, backfill=backfill, FairSharing=fair, accounts=tree) == expected


@pytest.mark.parametrize(
    ("cohorts", "expected"),
    [
        (["team", "team", "team"], [0, 60, 0, 60, 0, 0]),
        (["inner", "inner", "team"], [0, 60, 0, 60, 0, 0]),
    ],
)
def test_shares_are_compared_level_by_level(cohorts, expected):
    """Two jobs each of a, b and c, on four processors.

    Flat, c with weight 1.5: c first (1/9), a and b (1/6 each), and c again (2/9) before a and b (2/6).

    All of weight 1, but a and b in a cohort of their own: a (1/6 of inner) before c by the order, c (1/6) before inner (2/6), b before c (2/6
    both, by the order), and c (2/6) before inner (3/6).
    """
    jobs = [(0, 0, 1), (0, 0, 1), (0, 1, 1), (0, 1, 1), (0, 2, 1), (0, 2, 1)]
    weights = [1, 1, 1.5] if cohorts[0] == "team" else [1, 1, 1]
    keys = {"accounts": team(6, weights, cohorts), "cohorts": [{"Cohort": "inner", "Parent": "team"}]}
    assert minutes(jobs, 4, NAMES, FairSharing=True, **keys) == expected


def test_the_jobs_of_an_account_with_others_below_it_take_turns_with_theirs():
    """a has 1 for itself, the lender below it 3, b nothing.

    a's first borrows nothing; then a (1/4) before b (1/4) by the order, b before a (2/4), and a (2/4) before b by the order.
    """
    tree = [
        {"Account": "a", "NominalQuota": "cpu=1"},
        {"Account": "b", "Parent": "a", "NominalQuota": "cpu=0"},
        {"Account": "lender", "Parent": "a", "NominalQuota": "cpu=3"},
    ]
    jobs = [(0, 0, 1)] * 4 + [(0, 1, 1)] * 2
    assert minutes(jobs, 4, NAMES, FairSharing=True, accounts=tree) == [0, 0, 0, 60, 0, 60]


def test_turns_are_found_anew_before_each_pass():
    """Slurm's backfill pass in the instant of a main pass that has started something.

    B's first holds 1 of p's 3 processors until 4; at 2, when 5 of m come free, B's second (3 of p), C's only one (1 of p) and A's (5 of m)
    wait, in this order. inner has 6 of its own, so B (4 used, none borrowed) goes before C (1 borrowed), and C before A (9 used, 3 borrowed).
    The main pass starts A's job and nobody on p, whose first does not fit. Now inner would borrow 3 with B's, and C goes before B: it starts at
    once, and B's waits for its end.
    """
    job = [  # submit, length, user, pool, processors
        (0, 2, 3, 0, 5),
        (0, 4, 1, 1, 1),
        (1, 4, 1, 1, 3),
        (1, 8, 2, 1, 1),
        (1, 4, 0, 0, 5),
    ]
    table = [
        Job(k, at * MINUTE, long * MINUTE, long * MINUTE, width, user=user, pool=pool)
        for k, (at, long, user, pool, width) in enumerate(job)
    ]
    tree = {
        "accounts": [
            {"Account": "a", "Cohort": "inner", "NominalQuota": "cpu=3", "FairWeight": 0},
            {"Account": "b", "Cohort": "inner", "NominalQuota": "cpu=0"},
            {"Account": "c", "Cohort": "outer", "NominalQuota": "cpu=0"},
        ],
        "cohorts": [
            {"Cohort": "outer", "NominalQuota": "cpu=4"},
            {"Cohort": "inner", "Parent": "outer", "NominalQuota": "cpu=3"},
        ],
    }
    of = {"account": lambda job: "abc "[job.user].strip()}
    done = run(table, [Pool(5), Pool(3)], "fcfs", "slurm", names=of, FairSharing=True, **tree)
    assert [start // MINUTE for start in done.starts] == [0, 0, 10, 2, 2]


def by_usage(procs: int, **weights: float) -> dict[str, Any]:
    account = {"Account": "a", "NominalQuota": f"cpu={procs}", "AdmissionMode": "UsageBasedAdmissionFairSharing"}
    users = [{"User": user, "Account": "a", "FairWeight": weight} for user, weight in weights.items()]
    return {"accounts": [account], "users": users, "UsageHalfLifeTime": "0:10:00", "UsageSamplingInterval": "0:05:00"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        # A start adds .2929. At 5: u0 .5, u1 0; at 10: u0 .3536, u1 .5; at 15: u0 .75, u1 .3536; then only u0 waits.
        ({}, [0, 10, 20, 5, 15]),
        # the same, but u0 counts a quarter: at 15 it has .1875
        ({"u0": 4}, [0, 10, 15, 5, 20]),
        # who has weight 0 comes last
        ({"u0": 0}, [0, 15, 20, 5, 10]),
    ],
)
def test_who_used_least_of_late_is_admitted_first(weights, expected):
    """Three jobs of u0 and, submitted a minute later, two of u1, of five minutes each, on one processor; half-life 10, samples each 5 minutes."""
    jobs = [(0, 0, 1)] * 3 + [(1, 1, 1)] * 2
    assert minutes(jobs, 1, "aa", 5, **by_usage(1, **weights)) == expected


def test_a_burst_does_not_slip_in_between_two_samples():
    jobs = [(0, 0, 1), (0, 0, 1), (0, 1, 1)]
    assert minutes(jobs, 2, "aa", 5, **by_usage(2)) == [0, 5, 0]
    plain = {"accounts": [{"Account": "a", "NominalQuota": "cpu=2"}]}
    assert minutes(jobs, 2, "aa", 5, **plain) == [0, 0, 5]
