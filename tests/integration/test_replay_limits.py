"""A hand-made case with several limits at once, from the trace to the run folder: starts, plans and reasons."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from apportion.cli.main import main

# id, submit, run, processors, limit (-1: none asked), user, queue; all that SWF wants beside is unknown
JOBS = [
    (1, 0, 100, 2, 100, 1, 1),  # starts at once
    (2, 1, 10, 1, 10, 1, 1),  # one of its user runs already, and two of its account's two processors are in use
    (3, 2, 50, 4, 50, 2, 1),  # first in line: needs the whole machine, free at 100 by the limit of job 1
    (4, 3, 20, 1, 200, 3, 1),  # would fit, but not end before 100
    (5, 4, 30, 1, 30, 2, 2),  # a partition that is down
    (6, 5, 30, 1, 30, 2, 3),  # one that is inactive
    (7, 6, 10, 3, 1200, 1, 4),  # over the time of its partition and its QOS, and over the processors of its account
    (8, 7, 300, 1, -1, 4, 4),  # asks for no time and gets 240 s, which end it; it fits and ends after 100, like job 4
    (9, 8, 5, 1, 60, 3, 1),  # fits and ends by 100: backfilled
]
POLICY = """
Order = "fcfs"
Backfill = "{backfill}"
SchedulerParameters = "bf_interval=10,bf_resolution=1"
DefaultQOS = "normal"

[[accounts]]
Name = "physics"
GrpTRES = "cpu=2"

[[users]]
User = "1"
Account = "physics"
MaxJobs = 1

[[qos]]
Name = "normal"

[[qos]]
Name = "short"
MaxWall = "0:600"

[[partitions]]
Name = "batch"
Match = "1"

[[partitions]]
Name = "broken"
Match = "2"
State = "DOWN"

[[partitions]]
Name = "shut"
Match = "3"
State = "INACTIVE"

[[partitions]]
Name = "quick"
Match = "4"
DefaultTime = "0:240"
MaxTime = "0:900"

[[assign]]
[assign.Match]
User = "1"
[assign.Set]
Account = "physics"
QOS = "short"
"""
LIMITED = "AssocMaxJobsLimit,AssocGrpCpuLimit"
NEVER = "PartitionTimeLimit,QOSMaxWallDurationPerJobLimit,AssocGrpCpuLimit"


@pytest.fixture
def files(tmp_path):
    trace = tmp_path / "hand.swf"
    lines = [
        f"{i} {submit} -1 {run} {procs} -1 -1 {procs} {limit} -1 1 {user} -1 -1 {queue} -1 -1 -1"
        for i, submit, run, procs, limit, user, queue in JOBS
    ]
    trace.write_text("; MaxProcs: 4\n" + "\n".join(lines) + "\n")
    return trace, tmp_path / "policy.toml", tmp_path / "run"


def replayed(files, backfill, engine, *more):
    trace, policy, out = files
    policy.write_text(POLICY.format(backfill=backfill))
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(trace), "--policy", str(policy), "-o", str(out), "--engine", engine, "--no-report", *more])
    assert stopped.value.code == 0
    return pd.read_parquet(out / "jobs.parquet").set_index("job_id"), json.loads((out / "manifest.json").read_text())


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_easy_tells_starts_plans_and_reasons(files, engine, capsys):
    jobs, facts = replayed(files, "easy", engine)
    # Job 1 ends at 100 and lets job 2 start; job 3 then waits for it until 110, and job 4 and 8 for job 3 until 160.
    assert jobs["start_s"].tolist()[:4] == [0, 100, 110, 160]
    assert jobs.loc[[8, 9], "start_s"].tolist() == [160, 8]
    assert jobs["start_s"].isna().tolist() == [False] * 4 + [True] * 3 + [False] * 2
    assert jobs["reasons"].tolist() == [
        *("", LIMITED, "Resources", "Resources,Priority"),  # once job 3 has started, job 4 is first in line
        *("PartitionDown", "PartitionInactive", NEVER, "Priority", ""),
    ]
    assert jobs.loc[3, "planned_start_s"] == 100
    assert jobs["state"].tolist()[4:8] == ["PENDING", "REJECTED", "PENDING", "TIMEOUT"]
    assert (jobs.loc[8, "limit_s"], jobs.loc[8, "end_s"]) == (240, 400)
    assert facts["counts"]["still_pending"] == 2
    assert facts["waiting"] == [
        {"job_id": 5, "reasons": ["PartitionDown: partition broken starts no job"]},
        {
            "job_id": 7,
            "reasons": [
                "PartitionTimeLimit: partition quick allows at most 15 min, 0 min in use, 20 min asked",
                "QOSMaxWallDurationPerJobLimit: QOS short allows at most 10 min, 0 min in use, 20 min asked",
                "AssocGrpCpuLimit: association physics allows at most 2 cpu, 0 in use, 3 asked",
            ],
        },
    ]
    assert "job 5 (and 1 more): PartitionDown: partition broken starts no job" in capsys.readouterr().out


@pytest.mark.parametrize("backfill", ["conservative", "slurm"])
def test_plans_of_the_backfills_that_plan_all(files, backfill):
    jobs, _ = replayed(files, backfill, "compiled")
    # Job 2 is held until 100 and has no plan before; job 3 is promised 100 and job 4 150, when job 3 would end.
    assert jobs.loc[[3, 4], "planned_start_s"].tolist() == [100, 150]
    assert np.isnan(jobs.loc[[5, 6, 7], "planned_start_s"]).all()
    assert jobs.loc[[2, 5, 7], "reasons"].tolist() == [LIMITED, "PartitionDown", NEVER]
    assert jobs.loc[3, "reasons"] == "Resources"


def test_times_that_are_not_asked_for(files):
    jobs, _ = replayed(files, "easy", "compiled", "--over-limit", "raise")
    assert (jobs.loc[8, "limit_s"], jobs.loc[8, "state"]) == (300, "COMPLETED")
    jobs, _ = replayed(files, "easy", "compiled", "--limit", "exact")
    assert (jobs.loc[8, "limit_s"], jobs.loc[8, "state"]) == (300, "COMPLETED")
