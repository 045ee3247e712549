"""Multifactor priority: the check vector, worked examples, and the formula in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.multifactor import (
    MAX_PRIORITY,
    Terms,
    age_factor,
    job_size_factor,
    normalized,
    priority,
    static_priority,
    tres_term,
)
from oracles import multifactor as oracle

DAY = 86_400_000


def one(value: float) -> np.ndarray:
    return np.array([float(value)])


def vector_terms() -> Terms:
    size = job_size_factor(np.array([256]), np.array([8]), np.array([0]), cluster_cpus=4096, cluster_nodes=64)
    partition = normalized(np.array([10, 20]))
    qos = normalized(np.array([0, 50, 100]))
    return Terms(
        assoc=one(0),
        job_size=500 * size,
        partition=1000 * partition[[1]],
        qos=2000 * qos[[1]],
        tres=one(0),
        nice=one(100),
    )


def test_check_vector_gives_7208():
    static = static_priority(vector_terms())
    age = age_factor(7 * DAY, 3 * DAY + DAY // 2, 7 * DAY)
    assert age == 0.5
    assert priority(static[0], 1000.0, 10_000.0, age, 0.476190) == 7208


def test_partition_priorities_of_the_documentation():
    configured = np.array([20, 10])
    assert (5000 * normalized(configured)).tolist() == [5000, 2500]
    assert (5000 * normalized(configured, raw=True)).tolist() == [100_000, 50_000]
    assert normalized(np.array([0, 0])).tolist() == [0, 0]


def test_age_runs_from_eligibility_to_max_age():
    assert age_factor(100, 100, 7 * DAY) == 0.0
    assert age_factor(50, 100, 7 * DAY) == 0.0
    assert age_factor(7 * DAY + 100, 100, 7 * DAY) == 1.0
    assert age_factor(70 * DAY, 100, 7 * DAY) == 1.0
    assert age_factor(100, 100, 0) == 1.0


@pytest.mark.parametrize(
    ("total", "expected"),
    [(-5.0, 1), (0.0, 1), (0.999, 1), (1.0, 1), (7208.99, 7208), (2.0**32 - 1, MAX_PRIORITY), (1e18, MAX_PRIORITY)],
)
def test_result_is_truncated_and_kept_within_bounds(total: float, expected: int):
    assert priority(total, 0.0, 0.0, 0.0, 0.0) == expected


def test_tres_shares_of_the_partition():
    counts = np.array([[10, 1000], [20, 0], [5, 500]])
    totals = np.array([[100, 10_000], [40, 0]])
    partition = np.array([0, 1, 1])
    weights = np.array([1000.0, 200.0])
    assert tres_term(counts, totals, partition, weights).tolist() == [100 + 20, 500, 125]
    assert tres_term(counts, totals, partition, weights, raw=True).tolist() == [210_000, 20_000, 105_000]


@settings(deadline=None)
@given(
    cpus=st.integers(1, 4096),
    nodes=st.integers(1, 64),
    minutes=st.integers(1, 10_000),
    favor_small=st.booleans(),
    relative_to_time=st.booleans(),
)
def test_job_size_is_the_formula(cpus: int, nodes: int, minutes: int, favor_small: bool, relative_to_time: bool):
    expected = oracle.size_factor(cpus, nodes, minutes, 4096, 64, favor_small, relative_to_time)
    got = job_size_factor(
        np.array([cpus]),
        np.array([nodes]),
        np.array([minutes * 60_000]),
        cluster_cpus=4096,
        cluster_nodes=64,
        favor_small=favor_small,
        relative_to_time=relative_to_time,
    )
    assert got[0] == pytest.approx(float(expected), abs=1e-15)


def test_job_size_without_nodes_goes_by_cpus_and_without_limit_has_no_hurry():
    cpus = np.array([25, 100])
    limits = np.array([60_000, 0])
    assert job_size_factor(cpus, None, limits, cluster_cpus=100).tolist() == [0.25, 1.0]
    assert job_size_factor(cpus, None, limits, cluster_cpus=100, favor_small=True).tolist() == [0.75, 0.0]
    assert job_size_factor(cpus, None, limits, cluster_cpus=100, relative_to_time=True).tolist() == [0.25, 0.0]
    small = job_size_factor(cpus, None, limits, cluster_cpus=100, relative_to_time=True, favor_small=True)
    assert small.tolist() == [0.75, 1.0]


@settings(deadline=None)
@given(
    age=st.integers(0, 64),
    fairshare=st.integers(0, 64),
    age_weight=st.integers(0, 2**32 - 1),
    fairshare_weight=st.integers(0, 2**32 - 1),
    static=st.integers(-(2**31), 2**33),
)
def test_priority_is_the_formula(age: int, fairshare: int, age_weight: int, fairshare_weight: int, static: int):
    """With factors of n / 64 floating point is exact, so truncation must agree to the unit."""
    expected = oracle.priority(
        [(age_weight, Fraction(age, 64)), (fairshare_weight, Fraction(fairshare, 64))], site=static
    )
    assert priority(float(static), float(age_weight), float(fairshare_weight), age / 64, fairshare / 64) == expected
