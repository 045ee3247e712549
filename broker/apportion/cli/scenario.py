"""``apportion scenario``: list, show and check federations."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from apportion.cli.options import FOUND, print_json, print_plain, print_table
from apportion.cli.startup import load_numba

if TYPE_CHECKING:
    from collections.abc import Callable

    from apportion.core.errors import ScenarioError
    from apportion.sim.scenario import Scenario

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def scenario() -> None:
    """Show and check scenarios: several centers, and a broker between them.

    A SCENARIO is a preset by name (see `apportion scenario list`), or a TOML or YAML file. `apportion replay --scenario` plays one.

    \b
    Examples:
      apportion scenario list                          those that come along
      apportion scenario show three-small > mine.toml  a file to start from
      apportion scenario check mine.toml               everything that is wrong with it, or what it describes
    """


@scenario.command("list", short_help="List the scenarios that come along.")
@_as_json
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
def list_presets(as_json: bool, parsable: bool) -> None:
    """List the scenarios that come with apportion, with their centers, their traces, and when they play.

    \b
    Example:
      apportion scenario list
    """
    from apportion.sim.scenario import load_scenario, preset_names
    from apportion.sim.scenario.summary import span

    presets = [load_scenario(name) for name in preset_names()]
    traces = [list(dict.fromkeys(entry.Trace for entry in preset.centers if entry.Trace)) for preset in presets]
    if as_json:
        rows = [
            {
                "name": preset.Name,
                "centers": [entry.Center for entry in preset.centers],
                "traces": names,
                "span": span(preset),
                "description": preset.Description,
            }
            for preset, names in zip(presets, traces, strict=True)
        ]
        print_json(rows)
        return
    lines = [
        (preset.Name, ",".join(entry.Center for entry in preset.centers), ",".join(names), span(preset))
        for preset, names in zip(presets, traces, strict=True)
    ]
    print_plain(("NAME", "CENTERS", "TRACES", "SPAN"), lines, parsable=parsable)


@scenario.command(short_help="Print a scenario with every default filled in.")
@click.argument("scenario_name", metavar="SCENARIO")
@_as_json
def show(scenario_name: str, as_json: bool) -> None:
    """Print a scenario: every default filled in, below a summary of its centers and links.

    The text is itself a scenario file with the same hash (the summary is a comment); copy it to start one of your own, which is called as
    its file. Policies are named where they are presets, else written out; --json writes all of them out.

    \b
    Examples:
      apportion scenario show three-small > mine.toml
      apportion scenario show europe-us-2004 --json
    """
    from apportion.policy.canonical import to_toml
    from apportion.sim.scenario import load_scenario

    loaded = load_scenario(scenario_name)
    _warn(loaded)
    if as_json:
        print_json({"hash": loaded.hash, "scenario": loaded.canonical()})
        return
    click.echo(f"# {loaded.Name}, hash {loaded.hash}")
    _summarize(loaded, lambda line: click.echo(f"# {line}".rstrip()))
    plain = loaded.readable()
    plain.pop("Name", None)  # a copy is another scenario, and its runs are told apart by its name
    click.echo(to_toml(plain), nl=False)


@scenario.command(short_help="Say everything that is wrong with a scenario, or what it describes.")
@click.argument("scenario_name", metavar="SCENARIO")
@click.option("--traces", is_flag=True, help="Read its traces too, and see whether they meet.")
@_as_json
def check(scenario_name: str, traces: bool, as_json: bool) -> None:
    """Say everything that is wrong with a scenario, a line each with file, line and remedy; else what it describes.

    Exit code 3 when something is wrong, or has no effect.

    \b
    Examples:
      apportion scenario check mine.toml
      apportion scenario check europe-us-2004 --traces
    """
    from apportion.sim.scenario import examine

    found, faults = examine(scenario_name)
    spans: dict[str, tuple[int, int, int]] = {}
    if traces and found is not None and not faults:
        spans, faults = _read_spans(found, as_json=as_json)
    if as_json:
        print_json(_as_plain(found, faults, spans))
    elif faults:
        for fault in faults:
            click.echo(str(fault))
        if found is None and faults[0].line is not None:
            click.echo("apportion: more may show once these are mended", err=True)
    elif found is not None:
        _describe(found, spans)
    if faults or (found is not None and found.warnings):
        sys.exit(FOUND)


@scenario.command(short_help="Print the JSON Schema of scenario files.")
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors that complete and check.

    \b
    Example:
      apportion scenario schema > apportion-scenario.schema.json
    """
    from apportion.sim.scenario import schema as described

    print_json(described())


def _warn(loaded: Scenario) -> None:
    for line in loaded.warnings:
        click.echo(f"apportion: {line}", err=True)


def _read_spans(found: Scenario, *, as_json: bool) -> tuple[dict[str, tuple[int, int, int]], list[ScenarioError]]:
    """First and last submission and number of jobs of each center, and what is wrong with them."""
    load_numba()
    from apportion.sim.federation.source import read_spans
    from apportion.sim.scenario.checks import overlap_faults

    def say(text: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"apportion: {text} ...", err=True)

    spans = read_spans(found, say)
    return spans, list(overlap_faults(found, {name: span[:2] for name, span in spans.items()}))


def _as_plain(found: Scenario | None, faults: list[ScenarioError], spans: dict[str, tuple[int, int, int]]) -> Any:
    told: dict[str, Any] = {
        "hash": found.hash if found is not None and not faults else None,
        "ignored": list(found.warnings) if found is not None else [],
        "faults": [
            {"file": fault.path, "line": fault.line, "problem": fault.problem, "remedy": fault.remedy}
            for fault in faults
        ],
    }
    if spans:
        told["traces"] = {
            name: {"first_submit": _when(first), "last_submit": _when(last), "jobs": jobs}
            for name, (first, last, jobs) in spans.items()
        }
    return told


def _describe(found: Scenario, spans: dict[str, tuple[int, int, int]]) -> None:
    click.echo(f"{found.Name}: nothing wrong, hash {found.hash[:12]}")
    for line in found.warnings:
        click.echo(line)
    _summarize(found, click.echo)
    if spans:
        rows = [(name, _when(first), _when(last), f"{jobs:,}") for name, (first, last, jobs) in spans.items()]
        print_table(("CENTER", "FIRST SUBMISSION", "LAST SUBMISSION", "JOBS"), rows, right=("JOBS",))


def _summarize(found: Scenario, write: Callable[[str], object]) -> None:
    """Tables of what there is, and a line each for the rest."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from apportion.sim.scenario.summary import sentences, tables

    for rows in tables(found):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in rows.columns:
            table.add_column(column, justify="right" if column in rows.right else "left", overflow="fold")
        for row in rows.rows:
            table.add_row(*map(Text, row))
        text = io.StringIO()
        Console(file=text, width=160).print(table)
        for line in text.getvalue().splitlines():
            if line.strip():
                write(line.rstrip())
        write("")
    for line in sentences(found):
        write(line)


def _when(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
