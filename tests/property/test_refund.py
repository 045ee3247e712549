"""A refund leaves usage as if the job had stopped earlier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.calendar import RESET_DAILY
from apportion.core.handle import handle
from apportion.core.usage import advance, charge_end, charge_start, new_usage, refund, usage_params

PARENT = np.array([-1, 0, 1])
EXTRA = np.zeros(0, np.int64)
PERIOD = 300_000
JOB = (2, 0, 4000, 4, EXTRA)


def book(decay: str, half_life_s: float, no_decay: int, **rules):
    params = usage_params(
        half_life_s, PERIOD, decay=decay, usage_factor=np.array([500]), no_decay=np.array([no_decay]), **rules
    )
    usage = new_usage(len(PARENT), params, 0, 40)
    return usage, handle(usage), handle(params)


@given(
    start=st.integers(0, 700),
    ran=st.integers(0, 4000),
    part=st.floats(0, 1),
    half_life_s=st.sampled_from([0, 3600, 604_800]),
    no_decay=st.integers(0, 1),
)
def test_as_if_it_had_stopped_before(start, ran, part, half_life_s, no_decay):
    start, end = start * 1000, (start + ran) * 1000
    lost = int(ran * part) * 1000
    found = []
    for refunded in (True, False):
        usage, u, p = book("exact", half_life_s, no_decay)
        advance(u, p, start)
        charge_start(u, p, PARENT, *JOB, start)
        stop = end if refunded else end - lost
        advance(u, p, stop)
        charge_end(u, p, PARENT, *JOB, start, stop)
        if refunded and lost:
            refund(u, p, PARENT, *JOB, end - lost, end)
        advance(u, p, end + PERIOD)
        found.append((usage.value.copy(), usage.daily.copy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9, abs=1e-3)
    assert (found[0][1] == found[1][1]).all()


@given(
    start=st.integers(0, 700),
    ran=st.integers(1, 4000),
    lost=st.integers(1, 4000),
    half_life_s=st.sampled_from([3600, 604_800]),
)
def test_slurms_ageing_and_resets_leave_nothing_below_zero(start, ran, lost, half_life_s):
    day = 86_400_000
    start, end = day - start * 1000, day + (ran - 700) * 1000
    if end <= start:
        return
    usage, u, p = book("slurm", half_life_s, 0, reset=RESET_DAILY)
    advance(u, p, start)
    charge_start(u, p, PARENT, *JOB, start)
    advance(u, p, end)
    charge_end(u, p, PARENT, *JOB, start, end)
    refund(u, p, PARENT, *JOB, max(start, end - lost * 1000), end)
    advance(u, p, end + PERIOD)
    assert usage.value.min() >= -1e-3
