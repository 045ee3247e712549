"""Reading Slurm accounting: pipe dumps with and without a header line, and JSON in the shapes of its data parsers."""

# ruff: noqa: E501 - records are as long as they are

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from apportion.core.errors import TraceError
from apportion.traces import detect, read
from apportion.traces.readers import slurm_values as slurm
from apportion.traces.readers.sacct_json import number
from apportion.traces.schema import Status
from real_traces import find

DUMP = """\
JobID|User|Account|Partition|QOS|Submit|Start|End|Elapsed|State|NNodes|NCPUS|ReqCPUS|ReqMem|ReqTRES|AllocTRES|Timelimit|TotalCPU|NodeList|
10|ann|phys|gpu|high|2024-03-01T10:00:00|2024-03-01T10:01:00|2024-03-01T11:01:00|01:00:00|COMPLETED|2|8|8|4000Mc|billing=8,cpu=8,gres/gpu:a100=2,gres/gpu:v100=1,mem=32000M,node=2|billing=8,cpu=8,gres/gpu=4,gres/gpu:a100=4,mem=32000M,node=2|1-00:00:00|08:00:00|n[1-2]|
10.batch||phys||||2024-03-01T10:01:00|2024-03-01T11:01:00|01:00:00|COMPLETED|1|4|4|||cpu=4|||n1|
10.0||phys||||2024-03-01T10:01:00|2024-03-01T11:01:00|01:00:00|COMPLETED|2|8|8|||cpu=8|||n[1-2]|
11_3|bob|chem|cpu|normal|2024-03-01T10:00:05|Unknown|2024-03-01T10:10:05|00:00:00|CANCELLED by 1000|1|0|4|16G|cpu=4,mem=16G,node=1||UNLIMITED|00:00:00|None assigned|
12|bob|chem|cpu|normal|2024-03-01T10:00:06|2024-03-01T10:00:06|2024-03-01T10:00:07|00:00:01|OUT_OF_ME+|1|3|3|2Gn|||Partition_Limit|00:00.500|n1|
13|bob|chem|cpu|normal|2024-03-01T10:00:07|None|Unknown|00:00:00|PENDING|1|0|4|0|||10:00||None assigned|
14|bob|chem|cpu|normal|2024-03-01T10:00:08|2024-03-01T10:00:08|Unknown|00:05:00|RUNNING|1K|2K|2K|1Gc|||INVALID||n1|
"""


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text(DUMP)
    return path


def epoch_ms(text, zone="UTC"):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_a_dump_with_any_columns_is_read(dump):
    assert detect(dump) == "sacct"
    trace = read(dump)
    jobs = trace.jobs
    assert jobs["job_id"].tolist() == ["10", "11_3", "12", "13", "14"]
    assert jobs["submit_ms"].iloc[0] == epoch_ms("2024-03-01T10:00:00")
    assert jobs["wait_ms"].tolist() == [60_000, 600_000, 0, -1, 0]
    assert jobs["run_ms"].tolist() == [3_600_000, -1, 1_000, -1, 300_000]
    assert jobs["procs_used"].tolist() == [8, -1, 3, -1, 2048]
    assert jobs["procs_req"].tolist() == [8, 4, 3, 4, 2048]
    assert jobs["nodes_used"].tolist() == [2, -1, 1, -1, 1024]
    assert jobs["gpus_used"].tolist() == [4, -1, -1, -1, -1]
    assert jobs["gpus_req"].tolist() == [3, -1, -1, -1, -1]
    assert jobs["limit_ms"].tolist() == [86_400_000, -1, -1, 600_000, -1]
    assert jobs["cpu_ms"].tolist() == [3_600_000, -1, 167, -1, -1]
    gib = 1024**2
    assert jobs["mem_req_kib"].tolist() == [32_000 * 1024, 16 * gib, 2 * gib, -1, 2048 * gib]
    assert jobs["status"].tolist() == [1, 5, Status.OUT_OF_MEMORY, Status.PENDING, Status.RUNNING]
    assert jobs["status_raw"].iloc[1] == "CANCELLED by 1000"
    assert jobs["user"].tolist() == ["ann", "bob", "bob", "bob", "bob"]
    assert jobs["partition"].tolist()[:2] == ["gpu", "cpu"]
    assert jobs["qos"].tolist()[:2] == ["high", "normal"]
    assert trace.meta.mem_basis == "job"
    assert trace.meta.origin_ms == 0
    notes = " ".join(trace.meta.notes)
    assert "2 job steps" in notes
    assert "UTC" in notes
    assert "2 jobs never started" in notes
    assert "1 job still ran when the dump was made, with the run time until then" in notes


