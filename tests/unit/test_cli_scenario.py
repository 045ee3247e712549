from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest

from apportion.cli.main import main
from apportion.sim.scenario import load_scenario, preset_names
from apportion.traces import write_swf
from apportion.traces.synth import lublin


@pytest.fixture
def run(capsys):
    def command(*args):
        try:
            main(["scenario", *map(str, args)])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_list_names_every_preset_with_centers_traces_and_span(run):
    code, out, _ = run("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == preset_names()
    lines = run("list", "-P")[1].splitlines()
    assert lines[0] == "NAME|CENTERS|TRACES|SPAN"
    real = "europe-us-2004|HPC2N,LPC,SDSC-DS|HPC2N-2002-2,LPC-EGEE-2004-1,SDSC-DS-2004-2|2004-09-15 to 2005-04-01"
    assert real in lines
    rows = json.loads(run("list", "--json")[1])
    assert [row["name"] for row in rows] == preset_names()
    assert all(set(row) == {"name", "centers", "traces", "span", "description"} for row in rows)


@pytest.mark.parametrize("name", preset_names())
def test_show_prints_a_scenario_file_of_the_same_hash(run, tmp_path, name):
    code, out, err = run("show", name)
    assert (code, err) == (0, "")
    assert all(f"#  {entry.Center} " in out for entry in load_scenario(name).centers)
    (tmp_path / "copy.toml").write_text(out)
    copy = load_scenario(tmp_path / "copy.toml")
    assert copy.hash == load_scenario(name).hash
    assert copy.Name == "copy"
    shown = json.loads(run("show", name, "--json")[1])
    assert shown == {"hash": load_scenario(name).hash, "scenario": load_scenario(name).canonical()}


def test_policies_of_ones_own_are_written_out(run, tmp_path):
    """A file is not there where the copy will be, and a table can hold lists of tables."""
    (tmp_path / "local.toml").write_text("Order = 'sjf'\n")
    text = "[[centers]]\nCenter = 'A'\nProcs = 4\nPolicy = 'local.toml'\n[[centers.partitions]]\nPartitionName = 'p'\nTRES = 'cpu=4,mem=8G'\n"
    text += (
        "[[moves]]\n[broker.Policy]\nOrder = 'multifactor'\n[[broker.Policy.accounts]]\nAccount = 'x'\nFairshare = 7\n"
    )
    (tmp_path / "s.toml").write_text(text)
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "copy.toml"
    copy.write_text(run("show", tmp_path / "s.toml")[1])
    assert load_scenario(copy).hash == load_scenario(tmp_path / "s.toml").hash
    plain = tomllib.loads(copy.read_text())
    assert plain["centers"][0]["Policy"]["Order"] == "sjf"
    assert plain["broker"]["Policy"]["accounts"] == [
        {"Account": "x", "Fairshare": 7, **plain["broker"]["Policy"]["accounts"][0]}
    ]


def test_check_says_what_a_good_scenario_describes(run):
    code, out, err = run("check", "europe-us-2004")
    assert (code, err) == (0, "")
    assert out.startswith(f"europe-us-2004: nothing wrong, hash {load_scenario('europe-us-2004').hash[:12]}\n")
    for words in (
        "SDSC-DS autonomous 1664",
        "Geneva Chicago 2.5 Gbit/s 0.06 s",
        "survey 200 GB",
        "30 % of jobs with ProcsMax 64",
    ):
        assert words in " ".join(out.split())
    assert json.loads(run("check", "three-small", "--json")[1]) == {
        "hash": load_scenario("three-small").hash,
        "ignored": [],
        "faults": [],
    }


def test_check_says_everything_that_is_wrong_and_exits_with_3(run, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        "[[centers]]\nCenter = 'A'\nPrice = -1\n[[links]]\nFrom = 'A'\nTo = 'B'\nBandwidth = '1Gbit/s'\nDuplx = true\n"
    )
    code, out, err = run("check", path)
    assert (code, err) == (3, "")
    assert out.splitlines() == [
        f"{path}:2: center A has no partitions (give it Procs, partitions or a Trace)",
        f"{path}:3: Price: -1 is below zero (give 0 or more)",
        f"{path}:6: a link leads to B, which is neither a center nor a waypoint of another link (centers are A)",
        f"{path}:8: unknown key 'Duplx' in links number 1 (did you mean 'Duplex'?)",
    ]
    code, out, _ = run("check", path, "--json")
    told = json.loads(out)
    assert (code, told["hash"], [fault["line"] for fault in told["faults"]]) == (3, None, [2, 3, 6, 8])
    path.write_text("[[centers]]\nProcs = 4\n")
    code, out, err = run("check", path)
    assert (code, out) == (3, f"{path}:1: Center is missing (add Center)\n")
    assert "more may show" in err
    code, out, err = run("check", "three-smal")
    assert (code, out, err) == (3, "there is no scenario or file 'three-smal' (did you mean 'three-small'?)\n", "")


def test_what_has_no_effect_is_said(run, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[broker.Policy]\nOverTimeLimit = 5\n[[centers]]\nCenter = 'A'\nProcs = 4\n")
    (ignored,) = json.loads(run("check", path, "--json")[1])["ignored"]
    assert ignored.startswith("OverTimeLimit is known to Slurm but not simulated yet")
    code, out, _ = run("check", path)
    assert code == 3
    assert ignored in out
    assert ignored in run("show", path)[2]


def test_check_reads_the_traces_on_demand(run, tmp_path):
    for seed, name in enumerate("AB"):
        write_swf(lublin(100, seed, procs=32, load=0.8, users=5, accounts=2), tmp_path / f"{name}.swf")
    text = "".join(f"[[centers]]\nCenter = '{name}'\nProcs = 32\nTrace = '{name}.swf'\n" for name in "AB")
    path = tmp_path / "s.toml"
    path.write_text(text)
    assert run("check", path)[0] == 0
    code, out, _ = run("check", path, "--traces")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if line.split()[:1] in (["A"], ["B"])][-2:] == ["100", "100"]
    told = json.loads(run("check", path, "--traces", "--json")[1])["traces"]
    assert {name: entry["jobs"] for name, entry in told.items()} == {"A": 100, "B": 100}
    path.write_text(f"{text}Shift = '9999-0'\n")
    assert run("check", path)[0] == 0
    code, out, _ = run("check", path, "--traces")
    assert code == 3
    assert out.startswith(f"{path}:8: the traces do not overlap: that of A ends on ")
    assert len(out.splitlines()) == 1


def test_schema_describes_every_section(run):
    described = json.loads(run("schema")[1])
    assert {"centers", "links", "datasets", "moves", "failures", "broker"} <= set(described["properties"])
    assert "balanced" in described["$defs"]["BrokerEntry"]["properties"]["Placement"]["enum"]


def test_a_mistake_is_one_line(run, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[[centers]]\nCenter = 'A'\nProcs = 4\nSped = 2\n")
    code, out, err = run("show", path)
    assert (code, out) == (1, "")
    assert err == f"apportion: {path}:4: unknown key 'Sped' in centers number 1 (did you mean 'Speed'?)\n"
    assert run("show")[0] == 2


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from apportion.cli.main import main\n"
        "try: main(['scenario', 'check', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'numba', 'numpy', 'pandas', 'pydantic'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
