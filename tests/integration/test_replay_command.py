"""``apportion replay`` and its relatives as a user meets them: run folders, both engines, mistakes."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from apportion.cli.main import main
from apportion.core import jit
from apportion.sim import runfolder
from apportion.traces import read, write_swf
from apportion.traces.synth import lublin


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "made.swf"
    write_swf(lublin(400, 7, procs=64, load=0.9, users=12, accounts=3), path)
    return path


def apportion(*words, expect=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == expect


def test_a_run_folder_is_whole_and_the_same_in_both_engines(trace, tmp_path, capsys):
    runs = [tmp_path / engine for engine in ("compiled", "simpy")]
    for run in runs:
        apportion("replay", trace, "--policy", "multifactor", "--engine", run.name, "--out", run)
        names = {"jobs.parquet", "manifest.json", "metrics.json", "report.html", "schedule.swf", "workload.parquet"}
        assert {path.name for path in run.iterdir()} == names
    assert runs[0].joinpath("jobs.parquet").read_bytes() == runs[1].joinpath("jobs.parquet").read_bytes()
    facts = [json.loads(run.joinpath("manifest.json").read_text()) for run in runs]
    assert facts[0]["decision_hash"] == facts[1]["decision_hash"]
    assert set(facts[0]["timings_s"]) == {"read", "compile", "replay", "metrics", "report"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "simpy"]  # nothing half-written beside
    apportion("diff", *runs)
    assert "start alike" in capsys.readouterr().out


def test_the_schedule_is_a_trace_again(trace, tmp_path):
    apportion("replay", trace, "--policy", "easy", "--out", tmp_path / "run", "--no-report")
    table = pd.read_parquet(tmp_path / "run" / "jobs.parquet")
    again = read(tmp_path / "run" / "schedule.swf")
    assert len(again) == len(table) == 400
    wait_s = again.jobs["wait_ms"].to_numpy() / 1000
    assert (abs(wait_s - table["wait_s"].to_numpy()) < 0.51).all()


def test_who_gave_up_waited_until_then_in_the_schedule_too(tmp_path):
    log = tmp_path / "log.swf"
    log.write_text(
        "; MaxProcs: 4\n"
        "1 0 0 100 4 -1 -1 4 100 -1 1 1 1 -1 -1 -1 -1 -1\n"
        "2 5 30 -1 4 -1 -1 4 100 -1 5 1 1 -1 -1 -1 -1 -1\n"  # gives up at 35
        "3 6 -1 20 2 -1 -1 2 20 -1 1 1 1 -1 -1 -1 -1 -1\n"  # behind it, but runs at 100 all the same
    )
    apportion("replay", log, "--policy", "fcfs", "--cancelled", "replay", "--out", tmp_path / "run", "--no-report")
    again = read(tmp_path / "run" / "schedule.swf").jobs
    assert again["wait_ms"].tolist() == [0, 30_000, 94_000]
    assert again["run_ms"].tolist() == [100_000, -1, 20_000]
    assert again["status"].tolist() == [1, 5, 1]


def test_users_who_wait_for_what_they_submitted(trace, tmp_path, capsys):
    """The schedule of a slow policy as a log; under a better one its users come back sooner. A report, a diff and a comparison can be made of it."""
    log = tmp_path / "log" / "schedule.swf"
    apportion("replay", trace, "--policy", "fcfs", "--out", log.parent, "--no-report")
    for name, feedback in (("open", "none"), ("closed", "sessions")):
        apportion("replay", log, "--policy", "easy", "--feedback", feedback, "--out", tmp_path / name)
    tables = {name: pd.read_parquet(tmp_path / name / "jobs.parquet") for name in ("open", "closed")}
    closed = tables["closed"]
    assert "recorded_submit_s" not in tables["open"]
    assert closed["submit_s"].is_monotonic_increasing
    assert sorted(closed["job_id"]) == sorted(tables["open"]["job_id"])
    assert closed["submit_s"].sum() < closed["recorded_submit_s"].sum()
    assert (closed["wait_s"] == closed["start_s"] - closed["submit_s"]).all()
    facts = json.loads((tmp_path / "closed" / "manifest.json").read_text())
    assert facts["conventions"]["feedback"] == "sessions"
    assert facts["counts"]["following"] > 200
    again = read(tmp_path / "closed" / "schedule.swf")
    assert (again.jobs["submit_ms"] / 1000 - closed["submit_s"]).abs().max() < 0.51
    assert again.jobs["job_id"].tolist() == closed["job_id"].tolist()
    capsys.readouterr()
    apportion("diff", tmp_path / "open", tmp_path / "closed", expect=3)
    assert "differ in: conventions" in capsys.readouterr().out
    apportion("compare", tmp_path / "open", tmp_path / "closed")


def test_nodes_that_fail(trace, tmp_path, capsys):
    replay = ["replay", str(trace), "--policy", "easy", "--no-report"]
    words = [*replay, "--mtbf", "4:00:00", "--repair", "2:00:00", "--node-procs", "16", "--seed", "5"]
    hashes = []
    for engine in ("compiled", "simpy"):
        apportion(*words, "--engine", engine, "--out", tmp_path / engine)
        hashes.append(json.loads((tmp_path / engine / "manifest.json").read_text())["decision_hash"])
    assert hashes[0] == hashes[1]
    facts = json.loads((tmp_path / "simpy" / "manifest.json").read_text())
    jobs, stops = (pd.read_parquet(tmp_path / "simpy" / f"{name}.parquet") for name in ("jobs", "preemptions"))
    assert len(stops) == jobs["restarts"].sum() > 0
    assert (jobs["state"] != "NODE_FAIL").all()
    assert facts["failures"]["failures"] > 0
    procs = jobs.set_index("job_id")["procs"]
    ran = (stops["time_s"] - stops["start_s"]) * procs.loc[stops["job_id"]].to_numpy()
    assert stops["lost_core_s"].tolist() == pytest.approx(ran.tolist())
    found = json.loads((tmp_path / "simpy" / "metrics.json").read_text())["stops"]
    assert found["failed_jobs"] == len(stops)
    assert found["preempted_jobs"] == 0
    assert found["lost_core_h"] == pytest.approx(stops["lost_core_s"].sum() / 3600)
    # What runs at a time never exceeds what is there.
    ends = [*zip(jobs["start_s"], jobs["end_s"], jobs["procs"], strict=True)]
    ends += zip(stops["start_s"], stops["time_s"], procs.loc[stops["job_id"]], strict=True)
    steps = {time: level for time, _, level in facts["capacity_steps"]}
    for time, level in steps.items():
        assert sum(width for begin, end, width in ends if begin <= time < end) <= level
    apportion(*words, "--failures", "log.csv", expect=2)
    assert "--mtbf" in capsys.readouterr().err
    log = tmp_path / "log.csv"
    log.write_text("time_s,procs,repair_s\n0,0,1\n")
    apportion(*replay, "--failures", log, "--out", tmp_path / "log", expect=1)
    assert "log.csv:2: this is not a failure" in capsys.readouterr().err


def test_jobs_that_do_not_run_are_counted_on_the_screen(tmp_path, capsys):
    lines = ["; MaxProcs: 4"]
    for job, run, procs in ((1, 10, 8), (2, 10, 5), (3, -1, 1), (4, 10, 1)):
        lines.append(" ".join(map(str, (job, 0, -1, run, procs, -1, -1, procs, 20, -1, 1, 1, 1, -1, -1, -1, -1, -1))))
    (tmp_path / "log.swf").write_text("\n".join(lines) + "\n")
    apportion("replay", tmp_path / "log.swf", "--out", tmp_path / "run", "--no-report")
    said = capsys.readouterr().out.splitlines()
    assert "rejected             2 jobs: 2 PartitionNodeLimit" in said
    assert any(line.startswith("not replayed         1 job that never started") for line in said)


def test_jobs_that_were_not_replayed_stand_in_the_run_as_in_the_trace(tmp_path):
    dump = (
        "JobID|User|Account|QOS|Partition|Submit|Start|End|Elapsed|State|AllocCPUS|ReqCPUS|ReqMem|Timelimit\n"
        "1|ann|phys|high|cpu|2024-01-01T00:00:00|2024-01-01T00:00:00|2024-01-01T00:10:00|00:10:00|COMPLETED|4|4|8G|00:20:00\n"
        "2|bob|chem|low|gpu|2024-01-01T00:01:00|Unknown|2024-01-01T00:05:00|00:00:00|CANCELLED by 7|0|6|2G|01:00:00\n"
    )
    (tmp_path / "made.txt").write_text(dump)
    (tmp_path / "p.toml").write_text('[[partitions]]\nPartitionName = "only"\n[[accounts]]\nAccount = "phys"\n')
    apportion(
        "replay", tmp_path / "made.txt", "--policy", tmp_path / "p.toml", "--out", tmp_path / "run", "--no-report"
    )
    ran, left_out = pd.read_parquet(tmp_path / "run" / "jobs.parquet").astype(object).to_dict("records")
    names = ("user", "account", "qos", "partition", "procs", "mem_mib", "limit_s", "state")
    assert [left_out[name] for name in names] == ["bob", "chem", "low", "gpu", 6, 2048, 3600, "CANCELLED"]
    assert [ran[name] for name in names] == ["ann", "phys", "high", "only", 4, 8192, 1200, "COMPLETED"]
    assert pd.isna(left_out["start_s"])


def test_a_job_that_timed_out_in_the_log_times_out_in_both_drivers(tmp_path):
    head = "JobID|Submit|Start|Elapsed|State|AllocCPUS|Timelimit\n"
    rows = [("00:20:00", "TIMEOUT"), ("00:20:00", "COMPLETED"), ("00:10:00", "FAILED")]
    lines = [
        f"{k}|2024-01-01T00:00:00|2024-01-01T00:00:00|{elapsed}|{state}|1|00:20:00"
        for k, (elapsed, state) in enumerate(rows)
    ]
    (tmp_path / "made.txt").write_text(head + "\n".join(lines) + "\n")
    for engine in ("compiled", "simpy"):
        apportion("replay", tmp_path / "made.txt", "--engine", engine, "--out", tmp_path / engine, "--no-report")
        states = pd.read_parquet(tmp_path / engine / "jobs.parquet")["state"].tolist()
        assert states == ["TIMEOUT", "COMPLETED", "FAILED"]


def test_jobs_that_wait_for_others_for_ever(tmp_path, capsys):
    """Job 2 follows job 1, which its user may not run."""
    lines = ["; MaxProcs: 4"]
    for job, after, user in ((1, -1, 1), (2, 1, 2)):
        fields = (job, 0, -1, 10, 1, -1, -1, 1, 20, -1, 1, user, 1, -1, -1, -1, after, -1)
        lines.append(" ".join(map(str, fields)))
    (tmp_path / "log.swf").write_text("\n".join(lines) + "\n")
    (tmp_path / "held.toml").write_text(
        "[[users]]\nUser = '1'\nAccount = '1'\nMaxJobs = 0\n[[accounts]]\nAccount = '1'\n"
    )
    words = ("replay", tmp_path / "log.swf", "--policy", tmp_path / "held.toml", "--dependencies", "honour")
    apportion(*words, "--out", tmp_path / "run")
    waiting = json.loads((tmp_path / "run" / "manifest.json").read_text())["waiting"]
    assert [job["job_id"] for job in waiting] == [1, 2]
    assert waiting[1]["reasons"] == ["Dependency: waits for job 1"]
    assert "never started" in capsys.readouterr().out


def test_jobs_that_no_quota_and_no_budget_will_ever_hold(tmp_path):
    """Of 8 processors account 1 may use 2 and has a budget of 3 hours; jobs 1 and 2 ask for 4 of them, and 2 for 2 hours."""
    lines = ["; MaxProcs: 8"]
    for job, procs, limit in ((1, 4, 60), (2, 2, 7200)):
        fields = (job, 0, -1, 10, procs, -1, -1, procs, limit, -1, 1, 1, 1, -1, -1, -1, -1, -1)
        lines.append(" ".join(map(str, fields)))
    (tmp_path / "log.swf").write_text("\n".join(lines) + "\n")
    (tmp_path / "policy.toml").write_text(
        "[[accounts]]\nAccount = '1'\nNominalQuota = 'cpu=2'\nBudget = 'cpu=3'\nBudgetPeriod = 'month'\n"
    )
    apportion("replay", tmp_path / "log.swf", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "run")
    waiting = json.loads((tmp_path / "run" / "manifest.json").read_text())["waiting"]
    assert waiting == [
        {"job_id": 1, "reasons": ["QuotaNominal: account 1/1 may use 2 cpu more, 4 asked"]},
        {"job_id": 2, "reasons": ["QuotaBudget: 3 cpu hours are left of the budget of account 1/1, 4 asked"]},
    ]


def test_runs_that_differ_are_told_apart(trace, tmp_path, capsys):
    for policy in ("fcfs", "easy"):
        apportion("replay", trace, "--policy", policy, "--out", tmp_path / policy, "--no-report")
    capsys.readouterr()
    apportion("diff", tmp_path / "fcfs", tmp_path / "easy", expect=3)
    assert "just before" in capsys.readouterr().out
    apportion("compare", tmp_path / "fcfs", tmp_path / "easy", "--json", "--replicates", "100")
    assert json.loads(capsys.readouterr().out)


def test_conformance_holds(capsys):
    apportion("conformance")
    assert "100.00 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["TRACE", "--policy", "esay"], "easy", 1),
        (["TRACE", "--procs", "0"], "'--procs': 0 is not in the range", 2),
        (["TRACE", "--engine", "simp"], "'simpy'", 2),
        (["TRACE", "--demo"], "name a trace, a --scenario, or give --demo", 2),
        (["no-such-trace"], "neither a file nor a trace", 1),
        ([], "name a trace", 2),
        (["TRACE", "--no-rule", "no-siez"], "no-size", 1),
        (["TRACE", "--warm-up", "9999-0"], "shorter", 1),
        (["TRACE", "--feedback", "sessions"], "no waits", 1),
        (["TRACE", "--feedback", "sessions", "--cancelled", "replay"], "cancel", 1),
        (["--scenario", "three-smal"], "did you mean 'three-small'?", 1),
        (["--scenario", "three-small", "TRACE"], "name a trace, a --scenario, or give --demo", 2),
        (["--scenario", "three-small", "--placement", "urgnt"], "'urgent'", 2),
        (
            ["--scenario", "three-small", "--policy", "easy", "--tz", "UTC"],
            "--policy and --tz have no effect with --scenario",
            2,
        ),
        (["--scenario", "three-small", "--mtbf", "1-0"], "--mtbf has no effect with --scenario", 2),
        (["KTH", "--no-baseline"], "--baseline/--no-baseline has no effect without --scenario", 2),
    ],
)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(words, said, code, trace, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(trace) if word == "TRACE" else word for word in words]
    apportion("replay", *words, "--out", out, expect=code)
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_a_run_is_not_overwritten(trace, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("mine")
    apportion("replay", trace, "--out", tmp_path, expect=1)
    assert "not a run folder" in capsys.readouterr().err
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_the_summary_gives_the_figures_of_the_metrics(trace, tmp_path, capsys):
    apportion("replay", trace, "--out", tmp_path / "run", "--no-report")
    said = dict(line.split(None, 1) for line in capsys.readouterr().out.replace("mean wait", "mean_wait").splitlines())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert said["utilization"] == f"{100 * metrics['utilization']['used_fraction']:.2f} %"
    assert said["mean_wait"] == f"{metrics['service']['wait_s']['mean']:,.1f} s"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("older", [False, True])
def test_an_interrupted_run_leaves_nothing_half_written(trace, tmp_path, name, code, older):
    words = ["replay", str(trace), "--out", str(tmp_path / "run")]
    if older:
        apportion(*words, "--no-report")
    interrupted = f"""
