"""``apportion why``: every claim is worked out again from the run folder, by other means."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from apportion.cli.main import main
from apportion.policy.load import from_dict
from apportion.sim.federation.compile import compile_federation
from apportion.sim.federation.moves import moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.replay import run as run_federation
from apportion.sim.federation.workload import merge
from apportion.sim.inputs import read_ids, read_workload
from apportion.sim.replay import replay
from apportion.sim.scenario import scenario_from_dict
from apportion.sim.why.facts import TERMS
from apportion.sim.why.story import tell
from apportion.traces import write_swf
from apportion.traces.synth import lublin
from real_traces import find
from trace_cases import make_trace

WEIGHTS = dict(
    zip(TERMS, ("start", "data", "run", "cost", "energy", "carbon", "failure", "affinity"), strict=True)
)  # by the scenario's name of each term


def apportion(*words, expect=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == expect


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """Three synthetic centers, with data that most jobs of one of them need and that may not go everywhere."""
    folder = tmp_path_factory.mktemp("federation")
    for seed, (name, procs) in enumerate((("North", 64), ("South", 128), ("West", 256))):
        write_swf(lublin(500, seed + 3, procs=procs, load=0.9, users=20, accounts=4), folder / f"{name}.swf")
    (folder / "scenario.toml").write_text(
        """
Name = "test"
Seed = 3
[broker]
Policy = "multifactor"
LookAhead = 8
[[centers]]
Center = "North"
Trace = "North.swf"
Procs = 64
PollInterval = 60
[[centers]]
Center = "South"
Mode = "managed"
Trace = "South.swf"
Procs = 128
Price = 0.5
[[centers]]
Center = "West"
Trace = "West.swf"
Procs = 256
Speed = 1.25
Latency = 5
[[links]]
From = "North"
To = "South"
Bandwidth = "100Mbit/s"
[[links]]
From = "South"
To = "West"
Bandwidth = "1Gbit/s"
[[datasets]]
Dataset = "kept"
Size = "80GB"
Replicas = ["North"]
Residency = ["North", "South"]
Match = { Center = "North", ProcsMax = 2 }
[[datasets]]
Dataset = "free"
Size = "90GB"
Replicas = ["North"]
Match = { Center = "North", ProcsMin = 3, ProcsMax = 8 }
[[moves]]
Match = { ProcsMax = 64 }
Fraction = 0.6
By = "job"
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        apportion("replay", "--scenario", "scenario.toml", "--out", "run", "--no-report")
    return folder / "run"


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_jobs_whose_account_gave_back_quota(tmp_path, capsys, engine):
    """Nobody within its quota is stopped for another account: usage is counted anew from the tables of the run."""
    quotas = {"1": 24, "2": 24, "3": 8, "4": 8}
    write_swf(lublin(400, 11, procs=64, load=1.3, users=20, accounts=4), tmp_path / "trace.swf")
    entry = 'Account = "{}"\nCohort = "team"\nNominalQuota = "cpu={}"\nReclaimWithinCohort = "Any"\n'
    lines = ["[[accounts]]\n" + entry.format(name, quota) for name, quota in quotas.items()]
    (tmp_path / "policy.toml").write_text('Backfill = "easy"\nPreemptMode = "REQUEUE"\n' + "\n".join(lines))
    words = ["replay", tmp_path / "trace.swf", "--policy", tmp_path / "policy.toml", "--engine", engine]
    apportion(*words, "--out", tmp_path / "run", "--no-report")
    jobs = pd.read_parquet(tmp_path / "run" / "jobs.parquet").astype({"account": str, "reasons": str})
    stops = pd.read_parquet(tmp_path / "run" / "preemptions.parquet").astype({"reason": str})
    assert len(stops) > 20
    assert set(stops["reason"]) == {"InCohortReclamation"}
    jobs = jobs.set_index("job_id")
    spans = pd.concat(
        [
            jobs[["start_s", "end_s"]].reset_index(),
            stops[["job_id", "start_s", "time_s"]].rename(columns={"time_s": "end_s"}),
        ]
    )
    spans["procs"], spans["account"] = (jobs.loc[spans["job_id"], name].to_numpy() for name in ("procs", "account"))
    for stop in stops.itertuples():
        of, by = jobs.loc[stop.job_id], jobs.loc[stop.preemptor]
        assert of["account"] != by["account"]
        there = spans[(spans["start_s"] < stop.time_s) & (spans["end_s"] >= stop.time_s)]
        used = there.groupby("account")["procs"].sum()
        assert used[of["account"]] > quotas[of["account"]]
        after = spans[(spans["start_s"] <= stop.time_s) & (spans["end_s"] > stop.time_s)]
        assert after.loc[after["account"] == by["account"], "procs"].sum() <= quotas[by["account"]]
    (story,) = stories(tmp_path / "run", capsys, [int(stops["job_id"].iloc[-1])])
    told = "\n".join(tell(story))
    assert "whose account took back quota that this job's account had borrowed (REQUEUE)" in told
    assert f"by job {stops['preemptor'].iloc[-1]}" in told
    assert jobs["reasons"].str.contains("QuotaCohort").any()


