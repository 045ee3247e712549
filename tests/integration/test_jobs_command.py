"""``apportion jobs``: a run's jobs in the looks of sacct, against what its table holds."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from apportion.cli.main import main
from apportion.traces import write_parquet
from apportion.traces.merge import merge
from trace_cases import make_trace

ORIGIN = datetime(2024, 3, 31, 0, 30, tzinfo=ZoneInfo("Europe/Paris"))  # clocks go forward at 02:00


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    columns = {
        "job_id": [7, 8, 9],
        "submit_ms": [0, 60_000, 120_000],
        "run_ms": [7_200_000, 90_061_000, 1_000],
        "procs_req": [4, 4, 4],
        "limit_ms": [7_200_000, 3_600_000, 60_000],
        "status": [1, 1, 5],
        "user": ["ann", "bob", "ann"],
        "account": ["phys", "chem", "phys"],
    }
    trace = make_trace(columns, origin_ms=int(ORIGIN.timestamp() * 1000), timezone="Europe/Paris", max_procs=4)
    write_parquet(trace, folder / "made.parquet")
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(folder / "made.parquet"), "--policy", "fcfs", "--out", str(folder / "run"), "--no-report"])
    assert stopped.value.code == 0
    return folder / "run"


@pytest.fixture
def listed(run, capsys):
    def command(*words, expect=0):
        with pytest.raises(SystemExit) as stopped:
            main(["jobs", str(run), *words])
        assert stopped.value.code == expect
        captured = capsys.readouterr()
        return captured.out.splitlines() if expect == 0 else captured.err

    return command


def test_times_and_lengths_are_written_as_slurm_does(listed):
    fields = "JobID,User,Submit,Start,End,Planned,Elapsed,Timelimit,State,NCPUS"
    # 7 runs two hours at once, over the hour that is left out; 8 then an hour, to its limit; 9 follows
    assert listed("-P", "-o", fields) == [
        "JobID|User|Submit|Start|End|Planned|Elapsed|Timelimit|State|NCPUS",
        "7|ann|2024-03-31T00:30:00|2024-03-31T00:30:00|2024-03-31T03:30:00|00:00:00|02:00:00|02:00:00|COMPLETED|4",
        "8|bob|2024-03-31T00:31:00|2024-03-31T03:30:00|2024-03-31T04:30:00|01:59:00|01:00:00|01:00:00|TIMEOUT|4",
        "9|ann|2024-03-31T00:32:00|2024-03-31T04:30:00|2024-03-31T04:30:01|02:58:00|00:00:01|00:01:00|CANCELLED|4",
    ]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("-u", "ann"), ["7", "9"]),
        (("-u", "ann,bob", "-A", "chem"), ["8"]),
        (("-s", "TIMEOUT"), ["8"]),
        (("-j", "8,9"), ["8", "9"]),
        (("-M", "made"), ["7", "8", "9"]),
    ],
)
def test_jobs_are_chosen_as_sacct_does(listed, words, ids):
    assert listed("-n", "-P", "-o", "jobid", *words) == ids


def test_columns_line_up_and_json_holds_the_table(listed, run):
    lines = listed("-o", "jobid%10,user,elapsed")
    assert lines == ["JobID User  Elapsed", "----- ---- --------", *lines[2:]]
    assert {len(line) for line in lines} == {len(lines[0])}
    rows = json.loads("\n".join(listed("--json")))
    table = pd.read_parquet(run / "jobs.parquet")
    assert [row["wait_s"] for row in rows] == table["wait_s"].tolist()
    assert rows[1]["reasons"] == "Priority" or rows[1]["reasons"] == "Resources"


def test_mistakes_are_one_line(listed):
    assert "'-o': 'Foo' is no field" in listed("-o", "Foo", expect=2)
    assert "no job has the user 'eve'" in listed("-u", "eve", expect=1)


def test_a_choice_without_jobs_is_an_empty_list(listed):
    assert listed("-u", "bob", "-s", "completed", "-P", "-o", "JobID") == ["JobID"]
    assert listed("-u", "bob", "-s", "completed", "-n") == []
    assert listed("-u", "bob", "-s", "completed", "--json") == ["[]"]
    assert "there is no job '10'" in listed("-j", "10", expect=1)


def test_jobs_of_merged_traces_keep_their_center(tmp_path, capsys):
    one = {"submit_ms": [0], "run_ms": [1000], "procs_req": [1], "status": [1]}
    both = merge([make_trace(one, name=name, max_procs=2) for name in ("north", "south")], align="start")
    write_parquet(both, tmp_path / "both.parquet")
    for words in (["replay", "both.parquet", "--out", "run", "--no-report"], ["jobs", "run", "-nPo", "JobID,Cluster"]):
        with pytest.raises(SystemExit):
            main([str(tmp_path / word) if word in ("both.parquet", "run") else word for word in words])
    assert capsys.readouterr().out.splitlines()[-2:] == ["1|north", "2|south"]
