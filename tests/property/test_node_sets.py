"""Sets of nodes as words of bits, against sets of Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apportion.core import node_sets
from apportion.core.node_sets import WORD

NODES = 3 * WORD


@given(
    members=st.sets(st.integers(0, NODES - 1)),
    ends=st.sets(st.integers(0, NODES), min_size=2, max_size=2),
    every=st.booleans(),
)
def test_members_of_a_range_are_counted(members: set[int], ends: set[int], every: bool) -> None:
    low, high = sorted(ends)
    words = np.full(NODES // WORD, 5)
    node_sets.fill(words, every)
    for i in sorted(members):
        node_sets.include(words, i)
    assert node_sets.count(words, low, high) == len(set(range(low, high)) & (set(range(NODES)) if every else members))
