"""Confidence intervals by resampling whole blocks of days.

Jobs near each other in time share a queue, so they are not independent and resampling single jobs would make
intervals far too narrow. Blocks of days are drawn with replacement instead. Every statistic here is a function of
sums over blocks, so a replicate is a weighted sum (how often each block was drawn) and thousands of them are one
matrix product.

References
----------
Kuensch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17(3), 1989,
doi:10.1214/aos/1176347265 (blocks).
Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, doi:10.1201/9780429246593 (percentile intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

Ints = NDArray[int64]
Floats = NDArray[float64]

DAY_S: Final = 86400.0


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes
    ----------
    replicates, seed : int
    confidence : float
        Between 0 and 1.
    block_days : float
        Length of a block. A day keeps the daily cycle whole; take more where queues last for days.
    """

    replicates: int = 2000
    seed: int = 0
    confidence: float = 0.95
    block_days: float = 1.0


def block_edges(window_s: tuple[float, float], block_days: float) -> Floats:
    """Edges of the blocks of a measure window, s, counted from its start; at least one block.

    A last piece shorter than half a block is joined to the one before it, a longer one is a block of its own.
    """
    begin, end = window_s
    length = block_days * DAY_S
    n = max(1, int(np.floor((end - begin) / length + 0.5)))
    return np.append(begin + np.arange(n) * length, end)


def block_of(t_s: Floats, edges_s: Floats) -> Ints:
    """Block of each moment; one outside the window falls into the nearest."""
    at = np.searchsorted(edges_s, t_s, side="right") - 1
    return np.clip(at, 0, len(edges_s) - 2).astype(int64)


def draws(n_blocks: int, how: Bootstrap, stream: int = 0) -> Floats:
    """How often each block is drawn: float64 array of (replicates, n_blocks), each row of which sums to n_blocks.

    Streams of one seed are independent of each other.
    """
    generator = np.random.default_rng(np.random.SeedSequence((how.seed, stream)))
    return generator.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=how.replicates).astype(float64)


def interval(replicates: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval of the replicates of a statistic; NaN replicates (nothing drawn to measure) are left out."""
    known = replicates[~np.isnan(replicates)]
    if not known.size:
        return float("nan"), float("nan")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where the divisor is 0."""
    result = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
