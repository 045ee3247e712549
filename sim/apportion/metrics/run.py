"""A run folder, read: the jobs as a table, the manifest, and the few derived columns that every metric needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.core.errors import RunError

if TYPE_CHECKING:
    import os

Ints = NDArray[int64]
Floats = NDArray[float64]
Bools = NDArray[np.bool_]

TIMES: Final = ("submit_s", "start_s", "end_s", "run_s", "limit_s", "wait_s")
REQUIRED: Final = ("job_id", "user", "account", "qos", "procs", *TIMES, "state")
TEXT: Final = ("user", "account", "qos", "center", "partition", "state")
NOT_QUEUED: Final = ("REJECTED", "DROPPED")  # turned away, or left out of the replay
SIZE_EDGES: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384)  # upper ends of the size classes, processors
RUN_EDGES: Final = ((60, "1 min"), (600, "10 min"), (3600, "1 h"), (14400, "4 h"), (43200, "12 h"), (86400, "1 d"))
REMEDY: Final = "give a folder that `apportion replay --out` wrote"


class Steps(NamedTuple):
    """A function of time that is constant between its steps: ``value[i]`` from ``t_s[i]`` on, 0 before the first."""

    t_s: Floats
    value: Floats


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder in memory.

    Two different populations are measured, and each metric says which it uses: *jobs* are those submitted within the
    measure window (`measured`), while the *machine* is watched over the window as a stretch of time, whoever uses it.

    Attributes
    ----------
    jobs : pandas.DataFrame
        ``jobs.parquet``, all jobs in submit order.
    manifest : dict
        ``manifest.json``.
    folder : pathlib.Path
    """

    jobs: pd.DataFrame
    manifest: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """Folder name, which is how people tell runs apart."""
        return self.folder.resolve().name

    @cached_property
    def window_s(self) -> tuple[float, float]:
        """Measure window in seconds from the trace's origin; the whole run where the manifest has none."""
        given = self.manifest.get("measure_window_s")
        if given:
            return float(given[0]), float(given[1])
        if self.jobs.empty:
            return 0.0, 0.0
        last = max(_finite_max(self.end_s), _finite_max(self.submit_s))
        return float(self.submit_s.min()), last

    @cached_property
    def horizon_s(self) -> float:
        """Last instant the run knows of: the latest end, start, submit or end of the window."""
        return max(_finite_max(self.end_s), _finite_max(self.start_s), _finite_max(self.submit_s), self.window_s[1])

    @cached_property
    def is_measured(self) -> Bools:
        """Which jobs were submitted within the measure window (both ends included)."""
        begin, end = self.window_s
        inside: Bools = (self.submit_s >= begin) & (self.submit_s <= end)
        return inside

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The jobs submitted within the measure window (both ends included)."""
        return self.jobs[self.is_measured]

    @cached_property
    def submit_s(self) -> Floats:
        """Submit times, s."""
        return self.seconds("submit_s")

    @cached_property
    def start_s(self) -> Floats:
        """Start times, s; NaN where a job never started."""
        return self.seconds("start_s")

    @cached_property
    def end_s(self) -> Floats:
        """End times, s; NaN where a job never ended."""
        return self.seconds("end_s")

    @cached_property
    def run_s(self) -> Floats:
        """Time actually run, s; NaN where unknown."""
        return self.seconds("run_s")

    @cached_property
    def wait_s(self) -> Floats:
        """Wait, s; NaN where a job never started."""
        return self.seconds("wait_s")

    @cached_property
    def procs(self) -> Floats:
        """Processors of each job, as floats ready for arithmetic."""
        return self.seconds("procs")

    @cached_property
    def started(self) -> Bools:
        """Which jobs started."""
        return ~np.isnan(self.start_s)

    @cached_property
    def stop_s(self) -> Floats:
        """When a started job gave its processors back: its end, +inf while it still runs; NaN if it never started."""
        stop: Floats = np.where(self.started & np.isnan(self.end_s), np.inf, self.end_s)
        return np.where(self.started, stop, np.nan)

    @cached_property
    def leave_s(self) -> Floats:
        """When a job left the queue.

        Its start; for a job cancelled while it waited its end (its submit where the run does not say when); for a
        rejected one its submit, as it never stood in the queue; +inf for one that still waits.
        """
        state = self.labels("state")
        gone = np.isin(state, ["CANCELLED", *NOT_QUEUED])
        leave = np.where(self.started, self.start_s, np.where(np.isnan(self.end_s), np.inf, self.end_s))
        leave = np.where(~self.started & gone & np.isinf(leave), self.submit_s, leave)
        leave = np.where(~self.started & np.isin(state, NOT_QUEUED), self.submit_s, leave)
        return np.maximum(leave, self.submit_s)

    @cached_property
    def response_s(self) -> Floats:
        """Wait plus run time, s; NaN where a job never started or its run time is unknown."""
        return self.wait_s + self.run_s

    @cached_property
    def core_s(self) -> Floats:
        """Processors times run time, core-seconds; 0 where a job never ran."""
        return np.where(self.started, self.procs * np.nan_to_num(self.run_s), 0.0)

    @cached_property
    def capacity(self) -> Steps:
        """Processors there were over time, all pools together (manifest ``capacity_steps``)."""
        return self._steps(None)

    @cached_property
    def pools(self) -> list[tuple[Bools, Steps]]:
        """Jobs and capacity of each pool.

        A pool's jobs are those whose partition, else center, bears its name. Where the names do not match, or there
        is but one pool, everything is one pool.
        """
        names = sorted({str(row[1]) for row in self.manifest.get("capacity_steps") or []})
        if len(names) > 1:
            for column in ("partition", "center"):
                if column in self.jobs.columns:
                    label = self.labels(column)
                    if len(label) and set(np.unique(label)) <= set(names):
                        return [(label == name, self._steps(name)) for name in names]
        return [(np.ones(len(self.jobs), dtype=bool), self.capacity)]

    def _steps(self, pool: str | None) -> Steps:
        now: dict[str, float] = {}
        total = 0.0
        times: list[float] = []
        values: list[float] = []
        rows = self.manifest.get("capacity_steps") or []
        for t, name, procs in sorted(rows, key=lambda row: float(row[0])):
            if pool is not None and str(name) != pool:
                continue
            total += float(procs) - now.get(str(name), 0.0)
            now[str(name)] = float(procs)
            if times and times[-1] == float(t):
                values[-1] = total
            else:
                times.append(float(t))
                values.append(total)
        return Steps(np.array(times, dtype=float64), np.array(values, dtype=float64))

    def seconds(self, column: str) -> Floats:
        """One numeric column as float64; unknown values are NaN."""
        return np.ascontiguousarray(self.jobs[column].to_numpy(dtype=float64, na_value=np.nan))

    def labels(self, column: str) -> NDArray[Any]:
        """One text column as an array of strings ("" unknown, also where the run has no such column)."""
        if column not in self.jobs.columns:
            return np.full(len(self.jobs), "", dtype=object)
        codes, names = self.codes(column)
        return np.array(names, dtype=object)[codes] if names else np.full(len(self.jobs), "", dtype=object)

    def codes(self, by: str) -> tuple[Ints, list[str]]:
        """Group of every job as a code, and the groups' names.

        Parameters
        ----------
        by : {"user", "account", "qos", "size_class", "run_class", "partition", "center", "state"}
            ``size_class`` is by processors, in powers of four; ``run_class`` by time run, from under a minute to over
            a day (jobs that never ran fall into the first).

        Returns
        -------
        codes : int64 array, one a job
        names : list of str
            Sorted; classes in their natural order. Every name has at least one job, measured or not.
        """
        cache: dict[str, tuple[Ints, list[str]]] = self.__dict__.setdefault("_codes", {})
        if by not in cache:
            cache[by] = self._codes_of(by)
        return cache[by]

    def _codes_of(self, by: str) -> tuple[Ints, list[str]]:
        if by == "size_class":
            return _present(np.searchsorted(np.array(SIZE_EDGES), self.procs), size_class_names())
        if by == "run_class":
            edges = np.array([edge for edge, _ in RUN_EDGES], dtype=float64)
            return _present(np.searchsorted(edges, np.nan_to_num(self.run_s), side="right"), run_class_names())
        if by not in self.jobs.columns:
            return np.zeros(len(self.jobs), dtype=int64), [""] if len(self.jobs) else []
        column = self.jobs[by].astype("category").cat
        names = [str(name) for name in column.categories]
        codes = column.codes.to_numpy().astype(int64)
        if (codes < 0).any():
            if "" not in names:
                names.append("")
            codes = np.where(codes < 0, names.index(""), codes)
        order = np.argsort(np.array(names, dtype=object), kind="stable") if names else np.zeros(0, dtype=int64)
        rank = np.empty(len(names), dtype=int64)
        rank[order] = np.arange(len(names))
        return _present(rank[codes], [names[i] for i in order])


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : path
        A folder with ``jobs.parquet`` and ``manifest.json``.

    Raises
    ------
    RunError
        The folder is missing, is not a run, or a file of it is damaged or lacks a column.
    """
    path = Path(folder)
    if not path.is_dir():
        problem = "is a file, not a run folder" if path.exists() else "no such run folder"
        raise RunError(problem, REMEDY, path=path)
    for name in ("manifest.json", "jobs.parquet"):
        if not (path / name).is_file():
            raise RunError(f"not a run folder: there is no {name}", REMEDY, path=path)
    return Run(_read_jobs(path / "jobs.parquet"), _read_manifest(path / "manifest.json"), path)


