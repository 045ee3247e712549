"""Reading PBS logs, GWF, ALCF and Philly tables, and Parquet."""

# ruff: noqa: E501 - records are as long as they are

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apportion.core.errors import TraceError
from apportion.traces import Trace, detect, read, read_parquet, write_parquet
from apportion.traces.clean import clean
from apportion.traces.readers.gwf import COLUMNS
from apportion.traces.readers.pbs import _chunks, _kib, _slots
from apportion.traces.schema import Status
from frames import assert_same_jobs
from real_traces import find, manifest

PBS = """\
01/26/2016 00:00:00;L;license;floating license hour:0 day:0
01/26/2016 00:00:01;Q;1.srv;queue=batch
01/26/2016 00:00:02;Q;2.srv;user=ann group=users queue=batch ctime=1453766402 qtime=1453766402 Resource_List.ncpus=4 Resource_List.walltime=01:00:00
01/26/2016 00:00:03;S;1.srv;user=ann group=users jobname=a queue=batch ctime=1453766401 qtime=1453766401 start=1453766403 exec_host=n1/0+n1/1+n2/0+n2/1 Resource_List.nodes=2:ppn=2:gpus=1 Resource_List.walltime=00:10:00
01/26/2016 00:05:00;D;2.srv;requestor=ann@srv
01/26/2016 00:05:01;D;99.srv;requestor=ann@srv
01/26/2016 00:06:43;E;1.srv;user=ann group="the users" account=phys jobname=a queue=batch ctime=1453766401 qtime=1453766401 start=1453766403 exec_host=n1/0+n1/1+n2/0+n2/1 Resource_List.nodes=2:ppn=2:gpus=1 Resource_List.walltime=00:10:00 session=1 end=1453766803 Exit_status=271 resources_used.cput=00:26:40 resources_used.mem=1000kb
01/26/2016 00:07:00;E;3.srv;user=bob group=users project=_pbs_project_default jobname=b queue=gpu ctime=1453766402 qtime=1453766402 start=1453766410 exec_host=c1/0*13+c2/1*13 Resource_List.ncpus=26 Resource_List.nodect=2 Resource_List.select=2:ncpus=13:ngpus=2:mem=2gb Resource_List.mem=4gb Resource_List.walltime=100 end=1453766420 Exit_status=0 resources_used.ncpus=26
01/26/2016 00:08:00;S;4.srv;user=bob queue=gpu ctime=1453766430 start=1453766440 exec_host=c1/0 Resource_List.select=1:ncpus=3
01/26/2016 00:08:01;Q;5[].srv;user=bob queue=gpu ctime=1453766431
01/26/2016 00:08:02;E;5[1].srv;user=bob queue=gpu ctime=1453766431 start=1453766441 end=1453766442 exec_host=c1/0-3 Exit_status=-4
"""


def test_a_pbs_log_is_put_together_from_its_records(tmp_path):
    path = tmp_path / "20160126"
    path.write_text(PBS)
    assert detect(path) == "pbs"
    trace = read(path)
    jobs = trace.jobs.set_index("job_id")
    assert list(jobs.index) == ["2.srv", "1.srv", "3.srv", "4.srv", "5[1].srv"]
    one, two, three, four, five = (jobs.loc[name] for name in ("1.srv", "2.srv", "3.srv", "4.srv", "5[1].srv"))
    assert (one["submit_ms"], one["wait_ms"], one["run_ms"]) == (1453766401000, 2_000, 400_000)
    assert (one["procs_used"], one["procs_req"], one["nodes_used"], one["gpus_req"]) == (4, 4, 2, 2)
    assert (one["limit_ms"], one["cpu_ms"], one["mem_used_kib"]) == (600_000, 400_000, 1000)
    assert (one["status"], one["status_raw"], one["group"], one["account"]) == (5, "271", "the users", "phys")
    assert (one["request"], three["request"]) == ("2:ppn=2:gpus=1", "2:ncpus=13:ngpus=2:mem=2gb")
    assert (two["status"], two["run_ms"], two["procs_req"], two["procs_used"]) == (Status.CANCELLED, -1, 4, -1)
    assert two["wait_ms"] == 1453766700_000 - 1453766402_000
    assert (three["procs_used"], three["procs_req"], three["nodes_req"], three["gpus_used"]) == (26, 26, 2, 4)
    assert (three["mem_req_kib"], three["limit_ms"], three["status"]) == (4 * 1024**2, 100_000, Status.COMPLETED)
    assert (four["status"], four["run_ms"], four["wait_ms"], four["procs_used"]) == (Status.RUNNING, 363_000, 10_000, 3)
    assert (five["procs_used"], five["status"]) == (4, Status.FAILED)
    notes = " ".join(trace.meta.notes)
    assert "1 job left out that the log says deleted, but not submitted" in notes
    assert "whole job arrays" in notes
    assert "1 job still ran when the log ended, with the run time until then" in notes
    assert trace.meta.mem_basis == "job"


