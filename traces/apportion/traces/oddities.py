"""How each oddity of a trace is found and mended; `apportion.traces.rules` says which of these run and why.

A finder takes a `Sheet` and gives a mask of rows; a mender takes both and changes the sheet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from apportion.traces.schema import HORIZON_MS, NEVER_STARTED, UNKNOWN, Status
from apportion.traces.sheet import Ints, Mask, Sheet, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND_MS: Final = 1000
LENGTHS: Final = ("wait_ms", "run_ms", "limit_ms")
SWF_STATUS: Final = frozenset(range(-1, 6))
STRETCHES: Final = (Status.PARTIAL, Status.PARTIAL_COMPLETED, Status.PARTIAL_FAILED)


def none(sheet: Sheet) -> Mask:
    """Give a mask of no rows."""
    return np.zeros(len(sheet), dtype=np.bool_)


def set_column(column: str, value: int) -> Callable[[Sheet, Mask], None]:
    """Make a mender that writes one value into a column."""
    return lambda sheet, rows: sheet.put(column, rows, value)


def endless(sheet: Sheet) -> Mask:
    """Find jobs of which some length is beyond every calendar."""
    found = none(sheet)
    for name in LENGTHS:
        found |= sheet.ints(name) > HORIZON_MS
    return found


def forget_endless(sheet: Sheet, rows: Mask) -> None:
    """Make those lengths unknown."""
    for name in LENGTHS:
        if sheet.has(name):
            sheet.put(name, rows & (sheet.ints(name) > HORIZON_MS), UNKNOWN)


def repeated(sheet: Sheet, columns: list[str], key: Ints) -> Mask:
    """Find rows equal in ``columns`` to an earlier one; ``key`` is a cheap column they must agree in first."""
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    found = none(sheet)
    if same.any():
        suspects = np.zeros(len(sheet), dtype=np.bool_)
        suspects[order[1:][same]] = suspects[order[:-1][same]] = True
        rows = np.flatnonzero(suspects)
        found[rows[sheet.trace.jobs[columns].iloc[rows].duplicated().to_numpy()]] = True
    return found


def numbered_ids(sheet: Sheet) -> Ints:
    """Give job ids as integers; text ids by the order of first appearance."""
    import pandas as pd

    ids = sheet.ints("job_id")
    return ids if ids.dtype.kind == "i" else pd.factorize(ids)[0].astype(np.int64)


def partial_execution(sheet: Sheet) -> Mask:
    """Find lines for one stretch of a job of which another line, with a submit time, tells the whole."""
    status = sheet.ints("status")
    stretch = np.isin(status, STRETCHES)
    if not stretch.any() or raw_exit_codes(sheet).any():
        return none(sheet)
    ids = numbered_ids(sheet)
    return stretch & np.isin(ids, ids[~stretch & (sheet.ints("submit_ms") >= 0)])


def repeated_row(sheet: Sheet) -> Mask:
    """Find rows equal to an earlier one in every column."""
    ids = numbered_ids(sheet)
    if len(ids) < 2 or (np.diff(ids) > 0).all():
        return none(sheet)
    return repeated(sheet, [name for name in sheet.trace.jobs.columns if name != "dependencies"], ids)


def repeated_without_id(sheet: Sheet) -> Mask:
    """Find rows equal to an earlier one, in a format without job ids (its reader numbers the rows)."""
    if sheet.meta.format != "philly":
        return none(sheet)
    columns = [name for name in sheet.trace.jobs.columns if name not in {"job_id", "dependencies"}]
    return repeated(sheet, columns, sheet.ints("submit_ms"))


def outdated(sheet: Sheet) -> Mask:
    """Find jobs that wait or run by one line, where another of the same id, submit and start tells them further."""
    status = sheet.ints("status")
    told = np.where(status == Status.PENDING, 0, np.where(status == Status.RUNNING, 1, 2))
    rows = np.flatnonzero(sheet.alive)
    found = none(sheet)
    for stage, columns in ((Status.PENDING, ("submit_ms",)), (Status.RUNNING, ("submit_ms", "wait_ms"))):
        if (status == stage).any():
            key = np.stack([numbered_ids(sheet), *(sheet.ints(name) for name in columns)])[:, rows]
            order = np.lexsort((told[rows], *key[::-1]))  # stable: of two that tell as much the later one counts
            same = (key[:, order[1:]] == key[:, order[:-1]]).all(axis=0)
            earlier = rows[order[:-1][same]]
            found[earlier[status[earlier] == stage]] = True
    return found


def repeated_id(sheet: Sheet) -> Mask:
    """Find jobs whose id an earlier job has."""
    ids = numbered_ids(sheet)
    if len(ids) < 2 or (np.diff(ids) > 0).all():
        return none(sheet)
    order = np.argsort(ids, kind="stable")
    order = order[sheet.alive[order]]
    found = none(sheet)
    found[order[1:][ids[order][1:] == ids[order][:-1]]] = True
    return found


def steps_back(sheet: Sheet) -> Mask:
    """Find rows submitted before the row above them."""
    rows = np.flatnonzero(sheet.alive)
    found = none(sheet)
    found[rows[1:][np.diff(sheet.ints("submit_ms")[rows]) < 0]] = True
    return found


def want_sorted(sheet: Sheet, rows: Mask) -> None:
    """Ask for a stable sort by submit time."""
    if rows.any():
        sheet.sort_wanted = True


def size_differs(sheet: Sheet) -> Mask:
    """Find jobs that got another size than they asked for."""
    found = none(sheet)
    for kind in ("procs", "nodes", "gpus"):
        used, asked = sheet.ints(f"{kind}_used"), sheet.ints(f"{kind}_req")
        found |= (used > 0) & (asked > 0) & (used != asked)
    return found


def raw_exit_codes(sheet: Sheet) -> Mask:
    """Find all rows with a raw status, where one of them cannot be a code of the SWF and 0 is as frequent as 1.

    Most jobs end well, so the more frequent of 0 and 1 is the code of that.
    """
    codes, names = sheet.codes("status_raw")
    numbers = {int(name) for name in names if name.lstrip("-").isdigit()}
    if sheet.meta.format != "swf" or numbers <= SWF_STATUS:
        return none(sheet)
    zeros, ones = (np.count_nonzero(codes == names.index(word)) if word in names else 0 for word in ("0", "1"))
    found: Mask = (codes >= 0) & (zeros >= ones)
    return found


def read_exit_codes(sheet: Sheet, rows: Mask) -> None:
    """Read 0 as COMPLETED, -1 as unknown and all else as FAILED."""
    codes, names = sheet.codes("status_raw")
    ends = {"0": Status.COMPLETED, "-1": Status.UNKNOWN}
    ended = np.array([ends.get(name, Status.FAILED) for name in names], dtype=np.int8)
    sheet.put("status", rows, ended[codes[rows]])


def cancelled_unallocated(sheet: Sheet) -> Mask:
    """Find cancelled jobs of no length that got nothing, in a trace that says what others got."""
    used = np.maximum(sheet.ints("procs_used"), sheet.ints("nodes_used"))
    if not (used[sheet.alive] > 0).any():
        return none(sheet)
    found: Mask = (sheet.ints("status") == Status.CANCELLED) & (sheet.ints("run_ms") == 0) & (used <= 0)
    return found


def no_run(sheet: Sheet) -> Mask:
    """Find jobs without a run time."""
    return unknown(sheet.ints("run_ms"))


def cancelled_or_unsaid(sheet: Sheet) -> Mask:
    """Find jobs that were cancelled or are still pending, or of which the trace does not say how they ended."""
    status = sheet.ints("status")
    found: Mask = np.isin(status, NEVER_STARTED)
    return found


def false_dependency(sheet: Sheet) -> Mask:
    """Find jobs that must follow themselves, a job that is not there, or all the very same job."""
    after = sheet.ints("after_job")
    set_: Mask = after > UNKNOWN
    if not set_.any() or sheet.ints("job_id").dtype.kind != "i":
        return none(sheet)
    if set_.all() and len(after) > 2 and after.min() == after.max():
        return set_
    ids = sheet.ints("job_id")
    found: Mask = set_ & (~np.isin(after, ids[sheet.alive]) | (after == ids))
    return found


def forget_dependency(sheet: Sheet, rows: Mask) -> None:
    """Make the preceding job and the think time unknown."""
    sheet.put("after_job", rows, UNKNOWN)
    if sheet.has("think_ms"):
        sheet.put("think_ms", rows, UNKNOWN)


def no_user(sheet: Sheet) -> Mask:
    """Find jobs without a user."""
    if not sheet.has("user"):
        return np.ones(len(sheet), dtype=np.bool_)
    found: Mask = sheet.codes("user")[0] < 0
    return found


def too_wide(sheet: Sheet) -> Mask:
    """Find jobs larger than the machine."""
    found = none(sheet)
    for kind, most in (("procs", sheet.meta.max_procs), ("nodes", sheet.meta.max_nodes)):
        if most > 0:
            found |= np.maximum(sheet.ints(f"{kind}_used"), sheet.ints(f"{kind}_req")) > most
    return found


def logged_usage(sheet: Sheet) -> tuple[Ints, Ints, Ints]:
    """Give rows with a recorded run; the instants of logged starts and ends; processors in use after each."""
    if "logged usage" in sheet.memo:
        usage: tuple[Ints, Ints, Ints] = sheet.memo["logged usage"]
        return usage
    submit, wait, run, procs = (sheet.ints(name) for name in ("submit_ms", "wait_ms", "run_ms", "procs_used"))
    procs = np.where(procs > 0, procs, sheet.ints("procs_req"))
    ran = np.flatnonzero(sheet.alive & (submit >= 0) & (wait >= 0) & (run > 0) & (procs > 0))
    start = submit[ran] + wait[ran]
    instants = np.concatenate([start + run[ran], start])
    change = np.concatenate([-procs[ran], procs[ran]])
    order = np.argsort(instants, kind="stable")
    sheet.memo["logged usage"] = usage = ran, instants[order], np.cumsum(change[order])
    return usage


def above_capacity(sheet: Sheet) -> Mask:
    """Find jobs that the log says started while, or so that, more was in use than the machine has."""
    found = none(sheet)
    most = sheet.meta.max_procs
    if most <= 0 or unknown(sheet.ints("wait_ms")).all():
        return found
    ran, instants, in_use = logged_usage(sheet)
    start = sheet.ints("submit_ms")[ran] + sheet.ints("wait_ms")[ran]
    settled = np.searchsorted(instants, start, side="right") - 1
    found[ran[in_use[settled] > most]] = True
    return found


def capacity_in_words(sheet: Sheet, rows: Mask) -> str:
    """Say how high the logged usage rose, and for how much of the time it was above the machine's size."""
    if not rows.any():
        return ""
    _, instants, in_use = logged_usage(sheet)
    lasts = np.diff(instants, append=instants[-1])
    share = float(lasts[in_use > sheet.meta.max_procs].sum()) / max(int(instants[-1] - instants[0]), 1)
    return (
        f"peak {int(in_use[lasts > 0].max())} of {sheet.meta.max_procs} processors; "
        f"above the machine's size {share * 100:.2f} % of the time"
    )


