"""``apportion report``: a run's report, written anew."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write a run's report anew.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: RUN/report.html]."
)
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
def report(run: Path, *, out: Path | None, show: bool) -> None:
    """Write the report of a run folder anew, as one HTML file that reads offline.

    RUN is a folder that `apportion replay --out` wrote; its metrics are worked out where it has none.

    \b
    Examples:
      apportion report runs/kth-easy
      apportion report runs/kth-easy --out kth.html --open
    """
    from apportion.metrics.report import write_report

    path = write_report(run, out)
    click.echo(f"Written: {path}")
    if show:
        click.launch(path.resolve().as_uri())
