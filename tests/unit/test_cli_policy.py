from __future__ import annotations

import json
import subprocess
import sys

import pytest

from apportion.cli.main import main
from apportion.policy.load import load, load_file, preset_names


@pytest.fixture
def run(capsys):
    def command(*args):
        try:
            main(["policy", *map(str, args)])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_list_names_every_preset(run):
    code, out, _ = run("list")
    assert code == 0
    assert all(any(line.split() and line.split()[0] == name for line in out.splitlines()) for name in preset_names())
    lines = run("list", "-P")[1].splitlines()
    assert lines[0] == "NAME|ORDER|BACKFILL|DESCRIPTION"
    assert {line.split("|")[0] for line in lines[1:]} == set(preset_names())
    rows = json.loads(run("list", "--json")[1])
    assert {row["name"] for row in rows} == set(preset_names())


@pytest.mark.parametrize("name", ["slurm", "f1", "sjf+easy"])
def test_show_prints_a_policy_file_of_the_same_hash(run, tmp_path, name):
    code, out, err = run("show", name)
    assert (code, err) == (0, "")
    (tmp_path / "copy.toml").write_text(out)
    copy = load_file(tmp_path / "copy.toml")
    assert copy.hash == load(name).hash
    assert copy.Name == "copy"  # runs under a changed copy must not be taken for those under the preset
    shown = json.loads(run("show", name, "--json")[1])
    assert shown == {"hash": load(name).hash, "policy": load(name).canonical()}


def test_check_is_quiet_about_a_good_policy(run):
    code, out, _ = run("check", "slurm")
    assert code == 0
    assert "nothing to ask" in out
    assert run("check", "slurm", "--longest-limit", "8-0")[0] == 3


def test_check_lists_questions_and_ignored_keys(run, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("PriorityWeightAge = 10\nOverTimeLimit = 5\n")
    code, out, _ = run("check", path)
    assert code == 3
    assert f"{path}:2: OverTimeLimit is known to Slurm but not simulated yet" in out
    assert "PriorityWeightAge: no effect with Order fcfs" in out
    report = json.loads(run("check", path, "--json")[1])
    assert len(report["ignored"]) == len(report["findings"]) == 1
    code, _, err = run("show", path)
    assert code == 0
    assert "not simulated yet" in err


def test_diff_prints_what_changes(run):
    assert run("diff", "easy", "fcfs+easy")[1] == "no effective change\n"
    assert run("diff", "easy", "fcfs")[1] == "Backfill: easy -> none\n"
    assert json.loads(run("diff", "easy", "fcfs", "--json")[1]) == [
        {"key": "Backfill", "before": "easy", "after": "none"}
    ]


def test_schema_describes_every_key(run):
    schema = json.loads(run("schema")[1])
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert field.get("description"), name
    assert schema["additionalProperties"] is False
    assert "easy-sjbf" in schema["properties"]["Backfill"]["enum"]


def test_a_mistake_is_one_line_and_exit_code_1_or_3_of_a_check(run, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('Order = "fcfs"\nBackfil = "easy"\n')
    for verb, expected in (("show", 1), ("check", 3)):
        code, out, err = run(verb, path)
        assert (code, out) == (expected, "")
        assert err == f"apportion: {path}:2: unknown key 'Backfil' (did you mean 'Backfill'?)\n"
    assert run("show", "esay")[0] == 1
    assert run("show")[0] == 2
    assert run("check", "slurm", "--longest-limit", "soon")[0] == 2
    code, out, _ = run("check", path, "--json")
    assert code == 3
    assert json.loads(out)["faults"] == [
        {"file": str(path), "line": 2, "problem": "unknown key 'Backfil'", "remedy": "did you mean 'Backfill'?"}
    ]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from apportion.cli.main import main\n"
        "try: main(['policy', 'show', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'numba', 'numpy', 'pandas', 'pydantic'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
