"""Help and version answer at once: they import nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from apportion.cli.main import COMMANDS

HEAVY = {"llvmlite", "matplotlib", "numba", "numpy", "pandas", "pooch", "pyarrow", "pydantic", "scipy", "simpy", "yaml"}

# Asks one command, and every command below it, for its help; then says what was imported.
ASK = """
import json, sys
from apportion.cli.main import cli, main

def ask(*words):
    try:
        main([*words])
    except SystemExit as stop:
        assert not stop.code, (words, stop.code)

def ask_all(command, *words):
    ask(*words, "--help")
    for name, below in sorted(getattr(command, "commands", {}).items()):
        ask_all(below, *words, name)

words = json.loads(sys.argv[1])
if words and not words[0].startswith("-"):
    ask_all(cli.get_command(None, words[0]), *words)
else:
    ask(*words)
print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", ASK, json.dumps(words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [("--help",), ("--version",), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(words):
    assert imported_by(*words) & HEAVY == set()


def test_the_check_sees_a_heavy_import():
    code = ASK.replace("import json, sys", "import json, sys, numpy", 1)
    done = subprocess.run([sys.executable, "-c", code, '["--help"]'], capture_output=True, text=True, check=True)
    assert "numpy" in json.loads(done.stdout.splitlines()[-1])


def test_the_installed_command_shows_the_same_help():
    script = subprocess.run([f"{sys.prefix}/bin/apportion", "--help"], capture_output=True, text=True, check=True)
    assert all(name in script.stdout for name in COMMANDS)


def test_numba_loads_without_scipy_and_scipy_can_be_had_later():
    code = (
        "import sys; from apportion.cli.startup import load_numba; load_numba();"
        "print('scipy.linalg' in sys.modules); import apportion.core.jit, scipy.linalg; print(scipy.linalg.det([[2.0]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "2.0"]


def test_a_closed_output_is_no_traceback():
    words = f'{sys.executable} -c \'from apportion.cli.main import main; main(["traces", "list"])\' >&- '
    done = subprocess.run(["sh", "-c", words], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["traces", "list"], ["policy", "schema"]])  # by rich and by click
def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(words):
    reading, writing = os.pipe()
    os.close(reading)
    code = f"from apportion.cli.main import main; main({words})"
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
