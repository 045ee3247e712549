"""Scenarios from a preset's name or a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apportion.core.errors import PolicyError, ScenarioError
from apportion.core.tres import shorten
from apportion.policy.fields import nearest
from apportion.policy.keys import UnusableKeyError, normalise
from apportion.policy.load import first_fault, from_dict, load, load_file, spellings
from apportion.policy.model import Policy
from apportion.policy.source import UnreadableTextError, parse_file
from apportion.sim.scenario.model import Scenario


def preset_names() -> list[str]:
    """Names of the scenarios that come with the package, sorted."""
    folder = resources.files("apportion.sim.scenario") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Load a scenario.

    Parameters
    ----------
    name_or_path : str or Path
        A preset (``europe-us-2004``), or a TOML or YAML file.

    Raises
    ------
    ScenarioError
        For anything that is no scenario: one line with file, line and remedy.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name.lower() in preset_names():
        file = resources.files("apportion.sim.scenario") / "presets" / f"{name.lower()}.toml"
        with resources.as_file(file) as path:
            return _load_file(path)
    path = Path(name)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        near = nearest(name, preset_names())
        hint = (
            f"did you mean '{near}'?"
            if near
            else f"presets are {', '.join(preset_names())}; or give a TOML or YAML file"
        )
        raise ScenarioError(f"there is no scenario or file '{shorten(name)}'", hint)
    return _load_file(path)


def _load_file(path: Path) -> Scenario:
    try:
        data, find = parse_file(path, "scenario")
    except UnreadableTextError as fault:
        raise ScenarioError(fault.problem, fault.remedy, path=path, line=fault.line) from None
    return _build(data, path, partial(find, spellings=spellings()))


def scenario_from_dict(data: Mapping[str, Any], folder: Path = Path()) -> Scenario:
    """Scenario from plain data; paths in it count from ``folder``.

    Raises
    ------
    ScenarioError
        As `load_scenario`.
    """
    return _build(data, None, lambda _: None, folder)


def _build(data: Mapping[Any, Any], path: Path | None, locate: Any, folder: Path | None = None) -> Scenario:
    try:
        keys, _ = normalise(data, Scenario)
    except UnusableKeyError as fault:
        raise ScenarioError(fault.problem, fault.remedy, path=path, line=locate(fault.at)) from None
    if path is not None:
        keys.setdefault("Name", path.stem)
        folder = path.parent
    try:
        scenario = Scenario.model_validate(keys)
    except ValidationError as error:
        problem, remedy, at = first_fault(error)
        raise ScenarioError(problem, remedy, path=path, line=locate(at)) from None
    places: list[tuple[str, Any, tuple[str | int, ...]]] = [("", scenario.broker.Policy, ("broker", "Policy"))]
    places += [(entry.Center, entry.Policy, ("centers", k, "Policy")) for k, entry in enumerate(scenario.centers)]
    for key, reference, at in places:
        try:
            scenario._policies[key] = _policy(reference, folder or Path())  # noqa: SLF001
        except PolicyError as error:
            if error.path is not None:
                raise
            raise ScenarioError(error.problem, error.remedy, path=path, line=locate(at)) from None
    for k, entry in enumerate(scenario.centers):
        own = entry.partitions or scenario.policy_of(entry.Center).partitions
        if not entry.Trace and entry.Procs is None and not own:
            raise ScenarioError(
                f"center {entry.Center} has no partitions",
                "give it Procs, partitions or a Trace",
                path=path,
                line=locate(("centers", k, "Center")),
            )
    return scenario


def _policy(reference: Any, folder: Path) -> Policy:
    """Find the policy that a scenario names or writes out; a path counts from the scenario's folder."""
    if isinstance(reference, Mapping):
        return from_dict(reference, folder)
    if not isinstance(reference, str):
        raise PolicyError(f"'{shorten(reference)}' is no policy", "give a preset, a file, or a table of keys")
    beside = folder / reference
    if reference.endswith((".toml", ".yaml", ".yml")) and beside.is_file():
        return load_file(beside)
    return load(reference)


def schema() -> dict[str, Any]:
    """JSON Schema of scenario files."""
    described = Scenario.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "apportion scenario", **described}
