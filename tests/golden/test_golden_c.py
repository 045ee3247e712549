"""TRES billing: the three jobs of Slurm's documentation, recomputed (CPU=1, Mem=0.25G)."""

from __future__ import annotations

import numpy as np
import pytest

from apportion.core.billing import GLOBAL, GRES, MAX_TRES, MAX_TRES_GRES, NODE, SUM, billing_milli

GIB = 1024
JOBS = np.array([[1, 60 * GIB], [16, 1 * GIB], [16, 60 * GIB]])
WEIGHTS = np.array([1.0, 0.25 / GIB])
KINDS = np.array([NODE, NODE])


@pytest.mark.parametrize(
    ("mode", "expected"), [(SUM, [16, 16.25, 31]), (MAX_TRES, [15, 16, 16]), (MAX_TRES_GRES, [15, 16, 16])]
)
def test_golden_c(mode: int, expected: list[float]):
    assert billing_milli(JOBS, WEIGHTS, KINDS, mode).tolist() == [round(1000 * value) for value in expected]


def test_generic_and_global_resources_are_added_where_slurm_adds_them():
    jobs = np.array([[4, 64, 3, 5]])  # CPUs, MiB, GPUs, licences
    weights = np.array([1.0, 0.125, 2.0, 0.5])
    kinds = np.array([NODE, NODE, GRES, GLOBAL])
    assert billing_milli(jobs, weights, kinds, SUM).tolist() == [20_500]  # 4 + 8 + 6 + 2.5
    assert billing_milli(jobs, weights, kinds, MAX_TRES).tolist() == [10_500]  # max(4, 8, 6) + 2.5
    assert billing_milli(jobs, weights, kinds, MAX_TRES_GRES).tolist() == [16_500]  # max(4, 8) + 6 + 2.5


def test_as_measured_on_slurm_22_05():
    weights = np.array([1.0, 0.25 / GIB, 8.0])  # "CPU=1.0,Mem=0.25G,GRES/gpu=8.0" billed 20.98
    assert billing_milli(np.array([[4, 4000, 2]]), weights, np.array([NODE, NODE, GRES])).tolist() == [20_977]


def test_without_weights_the_cpus_are_billed():
    assert billing_milli(JOBS, np.zeros(0), np.zeros(0, np.int64), MAX_TRES).tolist() == [1000, 16_000, 16_000]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="billing mode"):
        billing_milli(JOBS, WEIGHTS, KINDS, 3)
