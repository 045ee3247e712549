"""All orders from their papers, in plain Python and in the papers' seconds; oracles count time in ms from the origin.

Exact where the definition is: the products and quotients are taken in the order in which the formula is read.
"""

from __future__ import annotations

import math

from oracles.jobs import Job, Key


def _seconds(job: Job, now: int) -> tuple[float, float, float, float]:
    return now / 1000, (now - job.submit) / 1000, job.submit / 1000, job.limit / 1000


def saf(job: Job, _now: int) -> float:
    return job.limit / 1000 * job.procs


def laf(job: Job, _now: int) -> float:
    return -job.limit / 1000 * job.procs


def wfp3(job: Job, now: int) -> float:
    _, wait, _, limit = _seconds(job, now)
    ratio = wait / max(limit, 1)
    return -(ratio * ratio * ratio) * job.procs


def unicef(job: Job, now: int) -> float:
    _, wait, _, limit = _seconds(job, now)
    return -wait / (math.log2(max(job.procs, 2)) * max(limit, 1))


def f1(job: Job, now: int) -> float:
    _, _, submit, limit = _seconds(job, now)
    return math.log10(max(limit, 1)) * job.procs + 870 * math.log10(max(submit, 1))


def f2(job: Job, now: int) -> float:
    _, _, submit, limit = _seconds(job, now)
    return math.sqrt(limit) * job.procs + 25600 * math.log10(max(submit, 1))


def f3(job: Job, now: int) -> float:
    _, _, submit, limit = _seconds(job, now)
    return limit * job.procs + 6860000 * math.log10(max(submit, 1))


def f4(job: Job, now: int) -> float:
    _, _, submit, limit = _seconds(job, now)
    return limit * math.sqrt(job.procs) + 530000 * math.log10(max(submit, 1))


PUBLISHED: dict[str, Key] = {
    "fcfs": lambda _job, _now: 0,
    "sjf": lambda job, _now: job.limit,
    "ljf": lambda job, _now: -job.limit,
    "saf": saf,
    "laf": laf,
    "wfp3": wfp3,
    "unicef": unicef,
    "f1": f1,
    "f2": f2,
    "f3": f3,
    "f4": f4,
}
