"""``apportion replay --scenario`` as a user meets it: run folders, both engines, placements, mistakes."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

import pages
from apportion.cli.main import main
from apportion.sim.federation.compile import TERMS, WEIGHTS
from apportion.sim.scenario import load_scenario
from apportion.traces import write_swf
from apportion.traces.synth import lublin

FILES = {
    "jobs.parquet",
    "manifest.json",
    "metrics.json",
    "placements.parquet",
    "schedule.swf",
    "transfers.parquet",
    "workload.parquet",
}


def apportion(*words, expect=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == expect


def facts(run):
    return json.loads((run / "manifest.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The preset, with its baseline and report."""
    folder = tmp_path_factory.mktemp("federation") / "run"
    apportion("replay", "--scenario", "three-small", "--out", folder)
    return folder


def test_the_run_folder_holds_what_the_page_says_and_no_more(run):
    named = set(re.findall(r"`([^`\n]+)`", pages.FENCE.sub("", pages.read("federations.md") + pages.read("runs.md"))))
    assert {path.name for path in run.iterdir()} == FILES | {"report.html", "home-only"}
    assert FILES | {"report.html", "home-only/"} <= named
    columns = named | set(re.findall(r"`([^`\n]+)`", (pages.ROOT / "ARCHITECTURE.md").read_text()))
    for file in ("jobs", "placements", "transfers"):
        assert set(pd.read_parquet(run / f"{file}.parquet")) <= columns, file
    assert {"scenario", "scenario_name", "scenario_hash", "federation"} <= set(facts(run)) & named
    assert facts(run)["scenario_hash"] == load_scenario("three-small").hash


def test_at_home_nobody_moves_and_the_same_jobs_ran(run):
    table, home = pd.read_parquet(run / "jobs.parquet"), pd.read_parquet(run / "home-only" / "jobs.parquet")
    assert not home["moved"].any()
    assert (home["center"].astype(str) == home["home"].astype(str)).all()
    assert table["moved"].sum() > 1000
    for column in ("job_id", "own_id", "user", "account", "home", "procs", "submit_s"):
        assert (table[column].astype(str) == home[column].astype(str)).all(), column
    assert facts(run / "home-only")["decision_hash"] != facts(run)["decision_hash"]


def test_backfilled_are_those_that_passed_one_submitted_earlier_at_their_center(run):
    for folder in (run, run / "home-only"):
        table = pd.read_parquet(folder / "jobs.parquet").sort_values("submit_s", kind="stable")
        for _, rows in table.groupby(table["center"].astype(str)):
            latest, found = -np.inf, []
            for start in rows["start_s"]:
                found.append(start < latest)
                latest = max(latest, start)
            assert rows["backfilled"].tolist() == found
            assert rows["backfilled"].any()


def test_every_decision_adds_up(run):
    """Scores are the weighted sums of their terms, the least of them wins, and moved jobs ran where they were bound last."""
    rows = pd.read_parquet(run / "placements.parquet")
    weights = facts(run)["federation"]["weights"]
    assert weights == dict(zip(TERMS, WEIGHTS["balanced"], strict=True))
    terms = ["start_s", "data_s", "run_s", "cost", "energy_kwh", "carbon_kg", "failure", "away"]
    allowed = rows[rows["refused"] == ""]
    assert np.allclose(allowed["score"], allowed[terms].to_numpy() @ np.array(list(weights.values())))
    assert (rows.groupby("decision")["chosen"].sum() == 1).all()
    least = allowed.groupby("decision")["score"].min()
    assert (allowed[allowed["chosen"]].set_index("decision")["score"] == least).all()
    last = rows[rows["chosen"]].drop_duplicates("job_id", keep="last").set_index("job_id")["center"].astype(str)
    jobs = pd.read_parquet(run / "jobs.parquet").set_index("job_id")
    assert (jobs.loc[last.index, "center"].astype(str) == last).all()
    west = rows[(rows["center"].astype(str) == "West") & (rows["refused"] == "DataResidency")]
    needed = jobs.index[(jobs["dataset"].astype(str) == "archive") & jobs["bound_s"].notna()]
    assert set(west["job_id"]) == set(needed)