def chosen(run):
    """Jobs of every kind: by what became of them."""
    jobs = pd.read_parquet(run / "jobs.parquet")
    placements = pd.read_parquet(run / "placements.parquet")
    rng = np.random.default_rng(5)
    refused = placements.loc[placements["refused"] == "DataResidency", "job_id"].unique()
    waited = jobs["wait_s"] > 600
    queued = jobs["bound_s"] > jobs["submit_s"]
    anew = placements.groupby("job_id")["decision"].nunique()
    kinds = {
        "started at once": jobs["wait_s"] == 0,
        "waited at home": waited & jobs["bound_s"].isna(),
        "moved": jobs["moved"] & waited,
        "moved and waited for data": jobs["moved"] & (jobs["transfer_s"] > 60),
        "waited for room in the broker's queue": queued & waited,
        "refused by residency": jobs["job_id"].isin(refused) & (jobs["wait_s"] > 0),
        "placed anew": jobs["job_id"].isin(anew[anew > 1].index),
        "long": (jobs["run_s"] > 36_000) & waited,
        "wide": (jobs["procs"] > 32) & waited,
        "passed by others": waited & ~jobs["moved"] & (jobs["procs"] > 8),
    }
    found = {}
    for kind, mask in kinds.items():
        ids = jobs.loc[mask, "job_id"].to_numpy()
        assert len(ids), kind
        found[kind] = int(rng.choice(ids))
    return found


def stories(run, capsys, ids):
    for job_id in ids:
        capsys.readouterr()
        apportion("why", run, job_id, "--json")
        yield json.loads(capsys.readouterr().out)


def check_waiting(story, jobs):
    """Times, the stretches of the history, and who else was there, by plain loops over the table."""
    row = next(job for job in jobs if str(job["job_id"]) == str(story["job_id"]))
    for name in ("submit_s", "start_s", "wait_s", "procs", "limit_s"):
        assert story[name] == pytest.approx(row[name])
    history = story["history"]
    if not history:
        assert row["wait_s"] == 0
        return
    assert history[0]["from_s"] == row["submit_s"]
    assert history[-1]["to_s"] == row["start_s"]
    assert all(a["to_s"] == b["from_s"] for a, b in pairwise(history))
    here = [job for job in jobs if job["center"] == row["center"] and job["job_id"] != row["job_id"]]
    ran = [job for job in here if job["start_s"] <= row["submit_s"] < job["end_s"]]
    assert story["ahead"]["ran_at_submit"]["jobs"] == len(ran)
    assert story["ahead"]["ran_at_submit"]["procs"] == sum(job["procs"] for job in ran)
    between = [job for job in here if row["submit_s"] < job["start_s"] < row["start_s"]]
    for key, later in (("started_submitted_earlier", False), ("started_submitted_later", True)):
        some = [job for job in between if (job["submit_s"] > row["submit_s"]) == later]
        assert story["ahead"][key]["jobs"] == len(some)
        core_h = sum(job["procs"] * job["run_s"] for job in some) / 3600
        assert story["ahead"][key]["core_h"] == pytest.approx(core_h)