def test_a_job_without_cpus_never_started_also_where_the_dump_names_no_nodes(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text(
        "JobID|Submit|Start|End|Elapsed|State|AllocCPUS|ReqCPUS\n"
        "1|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T10:05:00|00:00:00|CANCELLED by 7|0|4\n"
        "2|2024-03-01T10:00:00|2024-03-01T10:05:00|2024-03-01T10:05:00|00:00:00|FAILED|4|4\n"
    )
    jobs = read(path, tz="UTC").jobs
    assert jobs["run_ms"].tolist() == [-1, 0]
    assert jobs["procs_used"].tolist() == [-1, 4]
    assert jobs["wait_ms"].tolist() == [300_000, 300_000]


@pytest.mark.parametrize(
    ("columns", "values", "never"),
    [
        ("ReqCPUS", ("4", "4", "4"), [True, False, False]),
        ("ReqTRES|AllocTRES", ("cpu=4|", "cpu=4|cpu=4", "cpu=4|"), [True, False, False]),
    ],
)
def test_a_job_that_was_cancelled_with_nothing_allocated_never_started(columns, values, never, tmp_path):
    path = tmp_path / "jobs.txt"
    ends = ("CANCELLED by 7|10:05:00|00:00:00", "CANCELLED by 7|10:05:10|00:00:10", "FAILED|10:05:00|00:00:00")
    path.write_text(
        f"JobID|Submit|Start|State|End|Elapsed|{columns}\n"
        + "".join(
            f"{k}|2024-03-01T10:00:00|2024-03-01T10:05:00|{end.replace('|10', '|2024-03-01T10')}|{value}\n"
            for k, (end, value) in enumerate(zip(ends, values, strict=True))
        )
    )
    jobs = read(path, tz="UTC").jobs
    assert (jobs["run_ms"] == -1).tolist() == never
    assert jobs["run_ms"].tolist()[1:] == [10_000, 0]
    assert jobs["wait_ms"].tolist() == [300_000] * 3


COMMAS = """\
JobIDRaw,User,Submit,Start,End,ElapsedRaw,State,NCPUS,AllocTRES
1,ann,2024-03-01T10:00:00,2024-03-01T10:01:00,2024-03-01T10:03:00,120,COMPLETED,4,"cpu=4,gres/gpu=2"
2,"bob, jr",2024-03-01T10:00:00,2024-03-01T10:01:00,2024-03-01T10:03:00,120,TIMEOUT,8,cpu=8
"""


@pytest.mark.parametrize("header", [COMMAS.splitlines()[0], '"' + COMMAS.splitlines()[0].replace(",", '","') + '"'])
def test_a_comma_separated_dump_may_have_quotes(header, tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("\n".join([header, *COMMAS.splitlines()[1:]]))
    assert detect(path) == "sacct"
    jobs = read(path, tz="UTC").jobs
    assert jobs["gpus_used"].tolist() == [2, -1]
    assert jobs["user"].tolist() == ["ann", "bob, jr"]
    assert jobs["procs_used"].tolist() == [4, 8]


def test_dumps_that_were_joined_have_header_lines_between_jobs(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text(DUMP + DUMP.replace("\n1", "\n2"))
    trace = read(path)
    assert trace.jobs["job_id"].tolist() == ["10", "11_3", "12", "13", "14", "20", "21_3", "22", "23", "24"]
    notes = " ".join(trace.meta.notes)
    assert "1 further header line left out" in notes
    assert "4 job steps left out" in notes


def test_other_columns_without_a_header_line_get_the_option_that_does_it(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text("1|ann|2024-03-01T10:00:00|00:02:00|COMPLETED|4\n")
    with pytest.raises(TraceError, match=r":1: the line has 6 fields instead of 26 .*--noheader"):
        read(path, "sacct")


@pytest.mark.parametrize(
    ("column", "used", "asked"),
    [("NNodes", [4, 2], [-1, -1]), ("AllocNodes", [4, 2], [-1, -1]), ("ReqNodes", [-1, -1], [4, 2])],
)
def test_sizes_in_nodes_are_sizes(column, used, asked, tmp_path):
    path = tmp_path / "jobs.txt"
    line = "|2024-03-01T10:00:00|2024-03-01T10:01:00|2024-03-01T10:03:00|00:02:00|COMPLETED|"
    path.write_text(f"JobID|Submit|Start|End|Elapsed|State|{column}\n1{line}4\n2{line}2\n")
    trace = read(path, tz="UTC")
    assert (trace.column("procs_used").tolist(), trace.column("procs_req").tolist()) == (used, asked)
    assert "sizes are counted in nodes" in trace.meta.notes


def test_local_times_need_a_zone_to_be_right(dump):
    trace = read(dump, tz="Europe/Paris")
    assert trace.jobs["submit_ms"].iloc[0] == epoch_ms("2024-03-01T10:00:00", "Europe/Paris")
    assert trace.meta.timezone == "Europe/Paris"
    assert not any("UTC" in note for note in trace.meta.notes)
    with pytest.raises(TraceError, match="no time zone"):
        read(dump, tz="Mars/Olympus")
    with pytest.raises(TraceError, match="no time zone"):
        read(dump, tz="../etc/passwd")


HOURS = """JobID;Submit;Start;End;State;NNodes
1;2024-10-27T02:30:00;2024-10-27T04:00:00;2024-10-27T05:00:00;COMPLETED;1
2;2024-03-31T02:30:00;2024-03-31T04:00:00;2024-03-31T05:00:00;COMPLETED;1
3;1711846800;1711846801;1711846802;COMPLETED;1
4;2024-03-01T10:00:00+0100;2024-03-01T09:00:01Z;2024-03-01T09:00:02Z;COMPLETED;1
"""


def test_hours_that_clocks_repeat_or_leave_out(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text(HOURS)
    trace = read(path, tz="Europe/Paris")
    first_pass = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    left_out = datetime(2024, 3, 31, 1, 0, tzinfo=UTC)
    expected = [
        int(first_pass.timestamp()),
        int(left_out.timestamp()),
        1711846800,
        epoch_ms("2024-03-01T09:00:00") // 1000,
    ]
    assert (trace.jobs["submit_ms"] // 1000).tolist() == expected
    assert trace.jobs["run_ms"].tolist() == [3_600_000, 3_600_000, 1_000, 1_000]
    assert trace.jobs["job_id"].dtype == np.int64
    assert any("1 time falls" in note for note in trace.meta.notes)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("2024-03-01T10:00:05", "2024-13-01T10:00:05", 5, "not a time"),
        ("01:00:00|COMPLETED|2", "an hour|COMPLETED|2", 2, "elapsed"),
        ("|8|8|4000Mc", "|eight|8|4000Mc", 2, "count"),
        ("2Gn", "2Xn", 6, "memory"),
        ("|n1|\n13", "|n|1|\n13", 6, "21 fields"),
        ("1-00:00:00", "999999999999-00", 2, "time"),
        ("NCPUS|ReqCPUS", "NCPUS", 2, "fields"),
        ("Submit|", "Entered|", 1, "Submit"),
        ("Elapsed", "Lapsed", None, None),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path, old, new, line, words):
    path = tmp_path / "jobs.txt"
    assert old in DUMP
    path.write_text(DUMP.replace(old, new, 1))
    if words is None:  # start and end tell the run time as well
        assert read(path).jobs["run_ms"].iloc[0] == 3_600_000
        return
    with pytest.raises(TraceError) as caught:
        read(path, "sacct")
    assert caught.value.line == line
    assert words in str(caught.value)
    assert caught.value.remedy


def test_a_dump_without_sizes_gets_the_column_and_the_command(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text("JobID|User|Submit|Elapsed\n1|ann|2024-03-01T10:00:00|00:10:00\n")
    with pytest.raises(TraceError, match=r"jobs\.txt:1: has no column NCPUS .*sacct .*--format=JobID,.*NCPUS"):
        read(path)
    path.write_text("JobID|User|Submit|Elapsed|AllocTRES\n1|ann|2024-03-01T10:00:00|00:10:00|cpu=4\n")
    assert read(path).jobs["procs_used"].tolist() == [4]


def test_words_of_slurm():
    assert slurm.status("CANCELLED by 12") == Status.CANCELLED
    assert slurm.status("CANCELLED+") == Status.CANCELLED
    assert slurm.status("NODE_FAIL") == slurm.status("BOOT_FAIL") == Status.NODE_FAIL
    assert slurm.status("DEADLINE") == Status.TIMEOUT
    assert slurm.status("") == slurm.status("BREAKFAST") == Status.UNKNOWN
    assert slurm.req_mem("2147486448Mn") == (2800 * 1024, "cpu")
    assert slurm.req_mem("1.5Gc") == (1536 * 1024, "cpu")
    assert slurm.req_mem("500M") == (500 * 1024, "job")
    assert slurm.tres("cpu=1,gres/gpu=2,gres/gpu:a=2", "gres/gpu") == 2
    assert slurm.tres("cpu=1", "gres/gpu") == -1
    assert slurm.count("4.50K") == 4608
    assert (slurm.span_ms("02:00"), slurm.span_ms("120"), slurm.span_ms("1-00:00:00")) == (120_000, 120_000, 86_400_000)
    assert slurm.limit_ms("120") == 7_200_000  # minutes, as TimelimitRaw has them


def test_the_headerless_kind_of_26_columns():
    trace = read(find("xdmod-pozidriv-2016.sacct.txt.gz"), tz="America/New_York")
    jobs = trace.jobs
    assert trace.meta.format == "sacct"
    assert int((jobs["run_ms"] == -1).sum()) == 419
    assert int((jobs["status"] == Status.PREEMPTED).sum()) == 86
    assert int((jobs["limit_ms"] == -1).sum()) == 58
    assert int(jobs["limit_ms"].max()) == 125 * 86_400_000
    counts = jobs["account"].value_counts()
    assert counts.iloc[:2].sum() / len(jobs) == pytest.approx(0.98, abs=0.005)
    assert jobs["submit_ms"].iloc[0] == epoch_ms("2016-12-21T21:43:34", "America/New_York")


def test_per_cpu_memory_agrees_with_the_tres_list_of_the_same_job(tmp_path):
    """The flag bit in ReqMem is understood: without ReqTRES the same memory comes out."""
    import gzip

    with gzip.open(find("xdmod-pozidriv-2016.sacct.txt.gz"), "rt") as file:
        rows = [line.rstrip("\n").split("|") for line in file]
    rows = [row for row in rows if row[20].startswith("2147")]
    assert len(rows) == 10_626
    path = tmp_path / "jobs.txt"
    lines = ["JobID|Submit|Elapsed|NNodes|NCPUS|ReqCPUS|ReqMem"]
    lines += ["|".join(row[k] for k in (0, 10, 14, 17, 18, 19, 20)) for row in rows]
    path.write_text("\n".join(lines))
    with_tres = read(find("xdmod-pozidriv-2016.sacct.txt.gz"))
    chosen = with_tres.jobs["job_id"].isin([int(row[0]) for row in rows])
    expected = with_tres.jobs.loc[chosen, "mem_req_kib"].to_numpy()
    got = read(path).jobs["mem_req_kib"].to_numpy()
    assert np.abs(got - expected).max() <= 1024 * 1024 * 0.06  # the list is rounded to tenths of a GiB in a few rows
    assert (got == expected).mean() > 0.99


OLD = {  # v0.0.37 and v0.0.38
    "job_id": 7,
    "array": {"job_id": 0, "task_id": None},
    "association": {"account": "root", "cluster": "c1", "user": "ann"},
    "user": "ann",
    "group": "users",
    "name": "run.sh",
    "partition": "batch",
    "qos": "normal",
    "nodes": "n1",
    "allocation_nodes": 2,
    "state": {"current": "COMPLETED", "reason": "None"},
    "required": {"CPUs": 4, "memory": 2**63 + 1000},
    "time": {
        "submission": 1795416578,
        "start": 1795416579,
        "end": 1795416581,
        "elapsed": 2,
        "limit": 10,
        "total": {"seconds": 6, "microseconds": 500000},
    },
    "tres": {
        "allocated": [
            {"type": "cpu", "name": None, "id": 1, "count": 4},
            {"type": "node", "name": None, "id": 4, "count": 2},
            {"type": "gres", "name": "gpu", "id": 1001, "count": 2},
        ],
        "requested": [],
    },
}


def tri(value=None, *, infinite=False):
    return {"set": value is not None, "infinite": infinite, "number": value or 0}


NEW = {  # v0.0.39 and later
    **OLD,
    "account": "phys",
    "array": {"job_id": 70, "task_id": tri(3), "task": ""},
    "state": {"current": ["CANCELLED", "REQUEUED"], "reason": "None"},
    "required": {"CPUs": 4, "memory_per_cpu": tri(), "memory_per_node": tri(500)},
    "nodes": "None assigned",
    "time": {"submission": 1795416578, "start": 0, "end": 1795416588, "elapsed": 0, "limit": tri(infinite=True)},
    "tres": {
        "allocated": [],
        "requested": [
            {"type": "cpu", "name": "", "id": 1, "count": 4},
            {"type": "mem", "name": "", "id": 2, "count": 1000},
            {"type": "gres", "name": "gpu:a100", "id": 1002, "count": 2},
            {"type": "gres", "name": "gpu:v100", "id": 1003, "count": 1},
        ],
    },
}


def test_json_of_every_shape(tmp_path):
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"meta": {"plugin": {}}, "jobs": [OLD, NEW], "errors": []}))
    assert detect(path) == "sacct-json"
    trace = read(path)
    old, new = (trace.jobs.iloc[k] for k in range(2))
    assert (old["job_id"], new["job_id"]) == ("7", "70_3")
    assert (old["submit_ms"], old["wait_ms"], old["run_ms"]) == (1795416578000, 1_000, 2_000)
    assert (new["wait_ms"], new["run_ms"]) == (10_000, -1)
    assert (old["limit_ms"], new["limit_ms"]) == (600_000, -1)
    assert (old["procs_used"], old["procs_req"], old["nodes_used"]) == (4, 4, 2)
    assert (new["procs_used"], new["procs_req"]) == (-1, 4)
    assert (old["gpus_used"], new["gpus_req"]) == (2, 3)
    assert (old["mem_req_kib"], new["mem_req_kib"]) == (4 * 1000 * 1024, 1000 * 1024)
    assert old["cpu_ms"] == 1_625
    assert (old["status"], new["status"]) == (Status.COMPLETED, Status.CANCELLED)
    assert new["status_raw"] == "CANCELLED,REQUEUED"
    assert (old["account"], new["account"]) == ("root", "phys")
    assert (old["user"], old["qos"], old["partition"], old["group"]) == ("ann", "normal", "batch", "users")
    assert trace.meta.mem_basis == "job"


@pytest.mark.parametrize(("allocated", "run_ms"), [([], -1), ([{"type": "cpu", "count": 4}], 0)])
def test_json_of_a_job_cancelled_with_nothing_allocated(allocated, run_ms, tmp_path):
    times = {"submission": 1795416578, "start": 1795416588, "end": 1795416588, "elapsed": 0}
    job = NEW | {"nodes": "", "time": times, "tres": NEW["tres"] | {"allocated": allocated}}
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [job]}))
    read_job = read(path).jobs.iloc[0]
    assert (read_job["run_ms"], read_job["wait_ms"]) == (run_ms, 10_000)


