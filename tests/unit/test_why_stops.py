"""What `why` says of a job that was stopped before its end."""

from __future__ import annotations

import pytest

from apportion.sim.why.story import tell

STOP = {"time_s": 90.0, "start_s": 0.0, "preemptor": 7, "lost_core_s": 7200.0, "refunded_core_s": 0.0, "grace_s": 0.0}


@pytest.mark.parametrize(
    ("stop", "lines"),
    [
        ({"mode": "REQUEUE"}, ["t = 1 min 30 s  was stopped by job 7 (REQUEUE); 2.00 core-hours were lost."]),
        (
            {"mode": "CANCEL", "grace_s": 30.0, "refunded_core_s": 3600.0},
            [
                "t = 1 min 30 s  was stopped by job 7 (CANCEL), after 30 s of grace; 2.00 core-hours were lost.",
                "    1.00 of them were given back to its account.",
            ],
        ),
        (
            {"mode": "SUSPEND", "lost_core_s": 0.0},
            ["t = 1 min 30 s  was suspended by job 7 (SUSPEND); 0.00 core-hours were lost."],
        ),
    ],
)
def test_stops(stop, lines):
    facts = {
        "job_id": 3,
        "user": "ann",
        "procs": 4,
        "limit_s": 600.0,
        "submit_s": 0.0,
        "start_s": None,
        "state": "PREEMPTED",
        "preemptions": [STOP | stop],
    }
    told = tell(facts)
    place = told.index(lines[0])
    assert told[place : place + len(lines)] == lines