def test_what_is_said_of_jobs_of_a_federation_holds(federation, capsys):
    manifest = json.loads((federation / "manifest.json").read_text())
    weights = manifest["federation"]["weights"]
    jobs = pd.read_parquet(federation / "jobs.parquet").astype({"center": str}).to_dict("records")
    transfers = pd.read_parquet(federation / "transfers.parquet")
    kinds = chosen(federation)
    told = dict(zip(kinds, stories(federation, capsys, kinds.values()), strict=True))
    for kind, story in told.items():
        check_waiting(story, jobs)
        for placed in story["placements"]:
            allowed = [option for option in placed["options"] if not option["refused"]]
            for option in allowed:
                score = sum(weights[WEIGHTS[term]] * option[term] for term in TERMS)
                assert option["score"] == pytest.approx(score), kind
            best = min(allowed, key=lambda option: option["score"])
            assert [option["center"] for option in placed["options"] if option["chosen"]] == [best["center"]]
        for copy in story["transfers"]:
            same = transfers[(transfers["dataset"] == copy["dataset"]) & (transfers["center"] == copy["center"])]
            assert same[["source", "begin_s", "end_s"]].to_numpy().tolist() == [
                [copy["source"], copy["begin_s"], copy["end_s"]]
            ]
    data = told["moved and waited for data"]
    travel = [part for part in data["history"] if part["where"] == "travel"][-1]  # it may have been placed anew
    assert travel["to_s"] - travel["from_s"] == data["transfer_s"]
    assert any(
        option["refused"] == "DataResidency"
        for p in told["refused by residency"]["placements"]
        for option in p["options"]
    )
    assert told["waited for room in the broker's queue"]["history"][0]["where"] == "broker"


