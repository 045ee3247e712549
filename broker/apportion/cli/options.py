"""Option types and small habits that several commands share; nothing heavy is imported here."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from apportion.core.errors import UserError
from apportion.core.units import parse_duration_ms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

FOUND = 3  # exit code of a check that found something, whatever it is


class SlurmTime(click.ParamType[int]):
    """A time in Slurm's notations (``D-HH:MM:SS``, minutes, ...), given as int ms; -1 is unlimited."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the text, and make a mistake in it a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration_ms(str(value))
        except UserError as error:
            self.fail(str(error), param, ctx)


SLURM_TIME = SlurmTime()


def split_list(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Take ``-u a,b -u c`` as Slurm's commands do."""
    return tuple(word for value in values for word in value.split(",") if word)


def print_json(data: Any) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_plain(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    parsable: bool = False,
    header: bool = True,
) -> None:
    """Print many rows in columns of the width they need, as Slurm's listings do."""
    lines = list(rows)
    if not lines and not header:
        return
    if parsable:
        click.echo("\n".join("|".join(row) for row in ([columns, *lines] if header else lines)))
        return
    widths = [max(map(len, cells)) for cells in zip(*([columns, *lines] if header else lines), strict=True)]
    shown = [columns, ["-" * width for width in widths], *lines] if header else lines
    places = [f"{{:{'>' if name in right else '<'}{width}}}" for name, width in zip(columns, widths, strict=True)]
    line = " ".join(places).format
    click.echo("\n".join(line(*row).rstrip() for row in shown))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    title: str = "",
    parsable: bool = False,
) -> None:
    """Print a table for people, or with ``|`` between the fields as Slurm's ``--parsable2`` does."""
    if parsable:
        for row in [columns, *rows]:
            click.echo("|".join("" if cell is None else str(cell) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(table)
