"""A new trace that resembles a given one.

A user's weeks are the units of activity: each is moved, as a whole, to another of the same four weeks, differently for
each user, and the fours are shuffled. So days and weeks keep their rhythm and a user's bursts stay bursts, while who
meets whom on the machine is new. Within that frame everything is drawn again: when a session begins, the pauses between
its jobs, which of the user's requests of those weeks it holds, and how long they run. Limits and sizes stay the round
values people choose. Traces of less than three weeks are cut into days instead.

References
----------
N. Zakay, D. G. Feitelson, "Workload resampling for performance evaluation of parallel job schedulers", Concurrency and
Computation: Practice and Experience 26(12), 2014, doi:10.1002/cpe.3240: users as the units of resampling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from apportion.traces.schema import BY_NAME, Trace
from apportion.traces.synth.assemble import DAY_MS, SECOND_MS, assemble, generators, labels, require
from apportion.traces.synth.likeness import WEEK_MS, Jobs, LikenessReport, comparable, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.traces.synth.assemble import Ints

SESSION_GAP_MS: Final = 20 * 60 * SECOND_MS  # a longer pause begins a new session
START_SHIFT_MS: Final = 15 * 60 * SECOND_MS  # a session begins up to this much earlier or later
BLOCK_PERIODS: Final = {WEEK_MS: 4, DAY_MS: 7}  # a period is moved within its block
LONELY_SPREAD: Final = 0.05  # a value without a like in its class varies by up to five percent

REQUESTS: Final = ("nodes_req", "mem_req_kib", "gpus_req")
KEPT_LABELS: Final = ("qos", "queue", "partition")


class _Frame(NamedTuple):
    """The source, cut into users' periods and sessions (all int64, one entry a job unless said otherwise)."""

    jobs: Jobs
    person: Ints  # user, all jobs of unknown users being one
    account: Ints
    request: Ints  # class of jobs that ask for the same
    period: Ints
    into: Ints  # ms since the period's begin
    block: Ints
    session: Ints
    pause: Ints  # ms since the session's last job; 0 for its first
    period_ms: int
    whole: int  # periods that are complete
    begin: int  # ms at which period 0 begins
    resolution: int


