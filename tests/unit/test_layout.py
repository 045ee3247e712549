"""The shape of the project: one namespace over three folders, imports that point downward, nothing of one machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = [ROOT / folder / "apportion" for folder in ("broker", "sim", "traces")]
PACKAGES = sorted(
    path for portion in PORTIONS for path in portion.iterdir() if path.is_dir() and path.name != "__pycache__"
)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("portion", PORTIONS, ids=lambda path: path.parent.name)
def test_a_portion_of_the_namespace_holds_packages_only(portion):
    assert [path.name for path in portion.iterdir() if not path.is_dir()] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_regular_and_typed(package):
    assert (package / "__init__.py").is_file()
    assert (package / "py.typed").is_file()


def test_every_folder_of_modules_is_a_package():
    """Below a typed package all are (PEP 561); one without an ``__init__.py`` would be left out by tools that look for packages."""
    folders = {path.parent for package in PACKAGES for path in package.rglob("*.py")}
    assert {"federation", "scenario", "engines"} <= {folder.name for folder in folders}
    assert [folder.relative_to(ROOT) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_package_lies_in_two_portions():
    names = [package.name for package in PACKAGES]
    assert len(names) == len(set(names))


PLANTED = {
    # a module that must not be: what is said about it
    "broker/apportion/core/planted.py": ("import apportion.sim", "apportion.core.planted -> apportion.sim"),
    "broker/apportion/core/heavy.py": ("import pandas", "apportion.core.heavy -> pandas"),
    "broker/apportion/policy/planted.py": ("import apportion.traces", "apportion.policy.planted -> apportion.traces"),
    "sim/apportion/metrics/planted.py": ("import simpy", "apportion.metrics.planted -> simpy"),
    "sim/apportion/metrics/upward.py": ("import apportion.cli", "apportion.metrics.upward -> apportion.cli"),
    "traces/apportion/traces/planted.py": ("import apportion.metrics", "apportion.traces.planted -> apportion.metrics"),
}


def import_contracts(folder: Path) -> str:
    for portion in PORTIONS:
        shutil.copytree(portion, folder / portion.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, (line, _) in PLANTED.items():
        (folder / name).write_text(line + "\n")
    paths = [*(str(folder / portion.parent.name) for portion in PORTIONS), sysconfig.get_path("purelib")]
    done = subprocess.run(  # -S: this project is installed too, and must not mix with the copy
        [sys.executable, "-S", "-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_import_contracts_catch_every_planted_violation(tmp_path):
    said = import_contracts(tmp_path)
    assert [told for _, told in PLANTED.values() if told not in said] == []


def test_tracked_files_name_no_index_and_no_path_of_this_machine():
    foreign = re.compile(
        rb"https?://[^ \"]*/(simple|packages)/|\"resolved\": *\"http|registry *[=:] *\"?http|index[-_]url|find[-_]links"
    )
    home = Path.home()
    here = [str(ROOT).encode(), *([os.fsencode(home) + b"/"] if home != home.parent else [])]
    told = []
    for path in tracked():
        content = path.read_bytes()
        if path != Path(__file__) and (foreign.search(content) or any(place in content for place in here)):
            told.append(path.relative_to(ROOT))
    assert told == []


def test_tracked_files_are_small_and_no_job_traces():
    traces = (".swf", ".gwf", ".parquet", ".gz", ".bz2", ".xz", ".zst")
    large = {"requirements.lock", "echarts.common.min.js"}  # the library stands in reports, as it was published
    paths = [path for path in tracked() if path.name not in large]
    assert [
        path.relative_to(ROOT) for path in paths if path.name.endswith(traces) or path.stat().st_size > 400_000
    ] == []


def test_every_locked_package_is_pinned_and_hashed():
    entries = re.sub(r"\\\n\s*", "", (ROOT / "requirements.lock").read_text()).splitlines()
    entries = [entry for entry in entries if not entry.startswith("#")]
    assert len(entries) > 50
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*==\S+( ; [^#]+?)? *(--hash=sha256:[0-9a-f]{64} *)+")
    assert [entry for entry in entries if not pinned.fullmatch(entry)] == []
