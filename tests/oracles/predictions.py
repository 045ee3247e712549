"""Predicted run times, from the words of Tsafrir, Etsion & Feitelson (TPDS 2007): a job's limit is put in place of by its prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oracles.jobs import Job
    from oracles.world import World

Predictor = Callable[[list[int], int], int]
MINUTES = [1, 5, 15, 30, 60, 2 * 60, 5 * 60, 10 * 60, 20 * 60, 50 * 60, 100 * 60]


def last_two(took: list[int], limit: int) -> int:
    return limit if len(took) < 2 else min(limit, max(1, (took[-1] + took[-2]) // 2))


def quantile(part: float, jobs: int) -> Predictor:
    def predict(took: list[int], limit: int) -> int:
        lately = sorted(took[-jobs:])
        if len(lately) < 2:
            return limit
        enough = [value for value in lately if sum(other <= value for other in lately) >= math.ceil(part * len(lately))]
        return min(limit, max(1, enough[0]))

    return predict


@dataclass
class Predictions:
    """What users' jobs took, in order of their ends, and how often each job has outrun its prediction."""

    predictor: Predictor
    took: dict[int, list[int]] = field(default_factory=dict)
    limits: dict[int, int] = field(default_factory=dict)
    outrun: dict[int, int] = field(default_factory=dict)

    def of(self, job: Job) -> Job:
        """The job as it is planned."""
        self.limits[job.id] = job.limit
        return replace(job, limit=self.predictor(self.took.get(job.user, []), job.limit))

    def note(self, job: Job) -> None:
        self.took.setdefault(job.user, []).append(job.run)

    def correct(self, world: World) -> int:
        """Expect those to run on that should have ended; tell how many."""
        corrected = 0
        for k, (job, start) in enumerate(world.running):
            expected = job.limit
            while start + expected <= world.now:
                times = self.outrun.get(job.id, 0)
                self.outrun[job.id] = times + 1
                expected += MINUTES[min(times, len(MINUTES) - 1)] * 60_000
            if expected != job.limit:
                world.running[k] = (replace(job, limit=min(expected, self.limits[job.id])), start)
                corrected += 1
        return corrected
