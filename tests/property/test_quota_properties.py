"""Quotas over cohorts: the algebra agrees with its naive twin and keeps what it promises."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from apportion.core import cohort, cohort_share
from quota_cases import forests

AMOUNTS = st.integers(1, 9)


def played(data, forest, most=12, *, fairly):
    """Use and give back quota at random; ``fairly`` : only what is available."""
    for _ in range(data.draw(st.integers(0, most))):
        k = data.draw(st.integers(0, len(forest.nodes) - 1))
        cell = data.draw(st.sampled_from(forest.cells))
        amount = data.draw(AMOUNTS)
        own = forest.nodes[k].own.get(cell, 0)
        if data.draw(st.booleans()) and own:
            forest.use(k, cell, -min(amount, own))
        elif not fairly or amount <= forest.nodes[k].available(cell):
            forest.use(k, cell, amount)


def same(forest):
    for k, node in enumerate(forest.nodes):
        for c, cell in enumerate(forest.cells):
            assert forest.table.subtree[k, c] == node.subtree(cell)
            assert cohort.local_quota(forest.Q, k, c) == node.kept(cell)
            assert forest.table.usage[k, c] == node.usage(cell)
            assert cohort.available(forest.Q, k, c) == node.available(cell)
            assert cohort.potential_available(forest.Q, k, c) == node.potential(cell)


@given(forests(), st.data())
def test_agrees_with_the_twin(forest, data):
    same(forest)
    played(data, forest, fairly=data.draw(st.booleans()))
    same(forest)


@given(forests(), st.data())
def test_sums_from_scratch_agree_with_changes_one_by_one(forest, data):
    played(data, forest, fairly=False)
    usage = forest.table.usage.copy()
    cohort.sum_up(forest.Q)
    assert (forest.table.usage == usage).all()


@given(forests(), st.data())
def test_usage_stays_within_what_there_is(forest, data):
    played(data, forest, 30, fairly=True)
    for node in forest.nodes:
        for cell in forest.cells:
            if node.parent is None:
                assert sum(n.own.get(cell, 0) for n in node.all_below()) <= sum(
                    n.nominal.get(cell, 0) for n in node.all_below()
                )
            assert node.usage(cell) <= node.potential(cell)
            if cell in node.borrowing:
                assert node.usage(cell) <= node.subtree(cell) + node.borrowing[cell]


@given(forests(), st.data())
def test_nobody_is_kept_from_its_nominal_quota_once_borrowers_are_gone(forest, data):
    played(data, forest, 30, fairly=True)
    for k, node in enumerate(forest.nodes):
        for cell in forest.cells:
            borrowed = node.own.get(cell, 0) - node.nominal.get(cell, 0)
            if borrowed > 0:
                forest.use(k, cell, -borrowed)
    for node in forest.nodes:
        for cell in forest.cells:
            rest = node.nominal.get(cell, 0) - node.own.get(cell, 0)
            if rest > 0:
                assert node.available(cell) >= rest


@given(forests(2), st.data())
def test_dominant_shares_agree_with_the_twin(forest, data):
    played(data, forest, fairly=False)
    incoming = {cell: data.draw(AMOUNTS) for cell in forest.cells if data.draw(st.booleans())}
    found = []
    for k, node in enumerate(forest.nodes):
        resource, borrowed, of = cohort_share.dominant(forest.Q, k, forest.incoming(incoming))
        ratio, name = node.share(forest.cells, incoming)
        assert Fraction(borrowed, of) == ratio
        if ratio:
            assert sorted({r for _, r in forest.cells})[resource] == name
        found.append((node.weighted(forest.cells, incoming), borrowed, of))
    for a, (share_a, *numbers_a) in enumerate(found):
        for b, (share_b, *numbers_b) in enumerate(found):
            assert cohort_share.share_before(forest.Q, a, *numbers_a, b, *numbers_b) == (share_a < share_b)


@given(*(st.integers(0, 2**61), st.integers(1, 2**61)) * 2)
def test_fractions_are_compared_exactly(a, b, c, d):
    assert cohort_share.less(a, b, c, d) == (Fraction(a, b) < Fraction(c, d))
