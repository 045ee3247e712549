"""Small workloads that are hard on schedulers: many ties, zero run times, runs at their limit, early ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from oracles.jobs import Job, Pool, Window

if TYPE_CHECKING:
    from collections.abc import Sequence


def random_jobs(
    seed: int,
    n: int,
    procs: int | Sequence[Pool],
    *,
    users: int = 3,
    cancelled: float = 0.0,
    unit: int = 1_000,
    longest: int = 8,
) -> list[Job]:
    """Return `n` jobs in order of submit, ids from 1; all times are multiples of `unit`.

    More than half of them share a submit time with the one before; a tenth have zero run time, a third run up to their
    limit, the others end early; one in ten wants the whole pool. The load is about one. `cancelled` is the share that
    leaves the queue if it has not started soon.
    """
    pools = [Pool(procs)] if isinstance(procs, int) else list(procs)
    rng = np.random.default_rng(seed)
    jobs = []
    now = 0
    for id_ in range(1, n + 1):
        if rng.random() > 0.55:
            now += int(rng.integers(1, 6))
        place = int(rng.integers(len(pools)))
        pool = pools[place]
        limit = int(rng.integers(1, longest + 1))
        run = int(rng.choice([0, limit, int(rng.integers(0, limit + 1))], p=[0.1, 0.35, 0.55]))
        wish = rng.random()
        width = pool.procs if wish > 0.9 else int(rng.integers(1, max(2, int(pool.procs * (0.2 + wish)))))
        jobs.append(
            Job(
                id=id_,
                submit=now * unit,
                run=run * unit,
                limit=limit * unit,
                procs=min(width, pool.procs),
                user=int(rng.integers(users)),
                mem=int(rng.integers(pool.mem + 1)),
                gpus=int(rng.integers(pool.gpus + 1)) if rng.random() > 0.5 else 0,
                pool=place,
                cancel=(now + int(rng.integers(longest))) * unit if rng.random() < cancelled else None,
            )
        )
    return jobs


def random_windows(seed: int, n: int, pools: Sequence[Pool], *, until: int, unit: int = 1_000) -> list[Window]:
    """Return about `n` windows that do not overlap in one pool, begun before `until`; half take the whole pool."""
    rng = np.random.default_rng(seed)
    edges = sorted(rng.choice(max(2 * n, until // unit), size=2 * n, replace=False).tolist())
    windows = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        place = int(rng.integers(len(pools)))
        pool = pools[place]
        part = 1.0 if rng.random() < 0.5 else float(rng.random())
        windows.append(
            Window(
                start=start * unit,
                end=end * unit,
                procs=max(1, int(pool.procs * part)),
                pool=place,
                mem=int(pool.mem * part),
                gpus=int(pool.gpus * part),
            )
        )
    return windows


@st.composite
def job_lists(
    draw: st.DrawFn,
    procs: int | Sequence[Pool] = 4,
    *,
    max_size: int = 12,
    users: int = 2,
    exact_runs: bool = False,
    cancels: bool = False,
    unit: int = 1_000,
) -> list[Job]:
    """Draw up to `max_size` jobs in order of submit, ids from 1, with few distinct times.

    With `exact_runs` every job runs up to its limit.
    """
    pools = [Pool(procs)] if isinstance(procs, int) else list(procs)
    jobs = []
    now = 0
    for id_ in range(1, draw(st.integers(1, max_size)) + 1):
        now += draw(st.sampled_from([0, 0, 0, 1, 2, 5]))
        place = draw(st.integers(0, len(pools) - 1))
        pool = pools[place]
        limit = draw(st.integers(1, 5))
        run = limit if exact_runs else draw(st.sampled_from([limit, 0, limit // 2, max(0, limit - 1)]))
        jobs.append(
            Job(
                id=id_,
                submit=now * unit,
                run=run * unit,
                limit=limit * unit,
                procs=draw(st.integers(1, pool.procs)),
                user=draw(st.integers(0, users - 1)),
                mem=draw(st.integers(0, pool.mem)),
                gpus=draw(st.integers(0, pool.gpus)),
                pool=place,
                cancel=(now + draw(st.integers(0, 6))) * unit if cancels and draw(st.booleans()) else None,
            )
        )
    return jobs


@st.composite
def window_lists(draw: st.DrawFn, pools: Sequence[Pool], *, max_size: int = 3, unit: int = 1_000) -> list[Window]:
    """Draw windows that follow one another in time, with gaps that may be zero."""
    windows = []
    now = 0
    for _ in range(draw(st.integers(0, max_size))):
        start = now + draw(st.integers(0, 6))
        now = start + draw(st.integers(1, 4))
        place = draw(st.integers(0, len(pools) - 1))
        pool = pools[place]
        windows.append(
            Window(
                start=start * unit,
                end=now * unit,
                procs=draw(st.integers(0, pool.procs)),
                pool=place,
                mem=draw(st.integers(0, pool.mem)),
                gpus=draw(st.integers(0, pool.gpus)),
            )
        )
    return windows
