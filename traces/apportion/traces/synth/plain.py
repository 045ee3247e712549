"""Two deliberately dull workloads, to measure a scheduler rather than a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.traces.synth.assemble import SECOND_MS, Ints, assemble, generators, labels, origin_of, require
from apportion.traces.synth.population import draw_users

if TYPE_CHECKING:
    from apportion.traces.schema import Trace

MEAN_RUN_S = 3600.0
MINUTE_S = 60


def _plain(name: str, *, n_jobs: int, seed: int, procs: int, load: float | None, users: int, accounts: int) -> Trace:
    require(n_jobs >= 1, f"a workload needs at least one job, not {n_jobs}")
    require(procs >= 1, f"a machine needs at least one processor, not {procs}")
    require(load is None or load > 0, f"the load must be above 0, not {load}")
    require(1 <= accounts <= users, f"there must be from 1 to {users} accounts, not {accounts}")
    arrival_rng, size_rng, run_rng, user_rng = generators(seed, 4)
    widest = max(procs.bit_length() - 3, 0)
    size = np.left_shift(np.int64(1), size_rng.integers(widest + 1, size=n_jobs))
    run = np.maximum(run_rng.exponential(MEAN_RUN_S, size=n_jobs), 1.0).astype(np.int64)
    limit = -(-(run * run_rng.integers(1, 5, size=n_jobs)) // MINUTE_S) * MINUTE_S
    submit: Ints = np.zeros(n_jobs, dtype=np.int64)
    if load is not None and n_jobs > 1:
        arrival = np.cumsum(arrival_rng.exponential(size=n_jobs))
        arrival -= arrival[0]
        submit = np.floor(arrival * (int(size @ run) / (procs * load) / arrival[-1])).astype(np.int64)
    user = draw_users(user_rng, n_jobs, users, 1.0)
    columns: dict[str, Any] = {
        "submit_ms": submit * SECOND_MS,
        "run_ms": run * SECOND_MS,
        "procs_req": size,
        "limit_ms": limit * SECOND_MS,
        "user": labels(user, "u", users),
        "account": labels(user % accounts, "a", accounts),
    }
    parameters = {
        "generator": name, "n_jobs": n_jobs, "seed": int(seed), "procs": procs, "load": load,
        "users": users, "accounts": accounts,
    }  # fmt: skip
    return assemble(
        name,
        columns,
        procs=procs,
        origin_ms=origin_of("2024-01-01"),
        source=f"apportion, {name} workload",
        parameters=parameters,
    )


def steady(
    n_jobs: int, seed: int, procs: int = 1024, load: float = 0.7, *, users: int = 100, accounts: int = 10
) -> Trace:
    """Poisson arrivals at a constant load: the hundred-thousandth job meets the same machine as the ten-millionth.

    Sizes are powers of two up to an eighth to a quarter of the machine, run times exponential with a mean of one hour,
    limits one to four times the run time rounded up to a minute; users follow Zipf's law.

    Parameters
    ----------
    n_jobs, seed, procs : int
        Jobs, seed and processors of the machine.
    load : float
        Offered load, met up to the rounding of the last submit to a second.
    users, accounts : int
        How many there are.
    """
    return _plain("steady", n_jobs=n_jobs, seed=seed, procs=procs, load=load, users=users, accounts=accounts)


def burst(n_jobs: int, *, procs: int, seed: int, users: int = 100, accounts: int = 10) -> Trace:
    """Jobs like those of `steady`, all submitted in the same second: the deepest queue there is."""
    return _plain("burst", n_jobs=n_jobs, seed=seed, procs=procs, load=None, users=users, accounts=accounts)
