"""Policy files as text: TOML or YAML into plain data, and the line on which something stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml

Place = tuple[str | int, ...]
MAX_BYTES = 64 * 2**20


class UnreadableTextError(Exception):
    """A text that is no TOML or YAML, with the line where that shows."""

    def __init__(self, problem: str, remedy: str, line: int | None = None) -> None:
        self.problem, self.remedy, self.line = problem, remedy, line
        super().__init__(problem)


def read_text(path: Path, what: str) -> str:
    """Read a short UTF-8 text.

    Parameters
    ----------
    path : Path
    what : str
        What the file is meant to be, for errors: ``policy``.

    Raises
    ------
    UnreadableTextError
        If it is something else, or cannot be read.
    """
    if path.is_dir():
        raise UnreadableTextError("this is a folder", f"give the {what} file in it")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableTextError("the file is larger than 64 MiB", f"a {what} is a short text")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableTextError(
            (error.strerror or "cannot be read").lower(), "check the path and its rights"
        ) from None
    if len(raw) > MAX_BYTES or b"\0" in raw:
        raise UnreadableTextError("this is not a text file", "give a TOML or YAML file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableTextError("this is not UTF-8 text", "save it as UTF-8", line) from None


def parse_file(path: Path, what: str) -> tuple[Mapping[Any, Any], Callable[..., int | None]]:
    """Parse a TOML file, or a YAML file (suffix ``.yaml`` or ``.yml``).

    Returns
    -------
    tuple
        The data, and a function that finds the line of a place in it (`toml_line` or `yaml_line` without the text).

    Raises
    ------
    UnreadableTextError
        If it is neither.
    """
    text = read_text(path, what)
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    data = parse_yaml(text) if is_yaml else parse_toml(text)
    if not isinstance(data, Mapping):
        raise UnreadableTextError(f"this is no {what}", "write KEY: VALUE lines", 1)
    return data, partial(yaml_line if is_yaml else toml_line, text)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML text.

    Raises
    ------
    UnreadableTextError
        Where the text is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        problem = re.sub(r"\s*\(at .*\)$", "", str(error)).strip()
        raise UnreadableTextError(
            f"not valid TOML: {problem[:1].lower()}{problem[1:][:100]}", "mend the line", line
        ) from None
    except (RecursionError, ValueError, OverflowError):
        raise UnreadableTextError("not valid TOML: nested too deeply, or a number too long", "simplify it") from None


class _Loader(yaml.SafeLoader):
    """YAML without surprises: no aliases, repeated keys, sexagesimal numbers, dates, nor ``no`` for false."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (replaces the class attribute of PyYAML)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            _yaml_fault("aliases (*name) are not accepted", "write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _yaml_fault("a key is not a plain word", "write KEY: VALUE", key.start_mark)
            if key.value in seen:
                _yaml_fault(f"the key {key.value[:60]} is written twice", "keep one", key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(cast("Any", node))))


def _yaml_fault(problem: str, remedy: str, mark: Any) -> NoReturn:
    raise UnreadableTextError(problem, remedy, None if mark is None else mark.line + 1)


def parse_yaml(text: str) -> Any:
    """Parse a YAML text; see `_Loader` for what is not accepted.

    Raises
    ------
    UnreadableTextError
        Where the text is no YAML.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or "not readable").split())[:100]
        raise UnreadableTextError(
            f"not valid YAML: {problem}", "mend the line", None if mark is None else mark.line + 1
        ) from None
    except (RecursionError, ValueError, OverflowError, TypeError, AttributeError):
        raise UnreadableTextError(
            "not valid YAML: nested too deeply, or a value that is not plain", "simplify it"
        ) from None


def toml_line(text: str, at: Place, spellings: dict[str, set[str]]) -> int | None:
    """Line (from 1) where the value at path ``at`` stands in a TOML text, or the nearest thing above it.

    Parameters
    ----------
    text : str
        The file.
    at : tuple
        Keys and list positions.
    spellings : dict
        Other spellings of a key, all in lower case.
    """
    entries: dict[Place, int] = {}  # number of the newest entry of each [[list]]
    header: Place = ()
    nearest, best = 0, None
    for i, line in enumerate(text.splitlines(), start=1):
        if found := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            header = ()
            *outer, last = re.sub(r"[\s\"']", "", found[2]).lower().split(".")
            for part in outer:
                header = (*header, part)
                header += (entries[header],) if header in entries else ()
            header = (*header, last)
            if found[1] == "[[":
                entries[header] = entries.get(header, -1) + 1
                header += (entries[header],)
            here = header
        elif found := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            here = (*header, *found[1].lower().split("."))
        else:
            continue
        if all(_is_same(part, want, spellings) for part, want in zip(here, at, strict=False)):
            if len(here) >= len(at):
                return i
            if len(here) > nearest:
                nearest, best = len(here), i
    return best


def _is_same(part: str | int, want: str | int, spellings: dict[str, set[str]]) -> bool:
    return part == want if isinstance(want, int) else part in _spell(want, spellings)


def yaml_line(text: str, at: Place, spellings: dict[str, set[str]]) -> int | None:
    """Line (from 1) where the value at path ``at`` stands in a YAML text, or the nearest thing above it."""
    try:
        node = yaml.compose(text, _Loader)
    except (yaml.YAMLError, UnreadableTextError, RecursionError):
        return None
    line: int | None = None
    for part in at:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if str(pair[0].value).lower() in _spell(part, spellings)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _spell(part: str | int, spellings: dict[str, set[str]]) -> set[str]:
    return {str(part).lower(), *spellings.get(str(part).lower(), ())}