@pytest.mark.parametrize(
    ("record", "run_ms"),
    [
        ("S;9.srv;ctime=1453766400 start=1453766401 Resource_List.walltime=00:02:00", 100_000),
        ("S;9.srv;ctime=1453766400 start=1453766401 Resource_List.walltime=00:01:00", -1),
        ("S;9.srv;ctime=1453766400 start=1453766401", 100_000),
    ],
)
def test_a_pbs_job_without_an_end_still_runs_unless_its_limit_has_passed(tmp_path, record, run_ms):
    path = tmp_path / "log"
    last = "01/26/2016 00:01:41;Q;10.srv;ctime=1453766501\n"
    lines = [f"01/26/2016 00:00:01;{record}\n", last]
    path.write_text("".join(lines))
    assert tuple(read(path, tz="Asia/Tokyo").jobs.loc[0, ["run_ms", "status"]]) == (run_ms, Status.RUNNING)
    path.write_text("".join([lines[0], "01/26/2016 00:00:30;A;9.srv;\n", last]))  # aborted
    assert tuple(read(path).jobs.loc[0, ["run_ms", "status"]]) == (-1, Status.RUNNING)
    path.write_text("".join(["01/26/2016 00:00:00;A;9.srv;\n", *lines]))  # aborted and started anew
    assert tuple(read(path).jobs.loc[0, ["run_ms", "status"]]) == (run_ms, Status.RUNNING)


def pbs_run(job, day, submit, start, end=None):
    """S and E records of one run, times in seconds after midnight of a day in May 2020."""
    midnight = 1588291200 + 86400 * (day - 1)
    said = f"user=ann ctime={midnight + submit} start={midnight + start} Resource_List.ncpus=2"
    clock = [f"05/{day:02}/2020 {at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}" for at in (start, end or 0)]
    lines = [f"{clock[0]};S;{job};{said}"]
    return [*lines, f"{clock[1]};E;{job};{said} end={midnight + end} Exit_status=0"] if end else lines


def test_a_pbs_id_that_comes_again_is_a_job_each_time(tmp_path):
    path = tmp_path / "log"
    first, second = pbs_run("1.srv", 1, 0, 60, 100), pbs_run("1.srv", 2, 0, 60, 90)
    for lines, runs in (
        ([*first, *second], [40_000, 30_000]),
        ([*first, *second[:1], "05/02/2020 00:05:00;L;license;"], [40_000, 0]),  # runs again as the log ends
        ([first[1], first[0], *second], [40_000, 30_000]),  # joined out of order
        ([*first, *first], [40_000, 40_000]),
    ):
        path.write_text("\n".join(lines))
        trace = read(path, tz="UTC")
        assert trace.jobs["run_ms"].tolist() == runs
        assert trace.jobs["job_id"].tolist() == [1, 1]
    assert len(clean(trace)[0]) == 1  # the same lines twice


def test_a_pbs_job_back_in_the_queue_does_not_run(tmp_path):
    path = tmp_path / "log"
    began = pbs_run("1.srv", 1, 0, 60)
    again = [*began, "05/01/2020 00:01:40;R;1.srv;user=ann"]
    later = pbs_run("2.srv", 1, 0, 2000, 3000)
    path.write_text("\n".join([*again, *later]))
    trace = read(path, tz="UTC")
    assert tuple(trace.jobs.loc[0, ["run_ms", "wait_ms", "status"]]) == (-1, -1, Status.PENDING)
    assert "1 job started, went back to the queue and did not start again" in trace.meta.notes
    path.write_text("\n".join([*again, "05/01/2020 00:05:00;D;1.srv;requestor=ann", *later]))
    assert tuple(read(path, tz="UTC").jobs.loc[0, ["run_ms", "wait_ms", "status"]]) == (-1, 300_000, Status.CANCELLED)
    path.write_text("\n".join([*again, *pbs_run("1.srv", 1, 0, 500, 600), *later]))
    assert tuple(read(path, tz="UTC").jobs.loc[0, ["run_ms", "wait_ms", "status"]]) == (100_000, 500_000, 1)


def test_ids_of_one_pbs_server_are_numbers(tmp_path):
    path = tmp_path / "20160126"
    path.write_text("\n".join(line for line in PBS.splitlines() if ";5[" not in line))
    assert read(path).jobs["job_id"].tolist() == [2, 1, 3, 4]


