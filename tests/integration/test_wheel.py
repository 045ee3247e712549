"""What a user installs: nothing but ``apportion`` at the top, complete, and importable from there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_nothing_but_apportion_at_the_top(names, wheel):
    version = wheel.name.split("-")[1]
    assert {name.split("/")[0] for name in names} == {"apportion", f"apportion-{version}.dist-info"}


def test_apportion_itself_is_a_namespace_of_typed_packages(names):
    parts = [name.split("/") for name in names if name.startswith("apportion/")]
    packages = {part[1] for part in parts}
    assert all(len(part) > 2 for part in parts)  # no module, no __init__.py beside the packages
    assert {"cli", "core", "metrics", "policy", "sim", "traces"} <= packages
    assert [
        name for name in packages if not {f"apportion/{name}/__init__.py", f"apportion/{name}/py.typed"} <= names
    ] == []


def test_holds_every_tracked_file_and_nothing_made(names):
    done = subprocess.run(
        ["git", "ls-files", "broker", "sim", "traces"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    sources = {name.split("/", 1)[1] for name in done.stdout.splitlines() if (ROOT / name).is_file()}
    assert sources - names == set()
    for folder in (
        "policy/presets",
        "sim/scenario/presets",
        "traces",
    ):  # presets and catalog are data: they must be among these
        assert any(name.startswith(f"apportion/{folder}/") and name.endswith(".toml") for name in sources), folder
    assert [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))] == []


def test_carries_licence_and_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        about = {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    assert "Apache License" in about["licenses/LICENSE"]
    assert "licenses/NOTICE" in about
    assert "apportion = apportion.cli.main:main" in about["entry_points.txt"]
    assert "License-Expression: Apache-2.0" in about["METADATA"]


def test_works_from_where_it_is_unpacked(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {sysconfig.get_path("purelib")!r}]
import pkgutil, importlib, apportion
assert list(apportion.__path__) == [{str(tmp_path / "apportion")!r}], list(apportion.__path__)
for package in pkgutil.iter_modules(apportion.__path__, "apportion."):
    importlib.import_module(package.name)
from apportion.policy.load import load, preset_names
assert load("easy").hash and len(preset_names()) > 5
from apportion.sim import scenario
assert all(scenario.load_scenario(name).hash for name in scenario.preset_names())
assert len(scenario.preset_names()) >= 3
from apportion.traces.catalog import entries
assert len(list(entries())) > 5
from apportion.cli.main import main
main(["--version"])
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("apportion, version")
