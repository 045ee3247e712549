"""Golden numbers of the other share engines: worked examples of manuals, papers and the authors' own programs."""

from __future__ import annotations

import numpy as np
import pytest

from apportion.core.engines import condor, drf, kai, karma, lsf, moab, oar, windows
from apportion.core.engines.history import new_history
from apportion.core.handle import handle
from apportion.core.share import FLUX, fairshare_factors, share_state
from oracles.fairshare import account, user
from oracles.trees import table

INF = float("inf")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# E: HTCondor's user priority


def test_e_real_priority_of_100_cores_for_two_days():
    got = condor.real_priority(0.5, 100.0, 0.5**2)  # 48 h, half-life 24 h
    assert got == pytest.approx(75.125, abs=1e-12)
    assert condor.real_priority(0.5, 0.0, 0.5) == 0.5  # the floor


def test_e_the_newcomer_is_150_times_better():
    effective = floats(75.125 * 1000, 0.5 * 1000)
    out = np.zeros(2)
    condor.pie_slices(effective, out)
    assert effective[0] / effective[1] == pytest.approx(150.25)
    assert (100 * out).tolist() == pytest.approx([0.6612, 99.3388], abs=5e-4)


# F: HTCondor's group quotas; rows: <none>, physics, chem, hep, lep

PARENT = ints(-1, 0, 0, 1, 1)
STATIC = floats(-1, 20, 10, 15, 5)
NO_QUOTA = floats(0, 0, 0, 0, 0)


def quotas(static: np.ndarray, dynamic: np.ndarray, pool: float) -> tuple[np.ndarray, np.ndarray]:
    subtree, own = np.zeros(len(static)), np.zeros(len(static))
    condor.group_quotas(PARENT, static, dynamic, pool, False, subtree, own)
    return subtree, own


@pytest.mark.parametrize(
    ("hep", "lep", "chem", "physics_accepts", "expected", "idle"),
    [
        (60, 60, 10, 0, (15, 5, 10), 0),
        (60, 60, 10, 1, (15, 5, 10), 0),
        (60, 0, 10, 0, (20, 0, 10), 0),
        (60, 60, 0, 0, (15, 5, 0), 10),
        (60, 60, 0, 1, (22.5, 7.5, 0), 0),
        (60, 3, 0, 1, (27, 3, 0), 0),
    ],
)
def test_f_allocations(hep, lep, chem, physics_accepts, expected, idle):
    subtree, own = quotas(STATIC, NO_QUOTA, 30.0)
    allocated = np.zeros(5)
    accepts = ints(0, physics_accepts, 0, 1, 1)
    left = condor.group_allocations(
        PARENT, subtree, own, accepts, floats(0, 0, chem, hep, lep), allocated, np.zeros((4, 5))
    )
    assert allocated[[3, 4, 2]].tolist() == pytest.approx(expected, abs=1e-9)
    assert left == pytest.approx(idle, abs=1e-9)


def test_f_static_quotas_shrink_with_the_pool():
    subtree, _ = quotas(STATIC, NO_QUOTA, 15.0)
    assert subtree[[1, 2]].tolist() == [10, 5]


def test_f_dynamic_quotas_that_exceed_one_are_scaled():
    subtree, own = quotas(floats(-1, -1, -1, -1, -1), floats(1, 0.66667, 0.33334, 0.75, 0.25), 30.0)
    assert subtree[[2, 3, 4]].tolist() == pytest.approx([10, 15, 5], abs=1e-3)
    assert own[0] == pytest.approx(0, abs=1e-9)


# J: DRF, and Armada's fair shares


def test_j_the_example_of_the_paper():
    tasks, used = np.zeros(2, np.int64), np.zeros(2, np.int64)
    need = np.ascontiguousarray(np.array([[1, 4], [3, 1]], np.int64).T)  # A: 1 CPU, 4 GB; B: 3 CPU, 1 GB
    capacity = ints(9, 18)
    drf.progressive_filling(capacity, need, floats(1, 1), tasks, used)
    assert tasks.tolist() == [3, 2]
    assert used.tolist() == [9, 14]
    held = need * tasks
    assert [drf.dominant_share(held, capacity, i) for i in (0, 1)] == [2 / 3, 2 / 3]


@pytest.mark.parametrize(
    ("weight", "demand", "capped", "uncapped"),
    [
        ((1, 1), (0.01, INF), (0.01, 0.99), (0.5, 0.99)),
        ((1, 3), (INF, INF), (0.25, 0.75), (0.25, 0.75)),
        ((1, 1, 1), (0.01, 0.40, INF), (0.01, 0.40, 0.59), (0.3808333333, 0.495, 0.59)),
    ],
)
def test_j_fair_shares(weight, demand, capped, uncapped):
    n = len(weight)
    got, more = np.zeros(n), np.zeros(n)
    drf.fair_shares(floats(*weight), floats(*demand), got, more, np.zeros(n))
    assert got.tolist() == pytest.approx(capped, abs=1e-9)
    assert more.tolist() == pytest.approx(uncapped, abs=1e-9)


def test_j_shares_of_nothing_are_even():
    demand = [drf.dominant_share(np.ones((1, 3), np.int64), ints(0), i) for i in range(3)]
    got, more = np.zeros(3), np.zeros(3)
    drf.fair_shares(floats(1, 1, 1), floats(*demand), got, more, np.zeros(3))
    assert got.tolist() == more.tolist() == [1 / 3] * 3


# K: KAI


