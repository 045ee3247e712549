"""Classic fair-share: the worked example of Slurm's documentation, which is also its own test24.1."""

from __future__ import annotations

import pytest

from apportion.core.handle import handle
from apportion.core.share import CLASSIC, fairshare_factors, share_state
from oracles.fairshare import Node, account, classic, user
from oracles.trees import table, usage_of

EFFECTIVE = {"B": 0.3875, "C": 0.3000, "E": 0.2500, "F": 0.145833}
FACTORS = {"U1": 0.408479, "U2": 0.022097, "U3": 0.125000, "U4": 0.500000, "U5": 0.749154}


def tree() -> Node:
    root = account(
        "root",
        1,
        account("A", 40, account("B", 30, user("U1", 1, 20)), account("C", 10, user("U2", 1, 25), user("U3", 1, 0))),
        account("D", 60, account("E", 25, user("U4", 1, 25)), account("F", 35, user("U5", 1, 0))),
    )
    root.usage = 100.0  # the remaining 30 were used by associations that are gone
    return root


def test_factors_and_effective_usage_are_those_of_the_documentation():
    accounts, rows = table(tree())
    state = share_state(CLASSIC, accounts)
    fairshare_factors(handle(accounts), usage_of(rows), handle(state))
    row = {node.name: i for i, node in enumerate(rows)}
    for name, expected in EFFECTIVE.items():
        assert state.effective_usage[row[name]] == pytest.approx(expected, abs=5e-7)
    for name, expected in FACTORS.items():
        assert state.fairshare[row[name]] == pytest.approx(expected, abs=5e-7)


def test_the_oracle_gives_them_too():
    factors = classic(tree())
    for name, expected in FACTORS.items():
        assert factors[name] == pytest.approx(expected, abs=5e-7)
