"""Fair Tree: the table of Slurm's own test24.4 (21 users), and the example in which tied accounts make a difference."""

from __future__ import annotations

import pytest

from apportion.core.handle import handle
from apportion.core.share import FAIR_TREE, FAIR_TREE_SLURM_26, fairshare_factors, share_state
from oracles.fairshare import PARENT, Node, account, fair_tree, user
from oracles.trees import factors, table, usage_of

RANKS = {
    21: "u1 aE1 aE2 uF1 uF2",
    16: "uBB1",
    15: "uBA1",
    14: "u2",
    13: "uAA1",
    12: "uAB2",
    11: "uAB1",
    10: "uD1 uDA1",
    8: "uDA2",
    7: "uD3 uDA3",
    5: "uD2",
    4: "uG1 uGA1",
    2: "uGA2",
    1: "uC1",
}
LEVEL_FS = {"aA": 1.025641, "aB": 2.769231, "aD": 0.524476, "aG": 0.461538, "u2": 1.153846}


def tree() -> Node:
    return account(
        "root",
        1,
        account("aA", 40, account("aAA", 30, user("uAA1", 1, 20)),
                account("aAB", 10, user("uAB1", 1, 25), user("uAB2", 1, 0))),
        account("aB", 60, account("aBA", 25, user("uBA1", 1, 25)), account("aBB", 35, user("uBB1", 1, 0))),
        account("aC", 0, user("uC1", 0, 30)),
        account("aD", 50,
                account("aDA", PARENT, user("uDA1", PARENT, 10), user("uDA2", 30, 10), user("uDA3", 50, 25)),
                user("uD1", PARENT, 20), user("uD2", 40, 20), user("uD3", 50, 25)),
        account("aE", 10, user("aE1", 10, 0), user("aE2", 10, 0)),
        user("u1", 10, 0),
        account("aF", 20, user("uF1", 10, 0), user("uF2", 20, 0)),
        account("aG", 8, user("uG1", 10, 10), account("aGA", 10, user("uGA1", 20, 4), user("uGA2", 20, 6))),
        user("u2", 10, 10),
    )  # fmt: skip


@pytest.mark.parametrize("engine", [FAIR_TREE, FAIR_TREE_SLURM_26])
def test_all_21_ranks(engine: int):
    expected = {name: rank / 21 for rank, names in RANKS.items() for name in names.split()}
    assert len(expected) == 21
    got = factors(engine, tree())
    assert {name: got[name] for name in expected} == expected


def test_the_oracle_gives_them_too():
    assert fair_tree(tree()) == {name: rank / 21 for rank, names in RANKS.items() for name in names.split()}


def test_level_fairshare():
    accounts, rows = table(tree())
    state = share_state(FAIR_TREE, accounts)
    fairshare_factors(handle(accounts), usage_of(rows), handle(state))
    level = {node.name: value for node, value in zip(rows, state.level_fs.tolist(), strict=True)}
    for name, expected in LEVEL_FS.items():
        assert level[name] == pytest.approx(expected, abs=5e-7)
    # Both are 22/17 on paper. That they differ, and how, is the rounding of Slurm's order of operations.
    assert level["uD3"] > level["uD2"]
    assert level["uD3"] == level["uDA3"]
    assert level["uD2"] == pytest.approx(22 / 17, rel=1e-15)


def tied() -> Node:
    return account(
        "root",
        1,
        account("A", 1, user("a1", 1, 0), user("a2", 1, 10)),
        account("B", 1, user("b1", 1, 0), user("b2", 1, 10)),
    )


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (FAIR_TREE, {"a1": 1.0, "b1": 1.0, "a2": 0.5, "b2": 0.5}),
        (FAIR_TREE_SLURM_26, {"a1": 1.0, "a2": 0.75, "b1": 0.75, "b2": 0.25}),
    ],
)
def test_tied_accounts_are_merged_as_documented_or_visited_in_turn(engine: int, expected: dict[str, float]):
    got = factors(engine, tied())
    assert {name: got[name] for name in expected} == expected
    assert fair_tree(tied(), merge_ties=engine == FAIR_TREE) == expected


def test_the_order_of_tied_accounts_is_that_of_their_rows_whatever_came_before():
    accounts, rows = table(tied())
    state = share_state(FAIR_TREE_SLURM_26, accounts)
    usage = usage_of(rows)
    more = usage.copy()
    more[[0, 1, 3]] += 100  # A, and with it a1, falls behind B
    for now in (more, usage):
        fairshare_factors(handle(accounts), now, handle(state))
    row = {node.name: i for i, node in enumerate(rows)}
    assert [state.fairshare[row[name]] for name in ("a1", "a2", "b1", "b2")] == [1.0, 0.75, 0.75, 0.25]


def lab() -> Node:
    """What sshare of Slurm 22.05.8 showed on a real cluster; the superuser has an association of its own."""
    return account(
        "root",
        1,
        user("superuser", 1, 0),
        account("physics", 40,
                account("qcd", 30, user("lab01", 1, 1592), user("lab02", 1, 1147)),
                account("astro", 10, user("lab03", 1, 1027))),
        account("bio", 40, user("lab04", 2, 1106), user("lab05", 1, 1835)),
        account("chem", 20, user("lab06", PARENT, 1835)),
    )  # fmt: skip


def test_as_shown_by_sshare_of_slurm_22_05():
    accounts, rows = table(lab())
    state = share_state(FAIR_TREE, accounts)
    fairshare_factors(handle(accounts), usage_of(rows), handle(state))
    row = {node.name: i for i, node in enumerate(rows)}
    shown = {
        "lab04": 0.857143,
        "lab05": 0.714286,
        "lab06": 0.571429,
        "lab02": 0.428571,
        "lab01": 0.285714,
        "lab03": 0.142857,
    }
    assert {name: round(state.fairshare[row[name]], 6) for name in shown} == shown
    # Level fairshare only nearly: sshare shows usage of now beside factors of the last calculation.
    level = {"bio": 1.149958, "lab04": 1.772884, "lab05": 0.534218, "lab02": 1.193949, "lab01": 0.860257}
    for name, expected in level.items():
        assert state.level_fs[row[name]] == pytest.approx(expected, rel=1e-3)
    norm_shares = {"bio": 0.396040, "lab04": 0.666667, "lab06": 0.198020, "lab01": 0.5}
    for name, expected in norm_shares.items():
        assert state.norm_shares[row[name]] == pytest.approx(expected, abs=5e-7)
    assert state.effective_usage[row["lab06"]] == 1.0
