"""A naive schedule simulator: the clock, the instant rule, and one function to call.

The instant rule: at each instant all ends (by id), then capacity changes, then cancels, then submits (by id),
then one scheduling pass. A job of zero run time started in that pass ends at the same instant: that opens a
further round, with a pass of its own, until a round brings nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from oracles.backfill import Conservative, Easy, Scheduler, SlurmBackfill, Strict
from oracles.jobs import ORDERS, Job, Key, Pool, Window, fits
from oracles.multifactor import Multifactor
from oracles.predictions import Predictions, Predictor
from oracles.world import News, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oracles.quotas import AccountQuotas
    from oracles.turns import Turns


def scheduler_named(backfill: str) -> Scheduler:
    """Return a fresh scheduler: none, easy, easy-sjbf, conservative or slurm."""
    named: dict[str, Scheduler] = {
        "none": Strict(),
        "easy": Easy(),
        "easy-sjbf": Easy(shortest_first=True),
        "conservative": Conservative(),
        "slurm": SlurmBackfill(),
    }
    return named[backfill]


def simulate(
    jobs: Sequence[Job],
    procs: int | Sequence[Pool],
    *,
    order: str | Key = "fcfs",
    backfill: str | Scheduler = "none",
    windows: Sequence[Window] = (),
    max_jobs_per_user: int | None = None,
    follows: Mapping[int, Sequence[tuple[int, int]]] | None = None,
    predictor: Predictor | None = None,
    quotas: AccountQuotas | None = None,
    turns: Turns | None = None,
) -> list[int]:
    """Return the start of each job, -1 for those that never start.

    Parameters ---------- jobs In order of id, not necessarily of submit; `0 <= run <= limit`, `limit >= 1`, and
    no wider than their pool. procs Processors of the only pool, or the pools. order A name of `ORDERS`, or a
    function (job, now) whose smallest value goes first; ties go by submit, then id. It is asked anew at each
    pass. backfill A name (see `scheduler_named`), or a fresh scheduler with its own settings. windows Capacity
    that is known in advance to be away. max_jobs_per_user Jobs that a user may have running at once, over all
    pools. follows For some ids, the ids of the jobs that must have ended, each with the time that must have passed since;
    such a job is submitted then, but not before its own submit.
    quotas Of accounts, by user.
    turns Who is admitted first where shares or usage decide.
    predictor Gives the time that a job is planned with, in place of its limit, from what its user's jobs took so far and its limit.
    """
    pools = [Pool(procs)] if isinstance(procs, int) else list(procs)
    check(jobs, pools, windows)
    scheduler = scheduler_named(backfill) if isinstance(backfill, str) else backfill
    key = ORDERS[order] if isinstance(order, str) else order
    world = World(pools, windows, key, max_jobs_per_user, free=[pool.capacity for pool in pools], quotas=quotas)
    if turns is not None:
        world.turns = replace(turns, begin=min((job.submit for job in jobs), default=0))
        world.known = {job.id: job for job in jobs}
    if predictor is not None:
        world.predictions = Predictions(predictor)
    if isinstance(key, Multifactor):
        key.world, key.jobs = world, {job.id: job for job in jobs}
    follows = follows or {}
    apart = [job for job in jobs if job.id in follows]
    coming = sorted((job for job in jobs if job.id not in follows), key=_by_submit, reverse=True)  # the next one last
    edges = sorted({time for window in windows for time in (window.start, window.end)}, reverse=True)

    cancels = [job.cancel for job in jobs if job.cancel is not None]

    while (instant := next_instant(world, scheduler, coming, edges, cancels)) is not None:
        world.now = instant
        for round_ in range(len(jobs) + 2):
            news = happen(world, coming, edges, apart, follows)
            if not news and round_ > 0:
                break
            decide(world, scheduler, news, first_round=round_ == 0)
        else:
            raise AssertionError(f"the rounds at {instant} do not end")
    return [world.starts.get(job.id, -1) for job in jobs]


def decide(world: World, scheduler: Scheduler, news: News, *, first_round: bool) -> None:
    """Make a pass; and with quotas, where the start of a job may let others come to their turn, more until nothing starts."""
    before = -1
    while len(world.starts) > before:
        before = len(world.starts)
        scheduler.decide(world, news, first_round=first_round)
        if world.quotas is None:
            return
        news, first_round = News(), False


def next_instant(
    world: World, scheduler: Scheduler, coming: list[Job], edges: list[int], cancels: list[int]
) -> int | None:
    """Return the next time at which anything can happen; to cancel what runs, or is over, comes to nothing, but the scheduler looks."""
    if not coming and not world.running and not world.pending:
        return None
    times = [start + job.run for job, start in world.running]
    times += [time for time in cancels if time > world.now]
    times += [job.submit for job in coming[-1:]]
    times += edges[-1:]
    if world.predictions is not None and world.pending:
        times += [start + job.limit for job, start in world.running if job.run > job.limit]
    if isinstance(world.key, Multifactor) and world.pending:
        times.append(world.key.tick(world.now) + world.key.period)
    if world.turns is not None and world.turns.usage is not None and world.pending and world.running:
        times.append((world.now // world.turns.usage.interval + 1) * world.turns.usage.interval)
    wake = scheduler.wakes_at(world)
    if wake is not None:
        times.append(wake)
    return min(times, default=None)


def _by_submit(job: Job) -> tuple[int, int]:
    return job.submit, job.id


def release(
    world: World, coming: list[Job], apart: list[Job], follows: Mapping[int, Sequence[tuple[int, int]]]
) -> None:
    """Let those come whose predecessors have all ended."""
    if not apart:
        return
    for job in list(apart):
        if all(before in world.ends for before, _ in follows[job.id]):
            time = max([job.submit, *(world.ends[before] + delay for before, delay in follows[job.id])])
            apart.remove(job)
            coming.append(replace(job, submit=time))
    coming.sort(key=_by_submit, reverse=True)


def happen(
    world: World,
    coming: list[Job],
    edges: list[int],
    apart: list[Job],
    follows: Mapping[int, Sequence[tuple[int, int]]],
) -> News:
    """Apply all that happens now, in the order of the instant rule."""
    now, news = world.now, News()
    over = [(job, start) for job, start in world.running if start + job.run <= now]
    for job, start in sorted(over, key=lambda pair: pair[0].id):
        world.end(job, start)
        if world.predictions is not None:
            world.predictions.note(job)
        news.ended += 1
        news.freed = news.freed or job.run < job.limit
    release(world, coming, apart, follows)
    while edges and edges[-1] <= now:
        edges.pop()
        news.capacity += 1
    if news.capacity:
        set_free(world)
    for job in [job for job in world.pending if job.cancel is not None and job.cancel <= now]:
        world.pending.remove(job)
        news.cancelled += 1
    while coming and coming[-1].submit <= now:
        job = coming.pop()
        if job.cancel is None or job.cancel > now:
            world.pending.append(job if world.predictions is None else world.predictions.of(job))
        news.submitted += 1
    if world.predictions is not None:
        news.corrected = world.predictions.correct(world)
    return news


def set_free(world: World) -> None:
    """Count what is free now in each pool."""
    world.free = [world.profile(pool).at(world.now) for pool in range(len(world.pools))]


def check(jobs: Sequence[Job], pools: Sequence[Pool], windows: Sequence[Window]) -> None:
    """Refuse what the definitions do not cover."""
    if any(a.id >= b.id for a, b in pairwise(jobs)):
        raise ValueError("ids must ascend")
    for job in jobs:
        if not (0 <= job.run <= job.limit and job.limit >= 1):
            raise ValueError(f"job {job.id}: run {job.run}, limit {job.limit}")
        if min(job.need) < 0 or job.procs < 1 or not fits(job.need, pools[job.pool].capacity):
            raise ValueError(f"job {job.id} needs {job.need} of a pool of {pools[job.pool].capacity}")
    for window in windows:
        if window.start >= window.end:
            raise ValueError(f"empty window at {window.start}")
