"""Lent quota that comes back by preemption, in whole replays: Kueue's documented cases, with victims worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from driving import run
from oracles.jobs import Job, Pool

S = 1000
NAMES = "abc"
TAKES: dict[str, Any] = {"ReclaimWithinCohort": "Any"}


def accounts(*quotas: int, **keys: Any) -> list[dict[str, Any]]:
    """Accounts a, b, ... of one cohort; keys of the first, of the second, ... as a list."""
    given = [{name: values[k] for name, values in keys.items() if values[k] is not None} for k in range(len(quotas))]
    return [
        {"Account": NAMES[k], "Cohort": "team", "NominalQuota": f"cpu={quota}", **given[k]}
        for k, quota in enumerate(quotas)
    ]


def stopped(
    jobs: list[tuple[int, int, int, int]], procs: int, tree: list[dict[str, Any]], **keys: Any
) -> list[tuple[int, int, int]]:
    """Who is stopped when and by whom; jobs are (second of submission, account, processors, priority) and run for 900 s."""
    table = [Job(k, time * S, 900 * S, 900 * S, width, user=of) for k, (time, of, width, _) in enumerate(jobs)]
    levels = sorted({level for *_, level in jobs})
    done = run(
        table,
        procs,
        names={"account": lambda job: NAMES[job.user], "qos": lambda job: f"q{jobs[job.id][3]}"},
        accounts=tree,
        qos=[{"Name": f"q{level}", "Priority": level} for level in levels],
        **{"PreemptMode": "REQUEUE", **keys},
    )
    log = done.state.stops
    n = int(log.count[0])
    assert not done.state.quotas.usage.any()
    return [(int(log.time[k]) // S, int(log.job[k]), int(log.by[k])) for k in range(n) if log.time[k] <= 500 * S]


# G: quotas of 9 and 12; a has seven jobs of 3, as far as it may borrow


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [(10, 6, 7), (10, 5, 7), (10, 4, 7), (10, 3, 7)]),  # a has 21; 12 are taken back, the latest first
        ({"BorrowingLimit": ["cpu=3", None]}, [(10, 3, 7)]),  # a has 12, 9 are free
        ({"BorrowingLimit": ["cpu=1", None]}, []),  # a has 9: a job of 3 more would be 12 of 10
        ({"LendingLimit": [None, "cpu=3"]}, [(10, 3, 7)]),  # a has 12
        ({"LendingLimit": [None, "cpu=1"]}, []),
        ({"ReclaimWithinCohort": ["Any", "Never"]}, []),
    ],
)
def test_g_what_a_lender_takes_back(keys, expected):
    jobs = [*((k, 0, 3, 0) for k in range(7)), (10, 1, 12, 0)]
    tree = accounts(9, 12, **{"ReclaimWithinCohort": ["Any", "Any"], **keys})
    assert stopped(jobs, 21, tree) == expected


TWO = accounts(4, 4, ReclaimWithinCohort=["Any", "Any"])


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([(0, 0, 3, 0), (1, 0, 1, 0), (2, 0, 2, 0), (3, 0, 2, 0), (10, 1, 2, 0)], [3]),
        ([(0, 0, 3, 0), (1, 0, 1, 0), (2, 0, 2, 0), (3, 0, 2, 0), (10, 1, 4, 0)], [3, 2]),
        ([(0, 0, 2, 0), (1, 0, 2, 5), (2, 0, 2, 1), (3, 0, 2, 7), (10, 1, 2, 3)], [0]),  # lowest priority
        ([(0, 0, 1, 0), (1, 0, 7, 1), (10, 1, 4, 3)], [1]),  # 0 goes first and is given back
        ([(0, 0, 4, 0), (1, 1, 4, 0), (10, 1, 2, 9)], []),  # b would borrow, a is within its quota
        ([(0, 0, 8, 0), (10, 1, 5, 9)], []),  # more than the quota of b
    ],
)
def test_kueues_classic_preemption(jobs, expected):
    assert [victim for _, victim, _ in stopped(jobs, 8, TWO)] == expected


def test_lower_priority_only():
    tree = accounts(4, 4, ReclaimWithinCohort=["LowerPriority", "LowerPriority"])
    assert stopped([(0, 0, 8, 3), (10, 1, 4, 3), (20, 1, 4, 4)], 8, tree) == [(20, 0, 2)]


def test_within_an_account():
    jobs = [(0, 0, 4, 1), (10, 0, 4, 1), (20, 0, 4, 2)]
    for within, expected in (("Never", []), ("LowerPriority", [(20, 0, 2)])):
        assert stopped(jobs, 4, accounts(4, WithinClusterQueue=[within])) == expected
    # an older job of the same priority that could not start at first: 1 is held by its rank, 0 by its width
    newer = [(0, 0, 2, 1), (1, 0, 4, 1), (2, 0, 2, 1)]
    assert stopped(newer, 4, accounts(4, WithinClusterQueue=["LowerOrNewerEqualPriority"]), Backfill="easy") == []


def test_a_borrower_takes_from_lower_priorities_below_its_threshold():
    keys = {
        "ReclaimWithinCohort": ["Any"] * 3,
        "BorrowWithinCohort": [None, "LowerPriority", None],
    }
    jobs = [(0, 0, 8, 2), (10, 1, 4, 5)]  # b has a quota of 2 and asks for 4
    assert stopped(jobs, 8, accounts(2, 2, 4, **keys)) == [(10, 0, 1)]
    for threshold, expected in ((2, [(10, 0, 1)]), (1, [])):
        keys["MaxPriorityThreshold"] = [None, threshold, None]
        assert stopped(jobs, 8, accounts(2, 2, 4, **keys)) == expected


FAIR = [(0, 0, 3, 0), (1, 0, 3, 0), (2, 0, 3, 0), (3, 1, 3, 0), (10, 1, 3, 0), (20, 1, 3, 0)]


@pytest.mark.parametrize(
    ("strategies", "weights", "expected"),
    [
        # a has 9 and b 3 of the 12 that c lends. b with 6, a then with 6: as much; b with 9, a with 3: too much
        (["LessThanOrEqualToFinalShare"], [1, 1, 1], [(10, 2, 4)]),
        (["LessThanInitialShare"], [1, 1, 1], [(10, 2, 4)]),  # 6 is less than 9, but 9 not than 6
        (["LessThanOrEqualToFinalShare"], [2, 1, 1], []),  # 6 of b, 6 / 2 of a
        (["LessThanInitialShare"], [2, 1, 1], []),  # 6 is not less than 9 / 2
        (["LessThanOrEqualToFinalShare"], [1, 2, 1], [(10, 2, 4)]),  # 6 / 2 and 6; then 9 / 2 and 3
        (["LessThanOrEqualToFinalShare", "LessThanInitialShare"], [1, 2, 1], [(10, 2, 4), (20, 1, 5)]),  # 9 / 2 and 6
        (["LessThanOrEqualToFinalShare"], [0, 1, 1], [(10, 2, 4), (20, 1, 5)]),  # a's share is infinite
        ([], [1, 1, 1], []),
    ],
)
def test_fair_sharing_by_weights(strategies, weights, expected):
    tree = accounts(0, 0, 12, ReclaimWithinCohort=["Any"] * 3, FairWeight=weights)
    assert stopped(FAIR, 12, tree, PreemptionStrategies=strategies) == expected


def test_shares_are_compared_just_below_the_first_common_cohort():
    """a is in a cohort below b's and c's, all of c's 12: a's 3 and its cohort's 3 are 3 / 12, b has 12 / 12, then 9 / 12."""
    tree = accounts(0, 0, 12, ReclaimWithinCohort=["Any"] * 3)
    tree[0]["Cohort"] = "inner"
    jobs = [*((k, 1, 3, 0) for k in range(4)), (10, 0, 3, 0)]
    for strategy in ("LessThanOrEqualToFinalShare", "LessThanInitialShare"):
        done = stopped(jobs, 12, tree, cohorts=[{"Cohort": "inner", "Parent": "team"}], PreemptionStrategies=[strategy])
        assert done == [(10, 3, 4)]


