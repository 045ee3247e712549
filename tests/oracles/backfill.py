"""One scheduling pass of each kind, from its definition and for reading, not for speed.

Common to all. The queue is sorted anew at each pass. Each pool has its own capacity; there is one queue for all
of them, and a job that does not fit blocks its own pool only. A job *fits* if its need is free now and stays
free up to its limit; running jobs only give room back, so without capacity windows "now" is enough. A job whose
user is at the running limit is *held*: it is passed over, blocks nothing and gets no reservation. Held is asked
when a job is looked at, so starts earlier in the same pass count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from oracles.jobs import Job, Vector, fits, minus, plus
from oracles.multifactor import Multifactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.profile import Profile
    from oracles.world import News, World


class Scheduler(Protocol):
    """What the clock needs of a scheduler."""

    def wakes_at(self, world: World) -> int | None:
        """Return the next time after now at which it wants a pass even if nothing happens."""

    def decide(self, world: World, news: News, *, first_round: bool) -> None:
        """Start jobs."""


def start_in_order(world: World, queue: Sequence[Job], depth: int = 0) -> dict[int, Job]:
    """Start jobs in order until, pool by pool, one does not fit; return that job of each pool.

    With `depth`, no more than so many jobs are tested; held jobs and jobs of a blocked pool are not tested.
    """
    blocked: dict[int, Job] = {}
    tested = 0
    for job in queue:
        if job.pool in blocked or world.held(job):
            continue
        if depth and tested == depth:
            break
        tested += 1
        if world.can_start(job):
            world.start(job)
        else:
            blocked[job.pool] = job
    return blocked


class Strict:
    """No backfill: nobody passes the first job that does not fit."""

    def wakes_at(self, _world: World) -> int | None:
        return None

    def decide(self, world: World, _news: News, *, first_round: bool) -> None:
        start_in_order(world, world.queue())


def shadow_and_extra(world: World, head: Job) -> tuple[int, Vector]:
    """Return when the head can start if all running jobs take their whole limit, and what it will leave free then."""
    mates = [(job, start + job.limit) for job, start in world.running if job.pool == head.pool]
    for time in sorted({end for _, end in mates}):
        free = world.free[head.pool]
        for job, end in mates:
            if end <= time:
                free = plus(free, job.need)
        if fits(head.need, free):
            return time, minus(free, head.need)
    if world.kept_back:  # nobody knows yet when it can
        free = world.free[head.pool]
        for job, _ in mates:
            free = plus(free, job.need)
        return 2**62, free
    raise ValueError(f"job {head.id} never fits")


@dataclass
class Easy:
    """EASY: the first blocked job of each pool has a reservation, others may pass if they do not delay it.

    One walk through the queue. A job of a pool that is not blocked starts if it fits; else it is the head of its
    pool, which is blocked from here on. A job of a blocked pool starts if it fits now and either ends by the shadow
    time of the head (its limit counted; at the very time is early enough) or needs no more than the extra, which
    it then uses up. Pools meet only in limits on users, and there rank decides, whatever the pool.

    `shortest_first` (EASY-SJBF) has two phases: the walk stops at the heads, pool by pool; then the other
    jobs of the blocked pools are tried by (limit, submit, id).

    With capacity windows, or `by_profile`, the same is said with a free profile: the head takes its earliest
    slot, and a job behind it starts if it fits, for its whole limit, what that leaves. Without windows both say the
    same.
    """

    shortest_first: bool = False
    by_profile: bool = False

    def wakes_at(self, _world: World) -> int | None:
        return None

    def decide(self, world: World, _news: News, *, first_round: bool) -> None:
        queue = world.queue()
        heads: dict[int, ByShadow | ByProfile] = {}
        first = set()
        for job in queue:
            if job.pool not in heads:
                if world.held(job):
                    continue
                if world.can_start(job):
                    world.start(job)
                else:
                    by_profile = self.by_profile or world.windows
                    heads[job.pool] = ByProfile(world, job) if by_profile else ByShadow(world, job)
                    first.add(job.id)
            elif not self.shortest_first and not world.held(job):
                heads[job.pool].start_behind(world, job)
        if self.shortest_first:
            others = [job for job in queue if job.pool in heads and job.id not in world.starts and job.id not in first]
            for job in sorted(others, key=lambda job: (job.limit, job.submit, job.id)):
                if not world.held(job):
                    heads[job.pool].start_behind(world, job)


class ByShadow:
    """A head, and what may start behind it, by shadow time and extra."""

    def __init__(self, world: World, head: Job) -> None:
        self.shadow, self.extra = shadow_and_extra(world, head)

    def start_behind(self, world: World, job: Job) -> None:
        if not fits(job.need, world.free[job.pool]):
            return
        if world.now + job.limit <= self.shadow:
            world.start(job)
        elif fits(job.need, self.extra):
            self.extra = minus(self.extra, job.need)
            world.start(job)


class ByProfile:
    """The same by a free profile."""

    def __init__(self, world: World, head: Job) -> None:
        self.profile = world.profile(head.pool)
        slot = self.profile.earliest(head.need, head.limit)
        self.profile.take(head.need, slot, slot + head.limit)

    def start_behind(self, world: World, job: Job) -> None:
        end = world.now + job.limit
        if self.profile.fits(job.need, world.now, end):
            self.profile.take(job.need, world.now, end)
            world.start(job)


class Conservative:
    """Conservative backfill: every job has a plan, made at its arrival, that no later arrival delays.

    A pass:

    1. If a job ended before its limit, or a planned job was cancelled, or a plan was dropped (below), the
       planned jobs are re-planned once, in order of the queue: a job's plan is taken out, and it gets its
       earliest start among running jobs and all other plans, which is never later than the plan it had.
    2. Jobs without a plan that are not held get, in order of the queue, the earliest start that disturbs no
       plan.
    3. Jobs whose planned start is now start, in order of the queue. One that is held then loses its plan, and
       the pass begins again at 1.

    A pass takes place also at a planned start at which nothing happens.
    """

    def __init__(self) -> None:
        self.plan: dict[int, int] = {}  # job id -> planned start

    def wakes_at(self, world: World) -> int | None:
        return min((start for start in self.plan.values() if start > world.now), default=None)

    def decide(self, world: World, news: News, *, first_round: bool) -> None:
        queue = world.queue()
        waiting = {job.id for job in queue}
        cancelled = [id_ for id_ in self.plan if id_ not in waiting]
        for id_ in cancelled:
            del self.plan[id_]
        compress = news.freed or bool(cancelled)
        while True:
            queue = [job for job in queue if job.id not in world.starts]
            profiles = self._profiles(world, queue)
            if compress:
                self._replan(profiles, queue)
            for job in queue:
                if job.id not in self.plan and not world.held(job):
                    self._place(profiles[job.pool], job)
            dropped = False
            for job in queue:
                if self.plan.get(job.id) == world.now:
                    del self.plan[job.id]
                    if world.held(job):
                        dropped = True
                    else:
                        world.start(job)
            if not dropped:
                return
            compress = True

    def _profiles(self, world: World, queue: list[Job]) -> list[Profile]:
        profiles = [world.profile(pool) for pool in range(len(world.pools))]
        for job in queue:
            if job.id in self.plan:
                start = self.plan[job.id]
                profiles[job.pool].take(job.need, start, start + job.limit)
        return profiles

    def _replan(self, profiles: list[Profile], queue: list[Job]) -> None:
        for job in queue:
            if job.id in self.plan:
                before = self.plan[job.id]
                profiles[job.pool].give(job.need, before, before + job.limit)
                if self._place(profiles[job.pool], job) > before:
                    raise AssertionError(f"the plan of job {job.id} moved back")

    def _place(self, profile: Profile, job: Job) -> int:
        start = profile.earliest(job.need, job.limit)
        profile.take(job.need, start, start + job.limit)
        self.plan[job.id] = start
        return start


@dataclass
class SlurmBackfill:
    """Slurm's pair: a strict main pass at each event, and a backfill pass every so often that plans many jobs.

    Main pass: in each round in which something happened (end, capacity, cancel, submit), jobs start in order
    until, pool by pool, one does not fit; at most `default_queue_depth` jobs are tested. In the first round of an
    instant that is a multiple of `sched_interval` (since epoch 0) there is no such bound, and a pass takes place
    even if nothing happens there, unless nothing has happened since the last such pass.

    Backfill pass: in the first round of an instant that is a multiple of `bf_interval` (since epoch 0), after
    the main pass, if jobs are pending and something happened since the last backfill pass or that pass started
    a job. That priorities were calculated anew and the order is another than at the last pass is something that
    happened, for both. Each pool has a free profile: capacity minus windows minus running jobs up to their limits, exact. In
    order of the queue, held jobs and jobs of a user who has had `bf_max_job_user` jobs tested are passed over;
    after `bf_max_job_test` tested jobs the pass is over. A tested job has a slot at the earliest time s from
    which its need is free for its whole limit:

    - s is now: it starts and takes [now, now + limit);
    - s is later than now + bf_window: nothing is kept for it;
    - else it is planned, and takes [floor(s), floor(s + limit + bf_resolution - 1)), floor being the multiple
      of `bf_resolution` at or before. What is free may become negative by that: nobody fits there.

    Plans live for one pass. Zero switches a bound off. Times in ms.
    """

    bf_interval: int = 30_000
    bf_window: int = 1_440 * 60_000
    bf_resolution: int = 60_000
    bf_max_job_test: int = 500
    bf_max_job_user: int = 0
    default_queue_depth: int = 100
    sched_interval: int = 60_000

    def __post_init__(self) -> None:
        self.changed = False
        self.full = False
        self.order: list[int] = []  # ids of those that waited at the last pass, in order
        self.plan: dict[int, int] = {}  # job id -> slot, of the latest backfill pass

    def wakes_at(self, world: World) -> int | None:
        due = [self.bf_interval] * self.changed + [self.sched_interval] * self.full
        return min(((world.now // every + 1) * every for every in due), default=None) if world.pending else None

    def decide(self, world: World, news: News, *, first_round: bool) -> None:
        waiting = {job.id for job in world.pending}
        before = [id_ for id_ in self.order if id_ in waiting]
        moved = isinstance(world.key, Multifactor) and before != [j.id for j in world.queue() if j.id in before]
        if news or moved:
            self.changed = self.full = True
        full = first_round and self.full and world.now % self.sched_interval == 0
        if news or full:
            start_in_order(world, world.queue(), 0 if full else self.default_queue_depth)
        if full:
            self.full = False
        self._backfill_if_due(world, first_round=first_round)
        self.order = [job.id for job in world.queue()]

    def _backfill_if_due(self, world: World, *, first_round: bool) -> None:
        if first_round and world.now % self.bf_interval == 0 and self.changed and world.pending:
            self.changed = self._backfill(world)

    def _floor(self, time: int) -> int:
        return time // self.bf_resolution * self.bf_resolution

    def _backfill(self, world: World) -> bool:
        """Plan and start jobs; tell whether one started."""
        self.plan = {}
        profiles = [world.profile(pool) for pool in range(len(world.pools))]
        before = len(world.starts)
        tested = 0
        tested_of: dict[int, int] = {}
        for job in world.queue():
            of_user = tested_of.get(job.user, 0)
            if world.held(job) or (self.bf_max_job_user and of_user == self.bf_max_job_user):
                continue
            if self.bf_max_job_test and tested == self.bf_max_job_test:
                break
            tested += 1
            tested_of[job.user] = of_user + 1
            profile = profiles[job.pool]
            slot = profile.earliest(job.need, job.limit)
            if slot == world.now:
                profile.take(job.need, slot, slot + job.limit)
                world.start(job)
            elif slot > world.now + self.bf_window:
                continue
            else:
                profile.take(job.need, self._floor(slot), self._floor(slot + job.limit + self.bf_resolution - 1))
            self.plan[job.id] = slot
        return len(world.starts) > before