def test_the_other_engine_decides_the_same_and_prints_plain_data(run, tmp_path, capsys):
    apportion(
        "replay", "--scenario", "three-small", "--engine", "simpy", "--json", "--no-report", "--out", tmp_path / "simpy"
    )
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["engine"], told["decision_hash"]) == ("simpy", facts(run)["decision_hash"])
    assert told["run"] == str(tmp_path / "simpy")
    assert captured.err == ""
    for file in ("jobs.parquet", "placements.parquet", "transfers.parquet", "home-only/jobs.parquet"):
        assert (run / file).read_bytes() == (tmp_path / "simpy" / file).read_bytes(), file
    assert {path.name for path in (tmp_path / "simpy").iterdir()} == FILES | {"home-only"}


@pytest.mark.parametrize("placement", ["home", "random", "redundant"])
def test_a_placement_of_choice(placement, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    apportion("replay", "--scenario", "three-small", "--placement", placement, "--no-report", "--no-baseline")
    folder = tmp_path / "runs" / f"three-small-{placement}"
    out = capsys.readouterr().out
    assert "HOME ONLY" not in out
    assert re.search(r"^all +6,000 ", out, re.MULTILINE)
    assert not (folder / "home-only").exists()
    told = facts(folder)["federation"]
    assert told["placement"] == placement
    assert (told["moved"] == 0) == (placement == "home")
    at_home = facts(run / "home-only")["decision_hash"]
    assert (facts(folder)["decision_hash"] == at_home) == (placement == "home")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[[centers]]\nCenter = 'A'\nProcs = 4\nTrace = 'synthetic'\nPrice = -1\n", 5, "Price: -1 is below zero (give 0 or more)"),
        (
            "[[centers]]\nCenter = 'A'\nProcs = 4\nTrace = 'synthetic'\n[[links]]\nFrom = 'A'\nTo = 'B'\nBandwidth = 1\n",
            7,
            "a link leads to B, which is neither a center nor a waypoint of another link (centers are A)",
        ),
        (
            "End = 1960-01-01\n[[centers]]\nCenter = 'A'\nProcs = 4\nTrace = 'synthetic'\n",
            5,
            "the trace of A runs from 2024-01-01 to 2024-02-20, outside of the scenario",
        ),
    ],
    ids=["price", "link", "window"],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(text, line, said, tmp_path, capsys):
    (tmp_path / "s.toml").write_text(text)
    apportion("replay", "--scenario", tmp_path / "s.toml", "--out", tmp_path / "out", expect=1)
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"apportion: {tmp_path / 's.toml'}:{line}: {said}")
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_centers_without_a_trace_take_what_is_sent_to_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_swf(lublin(150, 3, procs=32, load=1.5, users=5, accounts=2), tmp_path / "north.swf")
    (tmp_path / "s.toml").write_text(
        '[broker]\nPolicy = "multifactor"\nPlacement = "urgent"\n'
        '[[centers]]\nCenter = "South"\nMode = "managed"\nProcs = 32\n'
        '[[centers]]\nCenter = "North"\nMode = "managed"\nProcs = 32\nTrace = "north.swf"\n'
        '[[centers]]\nCenter = "West"\n'
        '[[centers.partitions]]\nPartitionName = "a"\nProcs = 8\n[[centers.partitions]]\nPartitionName = "b"\nProcs = 16\n'
        "[[moves]]\n"
    )
    apportion("scenario", "check", "s.toml", "--traces")
    assert "nothing wrong" in capsys.readouterr().out
    for engine in ("compiled", "simpy"):
        report = [] if engine == "compiled" else ["--no-report"]
        apportion("replay", "--scenario", "s.toml", "--out", engine, "--engine", engine, *report)
    said = capsys.readouterr().out
    assert re.search(r"^South +0 +0 +\d+$", said, re.MULTILINE)
    assert len({facts(tmp_path / engine)["decision_hash"] for engine in ("compiled", "simpy")}) == 1
    known = facts(tmp_path / "compiled")
    assert [entry["procs"] for entry in known["federation"]["centers"]] == [32, 32, 24]
    assert [entry["center"] for entry in known["inputs"]] == ["North"]
    table = pd.read_parquet(tmp_path / "compiled" / "jobs.parquet")
    assert set(table["home"]) == {"North"}
    assert set(table["center"]) == {"North", "South", "West"}
    assert table["start_s"].notna().all()
    page = (tmp_path / "compiled" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r">\s*nan\b", page, re.IGNORECASE)
    moved = table.loc[table["moved"], "job_id"].iloc[0]
    apportion("why", "compiled", moved)
    assert "South" in capsys.readouterr().out
