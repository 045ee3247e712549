"""Traces as Parquet: the table as it is, and what is known of it in the file's own key-value metadata."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Final

import pandas as pd

from apportion.core.errors import TraceError
from apportion.traces.files import TraceFile, reading, stem
from apportion.traces.schema import BY_NAME, REQUIRED, Trace, TraceMeta

META_KEY: Final = b"apportion.trace"


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace as Parquet (zstd). The file is written aside and renamed.

    Raises
    ------
    TraceError
        The file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    table = pa.Table.from_pandas(trace.jobs, preserve_index=False)
    meta = json.dumps(dataclasses.asdict(trace.meta)).encode()
    try:
        pq.write_table(table.replace_schema_metadata({META_KEY: meta}), aside, compression="zstd")
        aside.replace(target)
    except OSError as error:
        raise TraceError(f"cannot be written: {error.strerror or error}", "choose another place", path=target) from None
    finally:
        aside.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> Trace:
    """Read a trace from Parquet.

    Name, origin, header and the rest are those of the trace that was written; ``path`` and ``sha256`` are this file's.
    A table that something else wrote is read too, if it has the schema's columns: its times are then relative.

    Raises
    ------
    TraceError
        It is no Parquet file, is damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = os.fspath(path)
    with TraceFile(name) as file:
        sha256 = file.sha256()
    try:
        with reading(name):
            table = pq.read_table(name, partitioning=None)
    except (pa.ArrowException, TraceError) as error:
        what = str(error).splitlines()[0]
        raise TraceError(f"cannot be read as Parquet: {what}", "write it again", path=name) from None
    missing = [column for column in REQUIRED if column not in table.column_names]
    if missing:
        raise TraceError(f"has no column {missing[0]}", "see the schema of traces for its columns", path=name)
    try:
        jobs = _jobs(table)
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        what = str(error).splitlines()[0]
        raise TraceError(
            f"a column is not of the schema's kind: {what}", "see the schema of traces", path=name
        ) from None
    if len(jobs) == 0:
        raise TraceError("has no jobs", "give a trace with at least one job", path=name)
    return Trace(jobs, _meta(table.schema.metadata or {}, name, sha256))


def _jobs(table: Any) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        series = table.column(name).to_pandas()
        column = BY_NAME.get(name)
        if column is None:
            columns[name] = series
        elif column.kind == "category":
            columns[name] = series.astype("category")
        elif name == "job_id" and not pd.api.types.is_numeric_dtype(series):
            columns[name] = series.astype(object)
        elif column.kind == "object":
            columns[name] = pd.Series([tuple(item) for item in series], dtype=object)
        else:
            columns[name] = series.astype(column.kind)
    return pd.DataFrame(columns, copy=False)


def _meta(metadata: dict[bytes, bytes], path: str, sha256: str) -> TraceMeta:
    if META_KEY not in metadata:
        return TraceMeta(name=stem(path), format="parquet", path=path, sha256=sha256)
    try:
        said = json.loads(metadata[META_KEY])
        for key in ("header", "notes", "extra_columns"):
            said[key] = tuple(said[key])
        return TraceMeta(**{**said, "path": path, "sha256": sha256})
    except (ValueError, TypeError, KeyError):
        raise TraceError("its description of the trace is damaged", "write it again", path=path) from None
