"""Scenarios from a preset's name or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apportion.core.errors import PolicyError, ScenarioError
from apportion.core.tres import shorten
from apportion.policy.fields import nearest
from apportion.policy.keys import UnusableKeyError, normalise
from apportion.policy.load import faults_of, from_dict, load, load_file, spellings
from apportion.policy.model import Policy
from apportion.policy.source import UnreadableTextError, parse_file
from apportion.sim.scenario.checks import Place, faults
from apportion.sim.scenario.model import Locate, Scenario


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
    return _whole(*examine(name_or_path))


def scenario_from_dict(data: Mapping[str, Any], folder: Path = Path()) -> Scenario:
    """Scenario from plain data; paths in it count from ``folder``.

    Raises
    ------
    ScenarioError
        As `load_scenario`.
    """
    return _whole(*_build(data, None, lambda _: None, folder))


def _whole(scenario: Scenario | None, faults: list[ScenarioError]) -> Scenario:
    if scenario is None or faults:
        raise faults[0]
    return scenario


def examine(name_or_path: str | Path) -> tuple[Scenario | None, list[ScenarioError]]:
    """Find everything that is wrong with a scenario.

    Parameters
    ----------
    name_or_path : str or Path
        As of `load_scenario`.

    Returns
    -------
    tuple
        The scenario, and its faults from the top of the file down. Where keys or values are at fault, those that can be done without are; there
        is no scenario if one of the others is.
    """
    try:
        path = _find(name_or_path)
        data, find = parse_file(path, "scenario")
    except ScenarioError as error:
        return None, [error]
    except UnreadableTextError as fault:
        return None, [ScenarioError(fault.problem, fault.remedy, path=path, line=fault.line)]
    return _build(data, path, partial(find, spellings=spellings()), path.parent)


def _find(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name.lower() in preset_names():
        return Path(str(resources.files("apportion.sim.scenario") / "presets" / f"{name.lower()}.toml"))
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
    return path


def _build(
    data: Mapping[Any, Any], path: Path | None, locate: Locate, folder: Path
) -> tuple[Scenario | None, list[ScenarioError]]:
    found: list[ScenarioError] = []

    def note(problem: str, remedy: str, at: Place) -> None:
        found.append(ScenarioError(problem, remedy, path=path, line=locate(at)))

    unusable: list[UnusableKeyError] = []
    keys, _ = normalise(data, Scenario, faults=unusable)
    for fault in unusable:
        note(fault.problem, fault.remedy, fault.at)
    if path is not None:
        keys.setdefault("Name", path.stem)
    scenario = _validate(keys, {fault.at[:-1] for fault in unusable}, note)
    if scenario is not None:
        scenario._path, scenario._folder, scenario._locate = path, folder, locate  # noqa: SLF001
        for each in faults(scenario):
            note(*each)
        found += _resolve(scenario)
    return scenario, sorted(found, key=lambda error: error.line or 0)


def _validate(keys: dict[str, Any], misspelled: set[Place], note: Callable[[str, str, Place], None]) -> Scenario | None:
    """The scenario without the values that are no good, if it can do without them.

    What is missing where a key could not be read is not told: it is most likely that key.
    """
    try:
        return Scenario.model_validate(keys)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        outer = {each["loc"][:k] for each in details for k in range(len(each["loc"]))}
        for each, (problem, remedy, at) in zip(details, faults_of(error), strict=True):
            if each["loc"] in outer:  # what holds a value that is no good is no good itself
                continue
            if not (each["type"] == "missing" and at in misspelled):
                note(problem, remedy, at)
            _leave_out(keys, each["loc"])
    try:
        return Scenario.model_validate(keys)
    except ValidationError:
        return None


def _leave_out(keys: Any, at: Place) -> None:
    """Take away the innermost key on the way to a place."""
    holder, key = None, None
    for part in at:
        if isinstance(keys, dict) and part in keys:
            holder, key = keys, part
        elif not (isinstance(keys, list) and isinstance(part, int) and part < len(keys)):
            break
        keys = keys[part]
    if holder is not None:
        del holder[key]


def _resolve(scenario: Scenario) -> Iterator[ScenarioError]:
    """Find the policies that a scenario names, and what each center runs on."""
    places: list[tuple[str, Any, Place]] = [("", scenario.broker.Policy, ("broker", "Policy"))]
    places += [(entry.Center, entry.Policy, ("centers", k, "Policy")) for k, entry in enumerate(scenario.centers)]
    for key, reference, at in places:
        try:
            scenario._policies[key] = _policy(reference, scenario)  # noqa: SLF001
        except PolicyError as error:
            if error.path is not None:  # the fault is in a file of its own
                yield ScenarioError(error.problem, error.remedy, path=error.path, line=error.line)
            else:
                yield scenario.fault(error.problem, error.remedy, at)
    for k, entry in enumerate(scenario.centers):
        policy = scenario._policies.get(entry.Center)  # noqa: SLF001
        own = entry.partitions or (policy.partitions if policy else ())
        if policy and policy.SelectType is not None and (entry.Procs is not None or entry.partitions):
            key = "partitions" if entry.partitions else "Procs"
            yield scenario.fault(
                f"{key} of {entry.Center} is given, but its policy lists its nodes",
                f"drop {key}, or SelectType and nodes from the policy",
                ("centers", k, key),
            )
        if policy and not entry.Trace and entry.Procs is None and not policy.nodes:
            named: Place = ("centers", k, "Center")
            if not own:
                yield scenario.fault(
                    f"center {entry.Center} has no partitions", "give it Procs, partitions or a Trace", named
                )
            elif not any("cpu" in partition.capacity for partition in own):
                problem = f"nothing says how many processors {entry.Center} has"
                yield scenario.fault(problem, "give Procs to it or to its partitions, or give it a Trace", named)
        for p, partition in enumerate(entry.partitions):
            if 0 in partition.capacity.values() or (entry.Procs == 0 and not partition.capacity):
                yield scenario.fault(
                    f"partition {partition.PartitionName} of {entry.Center} has no capacity",
                    "give it Procs of 1 or more, or leave it out",
                    ("centers", k, "partitions", p, "PartitionName"),
                )
        if entry.Procs == 0 and not entry.partitions:
            yield scenario.fault(
                f"center {entry.Center} has no processors", "give it Procs of 1 or more", ("centers", k, "Procs")
            )


def _policy(reference: Any, scenario: Scenario) -> Policy:
    """Find the policy that a scenario names or writes out; a preset's name is never looked up as a file."""
    if isinstance(reference, Mapping):
        return from_dict(reference, scenario._folder)  # noqa: SLF001
    if not isinstance(reference, str):
        raise PolicyError(f"'{shorten(reference)}' is no policy", "give a preset, a file, or a table of keys")
    if reference.endswith((".toml", ".yaml", ".yml")):
        path = scenario.path_of(reference)
        if path.is_file():
            return load_file(path)
    return load(reference)


def schema() -> dict[str, Any]:
    """JSON Schema of scenario files."""
    described = Scenario.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "apportion scenario", **described}
