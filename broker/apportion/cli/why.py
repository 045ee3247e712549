"""``apportion why``: the story of one job of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apportion.cli.options import print_json
from apportion.cli.startup import load_numba


@click.command(short_help="Tell why a job waited, and what would have helped.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("job")
@click.option(
    "--json", "as_json", is_flag=True, help="Print what is known as JSON, times in seconds from the trace's origin."
)
def why(run: Path, job: str, *, as_json: bool) -> None:
    """Tell the story of JOB in RUN, a folder that `apportion replay` wrote.

    Why it waited and for how long, who was ahead, what was planned, what the broker made of each center; and the smallest change (a
    shorter limit, fewer processors, another center) that would have let it start sooner. The core is asked by replaying the run from its
    folder, with the change and everybody else as they were. Dates are in UTC.

    JOB is an id as `apportion jobs` prints it, or CENTER/ID with the id of the center's own trace.

    \b
    Examples:
      apportion why runs/KTH-SP2-1996-easy 1234
      apportion why runs/europe-us-2004-balanced HPC2N/352924 --json
    """
    load_numba()
    from apportion.metrics.run import load_run
    from apportion.sim.why.facts import facts
    from apportion.sim.why.story import tell

    def say(text: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"apportion: {text} ...", err=True)

    found = facts(load_run(run), job, say)
    if as_json:
        print_json(found)
        return
    for line in tell(found):
        click.echo(line)
