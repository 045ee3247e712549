"""Whose turn it is to be admitted: Kueue's fair sharing between accounts, and its admission fair sharing between the users of one.

The queue is brought into the order of turns before each pass. Each turn is that of one job, found from the roots of the forest of quotas
downwards: of the children of a cohort the one goes first whose dominant share, with the next job of it, is least; ties go by the policy's
order, which ends in time and index. The next job of an account is the first by that order, or, where it goes by usage, that of the user who
used least of late. A job that its quota admits then counts as if it had started, so accounts take turns also within one round. Trees of
cohorts share nothing with each other, nor with jobs without quota: between those the order decides.

An account with quota and others below it is as a cohort of those and of its own jobs.

Sources: Kueue, "Fair Sharing" (kueue.sigs.k8s.io/docs/concepts/fair_sharing; KEP 1714) and "Admission Fair Sharing" (KEP 4136).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import cohort, queue
from apportion.core.codes import ORDER_ARRIVAL
from apportion.core.cohort_history import averaged, entry_penalty
from apportion.core.cohort_share import dominant, dominant_of_own, share_before
from apportion.core.cohort_tables import NOT_COUNTED
from apportion.core.jit import kernel
from apportion.core.limits import tres_count
from apportion.core.reasons import QUOTA_ORDER

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.core.tables import Jobs, State
    from apportion.core.turn_tables import Turns


@kernel
def advance(Q: Quotas, T: Turns, now: int) -> None:
    """Take the samples of usage that are due; what happens at the very time of one comes after it."""
    while T.next_sample[0] <= now:
        for a in range(T.used.shape[0]):
            for r in range(T.used.shape[1]):
                T.used[a, r] = averaged(T.used[a, r], float(Q.in_use[a, r]), float(T.interval), float(T.half_life))
        T.next_sample[0] += T.interval


@kernel
def _penalty(Q: Quotas, jobs: Jobs, T: Turns, job: int, r: int) -> float:
    """What the start of a job adds to the average of its user."""
    return entry_penalty(float(tres_count(jobs, job, Q.tres[r])), float(T.interval), float(T.half_life))


@kernel
def note_entry(Q: Quotas, jobs: Jobs, T: Turns, job: int) -> None:
    """A job is about to have its quota: its user has used more, at once."""
    if T.interval == 0 or cohort.node_of(Q, jobs, job) < 0 or Q.counted[job] != NOT_COUNTED:
        return
    for r in range(Q.tres.size):
        T.used[jobs.assoc[job], r] += _penalty(Q, jobs, T, job, r)


@kernel
def _value(T: Turns, assoc: int) -> float:
    """What a user used of late, by weight; who has weight 0 comes last."""
    if T.weight[assoc] == 0.0:
        return float("inf")
    value = T.added[assoc]
    for r in range(T.factor.size):
        value += T.factor[r] * T.used[assoc, r]
    return value / T.weight[assoc]


@kernel
def _line_of(Q: Quotas, jobs: Jobs, T: Turns, job: int) -> int:
    node = cohort.node_of(Q, jobs, job)
    if node < 0:
        return int(T.first.size - 1)
    return node if T.by_usage[node] == 0 else int(Q.parent.size + jobs.assoc[job])


@kernel
def _next_own(Q: Quotas, T: Turns, node: int) -> int:
    """Job of an account itself that has its next turn, -1 none."""
    if T.by_usage[node] == 0:
        return int(T.first[node])
    best, least = -1, 0.0
    for a in range(T.weight.size):
        job = T.first[Q.parent.size + a]
        if job < 0 or Q.of_assoc[a] != node:
            continue
        value = _value(T, a)
        if best < 0 or value < least or (value == least and T.place[job] < T.place[best]):
            best, least = job, value
    return int(best)


@kernel
def _choose(s: State, node: int) -> None:
    """Find the next job of a node and those below it, and the share that the node would have with it."""
    Q, T = s.quotas, s.turns
    best, by = _next_own(Q, T, node), node
    most, lendable = 0, 1
    if best >= 0 and T.by_share == 1:
        counted = _count(s, best)
        _, most, lendable = dominant_of_own(Q, node)
        _discount(s, best, counted)
    for child in range(node + 1, Q.parent.size):
        job = T.best[child]
        if Q.parent[child] != node or job < 0:
            continue
        first = best < 0
        if not first and T.by_share == 1:
            first = share_before(Q, child, T.most[child], T.lendable[child], by, most, lendable)
            if not first and share_before(Q, by, most, lendable, child, T.most[child], T.lendable[child]):
                continue
        if first or T.place[job] < T.place[best]:
            best, by, most, lendable = job, child, T.most[child], T.lendable[child]
    T.best[node] = best
    if best >= 0 and T.by_share == 1:
        counted = _count(s, best)
        _, T.most[node], T.lendable[node] = dominant(Q, node, T.nothing)
        _discount(s, best, counted)


@kernel
def _count(s: State, job: int) -> bool:
    """Let a job have its quota for a moment; False if it has it already."""
    if s.quotas.counted[job] != NOT_COUNTED:
        return False
    cohort.reserve(s.quotas, s.jobs, job, s.pools.flavor[s.jobs.pool[job]])
    return True


@kernel
def _discount(s: State, job: int, counted: bool) -> None:
    if counted:
        cohort.release(s.quotas, s.jobs, job)


@kernel
def _line_up(s: State, n: int) -> None:
    """Divide the queue into lines; the last jobs first, so that each line begins with its first."""
    T = s.turns
    for k in range(T.first.size):
        T.first[k] = -1
    for a in range(T.added.size):
        T.added[a] = 0.0
    for i in range(n - 1, -1, -1):
        job = s.queue.order[i]
        line = _line_of(s.quotas, s.jobs, T, job)
        T.place[job] = i
        T.next[job] = T.first[line]
        T.first[line] = job
    for node in range(s.quotas.parent.size - 1, -1, -1):
        _choose(s, node)


@kernel
def _next(s: State) -> int:
    """Job that has the next turn of all: the first by the order of those that the trees send, and of those without quota."""
    T = s.turns
    best = T.first[T.first.size - 1]
    for node in range(s.quotas.parent.size):
        job = T.best[node]
        if s.quotas.parent[node] < 0 and job >= 0 and (best < 0 or T.place[job] < T.place[best]):
            best = job
    return int(best)


@kernel
def _admit(s: State, job: int) -> bool:
    """Count a job as admitted if its quota has room for it and it has none yet."""
    Q, T = s.quotas, s.turns
    flavor = s.pools.flavor[s.jobs.pool[job]]
    if Q.counted[job] != NOT_COUNTED or cohort.binding(Q, s.jobs, job, flavor) & ~QUOTA_ORDER != 0:
        return False
    cohort.reserve(Q, s.jobs, job, flavor)
    if T.interval > 0:
        for r in range(Q.tres.size):
            T.added[s.jobs.assoc[job]] += T.factor[r] * _penalty(Q, s.jobs, T, job, r)
    return True


@kernel
def arrange(s: State) -> None:
    """Bring the queue into the order of turns."""
    Q, T, q = s.quotas, s.turns, s.queue
    if s.rules.order == ORDER_ARRIVAL:
        queue.sort(q, s.jobs, s.live.state, s.jobs.submit, s.work)
    else:
        queue.sort(q, s.jobs, s.live.state, s.live.score, s.work)
    n = q.tail[0]
    _line_up(s, n)
    admitted = 0
    for i in range(n):
        job = _next(s)
        T.row[i] = job
        line = _line_of(Q, s.jobs, T, job)
        T.first[line] = T.next[job]
        node = cohort.node_of(Q, s.jobs, job)
        if node < 0:
            continue
        if _admit(s, job):
            T.admitted[admitted] = job
            admitted += 1
        while node >= 0:
            _choose(s, node)
            node = int(Q.parent[node])
    for k in range(admitted - 1, -1, -1):
        cohort.release(Q, s.jobs, T.admitted[k])
    for i in range(n):
        queue.put(q, s.jobs, i, T.row[i])
