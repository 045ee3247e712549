"""Reading a trace under conventions: which jobs are replayed, and how."""

from __future__ import annotations

from apportion.sim.conventions import Conventions
from apportion.sim.workload import from_trace
from apportion.traces.schema import Status
from trace_cases import make_trace


def test_only_jobs_that_may_have_given_up_are_cancelled_at_their_moment():
    """A job that is said to have run, or runs still, waited until it started, not until its user gave up."""
    columns = {
        "run_ms": [5000, -1, -1, -1, -1],
        "wait_ms": [0, 2000, 2000, 2000, 2000],
        "status": [Status.COMPLETED, Status.CANCELLED, Status.UNKNOWN, Status.COMPLETED, Status.RUNNING],
        "procs_used": [1] * 5,
    }
    trace = make_trace(columns)
    assert from_trace(trace, Conventions(cancelled="replay")).row.tolist() == [0, 1, 2]
    assert from_trace(trace, Conventions(cancelled="drop")).row.tolist() == [0]


def test_a_job_logged_as_timed_out_that_ran_up_to_its_limit_is_killed():
    timeout, done = Status.TIMEOUT, Status.COMPLETED
    trace = make_trace(
        {
            "run_ms": [5000, 5000, 6000, 6000, 4000, 5000],
            "limit_ms": [5000, 5000, 5000, 5000, 5000, -1],
            "status": [timeout, done, timeout, done, timeout, timeout],
            "procs_used": [1] * 6,
        }
    )
    assert from_trace(trace, Conventions()).killed.tolist() == [True, False, True, True, False, True]
    raised = from_trace(trace, Conventions(over_limit="raise"))
    assert raised.killed.tolist() == [True, False, True, False, False, True]
    assert raised.run_ms.tolist() == trace.jobs["run_ms"].tolist()
