"""``apportion conformance`` with schedules of strangers: whole, in other notations, and with every kind of fault."""

from __future__ import annotations

import json

import pytest

from apportion.cli.main import main

WORKLOAD = """; MaxProcs: 4
1 0 -1 100 4 -1 -1 4 100 -1 1 1 1 -1 -1 -1 -1 -1
2 10 -1 20 2 -1 -1 2 20 -1 1 1 1 -1 -1 -1 -1 -1
3 20 -1 50 2 -1 -1 2 30 -1 1 1 1 -1 -1 -1 -1 -1
4 25 -1 20 8 -1 -1 8 20 -1 1 1 1 -1 -1 -1 -1 -1
5 30 10 -1 2 -1 -1 2 20 -1 5 1 1 -1 -1 -1 -1 -1
"""
# Job 3 is killed at its limit of 30 s, 4 is wider than the machine, 5 was cancelled before it started.
SCHEDULE = """job_id,submit,start,end,procs
1,0,0,100,4
2,10,100,120,2
3,20,100,130,2
4,25,-1,-1,8
5,30,-1,-1,2
"""


def conformance(folder, capsys, *, workload=WORKLOAD, schedule=SCHEDULE, name="mine.easy.csv"):
    """Exit code, verdicts of the folder's own schedules, and what was said on stderr."""
    (folder / "mine.swf").write_text(workload)
    (folder / name).write_text(schedule)
    with pytest.raises(SystemExit) as stopped:
        main(["conformance", "--oracles", str(folder), "--json"])
    out, err = capsys.readouterr()
    own = [verdict for verdict in json.loads(out) if verdict["name"].startswith("mine")] if out else []
    return stopped.value.code, own, err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("4,25,-1,-1,8\n5,30,-1,-1,2\n", "5,30,,,2\n4,25,,,8\n"),  # in another order, and nothing for never
        ("job_id,submit,start", "JOB_ID , submit,Start"),
        ("2,10,100,120,2", '"2",10.0,100.000,120,2'),
        ("3,20,100,130,2", "3,20,100,-1,2"),  # this end is not known
    ],
)
def test_a_schedule_that_is_right_is_found_right_in_both_drivers(old, new, tmp_path, capsys):
    code, verdicts, err = conformance(tmp_path, capsys, schedule=SCHEDULE.replace(old, new))
    assert code == 0
    assert [(v["engine"], v["jobs"], v["equal"], v["first"]) for v in verdicts] == [
        ("compiled", 5, 5, ""),
        ("simpy", 5, 5, ""),
    ]
    assert err == ""


def test_a_workload_need_not_be_in_submit_order(tmp_path, capsys):
    head, *lines = WORKLOAD.splitlines()
    code, verdicts, _ = conformance(tmp_path, capsys, workload="\n".join([head, *reversed(lines)]))
    assert code == 0
    assert len(verdicts) == 2


@pytest.mark.parametrize("key", ["conservative", "CONS-batch", "sjf+easy", "easy-sjbf"])
def test_a_policy_may_have_the_name_of_a_preset(key, tmp_path, capsys):
    code, verdicts, _ = conformance(tmp_path, capsys, name=f"mine.{key}.csv")
    assert code == 0
    assert len(verdicts) == 2


@pytest.mark.parametrize(
    ("old", "new", "first", "equal"),  # of five starts
    [
        ("2,10,100,120", "2,10,90,110", "job 2 starts at 100 s, known is at 90 s", 4),
        ("2,10,100,120", "2,10,100.5,120", "job 2 starts at 100 s, known is at 100.5 s", 4),
        ("3,20,100,130", "3,20,100,150", "job 3 ends at 130 s, known is at 150 s", 5),
        ("4,25,-1,-1", "4,25,1234567,1234587", "job 4 starts never, known is at 1234567 s", 4),
        ("2,10,100,120", "2,10,-1,-1", "job 2 starts at 100 s, known is never", 4),
    ],
)
def test_the_first_job_that_differs_is_named(old, new, first, equal, tmp_path, capsys):
    code, verdicts, _ = conformance(tmp_path, capsys, schedule=SCHEDULE.replace(old, new))
    assert code == 3
    assert {(v["first"], v["equal"], v["holds"]) for v in verdicts} == {(first, equal, False)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (SCHEDULE, "", "is empty"),
        ("start", "begin", "has no column start"),
        (",", ";", "has no column job_id"),
        ("2,10,100", "2,10,soon", "csv:3: start 'soon' is not a number"),
        ("2,10,100,120,2\n", "2,10,100,120\n", "csv:3: the line has 4 fields instead of 5"),
        ("2,10,100,120,2\n", "", "has no line for job 2 (the start of a job that never starts is -1)"),
        ("3,20", "2,20", "csv:4: job_id '2' has a line already"),
        ("3,20", "33,20", "csv:4: job_id '33' is no job of the workload"),
        ("2,10", "2,11", "csv:3: submit '11' of job 2 is not what the workload says, 10 s"),
        ("120,2", "120,3", "csv:3: procs '3' of job 2 is not what the workload says, 2"),
    ],
)
def test_a_broken_schedule_is_one_clear_line(old, new, said, tmp_path, capsys):
    code, verdicts, err = conformance(tmp_path, capsys, schedule=SCHEDULE.replace(old, new))
    assert code == 1
    assert said in err
    assert len(err.splitlines()) == 1
    assert verdicts == []


def test_what_is_passed_over_is_named(tmp_path, capsys):
    (tmp_path / "yours.easy.csv").write_text(SCHEDULE)
    (tmp_path / "mine.esay.csv").write_text(SCHEDULE)
    (tmp_path / "ours.swf").write_text(WORKLOAD)
    code, verdicts, err = conformance(tmp_path, capsys)
    assert code == 0
    assert len(verdicts) == 2
    assert err.splitlines() == [
        "passed over mine.esay.csv: 'esay' is no policy (fcfs, easy, cons, sjbf, sjf, or a preset)",
        "passed over yours.easy.csv: there is no workload yours.swf beside it",
        "passed over ours.swf: no schedule ours.POLICY.csv beside it",
    ]


@pytest.mark.parametrize("procs", [2, 3])
def test_a_size_may_be_what_was_allocated_or_requested(procs, tmp_path, capsys):
    code, verdicts, _ = conformance(
        tmp_path,
        capsys,
        workload=WORKLOAD.replace("2 -1 -1 2 20 -1 1", "2 -1 -1 3 20 -1 1"),
        schedule=SCHEDULE.replace("120,2", f"120,{procs}"),
    )
    assert code == 0
    assert len(verdicts) == 2


def test_names_may_have_dots(tmp_path, capsys):
    (tmp_path / "mine.1.swf").write_text(WORKLOAD)
    code, verdicts, err = conformance(tmp_path, capsys, name="mine.1.easy.csv")
    assert code == 0
    assert {v["name"] for v in verdicts} == {"mine.1.easy"}
    assert "passed over mine.swf" in err
