"""What becomes of preemption as time goes on: grace ends, the jobs that wait for it start, suspended jobs resume.

Jobs resume in the order in which they were suspended, as soon as they fit, and before any pass over the queue: those that never started come
after them. Until then they keep their memory. Source: PreemptMode in slurm.conf(5), https://slurm.schedmd.com/preempt.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import conservative, grace, lifecycle, preempt, quota
from apportion.core.codes import BACKFILL_CONSERVATIVE, KILLED, PENDING, RUNNING
from apportion.core.jit import apart, kernel
from apportion.core.preempt_tables import CLAIMS, LEAVING, SUSPENDED

if TYPE_CHECKING:
    from apportion.core.tables import State


@apart
def advance(s: State, now: int) -> bool:
    """Do all that is due; True if anything changed."""
    changed = _end_graces(s, now)
    changed |= _settle_claims(s, now)
    changed |= _resume(s, now)
    if changed:
        grace.note_change(s)
    return changed


@kernel
def _end_graces(s: State, now: int) -> bool:
    """Stop the victims whose grace is over, and forget those that have ended."""
    p = s.preemption
    n, changed = 0, False
    for k in range(p.clock[LEAVING]):
        job = p.leaving[k]
        state = s.live.state[job]
        if p.until[job] < 0 or (state != RUNNING and state != KILLED):
            p.until[job] = -1
        elif state == RUNNING and p.until[job] <= now:
            preempt.take_off(s, now, job, p.by[job], p.reason[job])
            changed = True
        else:
            p.leaving[n] = job
            n += 1
    p.clock[LEAVING] = n
    return changed


@kernel
def _start_if_it_fits(s: State, now: int, job: int) -> bool:
    if not lifecycle.fits_now(s, job) or quota.held(s, job) or not preempt.stays_free(s, now, job, 0):
        return False
    if s.rules.backfill == BACKFILL_CONSERVATIVE:
        conservative.drop(s, job)
    lifecycle.start(s, now, job)
    return True


@kernel
def _settle_claims(s: State, now: int) -> bool:
    """Start the jobs that have all they ask for; the others go on waiting while any of their victims is there."""
    p = s.preemption
    n, changed = 0, False
    for k in range(p.clock[CLAIMS]):
        job = p.claimants[k]
        before = p.held[job, 0]
        grace.let_go(s, job)
        if s.live.state[job] == PENDING and not _start_if_it_fits(s, now, job) and _has_victims(s, job):
            grace.hold(s, job)
            changed |= p.held[job, 0] != before
            p.claimants[n] = job
            n += 1
        else:
            p.is_claimant[job] = 0
            changed = True
    p.clock[CLAIMS] = n
    return changed


@kernel
def _has_victims(s: State, job: int) -> bool:
    p = s.preemption
    for k in range(p.clock[LEAVING]):
        if p.by[p.leaving[k]] == job:
            return True
    return False


@kernel
def _resume(s: State, now: int) -> bool:
    p = s.preemption
    n, changed = 0, False
    for k in range(p.clock[SUSPENDED]):
        job = p.suspended[k]
        grace.keep_memory(s, job, -1)
        if s.live.state[job] != PENDING:
            changed |= p.memory >= 0
        elif _start_if_it_fits(s, now, job):
            changed = True
        else:
            grace.keep_memory(s, job, 1)
            p.suspended[n] = job
            n += 1
    p.clock[SUSPENDED] = n
    return changed
