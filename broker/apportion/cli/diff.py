"""``apportion diff``: the first decision in which two runs part."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from apportion.cli.options import FOUND, print_json


@click.command(short_help="Find the first decision in which two runs part.")
@click.argument("run_a", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("run_b", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def diff(run_a: Path, run_b: Path, as_json: bool) -> None:
    """Find the first decision in which two runs part, and say what the machine looked like then.

    Each RUN is a folder that `apportion replay` wrote; both are of the same jobs. Exit code 3 if they differ.

    \b
    Example:
      apportion diff runs/KTH-SP2-1996-easy runs/KTH-SP2-1996-multifactor
    """
    from apportion.sim.divergence import first_divergence

    found = first_divergence(run_a, run_b)
    if as_json:
        print_json({**asdict(found), "job_id": str(found.job_id) if found.job_id is not None else None})
    else:
        for line in found.lines:
            click.echo(line)
    if found.jobs_that_differ:
        sys.exit(FOUND)
