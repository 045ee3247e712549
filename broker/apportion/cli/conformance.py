"""``apportion conformance``: whether the schedules are right."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from apportion.cli.options import FOUND, print_json, print_table
from apportion.core.errors import UserError


@click.command(short_help="Check the schedules against ones known to be right.")
@click.option(
    "--oracles",
    type=click.Path(path_type=Path),
    help="Folder of known schedules [default: `oracles` beside the folders of APPORTION_TRACES].",
)
@click.option(
    "--engine",
    type=click.Choice(["both", "compiled", "simpy"]),
    default="both",
    show_default=True,
    help="Drivers to check.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
def conformance(oracles: Path | None, engine: str, as_json: bool, parsable: bool) -> None:
    """Replay workloads whose schedules are known to be right and print how many starts are equal.

    Small schedules worked out by hand are always checked. A folder of others holds workloads NAME.swf[.gz] and for each
    its schedules NAME.POLICY.csv[.gz] (job_id, submit, start, end, procs). Exit code 3 if any job differs.

    \b
    Examples:
      apportion conformance
      apportion conformance --oracles my-schedules --engine compiled
    """
    from apportion.sim.conformance import built_in, check, in_folder

    known = list(built_in())
    folder = oracles or _beside_traces()
    if folder is not None:
        found, others = in_folder(folder)
        for remark in others:
            click.echo(f"passed over {remark}", err=True)
        if oracles is not None and not found:
            raise UserError("there are no known schedules here", "NAME.swf beside NAME.POLICY.csv", path=folder)
        known += found
    engines = ("compiled", "simpy") if engine == "both" else (engine,)
    verdicts = [check(one, driver) for one in known for driver in engines]
    if as_json:
        print_json([asdict(verdict) | {"holds": verdict.holds} for verdict in verdicts])
    else:
        rows = [
            (
                v.name,
                v.policy,
                v.engine,
                f"{v.jobs:,}",
                f"{100 * v.equal / max(v.jobs, 1):.2f} %",
                f"{v.other_ends:,}",
                v.first,
            )
            for v in verdicts
        ]
        print_table(
            ("schedule", "policy", "engine", "jobs", "equal starts", "other ends", "first difference"),
            rows,
            right=("jobs", "equal starts", "other ends"),
            parsable=parsable,
        )
    if not all(verdict.holds for verdict in verdicts):
        sys.exit(FOUND)


def _beside_traces() -> Path | None:
    for folder in os.environ.get("APPORTION_TRACES", "").split(os.pathsep):
        if folder and (Path(folder).parent / "oracles").is_dir():
            return Path(folder).parent / "oracles"
    return None
