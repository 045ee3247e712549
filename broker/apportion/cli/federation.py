"""``apportion replay --scenario``: from a scenario to the run folder of a federation, with the run without a broker beside it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apportion.cli.options import print_json
from apportion.core.units import counted

if TYPE_CHECKING:
    from apportion.sim.conventions import Conventions


def replay_scenario(
    name: str,
    conventions: Conventions,
    *,
    placement: str | None,
    engine: str,
    out: Path | None,
    baseline: bool,
    report: bool,
    as_json: bool,
) -> None:
    """Replay a scenario and write its run folder."""
    from apportion.sim import runfolder
    from apportion.sim.scenario import load_scenario

    scenario = load_scenario(name)
    if placement is not None:
        scenario = scenario.with_broker(Placement=placement)
    for warning in scenario.warnings:
        click.echo(f"apportion: warning: {warning}", err=True)
    target = out or Path("runs") / f"{scenario.Name}-{scenario.broker.Placement}"
    runfolder.prepare(target).rmdir()  # a folder that cannot be written is better known now than after the replay

    def say(text: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"apportion: {text} ...", err=True)

    from apportion.sim.federation import runfolder as federation_folder
    from apportion.sim.federation.compile import compile_federation
    from apportion.sim.federation.replay import run
    from apportion.sim.federation.source import read_input, unmoved

    begin = time.perf_counter()
    given = read_input(scenario, conventions, say)
    timings = {"read": round(time.perf_counter() - begin, 4)}
    begin = time.perf_counter()
    compiled = compile_federation(scenario, given.workload, given.moves)
    timings["compile"] = round(time.perf_counter() - begin, 4)
    say("replay with the broker")
    schedule = run(given.workload, compiled, engine)
    timings["replay"] = round(schedule.loop_s, 6)
    alone = None
    if baseline and scenario.broker.Placement != "home":
        say("replay with every job at home")
        alone = run(given.workload, compile_federation(scenario, given.workload, unmoved(given.moves)), engine)
        timings["replay_home_only"] = round(alone.loop_s, 6)
    metrics = federation_folder.write_run(
        target,
        given,
        schedule,
        conventions,
        baseline=alone,
        command=runfolder.command_line(),
        timings_s=timings,
        with_report=report,
        say=say,
    )
    if as_json:
        print_json({"run": str(target), "decision_hash": schedule.decision_hash, "engine": schedule.engine, **metrics})
        return
    _print_summary(target, schedule, metrics, alone is not None, report=report)


def _print_summary(target: Path, schedule: Any, metrics: dict[str, Any], compared: bool, *, report: bool) -> None:
    """The headline numbers center by center, beside those without a broker, and where the rest is."""
    import pandas as pd

    from apportion.sim.federation.runfolder import BASELINE

    jobs = pd.read_parquet(target / "jobs.parquet", columns=["home", "center", "moved", "wait_s"])
    before = pd.read_parquet(target / BASELINE / "jobs.parquet", columns=["wait_s"])["wait_s"] if compared else None
    rate = len(jobs) / max(schedule.loop_s, 1e-9)
    click.echo(f"{counted(len(jobs), 'job')}, {int(jobs['moved'].sum()):,} of them ran away from home")
    head = f"{'CENTER':<16}{'JOBS':>10}{'MOVED OUT':>11}{'MOVED IN':>10}{'MEAN WAIT':>12}"
    click.echo(head + (f"{'HOME ONLY':>12}" if compared else ""))
    for center in [*(name for name in jobs["center"].cat.categories if name), ""]:
        mine = jobs["home"] == center if center else jobs["home"].notna()
        moved_in = int((jobs["moved"] & (jobs["center"] == center)).sum()) if center else 0
        row = f"{center or 'all':<16}{int(mine.sum()):>10,}{int((mine & jobs['moved']).sum()):>11,}"
        row += f"{moved_in:>10,}" if center else f"{'':>10}"
        row += _mean(jobs["wait_s"][mine])
        click.echo((row + (_mean(before[mine]) if before is not None else "")).rstrip())
    click.echo(f"utilization          {100 * metrics['utilization']['used_fraction']:.2f} %")
    click.echo(f"decisions            {schedule.decision_hash} ({schedule.engine}, {rate:,.0f} jobs/s)")
    click.echo(f"run folder           {target}")
    if report:
        click.echo(f"report               {target / 'report.html'}")


def _mean(waits: Any) -> str:
    """Mean of waits; nothing where nobody waited for a start: a center without users of its own, or before the first start."""
    return f"{waits.mean():>10,.0f} s" if waits.notna().any() else f"{'':>12}"
