"""What is known of one job of a run, as plain data: from its run folder, and from the core that is asked once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import RunError
from apportion.sim.why.rerun import Change, Rerun

if TYPE_CHECKING:
    from apportion.metrics.run import Run

MINUTE_MS: Final = 60_000
SHOWN: Final = 5  # jobs that are named
COLUMNS: Final = (
    *(
        "job_id",
        "own_id",
        "user",
        "account",
        "qos",
        "home",
        "center",
        "moved",
        "partition",
        "procs",
        "dataset",
        "submit_s",
        "start_s",
    ),
    *(
        "end_s",
        "run_s",
        "limit_s",
        "wait_s",
        "state",
        "restarts",
        "reasons",
        "bound_s",
        "predicted_start_s",
        "transfer_s",
    ),
)
TERMS: Final = ("start_s", "data_s", "run_s", "cost", "energy_kwh", "carbon_kg", "failure", "away")


def facts(run: Run, job_id: str, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Gather what is known of a job.

    Parameters
    ----------
    run : Run
    job_id : str
        As in ``jobs.parquet``; in a federation also ``CENTER/ID`` with the id in that center's own trace.
    say : callable, optional
        Told what is done, which may take a minute.

    Returns
    -------
    dict
        Times are in seconds from the origin of the trace. ``history`` : where the job was and why it waited, from when to when;
        ``plans`` : starts that were planned for it; ``ahead`` : who waited, ran, and started meanwhile; ``placements`` : what the broker made of
        each center; ``changes`` : what would have let it start sooner, or not.

    Raises
    ------
    RunError
        If there is no such job, or the folder was made by a core that decides otherwise.
    """
    place = _find(run, job_id)
    row = run.jobs.iloc[place]
    rerun = Rerun.of(run.folder)
    job = int(row["job_id"]) - 1 if rerun.is_federation else rerun.job_of_id(row["job_id"])
    found: dict[str, Any] = {name: _plain(row[name]) for name in COLUMNS if name in row}
    found["origin_ms"] = run.manifest.get("origin_ms")
    if job < 0:
        return found
    origin = int(run.manifest.get("origin_ms") or 0)
    say("replay until this job starts")
    seen = rerun.watch(job, int(row["restarts"]))
    start_ms = -1 if np.isnan(row["start_s"]) else round(float(row["start_s"]) * 1000) + origin
    last_ms = seen.starts_ms[-1] if seen.starts_ms else -1
    if last_ms != start_ms:
        raise RunError(
            "the core decides otherwise today than when this run was made", "replay it anew first", path=run.folder
        )
    gave_up = last_ms < 0 and not np.isnan(row["end_s"])
    left_ms = round(float(row["end_s"]) * 1000) + origin if gave_up else last_ms
    until = [moment.time_ms for moment in seen.history[1:]] + [left_ms]
    found["history"] = [
        {
            "from_s": (moment.time_ms - origin) / 1000.0,
            "to_s": (end - origin) / 1000.0 if end >= 0 else None,
            "where": moment.where,
            "center": moment.center,
            "reasons": list(moment.reasons),
            "first_in_line": moment.first,
        }
        for moment, end in zip(seen.history, until, strict=False)
    ]
    found["plans"] = [
        {"at_s": (when - origin) / 1000.0, "start_s": (plan - origin) / 1000.0} for when, plan in seen.plans
    ]
    found["ahead"] = {"rank": seen.rank, "pending": seen.pending, **_others(run, place)}
    found["placements"] = _placements(run, row)
    found["transfers"] = _transfers(run, row)
    found["preemptions"] = _preemptions(run, row)
    found["starts_s"] = [(start - origin) / 1000.0 for start in seen.starts_ms]
    first_ms = seen.starts_ms[0] if seen.starts_ms else -1
    found["changes"] = _changes(rerun, job, first_ms, origin, found, say) if found["history"] else []
    return found


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _find(run: Run, job_id: str) -> int:
    """Position of a job in the table."""
    ids = run.jobs["job_id"].astype(str).to_numpy()
    found = np.flatnonzero(ids == job_id)
    center, _, own = job_id.rpartition("/")
    if not len(found) and center and "own_id" in run.jobs:
        there = (run.jobs["home"].astype(str) == center) & (run.jobs["own_id"].astype(str) == own)
        found = np.flatnonzero(there.to_numpy())
    if not len(found):
        example = f"{ids[0]}" + (f", or {run.jobs['home'].iloc[0]}/ID" if "home" in run.jobs else "")
        raise RunError(f"no job has the id {job_id}", f"write it as `apportion jobs` does: {example}", path=run.folder)
    return int(found[0])


