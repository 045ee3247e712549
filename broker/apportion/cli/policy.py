"""``apportion policy``: list, show, check and compare policies."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from apportion.cli.options import FOUND, SLURM_TIME, print_json, print_plain

if TYPE_CHECKING:
    from apportion.policy.model import Policy

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Show, check and compare scheduling policies.

    A POLICY is a preset by name (see `apportion policy list`), a preset with another backfill such as sjf+easy, or a
    TOML or YAML file with Slurm's own keys.

    \b
    Examples:
      apportion policy list                        those that come along
      apportion policy show multifactor > my.toml  a file to start from
      apportion policy check my.toml               what in it will not do what it seems to
      apportion policy diff multifactor my.toml    what you really changed
    """


@policy.command("list", short_help="List the policies that come along.")
@_as_json
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
def list_presets(as_json: bool, parsable: bool) -> None:
    """List the policies that come with apportion.

    \b
    Example:
      apportion policy list
    """
    from apportion.policy.load import load, preset_names

    presets = [load(name) for name in preset_names()]
    if as_json:
        rows = [
            {"name": preset.Name, "order": preset.Order, "backfill": preset.Backfill, "description": preset.Description}
            for preset in presets
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if parsable:
        rows_of_text = [(preset.Name, preset.Order, preset.Backfill, preset.Description) for preset in presets]
        print_plain(("NAME", "ORDER", "BACKFILL", "DESCRIPTION"), rows_of_text, parsable=True)
        return
    width = max(len(preset.Name) for preset in presets)
    for preset in presets:
        click.echo(f"{preset.Name:<{width}}  {preset.Description}")
    click.echo("\nAny of them takes another backfill: sjf+easy, f1+conservative, multifactor+slurm ...")


@policy.command(short_help="Print a policy with every default filled in.")
@click.argument("policy_name", metavar="POLICY")
@_as_json
def show(policy_name: str, as_json: bool) -> None:
    """Print the effective policy: every default filled in, units as Slurm writes them.

    The TOML text is itself a policy file with the same hash; copy it to start one of your own, which is called as its file.

    \b
    Examples:
      apportion policy show multifactor > my.toml
      apportion policy show sjf+easy --json
    """
    from apportion.policy.canonical import to_toml

    loaded = _load(policy_name)
    if as_json:
        click.echo(json.dumps({"hash": loaded.hash, "policy": loaded.canonical()}, indent=2, ensure_ascii=False))
        return
    click.echo(f"# {loaded.Name}, hash {loaded.hash}")
    from apportion.policy.orders import EXPRESSIONS

    if loaded.Order in EXPRESSIONS:
        click.echo(f"# Order {loaded.Order}, smallest first: {EXPRESSIONS[loaded.Order]}")
    plain = loaded.canonical()
    plain.pop("Name", None)  # a copy is another policy, and runs under it are told apart by its name
    click.echo(to_toml(plain), nl=False)


@policy.command(short_help="Ask what in a policy will not do what it seems to.")
@click.argument("policy_name", metavar="POLICY")
@click.option("--longest-limit", type=SLURM_TIME, help="Longest time limit of the jobs it is meant for, as D-HH:MM:SS.")
@_as_json
def check(policy_name: str, longest_limit: int | None, as_json: bool) -> None:
    """Ask what a policy sets without effect, or what will not do what it seems to.

    Exit code 3 when there is something to ask, or it cannot be loaded.

    \b
    Examples:
      apportion policy check my.toml
      apportion policy check slurm --longest-limit 14-0
    """
    from apportion.core.errors import PolicyError
    from apportion.core.units import MS_PER_SECOND
    from apportion.policy.lint import lint
    from apportion.policy.load import load
    from apportion.policy.orders import order_function

    longest = longest_limit // MS_PER_SECOND if longest_limit is not None and longest_limit > 0 else None
    try:
        loaded = load(policy_name)
        function = order_function(loaded)
        if loaded.Order == "plugin" and function is not None:
            function.address  # noqa: B018  (compiles the plug-in now)
    except PolicyError as error:
        if as_json:
            fault = {"file": error.path, "line": error.line, "problem": error.problem, "remedy": error.remedy}
            print_json({"hash": None, "ignored": [], "findings": [], "faults": [fault]})
        else:
            click.echo(f"apportion: {error}", err=True)
        sys.exit(FOUND)
    findings = lint(loaded, longest)
    if as_json:
        report = {
            "hash": loaded.hash,
            "ignored": loaded.warnings,
            "findings": [finding._asdict() for finding in findings],
            "faults": [],
        }
        print_json(report)
    else:
        for line in (*loaded.warnings, *map(str, findings)):
            click.echo(line)
        if not findings and not loaded.warnings:
            click.echo(f"{loaded.Name or policy_name}: nothing to ask, hash {loaded.hash[:12]}")
    if findings or loaded.warnings:
        sys.exit(FOUND)


@policy.command(short_help="Print what really changes from one policy to another.")
@click.argument("before", metavar="POLICY")
@click.argument("after", metavar="POLICY")
@_as_json
def diff(before: str, after: str, as_json: bool) -> None:
    """Print what really changes from one policy to another: values that mean the same are the same.

    \b
    Example:
      apportion policy diff multifactor my.toml
    """
    from apportion.policy.diff import changes

    found = changes(_load(before), _load(after))
    if as_json:
        click.echo(json.dumps([change._asdict() for change in found], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("no effective change")
    for change in found:
        click.echo(f"{change.key}: {_plain(change.before)} -> {_plain(change.after)}")


@policy.command(short_help="Print the JSON Schema of policy files.")
def schema() -> None:
    """Print the JSON Schema of policy files, for editors that complete and check.

    \b
    Example:
      apportion policy schema > apportion-policy.schema.json
    """
    from apportion.policy.model import Policy

    click.echo(json.dumps(Policy.model_json_schema(), indent=2, ensure_ascii=False))


def _load(name: str) -> Policy:
    from apportion.policy.load import load

    loaded = load(name)
    for line in loaded.warnings:
        click.echo(f"apportion: {line}", err=True)
    return loaded


def _plain(value: object) -> str:
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
