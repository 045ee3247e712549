"""Usage by the book: all jobs looked at in every slice, with powers taken anew each time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Charged:
    """A job that ran; ms, billing in units, ``end`` None while it runs."""

    assoc: int
    start: int
    end: int | None
    billing: float
    usage_factor: float = 1.0


def aged(job: Charged, begin: int, tick: int, half_life_s: float, decay: str) -> float:
    """What one job adds at a tick for the slice that began at ``begin``."""
    first = max(job.start, begin)
    last = tick if job.end is None else min(job.end, tick)
    if last <= first:
        return 0.0
    seconds = (last - first) / 1000
    rate = job.billing * job.usage_factor
    if half_life_s == 0:
        return rate * seconds
    if decay == "slurm":
        return rate * seconds * (1 - 0.693 / half_life_s) ** int(seconds)
    fade = math.log(2) / half_life_s
    return rate * (math.exp(-fade * (tick - last) / 1000) - math.exp(-fade * (tick - first) / 1000)) / fade


def usage(
    jobs: list[Charged], parent: list[int], start: int, now: int, period: int, half_life_s: float, decay: str
) -> list[float]:
    """Usage of every association at the last tick not after ``now``."""
    value = [0.0] * len(parent)
    second = 1.0 if half_life_s == 0 else 1 - 0.693 / half_life_s if decay == "slurm" else 0.5 ** (1 / half_life_s)
    tick = start // period * period
    while tick + period <= now:
        begin, tick = tick, tick + period
        value = [old * second ** (period // 1000) for old in value]
        for job in jobs:
            row = job.assoc
            while row >= 0:
                value[row] += aged(job, begin, tick, half_life_s, decay)
                row = parent[row]
    return value
