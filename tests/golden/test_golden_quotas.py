"""Golden numbers of quotas over cohorts: the examples of Kueue's documentation, tests and design notes."""

from __future__ import annotations

from fractions import Fraction

import pytest

from apportion.core.cohort import available, potential_available
from apportion.core.cohort_history import averaged, entry_penalty
from apportion.core.cohort_share import dominant, permille
from apportion.core.tables import NEVER
from oracles.quotas import Node
from quota_cases import ALL, Forest

CPU, GPU = (ALL, "cpu"), (ALL, "gpu")


# G: nominal quotas of 9 and 12 in one cohort


@pytest.mark.parametrize(
    ("borrowing", "lending", "first", "second"),
    [
        ({}, {}, 21, 21),
        ({CPU: 1}, {}, 10, 21),
        ({}, {CPU: 1}, 10, 21),
        ({CPU: 0}, {}, 9, 21),
        ({}, {CPU: 0}, 9, 21),
    ],
)
def test_g_what_a_cohort_lets_its_members_reach(borrowing, lending, first, second):
    top = Node("cohort")
    a = Node("a", top, nominal={CPU: 9}, borrowing=borrowing)
    b = Node("b", top, nominal={CPU: 12}, lending=lending)
    forest = Forest([top, a, b], [CPU])
    for k, most in ((1, first), (2, second)):
        assert available(forest.Q, k, 0) == potential_available(forest.Q, k, 0) == most


def test_g_what_one_has_borrowed_the_other_lacks():
    top = Node("cohort")
    forest = Forest([top, Node("a", top, nominal={CPU: 9}), Node("b", top, nominal={CPU: 12})], [CPU])
    forest.use(1, CPU, 19)
    assert available(forest.Q, 1, 0) == available(forest.Q, 2, 0) == 2
    forest.use(1, CPU, -10)
    assert available(forest.Q, 2, 0) == 12


# H: dominant resource shares, in thousandths


def share(forest: Forest, node: int, incoming=None) -> int:
    resource, borrowed, of = dominant(forest.Q, node, forest.incoming(incoming or {}))
    assert (resource < 0) == (borrowed == 0)
    return permille(forest.Q, node, borrowed, of)


def test_h_two_of_ten_gpus():
    top = Node("cohort")
    forest = Forest([top, Node("a", top, nominal={GPU: 5}), Node("lender", top, nominal={GPU: 5})], [GPU])
    assert share(forest, 1) == 0
    forest.use(1, GPU, 7)
    assert share(forest, 1) == 200
    assert share(forest, 0) == 0  # a root borrows from nobody


def test_h_what_is_to_come_counts():
    top = Node("cohort")
    forest = Forest([top, Node("a", top, nominal={CPU: 2}), Node("lender", top, nominal={CPU: 8})], [CPU])
    forest.use(1, CPU, 1)
    assert share(forest, 1, {CPU: 4}) == 300
    forest.use(1, CPU, 2)
    assert share(forest, 1) == 100


def test_h_rounded_up_and_weighed():
    top = Node("cohort")
    nodes = [
        top,
        Node("a", top, nominal={CPU: 500}),
        Node("b", top, nominal={CPU: 500}),
        Node("c", top, nominal={CPU: 500}),
    ]
    forest = Forest(nodes, [CPU])
    forest.use(1, CPU, 501)
    assert dominant(forest.Q, 1, forest.incoming({})) == (0, 1, 1500)  # .667 of a thousandth
    assert share(forest, 1) == 1
    nodes[1].weight = Fraction(300)
    again = Forest(nodes, [CPU])
    again.use(1, CPU, 299)
    assert dominant(again.Q, 1, again.incoming({})) == (0, 300, 1500)
    assert share(again, 1) == 1  # 200 thousandths by a weight of 300


def test_h_without_weight_any_loan_is_infinite():
    top = Node("cohort")
    a = Node("a", top, nominal={CPU: 1}, weight=Fraction(0))
    forest = Forest([top, a, Node("lender", top, nominal={CPU: 8})], [CPU])
    forest.use(1, CPU, 1)
    assert share(forest, 1) == 0
    forest.use(1, CPU, 1)
    assert share(forest, 1) == NEVER


def test_h_of_equal_shares_the_first_resource_by_name_counts():
    top = Node("cohort")
    forest = Forest([top, Node("a", top), Node("lender", top, nominal={CPU: 10, GPU: 5})], [CPU, GPU])
    forest.use(1, GPU, 1)
    assert dominant(forest.Q, 1, forest.incoming({CPU: 2}))[0] == 0
    assert dominant(forest.Q, 1, forest.incoming({CPU: 1}))[0] == 1


# I: admission fair sharing: half-life of 10 minutes, samples every 5


def test_i_averages_and_the_entry_penalty():
    usage, found = 0.0, []
    for current in (8.0, 8.0, 0.0, 0.0):
        usage = averaged(usage, current, 5.0, 10.0)
        found.append(usage)
    assert found == pytest.approx([2.3431, 4.0, 2.8284, 2.0], abs=5e-5)
    assert entry_penalty(4.0, 5.0, 10.0) == pytest.approx(1.17157, abs=5e-6)


def test_i_a_penalty_is_what_the_next_sample_would_have_added():
    assert averaged(3.0, 4.0, 5.0, 10.0) == pytest.approx(averaged(3.0, 0.0, 5.0, 10.0) + entry_penalty(4.0, 5.0, 10.0))
    assert averaged(3.0, 4.0, 5.0, 0.0) == 4.0
