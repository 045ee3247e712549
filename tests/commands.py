"""All commands of ``apportion``, and a reader of command lines that does nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from apportion.cli.main import cli


def every_command(
    group: click.Group = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*words, name))


ALL = dict(every_command())


def parse(line: str) -> None:
    """Read a command line as ``apportion`` would, without doing anything."""
    program, *words = shlex.split(line, comments=True)
    assert program == "apportion"
    context = click.Context(cli)
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, words, resilient_parsing="--help" in words)