def test_who_has_borrowed_most_gives_back_first():
    """c takes back 3 of its 12: a has 6, b 3 and d nothing; a's first job is older than b's, but a has more."""
    jobs = [(0, 0, 3, 0), (1, 0, 3, 0), (2, 1, 6, 0), (10, 2, 3, 0)]
    tree = accounts(0, 0, 12, ReclaimWithinCohort=["Any"] * 3, FairWeight=[1, 4, 1])
    both = ["LessThanOrEqualToFinalShare", "LessThanInitialShare"]
    assert stopped(jobs, 12, tree, PreemptionStrategies=both) == [(10, 1, 3)]
    assert stopped(jobs, 12, tree) == [(10, 2, 3)]  # the classic way: the latest start


@pytest.mark.parametrize(
    ("quotas", "weights", "expected"),
    [
        # b's share with 5 is 4 / 6, a's is infinite; a takes back its 2 of quota, and its other job fills what is left over
        ((1, 2, 3), [1, 0, 1], [(1, 0, 2), (1, 1, 2), (2, 2, 0)]),
        # nobody has a quota: 5 / 6 of b are less than 5 / 6 / .5 of a, but its 2 / 6 / .5 are less than that
        ((0, 0, 6), [1, 0.5, 1], [(1, 0, 2), (1, 1, 2)]),
    ],
)
def test_jobs_do_not_stop_each_other_for_ever_by_their_initial_shares(quotas, weights, expected):
    """Two jobs of b (2 and 3 processors), one of a (5), on 6 processors: by Kueue's rule alone they take turns each second."""
    tree = accounts(*quotas, ReclaimWithinCohort=["Any"] * 3, FairWeight=weights)
    jobs = [(0, 1, 2, 0), (0, 1, 3, 0), (0, 0, 5, 0)]
    strategies = ["LessThanInitialShare"]
    assert stopped(jobs, 6, tree, PreemptionStrategies=strategies, Backfill="easy") == expected


