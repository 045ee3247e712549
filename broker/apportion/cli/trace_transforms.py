"""The commands of ``apportion traces`` that make a trace from others, or from nothing."""

from __future__ import annotations

import click

from apportion.cli.options import print_json, split_list
from apportion.cli.trace_files import check_output, load, reading, save, tell, writing

TEXT_COLUMNS = ("user", "group", "account", "qos", "app", "queue", "partition")


@click.command("slice", short_help="Keep a window of time, some users, or the first jobs.")
@click.argument("trace")
@click.option("--from", "since", metavar="WHEN", help="First moment: a date, or a time after the first submit (30-00).")
@click.option("--to", "until", metavar="WHEN", help="First moment no longer in it.")
@click.option("-u", "--user", multiple=True, callback=split_list, help="Users to keep, comma-separated.")
@click.option("-A", "--account", multiple=True, callback=split_list, help="Accounts to keep.")
@click.option("-g", "--group", multiple=True, callback=split_list, help="Groups to keep.")
@click.option("-q", "--qos", multiple=True, callback=split_list, help="QOS to keep.")
@click.option("-p", "--partition", multiple=True, callback=split_list, help="Partitions to keep.")
@click.option("--queue", multiple=True, callback=split_list, help="Queues to keep.")
@click.option("--first", "jobs", type=click.IntRange(1), metavar="N", help="Only the first N of what is left.")
@reading
@writing
def slice_(
    trace: str,
    *,
    since: str | None,
    until: str | None,
    jobs: int | None,
    format_: str | None,
    tz: str | None,
    output: str,
    **wanted: tuple[str, ...],
) -> None:
    """Keep a part of TRACE. Dates are in the trace's own time zone unless they name one (2004-09-15T00:00Z).

    \b
    Examples:
      apportion traces slice HPC2N --from 2004-09-15 --to 2005-04-01 -o hpc2n-winter.parquet
      apportion traces slice KTH --to 7-00 -o first-week.swf
      apportion traces slice SDSC-DS -p 3 -u 17,42 -o part.parquet
    """
    from apportion.core.errors import TraceError
    from apportion.traces import transform

    check_output(output, trace)
    whole = load(trace, format_, tz)
    part = transform.window(
        whole,
        None if since is None else transform.instant_ms(whole, since),
        None if until is None else transform.instant_ms(whole, until),
    )
    part = transform.having(part, wanted)
    if jobs is not None:
        part = transform.first(part, jobs)
    if not len(part):
        raise TraceError(f"no job of {whole.meta.name} is left", "widen the window or the choice")
    save(part, output)


@click.command(short_help="Change the offered load by the times between submits.")
@click.argument("trace")
@click.option("--load", "factor", type=click.FloatRange(0, min_open=True), help="Multiply the offered load by this.")
@click.option("--interarrival", type=click.FloatRange(0, min_open=True), help="Multiply the times between submits.")
@reading
@writing
def scale(
    trace: str, *, factor: float | None, interarrival: float | None, format_: str | None, tz: str | None, output: str
) -> None:
    """Make TRACE denser or sparser. Jobs stay as they are; recorded waits become unknown.

    \b
    Examples:
      apportion traces scale KTH --load 1.2 -o kth-busier.swf
      apportion traces scale KTH --interarrival 0.5 -o kth-twice.parquet
    """
    from apportion.traces import transform

    if (factor is None) == (interarrival is None):
        raise click.UsageError("Give either --load or --interarrival.")
    check_output(output, trace)
    save(transform.scale(load(trace, format_, tz), interarrival or 1 / (factor or 1)), output)


@click.command(short_help="Put several traces on one calendar.")
@click.argument("names", nargs=-1, required=True, metavar="TRACE TRACE...")
@click.option("--label", "labels", multiple=True, callback=split_list, help="Names of the centers, in order.")
@click.option(
    "--align",
    type=click.Choice(("calendar", "start", "weeks")),
    default="calendar",
    show_default=True,
    help="Keep the dates; begin together; or begin together within a week, moved by whole weeks.",
)
@click.option(
    "--shared",
    multiple=True,
    callback=split_list,
    type=str,
    help=f"Columns in which one name means the same everywhere: {', '.join(TEXT_COLUMNS[:-1])}.",
)
@reading
@writing
def merge(
    names: tuple[str, ...],
    *,
    labels: tuple[str, ...],
    align: str,
    shared: tuple[str, ...],
    format_: str | None,
    tz: str | None,
    output: str,
) -> None:
    """Put several traces on one calendar, as the centers of one federation.

    Jobs are numbered anew; x_center holds the center and x_own_id the job's own number. Names of users and groups get
    their center before them, unless --shared says that they mean the same.

    \b
    Examples:
      apportion traces merge HPC2N LPC SDSC-DS --label umea,clermont,sandiego -o three.parquet
      apportion traces merge ALCF-Theta ALCF-ThetaGPU --shared account -o alcf.parquet
    """
    from apportion.traces.merge import merge as merge_traces

    _check_columns(shared)
    check_output(output, *names)
    read = [load(name, format_, tz) for name in names]
    save(merge_traces(read, labels or None, align=align, shared=shared), output)


