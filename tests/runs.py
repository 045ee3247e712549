"""Minimal run folders for tests of what reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from apportion.metrics.run import Run

TEXT = ("user", "account", "qos", "center", "partition", "state", "reasons")


def make_run(jobs: pd.DataFrame, procs: int = 100, **manifest: Any) -> Run:
    """Make a run in memory; columns and manifest keys that are not given get plain values.

    ``jobs`` needs ``submit_s``, ``start_s`` and ``run_s``.
    """
    table = pd.DataFrame(jobs).reset_index(drop=True)
    n = len(table)
    end = table["start_s"] + table["run_s"]
    wanted: dict[str, Any] = {
        "job_id": np.arange(1, n + 1),
        "user": "u1",
        "account": "a1",
        "qos": "normal",
        "center": "c1",
        "partition": "p1",
        "procs": 1,
        "submit_s": 0.0,
        "start_s": np.nan,
        "end_s": end,
        "run_s": np.nan,
        "limit_s": table["run_s"],
        "wait_s": table["start_s"] - table["submit_s"],
        "state": np.where(table["start_s"].isna(), "PENDING", "COMPLETED"),
        "restarts": 0,
        "backfilled": False,
        "planned_start_s": np.nan,
        "reasons": "",
    }
    full = pd.DataFrame({name: table.get(name, value) for name, value in wanted.items()}, index=range(n))
    full = full.astype({name: "float64" for name in full if name.endswith("_s")} | {"procs": "int64"})
    full = full.astype(dict.fromkeys(TEXT, "category"))
    first = float(full["submit_s"].min()) if n else 0.0
    last = float(np.nanmax([full["end_s"].max(), full["submit_s"].max(), first])) if n else 0.0
    defaults: dict[str, Any] = {
        "apportion": "0",
        "trace": {"name": "made", "sha256": "0" * 64, "jobs": n},
        "policy_name": "fcfs",
        "engine": "compiled",
        "seed": None,
        "origin_ms": None,
        "capacity_steps": [[first, "all", procs]],
        "measure_window_s": [first, last],
        "shares": {},
        "user_shares": {},
    }
    return Run(full, defaults | manifest, Path("made"))


def write_run(folder: Path, jobs: pd.DataFrame, procs: int = 100, **manifest: Any) -> Path:
    """Write ``jobs.parquet`` and ``manifest.json`` of such a run."""
    run = make_run(jobs, procs, **manifest)
    folder.mkdir(parents=True, exist_ok=True)
    run.jobs.to_parquet(folder / "jobs.parquet")
    (folder / "manifest.json").write_text(json.dumps(run.manifest))
    return folder


def oracle_run(folder: Path, schedule: Path, procs: int = 100) -> Path:
    """Turn a schedule that is known to be right (job_id, submit, start, end, procs) into a run folder."""
    table = pd.read_csv(schedule)
    jobs = pd.DataFrame(
        {
            "job_id": table["job_id"],
            "submit_s": table["submit"].astype(float),
            "start_s": table["start"].astype(float),
            "run_s": (table["end"] - table["start"]).astype(float),
            "procs": table["procs"],
        }
    )
    return write_run(folder, jobs, procs)
