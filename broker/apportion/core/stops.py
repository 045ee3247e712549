"""Jobs that are stopped before their end, and processors that fail and come back.

A stopped job either goes back to the queue, with its first submit time and so at its old rank, or is over. What it has used is charged and
its limits are settled as if it had ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import (
    checkpoint,
    cohort,
    conservative,
    lifecycle,
    limit_usage,
    node_failures,
    queue,
    refund,
    running,
    victims,
)
from apportion.core.codes import (
    BACKFILL_CONSERVATIVE,
    BACKFILL_EASY_SJBF,
    BY_FAILURE,
    CHECKPOINT_MODE,
    FAILURE,
    NODE_FAIL,
    REQUEUED,
    RUNNING,
    SUSPEND_MODE,
)
from apportion.core.jit import apart, kernel
from apportion.core.node_tables import POOLED

if TYPE_CHECKING:
    from apportion.core.tables import State


@kernel
def _note(s: State, now: int, job: int, what: int, by: int, mode: int, reason: int) -> int:
    """Write a stop into the log; how many ms are lost."""
    log = s.stops
    lost = now - s.live.start[job]
    if what == REQUEUED:
        lost = 0 if mode >= CHECKPOINT_MODE else checkpoint.lost(s.checkpoints, job, lost)
    row = log.count[0]
    log.count[0] = row + 1
    if row < log.time.size:
        log.time[row] = now
        log.job[row] = job
        log.by[row] = by
        log.mode[row] = mode
        log.reason[row] = reason
        log.start[row] = s.live.start[job]
        log.lost[row] = lost
        if mode != FAILURE and s.preemption.until.size > 0:
            log.grace[row] = s.preemption.grace[job]
    return int(lost)


@kernel
def stop(s: State, now: int, job: int, what: int, by: int, mode: int, reason: int) -> None:
    """Take a running job off its resources.

    Parameters
    ----------
    what : int
        The decision: REQUEUED, NODE_FAIL or PREEMPTED.
    by : int
        The job that takes the resources, -1 for none.
    mode : int
        FAILURE, or a mode of preemption.
    reason : int
        BY_FAILURE, BY_CLASS, IN_CLUSTER_QUEUE or IN_COHORT.
    """
    lost = _note(s, now, job, what, by, mode, reason)
    elapsed = now - s.live.start[job]
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.note_end(s, now, job)
    lifecycle.decide(s, now, job, what)
    lifecycle.release(s, now, job)
    running.settle(s.running, s.live.state, s.jobs.pool[job])  # no row of it must be left when it starts again
    s.clock.stale[0] = 1
    s.clock.happened[0] = 1
    if mode != FAILURE and s.preemption.refund > 0:
        back = lost * s.preemption.refund // 1000
        refund.give_back(s, now, job, back)
        if s.stops.count[0] <= s.stops.time.size:
            s.stops.refunded[s.stops.count[0] - 1] = back
    if what == REQUEUED:
        _requeue(s, job, elapsed, mode)
    if s.preemption.until.size > 0:
        s.preemption.until[job] = -1


@kernel
def _requeue(s: State, job: int, elapsed: int, mode: int) -> None:
    """Put a job that was stopped after ``elapsed`` ms back into the queue. Its old entry is swept out first, or it would be there twice."""
    queue.sweep(s.queue, s.live.state)
    if s.rules.backfill == BACKFILL_EASY_SJBF:
        queue.sweep(s.short_queue, s.live.state)
    s.live.start[job] = -1
    s.live.restarts[job] += 1
    if s.live.plan.size > 0:
        s.live.plan[job] = -1
    if s.rules.limited == 1:
        limit_usage.on_submit(s.limits, s.counters, s.jobs, job)
    if s.rules.quotas == 1:
        cohort.enter(s.quotas, s.jobs, job)
    if s.checkpoints.saved.size > 0:
        if mode == CHECKPOINT_MODE:
            s.checkpoints.saved[job] += checkpoint.done(s.checkpoints, job, elapsed - s.checkpoints.write[job])
        elif mode == SUSPEND_MODE:
            s.checkpoints.saved[job] += checkpoint.done(s.checkpoints, job, elapsed)
        else:
            checkpoint.save(s.checkpoints, job, elapsed)
        s.jobs.expected[job] = checkpoint.duration(s.checkpoints, job, s.jobs.limit[job])
    elif s.preemption.until.size > 0:
        s.jobs.expected[job] = s.jobs.limit[job]  # grace may have cut it short
    lifecycle.enter(s, job)


@apart
def fail(s: State, now: int, job: int) -> None:
    """A job loses its node; nothing happens if it does not run."""
    if s.live.state[job] == RUNNING:
        stop(s, now, job, REQUEUED if s.rules.requeue == 1 else NODE_FAIL, -1, FAILURE, BY_FAILURE)


@apart
def lose(s: State, now: int, row: int) -> None:
    """Processors fail, with the jobs on them (see `apportion.core.victims` and `node_failures`); that they will be back is not known."""
    pool, procs = s.outages.pool[row], s.outages.procs[row]
    on_nodes = s.rules.placement != POOLED
    n = node_failures.hit(s, row) if on_nodes else victims.hit(s, pool, s.outages.position[row], procs)
    for i in range(n):
        fail(s, now, s.work[i])
    if on_nodes:
        procs = node_failures.take_down(s.nodes, s.outages, row, s.jobs.submit.size + row)
    _change(s, pool, -procs)


@apart
def bring_back(s: State, row: int) -> None:
    """Processors that failed are back."""
    procs = s.outages.procs[row]
    if s.rules.placement != POOLED:
        procs = node_failures.bring_up(s.nodes, s.outages, row, -1 - s.jobs.submit.size - row)
    _change(s, s.outages.pool[row], procs)


@kernel
def _change(s: State, pool: int, procs: int) -> None:
    s.pools.procs[pool] += procs
    s.pools.free[pool] += procs
    s.clock.stale[0] = 1
    s.clock.replan[0] = conservative.ANEW
