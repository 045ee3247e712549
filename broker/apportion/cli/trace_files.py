"""What all ``apportion traces`` commands share: how a trace is named, read and written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apportion.core.errors import TraceError
from apportion.core.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from apportion.traces.schema import Trace

FORMATS = ("swf", "gwf", "sacct", "sacct-json", "pbs", "alcf", "philly", "parquet")
SUFFIXES = (".parquet", ".swf", ".swf.gz")


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--format`` and ``--tz``."""
    with_tz = click.option("--tz", metavar="ZONE", help="Time zone of local times without one, such as Europe/Paris.")
    return click.option(
        "--format", "format_", type=click.Choice(FORMATS), help="Format of the file [default: told from its content]."
    )(with_tz(command))


def writing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-o/--output``."""
    return click.option(
        "-o", "--output", required=True, type=click.Path(), help="File to write: .parquet, .swf or .swf.gz."
    )(command)


def tell(line: str) -> None:
    """Say something beside the output."""
    click.echo(line, err=True)


def load(name: str, format_: str | None = None, tz: str | None = None) -> Trace:
    """Find a trace by path or catalog name, and read it."""
    from apportion.traces import read
    from apportion.traces.catalog import locate

    return read(locate(name, say=tell), format_, tz=tz)


def save(trace: Trace, output: str) -> None:
    """Write a trace in the format that the name asks for, and say what was written."""
    from apportion.traces import write_parquet, write_swf

    check_output(output)
    if output.endswith(".parquet"):
        write_parquet(trace, output)
    elif output.endswith(".swf"):
        write_swf(trace, output)
    else:
        _write_gzipped(trace, output)
    tell(f"{output}: {counted(len(trace), 'job')}")
    if not output.endswith(".parquet"):
        from apportion.traces.swf_writer import without_place

        if lost := without_place(trace):
            tell(f"SWF has no place for {', '.join(lost)}; write .parquet to keep all")


def check_output(output: str, *sources: str) -> None:
    """Refuse a file name of no known format, or that of a trace which is read, before any work is done."""
    spare(output, *sources)
    if not output.endswith(SUFFIXES):
        raise TraceError("has no format that can be written", f"end the name in {', '.join(SUFFIXES)}", path=output)
    folder = Path(output).parent
    if not folder.is_dir():
        raise TraceError("there is no such folder", "make it, or choose another", path=folder)


def spare(output: str, *sources: str) -> None:
    """Refuse to write over a trace that is read: no command changes its input."""
    if Path(output).exists() and any(Path(name).exists() and Path(name).samefile(output) for name in sources):
        raise TraceError("is a trace that is read here, and stays as it is", "write another file", path=output)


def _write_gzipped(trace: Trace, output: str) -> None:
    import gzip
    import shutil

    from apportion.traces import write_swf

    target = Path(output)
    plain = target.with_name(f".{target.name}.{os.getpid()}.swf")
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            write_swf(trace, plain)
        except TraceError as error:
            raise TraceError(error.problem, error.remedy, path=target) from None
        with (
            plain.open("rb") as text,
            aside.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(text, packed)
        aside.replace(target)
    finally:
        for left in (plain, aside):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
