"""``apportion report``: a run's report, written anew."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apportion.cli.options import SLURM_TIME

if TYPE_CHECKING:
    from apportion.metrics.run import Run


@click.command(short_help="Write a run's report anew.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: RUN/report.html]."
)
@click.option("--from", "since", metavar="TIME", help="Show the schedule from here in the Gantt chart ...")
@click.option("--to", "until", metavar="TIME", help="... to here.")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
def report(run: Path, *, out: Path | None, since: str | None, until: str | None, show: bool) -> None:
    """Write the report of a run folder anew, as one HTML file that reads offline.

    RUN is a folder that `apportion replay --out` wrote; its metrics are worked out where it has none. A TIME is a date on
    the trace's own clock (2005-03-22, 2005-03-22T14:30) or counted from the trace's start (D-HH:MM:SS).

    \b
    Examples:
      apportion report runs/KTH-SP2-1996-easy
      apportion report runs/KTH-SP2-1996-easy --out kth.html --open
      apportion report runs/KTH-SP2-1996-easy --from 1997-02-03 --to 1997-02-05
    """
    from apportion.metrics.report import write_report
    from apportion.metrics.run import load_run

    if (since is None) != (until is None):
        raise click.UsageError("--from and --to go together")
    loaded = load_run(run)
    asked = (
        None if since is None or until is None else (_moment(since, loaded, "--from"), _moment(until, loaded, "--to"))
    )
    if asked is not None and not (
        asked[0] < asked[1] and asked[0] < loaded.horizon_s and asked[1] > loaded.window_s[0]
    ):
        raise click.BadParameter("no time of this run lies between --from and --to", param_hint="--from, --to")
    path = write_report(loaded, out, asked=asked)
    click.echo(f"Written: {path}")
    if show:
        click.launch(path.resolve().as_uri())


def _moment(text: str, run: Run, name: str) -> float:
    """Seconds from the origin of a date, or of a time from the start of the trace."""
    from apportion.metrics.report.clock import Clock

    clock = Clock(run)
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        try:
            return float(SLURM_TIME.convert(text, None, None)) / 1000
        except click.BadParameter:
            raise click.BadParameter(
                f"'{text}' is neither a date such as 2005-03-22T14:30 nor a time such as 3-12:00:00", param_hint=name
            ) from None
    if not clock.is_calendar:
        raise click.BadParameter("this trace has no dates: give a time from its start, as D-HH:MM:SS", param_hint=name)
    return clock.instant(wall)
