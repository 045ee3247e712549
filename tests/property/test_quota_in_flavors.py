"""Jobs that have quota in several flavours at once, beside sets of flavours for each job."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apportion.core import cohort
from apportion.core.cohort_tables import ALL_FLAVORS, NOT_COUNTED
from apportion.core.handle import handle
from limit_cases import jobs_table
from oracles.limits import Job
from oracles.quotas import Node
from quota_cases import ALL, table

FLAVORS = ("x", "y", "z")
CELLS = [(flavor, "cpu") for flavor in (ALL, *FLAVORS)]
PROCS = (1, 2, 4)
STEP = st.tuples(
    st.sampled_from(["reserve", "hold", "hold", "release"]),
    st.integers(0, len(PROCS) - 1),
    st.integers(ALL_FLAVORS, len(FLAVORS) - 1),
)


@given(st.lists(STEP, max_size=20))
def test_a_job_counts_once_in_each_flavour_that_it_has(steps):
    n = len(PROCS)
    node = Node("a", nominal=dict.fromkeys(CELLS, 5))
    columns = table([node], CELLS)._replace(
        of_assoc=np.zeros(1, np.int64),
        counted=np.full(n, NOT_COUNTED, np.int64),
        held=np.zeros((n, len(FLAVORS)), np.int8),
        tres=np.zeros(1, np.int64),
    )
    quotas = handle(columns)
    cohort.sum_up(quotas)
    tres = {"mem": 0, "node": 1, "gres/gpu": 0, "billing": 0}
    rows = [Job(assoc=0, qos=-1, partition=0, limit_ms=1, tres={"cpu": procs, **tres}) for procs in PROCS]
    jobs = handle(jobs_table(rows)._replace(submit=np.arange(n)))
    has: list[set[int]] = [set() for _ in PROCS]  # ALL_FLAVORS is in it where a job has any
    for what, j, flavor in steps:
        if what == "release":
            cohort.release(quotas, jobs, j)
            has[j] = set()
        elif what == "reserve":
            cohort.reserve(quotas, jobs, j, flavor)
            has[j] = {ALL_FLAVORS, flavor}
        else:
            cohort.hold(quotas, jobs, j, flavor)
            has[j] |= {ALL_FLAVORS, flavor}
        used = [sum(procs for k, procs in enumerate(PROCS) if f in has[k]) for f in range(-1, len(FLAVORS))]
        assert columns.usage[0].tolist() == used
        counted = cohort.count_out(quotas, jobs, j)
        without = [u - PROCS[j] * (f in has[j]) for f, u in enumerate(used, ALL_FLAVORS)]
        assert columns.usage[0].tolist() == without
        cohort.count_in(quotas, jobs, j, counted)
        assert columns.usage[0].tolist() == used
        for k, procs in enumerate(PROCS):
            for f in range(-1, len(FLAVORS)):
                lacking = {g for g in (ALL_FLAVORS, f) if g not in has[k] and used[g + 1] + procs > 5}
                assert (cohort.binding(quotas, jobs, k, f) != 0) == bool(lacking)