import os, signal
from apportion.cli.main import main
from apportion.core import jit
from apportion.metrics import compute
compute.compute = lambda run: os.kill(os.getpid(), signal.{name})
main({words})
"""
    done = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == (["run"] if older else [])
    assert not older or (tmp_path / "run" / "metrics.json").is_file()


def test_two_runs_into_one_folder_leave_one_whole_run(tmp_path, monkeypatch):
    partials = []
    for name in "ab":
        partials.append(tmp_path / f".part-{name}")
        partials[-1].mkdir()
        (partials[-1] / "manifest.json").write_text(name)
    out = tmp_path / "run"
    rename, pending = Path.rename, [partials[1]]

    def overtaken(path, target):
        if path == partials[0] and pending:  # the other one is quicker by a moment
            rename(pending.pop(), out)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    runfolder.commit(partials[0], out)
    assert (out / "manifest.json").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_conformance_with_a_folder_that_holds_no_schedules_says_so(tmp_path, capsys):
    apportion("conformance", "--oracles", tmp_path, expect=1)
    assert "no known schedules" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(trace, tmp_path):
    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    done = subprocess.run(
        [sys.executable, "-m", "apportion.cli.main", "replay", str(trace), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_on_a_full_disk_leaves_nothing_half_written(trace, tmp_path):
    runs = [str(tmp_path / policy) for policy in ("fcfs", "easy")]
    for run in runs:
        apportion("replay", trace, "--policy", Path(run).name, "--out", run, "--no-report")

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = ["compare", *runs, "--replicates", "100", "--out", str(tmp_path / "compared")]
    done = subprocess.run(
        [sys.executable, "-m", "apportion.cli.main", *words],
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "compared").exists()


@pytest.mark.skipif(jit.JIT_DISABLED, reason="nothing is compiled")
def test_a_first_run_says_once_why_it_takes_a_while(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jit, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(jit.log, "disabled", False)

    def more(number):
        return number + 1

    def less(number):
        return number - 1

    for said in (1, 0):  # compiled, and taken from the cache
        apportion("--version")
        assert [jit.kernel(function)(1) for function in (more, less)] == [2, 0]
        assert capsys.readouterr().err.count("compiling the decision core") == said


def test_the_demo_without_its_trace_says_so_in_one_line_and_replays_another(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("APPORTION_TRACES", str(tmp_path))
    (tmp_path / "KTH-SP2-1996-2.1-cln.swf.gz").write_bytes(b"not the published file")
    apportion("replay", "--demo", "--out", tmp_path / "run")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"apportion: {tmp_path}/KTH-SP2-1996-2.1-cln.swf.gz: is not the published")
    assert "synthetic workload" in line
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["trace"]["jobs"] == 10_000
