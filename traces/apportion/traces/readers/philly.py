"""Reader of the Philly GPU cluster's jobs as a comma-separated table.

Columns: timestamp (local time without a zone), duration (s), num_gpus, gpu_time (which follows from these), cluster
(the virtual cluster). The table has no ids, users or waits: jobs are numbered by row, from 1. A virtual cluster is a
team's share of the machine, so it is the ``account`` as well as the ``queue``. GPUs are counted as processors too.

References
----------
Jeon et al., "Analysis of large-scale multi-tenant GPU clusters for DNN training workloads", USENIX ATC 2019.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import TraceError
from apportion.traces.files import stem
from apportion.traces.readers.local_times import Clock
from apportion.traces.schema import Trace, TraceMeta
from apportion.traces.texts import csv_names, first_line, read_table

_NEEDED: Final = ("timestamp", "duration", "num_gpus")


def read(path: str, *, tz: str | None = None) -> Trace:
    """Read a Philly job table.

    Parameters
    ----------
    path : str
    tz : str, optional
        Zone of its times; UTC by default.

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    clock = Clock(path, tz)
    header = csv_names(first_line(path))
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise TraceError(f"the header line has no {lacking[0]}", "is this a Philly job table?", path=path, line=1)
    table = read_table(path, header, separator=",", quote='"', skip_lines=1)
    gpus = table.numbers("num_gpus")
    jobs: dict[str, Any] = {
        "job_id": np.arange(1, len(table) + 1, dtype=np.int64),
        "submit_ms": clock.read(table, "timestamp"),
        "run_ms": table.times("duration"),
        "procs_used": gpus,
        "procs_req": gpus,
        "gpus_used": gpus,
        "gpus_req": gpus,
    }
    if "cluster" in table:
        jobs["queue"] = jobs["account"] = table["cluster"].category()
    meta = TraceMeta(
        name=stem(path),
        format="philly",
        path=path,
        sha256=table.sha256,
        origin_ms=0,
        timezone=tz or "",
        notes=("jobs have no ids and are numbered by row; GPUs are counted as processors", *clock.notes()),
    )
    return Trace(pd.DataFrame(jobs, copy=False), meta)
