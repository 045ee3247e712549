"""Who waited for resources: by the definition, found in the schedule, and the same in both drivers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apportion.core.reasons import PRIORITY, RESOURCES
from apportion.policy.load import from_dict
from apportion.sim.replay import replay
from driving import submissions
from oracles.jobs import Job
from workloads import workload

PROCS = 4
SECOND = 1000
ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(0, 3), st.integers(1, PROCS)), min_size=1, max_size=12
)
MACHINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "windowed": {"Licenses": "tool:9"},  # a further resource, which nobody asks for
}


def jobs_of(rows: list[tuple[int, int, int, int]]) -> list[Job]:
    ordered = sorted(rows, key=lambda row: row[0])
    return [
        Job(k, submit * SECOND, run * SECOND, (run + more) * SECOND, procs, 0)
        for k, (submit, run, more, procs) in enumerate(ordered, start=1)
    ]


def played(jobs: list[Job], **keys: Any) -> Any:
    """The state at the end, the same by both drivers."""
    table = submissions(jobs, PROCS)
    done = [replay(workload(jobs, table), from_dict(keys), engine) for engine in ("compiled", "simpy")]
    live = [one.compiled.state.live for one in done]
    assert np.array_equal(live[0].reasons, live[1].reasons)
    assert done[0].compiled.state.rules.plain == ("Licenses" not in keys)
    return live[0]


@pytest.mark.parametrize("machine", MACHINES)
@given(ROWS, st.sampled_from(["none", "easy"]))
@example([(0, 9, 0, 4), (1, 9, 0, 4), (2, 9, 0, 4), (3, 1, 0, 1)], "easy")
def test_the_first_in_line_waits_for_resources_and_the_others_for_those_before_them(machine, rows, backfill):
    """In the order of arrival a job is first in line as soon as all that came before it have started."""
    jobs = jobs_of(rows)
    live = played(jobs, Backfill=backfill, **MACHINES[machine])
    starts, reasons = live.start.tolist(), live.reasons.tolist()
    for k, one in enumerate(jobs):
        first_from = max([one.submit, *starts[:k]])
        if starts[k] > one.submit:
            assert bool(reasons[k] & RESOURCES) == (first_from < starts[k]), k


@given(ROWS)
def test_both_drivers_give_the_same_reasons_under_priorities(rows):
    played(jobs_of(rows), Order="multifactor", Backfill="easy", PriorityWeightJobSize=10_000, PriorityWeightAge=1000)


@pytest.mark.parametrize(
    "keys", [{"Backfill": "none"}, {"Backfill": "easy"}, {"Backfill": "easy", "Order": "multifactor"}]
)
def test_on_a_full_machine(keys):
    """1 has all processors; 2, first in line from the beginning, waits for them; 3 waits for 2, then for processors."""
    live = played(jobs_of([(0, 100, 0, 4), (1, 100, 0, 4), (2, 100, 0, 4)]), PriorityWeightAge=1000, **keys)
    assert (live.start // SECOND).tolist() == [0, 100, 200]
    assert live.reasons.tolist() == [0, RESOURCES, RESOURCES | PRIORITY]
