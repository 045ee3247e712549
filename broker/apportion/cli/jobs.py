"""``apportion jobs``: the jobs of a run, in the looks of sacct."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apportion.cli.options import print_json, print_plain, split_list

if TYPE_CHECKING:
    from datetime import tzinfo

    import pandas as pd

    from apportion.metrics.run import Run

# sacct's name of a field, the column it shows, and how: as it is, as a moment or as a length of time.
FIELDS = {
    "JobID": ("job_id", ""),
    "User": ("user", ""),
    "Account": ("account", ""),
    "QOS": ("qos", ""),
    "Cluster": ("center", ""),
    "Partition": ("partition", ""),
    "AllocCPUS": ("alloc_cpus", ""),
    "NCPUS": ("procs", ""),
    "NodeList": ("node_list", ""),
    "NNodes": ("nodes", ""),
    "NGPUS": ("gpus", ""),
    "ReqMem": ("mem_mib", ""),
    "Submit": ("submit_s", "moment"),
    "Start": ("start_s", "moment"),
    "End": ("end_s", "moment"),
    "Planned": ("wait_s", "length"),
    "Elapsed": ("run_s", "length"),
    "Timelimit": ("limit_s", "length"),
    "State": ("state", ""),
    "Reason": ("reasons", ""),
    "Backfilled": ("backfilled", ""),
}
DEFAULT = "JobID,User,Account,Partition,NCPUS,Submit,Planned,Elapsed,State"
RIGHT = frozenset({"AllocCPUS", "NCPUS", "NNodes", "NGPUS", "ReqMem", "Planned", "Elapsed", "Timelimit"})


@click.command(short_help="List the jobs of a run, as sacct does.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-j", "--jobs", multiple=True, callback=split_list, help="Job ids, comma-separated.")
@click.option("-u", "--user", multiple=True, callback=split_list, help="Users.")
@click.option("-A", "--account", multiple=True, callback=split_list, help="Accounts.")
@click.option("-q", "--qos", multiple=True, callback=split_list, help="QOS.")
@click.option("-p", "--partition", multiple=True, callback=split_list, help="Partitions.")
@click.option("-M", "--clusters", multiple=True, callback=split_list, help="Centers.")
@click.option(
    "-s", "--state", multiple=True, callback=split_list, help="States, such as TIMEOUT, in any case of letters."
)
@click.option("-o", "--format", "fields", default=DEFAULT, show_default=True, help=f"Fields: {', '.join(FIELDS)}.")
@click.option("-n", "--noheader", is_flag=True, help="Leave the header line out.")
@click.option("-P", "--parsable", is_flag=True, help="Put | between the fields.")
@click.option("--json", "as_json", is_flag=True, help="Print all columns as JSON, times in seconds.")
def jobs(
    run: Path,
    *,
    jobs: tuple[str, ...],
    clusters: tuple[str, ...],
    fields: str,
    state: tuple[str, ...],
    noheader: bool,
    parsable: bool,
    as_json: bool,
    **wanted: tuple[str, ...],
) -> None:
    """List the jobs of RUN, a folder that `apportion replay` wrote; dates are in the trace's time zone.

    \b
    Examples:
      apportion jobs runs/KTH-SP2-1996-easy -u 17,42
      apportion jobs runs/KTH-SP2-1996-easy -s TIMEOUT -o JobID,User,Elapsed,Timelimit
      apportion jobs runs/KTH-SP2-1996-easy -P > jobs.txt
    """
    from apportion.metrics.run import load_run

    chosen = _fields(fields)
    loaded = load_run(run)
    table = _having(
        loaded.jobs, {"job_id": jobs, "center": clusters, **wanted, "state": tuple(word.upper() for word in state)}, run
    )
    if as_json:
        print_json(table.astype(object).where(table.notna(), None).to_dict("records"))
        return
    columns = [_texts(loaded, table, *FIELDS[name]) for name in chosen]
    print_plain(chosen, zip(*columns, strict=True), right=RIGHT, parsable=parsable, header=not noheader)


def _fields(text: str) -> list[str]:
    """Names of fields in any case of letters; a width behind % is left out, since columns fit what they hold."""
    known = {name.lower(): name for name in FIELDS}
    chosen = []
    for word in text.split(","):
        name = word.strip().split("%")[0].lower()
        if name not in known:
            raise click.BadParameter(f"'{word}' is no field; take from {', '.join(FIELDS)}", param_hint="'-o'")
        chosen.append(known[name])
    return chosen


def _having(table: pd.DataFrame, wanted: dict[str, tuple[str, ...]], run: Path) -> pd.DataFrame:
    """Keep the rows whose labels are among those wanted; a label that no job of the run has is a mistake."""
    from apportion.core.errors import RunError

    kept = table
    for column, labels in wanted.items():
        if not labels:
            continue
        known = set(table[column].astype(str))
        for label in labels:
            if label not in known:
                what = f"there is no job '{label}'" if column == "job_id" else f"no job has the {column} '{label}'"
                raise RunError(what, "leave it out", path=run)
        kept = kept[kept[column].astype(str).isin(labels)]
    return kept


def _texts(run: Run, table: pd.DataFrame, column: str, kind: str) -> list[str]:
    """One column as text, in Slurm's notations; empty where the run does not know it."""
    from apportion.core.units import format_duration

    if column not in table:
        return [""] * len(table)
    values = table[column]
    if not kind:
        return values.astype(str).tolist()
    if kind == "moment":
        from apportion.metrics.report.clock import Clock

        clock = Clock(run)
        if clock.origin_ms is not None:
            return _dates(values, clock.origin_ms, clock.zone)
    return ["" if s != s else format_duration(round(s * 1000)) for s in values.tolist()]  # noqa: PLR0124  (NaN)


def _dates(seconds: pd.Series[Any], origin_ms: int, zone: tzinfo) -> list[str]:
    import pandas as pd

    known = seconds.notna()
    stamps = pd.to_datetime((seconds[known] * 1000).round().astype("int64") + origin_ms, unit="ms", utc=True)
    texts = pd.Series("Unknown", index=seconds.index, dtype=object)
    texts[known] = stamps.dt.tz_convert(zone).dt.strftime("%Y-%m-%dT%H:%M:%S")
    return [str(text) for text in texts]
