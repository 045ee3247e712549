"""Short ways through Numba's compiler: what they write must do what Python does, as a part of another kernel and alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.handle import handle, table
from apportion.core.jit import JIT_DISABLED, kernel

LEAST, MOST = -(2**63), 2**63 - 1
ints = st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40), st.sampled_from([LEAST, LEAST + 1, MOST - 1, MOST]))


@table
class Numbers(NamedTuple):
    long: np.ndarray
    short: np.ndarray
    flags: np.ndarray
    real: np.ndarray
    grid: np.ndarray
    whole: int


def numbers(values):
    """A table whose columns hold the values in every way there is."""
    with np.errstate(over="ignore"):
        long = np.array(values, np.int64)
        return Numbers(
            long,
            long.astype(np.int8),
            long % 2 == 0,
            long / 3,
            np.arange(3 * len(values), dtype=np.int64).reshape(-1, 3),
            len(values),
        )


def compare(a, b):
    return [a < b, a <= b, a == b, a != b, a > b, a >= b, a > 0, a == 1]


def extremes(a, b, c):
    return min(a, b), max(a, b), min(a, b, c), max(c, b, a), max(a, 0), min(7, b), int(a)


def among(a):
    return a in (0, 1), a in (-1, 2, 3), a not in (1, 0)


def loops(a, b):
    up = 0
    for i in range(a):
        up += i
    between = 0
    for i in range(a, b):
        between += 10 * i
    down = 0
    for i in range(b - 1, a - 1, -1):
        down = 2 * down + i
    last = -5
    for i in range(b):
        if i == 2:
            continue
        last = i
        if i > a:
            break
    return up, between, down, last


def shift(N, i, by):
    """Write to every column, and read what was written through it and through a column that has a name."""
    long = N.long
    N.long[i] += by
    N.short[i] = N.long[i] % 100
    N.flags[i] = N.long[i] > 0
    N.real[i] = long[i]
    N.grid[i, 1] = long[i] - N.grid[i, 0] * 2
    row = N.grid[i]
    row[2] = 5
    N.long[0] = N.long.size + N.grid.size + long.size
    return (
        long[i],
        N.short[i],
        N.flags[i],
        N.real[i],
        N.grid[i, 1],
        N.grid[i, 2],
        N.grid[i].sum(),
        N.whole,
        N.grid.shape[1],
    )


def sums(a, b):
    total = a
    total += b
    total -= 2
    total *= 3
    return a + b, a - b, a * b, total, -a


def room(n):
    return np.zeros(n, np.int64).size


compiled_compare, compiled_extremes, compiled_among = kernel(compare), kernel(extremes), kernel(among)
compiled_loops, compiled_shift, compiled_sums, compiled_room = kernel(loops), kernel(shift), kernel(sums), kernel(room)


@kernel
def all_of_integers(a, b, c):
    return compiled_compare(a, b), compiled_extremes(a, b, c), compiled_among(a)


@kernel
def all_sums(a, b):
    return compiled_sums(a, b)


@kernel
def all_loops(a, b):
    return compiled_loops(a, b)


@kernel
def all_shifts(N, i, by):
    return compiled_shift(N, i, by)


@kernel
def asks_for_room(n):
    return compiled_room(n) + 1


@given(ints, ints, ints)
@settings(deadline=None)
def test_comparisons_extremes_and_tuples(a, b, c):
    expected = compare(a, b), extremes(a, b, c), among(a)
    assert all_of_integers(a, b, c) == expected
    assert compiled_compare(a, b) == expected[0]


@given(st.integers(-(2**30), 2**30), st.integers(-(2**30), 2**30))
@settings(deadline=None)
def test_sums(a, b):
    assert all_sums(a, b) == sums(a, b) == compiled_sums(a, b)


@pytest.mark.skipif(JIT_DISABLED, reason="without the JIT numbers are Python's, which do not overflow")
def test_sums_wrap_around():
    assert all_sums(MOST, 1)[0] == LEAST
    assert all_sums(LEAST, 1)[1] == MOST
    assert all_sums(2**62, 4)[2] == 0


@given(st.integers(-4, 9), st.integers(-4, 9))
@settings(deadline=None)
def test_loops(a, b):
    assert all_loops(a, b) == loops(a, b) == compiled_loops(a, b)


@given(st.lists(st.integers(-100, 27), min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_elements_of_columns(values, data):
    i, by = data.draw(st.integers(0, len(values) - 1)), data.draw(st.integers(-50, 50))
    plain, ours = numbers(values), numbers(values)
    expected = shift(plain, i, by)
    assert all_shifts(handle(ours), i, by) == expected
    for name, column, other in zip(Numbers._fields, plain, ours, strict=True):
        assert np.array_equal(column, other), name


def test_the_end_of_a_part_that_fails_reaches_python():
    assert asks_for_room(3) == 4
    with pytest.raises((ValueError, MemoryError)):
        asks_for_room(-1)
    with pytest.raises((ValueError, MemoryError)):
        asks_for_room(2**60)
