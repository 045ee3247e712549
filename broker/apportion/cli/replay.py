"""``apportion replay``: from a trace to a run folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from apportion.cli.options import SLURM_TIME, print_json, split_list
from apportion.cli.startup import load_numba
from apportion.core.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from apportion.traces.schema import Trace

DEMO_TRACE = "KTH-SP2-1996-2.1-cln"
DEMO_JOBS = 10_000
DEMO_SEED = 1
PLACEMENTS = (
    "balanced",
    "urgent",
    "economy",
    "green",
    "home",
    "random",
    "round-robin",
    "least-loaded",
    "redundant",
)

# Options that speak of a single machine, and of several centers; in the other case they would have no effect.
OF_A_MACHINE = {
    "policy_name": "--policy",
    "procs": "--procs",
    "trace_format": "--format",
    "tz": "--tz",
    "no_rule": "--no-rule",
    "mtbf": "--mtbf",
    "repair": "--repair",
    "node_procs": "--node-procs",
    "failure_log": "--failures",
    "seed": "--seed",
}
OF_A_SCENARIO = {"placement": "--placement", "baseline": "--baseline/--no-baseline"}


@click.command()
@click.argument("traces", nargs=-1, metavar="TRACE...")
@click.option(
    "--policy",
    "policy_name",
    default="easy",
    show_default=True,
    help="Preset (`apportion policy list`) or TOML/YAML file.",
)
@click.option(
    "--procs", type=click.IntRange(min=1), help="Processors of the machine [default: what the trace or catalog says]."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "compiled", "simpy"]),
    default="auto",
    show_default=True,
    help="Driver of the decision core; both decide the same.",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Run folder [default: runs/TRACE-POLICY].")
@click.option("--format", "-f", "trace_format", help="Format of the trace [default: told from its content].")
@click.option("--tz", help="Time zone of local times without one (sacct, PBS).")
@click.option(
    "--size",
    type=click.Choice(["allocated", "requested"]),
    default="allocated",
    show_default=True,
    help="Which size a job has, where both are known.",
)
@click.option(
    "--limit",
    type=click.Choice(["requested", "exact"]),
    default="requested",
    show_default=True,
    help="What the scheduler knows of run times.",
)
@click.option(
    "--over-limit",
    type=click.Choice(["kill", "raise"]),
    default="kill",
    show_default=True,
    help="What becomes of a job that ran past its limit: killed at it, or its limit raised.",
)
@click.option(
    "--cancelled",
    type=click.Choice(["drop", "replay"]),
    default="drop",
    show_default=True,
    help="Jobs cancelled before they started: left out, or cancelled at their recorded moment.",
)
@click.option(
    "--dependencies",
    type=click.Choice(["ignore", "honour"]),
    default="ignore",
    show_default=True,
    help="Whether jobs wait for the jobs that they follow by the trace.",
)
@click.option(
    "--feedback",
    type=click.Choice(["none", "sessions"]),
    default="none",
    show_default=True,
    help="Whether users submit their next batch of jobs when the last has come back, after the recorded think time.",
)
@click.option(
    "--mtbf",
    type=SLURM_TIME,
    help="Mean time from one failure of a node to the next, in the whole machine (D-HH:MM:SS) [default: nothing fails].",
)
@click.option(
    "--repair", type=SLURM_TIME, default="1:00:00", show_default=True, help="Mean time to repair, with --mtbf."
)
@click.option(
    "--node-procs", type=click.IntRange(min=1), default=1, show_default=True, help="Processors of a node, with --mtbf."
)
@click.option(
    "--failures",
    "failure_log",
    type=click.Path(path_type=Path),
    help="Recorded failures instead: csv with the columns time_s (Unix time), procs, repair_s.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of what is drawn of failures.")
@click.option(
    "--warm-up",
    type=SLURM_TIME,
    default="0",
    help="Time at the beginning that metrics leave out (D-HH:MM:SS) [default: none].",
)
@click.option("--cool-down", type=SLURM_TIME, default="0", help="The same at the end.")
@click.option(
    "--no-rule",
    multiple=True,
    callback=split_list,
    help="Cleaning rules to switch off, comma-separated (`apportion traces clean --rules` lists them).",
)
@click.option("--report/--no-report", default=True, help="Whether to write report.html.")
@click.option(
    "--scenario",
    help="Replay a federation instead: a preset (`apportion scenario list`) or a TOML/YAML file.",
)
@click.option(
    "--placement",
    type=click.Choice(PLACEMENTS),
    help="How the broker of a scenario chooses centers [default: what the scenario says].",
)
@click.option("--baseline/--no-baseline", default=True, help="Whether to replay a scenario with every job at home too.")
@click.option("--demo", is_flag=True, help="Replay a public trace, or a synthetic workload when none can be had.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON.")
def replay(
    traces: tuple[str, ...],
    policy_name: str,
    procs: int | None,
    engine: str,
    out: Path | None,
    trace_format: str | None,
    tz: str | None,
    size: str,
    limit: str,
    over_limit: str,
    cancelled: str,
    dependencies: str,
    feedback: str,
    mtbf: int | None,
    repair: int,
    node_procs: int,
    failure_log: Path | None,
    seed: int,
    warm_up: int,
    cool_down: int,
    no_rule: tuple[str, ...],
    report: bool,
    scenario: str | None,
    placement: str | None,
    baseline: bool,
    demo: bool,
    as_json: bool,
) -> None:
    """Replay job traces under a policy; leave a run folder with schedule, metrics and report.

    TRACE is a file (SWF, GWF, sacct, PBS, ALCF, Philly, Parquet; gz, bz2, xz, zst) or a name of the catalog. Several
    traces are merged on one calendar. With --scenario, several centers are replayed with a broker between them, and
    compared with the same jobs all at home.

    \b
    Examples:
      apportion replay KTH-SP2-1996 --policy easy
      apportion replay log.swf.gz --policy my-policy.toml --procs 512
      apportion replay dump.sacct --policy multifactor --warm-up 7-0 --json
      apportion replay --scenario europe-us-2004 --placement urgent
    """
    if bool(traces) + demo + (scenario is not None) != 1:
        raise click.UsageError(
            "name a trace, a --scenario, or give --demo; `apportion traces list` shows public traces"
        )
    _refuse_without_effect(is_scenario=scenario is not None)
    fails = mtbf is not None or failure_log is not None
    if mtbf is not None and failure_log is not None:
        raise click.UsageError("give --mtbf to draw failures, or --failures to read them")
    if (mtbf is not None and mtbf <= 0) or repair <= 0:
        raise click.UsageError("times between failures and to repair must be above zero and not unlimited")
    say = _say(quiet=as_json)
    load_numba()
    from apportion.sim.conventions import Conventions

    conventions = Conventions(
        size, limit, over_limit, cancelled, dependencies, feedback, warm_up / 1000.0, cool_down / 1000.0
    )
    if scenario is not None:
        from apportion.cli.federation import replay_scenario

        replay_scenario(
            scenario,
            conventions,
            placement=placement,
            engine=engine,
            out=out,
            baseline=baseline,
            report=report,
            as_json=as_json,
        )
        return
    timings: dict[str, float] = {}
    begin = time.perf_counter()
    from apportion.policy.load import load

    policy = load(policy_name)
    for warning in policy.warnings:
        click.echo(f"apportion: warning: {warning}", err=True)
    demo_seed = None
    if demo:
        trace, demo_seed = _demo_trace()
    else:
        trace = _read(traces, trace_format, tz)
    from apportion.traces.clean import clean

    trace, cleaning = clean(trace, switch=dict.fromkeys(no_rule, False))
    timings["read"] = round(time.perf_counter() - begin, 4)

    from apportion.policy.compile import compile_policy
    from apportion.sim import runfolder
    from apportion.sim.replay import run
    from apportion.sim.workload import from_trace

    if procs is not None and "cpu" in policy.TRES:
        policy = policy.model_copy(update={"TRES": {k: v for k, v in policy.TRES.items() if k != "cpu"}})
    workload = from_trace(trace, conventions, procs, policy)
    target = out or Path("runs") / f"{trace.meta.name}-{policy.Name or Path(policy_name).stem}"
    runfolder.prepare(target).rmdir()  # a folder that cannot be written is better known now than after the replay
    say("replay")
    begin = time.perf_counter()
    compiled = compile_policy(policy, workload.jobs, fails=fails)
    failures = None
    if fails:
        from apportion.sim.failures import of_machine

        failures = of_machine(
            compiled.pool_capacity,
            workload.jobs.submit_ms,
            (mtbf or 0) / 1000,
            repair / 1000,
            node_procs,
            failure_log,
            seed,
        )
    timings["compile"] = round(time.perf_counter() - begin, 4)
    with _progress(as_json, len(workload)) as progress:
        schedule = run(workload, compiled, engine, progress, failures)
    timings["replay"] = round(schedule.loop_s, 6)
    metrics = runfolder.write_run(
        target,
        workload,
        schedule,
        policy,
        conventions,
        cleaning,
        command=runfolder.command_line(),
        seed=seed if fails else demo_seed,
        timings_s=timings,
        with_report=report,
        say=say,
    )
    if as_json:
        print_json({"run": str(target), "decision_hash": schedule.decision_hash, "engine": schedule.engine, **metrics})
        return
    _print_summary(target, workload, schedule, policy, conventions, metrics, timings, report=report)


def _refuse_without_effect(*, is_scenario: bool) -> None:
    """Refuse options that were given and would have no effect."""
    context = click.get_current_context()
    others = OF_A_MACHINE if is_scenario else OF_A_SCENARIO
    given = [flag for name, flag in others.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if not given:
        return
    have = f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect"
    if is_scenario:
        raise click.UsageError(
            f"{have} with --scenario: the scenario says what its machines, policies, traces and failures are"
        )
    raise click.UsageError(f"{have} without --scenario")


def _say(*, quiet: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet and sys.stderr.isatty():
            click.echo(f"apportion: {text} ...", err=True)

    return say


def _read(names: tuple[str, ...], trace_format: str | None, tz: str | None) -> Trace:
    from apportion.traces import read
    from apportion.traces.catalog import locate

    def tell(text: str) -> None:
        click.echo(f"apportion: {text}", err=True)

    found = [read(locate(name, say=tell), trace_format, tz=tz) for name in names]
    if len(found) == 1:
        return found[0]
    from apportion.traces.merge import merge

    return merge(found)


def _demo_trace() -> tuple[Trace, int | None]:
    """A real trace where one is at hand or can be fetched, else a synthetic workload, and its seed."""
    from apportion.core.errors import TraceError

    try:
        return _read((DEMO_TRACE,), None, None), None
    except TraceError as error:
        where = f"{error.path}: " if error.path else ""
        click.echo(f"apportion: {where}{error.problem}; replaying the built-in synthetic workload instead", err=True)
    from apportion.traces.synth import lublin

    return lublin(DEMO_JOBS, DEMO_SEED, procs=128, load=0.8), DEMO_SEED


class _progress:  # noqa: N801  (used as a function)
    """A progress bar with the time that is left, on a terminal only."""

    def __init__(self, quiet: bool, n_jobs: int) -> None:
        self._quiet = quiet or not sys.stderr.isatty() or n_jobs < 100_000
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Callable[[float], None] | None:
        if self._quiet:
            return None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("replay"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("replay", total=1.0)
        self._bar.start()
        return lambda part: self._bar.update(self._task, completed=part)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _print_summary(
    target: Path,
    workload: Any,
    schedule: Any,
    policy: Any,
    conventions: Any,
    metrics: dict[str, Any],
    timings: dict[str, float],
    *,
    report: bool,
) -> None:
    """The headline numbers, the conventions behind them, and where the rest is."""
    from apportion.metrics.glossary import flatten
    from apportion.sim import waiting

    flat = flatten(metrics)

    def show(key: str, unit: str = "", scale: float = 1.0, digits: int = 1) -> str:
        value = flat.get(key)
        return "-" if value is None else f"{value * scale:,.{digits}f}{unit}"

    rate = len(workload) / max(timings["replay"], 1e-9)
    click.echo(
        f"{counted(len(workload), 'job')} on {counted(workload.jobs.capacity['cpu'], 'processor')} ({workload.capacity_from})"
    )
    click.echo(f"mean wait            {show('service.wait_s.mean', ' s')}")
    click.echo(f"bounded slowdown     {show('service.bounded_slowdown.mean', '', 1, 2)}")
    click.echo(f"utilization          {show('utilization.used_fraction', ' %', 100, 2)}")
    click.echo(f"decisions            {schedule.decision_hash} ({schedule.engine}, {rate:,.0f} jobs/s)")
    chosen = f"size {conventions.size}, limit {conventions.limit}, over limit {conventions.over_limit}, cancelled {conventions.cancelled}"
    chosen += f", dependencies {conventions.dependencies}, feedback {conventions.feedback}"
    click.echo(f"conventions          {chosen}")
    refused = waiting.refused(schedule)
    if refused:
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in refused.items())
        click.echo(f"rejected             {counted(sum(refused.values()), 'job')}: {by_reason}")
    left_out = len(workload.trace) - len(workload)
    if left_out:
        click.echo(f"not replayed         {counted(left_out, 'job')} that never started, or without size or run time")
    for job in waiting.explain(workload, schedule, policy, most=1):
        more = f" (and {len(waiting.pending(schedule)) - 1:,} more)" if len(waiting.pending(schedule)) > 1 else ""
        click.echo(f"never started        job {job['job_id']}{more}: {'; '.join(job['reasons'])}")
    click.echo(f"run folder           {target}")
    if report:
        click.echo(f"report               {target / 'report.html'}")
