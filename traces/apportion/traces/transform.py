"""Pure functions from trace to trace: a part of one, or the same at another load.

None changes its argument. Times stay whole milliseconds; where a trace has whole seconds, so has the result.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from apportion.core.errors import TraceError, UserError
from apportion.core.units import parse_duration_ms
from apportion.traces.schema import HORIZON_MS, UNKNOWN, Trace, TraceMeta

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import tzinfo

SECOND_MS: Final = 1000
_SHOWN_AT_MOST: Final = 5
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def window(trace: Trace, start_ms: int | None = None, end_ms: int | None = None) -> Trace:
    """Keep jobs submitted in ``[start_ms, end_ms)``, ms from the trace's origin; the origin stays where it is."""
    submit = trace.column("submit_ms")
    keep = np.ones(len(trace), dtype=np.bool_)
    if start_ms is not None:
        keep &= submit >= start_ms
    if end_ms is not None:
        keep &= submit < end_ms
    return _only(trace, keep)


def instant_ms(trace: Trace, text: str) -> int:
    """Read a moment of a trace, in ms from its origin.

    Parameters
    ----------
    trace : Trace
    text : str
        An ISO date or date-time (in the trace's zone where it names none, UTC where the trace names none either), or a
        time after the first submit in Slurm's notation (``30-00`` is thirty days).

    Raises
    ------
    UserError
        Where it is neither, or a date is asked of a trace with relative times.
    """
    if not _DATE.match(text):
        submit = trace.column("submit_ms")
        known = submit[submit >= 0]
        try:
            return (int(known.min()) if len(known) else 0) + parse_duration_ms(text)
        except UserError:
            raise TraceError(
                f"'{text}' is neither a date nor a time", "write 2004-09-15, or 30-00 for 30 days"
            ) from None
    if trace.meta.origin_ms is None:
        raise TraceError(f"{trace.meta.name} has only relative times, no dates", "give a time after its start: 30-00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TraceError(f"'{text}' is not a date", "write 2004-09-15 or 2004-09-15T12:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(trace))
    return round(moment.timestamp() * 1000) - trace.meta.origin_ms


def zone_of(trace: Trace) -> tzinfo:
    """Give the zone of a trace; UTC where it names none, or one that this machine does not know."""
    try:
        return ZoneInfo(trace.meta.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


def having(trace: Trace, wanted: Mapping[str, Collection[str]]) -> Trace:
    """Keep the jobs whose user, group, account, queue, partition, ... are among those wanted.

    Parameters
    ----------
    trace : Trace
    wanted : mapping of str to collection of str
        Column to labels. A queue or partition may also be given by the name that the header gives its number.

    Raises
    ------
    TraceError
        For a label that no job has.
    """
    keep = np.ones(len(trace), dtype=np.bool_)
    for column, labels in wanted.items():
        if not labels:
            continue
        codes, names = trace.labels(column)
        called = {"queue": trace.meta.queues, "partition": trace.meta.partitions}.get(column, {})
        fits = np.zeros(len(names) + 1, dtype=np.bool_)
        for label in labels:
            found = [i for i, name in enumerate(names) if label in (name, called.get(name))]
            if not found:
                some = ", ".join(names[:_SHOWN_AT_MOST]) + (", ..." if len(names) > _SHOWN_AT_MOST else "")
                has = f"it has {some}" if names else f"it knows no {column}s"
                raise TraceError(f"no job of {trace.meta.name} has {column} '{label}'", has)
            fits[found] = True
        keep &= fits[codes]
    return _only(trace, keep)


def first(trace: Trace, jobs: int) -> Trace:
    """Keep the first ``jobs`` jobs in the order of the table."""
    return _only(trace, np.arange(len(trace)) < jobs)


def scale(trace: Trace, interarrival: float) -> Trace:
    """Stretch or squeeze the times between submits; offered load changes by ``1 / interarrival``.

    Recorded waits belong to the load that was, so they become unknown. A trace whose submits are whole seconds keeps
    that (rounded down from the first submit, so the order stays).

    Parameters
    ----------
    trace : Trace
    interarrival : float
        Factor, above 0: 0.5 doubles the load.
    """
    if not (interarrival > 0 and np.isfinite(interarrival)):
        raise TraceError(f"an inter-arrival factor of {interarrival} makes no sense", "give a number above 0")
    submit = trace.column("submit_ms")
    known = submit >= 0
    if not known.any():
        return trace
    first_ms = submit[known].min()
    grain = SECOND_MS if (submit[known] % SECOND_MS == 0).all() else 1
    if (int(submit.max()) - int(first_ms)) * interarrival > HORIZON_MS:
        raise TraceError(
            f"an inter-arrival factor of {interarrival:g} makes the trace last centuries", "give a smaller one"
        )
    moved = first_ms + np.floor((submit - first_ms) / grain * interarrival).astype(np.int64) * grain
    jobs = trace.jobs.assign(submit_ms=np.where(known, moved, submit))
    if "wait_ms" in jobs:
        jobs = jobs.assign(wait_ms=np.int64(UNKNOWN))
    return Trace(jobs, _noted(trace, f"times between submits multiplied by {interarrival:g}"))


def _only(trace: Trace, keep: np.ndarray[Any, Any]) -> Trace:
    """Keep some rows; names nobody uses go, and a dependency on a job that is gone becomes unknown."""
    if keep.all():
        return trace
    jobs = trace.jobs[keep].reset_index(drop=True)
    used = {
        name: jobs[name].cat.remove_unused_categories() for name in jobs.columns if str(jobs[name].dtype) == "category"
    }
    jobs = jobs.assign(**used)
    if "after_job" in jobs and (jobs["after_job"] != UNKNOWN).any():
        gone = ~jobs["after_job"].isin(jobs["job_id"])
        jobs = jobs.assign(after_job=jobs["after_job"].mask(gone, UNKNOWN))
    if "dependencies" in jobs:
        left = set(jobs["job_id"])
        jobs = jobs.assign(
            dependencies=object_column([tuple(d for d in ids if d in left) for ids in jobs["dependencies"]])
        )
    return trace.with_jobs(jobs)


def _noted(trace: Trace, note: str) -> TraceMeta:
    return replace(trace.meta, notes=(*trace.meta.notes, note))


def object_column(cells: Collection[Any]) -> np.ndarray[Any, Any]:
    """Lay Python objects (tuples of dependencies) out as one column, not as a table."""
    column = np.empty(len(cells), dtype=object)
    column[:] = list(cells)
    return column
