"""What a federation did to each of its centers: from the run folder with the broker and the one with every job at home."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import RunError
from apportion.metrics.fairness import targets
from apportion.metrics.occupancy import binned, sweep
from apportion.metrics.run import Run, load_run
from apportion.metrics.service import bounded_slowdown
from apportion.metrics.utilization import utilization

if TYPE_CHECKING:
    from numpy.typing import NDArray

BASELINE: Final = "home-only"
HOUR_S: Final = 3600.0


def baseline_of(run: Run) -> Run | None:
    """The run without a broker that lies in the folder of a federation's run."""
    folder = run.folder / BASELINE
    return load_run(folder) if folder.is_dir() else None


def center_names(run: Run) -> list[str]:
    """Centers in the order of the scenario.

    Raises
    ------
    RunError
        If it is not the run of a federation.
    """
    known = run.manifest.get("federation")
    if not isinstance(known, dict):
        raise RunError(
            "not the run of a federation", "give a folder that `apportion replay --scenario` wrote", path=run.folder
        )
    return [str(entry["name"]) for entry in known["centers"]]


def at_center(run: Run, center: str) -> Run:
    """The part of a run that took place at one center, as a run of its own."""
    steps = [row for row in run.manifest.get("capacity_steps") or [] if _is_of(str(row[1]), center)]
    manifest = {**run.manifest, "capacity_steps": steps, "measure_window_s": list(run.window_s)}
    jobs = run.jobs[(run.jobs["center"] == center).to_numpy()].reset_index(drop=True)
    return replace(run, jobs=jobs, manifest=manifest)


def _is_of(pool: str, center: str) -> bool:
    return pool == center or pool.startswith(f"{center}/")


def centers(run: Run) -> pd.DataFrame:
    """One row a center.

    Columns: ``center``; ``mode``; ``procs``; ``own_jobs`` (submitted there); ``moved_out``, ``moved_in`` (jobs); ``core_h_out``,
    ``core_h_in``; ``wait_s``, ``slowdown`` (means over the jobs that its own users submitted, wherever they ran; bounded slowdown with
    10 s); ``used_fraction`` (of what was available there); ``energy_kwh``, ``cost``, ``carbon_kg`` (of what ran there).
    """
    facts = {str(entry["name"]): entry for entry in run.manifest["federation"]["centers"]}
    carbon = {str(entry["Center"]): entry.get("Carbon", 0.0) for entry in run.manifest["scenario"]["centers"]}
    home, center = (run.jobs[name].astype(str).to_numpy() for name in ("home", "center"))
    slowdown = bounded_slowdown(run.wait_s, run.run_s)
    rows = []
    for name in center_names(run):
        mine = (home == name) & run.started & run.is_measured
        out = run.started & (home == name) & (center != name)
        into = run.started & (home != name) & (center == name)
        here = run.started & (center == name)
        part = at_center(run, name)
        energy_kwh = run.jobs["energy_j"].to_numpy()[here].sum() / 3.6e6
        rows.append(
            {
                "center": name,
                "mode": facts[name]["mode"],
                "procs": facts[name]["procs"],
                "own_jobs": int((home == name).sum()),
                "moved_out": int(out.sum()),
                "moved_in": int(into.sum()),
                "core_h_out": run.core_s[out].sum() / HOUR_S,
                "core_h_in": run.core_s[into].sum() / HOUR_S,
                "wait_s": _mean(run.wait_s[mine]),
                "slowdown": _mean(slowdown[mine]),
                "used_fraction": utilization(part, sweep(part))["used_fraction"],
                "energy_kwh": energy_kwh,
                "cost": run.jobs["cost"].to_numpy()[here].sum(),
                "carbon_kg": energy_kwh * float(np.mean(carbon[name])) / 1000.0,
            }
        )
    return pd.DataFrame(rows)