def fractions(sheet: Sheet) -> Mask:
    """Find times that are not whole seconds."""
    found = none(sheet)
    for name in ("submit_ms", "wait_ms", "run_ms", "limit_ms"):
        if sheet.has(name):
            found |= (sheet.ints(name) != UNKNOWN) & (sheet.ints(name) % SECOND_MS != 0)
    return found


def round_up_to_seconds(sheet: Sheet, rows: Mask) -> None:
    """Round lengths up and submit times down to whole seconds."""
    for name in ("wait_ms", "run_ms", "limit_ms"):
        if sheet.has(name):
            known = rows & (sheet.ints(name) > 0)
            sheet.put(name, known, -(-sheet.ints(name)[known] // SECOND_MS) * SECOND_MS)
    sheet.put("submit_ms", rows, sheet.ints("submit_ms")[rows] // SECOND_MS * SECOND_MS)


def worst_overrun(sheet: Sheet, rows: Mask) -> str:
    """Say by how much the worst job outlived its limit."""
    if not rows.any():
        return ""
    from apportion.core.units import format_duration

    return f"worst by {format_duration(int((sheet.ints('run_ms') - sheet.ints('limit_ms'))[rows].max()))}"


def split_by_status(sheet: Sheet, rows: Mask) -> str:
    """Say how many of the jobs were cancelled."""
    cancelled = int((rows & (sheet.ints("status") == Status.CANCELLED)).sum())
    return f"{cancelled} cancelled, {int(rows.sum()) - cancelled} of unknown status" if rows.any() else ""