@click.command(short_help="Replace the names of people and projects by numbers.")
@click.argument("trace")
@click.option("--secret-file", type=click.Path(exists=True, dir_okay=False), help="Key of the numbering, kept by you.")
@click.option(
    "--columns", multiple=True, callback=split_list, help="Columns to number [default: user,group,account,app]."
)
@click.option("--keep", multiple=True, callback=split_list, help="Extra columns (x_...) to keep.")
@reading
@writing
def anonymize(
    trace: str,
    *,
    secret_file: str | None,
    columns: tuple[str, ...],
    keep: tuple[str, ...],
    format_: str | None,
    tz: str | None,
    output: str,
) -> None:
    """Replace the names of people and projects in TRACE by numbers; keep its licence and acknowledgement.

    With --secret-file the same trace gets the same numbers again. Without one a secret is drawn and forgotten, so that
    nobody can trace a number back.

    \b
    Examples:
      apportion traces anonymize jobs.sacct -o public.parquet
      apportion traces anonymize jobs.sacct --secret-file key --columns user,account,queue -o public.swf
    """
    import secrets
    from pathlib import Path

    from apportion.traces.anonymize import PERSONAL
    from apportion.traces.anonymize import anonymize as hide

    check_output(output, trace)
    secret = Path(secret_file).read_bytes() if secret_file else secrets.token_bytes(32)
    save(hide(load(trace, format_, tz), secret, columns or PERSONAL, keep_extra=keep), output)


@click.command(short_help="Make a synthetic workload.")
@click.option("--jobs", type=click.IntRange(1), help="How many jobs [default: 10000, or as many as --like has].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same trace.")
@click.option("--procs", type=click.IntRange(1), help="Processors of the machine [default: 128].")
@click.option("--load", "load_", type=click.FloatRange(0, min_open=True), help="Offered load, 1 is all of the machine.")
@click.option("--users", type=click.IntRange(1), help="How many users [default: 100].")
@click.option("--accounts", type=click.IntRange(1), help="How many accounts [default: 10].")
@click.option("--like", "model", metavar="TRACE", help="Make one that resembles this trace, and say how near it came.")
@click.option("--json", "as_json", is_flag=True, help="With --like: print the report of likeness as JSON.")
@reading
@writing
def synth(
    *,
    jobs: int | None,
    seed: int,
    procs: int | None,
    load_: float | None,
    users: int | None,
    accounts: int | None,
    model: str | None,
    as_json: bool,
    format_: str | None,
    tz: str | None,
    output: str,
) -> None:
    """Make a workload from the model of Lublin and Feitelson, or one that resembles a given trace.

    \b
    Examples:
      apportion traces synth --jobs 100000 --seed 1 --procs 256 --load 0.8 -o model.swf
      apportion traces synth --like KTH --jobs 50000 --seed 1 -o kth-like.parquet
    """
    check_output(output, *([model] if model else []))
    chosen = {"procs": procs, "load": load_, "users": users, "accounts": accounts}
    given = {name: value for name, value in chosen.items() if value is not None}
    if model is None:
        from apportion.traces.synth import lublin

        save(lublin(jobs or 10_000, seed, **given), output)  # type: ignore[arg-type]
        return
    if given:
        raise click.UsageError(f"--like takes {', '.join('--' + name for name in given)} from the trace; leave it out.")
    from apportion.traces.catalog import with_machine
    from apportion.traces.clean import clean
    from apportion.traces.synth import like

    source, _ = clean(with_machine(load(model, format_, tz)))
    made, likeness = like(source, jobs, seed)
    save(made, output)
    if as_json:
        print_json(likeness.to_json())
    else:
        tell(likeness.table())


def _check_columns(columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in TEXT_COLUMNS[:-1]:
            raise click.UsageError(f"'{column}' is no column of names; take from {', '.join(TEXT_COLUMNS[:-1])}.")


COMMANDS = (slice_, merge, scale, synth, anonymize)