def _mean(values: NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def flows(run: Run) -> pd.DataFrame:
    """Work that ran away from home: ``home``, ``center``, ``jobs``, ``core_h``; one row for each pair that has any."""
    moved = run.jobs["moved"].to_numpy(dtype=bool) & run.started
    table = pd.DataFrame(
        {
            "home": run.jobs["home"].astype(str).to_numpy()[moved],
            "center": run.jobs["center"].astype(str).to_numpy()[moved],
            "core_h": run.core_s[moved] / HOUR_S,
        }
    )
    grouped = table.groupby(["home", "center"], sort=True)["core_h"]
    return grouped.agg(jobs="size", core_h="sum").reset_index()


def received(run: Run) -> pd.DataFrame:
    """Share received against target, by the center where jobs were submitted.

    One row a center: ``home``; ``target`` (share of the whole that its accounts are due by the broker's tree; NaN without targets);
    ``all`` and one column for each center: the part of the core-hours used in all, or there, within the measure window that was its
    users' (0 where nothing was used).
    """
    names = center_names(run)
    code = {name: k for k, name in enumerate(names)}
    home, here = (np.array([code[name] for name in run.labels(column)], np.int64) for column in ("home", "center"))
    pair = home * len(names) + here
    edges = np.array(run.window_s)
    used = binned(pair, len(names) ** 2, run.start_s, run.stop_s, run.procs, edges).reshape(len(names), len(names))
    columns = {"all": used.sum(axis=1), **{name: used[:, k] for k, name in enumerate(names)}}
    due = targets(run, "account")
    return pd.DataFrame(
        {
            "home": names,
            "target": [np.nan if due is None else sum(due[a] for a in due if _is_of(a, name)) for name in names],
            **{name: column / column.sum() if column.sum() > 0 else column for name, column in columns.items()},
        }
    )


def balance(run: Run, bins: int = 600) -> pd.DataFrame:
    """Work done for others less work done by others, so far: ``t_s`` and one column a center, core-hours; above 0 it has lent more."""
    names = center_names(run)
    code = {name: k for k, name in enumerate(names)}
    moved = run.jobs["moved"].to_numpy(dtype=bool) & run.started
    home, here = (
        np.array([code[name] for name in run.jobs[column].astype(str).to_numpy()[moved]], np.int64)
        for column in ("home", "center")
    )
    edges = np.linspace(*run.window_s, bins + 1)
    begin, end, procs = run.start_s[moved], run.stop_s[moved], run.procs[moved].astype(np.float64)
    lent = binned(here, len(names), begin, end, procs, edges)
    borrowed = binned(home, len(names), begin, end, procs, edges)
    so_far = np.cumsum(lent - borrowed, axis=1) / HOUR_S
    return pd.DataFrame({"t_s": edges[1:], **{name: so_far[k] for k, name in enumerate(names)}})


def transfers(run: Run) -> pd.DataFrame:
    """Datasets that were copied: ``dataset``, ``source``, ``center``, ``bytes``, ``begin_s``, ``end_s``, ``jobs`` (that waited for it)."""
    path = run.folder / "transfers.parquet"
    columns = ["dataset", "source", "center", "bytes", "begin_s", "end_s", "jobs"]
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=columns)


def predictions(run: Run) -> pd.DataFrame:
    """How near the broker's expected starts came, by center: ``jobs``, ``median_error_s``, ``p90_error_s`` (absolute), ``late_fraction``."""
    known = run.started & ~np.isnan(run.seconds("predicted_start_s"))
    error = (run.start_s - run.seconds("predicted_start_s"))[known]
    table = pd.DataFrame({"center": run.jobs["center"].astype(str).to_numpy()[known], "error": error})
    rows = [
        {
            "center": name,
            "jobs": len(mine),
            "median_error_s": float(mine["error"].abs().median()),
            "p90_error_s": float(mine["error"].abs().quantile(0.9)),
            "late_fraction": float((mine["error"] > 60).mean()),
        }
        for name, mine in table.groupby("center", sort=True)
    ]
    return pd.DataFrame(rows, columns=["center", "jobs", "median_error_s", "p90_error_s", "late_fraction"])


def refusals(run: Run) -> pd.DataFrame:
    """How often each center was out of the question, and why: ``center``, ``refused``, ``decisions``."""
    path = run.folder / "placements.parquet"
    if not path.is_file():
        return pd.DataFrame(columns=["center", "refused", "decisions"])
    table = pd.read_parquet(path)
    if "refused" not in table:
        return pd.DataFrame(columns=["center", "refused", "decisions"])
    said = table[table["refused"].astype(str) != ""]
    counted = said.groupby([said["center"].astype(str), said["refused"].astype(str)])["decision"].nunique()
    return counted.rename("decisions").reset_index()
