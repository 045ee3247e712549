"""The same jobs in two runs of one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.core.errors import RunError
from apportion.metrics.bootstrap import block_edges, block_of

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Floats = NDArray[float64]
Ints = NDArray[int64]


class Paired(NamedTuple):
    """Jobs measured and started in both runs; row i of each array is the same job.

    ``base_rows``, ``other_rows`` : rows in the runs' tables. ``block`` : block of days of its submit in the baseline.
    ``edges_s`` : edges of the blocks.
    """

    base: Run
    other: Run
    base_rows: Ints
    other_rows: Ints
    block: Ints
    edges_s: Floats


def pair_jobs(base: Run, other: Run, block_days: float) -> tuple[Paired, int]:
    """Find the jobs that two runs have in common.

    Returns
    -------
    Paired, int
        The pairs, and how many measured jobs that started (in the run that has more) are left out of them.

    Raises
    ------
    RunError
        The runs replay different traces, or share no started job.
    """
    _refuse_other_trace(base, other)
    mine, theirs = _same_ids(base, other)
    keep = (base.is_measured & base.started)[mine] & (other.is_measured & other.started)[theirs]
    mine, theirs = mine[keep], theirs[keep]
    if not mine.size:
        raise RunError(f"shares no started job with {base.folder}", "compare runs of the same jobs", path=other.folder)
    edges = block_edges(base.window_s, block_days)
    left_out = max(int((run.is_measured & run.started).sum()) for run in (base, other)) - len(mine)
    return Paired(base, other, mine, theirs, block_of(base.submit_s[mine], edges), edges), left_out


def _same_ids(base: Run, other: Run) -> tuple[Ints, Ints]:
    """Rows of the same id in both runs; an id that a trace uses twice is paired by order of appearance."""
    ids = [run.jobs["job_id"] for run in (base, other)]
    if len(ids[0]) == len(ids[1]) and bool((ids[0].to_numpy() == ids[1].to_numpy()).all()):
        rows = np.arange(len(ids[0]), dtype=int64)
        return rows, rows
    keys = [
        pd.DataFrame(
            {"id": column.astype(object), "nth": column.groupby(column).cumcount(), "row": np.arange(len(column))}
        )
        for column in ids
    ]
    both = keys[0].merge(keys[1], on=["id", "nth"], suffixes=("_base", "_other"), sort=False)
    return both["row_base"].to_numpy(dtype=int64), both["row_other"].to_numpy(dtype=int64)


def trace_of(run: Run) -> dict[str, Any]:
    """Return what the manifest says of the trace."""
    trace = run.manifest.get("trace")
    return trace if isinstance(trace, dict) else {}


def _refuse_other_trace(base: Run, other: Run) -> None:
    """Refuse to pair runs of different traces: by the traces' hashes, or by their jobs where a run has no hash."""
    hashes = [trace_of(run).get("sha256") for run in (base, other)]
    if all(hashes):
        same = hashes[0] == hashes[1]
    else:
        ids = [run.jobs["job_id"].to_numpy() for run in (base, other)]
        same = len(ids[0]) == len(ids[1]) and bool((ids[0] == ids[1]).all())
        same = same and bool((base.submit_s == other.submit_s).all())
    if not same:
        names = [trace_of(run).get("name") or "unknown" for run in (base, other)]
        raise RunError(
            f"replays another trace ({names[1]}) than {base.folder} ({names[0]}), so jobs cannot be paired",
            "give --unpaired to compare them all the same",
            path=other.folder,
        )
