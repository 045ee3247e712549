"""``apportion compare``: runs side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from apportion.metrics.compare import Comparison, Difference, Pair

SHOWN_GROUPS = 5
WIDE = 120  # columns of a terminal that has room for meanings


@click.command(short_help="Set runs side by side, with confidence intervals.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option("--baseline", metavar="RUN", help="Run that the others are compared with [default: the first].")
@click.option("--unpaired", is_flag=True, help="Compare runs of different traces: no pairing by job, wider intervals.")
@click.option(
    "--replicates", type=click.IntRange(100, 100_000), default=2000, show_default=True, help="Bootstrap draws."
)
@click.option(
    "--block-days", type=click.FloatRange(0.01, 365), default=1.0, show_default=True, help="Days drawn together."
)
@click.option(
    "--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Of the intervals."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
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
      apportion compare runs/kth-fcfs runs/kth-easy runs/kth-multifactor --out runs/compared
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

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for pair in comparison.pairs:
        console.print(_metrics(comparison, pair, meanings=console.width >= WIDE))
        for by, table in pair.groups.items():
            if len(table) > 1:
                console.print(_groups(by, table))
    for note in comparison.notes:
        console.print(f"Note: {note}", style="yellow", highlight=False)
    if out is not None:
        console.print(f"Written: {out / 'report.html'}", highlight=False)


def _metrics(comparison: Comparison, pair: Pair, *, meanings: bool) -> Table:
    from rich.table import Table

    from apportion.metrics.glossary import GLOSSARY

    base = comparison.labels[comparison.baseline]
    how = "paired" if comparison.paired else "unpaired"
    table = Table(title=f"{pair.run} against {base}: {pair.jobs:,} jobs, {how}", title_justify="left")
    table.add_column("metric")
    for name in (base, pair.run, "difference", f"{comparison.bootstrap.confidence:.0%} interval"):
        table.add_column(name, justify="right")
    if meanings:
        table.add_column("meaning", overflow="fold")
    for item in pair.differences:
        colour = ("green" if item.better else "red") if item.clear else "dim"
        table.add_row(
            item.key + (f" [{item.unit}]".replace("[", r"\[") if item.unit else ""),
            _number(item.baseline),
            _number(item.value),
            f"[{colour}]{_relative(item)}{'*' if item.clear else ' '}[/]",
            f"{_signed(item.low)} .. {_signed(item.high)}",
            *([GLOSSARY[item.key].text] if meanings else []),
        )
    return table


def _groups(by: str, changes: Any) -> Table:
    from rich.table import Table

    half = SHOWN_GROUPS
    shown = (
        changes if len(changes) <= 2 * half else changes.iloc[[*range(half), *range(len(changes) - half, len(changes))]]
    )
    left_out = len(changes) - len(shown)
    title = f"Who waits longer (above) and shorter (below), by {by}" + (
        f"; {left_out} between are left out" if left_out else ""
    )
    table = Table(title=title, title_justify="left")
    table.add_column(by)
    for name in ("jobs", "core-h", "mean wait before [s]", "after [s]", "difference [s]", "interval"):
        table.add_column(name.replace("[", r"\["), justify="right")
    for row in shown.itertuples(index=False):
        colour = "dim" if not row.clear else ("red" if row.difference_s > 0 else "green")
        table.add_row(
            str(row.group) or "(unknown)",
            f"{row.jobs:,}",
            f"{row.core_h:,.0f}",
            _number(row.baseline_wait_s),
            _number(row.wait_s),
            f"[{colour}]{_signed(row.difference_s)}{'*' if row.clear else ' '}[/]",
            f"{_signed(row.low_s)} .. {_signed(row.high_s)}",
        )
    return table


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124  (NaN)
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _signed(value: float) -> str:
    text = _number(value)
    return text if text.startswith("-") else f"+{text}"


def _relative(item: Difference) -> str:
    change = f" ({item.difference / item.baseline:+.1%})" if item.baseline else ""
    return _signed(item.difference) + change
