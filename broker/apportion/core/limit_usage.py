"""The counters behind the limits: jobs, TRES and minutes of each association and QOS, and who may age.

Time is counted slice by slice, at ticks and when a job ends. At a tick old usage is decayed first; then the slice of each running
job is added, aged as if all of it had happened at the slice's start (Slurm's rule). What running jobs may still use shrinks by slices too,
down to zero at the time limit and no further.

UsageFactor of the job's own QOS scales TRES-seconds, not wall time. A QOS with NoDecay gets everything undecayed.
"""

from __future__ import annotations

from apportion.core.jit import kernel
from apportion.core.limit_tables import QOS_NO_DECAY, LimitCounters, LimitTables
from apportion.core.limits import (
    association_of,
    qos_of,
    qos_places,
    tres_count,
    tres_seconds,
    usage_factor_of,
)
from apportion.core.reasons import (
    ASSOC_GRP_MINS,
    QOS_GRP_ACCRUE,
    QOS_GRP_MINS,
    QOS_MAX_ACCRUE_PU,
)
from apportion.core.tables import Floats, Ints, Jobs, Running


@kernel
def on_submit(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """An accepted job is pending from now on."""
    _count(L, C.submitted, C.user_submitted, C.account_submitted, jobs, j, 1)


@kernel
def on_start(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int) -> None:
    """A pending job starts; it ages no longer."""
    _stop_ageing(L, C, jobs, j)
    _count(L, C.running, C.user_running, C.account_running, jobs, j, 1)
    _count_tres(L, C, jobs, j, 1)
    if C.seen.size > 0:
        C.start[j] = now
        C.seen[j] = now
        factor = usage_factor_of(L, jobs, j)
        for k in range(L.remaining.size):
            tres = L.remaining[k]
            _add_left(L, C, jobs, j, tres, tres_seconds(tres_count(jobs, j, tres), jobs.limit[j], factor))


@kernel
def on_end(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int, per_second: float) -> None:
    """A running job has ended; what it used since it was last accounted is charged.

    ``per_second`` is the decay factor of one second, 1.0 for no decay.
    """
    if C.seen.size > 0:
        _charge(L, C, jobs, j, now, per_second)
        factor = usage_factor_of(L, jobs, j)
        for k in range(L.remaining.size):
            tres = L.remaining[k]
            ms = C.start[j] + jobs.limit[j] - C.seen[j]
            _add_left(L, C, jobs, j, tres, -tres_seconds(tres_count(jobs, j, tres), ms, factor))
    _count_tres(L, C, jobs, j, -1)
    _count(L, C.running, C.user_running, C.account_running, jobs, j, -1)
    _count(L, C.submitted, C.user_submitted, C.account_submitted, jobs, j, -1)


@kernel
def on_cancel_pending(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """A pending job goes away without having started."""
    _stop_ageing(L, C, jobs, j)
    _count(L, C.submitted, C.user_submitted, C.account_submitted, jobs, j, -1)


@kernel
def tick(
    L: LimitTables, C: LimitCounters, jobs: Jobs, running: Running, now: int, factor: float, per_second: float
) -> None:
    """A period of the priority calculation is over: decay, then charge what ran.

    Parameters
    ----------
    running : Running
        The running jobs; they are charged pool by pool in their order there.
    now : int
        ms.
    factor : float
        Decay since the last tick.
    per_second : float
        Decay of one second, with which the new slices are aged.
    """
    if C.seen.size == 0:
        return
    decay(L, C, factor)
    for pool in range(running.count.size):
        first = running.first[pool]
        for i in range(first, first + running.count[pool]):
            _charge(L, C, jobs, running.job[i], now, per_second)


@kernel
def decay(L: LimitTables, C: LimitCounters, factor: float) -> None:
    """Scale the used TRES-seconds and wall time, save in QOS with NoDecay. A factor of 0 resets them (PriorityUsageResetPeriod)."""
    if factor == 1.0:
        return
    for place in range(C.wall_s.size):
        if place >= L.n_assoc and L.flags[place - L.n_assoc] & QOS_NO_DECAY:
            continue
        C.wall_s[place] *= factor
        for k in range(L.metered.size):
            C.used_s[place, L.metered[k]] *= factor


@kernel
def to_kill(L: LimitTables, C: LimitCounters, jobs: Jobs, running: Running, out: Ints) -> int:
    """Running jobs that a used-up GrpTRESMins ends: those that use that TRES, at any of their places. None with ``safe``.

    Returns
    -------
    int
        How many there are; they are ``out[:n]``.
    """
    n = 0
    if L.safe or L.metered.size == 0:
        return 0
    for pool in range(running.count.size):
        first = running.first[pool]
        for i in range(first, first + running.count[pool]):
            if _is_spent(L, C, jobs, running.job[i]):
                out[n] = running.job[i]
                n += 1
    return n


@kernel
def accrue(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int) -> bool:
    """Whether a pending job ages. It begins to, if GrpJobsAccrue and MaxJobsAccrue allow, and then does until it starts.

    The limits of a partition QOS do not count here. Jobs begin in the order in which they are asked about.
    """
    if C.accrue_since.size == 0 or C.accrue_since[j] >= 0:
        return True
    assoc = association_of(jobs, j)
    qos = qos_of(jobs, j)
    own = qos + L.n_assoc if qos >= 0 else -1
    for s in range(L.n_start, L.n_start + L.n_accrue):
        form = L.form[s]
        if L.family[s] == form:
            if own >= 0 and L.limit[s, own] >= 0:
                if form == QOS_GRP_ACCRUE:
                    ageing = C.accruing[own]
                elif assoc < 0:
                    continue
                elif form == QOS_MAX_ACCRUE_PU:
                    ageing = C.user_accruing[L.user_row[qos], L.user[assoc]]
                else:
                    ageing = C.account_accruing[L.account_row[qos], L.account[assoc]]
                if ageing + 1 > L.limit[s, own]:
                    return False
        elif form == QOS_GRP_ACCRUE:
            place = assoc
            while place >= 0:
                if L.limit[s, place] >= 0 and C.accruing[place] + 1 > L.limit[s, place]:
                    return False
                place = L.parent[place]
        elif assoc >= 0 and L.limit[s, assoc] >= 0:
            over = L.overridden[s]
            if over >= 0 and own >= 0 and L.limit[over, own] >= 0:
                continue
            if C.accruing[assoc] + 1 > L.limit[s, assoc]:
                return False
    C.accrue_since[j] = now
    _count_ageing(L, C, jobs, j, 1)
    return True


@kernel
def _stop_ageing(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    if C.accrue_since.size > 0 and C.accrue_since[j] >= 0:
        C.accrue_since[j] = -1
        _count_ageing(L, C, jobs, j, -1)


@kernel
def _count_ageing(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, n: int) -> None:
    assoc = association_of(jobs, j)
    qos = qos_of(jobs, j)
    if qos >= 0:
        C.accruing[qos + L.n_assoc] += n
        _count_owner(L, C.user_accruing, C.account_accruing, qos, assoc, n)
    while assoc >= 0:
        C.accruing[assoc] += n
        assoc = L.parent[assoc]


@kernel
def _count(L: LimitTables, column: Ints, by_user: Ints, by_account: Ints, jobs: Jobs, j: int, n: int) -> None:
    """Add ``n`` jobs at all places of a job."""
    first, second = qos_places(L, jobs, j)
    place = association_of(jobs, j)
    if first >= 0:
        column[first] += n
        _count_owner(L, by_user, by_account, first - L.n_assoc, place, n)
    if second >= 0:
        column[second] += n
        _count_owner(L, by_user, by_account, second - L.n_assoc, place, n)
    while place >= 0:
        column[place] += n
        place = L.parent[place]


@kernel
def _count_owner(L: LimitTables, by_user: Ints, by_account: Ints, qos: int, assoc: int, n: int) -> None:
    if assoc >= 0:
        if L.user_row[qos] >= 0:
            by_user[L.user_row[qos], L.user[assoc]] += n
        if L.account_row[qos] >= 0:
            by_account[L.account_row[qos], L.account[assoc]] += n


@kernel
def _count_tres(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, sign: int) -> None:
    """Add (or, with sign -1, take away) what a job holds at all its places."""
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    for k in range(L.counted.size):
        tres = L.counted[k]
        n = sign * tres_count(jobs, j, tres)
        if first >= 0:
            C.tres[first, tres] += n
            _count_owner_tres(L, C, first - L.n_assoc, assoc, tres, n)
        if second >= 0:
            C.tres[second, tres] += n
            _count_owner_tres(L, C, second - L.n_assoc, assoc, tres, n)
        place = assoc
        while place >= 0:
            C.tres[place, tres] += n
            place = L.parent[place]


@kernel
def _count_owner_tres(L: LimitTables, C: LimitCounters, qos: int, assoc: int, tres: int, n: int) -> None:
    if assoc >= 0:
        if L.user_row[qos] >= 0:
            C.user_tres[L.user_row[qos], L.user[assoc], tres] += n
        if L.account_row[qos] >= 0:
            C.account_tres[L.account_row[qos], L.account[assoc], tres] += n


@kernel
def _add_left(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, tres: int, seconds: int) -> None:
    first, second = qos_places(L, jobs, j)
    place = association_of(jobs, j)
    if first >= 0:
        C.left_s[first, tres] += seconds
    if second >= 0:
        C.left_s[second, tres] += seconds
    while place >= 0:
        C.left_s[place, tres] += seconds
        place = L.parent[place]


@kernel
def _power(base: float, exponent: int) -> float:
    """``base`` to a whole power by repeated squaring: the same bits on every machine, unlike a library's pow."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@kernel
def _charge(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int, per_second: float) -> None:
    """Account the slice of a running job since it was last seen."""
    ms = now - C.seen[j]
    if ms <= 0:
        return
    factor = usage_factor_of(L, jobs, j)
    aged = _power(per_second, ms // 1000) if per_second != 1.0 else 1.0
    seconds = ms / 1000.0
    if L.walled:
        _add_used(L, C.wall_s, jobs, j, seconds, aged)
    for k in range(L.metered.size):
        tres = L.metered[k]
        _add_used(L, C.used_s[:, tres], jobs, j, tres_count(jobs, j, tres) * seconds * factor, aged)
    end = C.start[j] + jobs.limit[j]
    for k in range(L.remaining.size):
        tres = L.remaining[k]
        n = tres_count(jobs, j, tres)
        _add_left(L, C, jobs, j, tres, tres_seconds(n, end - now, factor) - tres_seconds(n, end - C.seen[j], factor))
    C.seen[j] = now


@kernel
def _add_used(L: LimitTables, column: Floats, jobs: Jobs, j: int, amount: float, aged: float) -> None:
    first, second = qos_places(L, jobs, j)
    place = association_of(jobs, j)
    if first >= 0:
        column[first] += amount if L.flags[first - L.n_assoc] & QOS_NO_DECAY else amount * aged
    if second >= 0:
        column[second] += amount if L.flags[second - L.n_assoc] & QOS_NO_DECAY else amount * aged
    while place >= 0:
        column[place] += amount * aged
        place = L.parent[place]


@kernel
def _is_spent(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> bool:
    first, second = qos_places(L, jobs, j)
    for s in range(L.n_submit, L.n_start):
        tres = L.tres[s]
        if L.form[s] != QOS_GRP_MINS or tres_count(jobs, j, tres) == 0:
            continue
        if L.family[s] == ASSOC_GRP_MINS:
            place = association_of(jobs, j)
            while place >= 0:
                if 0 <= L.limit[s, place] <= C.used_s[place, tres]:
                    return True
                place = L.parent[place]
        elif (first >= 0 and 0 <= L.limit[s, first] <= C.used_s[first, tres]) or (
            second >= 0 and 0 <= L.limit[s, second] <= C.used_s[second, tres]
        ):
            return True
    return False
