"""``apportion traces``: read, clean, convert, describe and make job traces."""

from __future__ import annotations

from typing import Any

import click

from apportion.cli.options import print_json, print_table
from apportion.cli.trace_files import check_output, load, reading, save, spare, tell, writing
from apportion.cli.trace_transforms import COMMANDS
from apportion.core.units import counted


@click.group(short_help="Read, clean, convert, describe and make job traces.")
def traces() -> None:
    """Read, clean, convert, describe and make job traces.

    TRACE is a file (SWF, GWF, sacct, PBS, ALCF or Philly; compressed or not) or the name of a public trace.

    \b
    Examples:
      apportion traces list                                    public traces by name
      apportion traces info KTH                                what is known of one
      apportion traces clean KTH --report cleaning.json        what is odd in it, rule by rule
      apportion traces stats KTH --html kth.html               its statistics as a page
      apportion traces slice HPC2N --from 2004-09-15 --to 2005-04-01 -o part.parquet
    """


for command in COMMANDS:
    traces.add_command(command)


@traces.command(short_help="Say what is known of a trace.")
@click.argument("trace")
@reading
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def info(trace: str, *, format_: str | None, tz: str | None, as_json: bool) -> None:
    """Say what is known of TRACE: period, machine, users, columns, notes of the reader, licence.

    \b
    Example:
      apportion traces info SDSC-DS
    """
    from apportion.traces.catalog import by_sha256, with_machine
    from apportion.traces.stats import describe

    read = with_machine(load(trace, format_, tz))
    figures, meta = describe(read), read.meta
    entry = by_sha256(meta.sha256)
    about = {
        "name": meta.name,
        "format": meta.format,
        "path": meta.path,
        "sha256": meta.sha256,
        "jobs": len(read),
        "period": figures["period"],
        "machine": figures["machine"],
        "offered_load": figures["load"]["offered_load"],
        **{name: figures[name] for name in ("users", "groups", "accounts", "queues", "partitions")},
        "columns": list(read.jobs.columns),
        "notes": list(meta.notes),
        "acknowledge": entry.acknowledge if entry else None,
        "licence": entry.licence if entry else None,
        "page": entry.page if entry else None,
    }
    if as_json:
        print_json(about)
        return
    period = about.pop("period")
    about["period"] = (
        f"{period['first_submit']} to {period['last_submit']} ({period['days']} days, {period['timezone']})"
    )
    about["machine"] = ", ".join(f"{n:,} {what}" for what, n in figures["machine"].items() if n)
    for name in ("columns", "notes"):
        about[name] = "\n".join(about[name]) if name == "notes" else ", ".join(about[name])
    print_table(("", ""), [(key, value) for key, value in about.items() if value not in (None, "", 0)])


