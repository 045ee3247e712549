"""``apportion compare``: runs side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apportion.core.units import counted

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.table import Table

    from apportion.metrics.compare import Comparison, Pair

SHOWN_GROUPS = 5


@click.command(short_help="Set runs side by side, with confidence intervals.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option("--baseline", metavar="RUN", help="Run that the others are compared with [default: the first].")
@click.option("--unpaired", is_flag=True, help="Compare runs of different traces: no pairing by job, wider intervals.")
@click.option(
    "--replicates",
    type=click.IntRange(100, 100_000),
    default=2000,
    show_default=True,
    help="How often the days are drawn.",
)
@click.option(
    "--block-days",
    type=click.FloatRange(0.01, 365),
    default=1.0,
    show_default=True,
    help="Length of the blocks that are drawn, in days.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    default=0.95,
    show_default=True,
    help="Confidence of the intervals.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write comparison.json and report.html there."
)
def compare(
    runs: tuple[Path, ...], *, baseline: str | None, unpaired: bool, as_json: bool, out: Path | None, **how: Any
) -> None:
    """Set runs side by side and say how sure the differences are.

    Each RUN is a folder that `apportion replay --out` wrote. Runs of one trace are compared job by job; intervals
    come from drawing days with replacement, the same days for both runs. A difference is marked * when its interval
    leaves out 0.

    \b
    Example:
      apportion compare runs/KTH-SP2-1996-fcfs runs/KTH-SP2-1996-easy runs/KTH-SP2-1996-multifactor --out runs/compared
    """
    from apportion.metrics.bootstrap import Bootstrap
    from apportion.metrics.compare import compare as compare_runs
    from apportion.metrics.run import load_run

    first = _baseline(runs, baseline)
    comparison = compare_runs(
        [load_run(folder) for folder in runs], baseline=first, paired=not unpaired, bootstrap=Bootstrap(**how)
    )
    if out is not None:
        _write(comparison, out)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2))
    else:
        _print(comparison, out)


def _baseline(runs: tuple[Path, ...], name: str | None) -> int:
    if name is None:
        return 0
    for i, folder in enumerate(runs):
        if name in {str(folder), folder.name} or Path(name) == folder:
            return i
    raise click.BadParameter(f"{name} is none of the runs given", param_hint="--baseline")


def _write(comparison: Comparison, out: Path) -> None:
    from apportion.metrics.report import write_comparison

    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    aside = out / ".comparison.json.part"
    try:
        aside.write_text(json.dumps(comparison.to_json(), indent=2) + "\n", encoding="utf-8")
        write_comparison(comparison, out / "report.html")
        aside.replace(out / "comparison.json")
    except BaseException:
        if new:
            shutil.rmtree(out, ignore_errors=True)
        raise
    finally:
        aside.unlink(missing_ok=True)


def _print(comparison: Comparison, out: Path | None) -> None:
    from rich.console import Console

    from apportion.metrics.report.compare_page import in_words

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=160)
    for pair in comparison.pairs:
        console.print(in_words(comparison, pair), style="bold")
        console.print(_numbers(comparison, pair))
        for by, table in pair.groups.items():
            if len(table) > 1:
                _print_groups(console, by, table)
    how = comparison.bootstrap
    console.print(
        f"Ranges: {how.confidence:.0%} confidence, {counted(how.replicates, 'draw')} of blocks of {how.block_days:g} d; "
        "* marks those that leave out 0.",
        style="dim",
    )
    for note in comparison.notes:
        console.print(f"Note: {note}.", style="yellow")
    if out is not None:
        console.print(f"Written: {out / 'report.html'}")


def _numbers(comparison: Comparison, pair: Pair) -> Table:
    """Compare the numbers of one pair, a row each."""
    from rich.table import Table
    from rich.text import Text

    from apportion.metrics.report.compare_page import difference, told

    base = comparison.labels[comparison.baseline]
    how = "each compared with itself" if comparison.paired else "unpaired"
    table = Table(
        title=f"{pair.run} against {base}: {counted(pair.jobs, 'job')}, {how}", title_justify="left", box=None
    )
    table.add_column("")
    for name in (base, pair.run, "difference", f"{comparison.bootstrap.confidence:.0%} range"):
        table.add_column(Text(name), justify="right")
    table.add_column("")
    for item in told(comparison, pair):
        row = difference(item)
        style = ("green" if item.better else "red") if item.clear else "dim"
        change = row["difference"].text + (f" ({row['relative']})" if row["relative"] else "")
        table.add_row(
            Text(row["name"]),
            row["baseline"].text,
            row["value"].text,
            Text(change + ("*" if item.clear else " "), style=style),
            f"{row['low'].text} to {row['high'].text}",
            Text(row["verdict"], style=style),
        )
    return table


def _print_groups(console: Console, by: str, changes: DataFrame) -> None:
    """Print who gains and who loses most, those whose waits changed only."""
    from rich.table import Table
    from rich.text import Text

    from apportion.metrics.report.compare_page import groups

    shown = groups(by, changes, SHOWN_GROUPS)
    console.print(shown["words"])
    for side, words, style in (("winners", "wait less", "green"), ("losers", "wait more", "red")):
        if not shown[side]:
            continue
        table = Table(title=f"{by}s that {words}", title_justify="left", box=None)
        table.add_column(by)
        for name in ("jobs", "mean wait", "", "difference", "range", "in all"):
            table.add_column(name, justify="right")
        for row in shown[side]:
            clear = row["is_clear"]
            table.add_row(
                Text(row["name"]),
                row["jobs"].text,
                row["before"].text,
                f"→ {row['after'].text}",
                Text(row["difference"].text + ("*" if clear else " "), style=style if clear else "dim"),
                " to ".join(row["interval"]),
                row["total"].text,
            )
        console.print(table)
