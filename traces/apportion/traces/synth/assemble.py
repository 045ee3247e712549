"""What all synthetic workloads share: seeds, checks of arguments, and a `Trace` with an honest header."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.schema import Status, Trace, TraceMeta

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SECOND_MS = 1000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def generators(seed: int, count: int) -> list[np.random.Generator]:
    """Split one seed into ``count`` independent generators.

    Each part of a workload has its own, so that changing one part (the number of users, say) leaves the others as
    they were.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise TraceError(f"the seed must be a whole number that is not negative, not {seed!r}")
    return [np.random.default_rng(child) for child in np.random.SeedSequence(int(seed)).spawn(count)]


def require(condition: bool, problem: str) -> None:
    """Raise `TraceError` with ``problem`` unless ``condition`` holds."""
    if not condition:
        raise TraceError(problem)


def origin_of(start: str) -> int:
    """Milliseconds since the epoch of an ISO date or date-time; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise TraceError(f"start {start!r} is not a date", "write it as 2024-01-01 or 2024-01-01T08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND_MS


def labels(codes: NDArray[Any], prefix: str, count: int) -> pd.Categorical:
    """Name the codes 0 to ``count`` - 1 (-1 missing) u001, u002, ... in a category without unused names."""
    width = len(str(count))
    used = np.bincount(codes[codes >= 0], minlength=count) > 0
    names = [f"{prefix}{number + 1:0{width}d}" for number in np.flatnonzero(used).tolist()]
    if not used.all():
        codes = np.append(np.cumsum(used) - 1, -1)[codes]
    return pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object))


def assemble(
    name: str,
    columns: dict[str, Any],
    *,
    procs: int,
    origin_ms: int | None,
    source: str,
    parameters: dict[str, Any],
    timezone: str = "UTC",
) -> Trace:
    """Build the trace of a synthetic workload.

    Parameters
    ----------
    name : str
        Name of the trace.
    columns : dict of str to array
        Columns of the schema except ``job_id``, in submit order; ``status`` is COMPLETED where it is not given.
    procs : int
        Size of the machine; -1 where it is not known.
    origin_ms : int or None
        Epoch milliseconds at which ``submit_ms`` is 0.
    source : str
        Where the model comes from, for the header.
    parameters : dict
        Every argument that shaped the trace, the seed among them.
    timezone : str
        IANA name.
    """
    submit_ms = columns["submit_ms"]
    n_jobs = len(submit_ms)
    table = {"job_id": np.arange(1, n_jobs + 1, dtype=np.int64), **columns}
    table.setdefault("status", np.full(n_jobs, Status.COMPLETED, dtype=np.int8))
    how = json.dumps(parameters, sort_keys=True)
    header = [
        "; Version: 2.2",
        f"; Computer: synthetic, {counted(procs, 'processor')}" if procs > 0 else "; Computer: synthetic",
        f"; Information: {source}",
        f"; MaxJobs: {n_jobs}",
        f"; MaxRecords: {n_jobs}",
    ]
    if procs > 0:
        header.append(f"; MaxProcs: {procs}")
    if origin_ms is not None:
        first, last = (int(origin_ms + submit_ms[at]) // SECOND_MS for at in (0, -1))
        header.append(f"; UnixStartTime: {origin_ms // SECOND_MS}")
        header.append(f"; TimeZoneString: {timezone or 'UTC'}")
        header.extend(
            f"; {key}: {datetime.fromtimestamp(moment, UTC):%a %b %d %H:%M:%S UTC %Y}"
            for key, moment in (("StartTime", first), ("EndTime", last))
        )
    header.append(f"; Note: synthetic workload; parameters {how}")
    meta = TraceMeta(
        name=name,
        format="synthetic",
        origin_ms=origin_ms,
        timezone=timezone,
        max_procs=procs,
        header=tuple(header),
        notes=(f"synthetic: {source}", f"parameters: {how}"),
    )
    return Trace(pd.DataFrame(table, copy=False), meta)
