"""Free resources of a pool over time, as backfill plans with them.

A profile is a row of steps. Steps are never merged: the ends of every plan stay steps of the profile, so that
`earliest` can leave a job's own plan out of account without changing anything. `build` starts afresh. Where a pool is made of nodes each step
has a row of these, too (`apportion.core.node_profile`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_profile, running
from apportion.core.jit import kernel
from apportion.core.node_tables import POOLED
from apportion.core.tables import ROW_END, ROW_JOB, ROW_PROCS

if TYPE_CHECKING:
    from apportion.core.tables import State


BLOCK = 32  # steps looked at together


@kernel
def length(s: State, job: int) -> int:
    """Time that a plan must leave room for, at least one millisecond."""
    return max(s.jobs.expected[job], 1)


@kernel
def build(s: State, pool: int, now: int) -> None:
    """What is free from ``now`` on if all running jobs take their whole limit and capacity changes as it is known to."""
    p = s.profile
    run = s.running
    n_extra = s.pools.extra.shape[1]
    on_nodes = s.rules.placement != POOLED
    running.settle(run, s.live.state, pool)
    k = p.first[pool]
    if on_nodes:
        node_profile.write_now(s, pool, k)
    p.time[k] = now
    p.free[k] = s.pools.free[pool]
    for e in range(n_extra):
        p.extra[k, e] = s.pools.extra_free[pool, e]
    i = run.first[pool]
    last = i + run.count[pool]
    c = s.pools.step_next[pool]
    last_step = s.pools.step_first[pool + 1]
    while i < last or c < last_step:
        job_next = i < last and (c >= last_step or run.row[i, ROW_END] <= s.pools.step_time[c])
        # A job that is over its limit and still runs may end any moment; we count on the next one.
        time = max(run.row[i, ROW_END], now + 1) if job_next else s.pools.step_time[c]
        if time > p.time[k]:
            k += 1
            p.time[k] = time
            p.free[k] = p.free[k - 1]
            for e in range(n_extra):
                p.extra[k, e] = p.extra[k - 1, e]
            if on_nodes:
                node_profile.repeat(s, pool, k)
        if job_next:
            if on_nodes:
                node_profile.add(s, run.row[i, ROW_JOB], 1, k, k + 1)
            p.free[k] += run.row[i, ROW_PROCS]
            for e in range(n_extra):
                p.extra[k, e] += s.jobs.extra[run.row[i, ROW_JOB], e]
            i += 1
        else:
            p.free[k] += s.pools.step_procs[c]
            for e in range(n_extra):
                p.extra[k, e] += s.pools.step_extra[c, e]
            c += 1
    p.count[pool] = k + 1 - p.first[pool]


@kernel
def trim(s: State, pool: int, now: int) -> None:
    """Forget what lies before ``now``."""
    p = s.profile
    first = p.first[pool]
    n = p.count[pool]
    gone = 0
    while gone + 1 < n and p.time[first + gone + 1] <= now:
        gone += 1
    if gone > 0:
        end = first + n - gone
        for k in range(first, end):  # column by column, so that each becomes a block move
            p.time[k] = p.time[k + gone]
        for k in range(first, end):
            p.free[k] = p.free[k + gone]
        for e in range(p.extra.shape[1]):
            for k in range(first, end):
                p.extra[k, e] = p.extra[k + gone, e]
        if s.rules.placement != POOLED:
            node_profile.forget(s, first, first + n, gone)
        p.count[pool] = n - gone
    p.time[first] = max(p.time[first], now)


@kernel
def find(s: State, pool: int, time: int) -> int:
    """Last step that begins at or before ``time``."""
    p = s.profile
    low = p.first[pool]
    high = low + p.count[pool]
    while high - low > 1:
        middle = (low + high) >> 1
        if p.time[middle] <= time:
            low = middle
        else:
            high = middle
    return low


@kernel
def _cut(s: State, pool: int, time: int) -> int:
    """Make ``time`` the beginning of a step and return that step."""
    p = s.profile
    k = find(s, pool, time)
    if p.time[k] == time:
        return k
    end = p.first[pool] + p.count[pool]
    for i in range(end, k + 1, -1):
        p.time[i] = p.time[i - 1]
    for i in range(end, k + 1, -1):
        p.free[i] = p.free[i - 1]
    for e in range(p.extra.shape[1]):
        for i in range(end, k + 1, -1):
            p.extra[i, e] = p.extra[i - 1, e]
    k += 1
    p.time[k] = time
    p.free[k] = p.free[k - 1]
    for e in range(p.extra.shape[1]):
        p.extra[k, e] = p.extra[k - 1, e]
    if s.rules.placement != POOLED:
        node_profile.insert(s, pool, k, end)
    p.count[pool] += 1
    return k


@kernel
def add(s: State, job: int, sign: int, begin: int, end: int) -> None:
    """Give the job's resources back (sign 1) or take them (-1) from ``begin`` to ``end``; the past is ignored."""
    p = s.profile
    pool = s.jobs.pool[job]
    begin = max(begin, p.time[p.first[pool]])
    if begin >= end:
        return
    low = _cut(s, pool, begin)
    high = _cut(s, pool, end)
    procs = sign * s.jobs.procs[job]
    for k in range(low, high):
        p.free[k] += procs
    for e in range(p.extra.shape[1]):
        amount = sign * s.jobs.extra[job, e]
        for k in range(low, high):
            p.extra[k, e] += amount
    if s.rules.placement != POOLED:
        node_profile.add(s, job, sign, low, high)


