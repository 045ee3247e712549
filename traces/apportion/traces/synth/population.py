"""Who submits: users with Zipf activity, the accounts they belong to, and sessions of similar jobs.

References
----------
D. G. Feitelson, "Locality of sampling and diversity in parallel system workloads", ICS 2007,
pages 53-63: the same job is drawn several times in a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.traces.synth.assemble import Floats, Ints


def zipf_shares(count: int, exponent: float) -> Floats:
    """Share of each of ``count`` ranks under Zipf's law, the most active first (float64, sum 1)."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    shares: Floats = weights / weights.sum()
    return shares


def zipf_exponent(counts: NDArray[Any]) -> float:
    """Exponent of Zipf's law that makes the ranked ``counts`` most likely.

    The log-likelihood is concave in the exponent, so that bisecting its slope finds the one maximum; NaN below two
    users.
    """
    ranked = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    if len(ranked) < 2:
        return float("nan")
    log_rank = np.log(np.arange(1, len(ranked) + 1))
    observed = float(ranked @ log_rank / ranked.sum())
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(zipf_shares(len(ranked), middle) @ log_rank) > observed:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def draw_users(rng: np.random.Generator, count: int, users: int, zipf: float) -> NDArray[np.int32]:
    """User of each of ``count`` sessions: 0 is the most active one (int32)."""
    edges = np.cumsum(zipf_shares(users, zipf))
    return np.minimum(np.searchsorted(edges, rng.random(count), side="right"), users - 1).astype(np.int32)


def draw_accounts(rng: np.random.Generator, users: int, accounts: int, zipf: float) -> NDArray[np.int32]:
    """Account of each user: every account has one user at least, the others join by Zipf's law (int32)."""
    joined = draw_users(rng, users - accounts, accounts, zipf)
    member = np.concatenate([np.arange(accounts, dtype=np.int32), joined])
    rng.shuffle(member)
    return member


def draw_sessions(rng: np.random.Generator, n_jobs: int, mean_jobs: float, think_jobs: float) -> tuple[Ints, int]:
    """Weave sessions into a sequence of arrivals.

    Parameters
    ----------
    rng : Generator
    n_jobs : int
        Arrivals.
    mean_jobs : float
        Mean jobs of a session (geometric), more than 1.
    think_jobs : float
        Mean pause between two jobs of a session, counted in arrivals of anybody (exponential).

    Returns
    -------
    session : int64[n_jobs]
        Session of each arrival.
    count : int
        Number of sessions.
    """
    lengths = rng.geometric(1.0 / mean_jobs, size=n_jobs)
    count = int(np.searchsorted(np.cumsum(lengths), n_jobs)) + 1
    session = np.repeat(np.arange(count, dtype=np.int64), lengths[:count])[:n_jobs]
    pause = np.cumsum(rng.exponential(think_jobs, size=n_jobs))
    first = np.searchsorted(session, np.arange(count))
    place = rng.uniform(0, n_jobs, size=count)[session] + pause - pause[first][session]
    return session[np.argsort(place, kind="stable")], count