def _others(run: Run, place: int) -> dict[str, Any]:
    """Who had the machine, or got it, while a job waited where it ran in the end (else where it was submitted)."""
    jobs, row = run.jobs, run.jobs.iloc[place]
    submit, start, end = run.submit_s, run.start_s, run.end_s
    here = np.ones(len(jobs), bool)
    if "home" in jobs:
        here &= (jobs["center"].astype(str) == str(row["center"])).to_numpy()
    here[place] = False
    begin = row["submit_s"]
    until = next((row[name] for name in ("start_s", "end_s") if not np.isnan(row[name])), run.horizon_s)
    ran = here & (start <= begin) & (end > begin)
    meanwhile = here & (start > begin) & (start < until)
    later = meanwhile & (submit > begin)
    earlier = meanwhile & ~later
    ids = jobs["job_id"].to_numpy()
    cores = jobs["procs"].to_numpy()

    def largest(mask: Any) -> list[Any]:
        some = np.flatnonzero(mask)
        return [_plain(ids[k]) for k in some[np.argsort(-cores[some], kind="stable")][:SHOWN]]

    return {
        "ran_at_submit": {"jobs": int(ran.sum()), "procs": int(cores[ran].sum()), "largest": largest(ran)},
        "started_submitted_earlier": {
            "jobs": int(earlier.sum()),
            "core_h": float(run.core_s[earlier].sum() / 3600.0),
            "largest": largest(earlier),
        },
        "started_submitted_later": {
            "jobs": int(later.sum()),
            "core_h": float(run.core_s[later].sum() / 3600.0),
            "largest": largest(later),
        },
    }


def _placements(run: Run, row: pd.Series) -> list[dict[str, Any]]:
    """Every time the broker bound the job: what it made of each partition of each center."""
    path = run.folder / "placements.parquet"
    if not path.is_file():
        return []
    table = pd.read_parquet(path, filters=[("job_id", "==", int(row["job_id"]))])
    found = []
    for _, rows in table.groupby("decision", sort=True):
        options = [
            {name: _plain(entry[name]) for name in ("center", "partition", "chosen", "refused", "score", *TERMS)}
            for entry in rows.to_dict("records")
            if "score" in entry
        ]
        chosen = rows[rows["chosen"]].iloc[0]
        found.append({"time_s": float(chosen["time_s"]), "center": str(chosen["center"]), "options": options})
    return found


def _transfers(run: Run, row: pd.Series) -> list[dict[str, Any]]:
    """Copies of the job's data to where it ran that were under way while it waited."""
    path = run.folder / "transfers.parquet"
    if not path.is_file() or not row.get("dataset"):
        return []
    table = pd.read_parquet(path)
    until = next((row[name] for name in ("start_s", "end_s") if not np.isnan(row[name])), run.horizon_s)
    mine = (table["dataset"] == row["dataset"]) & (table["center"] == row["center"])
    mine &= (table["begin_s"] <= until) & ~(table["end_s"] < row["submit_s"])
    return [{str(k): _plain(v) for k, v in entry.items()} for entry in table[mine].to_dict("records")]


def _preemptions(run: Run, row: pd.Series) -> list[dict[str, Any]]:
    """Each time the job was stopped before its end."""
    path = run.folder / "preemptions.parquet"
    if not path.is_file():
        return []
    table = pd.read_parquet(path, filters=[("job_id", "==", row["job_id"])])
    return [{str(k): _plain(v) for k, v in entry.items()} for entry in table.to_dict("records")]


def _changes(
    rerun: Rerun, job: int, start_ms: int, origin: int, found: dict[str, Any], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The smallest changes that let the job start sooner; each was replayed."""
    limit_ms, procs, run_ms = rerun.own(job)
    asked: list[dict[str, Any]] = []

    def sooner(change: Change) -> int | None:
        """When it starts then, if that is sooner."""
        then = rerun.start_ms(job, change)
        return then if then >= 0 and (start_ms < 0 or then < start_ms) else None

    def note(kind: str, old: Any, new: Any, then: int | None, **more: Any) -> None:
        helped = None if then is None else (then - origin) / 1000.0
        gain = None if then is None or start_ms < 0 else (start_ms - then) / 1000.0
        asked.append({"kind": kind, "from": old, "to": new, "start_s": helped, "sooner_s": gain, **more})

    say("ask what a shorter limit would have done")
    unit = MINUTE_MS if limit_ms >= MINUTE_MS else 1000
    least = -(-run_ms // unit)  # with less it would not have finished
    largest, then = _largest(least, (limit_ms - 1) // unit, lambda n: sooner(Change(limit_ms=n * unit)))
    if least * unit < limit_ms:
        note("limit_s", limit_ms / 1000.0, (largest if then is not None else least) * unit / 1000.0, then)
    if procs > 1:
        say("ask what fewer processors would have done")
        most, then = _largest(1, procs - 1, lambda n: sooner(Change(procs=n)))
        note("procs", procs, most if then is not None else 1, then)
    for center in rerun.centers:
        if center == found["center"]:
            continue
        say(f"ask what {center} would have done")
        then_ms = rerun.start_ms(job, Change(center=center))
        better = then_ms if then_ms >= 0 and (start_ms < 0 or then_ms < start_ms) else None
        note("center", found["center"], center, better, possible=then_ms >= 0)
    return asked


def _largest(low: int, high: int, ask: Callable[[int], int | None]) -> tuple[int, int | None]:
    """Largest number found, by halving, for which ``ask`` has an answer, and the answer; if it has none for ``low``, that is not looked further."""
    if low > high:
        return low, None
    best, answer = low, ask(low)
    if answer is None:
        return low, None
    low += 1
    while low <= high:
        middle = (low + high) // 2
        then = ask(middle)
        if then is None:
            high = middle - 1
        else:
            best, answer, low = middle, then, middle + 1
    return best, answer
