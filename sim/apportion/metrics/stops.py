"""What jobs lost that were stopped before their end: where nodes fail, or jobs preempt others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

if TYPE_CHECKING:
    from apportion.metrics.run import Run

CORE_H_S: Final = 3600.0


def stops(run: Run) -> dict[str, Any] | None:
    """Stops within the measure window, from ``preemptions.parquet``; None where nothing could stop a job."""
    path = run.folder / "preemptions.parquet"
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    begin, end = run.window_s
    table = table[(table["time_s"] >= begin) & (table["time_s"] <= end)]
    procs = run.jobs.set_index("job_id")["procs"].reindex(table["job_id"]).to_numpy()
    by_failure = table["mode"] == "NODE_FAIL"
    return {
        "failed_jobs": int(by_failure.sum()),
        "preempted_jobs": int((~by_failure).sum()),
        "occupied_core_h": float(((table["time_s"] - table["start_s"]) * procs).sum()) / CORE_H_S,
        "lost_core_h": float(table["lost_core_s"].sum()) / CORE_H_S,
        "refunded_core_h": float(table["refunded_core_s"].sum()) / CORE_H_S,
    }