def _read_manifest(path: Path) -> dict[str, Any]:
    remedy = "replay the trace again"
    try:
        manifest = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise RunError(f"damaged manifest: {error.msg}", remedy, path=path, line=error.lineno) from None
    except UnicodeDecodeError:
        raise RunError("damaged manifest: not UTF-8 text", remedy, path=path) from None
    if not isinstance(manifest, dict):
        raise RunError("damaged manifest: not a JSON object", remedy, path=path)
    window = manifest.get("measure_window_s")
    if window is not None and not (_numbers(window, 2) and window[0] <= window[1]):
        raise RunError("damaged manifest: measure_window_s is not [from, to]", remedy, path=path)
    steps = manifest.get("capacity_steps") or []
    if not isinstance(steps, list) or not all(
        isinstance(row, list) and len(row) == 3 and _numbers([row[0], row[2]], 2) for row in steps
    ):
        raise RunError("damaged manifest: capacity_steps is not a list of [time, pool, processors]", remedy, path=path)
    for key in ("shares", "user_shares", "wait_bounds_s"):
        table = manifest.get(key) or {}
        if not isinstance(table, dict) or not _numbers(list(table.values()), len(table)):
            raise RunError(f"damaged manifest: {key} is not a table of numbers", remedy, path=path)
    return manifest


