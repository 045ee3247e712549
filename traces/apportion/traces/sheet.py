"""A trace laid out for cleaning: columns as arrays, and which rows are still in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apportion.traces.schema import BY_NAME, UNKNOWN, Trace, TraceMeta

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Sheet:
    """Columns of one trace that rules read and mend; the table itself is made anew only once, at the end.

    Parameters
    ----------
    trace : Trace
        Left as it is.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.alive: Mask = np.ones(len(trace), dtype=np.bool_)
        self.sort_wanted = False
        self.memo: dict[str, Any] = {}
        self._columns: dict[str, NDArray[Any]] = {}
        self._mended: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def meta(self) -> TraceMeta:
        """What is known of the trace beside its jobs."""
        return self.trace.meta

    def has(self, name: str) -> bool:
        """Whether the trace has that column at all."""
        return name in self.trace.jobs.columns

    def ints(self, name: str) -> Ints:
        """One integer column as it stands now, -1 where unknown."""
        if name not in self._columns:
            self._columns[name] = self.trace.column(name)
        return self._columns[name]

    def size(self) -> Ints:
        """Give what a job occupies: processors, else nodes, else GPUs; allocated first; 0 or less if unknown."""
        if "size" not in self._columns:
            size = self.ints("procs_used")
            for name in ("procs_req", "nodes_used", "nodes_req", "gpus_used", "gpus_req"):
                if size.size and size.min() > 0:
                    break
                if self.has(name):
                    size = np.where(size > 0, size, self.ints(name))
            self._columns["size"] = size
        return self._columns["size"]

    def codes(self, name: str) -> tuple[Ints, list[str]]:
        """Codes and names of one text column; rules leave text as it is."""
        return self.trace.labels(name)

    def put(self, name: str, rows: Mask, values: Any) -> None:
        """Set an integer column where ``rows`` is true."""
        column = np.array(self.ints(name))
        column[rows] = values
        self._columns[name] = self._mended[name] = column
        self._columns.pop("size", None)

    def value(self, name: str, row: int) -> Any:
        """One cell as plain Python data, None where a text is unknown."""
        if BY_NAME[name].kind == "category":
            codes, names = self.codes(name)
            return names[codes[row]] if codes[row] >= 0 else None
        cell = self.ints(name)[row]
        return cell.item() if isinstance(cell, np.generic) else cell

    def order(self) -> Ints:
        """Rows of the cleaned table, as row numbers of the original one."""
        rows = np.flatnonzero(self.alive)
        if self.sort_wanted:
            rows = rows[np.argsort(self.ints("submit_ms")[rows], kind="stable")]
        return rows

    def table(self) -> pd.DataFrame:
        """Build the cleaned table."""
        jobs = self.trace.jobs
        if self._mended:
            jobs = jobs.assign(**{name: self._mended[name] for name in self._mended})
        if self.sort_wanted or not self.alive.all():
            jobs = jobs.take(self.order())
        return jobs.reset_index(drop=True)


def unknown(column: Ints) -> Mask:
    """Where an integer column holds no value."""
    mask: Mask = column == UNKNOWN
    return mask