def test_jobs_do_not_stop_each_other_for_ever_by_priority():
    """Quotas of 2 and 3 of 5 processors: b's narrow job takes back its own from a borrower, a wider one of b stops it, and the borrower that one.

    The borrower, stopped by b after it had stopped a job, takes nothing more by its priority. Under Kueue's rules the three go round each second.
    """
    keys = {
        "ReclaimWithinCohort": ["LowerPriority", "Any"],
        "BorrowWithinCohort": ["LowerPriority", None],
        "WithinClusterQueue": [None, "LowerOrNewerEqualPriority"],
    }
    jobs = [(0, 1, 4, 0), (0, 1, 3, 0), (0, 0, 4, 1)]
    assert stopped(jobs, 5, accounts(2, 3, **keys)) == [(1, 0, 2), (2, 2, 1), (3, 1, 0)]


def test_a_borrower_does_not_take_for_ever_what_is_filled_again():
    """Quotas of 2 and 4 of 6: a's two jobs of 2 and 3 are more than its quota. b's job of 5 stops both; the first takes back a's 2, the second fits.

    Without its priority b's job waits from then on.
    """
    keys = {"ReclaimWithinCohort": ["Any", "Any"], "BorrowWithinCohort": [None, "LowerPriority"]}
    jobs = [(0, 0, 2, 0), (0, 0, 3, 1), (0, 1, 5, 2)]
    assert stopped(jobs, 6, accounts(2, 4, **keys)) == [(1, 0, 2), (1, 1, 2), (2, 2, 0)]


def test_what_is_within_a_quota_does_not_go_for_what_else_is_borrowed():
    """b has its two processors, one of them in p0, where it has no quota; a's job wants 4 in p0.

    b's job in p0 alone would not do, and that in p1 is within b's quota.
    """
    tree = [
        {"Account": "a", "NominalQuota": {"*": {"cpu": 2}, "p0": {"cpu": 4}}, "BorrowWithinCohort": "LowerPriority"},
        {"Account": "b", "NominalQuota": {"*": {"cpu": 2}, "p0": {"cpu": 0}}},
    ]
    tree = [entry | TAKES | {"Cohort": "team"} for entry in tree]
    table = [
        Job(0, 0, 900 * S, 900 * S, 1, user=1, pool=1),
        Job(1, 0, 900 * S, 900 * S, 1, user=1, pool=0),
        Job(2, 10 * S, 900 * S, 900 * S, 4, user=0, pool=0),
    ]
    done = run(
        table,
        [Pool(5), Pool(4)],
        names={"account": lambda job: NAMES[job.user], "qos": lambda job: "high" if job.user == 0 else "low"},
        accounts=tree,
        qos=[{"Name": "low"}, {"Name": "high", "Priority": 1}],
        PreemptMode="REQUEUE",
    )
    assert done.state.stops.count[0] == 0
    assert done.starts == [0, 0, 900 * S]


def test_a_lease_that_has_ended_is_taken_back_where_there_is_no_room():
    tree = accounts(4, 4, ReclaimWithinCohort=["Any", "Any"], LendUntil=[None, "now+5seconds"])
    assert stopped([(0, 0, 4, 0), (1, 0, 4, 0), (10, 1, 4, 0)], 8, tree) == [(10, 1, 2)]


def test_bounds_of_preemption_hold():
    jobs = [(0, 0, 4, 0), (1, 0, 4, 0), (10, 1, 4, 0)]
    assert stopped(jobs, 8, TWO) == [(10, 1, 2)]
    assert stopped(jobs, 8, TWO, PreemptExemptTime="0:01:00") == [(60, 0, 2)]  # the first one is safe no longer
    assert stopped(jobs, 8, TWO, PreemptParameters={"min_wait": "0:00:30"}) == [(40, 1, 2)]
    assert stopped(jobs, 8, TWO, PreemptParameters={"min_gain": 100}) == [(10, 1, 2)]  # 4 x 900 / (4 x 9) is 100
    assert stopped(jobs, 8, TWO, PreemptParameters={"min_gain": 100.1}) == []
    assert stopped(jobs, 8, TWO, PreemptParameters={"rate_limit": 0}) == []
    assert stopped(jobs, 8, TWO, PreemptParameters={"lost_budget": 0}) == []
    assert stopped(jobs, 8, TWO, PreemptParameters={"caused_budget": 0}) == []