def test_resource_words_of_pbs():
    assert _chunks("2:ppn=8+1:ppn=4", ("ppn",), 1) == 20
    assert _chunks("node1+node2:ppn=3", ("ppn",), 1) == 4
    assert _chunks("1:ppn=12:x86#excl", ("ppn",), 1) == 12
    assert _chunks("3", ("ppn",), 1) == 3
    assert _chunks("2:ncpus=8:ngpus=2", ("ngpus",), 0) == 4
    assert _slots("n1/0+n1/1") == 2
    assert _slots("n1/0*4+n2/1") == 5
    assert _slots("n1/0-3,7+n2/1") == 6
    assert (_kib("1b"), _kib("1025"), _kib("4gb"), _kib("1mw")) == (1, 2, 4 * 1024**2, 8 * 1024)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("01/26/2016 00:06:43;E", "13/26/2016 00:06:43;E", 7),
        ("end=1453766803", "end=soon", 7),
        ("Resource_List.mem=4gb", "Resource_List.mem=lots", 8),
        ("Resource_List.walltime=100", "Resource_List.walltime=1:2:3:4:5", 8),
        ("01/26/2016 00:08:00;S;4.srv", "01/26/2016 00:08:00 S 4.srv", 9),
    ],
)
def test_bad_records_are_named(tmp_path, old, new, line):
    path = tmp_path / "log"
    assert old in PBS
    path.write_text(PBS.replace(old, new))
    with pytest.raises(TraceError) as caught:
        read(path)
    assert caught.value.line == line
    assert caught.value.remedy


def gwf_line(**values):
    words = dict.fromkeys(COLUMNS, "-1") | {"JobID": "1", "SubmitTime": "1136070024", "RunTime": "60"} | values
    return "\t".join(words[name] for name in COLUMNS)


@pytest.mark.parametrize("title", ["# JobID SubmitTime", "JobID SubmitTime WaitTime ... Used Memory " + "x " * 25, ""])
def test_the_archives_kind_of_gwf(tmp_path, title):
    path = tmp_path / "t.gwf"
    one = gwf_line(
        WaitTime="203761", NProcs="2", AverageCPUTimeUsed="13.5", UsedMemory="98652.4", Status="1", UserID="U3"
    )
    two = gwf_line(
        JobID="2", ReqNProcs="4", ReqTime="259200", Status="7", ProjectID="P1", OrigSiteID="DAS2/fs0", GroupID="G"
    )
    path.write_text(f"{title}\n{one}\n{two}")
    assert detect(path) == "gwf"
    trace = read(path)
    jobs = trace.jobs
    assert jobs["job_id"].tolist() == [1, 2]
    assert jobs["submit_ms"].tolist() == [1136070024000] * 2
    assert jobs["wait_ms"].tolist() == [203_761_000, -1]
    assert jobs["cpu_ms"].tolist() == [13_500, -1]
    assert jobs["mem_used_kib"].tolist() == [98_652, -1]
    assert (jobs["procs_used"].tolist(), jobs["procs_req"].tolist()) == ([2, -1], [-1, 4])
    assert jobs["limit_ms"].tolist() == [-1, 259_200_000]
    assert jobs["status"].tolist() == [1, -1]
    assert jobs["status_raw"].iloc[1] == "7"
    assert jobs["user"].iloc[0] == "U3"
    assert (jobs["account"].iloc[1], jobs["x_orig_site"].iloc[1]) == ("P1", "DAS2/fs0")
    assert "app" not in jobs
    assert trace.meta.origin_ms == 0
    path.write_text(f"{one}\n1 2 3")
    with pytest.raises(TraceError, match=r":2: .*3 fields"):
        read(path)


def test_the_comma_kind_of_gwf_keeps_its_dependencies(tmp_path):
    path = tmp_path / "t.gwf"
    path.write_text(
        "WorkflowID, JobID , SubmitTime, RunTime, NProcs, ReqNProcs, Dependencies\n"
        "0 , 1 , 16 , 11 , 1 , 1 ,     \n0 , 2 , 40 , 0 , 1 , 1 , 1 \n3, 9, 50, 2.5, 1, 2, 1 2\n"
    )
    assert detect(path) == "gwf"
    trace = read(path)
    assert trace.jobs["dependencies"].tolist() == [(), (1,), (1, 2)]
    assert trace.jobs["run_ms"].tolist() == [11_000, 0, 2_500]
    assert trace.jobs["x_workflow"].tolist() == [0, 0, 3]
    assert trace.meta.origin_ms is None
    path.write_text("WorkflowID, JobID, SubmitTime, RunTime, NProcs\n0, 1, 16, eleven, 1\n")
    with pytest.raises(TraceError, match=r":2: RunTime 'eleven' is not a number"):
        read(path)


