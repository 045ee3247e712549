"""What a long replay shows on a terminal and not in a pipe, and what an interrupt leaves behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from apportion.traces import write_swf
from apportion.traces.synth import lublin
from terminal import Terminal


@pytest.fixture(scope="module")
def long_trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "long.swf"
    write_swf(lublin(120_000, 3, procs=64, load=0.7, users=20, accounts=3), path)
    return path


def words(trace, out):
    return "replay", trace, "--policy", "multifactor", "--out", out, "--no-report"


def start(trace, out, **streams):
    command = [sys.executable, "-m", "apportion.cli.main", *map(str, words(trace, out))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams)


def test_a_terminal_shows_how_far_it_is_and_how_long_it_takes(long_trace, tmp_path):
    terminal = Terminal(*words(long_trace, tmp_path / "run"))
    assert terminal.end() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen)
    parts = [int(part) for part in re.findall(r"replay .* (\d+)% .*left", plain)]
    assert parts
    assert parts == sorted(parts)
    assert max(parts) > 0
    assert "metrics ..." in plain
    assert "run folder" in plain


def test_a_pipe_gets_the_result_and_no_progress(long_trace, tmp_path):
    piped = start(long_trace, tmp_path / "run")
    out, err = piped.communicate()
    assert piped.returncode == 0
    assert err == ""
    assert "\x1b" not in out
    assert out.splitlines()[-1].split() == ["run", "folder", str(tmp_path / "run")]


def test_json_is_all_that_is_printed_even_on_a_terminal(long_trace, tmp_path):
    terminal = Terminal(*words(long_trace, tmp_path / "run"), "--json")
    assert terminal.end() == 0
    told = json.loads(terminal.seen)
    assert told["service"]["wait_s"]["mean"] == json.loads((tmp_path / "run" / "metrics.json").read_text())["service"][
        "wait_s"
    ]["mean"]  # fmt: skip


@pytest.mark.parametrize("moment", ["replay", "metrics ..."])
def test_an_interrupt_is_one_line_and_leaves_nothing(long_trace, tmp_path, moment):
    terminal = Terminal(*words(long_trace, tmp_path / "run"))
    terminal.wait_for(moment)
    terminal.press(b"\x03")
    assert terminal.end() == 130
    after = terminal.seen.rpartition("^C")[2].strip()
    assert after.endswith("apportion: interrupted; nothing half-written is left")
    assert "Traceback" not in terminal.seen
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_the_older_one_alone(long_trace, tmp_path):
    short = tmp_path / "short.swf"
    write_swf(lublin(50, 3, procs=64), short)
    first = start(short, tmp_path / "run")
    assert first.wait() == 0
    short.unlink()
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    terminal = Terminal(*words(long_trace, tmp_path / "run"))
    terminal.wait_for("metrics ...")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_a_terminated_run_cleans_up_as_well(long_trace, tmp_path):
    running = start(long_trace, tmp_path / "run")
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".run.*/jobs.parquet")) and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate()
    assert running.returncode == 143
    assert (out, err) == ("", "")
    assert list(tmp_path.iterdir()) == []
