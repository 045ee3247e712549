"""Replays in which jobs are stopped before their end, in either driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from apportion.core.codes import FAIL, LOSS, RETURN
from apportion.core.jit import handle
from apportion.core.tables import NEVER, Outages
from apportion.policy.compile import compile_policy
from apportion.sim import compiled
from apportion.sim.world import SimulatedCenter
from driving import world

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]


@dataclass
class Played:
    state: Any
    end: list[int]
    digest: tuple[int, int]
    log: list[tuple[int, ...]]


def play(jobs, policy, table, faults, engine) -> Played:
    done = compile_policy(policy, table, fails=True)
    rows = [(f.time, LOSS, f.pool, f.procs, f.position) for f in faults if f.job < 0]
    rows += [(f.back, RETURN, f.pool, f.procs, f.position) for f in faults if f.job < 0]
    happens = [(time, code, k) for k, (time, code, *_) in enumerate(rows)]
    happens += [(f.time, FAIL, f.job) for f in faults if f.job >= 0]
    table_of = np.array([row[2:] for row in rows], np.int64).reshape(-1, 3)
    outages = Outages(*(np.ascontiguousarray(table_of[:, k]) for k in range(3)))
    state = done.state._replace(outages=outages)
    around = world(jobs, done, failures=sorted(happens))
    if engine == "simpy":
        env = simpy.Environment(initial_time=min(job.submit for job in jobs))
        SimulatedCenter(env, state, around)
        while env.peek() < NEVER:
            env.step()
    else:
        assert compiled.replay(handle(state), handle(around), 20_000)
    log = state.stops
    columns = (log.time, log.job, log.start, log.by, log.lost)
    told = [tuple(int(column[k]) for column in columns) for k in range(int(log.count[0]))]
    return Played(state, around.end.tolist(), tuple(state.digest.tolist()), told)
