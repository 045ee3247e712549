"""``apportion bound``: what a broker could reach at best, beside what each way to place jobs reaches."""

from __future__ import annotations

import sys

import click

from apportion.cli.options import print_json, print_plain
from apportion.cli.startup import load_numba
from apportion.core.units import counted


@click.command(short_help="Compare placements with the best that could be, for few jobs.")
@click.argument("scenario")
@click.option("--jobs", type=click.IntRange(2, 500), default=60, show_default=True, help="Jobs, one after the other.")
@click.option("--skip", type=click.IntRange(0), default=0, show_default=True, help="Jobs before them to leave out.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 36_000), default=30.0, show_default=True, help="Time for the solver."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bound(scenario: str, *, jobs: int, skip: int, seconds: float, as_json: bool) -> None:
    """Replay a few jobs of SCENARIO under every placement, and show how far each is from the best.

    The machines are empty at first. The best is found by OR-Tools CP-SAT, which knows all jobs and their run times in advance; where its time is not
    enough, no schedule is better than the bound, and the gap is at most what is shown. Times of the solver are deterministic.

    \b
    Examples:
      apportion bound three-small --jobs 60 --skip 200
      apportion bound my-federation.toml --seconds 300 --json
    """
    load_numba()
    from apportion.sim.conventions import Conventions
    from apportion.sim.federation.bound import bound as solve
    from apportion.sim.federation.compile import compile_federation
    from apportion.sim.federation.moves import moves_of
    from apportion.sim.federation.network import data_times
    from apportion.sim.federation.replay import run
    from apportion.sim.federation.source import read_input
    from apportion.sim.federation.workload import first_jobs
    from apportion.sim.scenario import load_scenario
    from apportion.sim.scenario.model import PLACEMENTS

    def say(text: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"apportion: {text} ...", err=True)

    given = read_input(load_scenario(scenario), Conventions(), say)
    few = first_jobs(given.workload, skip, jobs)
    moves = moves_of(given.scenario, few, data_times(given.scenario))
    say(f"look for the best schedule of {counted(len(few), 'job')}")
    best = solve(few, compile_federation(given.scenario, few, moves), seconds)
    rows = []
    for placement in PLACEMENTS:
        compiled = compile_federation(given.scenario.with_broker(Placement=placement), few, moves)
        schedule = run(few, compiled)
        ran = schedule.start_ms >= 0
        wait_s = float((schedule.start_ms - schedule.submit_ms)[ran].sum()) / 1000
        rows.append((placement, wait_s, int((ran & (schedule.center != few.home)).sum())))
    mean_least, mean_best = best.least_wait_s / max(best.jobs, 1), best.best_wait_s / max(best.jobs, 1)
    if as_json:
        found = [
            {"placement": name, "mean_wait_s": wait / best.jobs, "moved": moved, "gap": _gap(wait, best.least_wait_s)}
            for name, wait, moved in rows
        ]
        optimum = {"mean_wait_s": mean_best, "at_least_s": mean_least, "is_optimal": best.is_optimal}
        print_json({"jobs": len(few), "best": optimum, "placements": found})
        return
    click.echo(f"{counted(len(few), 'job')}, of which {int(moves.movable.sum())} may move; machines empty at first")
    lines = [("best", f"{mean_best:,.0f} s", "optimal" if best.is_optimal else f"at least {mean_least:,.0f} s", "")]
    for name, wait, moved in sorted(rows, key=lambda row: (row[1], row[0])):
        gap = _gap(wait, best.least_wait_s)
        lines.append((name, f"{wait / best.jobs:,.0f} s", "" if gap is None else f"{100 * gap:+,.0f} %", str(moved)))
    print_plain(
        ["Placement", "Mean wait", "Above the bound", "Moved"],
        lines,
        right=frozenset({"Mean wait", "Above the bound", "Moved"}),
    )


def _gap(wait_s: float, least_s: float) -> float | None:
    """By how much more is waited than the bound; None where nobody need wait."""
    return wait_s / least_s - 1 if least_s > 0 else None
