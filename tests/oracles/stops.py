"""Schedules in which jobs are stopped before their end, told naively: failures of jobs and processors, preemption, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from oracles import reclaim as lending
from oracles.backfill import Conservative
from oracles.jobs import ORDERS, Job, Pool, Vector, fits, minus, plus
from oracles.schedule import decide, scheduler_named, set_free
from oracles.world import News, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.quotas import AccountQuotas


@dataclass(frozen=True)
class Fault:
    """At ``time`` job ``job`` fails, or ``procs`` processors of a pool do (the block of neighbours that ``position`` / 2^32 picks) until ``back``."""

    time: int
    job: int = -1
    pool: int = 0
    procs: int = 0
    position: int = 0
    back: int = 0


@dataclass(frozen=True)
class Preempt:
    """Who may preempt whom; a job's class is its user. Times in ms, amounts in processor-ms.

    ``may`` : pairs of classes. ``worth`` : lowest goes first. ``cancel`` : classes whose jobs are cancelled, not queued again; ``write``,
    ``suspend`` : that write a checkpoint when they are preempted, or are suspended. ``grace`` : of each class.
    """

    may: frozenset[tuple[int, int]] = frozenset()
    worth: tuple[int, ...] = (0, 0, 0)
    cancel: frozenset[int] = frozenset()
    write: frozenset[int] = frozenset()
    suspend: frozenset[int] = frozenset()
    grace: tuple[int, ...] = (0, 0, 0)
    exempt: int = 0
    again: int = 0
    youngest_first: bool = False
    min_wait: int = 0
    min_gain: float = 0
    rate_limit: int | None = None
    lost_budget: int | None = None
    caused_budget: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """After each ``interval`` of work one is written (0: never by itself); ms."""

    interval: int
    write: int = 0
    restart: int = 0


@dataclass
class Told:
    """``starts`` : of each job, the last one, -1 none. ``stops`` : (time, job, start, by, lost ms) in order.

    ``over`` : jobs that may not be queued again.
    """

    starts: list[int]
    stops: list[tuple[int, int, int, int, int]]
    over: set[int] = field(default_factory=set)
    saved: dict[int, int] = field(default_factory=dict)
    begun: bool = False
    leaving: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # end of the grace of a job, and for whom it leaves
    claims: list[int] = field(default_factory=list)
    suspended: list[int] = field(default_factory=list)
    caused: list[tuple[int, int, int]] = field(
        default_factory=list
    )  # time, class that caused it, class that lost; processor-ms beside
    costs: list[int] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)  # jobs that have stopped others for quota
    lost: set[int] = field(default_factory=set)  # of these, those that then gave way to another account


def timeline(work: int, restart: int, checkpoint: Checkpoint | None) -> tuple[int, list[tuple[int, int]]]:
    """How long ``work`` takes with a checkpoint written whenever there is work left, and (time, work done) of each."""
    if checkpoint is None or checkpoint.interval == 0:
        return restart + work, []
    time, done, points = restart, 0, []
    while work - done > checkpoint.interval:
        time += checkpoint.interval + checkpoint.write
        done += checkpoint.interval
        points.append((time, done))
    return time + work - done, points


def worked(work: int, ran: int, restart: int, checkpoint: Checkpoint | None) -> int:
    """How much of its work a job has done after ``ran`` ms, ms by ms of it."""
    points = timeline(work, restart, checkpoint)[1]
    time, done = max([(restart, 0), *(point for point in points if point[0] <= ran)])
    return done + max(min(ran - time, checkpoint.interval if checkpoint and checkpoint.interval else ran), 0)


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
    preempt: Preempt | None = None,
    checkpoint: Checkpoint | None = None,
    quotas: AccountQuotas | None = None,
    reclaim: lending.Reclaim | None = None,
) -> Told:
    """Replay jobs and faults; no job may be wider than what is ever left of its pool."""
    scheduler = scheduler_named(backfill)
    first_of = {job.id: job for job in jobs}
    world = World(
        list(pools),
        (),
        lambda job, now: ORDERS[order](first_of[job.id], now),
        None,
        free=[pool.capacity for pool in pools],
        quotas=quotas,
    )
    told = Told([-1] * len(jobs), [], set())
    happens = sorted(
        [(f.time, 1 if f.job >= 0 else 3, f.job if f.job >= 0 else k, f) for k, f in enumerate(faults)]
        + [(f.back, 2, k, f) for k, f in enumerate(faults) if f.job < 0],
        key=lambda row: row[:3],
    )

    def ready(id_: int) -> Job:
        """The job as it will run next."""
        job, saved = first_of[id_], told.saved.get(id_, 0)
        restart = checkpoint.restart if checkpoint and saved else 0
        times = [timeline(whole - saved, restart, checkpoint)[0] for whole in (job.run, job.limit)]
        return replace(job, run=times[0], limit=times[1])

    def kept(job: Job, start: int, more: int = 0) -> tuple[int, int]:
        """Work that a stop ``more`` ms from now leaves, and ms that it loses."""
        saved = told.saved.get(job.id, 0)
        restart = checkpoint.restart if checkpoint and saved else 0
        points = timeline(first_of[job.id].run - saved, restart, checkpoint)[1]
        ran = world.now + more - start
        time, done = max([(0, 0), *(point for point in points if point[0] <= ran)])
        return saved + done, ran - time

    wakes: set[int] = set()  # when somebody may be stopped who is still safe

    def stop(job: Job, by: int = -1, *, again: bool = requeue, alive: int | None = None) -> None:
        """``alive`` : ms at the end in which it did not work, if all its work is kept."""
        start = world.starts.pop(job.id)
        world.running.remove((job, start))
        saved, lost = kept(job, start)
        if alive is not None:
            before, lost = told.saved.get(job.id, 0), 0
            restart = checkpoint.restart if checkpoint and before else 0
            saved = before + worked(first_of[job.id].run - before, world.now - start - alive, restart, checkpoint)
        told.leaving.pop(job.id, None)
        told.stops.append((world.now, job.id, start, by, lost if again else world.now - start))
        if again:
            told.saved[job.id] = saved
            world.pending.append(ready(job.id))
        else:
            told.over.add(job.id)

    coming = sorted((ready(job.id) for job in jobs), key=lambda job: (job.submit, job.id))

    def change(pool: int, procs: int) -> None:
        world.pools[pool] = Pool(world.pools[pool].procs + procs)  # type: ignore[index]
        if isinstance(scheduler, Conservative):
            scheduler.plan.clear()

    while coming or happens or world.running or world.pending:
        times = [start + job.run for job, start in world.running] + [job.submit for job in coming[:1]]
        times += [row[0] for row in happens[:1]]
        if preempt is not None:
            times += [start + max(preempt.exempt, 1000) for _, start in world.running] + [
                j.submit + preempt.min_wait for j in world.pending
            ]
            times += [(world.now // HOUR + 1) * HOUR] * bool(world.pending)
            times += [time + preempt.again for time, *_ in told.stops]
            times += [until for until, _ in told.leaving.values()]
            times = [time for time in times if time > world.now or not told.begun]
        times += wakes
        told.begun = True
        wake = scheduler.wakes_at(world)
        times += [] if wake is None else [wake]
        if not times:
            break  # what waits, waits for ever
        world.now = min(times)
        first = True
        while True:
            news = _happen(world, coming, happens, stop, change)
            if not news and not first:
                break
            if preempt is not None and _move_on(world, told, preempt, checkpoint, stop):
                news.capacity += 1
                if isinstance(scheduler, Conservative):
                    scheduler.plan.clear()
            decide(world, scheduler, news, first_round=first)
            while preempt is not None and (
                _preempt(world, told, preempt, checkpoint, kept, stop)
                or _move_on(world, told, preempt, checkpoint, stop)
            ):
                if isinstance(scheduler, Conservative):
                    scheduler.plan.clear()
                decide(world, scheduler, News(capacity=1), first_round=False)
            while reclaim is not None and _take_back(world, told, reclaim, stop, wakes):
                if isinstance(scheduler, Conservative):
                    scheduler.plan.clear()
                decide(world, scheduler, News(capacity=1), first_round=False)
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


HOUR = 3_600_000
DAY = 24 * HOUR


def grace_of(job: Job, rules: Preempt, checkpoint: Checkpoint | None) -> int:
    """How long a job that is preempted keeps its resources."""
    return rules.grace[job.user] + (checkpoint.write if checkpoint and job.user in rules.write else 0)


def _take_off(world: World, rules: Preempt, checkpoint: Checkpoint | None, stop, job: Job, by: int) -> None:  # type: ignore[no-untyped-def]
    alive = 0 if job.user in rules.suspend else checkpoint.write if checkpoint and job.user in rules.write else None
    stop(job, by, again=job.user not in rules.cancel, alive=alive)
    world.free[job.pool] = plus(world.free[job.pool], job.need)


def _keep_memory(world: World, job: Job) -> None:
    kept = (0, job.mem, 0)
    world.kept_back[-1 - job.id] = job.pool, kept
    world.free[job.pool] = minus(world.free[job.pool], kept)


def _left_behind(job: Job, rules: Preempt) -> Vector:
    """What a job that is preempted gives back: when it is suspended, not its memory."""
    return (job.procs, 0, job.gpus) if job.user in rules.suspend else job.need


def _move_on(world: World, told: Told, rules: Preempt, checkpoint: Checkpoint | None, stop) -> bool:  # type: ignore[no-untyped-def]
    """Stop those whose grace is over, start those that waited for them, resume the suspended."""
    changed = False
    running = {job.id: job for job, _ in world.running}
    for id_, (until, by) in list(told.leaving.items()):
        if id_ not in running:
            del told.leaving[id_]
        elif until <= world.now:
            _take_off(world, rules, checkpoint, stop, running[id_], by)
            if running[id_].user in rules.suspend:
                told.suspended.append(id_)
                _keep_memory(world, running[id_])
            changed = True

    def start(job: Job) -> bool:
        if not fits(job.need, world.free[job.pool]):
            return False
        world.start(job)
        return True

    for id_ in list(told.claims):
        pool, held = world.kept_back.pop(id_)
        world.free[pool] = plus(world.free[pool], held)
        waiting = [job for job in world.pending if job.id == id_]
        if waiting and not start(waiting[0]) and any(by == id_ for _, by in told.leaving.values()):
            _hold(world, waiting[0])
            changed = changed or world.kept_back[id_][1][0] != held[0]
        else:
            told.claims.remove(id_)
            changed = True
    for id_ in list(told.suspended):
        waiting = [job for job in world.pending if job.id == id_]
        pool, kept = world.kept_back.pop(-1 - id_)
        world.free[pool] = plus(world.free[pool], kept)
        if not waiting or start(waiting[0]):
            told.suspended.remove(id_)
            changed = changed or bool(waiting)
        else:
            _keep_memory(world, waiting[0])
    return changed


def _hold(world: World, job: Job) -> None:
    free = world.free[job.pool]
    held = tuple(max(min(a, b), 0) for a, b in zip(free, job.need, strict=True))
    world.kept_back[job.id] = job.pool, held  # type: ignore[assignment]
    world.free[job.pool] = minus(free, held)  # type: ignore[arg-type]


def _preempt(world: World, told: Told, rules: Preempt, checkpoint: Checkpoint | None, kept, stop) -> bool:  # type: ignore[no-untyped-def]
    """Let one job preempt others and start."""
    now = world.now
    tried = set()
    for job in world.queue():
        if job.pool in tried or not any(above == job.user for above, _ in rules.may):
            continue
        if job.id in told.claims:
            continue
        tried.add(job.pool)
        if now < job.submit + rules.min_wait or fits(job.need, world.free[job.pool]):
            continue

        def cost(pair: tuple[Job, int]) -> int:
            other, start = pair
            more = grace_of(other, rules, checkpoint)
            if other.user in rules.write | rules.suspend:
                return 0
            return other.procs * (now + more - start if other.user in rules.cancel else kept(other, start, more)[1])

        def rank(pair: tuple[Job, int]) -> tuple[int, ...]:
            other, start = pair
            return rules.worth[other.user], -start if rules.youngest_first else cost(pair), -other.procs, other.id

        may = [
            (other, start)
            for other, start in world.running
            if other.pool == job.pool
            and (job.user, other.user) in rules.may
            and now >= start + max(rules.exempt, 1000)
            and other.id not in told.leaving
            and all(now >= t + rules.again for t, who, _, by, _ in told.stops if who == other.id and by >= 0)
        ]
        chosen: list[tuple[Job, int]] = []

        def room(who: list[tuple[Job, int]], job: Job = job) -> bool:
            free = world.free[job.pool]
            for other, _ in who:
                free = plus(free, _left_behind(other, rules))
            return fits(job.need, free)

        for pair in sorted(may, key=rank):
            if room(chosen):
                break
            today = sum(
                c
                for (t, _, lost_by), c in zip(told.caused, told.costs, strict=True)
                if t // DAY == now // DAY and lost_by == pair[0].user
            )
            today += sum(cost(other) for other in chosen if other[0].user == pair[0].user)
            if rules.lost_budget is None or today + cost(pair) <= rules.lost_budget:
                chosen.append(pair)
        if not room(chosen):
            continue
        for pair in reversed(list(chosen)):
            if room([other for other in chosen if other is not pair]):
                chosen.remove(pair)
        total = sum(cost(pair) for pair in chosen)
        caused = sum(
            c
            for (t, by, _), c in zip(told.caused, told.costs, strict=True)
            if t // DAY == now // DAY and by == job.user
        )
        this_hour = sum(t // HOUR == now // HOUR for t, _, _ in told.caused)
        if rules.caused_budget is not None and caused + total > rules.caused_budget:
            continue
        if rules.rate_limit is not None and this_hour + len(chosen) > rules.rate_limit:
            continue
        if total * rules.min_gain > job.procs * job.limit:
            continue
        for other, start in chosen:
            told.costs.append(cost((other, start)))
            told.caused.append((now, job.user, other.user))
            grace = grace_of(other, rules, checkpoint)
            if grace > 0:
                told.leaving[other.id] = now + grace, job.id
                place = world.running.index((other, start))
                world.running[place] = replace(other, limit=min(other.limit, now + grace - start)), start
                continue
            _take_off(world, rules, checkpoint, stop, other, job.id)
            if other.user in rules.suspend:
                told.suspended.append(other.id)
                _keep_memory(world, other)
        if any(by == job.id for _, by in told.leaving.values()):
            told.claims.append(job.id)
            _hold(world, job)
            return True
        world.start(job)
        return True
    return False


def _take_back(world: World, told: Told, how: lending.Reclaim, stop, wakes: set[int]) -> bool:  # type: ignore[no-untyped-def]
    """Let one job have the quota of its account, and start."""
    quotas, tried = world.quotas, []
    wakes.clear()
    safe = {job.id for job, start in world.running if world.now < start + max(how.exempt, 1000)}
    for job in world.queue():
        node = quotas.account.get(job.user)
        if node is None:
            continue
        mine = [other for name, other in tried if (name, other.pool) == (node.name, job.pool)]
        narrower = all(job.procs < other.procs for other in mine)
        if not narrower and not all(how.priority[job.id] > how.priority[other.id] for other in mine):
            continue
        rules = how.rules.get(node.name, lending.Rules())
        rules = rules.without_priority() if job.id in told.lost else rules
        if (rules.within, rules.reclaim) == ("Never", "Never") or node.name in quotas.stopped:
            continue
        mine = [other for other in world.pending if quotas.account.get(other.user) is node]
        if node.name in quotas.strict and min(mine, key=lambda other: (other.submit, other.id)) != job:
            continue
        if not world.held(job) and fits(job.need, world.free[job.pool]):
            continue
        quotas.use(world.running)
        over = any(node.usage(cell) + amount > node.subtree(cell) for cell, amount in quotas.asked(job).items())
        if rules.within == "Never" and not rules.borrow and not how.strategies and over:
            continue
        tried.append((node.name, job))
        for other, start in world.running:
            of = quotas.account.get(other.user)
            if other.id in safe and of is not None and lending.may_lose(node, of, rules):
                wakes.add(start + max(how.exempt, 1000))
        was_stopped = any(who == job.id for _, who, *_ in told.stops)
        chosen = lending.victims(
            job, world.running, safe, world.free[job.pool], quotas, how, was_stopped, job.id in told.lost
        )
        for other, _ in chosen:
            stop(other, job.id, again=other.id not in how.cancel)
            world.free[other.pool] = plus(world.free[other.pool], other.need)
            if other.id in told.taken and quotas.account[other.user] is not node:
                told.lost.add(other.id)
        if chosen:
            told.taken.add(job.id)
            world.start(job)
            return True
    return False
