"""From the traces of several centers to one workload on a common calendar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.errors import TraceError
from apportion.core.tables import NEVER
from apportion.core.units import counted
from apportion.policy.workload import Labels, Submissions
from apportion.sim.releases import Precedence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.core.tables import Ints
    from apportion.sim.workload import Workload

LABELS = ("user", "account", "group", "qos", "queue", "partition")


@dataclass(frozen=True)
class FederationWorkload:
    """Jobs of all centers by (submit, center, row).

    Attributes
    ----------
    centers : tuple of str
    parts : tuple of Workload
        Each center's own jobs, within the window and shifted.
    jobs : Submissions
        All jobs; users, accounts, groups, queues and partitions are named ``CENTER/NAME``, since the same name at two centers is not the same.
    home, row : int64[n]
        Center of each job, and its index in that part.
    run_ms, cancel_ms : int64[n]
        As in `Workload`; the run time is that at home.
    precedence : Precedence, optional
        Jobs that come when others of their center have ended.
    """

    centers: tuple[str, ...]
    parts: tuple[Workload, ...]
    jobs: Submissions
    home: Ints
    row: Ints
    run_ms: Ints
    cancel_ms: Ints
    precedence: Precedence | None = None

    def __len__(self) -> int:
        return len(self.jobs)

    def seen_from(self, center: int, movable: NDArray[np.bool_]) -> Submissions:
        """All jobs as one center knows them: its own by their plain names, those that may come by ``CENTER/NAME``.

        Jobs that can never come have the names of its first own job, so that nobody appears in its accounts who is not there.
        """
        own = self.home == center
        never = ~own & ~movable
        example = int(np.argmax(own)) if own.any() else int(np.argmax(movable))
        prefix = self.centers[center] + "/"
        labels: dict[str, Any] = {}
        for name in LABELS:
            column: Labels = getattr(self.jobs, name)
            codes = np.where(never, column.codes[example], column.codes)
            labels[name] = _plain(Labels(codes, column.names), prefix)
        capacity = self.parts[center].jobs.capacity
        submit, limit = (
            self.jobs.submit_ms.copy(),
            self.jobs.limit_ms.copy(),
        )  # the center's own: they change when a job comes
        return replace(self.jobs, submit_ms=submit, limit_ms=limit, capacity=capacity, **labels)


def merge(centers: Sequence[str], parts: Sequence[Workload]) -> FederationWorkload:
    """Put the workloads of several centers on one calendar.

    Raises
    ------
    TraceError
        If there is no job at all.
    """
    home = np.concatenate([np.full(len(part), k, np.int64) for k, part in enumerate(parts)])
    row = np.concatenate([np.arange(len(part), dtype=np.int64) for part in parts])
    if len(home) == 0:
        raise TraceError("no center has a job in this window", "choose another Start and End, or shift the traces")
    submit = np.concatenate([part.jobs.submit_ms for part in parts])
    order = np.lexsort((row, home, submit))

    def joined(get: Callable[[Workload], Ints]) -> Ints:
        return np.ascontiguousarray(np.concatenate([get(part) for part in parts])[order])

    labels: dict[str, Any] = {
        name: _join_labels(
            [getattr(part.jobs, name) for part in parts], ["" if name == "qos" else f"{c}/" for c in centers], order
        )
        for name in LABELS
    }
    chains = [
        part.jobs.limit_ms if part.jobs.critical_path_ms is None else part.jobs.critical_path_ms for part in parts
    ]
    is_chained = any(part.jobs.critical_path_ms is not None for part in parts)
    known = sorted({name for part in parts for name in part.jobs.resources})
    jobs = Submissions(
        submit_ms=joined(lambda part: part.jobs.submit_ms),
        limit_ms=joined(lambda part: part.jobs.limit_ms),
        procs=joined(lambda part: part.jobs.procs),
        **labels,
        origin_ms=min(part.jobs.origin_ms for part in parts),
        capacity={"cpu": sum(part.jobs.capacity["cpu"] for part in parts)},
        resources={name: joined(partial(_resource, name)) for name in known},
        critical_path_ms=np.ascontiguousarray(np.concatenate(chains)[order]) if is_chained else None,
    )
    return FederationWorkload(
        centers=tuple(centers),
        parts=tuple(parts),
        jobs=jobs,
        home=np.ascontiguousarray(home[order]),
        row=np.ascontiguousarray(row[order]),
        run_ms=joined(lambda part: part.run_ms),
        cancel_ms=joined(lambda part: part.cancel_ms),
        precedence=_join_precedence(parts, order),
    )


def _join_precedence(parts: Sequence[Workload], order: Ints) -> Precedence | None:
    """Who follows whom, in the numbers of the merged jobs; the gates of all parts come after all jobs."""
    if all(part.precedence is None for part in parts):
        return None
    n_jobs = len(order)
    place = np.empty(n_jobs, np.int64)
    place[order] = np.arange(n_jobs)
    edges, not_before, is_held = [], [], []
    first, n_gates = 0, 0
    for part in parts:
        p = part.precedence
        mine = place[first : first + len(part)]
        if p is not None:
            number = np.concatenate([mine, n_jobs + n_gates + np.arange(p.n_gates)])
            edges.append((number[p.before], number[p.after], p.delay_ms))
            n_gates += p.n_gates
        not_before.append(np.full(len(part), -NEVER, np.int64) if p is None else p.not_before_ms)
        is_held.append(np.zeros(len(part), bool) if p is None else p.is_held)
        first += len(part)
    before, after, delay_ms = (np.concatenate([edge[k] for edge in edges]) for k in range(3))
    return Precedence(
        before, after, delay_ms, n_gates, np.concatenate(not_before)[order], np.concatenate(is_held)[order]
    )


def first_jobs(workload: FederationWorkload, skip: int, count: int) -> FederationWorkload:
    """Leave ``skip`` jobs out and keep ``count``, and the others that come in the same millisecond as the last of them."""
    submit = workload.jobs.submit_ms
    if skip >= len(submit):
        raise TraceError(f"no more than {counted(len(submit), 'job')} can be skipped", "skip fewer")
    begin, end = int(submit[skip]), int(submit[min(skip + count, len(submit)) - 1]) + 1
    return merge(workload.centers, [window(part, begin, end) for part in workload.parts])


def window(part: Workload, begin_ms: int | None, end_ms: int | None, shift_ms: int = 0) -> Workload:
    """Shift a workload in time and keep what is submitted from ``begin_ms`` (inclusive) to ``end_ms`` (exclusive)."""
    submit = part.jobs.submit_ms + shift_ms
    keep = np.ones(len(part), bool)
    if begin_ms is not None:
        keep &= submit >= begin_ms
    if end_ms is not None:
        keep &= submit < end_ms
    cancel = np.where(part.cancel_ms < 2**61, part.cancel_ms + shift_ms, part.cancel_ms)
    labels: dict[str, Any] = {name: _kept(getattr(part.jobs, name), keep) for name in LABELS}
    chain = part.jobs.critical_path_ms
    jobs = replace(
        part.jobs,
        submit_ms=np.ascontiguousarray(submit[keep]),
        limit_ms=np.ascontiguousarray(part.jobs.limit_ms[keep]),
        procs=np.ascontiguousarray(part.jobs.procs[keep]),
        origin_ms=part.jobs.origin_ms + shift_ms,
        resources={name: np.ascontiguousarray(column[keep]) for name, column in part.jobs.resources.items()},
        critical_path_ms=None if chain is None else np.ascontiguousarray(chain[keep]),
        **labels,
    )
    return replace(
        part,
        jobs=jobs,
        run_ms=np.ascontiguousarray(part.run_ms[keep]),
        cancel_ms=np.ascontiguousarray(cancel[keep]),
        killed=part.killed[keep],
        status=part.status[keep],
        row=part.row[keep],
        precedence=None if part.precedence is None else _kept_precedence(part.precedence, keep, shift_ms),
    )


def _kept_precedence(p: Precedence, keep: NDArray[np.bool_], shift_ms: int) -> Precedence:
    """Who follows whom of those that are kept; who follows only jobs that are not comes as recorded."""
    n_jobs = len(keep)
    number = np.concatenate([np.cumsum(keep) - 1, np.arange(p.n_gates) + int(keep.sum())])
    of_job = p.before < n_jobs
    open_gates = np.unique(p.after[of_job][keep[p.before[of_job]]])
    is_there = np.concatenate([keep, np.isin(np.arange(n_jobs, n_jobs + p.n_gates), open_gates)])
    edge = is_there[p.before] & is_there[p.after]
    not_before = np.where(p.not_before_ms > -NEVER, p.not_before_ms + shift_ms, p.not_before_ms)
    return Precedence(
        np.ascontiguousarray(number[p.before[edge]]),
        np.ascontiguousarray(number[p.after[edge]]),
        np.ascontiguousarray(p.delay_ms[edge]),
        p.n_gates,
        np.ascontiguousarray(not_before[keep]),
        np.ascontiguousarray(p.is_held[keep]),
    )


def _resource(name: str, part: Workload) -> Ints:
    return part.jobs.resources.get(name, np.zeros(len(part), np.int64))


def _kept(labels: Labels, keep: NDArray[np.bool_]) -> Labels:
    """Labels of some of the jobs, without the names that none of them has."""
    some = Labels(labels.codes[keep], labels.names)
    used = some.used()
    back = np.full(len(labels.names) + 1, -1, np.int64)
    back[used] = np.arange(len(used))
    return Labels(np.ascontiguousarray(back[some.codes]), tuple(labels.names[k] for k in used))


def _join_labels(parts: list[Labels], prefixes: list[str], order: Ints) -> Labels:
    """Labels of all parts in one order; equal names are one."""
    index: dict[str, int] = {}
    columns = []
    for labels, prefix in zip(parts, prefixes, strict=True):
        lookup = [index.setdefault(prefix + name, len(index)) for name in labels.names]
        columns.append(np.array([*lookup, -1], np.int64)[labels.codes])
    return Labels(np.ascontiguousarray(np.concatenate(columns)[order]), tuple(index))


def _plain(labels: Labels, prefix: str) -> Labels:
    """Take the prefix off the names that have it."""
    index: dict[str, int] = {}
    plain = np.full(len(labels.names) + 1, -1, np.int64)
    for code in labels.used():
        plain[code] = index.setdefault(labels.names[code].removeprefix(prefix), len(index))
    return Labels(np.ascontiguousarray(plain[labels.codes]), tuple(index))
