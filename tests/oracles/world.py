"""The machine that the naive schedulers see: who waits, who runs, what is free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oracles.jobs import Job, Key, Pool, Vector, Window, fits, minus, plus
from oracles.profile import Profile
from oracles.turns import arranged, used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.predictions import Predictions
    from oracles.quotas import AccountQuotas
    from oracles.turns import Turns


@dataclass
class News:
    """What happened in one round of one instant."""

    ended: int = 0
    capacity: int = 0
    cancelled: int = 0
    submitted: int = 0
    corrected: int = 0  # predictions that a job has outrun
    freed: bool = False  # a job ended before its limit: room that no plan counted on

    def __bool__(self) -> bool:
        return bool(self.ended or self.capacity or self.cancelled or self.submitted or self.corrected)


@dataclass
class World:
    """State of all pools at `now`."""

    pools: Sequence[Pool]
    windows: Sequence[Window]
    key: Key
    max_jobs_per_user: int | None
    now: int = 0
    pending: list[Job] = field(default_factory=list)
    running: list[tuple[Job, int]] = field(default_factory=list)  # (job, start), in order of start
    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    free: list[Vector] = field(default_factory=list)  # of each pool, now
    predictions: Predictions | None = None
    quotas: AccountQuotas | None = None
    turns: Turns | None = None
    known: dict[int, Job] = field(default_factory=dict)  # every job by id, where turns are taken
    kept_back: dict[int, tuple[int, Vector]] = field(
        default_factory=dict
    )  # pool and what is kept, by job that waits for it

    def queue(self) -> list[Job]:
        """Return the pending jobs in order of priority, evaluated now."""
        found = sorted(self.pending, key=lambda job: (self.key(job, self.now), job.submit, job.id))
        if self.turns is None or self.quotas is None:
            return found

        def used_by(user: int) -> list[float]:
            return used(self.turns, user, self.known, self.starts, self.ends, self.now)

        return arranged(found, self.running, self.quotas, self.turns, used_by)

    def held(self, job: Job) -> bool:
        """Tell whether the job's user has as many jobs running as allowed, or a quota keeps it."""
        if self.quotas is not None and self.quotas.held(job, self.running, self.pending, self.now):
            return True
        if self.max_jobs_per_user is None:
            return False
        return sum(other.user == job.user for other, _ in self.running) >= self.max_jobs_per_user

    def profile(self, pool: int) -> Profile:
        """Return what is free from now on: capacity minus windows minus running jobs up to their limits."""
        profile = Profile(self.now, self.pools[pool].capacity)
        for window in self.windows:
            if window.pool == pool:
                profile.take(window.need, window.start, window.end)
        for job, start in self.running:
            if job.pool == pool:
                profile.take(job.need, self.now, start + job.limit)
        for place, vector in self.kept_back.values():
            if place == pool:
                profile.take(vector, self.now, 2**61)
        return profile

    def can_start(self, job: Job) -> bool:
        """Tell whether the job fits now and, where capacity is known to go away, for its whole limit."""
        if not any(window.pool == job.pool for window in self.windows):
            return fits(job.need, self.free[job.pool])
        return self.profile(job.pool).fits(job.need, self.now, self.now + job.limit)

    def start(self, job: Job) -> None:
        if not fits(job.need, self.free[job.pool]):
            raise AssertionError(f"job {job.id} does not fit at {self.now}")
        self.free[job.pool] = minus(self.free[job.pool], job.need)
        self.pending.remove(job)
        self.running.append((job, self.now))
        self.starts[job.id] = self.now

    def end(self, job: Job, start: int) -> None:
        self.running.remove((job, start))
        self.ends[job.id] = self.now
        self.free[job.pool] = plus(self.free[job.pool], job.need)
