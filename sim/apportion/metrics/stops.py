"""What jobs lost that were stopped before their end: where nodes fail, or jobs preempt others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

if TYPE_CHECKING:
    from apportion.metrics.run import Run

CORE_H_S: Final = 3600.0
AMOUNTS: Final = ("occupied_core_h", "lost_core_h", "refunded_core_h")


def measured_stops(run: Run) -> pd.DataFrame | None:
    """Stops within the measure window, from ``preemptions.parquet``, with core-hours; None where nothing could stop a job."""
    path = run.folder / "preemptions.parquet"
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    begin, end = run.window_s
    table = table[(table["time_s"] >= begin) & (table["time_s"] <= end)]
    procs = run.jobs.set_index("job_id")["procs"].reindex(table["job_id"]).to_numpy()
    return table.assign(
        occupied_core_h=(table["time_s"] - table["start_s"]) * procs / CORE_H_S,
        lost_core_h=table["lost_core_s"] / CORE_H_S,
        refunded_core_h=table["refunded_core_s"] / CORE_H_S,
    )


def stops(run: Run) -> dict[str, Any] | None:
    """Sums over `measured_stops`."""
    table = measured_stops(run)
    if table is None:
        return None
    by_failure = table["mode"] == "NODE_FAIL"
    return {
        "failed_jobs": int(by_failure.sum()),
        "preempted_jobs": int((~by_failure).sum()),
        **{name: float(table[name].sum()) for name in AMOUNTS},
    }


def stops_by_kind(run: Run) -> pd.DataFrame:
    """`measured_stops` by ``center`` (in a federation) and ``mode``: ``stops``, ``occupied_core_h``, ``lost_core_h``, ``refunded_core_h``."""
    table = measured_stops(run)
    if table is None:
        return pd.DataFrame()
    kinds = [name for name in ("center", "mode", "reason") if name in table.columns]
    named = table.astype(dict.fromkeys(kinds, str)).assign(stops=1)
    return named.groupby(kinds, sort=True)[["stops", *AMOUNTS]].sum().reset_index()