def test_the_comma_kind_of_gwf_may_have_any_of_the_archives_columns(tmp_path):
    path = tmp_path / "t.gwf"
    words = {
        "WaitTime": "30",
        "ReqTime": "120",
        "Status": "5",
        "UserID": "U3",
        "GroupID": "G",
        "QueueID": "q",
        "NProcs": "2",
    }
    path.write_text("\n".join([",".join(COLUMNS), gwf_line(**words).replace("\t", ",")]))
    assert detect(path) == "gwf"
    job = read(path).jobs.iloc[0]
    assert (job["wait_ms"], job["run_ms"], job["limit_ms"]) == (30_000, 60_000, 120_000)
    assert (job["procs_used"], job["status"], job["user"], job["account"], job["queue"]) == (2, 5, "U3", "G", "q")


def test_workflows_that_number_their_own_jobs(tmp_path):
    path = tmp_path / "t.gwf"
    path.write_text(
        "WorkflowID,JobID,SubmitTime,RunTime,NProcs,Dependencies\n"
        "a,1,0,100,1,\na,2,0,10,1,1\nb,1,5,7,1,\nb,2,5,10,1,\nb,3,5,10,1,1 2\n"
    )
    trace = read(path)
    assert trace.jobs["job_id"].tolist() == ["a/1", "a/2", "b/1", "b/2", "b/3"]
    assert trace.jobs["dependencies"].tolist() == [(), ("a/1",), (), (), ("b/1", "b/2")]
    assert len(trace.meta.notes) == 1
    path.write_text("WorkflowID,JobID,SubmitTime,RunTime,NProcs\n1,1,0,9,1\n1,1,5,9,1\n")
    assert read(path).jobs["job_id"].tolist() == [1, 1]  # one id twice in one workflow: left to the cleaning


def test_real_workflows():
    trace = read(find("opendc-workflows.gwf.gz"))
    assert trace.jobs["x_workflow"].nunique() == 758
    assert int((trace.jobs["run_ms"] == 0).sum()) == 643
    ids = set(trace.jobs["job_id"])
    assert all(needed in ids for needs in trace.jobs["dependencies"] for needed in needs)


def test_real_alcf_tables():
    theta = read(find("ALCF-Theta-2023.csv.gz"))
    assert theta.jobs["run_ms"].iloc[0] == 3_632_920
    assert theta.jobs["nodes_req"].tolist() == theta.jobs["procs_used"].tolist()
    assert theta.jobs["user"].isna().mean() == pytest.approx(0.44, abs=0.005)
    assert (theta.jobs["user"].cat.codes == theta.jobs["account"].cat.codes).all()
    assert int((theta.jobs["run_ms"] > theta.jobs["limit_ms"]).sum()) == 4_652
    assert int((np.diff(theta.jobs["submit_ms"]) < 0).sum()) == 8_056
    gpu = read(find("ALCF-ThetaGPU-2023.csv.gz"))
    assert gpu.jobs["gpus_req"].tolist() == gpu.jobs["procs_req"].tolist()
    assert "nodes_req" not in gpu.jobs
    shared = set(theta.jobs["account"].cat.categories) & set(gpu.jobs["account"].cat.categories)
    assert len(shared) == 17


def test_real_philly():
    trace = read(find("Philly-2017-vc.csv.gz"), tz="America/Los_Angeles")
    assert len(trace.jobs["account"].cat.categories) == 15
    assert int(trace.jobs["gpus_req"].max()) == 128
    assert (trace.jobs["gpus_req"] == 1).mean() == pytest.approx(0.93, abs=0.005)
    assert int(trace.jobs["run_ms"].max()) // 86_400_000 in {52, 53}
    assert int((np.diff(trace.jobs["submit_ms"]) < 0).sum()) == 44_878
    assert trace.meta.timezone == "America/Los_Angeles"


@pytest.mark.skipif(not manifest(), reason="APPORTION_TRACES is not set")
@pytest.mark.parametrize("name", [name for name, _ in manifest()])
def test_parquet_keeps_the_table_and_all_that_is_known_of_it(tmp_path, name):
    trace = read(find(name))
    write_parquet(trace, tmp_path / "t.parquet")
    assert detect(tmp_path / "t.parquet") == "parquet"
    copy = read(tmp_path / "t.parquet")
    if "dependencies" in trace.jobs:
        assert trace.jobs["dependencies"].tolist() == copy.jobs["dependencies"].tolist()
        pair = (trace.jobs.drop(columns="dependencies"), copy.jobs.drop(columns="dependencies"))
        assert_same_jobs(*pair)
    else:
        assert_same_jobs(trace.jobs, copy.jobs)
    assert copy.meta == dataclasses.replace(trace.meta, path=copy.meta.path, sha256=copy.meta.sha256)
    assert copy.meta.sha256 != trace.meta.sha256


