"""Where a job of the broker had best run: hard filters first, then a weighted sum of what speaks against each target.

Expected starts come from what the broker has seen (`Seen`): the running jobs with their limits, and the work that pending
jobs ask for. Both are taken as limits times the mean part of their limit that jobs of the center have used. The wait that comes of it is
that of a plain queue; it is corrected by how long jobs of the same class have waited there, compared with what was foreseen for them: so the broker
learns what backfill or local priorities do without knowing them. Nothing else of a center is read, so an autonomous center is judged by
what any user of it can see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import cohort, node_room
from apportion.core.federation_tables import (
    ALLOWED,
    AWAY,
    CARBON_KG,
    COST,
    DATA_S,
    ENERGY_KWH,
    N_TERMS,
    NO_QUOTA,
    NO_ROUTE,
    PLACE_LEAST_LOADED,
    PLACE_RANDOM,
    PLACE_ROUND_ROBIN,
    RISK,
    RUN_S,
    START_S,
    TOO_LARGE,
    TOO_LONG,
    TOO_WIDE,
    UNREACHABLE,
)
from apportion.core.jit import kernel
from apportion.core.node_tables import POOLED

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation

HOUR_MS = 3_600_000
FAR_MS = 400 * 86_400_000  # a start that cannot be foreseen


@kernel
def scaled(f: Federation, job: int, center: int, ms: int) -> int:
    """What takes ``ms`` at the job's home takes this long at ``center``: rounded up, at least one millisecond."""
    home_speed = f.centers.speed[f.places.home[job]]
    speed = f.centers.speed[center]
    if speed == home_speed:
        return ms
    return max((ms * home_speed + speed - 1) // speed, 1)


@kernel
def refusal(f: Federation, job: int, target: int) -> int:
    """Why the job may not run at a target; ALLOWED if it may."""
    barred = f.barred[f.places.group[job], target]
    if barred != ALLOWED:
        return int(barred)
    center = f.targets.center[target]
    core = f.cores[center]
    pool = f.targets.pool[target]
    if f.centers.reachable[center] == 0:
        return UNREACHABLE
    if core.jobs.procs[job] > core.pools.largest[pool]:
        return TOO_WIDE
    if scaled(f, job, center, f.places.limit[job]) > f.targets.max_time[target]:
        return TOO_LONG
    for e in range(core.pools.extra.shape[1]):
        if core.jobs.extra[job, e] > core.pools.extra_largest[pool, e]:
            return TOO_LARGE
    if core.rules.placement != POOLED and not node_room.fits(core.nodes, core.nodes.size, pool, job):
        return TOO_LARGE
    dataset = f.places.dataset[job]
    if dataset >= 0 and f.data_ms[dataset, center] < 0:
        return NO_ROUTE
    if f.broker.rules.quotas == 1 and cohort.binding(f.broker.quotas, f.broker.jobs, job, flavor(f, target)) != 0:
        return NO_QUOTA
    return ALLOWED


@kernel
def flavor(f: Federation, target: int) -> int:
    """Flavour of the broker's quotas that a target is of."""
    return int(f.seen.flavor[f.targets.seen[target]])


@kernel
def waits_for_reach(f: Federation) -> bool:
    """Whether a job that was just found to have no target may have one once a center can be reached again."""
    for t in range(f.reason.size):
        if f.reason[t] == UNREACHABLE:
            return True
    return False


@kernel
def waits_for_quota(f: Federation, job: int) -> bool:
    """Whether a target just refused would take the job once there is quota; what holds it is noted."""
    b = f.broker
    waits = False
    for t in range(f.reason.size):
        if f.reason[t] == NO_QUOTA:
            b.live.reasons[job] |= cohort.binding(b.quotas, b.jobs, job, flavor(f, t))
            waits = True
    return waits


@kernel
def job_class(procs: int, pool_procs: int, limit_ms: int) -> int:
    """Class of a job by width (up to 1/64, 1/16, 1/4 of the pool, more) and length (up to 1, 4, 16 hours, more)."""
    width = int(64 * procs > pool_procs) + int(16 * procs > pool_procs) + int(4 * procs > pool_procs)
    length = int(limit_ms > HOUR_MS) + int(limit_ms > 4 * HOUR_MS) + int(limit_ms > 16 * HOUR_MS)
    return 4 * width + length


@kernel
def work_ahead(f: Federation, now: int, v: int, procs: int) -> int:
    """How long a job of so many processors would wait in a pool, in ms, if all went by the limits and in order."""
    seen = f.seen
    accuracy = f.centers.accuracy[seen.center[v]]
    backlog = seen.backlog[v] + seen.sent[v]
    free = seen.free[v]
    if backlog == 0 and free >= procs:
        return 0
    i = seen.first[v]
    last = i + seen.count[v]
    left = 0.0
    while free < procs and i < last:
        free += seen.width[i]
        left = accuracy * max(seen.end[i] - now, 0)
        i += 1
    if free < procs:
        left = FAR_MS
    return int(min(max(left, accuracy * backlog / max(seen.procs[v], 1)), FAR_MS))


@kernel
def usual(f: Federation, center: int, kind: int) -> float:
    """What waits of a class of jobs at a center have been, as a part of what was foreseen."""
    return f.centers.waited[center, kind] / f.centers.foreseen[center, kind]


@kernel
def data_wait(f: Federation, now: int, job: int, center: int) -> int:
    """Time until a job that is bound now could wait at a center with its data, in ms, as far as the broker can tell."""
    dataset = f.places.dataset[job]
    if dataset < 0:
        return int(f.centers.latency[center])
    under_way = max(f.data_due[dataset, center] - now, 0)
    return int(f.centers.latency[center] + min(f.data_ms[dataset, center], under_way))


@kernel
def judge(f: Federation, now: int, job: int, target: int) -> None:
    """Work out the terms and the score of one target that is allowed."""
    center = f.targets.center[target]
    v = f.targets.seen[target]
    procs = f.cores[center].jobs.procs[job]
    limit = scaled(f, job, center, f.places.limit[job])
    ahead = work_ahead(f, now, v, procs)
    start = now + int(ahead * usual(f, center, job_class(procs, f.seen.procs[v], limit)))
    f.foreseen[target] = ahead
    data = data_wait(f, now, job, center)
    run_s = limit * f.centers.habit[f.places.home[job]] / 1000.0
    begin = max(start, now + data)
    energy = f.targets.watts[target] * procs * run_s / 3.6e6
    f.expected[target] = begin
    f.terms[target, START_S] = (start - now) / 1000.0
    f.terms[target, DATA_S] = (begin - start) / 1000.0
    f.terms[target, RUN_S] = run_s
    f.terms[target, COST] = f.targets.price[target] * procs * run_s
    f.terms[target, ENERGY_KWH] = energy
    f.terms[target, CARBON_KG] = energy * f.targets.carbon[target, begin // HOUR_MS % 24]
    f.terms[target, RISK] = min(f.targets.risk[target] * run_s, 1.0)
    f.terms[target, AWAY] = 0.0 if center == f.places.home[job] else 1.0
    score = 0.0
    for k in range(N_TERMS):
        score += f.rules.weights[k] * f.terms[target, k]
    f.score[target] = score


@kernel
def load(f: Federation, target: int) -> float:
    """Work that waits for each processor, in seconds, and the part of the processors in use, which is below 1."""
    v = f.targets.seen[target]
    procs = max(f.seen.procs[v], 1)
    return int((f.seen.backlog[v] + f.seen.sent[v]) // 1000 // procs) + (procs - f.seen.free[v]) / (procs + 1.0)


@kernel
def choose(f: Federation, now: int, job: int) -> int:
    """Best target of a job by the broker's rules, -1 if it may run nowhere; of equals the first.

    Leaves in ``f.reason`` why each target is refused, and in ``f.score``, ``f.terms`` and ``f.expected`` what speaks for the others.
    """
    n = f.reason.size
    n_allowed = 0
    for t in range(n):
        f.reason[t] = refusal(f, job, t)
        if f.reason[t] == ALLOWED:
            judge(f, now, job, t)
            n_allowed += 1
    if n_allowed == 0:
        return -1
    how = f.rules.placement
    if how in (PLACE_RANDOM, PLACE_ROUND_ROBIN):
        k = f.places.dice[job] % n_allowed
        if how == PLACE_ROUND_ROBIN:
            k = f.clock.turn[0] % n_allowed
            f.clock.turn[0] += 1
        for t in range(n):
            if f.reason[t] == ALLOWED:
                if k == 0:
                    return t
                k -= 1
    best = -1
    least = 0.0
    for t in range(n):
        if f.reason[t] == ALLOWED:
            score = load(f, t) if how == PLACE_LEAST_LOADED else f.score[t]
            if best < 0 or score < least:
                best = t
                least = score
    return best