@pytest.mark.parametrize("submission", [0, tri()])
def test_json_of_a_job_without_a_submit_time_is_left_to_the_cleaning(submission, tmp_path):
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [OLD, OLD | {"time": OLD["time"] | {"submission": submission}}]}))
    jobs = read(path).jobs
    assert jobs["submit_ms"].tolist() == [1795416578000, -1]
    assert jobs["wait_ms"].tolist() == [1_000, -1]
    assert jobs["run_ms"].tolist() == [2_000, 2_000]


def test_what_squeue_writes_is_told_from_sacct(tmp_path):
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [{"job_id": 5, "submit_time": tri(1795416578), "job_state": ["RUNNING"]}]}))
    with pytest.raises(TraceError, match="what squeue writes"):
        read(path)


def test_a_job_that_was_resized_does_not_run_still(tmp_path):
    path = tmp_path / "jobs.txt"
    lines = [line.replace("COMPLETED|2|8", "RESIZING|2|8") for line in DUMP.splitlines()]
    path.write_text("\n".join(lines))
    assert "1 job still ran when the dump was made, with the run time until then" in read(path).meta.notes


def test_numbers_of_every_shape():
    assert number(5) == number(tri(5)) == number("5") == 5
    unset = (None, tri(), tri(4, infinite=True), 2**32 - 2, 2**64 - 1, float("inf"), True, "UNLIMITED")
    assert {number(value) for value in unset} == {-1}
    with pytest.raises(TypeError):
        number([])
    with pytest.raises(ValueError, match="large"):
        number(2**63)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"jobs": []}', "no jobs"),
        ('{"jobs": [{"job_id": 1}]}', "job 1"),
        ('{"jobs": [7]}', "job 1"),
        ('{"jobs": [\n{"job_id": 1,}]}', ":2: is not JSON"),
        ('{"jobs": [{"job_id": ' + "9" * 100_000 + "}]}", "too large"),
        ('{"jobs": ' + "[" * 100_000, "is not JSON"),
        ('{"jobs": {}}', "no jobs"),
    ],
)
def test_bad_json_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "jobs.json"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        read(path)
    assert words in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-01T10:00:00",
        "2024-03-01 10:00:00",
        "2024-03-01 10:00",
        "Fri Mar 01 10:00:00 2024",
        "1709287200",
        "2024-03-01T11:00:00+0100",
        "2024-03-01T10:00:00Z",
    ],
)
def test_times_in_the_forms_that_slurm_time_format_may_ask_for(tmp_path, written):
    path = tmp_path / "jobs.txt"
    path.write_text(f"JobID|Submit|Elapsed|NCPUS\n1|{written}|00:10:00|4\n")
    trace = read(path)
    assert trace.jobs["submit_ms"].tolist() == [epoch_ms("2024-03-01T10:00:00")]
    says_local = any("local" in note for note in trace.meta.notes)
    assert says_local == (written not in {"1709287200", "2024-03-01T11:00:00+0100", "2024-03-01T10:00:00Z"})


@pytest.mark.parametrize("written", ["03/01/24 10:00:00", "1 Mar 10:00", "Ystday 12:22", "10:00:00"])
def test_times_that_could_be_another_day_are_not_guessed_at(tmp_path, written):
    path = tmp_path / "jobs.txt"
    path.write_text(f"JobID|Submit|Elapsed|NCPUS\n1|{written}|00:10:00|4\n")
    with pytest.raises(TraceError, match=r"jobs\.txt:2: .*not a time .*SLURM_TIME_FORMAT"):
        read(path)


def test_columns_of_fixed_width_get_the_right_command(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text("JobID        User   State      Submit\n------- ------ ---------- -----\n1 ann COMPLETED 2024-03\n")
    with pytest.raises(TraceError, match=r"fixed width.*-P"):
        read(path)