def test_parquet_of_others_and_bad_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"job_id": [1], "submit_ms": [0], "run_ms": [5], "user": ["ann"], "mine": [2.5]}).to_parquet(path)
    trace = read_parquet(path)
    assert trace.jobs["user"].tolist() == ["ann"]
    assert (trace.meta.format, trace.meta.origin_ms) == ("parquet", None)
    pd.DataFrame({"job_id": [1], "submit_ms": ["x"], "run_ms": [5]}).to_parquet(path)
    with pytest.raises(TraceError, match="schema"):
        read(path)
    pd.DataFrame({"job_id": [1], "submit_ms": [0]}).to_parquet(path)
    with pytest.raises(TraceError, match="run_ms"):
        read(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match="Parquet"):
        read(path)
    table = pa.table({"job_id": [1], "submit_ms": [0], "run_ms": [5]}).replace_schema_metadata(
        {b"apportion.trace": b"{"}
    )
    pq.write_table(table, path)
    with pytest.raises(TraceError, match="damaged"):
        read(path)
    with pytest.raises(TraceError, match="cannot be written"):
        write_parquet(Trace(trace.jobs, trace.meta), tmp_path / "nowhere" / "t.parquet")


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = (
        "import sys, apportion.traces; print([m for m in ('pandas', 'numba', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    )


def test_a_walltime_of_days_in_torques_way(tmp_path):
    path = tmp_path / "20160126"
    path.write_text(PBS.replace("Resource_List.walltime=00:10:00", "Resource_List.walltime=1:02:03:04"))
    jobs = read(path).jobs.set_index("job_id")
    assert jobs.loc["1.srv", "limit_ms"] == (((1 * 24 + 2) * 60 + 3) * 60 + 4) * 1000


def test_an_archive_gwf_line_that_is_short_is_told_as_gwf(tmp_path):
    path = tmp_path / "t.gwf"
    path.write_text("# a comment\n" + " ".join(["1"] * 28) + "\n")
    with pytest.raises(TraceError, match=r"t\.gwf:2: .*28 fields instead of 29"):
        read(path)


def test_quoted_fields_of_comma_separated_tables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        '"timestamp","duration","num_gpus","cluster"\n'
        '2017-10-03 22:00:00,60,1,"vision, ""large"""\n'
        ' "2017-10-03 22:01:00" , "61","2",  speech\n'
    )
    assert detect(path) == "philly"
    jobs = read(path).jobs
    assert jobs["account"].tolist() == ['vision, "large"', "speech"]
    assert (jobs["run_ms"].tolist(), jobs["procs_used"].tolist()) == ([60_000, 61_000], [1, 2])
    path.write_text('"job","user","node_num","submit_time","run_time"\n1.0,"smith, ann",4,1000,50\n')
    assert detect(path) == "alcf"
    assert read(path).jobs["user"].tolist() == ["smith, ann"]
    for bad in ('1,"smith, ann,4,1000,50', '1,"smith" ann,4,1000,50'):
        path.write_text(f"job,user,node_num,submit_time,run_time\n{bad}\n")
        with pytest.raises(TraceError, match=r"t\.csv:2: field 2 has a quote that is not closed"):
            read(path)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,duration,num_gpus,cluster\n2017-10-03 22:00:00,60,1,a\n2017-10-03 22:01:00,61,2,b\n",
        "JobID|Submit|Elapsed|NCPUS\n1|2024-01-01T00:00:00|00:01:00|1\n2|2024-01-01T00:00:09|00:02:00|2\n",
        "; MaxProcs: 4\n" + "".join(f"{k} 0 0 9 2 -1 -1 2 9 -1 1 1 1 1 1 1 -1 -1\n" for k in (1, 2)),
        PBS,
    ],
)
def test_lines_that_end_as_on_old_macs_are_lines(tmp_path, text):
    unix, mac = tmp_path / "unix", tmp_path / "mac"
    unix.write_text(text)
    mac.write_bytes(text.replace("\n", "\r").encode())
    assert detect(mac) == detect(unix)
    assert_same_jobs(read(mac).jobs, read(unix).jobs)
    assert read(mac).meta.header == read(unix).meta.header