def test_the_change_that_would_have_helped_helps(federation, capsys):
    """The other engine starts the job then; and a smaller change would not have done."""
    manifest = json.loads((federation / "manifest.json").read_text())
    scenario = scenario_from_dict(manifest["scenario"])
    parts = read_workload(federation)
    names = [entry.Center for entry in scenario.centers]
    jobs = pd.read_parquet(federation / "jobs.parquet")
    origin = int(manifest["origin_ms"])

    def start_s(job_id, **columns):
        row = jobs.loc[jobs["job_id"] == job_id].iloc[0]
        k = names.index(row["home"])
        at = int(merge(names, parts).row[job_id - 1])
        part = parts[k]
        run = part.run_ms.copy()
        changed = {}
        for name, value in columns.items():
            column = getattr(part.jobs, name).copy()
            column[at] = value
            changed[name] = column
        if "limit_ms" in changed:
            run[at] = min(run[at], changed["limit_ms"][at])
        mine = [*parts]
        mine[k] = replace(part, jobs=replace(part.jobs, **changed), run_ms=run)
        merged = merge(names, mine)
        compiled = compile_federation(scenario, merged, moves_of(scenario, merged, data_times(scenario)))
        start = int(run_federation(merged, compiled, "simpy").start_ms[job_id - 1])
        return (start - origin) / 1000.0

    waited = jobs[(jobs["wait_s"] > 1800) & (jobs["procs"] > 4)]["job_id"].to_list()
    checked = set()
    for story in stories(federation, capsys, waited[:: max(len(waited) // 6, 1)][:6]):
        for change in story["changes"]:
            if change["kind"] == "center" or change["start_s"] is None:
                continue
            name, unit = {"limit_s": ("limit_ms", 1000), "procs": ("procs", 1)}[change["kind"]]
            assert (
                start_s(story["job_id"], **{name: round(change["to"] * unit)}) == change["start_s"] < story["start_s"]
            )
            less = change["to"] + {"limit_s": 60, "procs": 1}[change["kind"]]
            if less < change["from"]:
                assert start_s(story["job_id"], **{name: round(less * unit)}) >= story["start_s"]
            checked.add(change["kind"])
    assert checked == {"limit_s", "procs"}


@pytest.mark.parametrize("policy", ["easy", "conservative", "slurm", "multifactor"])
def test_what_is_said_of_jobs_of_one_machine_holds(policy, tmp_path, capsys):
    write_swf(lublin(600, 11, procs=64, load=1.1, users=12, accounts=3), tmp_path / "made.swf")
    run = tmp_path / "run"
    apportion("replay", tmp_path / "made.swf", "--policy", policy, "--out", run, "--no-report")
    table = pd.read_parquet(run / "jobs.parquet")
    jobs = table.astype({"center": str}).to_dict("records")
    ids = table.nlargest(40, "wait_s")["job_id"].to_list()[::10]
    part = read_workload(run)[0]
    order = read_ids(run).tolist()
    manifest = json.loads((run / "manifest.json").read_text())
    origin = int(manifest["origin_ms"] or 0)
    for story in stories(run, capsys, ids):
        check_waiting(story, jobs)
        at = order.index(story["job_id"])
        for change in story["changes"]:
            if change["start_s"] is None:
                continue
            limit, procs = part.jobs.limit_ms.copy(), part.jobs.procs.copy()
            column = limit if change["kind"] == "limit_s" else procs
            column[at] = round(change["to"] * (1000 if change["kind"] == "limit_s" else 1))
            changed = replace(
                part, jobs=replace(part.jobs, limit_ms=limit, procs=procs), run_ms=np.minimum(part.run_ms, limit)
            )
            start = replay(changed, from_dict(manifest["policy"]), "simpy").start_ms[at]
            assert (int(start) - origin) / 1000.0 == change["start_s"] < story["start_s"]
        if policy == "conservative":
            assert story["plans"][-1]["start_s"] >= story["start_s"]


def test_a_job_that_gave_up_waited_until_then_and_nobody_after_it_overtook_it(tmp_path, capsys):
    columns = {
        "submit_ms": [0, 1000, 50_000],
        "run_ms": [1_000_000, -1, 10_000],
        "wait_ms": [0, 20_000, 0],
        "status": [1, 5, 1],
        "procs_used": [4, 4, 1],
    }
    write_swf(make_trace(columns, max_procs=4), tmp_path / "made.swf")
    apportion("replay", tmp_path / "made.swf", "--cancelled", "replay", "--out", tmp_path / "run", "--no-report")
    capsys.readouterr()
    apportion("why", tmp_path / "run", "2")
    told = capsys.readouterr().out.splitlines()
    assert "t = 1 s  waited in the queue because not enough processors were free (Resources) (20 s)." in told
    assert "t = 21 s  was cancelled after 20 s of waiting." in told
    assert not any("started before it" in line for line in told)


def test_a_job_that_was_not_replayed_and_times_since_1970(tmp_path, capsys):
    """Times of sacct are Unix times: their origin is 0, which is a calendar too."""
    dump = (
        "JobID|Submit|Start|Elapsed|State|AllocCPUS|Timelimit\n"
        "1|2024-01-01T00:00:00|2024-01-01T00:00:00|00:10:00|COMPLETED|4|00:20:00\n"
        "2_[3-9]|2024-01-01T00:05:00|Unknown|00:00:00|PENDING|0|UNLIMITED\n"
    )
    (tmp_path / "made.txt").write_text(dump)
    apportion("replay", tmp_path / "made.txt", "--out", tmp_path / "run", "--no-report")
    capsys.readouterr()
    apportion("why", tmp_path / "run", "2_[3-9]")
    assert capsys.readouterr().out.splitlines() == [
        "Job 2_[3-9], user unknown.",
        "2024-01-01 00:05:00  submitted; it was not replayed (DROPPED).",
    ]


def test_stories_read_as_plain_english(federation, capsys):
    kinds = chosen(federation)
    told = {}
    for kind, job_id in kinds.items():
        capsys.readouterr()
        apportion("why", federation, job_id)
        told[kind] = capsys.readouterr().out
        assert told[kind].startswith(f"Job {job_id} ")
        assert "None" not in told[kind]
        assert "nan" not in told[kind].lower().replace("tenan", "")
    assert "started at once" in told["started at once"]
    assert "away from" in told["moved"]
    assert "waited for its data (" in told["moved and waited for data"]
    assert "its data may not be there (DataResidency)" in told["refused by residency"]
    assert "until the best center had room for it" in told["waited for room in the broker's queue"]
    assert told["placed anew"].count("the broker chose") > 1


@pytest.mark.parametrize(
    ("job", "said"), [("0", "no job has the id 0"), ("North/999999", "no job has the id North/999999")]
)
def test_a_job_that_is_not_there_is_one_clear_line(federation, job, said, capsys):
    apportion("why", federation, job, expect=1)
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1


def test_a_folder_without_its_workload_is_one_clear_line(federation, tmp_path, capsys):
    for name in ("jobs.parquet", "manifest.json"):
        (tmp_path / name).write_bytes((federation / name).read_bytes())
    apportion("why", tmp_path, 1, expect=1)
    assert "workload.parquet is missing" in capsys.readouterr().err


CENTERS = ("HPC2N-2002-2.2-cln.swf.gz", "LPC-EGEE-2004-1.2-cln.swf.gz", "SDSC-DS-2004-2.1-cln.swf.gz")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """The first five weeks of three real centers with quotas, preemption and failures."""
    for name in CENTERS:
        find(name)
    folder = tmp_path_factory.mktemp("preset")
    text = (resources.files("apportion.sim.scenario") / "presets" / "europe-us-2004-full.toml").read_text()
    (folder / "scenario.toml").write_text(text.replace("End = 2005-04-01", "End = 2004-10-20"))
    apportion("replay", "--scenario", folder / "scenario.toml", "--out", folder / "run", "--no-report", "--no-baseline")
    return folder / "run"


def test_jobs_of_real_centers_one_of_each_kind(preset, capsys):
    jobs = pd.read_parquet(preset / "jobs.parquet").astype({"center": str, "home": str, "state": str, "reasons": str})
    placements = pd.read_parquet(preset / "placements.parquet")
    stops = pd.read_parquet(preset / "preemptions.parquet").astype({"mode": str, "reason": str})
    refused = placements.loc[placements["refused"] == "DataResidency", "job_id"]
    failed, preempted = (stops.loc[stops["mode"] == mode, "job_id"] for mode in ("NODE_FAIL", "REQUEUE"))
    lent = stops.loc[stops["reason"] == "InCohortReclamation", "job_id"]
    kinds = {
        "started at once": jobs["wait_s"] == 0,
        "waited at home": (jobs["wait_s"] > 3600) & jobs["bound_s"].isna(),
        "moved": jobs["moved"] & (jobs["wait_s"] > 3600),
        "waited for data": jobs["transfer_s"] > 60,
        "waited for room or quota in the broker's queue": jobs["bound_s"] > jobs["submit_s"] + 600,
        "borrowed all there was": jobs["reasons"].str.contains("QuotaCohort") & (jobs["wait_s"] > 600),
        "preempted": jobs["job_id"].isin(preempted) & jobs["start_s"].notna(),
        "gave back what it had borrowed": jobs["job_id"].isin(lent) & jobs["start_s"].notna(),
        "failed and resumed": jobs["job_id"].isin(failed) & jobs["start_s"].notna(),
        "refused by residency": jobs["job_id"].isin(refused) & (jobs["wait_s"] > 60),
        "stopped at its limit": (jobs["state"] == "TIMEOUT") & (jobs["wait_s"] > 600),
    }
    rows = jobs.to_dict("records")
    for kind, mask in kinds.items():
        ids = jobs.loc[mask, "job_id"].to_numpy()
        assert len(ids), kind
        (story,) = stories(preset, capsys, [int(ids[len(ids) // 2])])
        check_waiting(story, rows)
        mine = stops[stops["job_id"] == story["job_id"]]
        assert [stop["time_s"] for stop in story["preemptions"]] == mine["time_s"].tolist()
        runs = [part for part in story["history"] if part["where"] == "run"]
        assert [part["from_s"] for part in runs] == mine["start_s"].tolist()
        assert [part["to_s"] for part in runs] == mine["time_s"].tolist()
        assert story["starts_s"] == [*mine["start_s"], story["start_s"]]
        told = "\n".join(tell(story))
        assert "None" not in told
        if kind == "gave back what it had borrowed":
            assert "took back quota that this job's account had borrowed" in told
        if kind in ("preempted", "failed and resumed"):
            assert len(mine) > 0
            assert "ran until it was stopped" in told
        if kind == "borrowed all there was":
            assert "(QuotaCohort)" in told
