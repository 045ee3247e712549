"""The one schema that every trace is read into.

A trace is a pandas table of jobs and a `TraceMeta`. Columns are typed; a column of which nothing is known may be absent
(`Trace.column` then gives the unknown value), which keeps a table of ten million jobs small.

Conventions
-----------
- Times are whole milliseconds. ``submit_ms`` counts from the trace's own origin (`TraceMeta.origin_ms`, milliseconds since
  the Unix epoch, or None where a trace has only relative times).
- ``-1`` is "unknown" in every integer column, as in the Standard Workload Format; missing text is a missing category.
- Nothing is corrected here: a reader reports what the file says, `apportion.traces.clean` mends it and says so.

References
----------
Chapin et al., "Benchmarks and standards for the evaluation of parallel job schedulers", JSSPP 1999,
doi:10.1007/3-540-47954-6_4 (the Standard Workload Format).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN: Final = -1


class Status(IntEnum):
    """How a job ended. 0 to 5 are SWF's own codes; those above are written to SWF as the code in brackets."""

    UNKNOWN = -1
    FAILED = 0
    COMPLETED = 1
    PARTIAL = 2
    PARTIAL_COMPLETED = 3
    PARTIAL_FAILED = 4
    CANCELLED = 5
    TIMEOUT = 6  # [0]
    NODE_FAIL = 7  # [0]
    PREEMPTED = 8  # [0]
    OUT_OF_MEMORY = 9  # [0]
    RUNNING = 10  # [-1]
    PENDING = 11  # [-1]


# What may be said of a job that left the queue before it started; of any other without a run time, the time is missing.
NEVER_STARTED: Final = (Status.CANCELLED, Status.UNKNOWN, Status.PENDING)


class Column(NamedTuple):
    """One column of the schema."""

    name: str
    kind: str  # "int64", "int8", "category" or "object"
    unit: str
    meaning: str


COLUMNS: Final[tuple[Column, ...]] = (
    Column(
        "job_id",
        "int64",
        "",
        "id as in the trace; text (category-free object) where a trace has ids that are not integers",
    ),
    Column("submit_ms", "int64", "ms", "submit time from the trace's origin"),
    Column("wait_ms", "int64", "ms", "recorded wait: start minus submit"),
    Column("run_ms", "int64", "ms", "recorded run time"),
    Column("procs_used", "int64", "processors", "allocated processors"),
    Column("procs_req", "int64", "processors", "requested processors"),
    Column("nodes_used", "int64", "nodes", "allocated nodes"),
    Column("nodes_req", "int64", "nodes", "requested nodes"),
    Column("limit_ms", "int64", "ms", "requested time limit"),
    Column("cpu_ms", "int64", "ms", "mean CPU time used per processor"),
    Column("mem_used_kib", "int64", "KiB", "memory used, per `TraceMeta.mem_basis`"),
    Column("mem_req_kib", "int64", "KiB", "memory requested, per `TraceMeta.mem_basis`"),
    Column("gpus_used", "int64", "GPUs", "allocated GPUs"),
    Column("gpus_req", "int64", "GPUs", "requested GPUs"),
    Column("status", "int8", "", "a `Status` code"),
    Column(
        "status_raw", "category", "", "the state or exit code as the source writes it, where it says more than `status`"
    ),
    Column("user", "category", "", "user"),
    Column("group", "category", "", "Unix group"),
    Column(
        "account", "category", "", "account or project; readers fill it from the group where a format has no accounts"
    ),
    Column("qos", "category", "", "QOS"),
    Column("app", "category", "", "executable or application"),
    Column("queue", "category", "", "queue"),
    Column("partition", "category", "", "partition (a site in a grid trace)"),
    Column("after_job", "int64", "", "job that must end first (SWF field 17)"),
    Column("think_ms", "int64", "ms", "think time after that job (SWF field 18)"),
    Column("dependencies", "object", "", "tuple of job ids that must end first (workflow traces)"),
    Column("request", "category", "", "resource request as text (PBS `-l`, Slurm TRES)"),
)

BY_NAME: Final = {column.name: column for column in COLUMNS}
HORIZON_MS: Final = 200 * 365 * 86_400_000  # no date of a job is further from a trace's origin, 1970 at the earliest
REQUIRED: Final = ("job_id", "submit_ms", "run_ms")


@dataclass(frozen=True)
class TraceMeta:
    """What is known of a trace beside its jobs.

    Attributes
    ----------
    name : str
        Short name (the catalog's where it is known, else the file's stem).
    format : str
        ``swf``, ``gwf``, ``sacct``, ``sacct-json``, ``pbs``, ``alcf``, ``philly``, ``parquet`` or ``synthetic``.
    path : str
        File it was read from; empty for a synthetic one.
    sha256 : str
        Of the file as it lies on disk (compressed); empty for a synthetic one.
    origin_ms : int or None
        Milliseconds since the Unix epoch at which ``submit_ms`` is 0; None for relative times.
    timezone : str
        IANA name, or empty.
    max_procs, max_nodes : int
        Size of the machine; -1 where the trace does not say.
    mem_basis : str
        ``processor`` or ``job``: what the memory columns count.
    header : tuple of str
        Comment lines verbatim and in order, without the line end (SWF), so that licences and acknowledgements survive.
    partitions, queues : dict of str to str
        Names of partition and queue ids where the header gives them.
    notes : tuple of str
        Remarks of the reader a person should see (assumed time zone, guessed unit, ...).
    extra_columns : tuple of str
        Names given to columns beyond the schema, kept in the table with the prefix ``x_``.
    """

    name: str
    format: str
    path: str = ""
    sha256: str = ""
    origin_ms: int | None = None
    timezone: str = ""
    max_procs: int = UNKNOWN
    max_nodes: int = UNKNOWN
    mem_basis: str = "processor"
    header: tuple[str, ...] = ()
    partitions: dict[str, str] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """A table of jobs in the schema of this module, and its `TraceMeta`."""

    jobs: pd.DataFrame
    meta: TraceMeta

    def __len__(self) -> int:
        return len(self.jobs)

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """Values of one numeric column, or an array of -1 where the trace does not have it."""
        if name in self.jobs.columns:
            return self.jobs[name].to_numpy()
        dtype = np.int8 if BY_NAME[name].kind == "int8" else np.int64
        return np.full(len(self.jobs), UNKNOWN, dtype=dtype)

    def labels(self, name: str) -> tuple[np.ndarray[Any, Any], list[str]]:
        """Codes (int64, -1 missing) and names of one category column."""
        if name not in self.jobs.columns:
            return np.full(len(self.jobs), UNKNOWN, dtype=np.int64), []
        category = self.jobs[name].astype("category").cat
        return category.codes.to_numpy().astype(np.int64), [str(label) for label in category.categories]

    def with_jobs(self, jobs: pd.DataFrame) -> Trace:
        """The same trace with another table of jobs."""
        return replace(self, jobs=jobs)