def _numbers(values: Any, n: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == n
        and all(isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values)
    )


def _read_jobs(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = "replay the trace again"
    try:
        schema = pq.read_schema(path)
        missing = [name for name in REQUIRED if name not in schema.names]
        if missing:
            raise RunError(f"no column {', '.join(missing)}", remedy, path=path)
        texts = [name for name in schema.names if pa.types.is_string(schema.field(name).type)]
        jobs: pd.DataFrame = pq.read_table(path, read_dictionary=texts).to_pandas()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise RunError(f"damaged jobs table: {str(error).splitlines()[0]}", remedy, path=path) from None
    for name in (*TIMES, "procs"):
        if not pd.api.types.is_numeric_dtype(jobs[name]):
            raise RunError(f"column {name} holds no numbers", remedy, path=path)
    for name in TEXT:
        if name in jobs.columns and not isinstance(jobs[name].dtype, pd.CategoricalDtype):
            jobs[name] = jobs[name].astype("category")
    if not np.isfinite(jobs["submit_s"].to_numpy(dtype=float64, na_value=np.nan)).all():
        raise RunError("a job has no submit time", remedy, path=path)
    return jobs


def size_class_names() -> list[str]:
    """Names of all size classes: "1", "2-4", "5-16", ... processors."""
    low = [edge + 1 for edge in SIZE_EDGES]
    middle = [f"{a}-{b}" for a, b in zip(low, SIZE_EDGES[1:], strict=False)]
    return ["1", *middle, f">{SIZE_EDGES[-1]}"]


def run_class_names() -> list[str]:
    """Names of all run-time classes: "< 1 min", "1 min - 10 min", ..., ">= 1 d"."""
    names = [name for _, name in RUN_EDGES]
    return [f"< {names[0]}", *(f"{a} - {b}" for a, b in pairwise(names)), f">= {names[-1]}"]


def _present(codes: Any, names: list[str]) -> tuple[Ints, list[str]]:
    """Drop names that no job bears, keeping the order."""
    seen, dense = np.unique(np.asarray(codes, dtype=int64), return_inverse=True)
    return dense.astype(int64), [names[i] for i in seen]


def _finite_max(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
