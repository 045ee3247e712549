"""The jobs of a run as the scheduler was told them, kept in its folder: from them the run can be replayed without its traces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import RunError
from apportion.policy.workload import Labels, Submissions
from apportion.sim.failures import Timetable
from apportion.sim.releases import Precedence
from apportion.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from apportion.core.tables import Ints

JOBS: Final = "workload.parquet"
EDGES: Final = "precedence.parquet"
FAILURES: Final = "failures.parquet"
COLUMNS: Final = ("time_ms", "what", "place", "procs", "position")
LABELS: Final = ("user", "account", "group", "qos", "queue", "partition")


def write_workload(parts: Sequence[Workload], folder: Path) -> None:
    """Write the workloads of all centers of a run, in order: ``workload.parquet``, and ``precedence.parquet`` where jobs follow others."""
    names = {name: tuple(dict.fromkeys(n for part in parts for n in getattr(part.jobs, name).names)) for name in LABELS}
    tables = [_table(part, k, names) for k, part in enumerate(parts)]
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    table.attrs = {"parts": json.dumps([_facts(part) for part in parts])}
    table.to_parquet(folder / JOBS, index=False, compression="zstd")
    edges = [
        pd.DataFrame({"part": k, "before": p.before, "after": p.after, "delay_ms": p.delay_ms})
        for k, p in ((k, part.precedence) for k, part in enumerate(parts))
        if p is not None
    ]
    if edges:
        pd.concat(edges, ignore_index=True).to_parquet(folder / EDGES, index=False, compression="zstd")


def _facts(part: Workload) -> dict[str, Any]:
    gates = None if part.precedence is None else part.precedence.n_gates
    return {"origin_ms": part.jobs.origin_ms, "capacity": part.jobs.capacity, "gates": gates}


def _table(part: Workload, number: int, names: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    jobs = part.jobs
    columns: dict[str, Any] = {
        "part": np.full(len(part), number, np.int16),
        "row": part.row,
        "job_id": part.trace.jobs["job_id"].to_numpy()[part.row],
        "submit_ms": jobs.submit_ms,
        "run_ms": part.run_ms,
        "limit_ms": jobs.limit_ms,
        "cancel_ms": part.cancel_ms,
        "procs": jobs.procs,
        "killed": part.killed,
        "status": part.status,
    }
    for name in LABELS:
        labels: Labels = getattr(jobs, name)
        text = np.array([*labels.names, None], object)[labels.codes]
        columns[name] = pd.Categorical(
            text, categories=list(names[name])
        )  # in the order of the names, as the codes are
    columns |= {f"tres:{name}": column for name, column in jobs.resources.items()}
    if jobs.critical_path_ms is not None:
        columns["critical_path_ms"] = jobs.critical_path_ms
    if part.precedence is not None:
        columns["not_before_ms"] = part.precedence.not_before_ms
        columns["is_held"] = part.precedence.is_held
    return pd.DataFrame(columns)


def read_workload(folder: Path) -> list[Workload]:
    """Read what `write_workload` wrote; the trace of a workload is not among it.

    Raises
    ------
    RunError
        If the folder has no such file, or one that is damaged.
    """
    try:
        table = pd.read_parquet(folder / JOBS)
        facts = json.loads(table.attrs["parts"])
        edges = pd.read_parquet(folder / EDGES) if (folder / EDGES).is_file() else None
        return [
            _part(
                table[table["part"] == k].reset_index(drop=True),
                fact,
                None if edges is None else edges[edges["part"] == k],
            )
            for k, fact in enumerate(facts)
        ]
    except FileNotFoundError:
        raise RunError(f"{JOBS} is missing", "replay the trace anew with this version", path=folder) from None
    except (OSError, KeyError, ValueError):
        raise RunError("cannot be read", "replay the trace anew", path=folder / JOBS) from None


def write_failures(failures: Timetable, folder: Path) -> None:
    """Write ``failures.parquet``: what failed, by time."""
    pd.DataFrame({name: getattr(failures, name) for name in COLUMNS}).to_parquet(folder / FAILURES, index=False)


def read_failures(folder: Path) -> Timetable | None:
    """Read what `write_failures` wrote; None where nothing fails."""
    path = folder / FAILURES
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    return Timetable(*(table[name].to_numpy().astype(np.int64) for name in COLUMNS))


def read_ids(folder: Path) -> Any:
    """Ids of the jobs in their traces, in the order of the workload."""
    return pd.read_parquet(folder / JOBS, columns=["job_id"])["job_id"].to_numpy()


def _part(table: pd.DataFrame, facts: dict[str, Any], edges: pd.DataFrame | None) -> Workload:
    def column(name: str) -> Ints:
        return np.ascontiguousarray(table[name].to_numpy(), dtype=np.int64)

    known = [str(name) for name in table if table[name].notna().all()]  # other parts may have more
    labels = {}
    for name in LABELS:
        found = table[name].astype("category").cat.remove_unused_categories().cat
        labels[name] = Labels(found.codes.to_numpy().astype(np.int64), tuple(found.categories.tolist()))
    precedence = None
    if facts["gates"] is not None and edges is not None:
        before, after, delay_ms = (edges[name].to_numpy().astype(np.int64) for name in ("before", "after", "delay_ms"))
        precedence = Precedence(
            before, after, delay_ms, int(facts["gates"]), column("not_before_ms"), table["is_held"].to_numpy(bool)
        )
    jobs = Submissions(
        submit_ms=column("submit_ms"),
        limit_ms=column("limit_ms"),
        procs=column("procs"),
        **labels,
        origin_ms=int(facts["origin_ms"]),
        capacity=dict(facts["capacity"]),
        resources={name[5:]: column(name) for name in known if name.startswith("tres:")},
        critical_path_ms=column("critical_path_ms") if "critical_path_ms" in known else None,
    )
    nothing: Any = None  # of the trace, only the jobs are kept
    return Workload(
        jobs=jobs,
        run_ms=column("run_ms"),
        cancel_ms=column("cancel_ms"),
        killed=table["killed"].to_numpy(bool),
        status=table["status"].to_numpy(np.int8),
        row=column("row"),
        trace=nothing,
        capacity_from="run folder",
        precedence=precedence,
    )
