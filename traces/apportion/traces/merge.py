"""Several traces on one calendar, as the centers of one federation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces import categories
from apportion.traces.schema import BY_NAME, UNKNOWN, Trace, TraceMeta
from apportion.traces.transform import object_column

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
ALIGNMENTS: Final = ("calendar", "start", "weeks")
CENTER: Final = "x_center"
OWN_ID: Final = "x_own_id"
NAMES: Final = ("user", "group", "account", "qos", "app", "queue")


def merge(
    traces: Sequence[Trace],
    labels: Sequence[str] | None = None,
    *,
    align: str = "calendar",
    shared: Collection[str] = (),
) -> Trace:
    """Put several traces on one calendar.

    Parameters
    ----------
    traces : sequence of Trace
    labels : sequence of str, optional
        A name for each center; the traces' names by default.
    align : str
        ``calendar`` keeps every job at its date; ``start`` moves each trace so that all begin with the first; ``weeks``
        moves by whole weeks, to within a week after the first begins, so that weekday and hour of day stay.
    shared : collection of str
        Text columns (``account``, ``user``, ...) in which one name means the same in all traces. In the others the
        center is put before the name, since user 7 of one center is not user 7 of another.

    Returns
    -------
    Trace
        In submit order (ties in the order given), numbered anew from 1. ``x_center`` holds the center, ``x_own_id``
        the job's own id, ``partition`` is ``center`` or ``center/partition``.

    Raises
    ------
    TraceError
        Where a trace has no calendar, or labels are not unique.
    """
    import pandas as pd

    if not traces:
        raise TraceError("there is nothing to merge", "give at least one trace")
    centers = [t.meta.name for t in traces] if labels is None else list(labels)
    if len(centers) != len(traces) or len(set(centers)) != len(centers):
        raise TraceError(f"the centers need a name each: {', '.join(centers)}", "give one label a trace, all different")
    origin_ms, shifts = _shifts(traces, align)
    basis = "processor" if all(t.meta.mem_basis == "processor" for t in traces) else "job"

    parts = [_labelled(t, c, s, basis, shared) for t, c, s in zip(traces, centers, shifts, strict=True)]
    order = np.argsort(np.concatenate([part["submit_ms"].to_numpy() for part in parts]), kind="stable")
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(1, len(order) + 1)
    at = 0
    for i, part in enumerate(parts):
        parts[i] = _renumbered(part, number[at : at + len(part)])
        at += len(part)

    columns = list(dict.fromkeys(name for part in parts for name in part.columns))
    sizes = [len(part) for part in parts]
    merged = {name: _joined([part.get(name) for part in parts], sizes, name) for name in columns}
    jobs = pd.DataFrame(merged).take(order).reset_index(drop=True)
    meta = _merged_meta([t.meta for t in traces], centers, origin_ms, basis)
    if align != "calendar":
        return Trace(jobs, replace(meta, notes=(*meta.notes, _moves(centers, traces, shifts, origin_ms))))
    own = [OWN_ID, "submit_ms"]
    twice = int(jobs.duplicated(own).sum())
    if twice:
        twice -= int(jobs.duplicated([CENTER, *own]).sum())  # requeued within one center
    if twice:
        said = f"{counted(twice, 'job has', 'jobs have')} the id and submit time of one of another center"
        meta = replace(meta, notes=(*meta.notes, f"{said}: join logs of one machine as files before they are read"))
    return Trace(jobs, meta)


def _shifts(traces: Sequence[Trace], align: str) -> tuple[int | None, list[int]]:
    """Give the origin of the merged trace, and what to add to the submit times of each."""
    if align not in ALIGNMENTS:
        raise TraceError(f"'{align}' is no way to align traces", f"take {', '.join(ALIGNMENTS)}")
    begins = [
        int(known.min()) if len(known) else 0 for known in (s[s >= 0] for s in (t.column("submit_ms") for t in traces))
    ]
    if align == "start":
        return traces[0].meta.origin_ms, [begins[0] - begin for begin in begins]
    origins = []
    for trace in traces:
        if trace.meta.origin_ms is None:
            raise TraceError(f"{trace.meta.name} has only relative times, so it has no calendar", "align by 'start'")
        origins.append(trace.meta.origin_ms)
    if align == "calendar":
        return min(origins), [origin - min(origins) for origin in origins]
    dates = [origin + begin for origin, begin in zip(origins, begins, strict=True)]
    weeks = [-((date - dates[0]) // WEEK_MS) * WEEK_MS for date in dates]
    return origins[0], [origin + week - origins[0] for origin, week in zip(origins, weeks, strict=True)]


def _labelled(trace: Trace, center: str, shift: int, basis: str, shared: Collection[str]) -> pd.DataFrame:
    """Give jobs of one center, moved on the calendar, with names that say where they belong."""
    jobs = trace.jobs
    changed: dict[str, Any] = {
        "submit_ms": np.where(trace.column("submit_ms") < 0, UNKNOWN, trace.column("submit_ms") + shift),
        OWN_ID: jobs["job_id"].astype("str"),
        CENTER: categories.of_codes(np.zeros(len(jobs), dtype=np.int8), [center]),
    }
    for name in NAMES:
        if name in jobs and name not in shared:
            changed[name] = jobs[name].cat.rename_categories(
                [f"{center}/{label}" for label in jobs[name].cat.categories]
            )
    codes, names = trace.labels("partition")
    inside = [f"{center}/{name}" for name in names] + [center]
    changed["partition"] = categories.of_codes(
        np.where(codes < 0, len(names), codes), inside
    ).remove_unused_categories()
    if trace.meta.mem_basis != basis:
        procs = np.maximum(trace.column("procs_used"), trace.column("procs_req"))
        for name in ("mem_used_kib", "mem_req_kib"):
            if name in jobs:
                amount = trace.column(name)
                changed[name] = np.where((amount >= 0) & (procs > 0), amount * procs, UNKNOWN)
    return jobs.assign(**changed)


def _renumbered(jobs: pd.DataFrame, number: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Give new ids, and lead dependencies to them."""
    import pandas as pd

    changed: dict[str, Any] = {"job_id": number}
    if {"after_job", "dependencies"} & set(jobs.columns):
        new_of = pd.Series(number, index=jobs["job_id"].to_numpy())
        new_of = new_of[~new_of.index.duplicated()]
        if "after_job" in jobs:
            led = new_of.reindex(jobs["after_job"].to_numpy()).fillna(UNKNOWN).to_numpy().astype(np.int64)
            changed["after_job"] = np.where(jobs["after_job"] == UNKNOWN, UNKNOWN, led)
        if "dependencies" in jobs:
            table = new_of.to_dict()
            led_all = [tuple(table[d] for d in ids if d in table) for ids in jobs["dependencies"]]
            changed["dependencies"] = object_column(led_all)
    return jobs.assign(**changed)


