"""Schedules in which jobs are stopped before their end: failures of jobs and processors, told naively."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oracles.backfill import Conservative
from oracles.jobs import ORDERS, Job, Pool
from oracles.schedule import scheduler_named, set_free
from oracles.world import News, World

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Fault:
    """At ``time`` job ``job`` fails, or ``procs`` processors of a pool do (the block of neighbours that ``position`` / 2^32 picks) until ``back``."""

    time: int
    job: int = -1
    pool: int = 0
    procs: int = 0
    position: int = 0
    back: int = 0


@dataclass
class Told:
    """``starts`` : of each job, the last one, -1 none. ``stops`` : (time, job, start) in order. ``over`` : jobs that may not be queued again."""

    starts: list[int]
    stops: list[tuple[int, int, int]]
    over: set[int]


def side_by_side(world: World, pool: int, procs: int, position: int) -> list[Job]:
    """The running jobs of a pool that a block of failing processors touches: by expected end, of equals who started first."""
    begin = position * (max(world.pools[pool].procs - procs, 0) + 1) // 2**32
    block = set(range(begin, begin + procs))
    mine = [(start + job.limit, k, job) for k, (job, start) in enumerate(world.running) if job.pool == pool]
    found, at = [], 0
    for _, _, job in sorted(mine, key=lambda row: row[:2]):
        if block & set(range(at, at + job.procs)):
            found.append(job)
        at += job.procs
    return found


def simulate(
    jobs: Sequence[Job],
    pools: Sequence[Pool],
    faults: Sequence[Fault],
    order: str,
    backfill: str,
    *,
    requeue: bool = True,
) -> Told:
    """Replay jobs and faults; no job may be wider than what is ever left of its pool."""
    scheduler = scheduler_named(backfill)
    world = World(list(pools), (), ORDERS[order], None, free=[pool.capacity for pool in pools])
    told = Told([-1] * len(jobs), [], set())
    coming = sorted(jobs, key=lambda job: (job.submit, job.id))
    happens = sorted(
        [(f.time, 1 if f.job >= 0 else 3, f.job if f.job >= 0 else k, f) for k, f in enumerate(faults)]
        + [(f.back, 2, k, f) for k, f in enumerate(faults) if f.job < 0],
        key=lambda row: row[:3],
    )

    def stop(job: Job) -> None:
        start = world.starts.pop(job.id)
        world.running.remove((job, start))
        told.stops.append((world.now, job.id, start))
        if requeue:
            world.pending.append(job)
        else:
            told.over.add(job.id)

    def change(pool: int, procs: int) -> None:
        world.pools[pool] = Pool(world.pools[pool].procs + procs)  # type: ignore[index]
        if isinstance(scheduler, Conservative):
            scheduler.plan.clear()

    while coming or happens or world.running or world.pending:
        times = [start + job.run for job, start in world.running] + [job.submit for job in coming[:1]]
        times += [row[0] for row in happens[:1]]
        wake = scheduler.wakes_at(world)
        world.now = min(times + ([] if wake is None else [wake]))
        first = True
        while True:
            news = _happen(world, coming, happens, stop, change)
            if not news and not first:
                break
            scheduler.decide(world, news, first_round=first)
            first = False
    for id_, start in world.starts.items():
        told.starts[id_] = start
    return told


def _happen(world: World, coming: list[Job], happens: list, stop, change) -> News:  # type: ignore[no-untyped-def, type-arg]
    now, news = world.now, News()
    for job, start in sorted(world.running, key=lambda pair: pair[0].id):
        if start + job.run <= now:
            world.end(job, start)
            news.ended += 1
            news.freed = news.freed or job.run < job.limit
    while happens and happens[0][0] <= now:
        _, kind, _, fault = happens.pop(0)
        news.capacity += 1
        if kind == 2:
            change(fault.pool, fault.procs)
            continue
        if kind == 1:
            hit = [job for job, _ in world.running if job.id == fault.job]
        else:
            hit = side_by_side(world, fault.pool, fault.procs, fault.position)
        for job in hit:
            stop(job)
            news.freed = True
        if kind == 3:
            change(fault.pool, -fault.procs)
    if news.capacity:
        set_free(world)
    while coming and coming[0].submit <= now:
        world.pending.append(coming.pop(0))
        news.submitted += 1
    return news
