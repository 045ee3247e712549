"""What must hold of fair-share whatever the tree, and of usage whatever the history."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.handle import handle
from apportion.core.share import (
    CLASSIC,
    DEPTH_OBLIVIOUS,
    FAIR_TREE,
    FAIR_TREE_SLURM_26,
    fairshare_factors,
    share_state,
)
from oracles.fairshare import Node, users, walk
from oracles.histories import Event, histories, play
from oracles.trees import factors, table, trees, usage_of

relaxed = settings(deadline=None, max_examples=60)  # the first call compiles
FAIR_TREES = [FAIR_TREE, FAIR_TREE_SLURM_26]


def summed(node: Node) -> float:
    """Set the usage of accounts from that of the users below."""
    if not node.is_user:
        node.usage = sum(summed(child) for child in node.children)
    return node.usage


@pytest.mark.parametrize(
    "engine", [CLASSIC, DEPTH_OBLIVIOUS, *FAIR_TREES]
)  # those without a history of their own: see test_engines.py
@relaxed
@given(root=trees(), exponent=st.integers(-20, 20))
def test_scaling_all_usage_changes_nothing(engine: int, root: Node, exponent: int):
    """By powers of two, which are exact; other scales round, and a tie on paper may then break."""
    scaled = copy.deepcopy(root)
    for node in walk(scaled):
        node.usage *= 2.0**exponent
    assert factors(engine, scaled) == factors(engine, root)


@pytest.mark.parametrize("engine", FAIR_TREES)
@relaxed
@given(data=st.data(), root=trees())
def test_using_more_never_raises_ones_own_rank(engine: int, data: st.DataObject, root: Node):
    if not users(root):
        return
    name = data.draw(st.sampled_from([node.name for node in users(root)]))
    more = copy.deepcopy(root)
    next(node for node in users(more) if node.name == name).usage += data.draw(st.sampled_from([0.5, 1.0, 9.0, 1e6]))
    summed(more)
    assert factors(engine, more)[name] <= factors(engine, root)[name]


@relaxed
@given(data=st.data(), root=trees())
def test_names_and_numbers_of_associations_do_not_matter(data: st.DataObject, root: Node):
    """Any order of rows in which parents come first. With slurm-26 the order of tied accounts does matter."""
    order, front = [], [root]
    while front:
        node = front.pop(data.draw(st.integers(0, len(front) - 1)))
        order.append(node)
        front += node.children
    for engine in (FAIR_TREE, CLASSIC, DEPTH_OBLIVIOUS):
        assert factors(engine, root, order) == factors(engine, root)


@pytest.mark.parametrize("engine", FAIR_TREES)
@relaxed
@given(data=st.data(), root=trees())
def test_an_evaluation_owes_nothing_to_those_before(engine: int, data: st.DataObject, root: Node):
    accounts, rows = table(root)
    kept = share_state(engine, accounts)
    for _ in range(3):
        for node in users(root):
            node.usage = data.draw(st.sampled_from([0.0, 1.0, 2.0, 5.0]))
        summed(root)
        fresh = share_state(engine, accounts)
        for state in (kept, fresh):
            fairshare_factors(handle(accounts), usage_of(rows), handle(state))
        assert kept.fairshare.tolist() == fresh.fairshare.tolist()


@pytest.mark.parametrize("engine", FAIR_TREES)
@relaxed
@given(root=trees())
def test_ranks_are_a_competition(engine: int, root: Node):
    """As many users stand at or above rank r as there are places down to the next rank."""
    n = len(users(root))
    ranks = sorted((round(factors(engine, root)[node.name] * n) for node in users(root)), reverse=True)
    assert all(1 <= rank <= n for rank in ranks)
    for rank in set(ranks):
        assert sum(other > rank for other in ranks) == n - rank


def test_a_large_tree_in_a_bad_order_is_still_quick():
    """Usage that falls with the row is the worst case of an insertion sort."""
    n = 20_000
    accounts, _ = table(Node("root", 1, children=[Node(f"u{i}", 1, is_user=True) for i in range(n)]))
    state = share_state(FAIR_TREE, accounts)
    usage = np.arange(n + 1, 0, -1, dtype=np.float64)
    usage[0] = usage[1:].sum()
    fairshare_factors(handle(accounts), usage, handle(state))
    assert state.fairshare[1:].tolist() == (np.arange(1, n + 1) / n).tolist()


@relaxed
@given(data=st.data(), history=histories(step_ms=250))
def test_usage_does_not_depend_on_when_it_is_asked_for(data: st.DataObject, history: list[Event]):
    last = max((event.time for event in history), default=0) + 3_000_000
    asked = data.draw(st.lists(st.integers(0, last), max_size=20))
    for rules in ({"decay": "slurm"}, {"decay": "exact"}):
        plain = play(history, last, 86_400.0, **rules)
        often = play(history, last, 86_400.0, asked=asked, **rules)
        assert plain.value.tobytes() == often.value.tobytes()
        assert plain.clock.tolist() == often.clock.tolist()


@relaxed
@given(data=st.data(), history=histories(step_ms=250))
def test_usage_does_not_depend_on_the_order_within_an_instant(data: st.DataObject, history: list[Event]):
    last = max((event.time for event in history), default=0) + 3_000_000
    shuffled = data.draw(st.permutations(history))
    shuffled.sort(key=lambda event: (event.time, not event.is_start))
    assert play(history, last, 86_400.0).value.tobytes() == play(shuffled, last, 86_400.0).value.tobytes()