def _joined(parts: Sequence[Any], sizes: Sequence[int], name: str) -> Any:
    """Concatenate one column; a trace that lacks it does not know it."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    some = next(part for part in parts if part is not None)
    if name == "dependencies":
        return object_column(
            [c for part, n in zip(parts, sizes, strict=True) for c in ([()] * n if part is None else part)]
        )
    if str(some.dtype) == "category":
        nobody = [
            categories.of_codes(np.full(n, UNKNOWN), []) if part is None else part
            for part, n in zip(parts, sizes, strict=True)
        ]
        return union_categoricals(nobody, ignore_order=True)
    blank: Any = UNKNOWN if name in BY_NAME or some.dtype.kind == "i" else None
    filled = [
        pd.Series([blank] * n, dtype=some.dtype) if part is None else part for part, n in zip(parts, sizes, strict=True)
    ]
    return pd.concat(filled, ignore_index=True)


def _moves(centers: Sequence[str], traces: Sequence[Trace], shifts: Sequence[int], origin_ms: int | None) -> str:
    moved = [
        f"{center} by {(shift + (origin_ms or 0) - (trace.meta.origin_ms or 0)) / DAY_MS:.2f} days"
        for center, trace, shift in zip(centers, traces, shifts, strict=True)
    ]
    return f"submit times moved: {', '.join(moved)}"


def _merged_meta(metas: Sequence[TraceMeta], centers: Sequence[str], origin_ms: int | None, basis: str) -> TraceMeta:
    """Say what is known of the whole; each line of a header is kept with its center before it."""
    zones = sorted({m.timezone for m in metas})
    notes = [f"{c}: {note}" for c, m in zip(centers, metas, strict=True) for note in m.notes]
    if len(zones) > 1:
        notes.append(f"centers lie in several time zones: {', '.join(zone or 'unknown' for zone in zones)}")
    return TraceMeta(
        name="+".join(centers),
        format=metas[0].format if len({m.format for m in metas}) == 1 else "merged",
        origin_ms=origin_ms,
        timezone=zones[0] if len(zones) == 1 else "",
        max_procs=_total([m.max_procs for m in metas]),
        max_nodes=_total([m.max_nodes for m in metas]),
        mem_basis=basis,
        header=tuple(f"; [{c}] {line.lstrip(' ;')}" for c, m in zip(centers, metas, strict=True) for line in m.header),
        partitions=_with_center(centers, [m.partitions for m in metas]),
        queues=_with_center(centers, [m.queues for m in metas]),
        notes=tuple(notes),
        extra_columns=tuple(dict.fromkeys([*(x for m in metas for x in m.extra_columns), "center", "own_id"])),
    )


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) if min(sizes) > 0 else UNKNOWN


def _with_center(centers: Sequence[str], names: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {f"{c}/{key}": text for c, known in zip(centers, names, strict=True) for key, text in known.items()}
