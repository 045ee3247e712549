"""Naive twins of the synthetic workloads: one job at a time, as the papers tell it."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


def slot_weights(shape, scale, gamma_cdf):
    """Weights of the 48 half hours of a day, mean 1: half hour i (11 to 58) has the gamma's mass around i."""
    weights = [0.0] * 48
    for i in range(11, 59):
        weights[(i - 1) % 48] = gamma_cdf(i + 0.5, shape, scale) - gamma_cdf(i - 0.5, shape, scale)
    mean = sum(weights) / 48
    return [weight / mean for weight in weights]


def walk_arrivals(gaps_s, weights):
    """Arrival times from midnight: a gap buys points, and each second of half hour i costs ``weights[i]`` of them."""
    now, times = 0.0, []
    for gap in gaps_s:
        points = gap
        while True:
            slot = int(now // 1800) % 48
            left = (math.floor(now / 1800) + 1) * 1800 - now
            if points <= left * weights[slot]:
                now += points / weights[slot]
                break
            points -= left * weights[slot]
            now = (math.floor(now / 1800) + 1) * 1800.0
        times.append(now)
    return times


def deal_estimates(run_times, histogram, rng: random.Random):
    """Longest job first, each takes any of the estimates left that is long enough, all equally likely.

    ``histogram`` is a list of (estimate, jobs); there must be long ones enough.
    """
    pool = sorted(time for time, jobs in histogram for _ in range(jobs))
    dealt = [0] * len(run_times)
    for job in sorted(range(len(run_times)), key=lambda job: -run_times[job]):
        lowest = bisect.bisect_left(pool, run_times[job])
        dealt[job] = pool.pop(rng.randrange(lowest, len(pool)))
    return dealt


def load_by_hour(jobs):
    """Mean processors in use in each whole hour from first to last submit; (submit_ms, run_ms, procs) start at once."""
    first, last = min(job[0] for job in jobs), max(job[0] for job in jobs)
    hours = []
    for hour in range((last - first) // 3_600_000):
        begin, end = first + hour * 3_600_000, first + (hour + 1) * 3_600_000
        work = sum(procs * max(0, min(end, submit + run) - max(begin, submit)) for submit, run, procs in jobs)
        hours.append(work / 3_600_000)
    return hours