def _group(*columns: NDArray[Any]) -> Ints:
    """Give each different row of some columns a number."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, _ = pd.factorize(column)
        code, _ = pd.factorize(code * (int(values.max(initial=0)) + 1) + values)
    return code.astype(np.int64)


def _frame(trace: Trace, jobs: Jobs, rows: Ints) -> _Frame:
    person = _group(jobs.user)
    account = trace.labels("account")[0][rows]
    asked = [trace.column(name)[rows] for name in REQUESTS if name in trace.jobs.columns]
    asked += [trace.labels(name)[0][rows] for name in KEPT_LABELS if name in trace.jobs.columns]
    request = _group(person, account, jobs.procs, jobs.limit, *asked)

    begin = int(jobs.submit[0]) // DAY_MS * DAY_MS
    span = int(jobs.submit[-1]) - begin
    period_ms = WEEK_MS if span >= 3 * WEEK_MS else DAY_MS
    period, into = np.divmod(jobs.submit - begin, period_ms)

    order = np.lexsort((np.arange(len(rows)), person))
    gap = np.diff(jobs.submit[order], prepend=0)
    new = (np.diff(person[order], prepend=-1) != 0) | (np.diff(period[order], prepend=-1) != 0) | (gap > SESSION_GAP_MS)
    session = np.empty(len(rows), dtype=np.int64)
    session[order] = np.cumsum(new) - 1
    pause = np.empty_like(session)
    pause[order] = np.where(new, 0, gap)
    return _Frame(
        jobs=jobs,
        person=person,
        account=account,
        request=request,
        period=period,
        into=into,
        block=period // BLOCK_PERIODS[period_ms],
        session=session,
        pause=pause,
        period_ms=period_ms,
        whole=span // period_ms,
        begin=begin,
        resolution=SECOND_MS if not (jobs.submit % SECOND_MS).any() else 1,
    )


def smooth(values: Ints, group: Ints, rng: np.random.Generator) -> Ints:
    """Move each value part of the way towards a neighbour of its group: new values, the same distribution.

    Up to half of the way to the next smaller or the next larger value of the group; beyond the smallest and the largest
    lies the mirror image of their neighbour, so that the mean stays too. Values that occur more than once in the group
    stay: they are habits (a limit reached, a script's pause), not chance. A value alone in its group varies by up to
    five percent.

    Parameters
    ----------
    values : int64[n]
        Not negative.
    group : int64[n]
    rng : Generator

    Returns
    -------
    int64[n]
        Not negative.
    """
    order = np.lexsort((values, group))
    value, key = values[order], group[order]
    last = len(value) - 1
    here = np.arange(len(value))
    step = np.where(rng.random(len(value)) < 0.5, -1, 1)
    share = rng.uniform(0.0, 0.5, len(value))

    def neighbour(side: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        at = np.clip(here + side, 0, last)
        return (key[at] == key) & (at != here), value[at] - value

    towards, way = neighbour(step)
    away, back = neighbour(-step)
    moved = value + share * np.where(towards, way, np.where(away, -back, 0))
    lonely = ~towards & ~away
    moved = np.where(lonely, value * (1.0 + LONELY_SPREAD * step * 2.0 * share), moved)
    habit = (towards & (way == 0)) | (away & (back == 0))
    result = np.empty_like(values)
    result[order] = np.where(habit, value, np.maximum(np.rint(moved), 0).astype(np.int64))
    return result


def _new_periods(frame: _Frame, rng: np.random.Generator) -> Ints:
    """Draw where each whole period of each person goes (int64, persons x periods): within its block, shuffled."""
    persons, size = int(frame.person.max()) + 1, BLOCK_PERIODS[frame.period_ms]
    target = np.empty((persons, frame.whole), dtype=np.int64)
    full = frame.whole // size  # a shorter block at the end stays there
    place = np.append(rng.permutation(full), full)
    for block in range(-(-frame.whole // size)):
        periods = slice(block * size, min((block + 1) * size, frame.whole))
        chance = rng.random((persons, periods.stop - periods.start))
        target[:, periods] = place[block] * size + np.argsort(chance, axis=1)
    return target


def _one_pass(frame: _Frame, last: bool, rngs: list[np.random.Generator]) -> tuple[Ints, Ints, Ints]:
    """Draw the whole source once: submit times from the frame's begin, whose request each job takes, and run times."""
    move_rng, time_rng, deal_rng, run_rng = rngs
    jobs, unit = frame.jobs, frame.resolution
    moves = frame.period < frame.whole
    target = frame.period.copy()
    if frame.whole:
        target[moves] = _new_periods(frame, move_rng)[frame.person[moves], frame.period[moves]]

    sessions = int(frame.session.max()) + 1
    shift = time_rng.integers(-START_SHIFT_MS // unit, START_SHIFT_MS // unit + 1, size=sessions) * unit
    pause = np.zeros_like(frame.pause)
    inner = np.flatnonzero(frame.pause > 0)
    pause[inner] = np.maximum(smooth(frame.pause[inner] // unit, frame.person[inner], time_rng), 1) * unit
    order = np.argsort(frame.session, kind="stable")
    passed = np.empty_like(pause)
    running = np.cumsum(pause[order])
    first = np.searchsorted(frame.session[order], np.arange(sessions))
    passed[order] = running - running[first][frame.session[order]]
    begins = np.empty_like(pause)
    begins[order] = frame.into[order][first][frame.session[order]]
    submit = target * frame.period_ms + begins + shift[frame.session] + passed

    # the days of a user in a block exchange what they ask for; within a day the order stays
    slots = np.lexsort((np.arange(len(submit)), frame.block, frame.person))
    day = _group(frame.person, frame.block, (frame.jobs.submit - frame.begin) // DAY_MS)
    chance = deal_rng.random(int(day.max()) + 1)[day]
    contents = np.lexsort((np.arange(len(submit)), chance, frame.block, frame.person))
    donor = np.empty_like(submit)
    donor[slots] = contents

    run_unit = SECOND_MS if not (jobs.run % SECOND_MS).any() else 1
    crowd = np.bincount(frame.request)[frame.request]
    wider = _group(jobs.procs, jobs.limit) + int(frame.request.max()) + 1
    run = smooth(jobs.run // run_unit, np.where(crowd >= 3, frame.request, wider), run_rng) * run_unit
    run = np.where((jobs.limit > 0) & (jobs.run <= jobs.limit), np.minimum(run, jobs.limit), run)[donor]
    kept = np.ones(len(submit), dtype=bool) if last else moves
    return submit[kept], donor[kept], run[kept]


def _ranked(codes: Ints) -> tuple[Ints, int]:
    """Renumber codes by how often they occur (-1 stays), and say how many there are."""
    known = codes[codes >= 0]
    if not len(known):
        return codes, 0
    counts = np.bincount(known)
    rank = np.empty(len(counts) + 1, dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    rank[-1] = -1
    return rank[codes], int((counts > 0).sum())


def like(trace: Trace, n_jobs: int | None = None, seed: int = 0) -> tuple[Trace, LikenessReport]:
    """Make a synthetic trace that resembles ``trace``, and measure how near it comes.

    Parameters
    ----------
    trace : Trace
        The source. Jobs without a run time or a size are not imitated. A cleaned trace gives a cleaner likeness.
    n_jobs : int, optional
        Jobs to make; as many as are imitated by default. Fewer end earlier, more go on with further passes over the
        source's weeks, each different, at the same rate and with the same users.
    seed : int
        Not negative; the same seed gives the same trace.

    Returns
    -------
    synthetic : Trace
        With requests, run times, limits and statuses as far as the source knows them, new names for users and accounts,
        and the source's own names for QOS, queues and partitions. Waits are left to the scheduler.
    report : LikenessReport
        Distances of distributions, autocorrelation, load and users of both.

    Raises
    ------
    TraceError
        If no job of the source ran, or ``n_jobs`` is below 1, or above what a source of less than a day can give.

    Notes
    -----
    The gap between two submits is not fitted as such: it follows from users who submit independently of each other, as
    it does on real machines. A source whose arrivals ignore its users (`lublin` with sessions) is met less well there.
    """
    jobs, rows = comparable(trace)
    require(
        len(rows) > 0,
        f"no job of {trace.meta.name or 'the trace'} has both a run time and a size, so it cannot be imitated",
    )
    wanted = len(rows) if n_jobs is None else n_jobs
    require(wanted >= 1, f"a workload needs at least one job, not {wanted}")
    frame = _frame(trace, jobs, rows)
    in_whole = int((frame.period < frame.whole).sum())
    passes = max(1, -(-(wanted - len(rows)) // in_whole) + 1) if in_whole else 1
    require(
        in_whole > 0 or wanted <= len(rows), "the source is too short to go on from: ask for no more jobs than it has"
    )

    rngs = generators(seed, 4)
    parts = [_one_pass(frame, index == passes - 1, rngs) for index in range(passes)]
    submit = np.concatenate([part[0] + index * frame.whole * frame.period_ms for index, part in enumerate(parts)])
    submit = np.maximum(submit, int(jobs.submit[0]) - frame.begin) + frame.begin
    order = np.argsort(submit, kind="stable")[:wanted]
    submit = submit[order]
    donor = np.concatenate([part[1] for part in parts])[order]
    run = np.concatenate([part[2] for part in parts])[order]

    taken = rows[donor]
    columns: dict[str, Any] = {"submit_ms": submit, "run_ms": run, "procs_req": jobs.procs[donor]}
    if (jobs.limit > 0).any():
        columns["limit_ms"] = jobs.limit[donor]
    columns |= {name: trace.column(name)[taken] for name in REQUESTS if name in trace.jobs.columns}
    for name, prefix, source in (("user", "u", jobs.user), ("account", "a", frame.account)):
        ranked, count = _ranked(source[donor])
        if count:
            columns[name] = labels(ranked, prefix, count)
    columns |= {name: trace.jobs[name].array[taken] for name in KEPT_LABELS if name in trace.jobs.columns}
    if "status" in trace.jobs.columns:
        columns["status"] = trace.column("status")[taken].astype(BY_NAME["status"].kind)

    name = trace.meta.name or "trace"
    synthetic = assemble(
        f"like-{name}",
        columns,
        procs=trace.meta.max_procs,
        origin_ms=trace.meta.origin_ms,
        source=f"apportion, in the likeness of {name}",
        parameters={
            "generator": "like",
            "source": name,
            "sha256": trace.meta.sha256,
            "n_jobs": wanted,
            "seed": int(seed),
        },
        timezone=trace.meta.timezone,
    )
    return synthetic, measure(trace, synthetic)
