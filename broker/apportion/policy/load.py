"""Policies from a preset's name or a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apportion.core.errors import PolicyError
from apportion.core.tres import shorten
from apportion.policy.fields import nearest
from apportion.policy.keys import ALIASES, Ignored, UnusableKeyError, normalise
from apportion.policy.model import BACKFILLS, Policy
from apportion.policy.source import UnreadableTextError, parse_file, parse_toml

Place = tuple[str | int, ...]


def preset_names() -> list[str]:
    """Names of the policies that come with the package, sorted."""
    folder = resources.files("apportion.policy") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name_or_path: str | Path) -> Policy:
    """Load a policy.

    Parameters
    ----------
    name_or_path : str or Path
        A preset (``easy``), a preset with another backfill (``sjf+conservative``), or a TOML or YAML file. A preset's
        name is never looked up as a file; write ``./easy`` for one.

    Returns
    -------
    Policy
        ``warnings`` lists keys that Slurm knows and that are not simulated yet.

    Raises
    ------
    PolicyError
        For anything that is no policy: one line with file, line and remedy.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str):
        preset, plus, backfill = name.lower().partition("+")
        if preset in preset_names():
            text = (resources.files("apportion.policy") / "presets" / f"{preset}.toml").read_text("utf-8")
            data = parse_toml(text)
            if plus:
                if backfill not in BACKFILLS:
                    raise PolicyError(
                        f"there is no backfill '{shorten(backfill)}'", f"choose from {', '.join(BACKFILLS)}"
                    )
                data |= {"Name": name.lower(), "Backfill": backfill, "Description": ""}
            return from_dict(data)
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
        raise PolicyError(f"there is no policy or file '{shorten(name)}'", hint)
    return load_file(path)


def load_file(path: Path) -> Policy:
    """Load a policy from a TOML file, or a YAML file (suffix ``.yaml`` or ``.yml``).

    Raises
    ------
    PolicyError
        One line with file, line and remedy.
    """
    try:
        data, find = parse_file(path, "policy")
    except UnreadableTextError as fault:
        raise PolicyError(fault.problem, fault.remedy, path=path, line=fault.line) from None
    return _build(data, path, partial(find, spellings=spellings()))


def from_dict(data: Mapping[str, Any], folder: Path | None = None) -> Policy:
    """Policy from plain data, such as a canonical form.

    Parameters
    ----------
    data : mapping
        Keys as in a file.
    folder : Path, optional
        Folder that the path of a plug-in starts from.

    Raises
    ------
    PolicyError
        As `load`.
    """
    policy = _build(data, None, lambda _: None)
    if folder is not None:
        policy._folder = folder  # noqa: SLF001
    return policy


def _build(data: Mapping[Any, Any], path: Path | None, locate: Any) -> Policy:
    try:
        keys, ignored = normalise(data)
    except UnusableKeyError as fault:
        raise PolicyError(fault.problem, fault.remedy, path=path, line=locate(fault.at)) from None
    _complete_order(keys)
    if path is not None and "Name" not in keys:
        keys["Name"] = path.stem
    try:
        policy = Policy.model_validate(keys)
    except ValidationError as error:
        problem, remedy, at = first_fault(error)
        raise PolicyError(problem, remedy, path=path, line=locate(at)) from None
    policy._warnings = tuple(_warning(item, path, locate) for item in ignored)  # noqa: SLF001
    if path is not None:
        policy._folder = path.parent  # noqa: SLF001
    return policy


def _complete_order(keys: dict[str, Any]) -> None:
    """Fill in what an expression or a plug-in says by itself; ``plugin:NAME`` is short for a plug-in by name."""
    order = keys.get("Order")
    if isinstance(order, str) and order.strip().lower().startswith("plugin:") and "OrderPlugin" not in keys:
        keys["Order"], keys["OrderPlugin"] = "plugin", order.strip()[len("plugin:") :]
    elif order is None and "OrderExpression" in keys and "OrderPlugin" not in keys:
        keys["Order"] = "expression"
    elif order is None and "OrderPlugin" in keys and "OrderExpression" not in keys:
        keys["Order"] = "plugin"


def first_fault(error: ValidationError) -> tuple[str, str, Place]:
    """Problem, remedy and place of the first thing that a model does not accept."""
    return faults_of(error)[0]


def faults_of(error: ValidationError) -> list[tuple[str, str, Place]]:
    """Problem, remedy and place of each thing that a model does not accept."""
    return [_fault(dict(each)) for each in error.errors(include_url=False, include_input=False)]


def _fault(details: dict[str, Any]) -> tuple[str, str, Place]:
    context = details.get("ctx", {})
    if "at" in context:
        return context["problem"], context["remedy"], tuple(context["at"])
    at = tuple(details["loc"])
    key = next((part for part in reversed(at) if isinstance(part, str)), "")
    if details["type"] == "missing":
        return f"{key} is missing", f"add {key}", at[:-1]
    if details["type"] == "value_error":
        problem, _, remedy = str(context["error"]).partition("; ")
        return f"{key}: {problem}", remedy or "correct the value", at
    if details["type"] == "too_short":
        return f"{key} is empty", f"add an entry under [[{key}]]", at
    text = details["msg"]
    return f"{key}: {text[:1].lower()}{text[1:]}", "correct the value", at


def _warning(item: Ignored, path: Path | None, locate: Any) -> str:
    line = locate(item.at)
    where = "" if path is None else f"{path}:{line}: " if line else f"{path}: "
    return f"{where}{item.key} is known to Slurm but not simulated yet; it has no effect" + (
        f" ({item.hint})" if item.hint else ""
    )


def spellings() -> dict[str, set[str]]:
    """Other spellings of each key, in lower case, to find its line."""
    table: dict[str, set[str]] = {}
    for aliases in ALIASES.values():
        for alias, name in aliases.items():
            table.setdefault(name.lower(), set()).add(alias)
    table.setdefault("orderplugin", set()).add("order")
    return table