@pytest.mark.parametrize(
    ("capacity", "keys", "expected", "spare"),
    [
        (15, {}, (6, 6), 3),
        (8, {"weight": (1, 3)}, (3, 5), 0),
        (12, {"limit": (5, -1)}, (5, 6), 1),
        (11, {"weight": (1, 4), "request": (10, 10)}, (3, 8), 0),
        (11, {"request": (10, 10)}, (6, 5), 0),
        (6, {"priority": (1, 2), "weight": (100, 1)}, (2, 4), 0),
        (5, {"request": (6, 6, 0)}, (3, 2, 0), 0),
    ],
)
def test_k_over_quota(capacity, keys, expected, spare):
    n = len(expected)
    case = {"weight": (2,) * n, "limit": (-1,) * n, "request": (6,) * n, "priority": (0,) * n} | keys
    share = np.zeros(n, np.int64)
    left = kai.fair_share(
        capacity,
        ints(*(2,) * n),
        ints(*case["limit"]),
        ints(*case["request"]),
        floats(*case["weight"]),
        ints(*case["priority"]),
        floats(*(0.0,) * n),
        0.0,
        share,
        np.zeros(n),
    )
    assert share.tolist() == list(expected)
    assert left == spare


def test_k_who_used_more_than_its_share_gets_less():
    """By hand: weights .5 each, used .75 and .25 with k = 1: .25 and .75, so 2 and 6 of 8 units."""
    share = np.zeros(2, np.int64)
    kai.fair_share(
        8, ints(0, 0), ints(-1, -1), ints(9, 9), floats(1, 1), ints(0, 0), floats(0.75, 0.25), 1.0, share, np.zeros(2)
    )
    assert share.tolist() == [2, 6]


# L: OAR; M: Moab; N: Karma; and LSF's formula by hand


def test_l_karma_of_oar():
    got = oar.karma(0.0, 0.0, 0.3, 0.1, 0.2, 0.0, 2.0, 1.0)
    assert got == pytest.approx(0.10, abs=1e-12)


def test_m_effective_usage_over_four_windows():
    """Newest window first in the example, which a site published; thousandths, as windows count whole numbers."""
    totals = [8154.4, 11532.8, 10236.3, 9345.5]
    percent = [55.81, 51.16, 44.05, 21.45]
    rows = np.array([[round(1e4 * t), round(1e2 * t * p)] for t, p in zip(totals, percent, strict=True)], np.int64)
    newest = 11  # stands in row 3
    ring = np.ascontiguousarray(rows[[(newest - row) % 4 for row in range(4)]])
    out = np.zeros(2)
    windows.weighted(ring, newest, 0.5, out)
    assert 100 * out[1] / out[0] == pytest.approx(50.31, abs=5e-3)
    component = moab.component(out[1] / out[0], 0.45, 0.0, 0.0, 1.0, 0.0)
    assert component == pytest.approx(0.45 - 0.5031, abs=1e-4)


def test_d_bins_of_flux_accounting():
    """Four bins of the past and the growing one: 64 + 16 + 8 + 1, and 16000."""
    ring = np.ascontiguousarray(np.array([16, 64, 64, 128, 16000], np.int64).reshape(5, 1))
    out = np.zeros(1)
    windows.weighted(ring, 4, 0.5, out)
    assert out[0] == 16089


def test_n_five_rounds_of_karma():
    capacity, start = 6, 100
    guaranteed, free = np.zeros(3, np.int64), np.zeros(3, np.int64)
    karma.guarantees(capacity, 0.5, floats(1 / 3, 1 / 3, 1 / 3), guaranteed, free)
    assert guaranteed.tolist() == free.tolist() == [1, 1, 1]
    credits_ = ints(start, start, start)
    rounds = [
        ((4, 1, 1), (4, 1, 1), (-2, 1, 1)),
        ((0, 3, 0), (0, 3, 0), (0, 0, 3)),
        ((2, 2, 5), (1, 1, 4), (1, 1, 1)),
        ((5, 5, 5), (2, 2, 2), (1, 1, 1)),
        ((3, 3, 0), (3, 3, 0), (0, 0, 3)),
    ]
    for demand, expected, relative in rounds:
        allocation = np.zeros(3, np.int64)
        karma.one_round(ints(*demand), guaranteed, free, capacity, credits_, allocation, np.zeros((3, 3), np.int64))
        assert allocation.tolist() == list(expected)
        assert (credits_ - start).tolist() == list(relative)


def test_dynamic_priority_of_lsf():
    """10 shares, 2 h of CPU time, 3 h running, 5 h committed, 4 slots: 10 / (1.4 + 2.1 + 0 + 15)."""
    factors = floats(0.7, 0.7, 0.0, 3.0)
    assert lsf.dynamic_priority(10.0, 2.0, 3.0, 5.0, 4.0, factors) == pytest.approx(10 / 18.5)
    assert lsf.dynamic_priority(10.0, 0.0, 0.0, 0.0, 0.0, factors) == pytest.approx(10 / 3)


def test_d_weighted_walk_of_flux_accounting():
    tree = account(
        "root",
        1,
        account("account1", 1000, user("a", 10000, 100), user("b", 1000, 11), user("c", 100000, 10)),
        account("account2", 100, user("d", 100000, 8), user("e", 10000, 3)),
        account("account3", 10, user("f", 100, 0), user("g", 10, 1)),
    )
    accounts, rows = table(tree)
    history = new_history(len(rows), 60_000, 0, interval_ms=3_600_000, n_windows=5)
    history.windows[0] = [round(node.usage) for node in rows]
    state = share_state(FLUX, accounts, history=history)
    fairshare_factors(handle(accounts), np.zeros(len(rows)), handle(state))
    expected = {"a": 0.285714, "b": 0.142857, "c": 0.428571, "d": 0.714286, "e": 0.571429, "f": 1.0, "g": 0.857143}
    got = {node.name: round(state.fairshare[i], 6) for i, node in enumerate(rows) if node.is_user}
    assert got == expected