@traces.command("list", short_help="List the public traces of the catalog.")
@click.argument("text", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
def list_(text: str, *, as_json: bool, parsable: bool) -> None:
    """List public traces by name, or those whose name or machine holds TEXT.

    The last column says where the file is: in a folder named by APPORTION_TRACES, in the cache, or on the net. One
    without a direct download is got from its page by hand.

    \b
    Examples:
      apportion traces list
      apportion traces list sdsc --json
    """
    from apportion.traces.catalog import entries, whereabouts

    found = [e for e in entries() if text.lower() in f"{e.name} {e.machine}".lower()]
    if as_json:
        print_json([{**e.to_json(), "where": whereabouts(e)} for e in found])
        return
    rows = [(e.name, e.machine, f"{e.jobs:,}" if e.jobs > 0 else "", _machine(e), whereabouts(e)) for e in found]
    print_table(("NAME", "MACHINE", "JOBS", "SIZE", "WHERE"), rows, right=("JOBS", "SIZE"), parsable=parsable)


def _machine(entry: Any) -> str:
    return f"{entry.procs:,}" if entry.procs > 0 else counted(entry.nodes, "node") if entry.nodes > 0 else ""


@traces.command(short_help="Find public traces, and download them if need be.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def fetch(names: tuple[str, ...], *, as_json: bool) -> None:
    """Find public traces by name, download what is missing, check the sha256, and print the paths.

    \b
    Example:
      apportion traces fetch KTH SDSC-SP2
    """
    from apportion.traces.catalog import find, locate

    found = []
    for name in names:
        entry = find(name)
        path = locate(entry.name, say=tell)
        if not as_json:
            click.echo(path)
            tell(f"  thanks to {entry.acknowledge}; {entry.licence}")
        found.append({**entry.to_json(), "path": str(path)})
    if as_json:
        print_json(found)


@traces.command(short_help="Write a trace in another format.")
@click.argument("trace")
@reading
@writing
def convert(trace: str, *, format_: str | None, tz: str | None, output: str) -> None:
    """Write TRACE in another format, as it is: nothing is cleaned.

    \b
    Examples:
      apportion traces convert jobs.sacct --tz Europe/Paris -o jobs.parquet
      apportion traces convert KTH -o kth.swf
    """
    check_output(output, trace)
    save(load(trace, format_, tz), output)


@traces.command(short_help="Find what is odd in a trace, and mend it.")
@click.argument("trace", required=False)
@reading
@click.option("-o", "--output", type=click.Path(), help="Write the cleaned trace: .parquet, .swf or .swf.gz.")
@click.option("--report", type=click.Path(), metavar="FILE", help="Write the report as JSON.")
@click.option("--rule", "on", multiple=True, metavar="NAME", help="Turn a rule on.")
@click.option("--no-rule", "off", multiple=True, metavar="NAME", help="Turn a rule off.")
@click.option("--rules", is_flag=True, help="List the rules with their defaults and reasons, and stop.")
@click.option("--all", "all_rules", is_flag=True, help="Show rules that found nothing, too.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
def clean(
    trace: str | None,
    *,
    format_: str | None,
    tz: str | None,
    output: str | None,
    report: str | None,
    on: tuple[str, ...],
    off: tuple[str, ...],
    rules: bool,
    all_rules: bool,
    as_json: bool,
    parsable: bool,
) -> None:
    """Find what is odd in TRACE by named rules; say per rule how many jobs it touched, with examples.

    Nothing is dropped silently: a rule that is off still counts what it found.

    \b
    Examples:
      apportion traces clean --rules
      apportion traces clean SDSC-DS --report cleaning.json
      apportion traces clean jobs.swf --no-rule no-size -o clean.parquet
    """
    from apportion.traces.clean import check_names, rules_table
    from apportion.traces.clean import clean as clean_trace

    if rules:
        table = rules_table()
        if as_json:
            print_json(table)
            return
        rows = [(r["rule"], r["action"], "on" if r["default"] else "off", r["finds"], r["why"]) for r in table]
        print_table(("RULE", "ACTION", "DEFAULT", "FINDS", "WHY"), rows, parsable=parsable)
        return
    if trace is None:
        raise click.UsageError("Missing argument 'TRACE' (or give --rules).")
    check_names((*on, *off))
    if output:
        check_output(output, trace)
    if report:
        spare(report, trace)
    cleaned, found = clean_trace(load(trace, format_, tz), switch=dict.fromkeys(on, True) | dict.fromkeys(off, False))
    if report:
        from apportion.traces.output import write_text

        write_text(report, found.dumps() + "\n")
        tell(f"{report}: report of {len(found.outcomes)} rules")
    if output:
        save(cleaned, output)
    if as_json:
        click.echo(found.dumps())
        return
    shown = [outcome for outcome in found.outcomes if outcome.jobs or all_rules]
    rows = [
        (o.rule.name, o.rule.action if o.on else f"off ({o.rule.action})", f"{o.jobs:,}", o.rule.finds, _example(o))
        for o in shown
    ]
    title = f"{found.trace}: {counted(found.jobs_before, 'job')} read, {found.jobs_after:,} kept"
    print_table(
        ("RULE", "ACTION", "JOBS", "FINDS", "DETAIL OR FIRST EXAMPLE"),
        rows,
        right=("JOBS",),
        title=title,
        parsable=parsable,
    )


def _example(outcome: Any) -> str:
    if outcome.detail or not outcome.examples:
        return str(outcome.detail)
    first = outcome.examples[0]
    was = ", ".join(f"{key} {value}" for key, value in first.before.items())
    now = ", ".join(f"{key} {value}" for key, value in first.after.items() if value != first.before.get(key))
    return f"job {first.job_id}: {was}" + (f", now {now}" if now else "")


@traces.command(short_help="Describe a trace in numbers and plots.")
@click.argument("trace")
@reading
@click.option("--html", type=click.Path(), metavar="FILE", help="Write the plots as one self-contained page.")
@click.option("--raw", is_flag=True, help="Describe the trace as read, without cleaning.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def stats(trace: str, *, format_: str | None, tz: str | None, html: str | None, raw: bool, as_json: bool) -> None:
    """Describe TRACE: arrivals, sizes, lengths, estimates, users, offered load and its cycles.

    \b
    Examples:
      apportion traces stats KTH
      apportion traces stats HPC2N --html hpc2n.html
      apportion traces stats jobs.parquet --json
    """
    from apportion.traces.catalog import by_sha256, with_machine
    from apportion.traces.clean import clean as clean_trace
    from apportion.traces.stats import describe

    if html:
        spare(html, trace)
    read = with_machine(load(trace, format_, tz))
    entry = by_sha256(read.meta.sha256)
    if not raw:
        read, _ = clean_trace(read)
    figures = describe(read)
    if html:
        from apportion.traces.output import write_text
        from apportion.traces.stats_page import page

        thanks = f"Thanks to {entry.acknowledge}. {entry.licence}. {entry.page}" if entry else ""
        write_text(html, page(read, figures, acknowledge=thanks))
        tell(f"{html}: statistics of {counted(len(read), 'job')}")
    if as_json:
        print_json(figures)
        return
    if not html:
        print_table(("", ""), _flat(figures), title=read.meta.name)


def _flat(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay nested figures out in lines; grids and lists of limits and users stay in the JSON and the page."""
    rows = []
    for key, value in figures.items():
        if isinstance(value, dict):
            inside = [f"{k} {v:,}" if isinstance(v, int | float) else f"{k} {v}" for k, v in value.items() if _short(v)]
            rows.append((key, ", ".join(inside)))
        elif value is not None:
            rows.append((key, f"{value:,}" if isinstance(value, int) else str(value)))
    return rows


def _short(value: Any) -> bool:
    return value is not None and not isinstance(value, list | dict)
