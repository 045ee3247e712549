"""Replays in which jobs are stopped before their end, in either driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from apportion.core.codes import ENDED, FAIL, LOSS, RETURN
from apportion.core.handle import handle
from apportion.core.tables import NEVER, Outages
from apportion.policy.compile import compile_policy
from apportion.sim import compiled
from apportion.sim.world import SimulatedCenter
from driving import world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apportion.policy.model import Policy
    from apportion.policy.workload import Submissions
    from oracles.jobs import Job

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]


@dataclass
class Played:
    state: Any
    end: list[int]
    digest: tuple[int, int]
    log: list[tuple[int, ...]]


def decisions(
    jobs: Sequence[Job], policy: Policy, table: Submissions
) -> Iterator[tuple[Any, int, list[int], list[int]]]:
    """Round by round: the state, the time, the jobs that ended, and those that were then decided about, in the order of decision.

    A job that was running was stopped; else it started, unless its state says that it was refused or cancelled.
    """
    done = compile_policy(policy, table, fails=True)
    around = world(jobs, done)
    state, core, happenings = done.state, handle(done.state), handle(around)
    while True:
        before = around.end.copy()
        if compiled.replay(core, happenings, 1):
            return
        ended = np.flatnonzero((around.end != before) & (state.live.state == ENDED))
        yield state, int(state.clock.now[0]), ended.tolist(), state.decided[: int(state.clock.decided[0])].tolist()


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
