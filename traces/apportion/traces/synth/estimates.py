"""Run-time estimates as people give them: few, round, and often the largest allowed.

References
----------
D. Tsafrir, Y. Etsion, D. G. Feitelson, "Modeling user runtime estimates", JSSPP 2005, doi:10.1007/11605300_1, and the
authors' utility, https://www.cs.huji.ac.il/labs/parallel/workload/m_tsafrir05/, whose default parameters these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apportion.traces.synth.assemble import Ints, require

MINUTE: Final = 60
HOUR: Final = 3600

HEAD: Final = 20  # the popular estimates

# Estimates that are popular in all four traces of the study.
POPULAR_S: Final = tuple(minutes * MINUTE for minutes in (5, 10, 15, 20, 30)) + tuple(
    hours * HOUR for hours in (1, 2, 3, 4, 5, 6, 8, 10, 12, 18)
)
# Multiples of these, from the largest allowed downwards, make up what is missing to twenty.
ROUND_S: Final = tuple(minutes * MINUTE for minutes in (12_000, 6_000, 3_000, 600, 300, 120, 60, 20, 10, 5))

# Popularity ranks of the popular estimates in rising order of time (without the largest), in each of the four traces.
POPULARITY: Final = (
    (1, 4, 17, 13, 7, 8, 18, 2, 6, 16, 10, 5, 15, 14, 19, 11, 12, 9, 20),  # SDSC SP2
    (3, 4, 2, 12, 9, 8, 18, 6, 7, 11, 20, 16, 5, 14, 13, 10, 15, 17, 19),  # CTC SP2
    (4, 10, 14, 20, 2, 3, 7, 12, 6, 19, 5, 18, 16, 9, 17, 15, 13, 8, 11),  # KTH SP2 (4 h)
    (6, 5, 3, 7, 2, 18, 19, 4, 11, 20, 9, 10, 14, 13, 16, 15, 17, 8, 12),  # SDSC Blue Horizon
)

# Largest estimates a site would choose, for when none is given.
CEILINGS_S: Final = tuple(
    hours * HOUR for hours in (1, 2, 4, 6, 12, 18, 24, 36, 48, 72, 96, 120, 168, 240, 336, 504, 720)
)


@dataclass(frozen=True)
class EstimateModel:
    """Parameters of the model; the defaults are the published ones.

    Attributes
    ----------
    max_estimate_s : int or None
        Largest allowed estimate, an hour at least; 18 h, the longest that is popular in all four traces of the study.
        None takes the smallest usual one (1 h, ... 48 h, ...) that every job fits in.
    max_share : float or None
        Share of the jobs that ask for the largest estimate; None lets the model decide (about 0.22).
    head_share : float
        Share of the jobs on the 20 popular estimates.
    head : tuple of 3 floats
        Percent of jobs on the estimate of popularity x (2 to 20): ``a * exp(b * x) + c``.
    tail : tuple of 2 floats
        Relative frequency of the estimate of popularity x > 20: ``a * x ** b``.
    bins : int or None
        How many different estimates occur; None reads it off ``bins_by_jobs``.
    bins_by_jobs : tuple of (int, int)
        Jobs and different estimates; straight lines between the points, constant beyond the last.
    time_shape : tuple of 2 floats
        The i-th of K tail estimates is ``(a - 1) * x / (a - x)`` of the largest, x = i / K, a = 1 + p * bins ** q.
    """

    max_estimate_s: int | None = 18 * HOUR
    max_share: float | None = None
    head_share: float = 0.89
    head: tuple[float, float, float] = (14.0491, -0.177531, 0.462513)
    tail: tuple[float, float] = (795.6, -2.267)
    bins: int | None = None
    bins_by_jobs: tuple[tuple[int, int], ...] = (
        (0, 0), (20, 10), (200, 20), (1_000, 35), (10_000, 90), (70_000, 340), (250_000, 565),
    )  # fmt: skip
    time_shape: tuple[float, float] = (12.1039, -0.6026)


def popular_times(max_estimate_s: int) -> list[int]:
    """Choose the 20 popular estimates (fewer where few round values fit): rising seconds, the largest one last."""
    chosen = {max_estimate_s, *(time for time in POPULAR_S if time < max_estimate_s)}
    for step in ROUND_S:
        for time in range(max_estimate_s // step * step, 0, -step):
            if len(chosen) == HEAD:
                return sorted(chosen)
            chosen.add(time)
    return sorted(chosen)


def tail_times(max_estimate_s: int, bins: int, count: int, shape: tuple[float, float], taken: list[int]) -> list[int]:
    """Place up to ``count`` rarer estimates (s) on whole minutes or, where those are taken, some seconds beside."""
    a = 1.0 + shape[0] * bins ** shape[1]
    used = set(taken)
    for i in range(1, count + 1):
        x = i / count
        minute = round((a - 1.0) * x / (a - x) * max_estimate_s / MINUTE) * MINUTE
        for offset in (0, 30, -30, 20, -20, 10, -10):
            time = minute + offset
            if 0 < time < max_estimate_s and time not in used:
                used.add(time)
                break
    return sorted(used.difference(taken))


def apportion_whole(shares: np.ndarray[tuple[int], np.dtype[np.float64]], total: int) -> Ints:
    """Split ``total`` into whole parts proportional to ``shares`` by largest remainders (ties: the first)."""
    exact = shares / shares.sum() * total
    parts: Ints = np.floor(exact).astype(np.int64)
    missing = total - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:missing]] += 1
    return parts


def histogram(n_jobs: int, max_estimate_s: int, rng: np.random.Generator, model: EstimateModel) -> tuple[Ints, Ints]:
    """How many jobs give which estimate.

    Returns
    -------
    times_s, jobs : int64 arrays
        Different estimates in rising order and the jobs of each; the jobs sum to ``n_jobs``.
    """
    require(max_estimate_s >= HOUR, f"the largest estimate must be an hour at least, not {max_estimate_s} s")
    head_times = popular_times(max_estimate_s)
    n_head = len(head_times)
    known = np.asarray(model.bins_by_jobs, dtype=np.float64)
    bins = model.bins or max(1, round(float(np.interp(n_jobs, known[:, 0], known[:, 1]))))
    tail = tail_times(max_estimate_s, bins, max(0, bins - n_head), model.time_shape, head_times)
    head_share = model.head_share if tail else 1.0

    a, b, c = model.head
    sizes = a * np.exp(b * np.arange(2, n_head + 1)) + c
    largest = 100.0 * (model.head_share if model.max_share is None else 0.0) - sizes.sum()
    if model.max_share is not None:
        require(
            0.0 < model.max_share < 1.0,
            f"the share of the largest estimate must be between 0 and 1, not {model.max_share}",
        )
        head_share = max(head_share, model.max_share)
        largest = 100.0 * model.max_share
        sizes *= (100.0 * head_share - largest) / sizes.sum()
    head_sizes = np.empty(n_head)
    head_sizes[-1] = largest
    # each popular time takes its rank in one of the four traces; the chances are ordered by that, ties by time
    observed = np.asarray(POPULARITY)[rng.integers(len(POPULARITY), size=n_head - 1), np.arange(n_head - 1)]
    head_sizes[np.argsort(observed, kind="stable")] = sizes
    head_sizes *= head_share / head_sizes.sum()

    tail_sizes = model.tail[0] * np.arange(HEAD + 1, HEAD + 1 + len(tail), dtype=np.float64) ** model.tail[1]
    rng.shuffle(tail_sizes)
    if tail:
        tail_sizes *= (1.0 - head_share) / tail_sizes.sum()

    times = np.asarray(head_times + tail, dtype=np.int64)
    order = np.argsort(times)
    jobs = apportion_whole(np.concatenate([head_sizes, tail_sizes])[order], n_jobs)
    return times[order], jobs


def assign(run_s: Ints, times_s: Ints, jobs: Ints, rng: np.random.Generator) -> Ints:
    """Deal the estimates of a histogram to jobs so that none is below its run time.

    From the longest job to the shortest, each takes one of the estimates still left that is long enough, all equally
    likely. Jobs between two neighbouring estimates choose from the same pool, so that a group is one multivariate
    hypergeometric draw. Where too few long estimates are left, the jobs concerned get the shortest one that fits and as
    many short estimates stay over: the histogram then bends to the run times.

    Parameters
    ----------
    run_s : int64[n]
        Run times, none above ``times_s[-1]``.
    times_s, jobs : int64[k]
        Histogram as `histogram` gives it.
    rng : Generator

    Returns
    -------
    int64[n]
        Estimates in seconds.
    """
    level = np.searchsorted(times_s, run_s).astype(np.int16)
    require(int(level.max(initial=0)) < len(times_s), "a job runs longer than the largest estimate")
    order = np.argsort(level, kind="stable")
    edges = np.searchsorted(level[order], np.arange(len(times_s) + 1))
    left = jobs.copy()
    limit_s = np.empty(len(run_s), dtype=np.int64)
    for lowest in range(len(times_s) - 1, -1, -1):
        group = order[edges[lowest] : edges[lowest + 1]]
        if not len(group):
            continue
        pool = left[lowest:]
        dealt = min(len(group), int(pool.sum()))
        taken = rng.multivariate_hypergeometric(pool, dealt, method="marginals")
        pool -= taken
        taken[0] += len(group) - dealt
        hand = np.repeat(times_s[lowest:], taken)
        rng.shuffle(hand)
        limit_s[group] = hand
    return limit_s


def estimate(run_s: Ints, rng: np.random.Generator, model: EstimateModel | None = None) -> Ints:
    """Estimates for the run times ``run_s`` (both int64 seconds), each at least the run time.

    Run times above the largest estimate raise `TraceError`: cut them first.
    """
    model = model or EstimateModel()
    longest = int(run_s.max(initial=0))
    ceiling = model.max_estimate_s
    if ceiling is None:
        ceiling = next((time for time in CEILINGS_S if time >= longest), -(-longest // HOUR) * HOUR)
    require(longest <= ceiling, f"the longest job runs {longest} s, above the largest estimate of {ceiling} s")
    return assign(run_s, *histogram(len(run_s), ceiling, rng, model), rng)
