"""Quota comes back across a federation: a job in the broker's queue whose account may take back what it lends.

It is bound to the managed center where it can start at once in place of jobs that run there on borrowed quota; of several to the one with the
best score. What waits at a managed center takes back there, as in `apportion.core.take_back`: a center shares the broker's quotas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import cohort, placement, preempt, take_back
from apportion.core.federation_tables import ALLOWED, NO_QUOTA
from apportion.core.jit import kernel
from apportion.core.preempt_tables import WAKE
from apportion.core.reclaim_tables import NEVER_PREEMPT
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

TRIED = -1  # in place of NO_QUOTA: nobody goes there for the job


@kernel
def begin_round(f: Federation) -> None:
    """To be called before the broker's queue is walked."""
    f.broker.reclaim.round[0] += 1
    f.broker.preemption.clock[WAKE] = NEVER


@kernel
def is_asked(f: Federation, job: int) -> bool:
    """Whether a job may take back what its account lends, and none like it was tried in this round."""
    b = f.broker
    r = b.reclaim
    node = cohort.node_of(b.quotas, b.jobs, job)
    if node < 0 or (r.within[node] == NEVER_PREEMPT and r.reclaim[node] == NEVER_PREEMPT):
        return False
    if take_back.was_tried(b, node, job) or not take_back.may_ask(b, job) or not take_back.anything_to_take(b):
        return False
    take_back.note_tried(b, node, job)
    return True


@kernel
def best_target(f: Federation, now: int, job: int) -> int:
    """Next target to try: of those that lack nothing but quota and are reached at once the one with the best score; -1 for none.

    `placement.choose` has left in ``f.reason`` what the targets lack; those that were tried say TRIED.
    """
    best = -1
    dataset = f.places.dataset[job]
    for t in range(f.reason.size):
        center = f.targets.center[t]
        if f.reason[t] != NO_QUOTA or f.centers.managed[center] == 0:
            continue
        if dataset >= 0 and f.data_ms[dataset, center] > 0:
            continue
        placement.judge(f, now, job, t)
        if best < 0 or f.score[t] < f.score[best]:
            best = t
    return best


@kernel
def settle_on(f: Federation, now: int, target: int) -> None:
    """Make what was noted of the targets fit a job that starts at one of them now."""
    for t in range(f.reason.size):
        if f.reason[t] == TRIED:
            f.reason[t] = NO_QUOTA
    f.reason[target] = ALLOWED
    f.expected[target] = now
    f.foreseen[target] = 0


@kernel
def choose(f: Federation, now: int, target: int, job: int) -> int:
    """Choose who goes at a target for a job whose rows are made to fit it; how many, 0 if nobody."""
    core = f.cores[f.targets.center[target]]
    if not take_back.may_ask(core, job):
        return 0
    wake = core.preemption.clock[WAKE]
    preempt.begin_round(core, now)
    m = take_back.choose(core, now, job)
    f.broker.preemption.clock[WAKE] = min(f.broker.preemption.clock[WAKE], core.preemption.clock[WAKE])
    core.preemption.clock[WAKE] = wake
    return m
