"""The tables of the core before anything has happened: nobody waits, nothing runs, all is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core import codes
from apportion.core.tables import NEVER, Clock, History, Ints, Live, Pools, Profile, Queue, Rules, Running, Stops
from apportion.policy.quotas import flavor_index

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.pools import PoolPlan
    from apportion.policy.workload import Submissions


def history(policy: Policy, jobs: Submissions) -> History:
    """Run times that a predictor looks back upon; empty where there is none."""
    if policy.Predictor == "limit":
        return History(np.zeros((0, 0), np.int64), *(np.zeros(0, np.int64) for _ in range(3)))
    n_users, kept = len(jobs.user.names) + 1, 2 if policy.Predictor == "last-two" else policy.PredictorJobs
    shapes = ((n_users, kept), (n_users,), (len(jobs),), (kept,))
    return History(*(np.zeros(shape, np.int64) for shape in shapes))


def live(n: int, rules: Rules) -> Live:
    """What is known of each job; plans and scores only under policies that have them."""
    keeps_plans = rules.guarded or rules.backfill == codes.BACKFILL_CONSERVATIVE
    return Live(
        state=np.zeros(n, np.int8),
        start=np.full(n, -1, np.int64),
        score=np.zeros(0 if rules.order == codes.ORDER_ARRIVAL else n),
        plan=np.full(n if keeps_plans else 0, -1, np.int64),
        first_plan=np.full(n, -1, np.int64),
        reasons=np.zeros(n, np.int64),
        restarts=np.zeros(n, np.int64),
    )


def stops(room: int) -> Stops:
    """An empty log of stops."""
    return Stops(np.zeros(1, np.int64), *(np.zeros(room, np.int64) for _ in Stops._fields[1:]))


def queue(n: int) -> Queue:
    """An empty queue with room for all jobs."""
    return Queue(*(np.zeros(n + 1, np.int64) for _ in range(3)), *(np.zeros(1, np.int64) for _ in range(3)))


def pools(plan: PoolPlan, flavors: tuple[str, ...]) -> Pools:
    """Pools of which all is free, with the known changes of their capacity."""
    n = len(plan.names)
    largest = plan.capacity.copy()
    for pool in range(n):
        level = plan.capacity[pool].copy()
        for _, _, change in (step for step in plan.steps if step[0] == pool):
            level += np.array(change, np.int64)
            largest[pool] = np.maximum(largest[pool], level)
    first = np.searchsorted([step[0] for step in plan.steps], np.arange(n + 1)).astype(np.int64)
    changes = np.array([step[2] for step in plan.steps], np.int64).reshape(len(plan.steps), plan.capacity.shape[1])
    return Pools(
        procs=plan.capacity[:, 0].copy(),
        free=plan.capacity[:, 0].copy(),
        extra=plan.capacity[:, 1:].copy(),
        extra_free=plan.capacity[:, 1:].copy(),
        largest=largest[:, 0].copy(),
        extra_largest=np.ascontiguousarray(largest[:, 1:]),
        min_procs=np.full(n, NEVER, np.int64),
        flavor=np.array([flavor_index(flavors, name) for name in plan.names], np.int64),
        head=np.full(n, codes.HEAD_NONE, np.int64),
        shadow=np.zeros(n, np.int64),
        spare=np.zeros(n, np.int64),
        turned=np.full(n, -NEVER, np.int64),
        step_first=first,
        step_next=first[:-1].copy(),
        step_time=np.array([step[1] for step in plan.steps], np.int64),
        step_procs=np.ascontiguousarray(changes[:, 0]),
        step_extra=np.ascontiguousarray(changes[:, 1:]),
    )


def _rooms(plan: PoolPlan, in_pool: Ints) -> Ints:
    """Most jobs that can run at a time in each pool, of ``in_pool`` that may come: each has a processor at least."""
    largest = plan.capacity[:, 0] + sum((abs(s[2][0]) for s in plan.steps), 0)
    return np.minimum(in_pool, largest).astype(np.int64)


def running(plan: PoolPlan, in_pool: Ints, *, is_read: bool) -> Running:
    """Room for the running jobs of each pool; none if the policy never reads them."""
    n = len(plan.names)
    room = 2 * _rooms(plan, in_pool) + 64  # what ended is forgotten when it takes up half of the room at the latest
    first = np.concatenate([[0], np.cumsum(room if is_read else 0 * room)]).astype(np.int64)
    total = int(first[-1])
    count, rows, ordered, unread = (np.zeros(n, np.int64) for _ in range(4))
    return Running(first, count, rows, ordered, unread, np.zeros((total, 3), np.int64))


def profile(plan: PoolPlan, in_pool: Ints, rules: Rules) -> Profile:
    """Room for the steps of a profile: two for each job that runs or is planned, twice over before it is built anew."""
    n = len(plan.names)
    planned = in_pool
    if rules.backfill == codes.BACKFILL_SLURM and rules.bf_max_job_test and not rules.guarded:
        planned = np.minimum(in_pool, rules.bf_max_job_test)
    elif rules.backfill != codes.BACKFILL_CONSERVATIVE and not rules.guarded:
        planned = np.minimum(in_pool, 1)
    room = 4 * (_rooms(plan, in_pool) + planned) + 2 * len(plan.steps) + 80
    if rules.plain and rules.backfill not in (codes.BACKFILL_CONSERVATIVE, codes.BACKFILL_SLURM):
        room = np.zeros(n, np.int64)
    first = np.concatenate([[0], np.cumsum(room)]).astype(np.int64)
    total = int(first[-1])
    return Profile(
        first=first,
        count=np.zeros(n, np.int64),
        time=np.zeros(total, np.int64),
        free=np.zeros(total, np.int64),
        extra=np.zeros((total, plan.capacity.shape[1] - 1), np.int64),
        row=np.arange(total if rules.placement else 0, dtype=np.int64),
    )


def clock() -> Clock:
    """The time before the first instant."""
    clock = Clock(*(np.zeros(1, np.int64) for _ in Clock._fields))
    clock.now[0] = -NEVER
    clock.tick[0] = -1
    clock.wake[0] = NEVER
    clock.next_plan[0] = NEVER
    clock.gain[0] = -1
    return clock
