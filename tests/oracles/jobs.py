"""Jobs, pools and queue orders of the naive schedule oracles: plain data, nothing compiled, nothing clever."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Vector = tuple[int, int, int]
"""Processors, memory, GPUs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are integers (ms); it runs for `run` and is planned for `limit`."""

    id: int
    submit: int
    run: int
    limit: int
    procs: int
    user: int = 0
    mem: int = 0
    gpus: int = 0
    pool: int = 0
    cancel: int | None = None  # leaves the queue at this time if it has not started by then

    @property
    def need(self) -> Vector:
        return (self.procs, self.mem, self.gpus)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of interchangeable processors, memory and GPUs."""

    procs: int
    mem: int = 0
    gpus: int = 0

    @property
    def capacity(self) -> Vector:
        return (self.procs, self.mem, self.gpus)


@dataclass(frozen=True, slots=True)
class Window:
    """Capacity of a pool that is known in advance to be away over [start, end)."""

    start: int
    end: int
    procs: int
    pool: int = 0
    mem: int = 0
    gpus: int = 0

    @property
    def need(self) -> Vector:
        return (self.procs, self.mem, self.gpus)


def fits(need: Vector, free: Vector) -> bool:
    return need[0] <= free[0] and need[1] <= free[1] and need[2] <= free[2]


def plus(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


Key = Callable[[Job, int], float]
"""Rank of a job at a time: the smallest goes first; ties go by submit, then id."""


def fcfs(_job: Job, _now: int) -> float:
    return 0


def sjf(job: Job, _now: int) -> float:
    return job.limit


def ljf(job: Job, _now: int) -> float:
    return -job.limit


def wfp3(job: Job, now: int) -> float:
    return -(((now - job.submit) / job.limit) ** 3) * job.procs


def unicef(job: Job, now: int) -> float:
    return -(now - job.submit) / (math.log2(max(job.procs, 2)) * job.limit)


ORDERS: dict[str, Key] = {"fcfs": fcfs, "sjf": sjf, "ljf": ljf, "wfp3": wfp3, "unicef": unicef}