@kernel
def fits_from_now(s: State, job: int) -> bool:
    """Whether the job fits from the beginning of the profile for its whole limit."""
    p = s.profile
    pool = s.jobs.pool[job]
    need = s.jobs.procs[job]
    k = p.first[pool]
    last = k + p.count[pool]
    end = p.time[k] + length(s, job)
    while k < last and p.time[k] < end:
        if p.free[k] < need:
            return False
        for e in range(p.extra.shape[1]):
            if p.extra[k, e] < s.jobs.extra[job, e]:
                return False
        k += 1
    return True


@kernel
def _has_extra(s: State, k: int, job: int) -> bool:
    """Whether step ``k`` has all that the job asks for beside processors."""
    for e in range(s.profile.extra.shape[1]):
        if s.profile.extra[k, e] < s.jobs.extra[job, e]:
            return False
    return True


@kernel
def _next_room(s: State, job: int, k: int, last: int, before: int) -> int:
    """First step from ``k`` on that has room for the job; ``last`` if there is none that begins before ``before``."""
    p = s.profile
    need = s.jobs.procs[job]
    while k < last:
        while k + BLOCK <= last and p.time[k] < before:
            found = False
            for i in range(BLOCK):  # without a branch, so that several are compared at once
                found |= p.free[k + i] >= need
            if found:
                break
            k += BLOCK
        while k < last and p.free[k] < need:
            k += 1
        if k == last or p.time[k] >= before:
            return last
        if _has_extra(s, k, job):
            return k
        k += 1
    return last


@kernel
def _next_lack(s: State, job: int, k: int, last: int, until: int) -> int:
    """First step from ``k`` on that lacks room for the job, or begins at ``until`` or later."""
    p = s.profile
    need = s.jobs.procs[job]
    if p.extra.shape[1] == 0:
        while k + BLOCK <= last and p.time[k] < until:
            found = False
            for i in range(BLOCK):
                found |= p.free[k + i] < need
            if found:
                break
            k += BLOCK
    while k < last and p.time[k] < until and p.free[k] >= need and _has_extra(s, k, job):
        k += 1
    return k


@kernel
def earliest(s: State, job: int, before: int, own: int) -> int:
    """Earliest start of the job.

    Parameters
    ----------
    before : int
        Only starts before this time (ms) are of interest; it is returned if there is none.
    own : int
        The job's own plan in the profile (ms, not before ``before``), which does not stand in its way; -1 if it has none.
    """
    p = s.profile
    first = p.first[s.jobs.pool[job]]
    k = next_slot(s, job, first, before, own)
    return before if k == first + p.count[s.jobs.pool[job]] else int(p.time[k])


@kernel
def next_slot(s: State, job: int, k: int, before: int, own: int) -> int:
    """First step from ``k`` on, before ``before``, at which the job may start; the number behind the last step if there is none."""
    p = s.profile
    pool = s.jobs.pool[job]
    duration = length(s, job)
    last = p.first[pool] + p.count[pool]
    while True:
        k = _next_room(s, job, k, last, before)
        if k == last:
            return last
        end = p.time[k] + duration
        lack = _next_lack(s, job, k, last, end if own < 0 else min(end, own))
        if own >= 0 and own < end and (lack == last or p.time[lack] >= own):
            lack = _next_lack(s, job, find(s, pool, own + duration), last, end)
        if lack == last or p.time[lack] >= end:
            return k
        k = lack + 1
