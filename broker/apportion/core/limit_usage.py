"""The counters behind the limits: jobs, TRES and minutes of each association and QOS, and who may age.

Time is counted slice by slice, at ticks and when a job ends. At a tick old usage is decayed first; then the slice of
each running job is added, aged as if all of it had happened at the slice's start (Slurm's rule). What running jobs
may still use shrinks by slices too, down to zero at the time limit and no further.

UsageFactor of the job's own QOS scales TRES-seconds, not wall time. A QOS with NoDecay gets everything undecayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel
from apportion.core.limit_tables import (
    ACCOUNT,
    ACCOUNT_ROW,
    ACCRUING,
    COUNTED,
    FAMILY,
    FIRST_TRES,
    FLAGS,
    FORM,
    HELD_BILLING,
    HELD_FIRST,
    HELD_SECOND,
    METERED,
    OVERRIDDEN,
    PARENT,
    QOS_NO_DECAY,
    REMAINING,
    RUNNING,
    SEEN,
    STARTED,
    SUBMITTED,
    TRES,
    USER,
    USER_ROW,
    LimitCounters,
    LimitTables,
)
from apportion.core.limits import (
    association_of,
    qos_of,
    qos_places,
    tres_count,
    tres_seconds,
    usage_factor_of,
)
from apportion.core.reasons import QOS_GRP_ACCRUE, QOS_GRP_MINS, QOS_MAX_ACCRUE_PU
from apportion.core.tables import ROW_JOB

if TYPE_CHECKING:
    from apportion.core.tables import Ints, Jobs, Running


@kernel
def on_submit(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """Count an accepted job as pending."""
    _count(L, C, jobs, j, 0, 1)


@kernel
def on_move(L: LimitTables, C: LimitCounters, old: Jobs, new: Jobs, j: int) -> None:
    """Count a submitted job as another scheduler knows it, where its partition may have another QOS."""
    _count(L, C, old, j, 0, -1)
    _count(L, C, new, j, 0, 1)


@kernel
def hold(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """Count a pending job as running from now on, since it may start where nobody is asked; until it starts or goes away."""
    if not is_held(C, j):
        C.held[j, HELD_FIRST], C.held[j, HELD_SECOND] = qos_places(L, jobs, j)
        C.held[j, HELD_BILLING] = _billing(jobs, j)
        count_in(L, C, jobs, j)


@kernel
def is_held(C: LimitCounters, j: int) -> bool:
    """Whether a pending job is counted as running."""
    return C.held.shape[0] > 0 and C.held[j, HELD_BILLING] >= 0


@kernel
def count_out(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """See what would be if a job were not held, until `count_in`."""
    _count_held(L, C, jobs, j, -1)


@kernel
def count_in(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """The reverse of `count_out`."""
    _count_held(L, C, jobs, j, 1)


@kernel
def _count_held(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, run: int) -> None:
    """Count a job that is held as those have asked for it who hold it: a center may know it by another partition, and by other billing."""
    if is_held(C, j):
        first, second, billing = C.held[j, HELD_FIRST], C.held[j, HELD_SECOND], C.held[j, HELD_BILLING]
        _count_at(L, C, jobs, j, first, second, billing, run, 0)


@kernel
def _let_go(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """Hold a job no longer, if it is."""
    if is_held(C, j):
        count_out(L, C, jobs, j)
        C.held[j, HELD_BILLING] = -1


@kernel
def on_start(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int) -> None:
    """Count a pending job as running, once; it ages no longer."""
    _stop_ageing(L, C, jobs, j)
    _let_go(L, C, jobs, j)
    _count(L, C, jobs, j, 1, 0)
    if C.ran.size > 0:
        C.ran[j, STARTED] = now
        C.ran[j, SEEN] = now
        _change_left(L, C, jobs, j, 0, jobs.limit[j])


@kernel
def on_end(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int, per_second: float) -> None:
    """Take a running job off the counts and charge what it used since it was last accounted.

    ``per_second`` is the decay factor of one second, 1.0 for no decay.
    """
    if C.ran.size > 0:
        _charge(L, C, jobs, j, now, per_second)
        _change_left(L, C, jobs, j, C.ran[j, STARTED] + jobs.limit[j] - C.ran[j, SEEN], 0)
    _count(L, C, jobs, j, -1, -1)


@kernel
def on_cancel_pending(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> None:
    """Take a pending job that goes away without having started off the counts."""
    _stop_ageing(L, C, jobs, j)
    _let_go(L, C, jobs, j)
    _count(L, C, jobs, j, 0, -1)


@kernel
def tick(
    L: LimitTables, C: LimitCounters, jobs: Jobs, running: Running, now: int, factor: float, per_second: float
) -> None:
    """Close a period of the priority calculation: decay, then charge what ran.

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
    if C.ran.size == 0:
        return
    decay(L, C, factor)
    for pool in range(running.count.size):
        first = running.first[pool]
        for i in range(first, first + running.count[pool]):
            _charge(L, C, jobs, running.row[i, ROW_JOB], now, per_second)


@kernel
def decay(L: LimitTables, C: LimitCounters, factor: float) -> None:
    """Scale used TRES-seconds and wall time, save in QOS with NoDecay; 0 resets them (PriorityUsageResetPeriod)."""
    for place in range(C.used.shape[0]):
        if place < L.n_assoc or not L.qos[place - L.n_assoc, FLAGS] & QOS_NO_DECAY:
            for column in range(C.used.shape[1]):
                C.used[place, column] *= factor


@kernel
def to_kill(L: LimitTables, C: LimitCounters, jobs: Jobs, running: Running, out: Ints) -> int:
    """List the running jobs that a used-up GrpTRESMins ends: those that use that TRES; none with ``safe``.

    Returns
    -------
    int
        How many there are; they are ``out[:n]``.
    """
    n = 0
    if L.safe or C.ran.size == 0:
        return 0
    for pool in range(running.count.size):
        first = running.first[pool]
        for i in range(first, first + running.count[pool]):
            if _is_spent(L, C, jobs, running.row[i, ROW_JOB]):
                out[n] = running.row[i, ROW_JOB]
                n += 1
    return n


@kernel
def accrue(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, now: int) -> bool:
    """Whether a pending job ages; it begins to if GrpJobsAccrue and MaxJobsAccrue allow, and then does until it starts.

    The limits of a partition QOS do not count here. Jobs begin in the order in which they are asked about.
    """
    if C.accrue_since.size == 0 or C.accrue_since[j] >= 0:
        return True
    assoc = association_of(jobs, j)
    qos = qos_of(jobs, j)
    own = qos + L.n_assoc if qos >= 0 else -1
    for s in range(L.n_start, L.n_start + L.n_accrue):
        form = L.slot[s, FORM]
        if L.slot[s, FAMILY] == form:
            if own >= 0 and L.limit[s, own] >= 0:
                if form == QOS_GRP_ACCRUE:
                    ageing = C.totals[own, ACCRUING]
                elif assoc < 0:
                    continue
                elif form == QOS_MAX_ACCRUE_PU:
                    ageing = C.owner[L.qos[qos, USER_ROW], L.place[assoc, USER], ACCRUING]
                else:
                    ageing = C.owner[L.qos[qos, ACCOUNT_ROW], L.place[assoc, ACCOUNT], ACCRUING]
                if ageing + 1 > L.limit[s, own]:
                    return False
        elif form == QOS_GRP_ACCRUE:
            place = assoc
            while place >= 0:
                if L.limit[s, place] >= 0 and C.totals[place, ACCRUING] + 1 > L.limit[s, place]:
                    return False
                place = L.place[place, PARENT]
        elif assoc >= 0 and L.limit[s, assoc] >= 0:
            over = L.slot[s, OVERRIDDEN]
            if over >= 0 and own >= 0 and L.limit[over, own] >= 0:
                continue
            if C.totals[assoc, ACCRUING] + 1 > L.limit[s, assoc]:
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
        C.totals[qos + L.n_assoc, ACCRUING] += n
        if assoc >= 0 and L.qos[qos, USER_ROW] >= 0:
            C.owner[L.qos[qos, USER_ROW], L.place[assoc, USER], ACCRUING] += n
        if assoc >= 0 and L.qos[qos, ACCOUNT_ROW] >= 0:
            C.owner[L.qos[qos, ACCOUNT_ROW], L.place[assoc, ACCOUNT], ACCRUING] += n
    while assoc >= 0:
        C.totals[assoc, ACCRUING] += n
        assoc = L.place[assoc, PARENT]


@kernel
def _next(L: LimitTables, place: int, second: int, assoc: int) -> int:
    """Place that follows ``place`` on the way of a job from its first QOS to root; -1 after the last."""
    if place < L.n_assoc:
        return int(L.place[place, PARENT])
    return second if second >= 0 and place != second else assoc


@kernel
def _count(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, run: int, submit: int) -> None:
    """Add to the running and submitted jobs, and to the TRES in use, of all places of a job."""
    first, second = qos_places(L, jobs, j)
    _count_at(L, C, jobs, j, first, second, _billing(jobs, j), run, submit)


@kernel
def _billing(jobs: Jobs, j: int) -> int:
    return tres_count(jobs, j, jobs.extra.shape[1] + 1)


@kernel
def _count_at(
    L: LimitTables,
    C: LimitCounters,
    jobs: Jobs,
    j: int,
    first: int,
    second: int,
    billing: int,
    run: int,
    submit: int,
) -> None:
    """The same where its two QOS have these places."""
    assoc = association_of(jobs, j)
    place = first if first >= 0 else assoc
    while place >= 0:
        _add(L, jobs, j, billing, C.totals[place], run, submit)
        if place >= L.n_assoc and assoc >= 0:
            user = L.qos[place - L.n_assoc, USER_ROW]
            if user >= 0:
                _add(L, jobs, j, billing, C.owner[user, L.place[assoc, USER]], run, submit)
            account = L.qos[place - L.n_assoc, ACCOUNT_ROW]
            if account >= 0:
                _add(L, jobs, j, billing, C.owner[account, L.place[assoc, ACCOUNT]], run, submit)
        place = _next(L, place, second, assoc)


@kernel
def _add(L: LimitTables, jobs: Jobs, j: int, billing: int, row: Ints, run: int, submit: int) -> None:
    row[RUNNING] += run
    row[SUBMITTED] += submit
    if run != 0:
        for tres in range(L.kept.size):
            if L.kept[tres] & COUNTED:
                asked = tres_count(jobs, j, tres) if tres <= jobs.extra.shape[1] else billing
                row[FIRST_TRES + tres] += run * asked


@kernel
def _change_left(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, before_ms: int, after_ms: int) -> None:
    """Book that a job has ``after_ms`` of its time limit left, where it had ``before_ms``."""
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    factor = usage_factor_of(L, jobs, j)
    for tres in range(L.kept.size):
        if L.kept[tres] & REMAINING:
            n = tres_count(jobs, j, tres)
            change = tres_seconds(n, after_ms, factor) - tres_seconds(n, before_ms, factor)
            place = first if first >= 0 else assoc
            while place >= 0:
                C.left[place, tres] += change
                place = _next(L, place, second, assoc)


@kernel
def _power(base: float, exponent: int) -> float:
    """Raise ``base`` to a whole power by repeated squaring: unlike a library's pow, the same bits on every machine."""
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
    ms = now - C.ran[j, SEEN]
    if ms <= 0:
        return
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    seconds = ms / 1000.0
    aged = _power(per_second, ms // 1000)
    billed = seconds * usage_factor_of(L, jobs, j)
    place = first if first >= 0 else assoc
    while place >= 0:
        age = aged
        if place >= L.n_assoc and L.qos[place - L.n_assoc, FLAGS] & QOS_NO_DECAY:
            age = 1.0
        for tres in range(L.kept.size):
            if L.kept[tres] & METERED:
                C.used[place, tres] += tres_count(jobs, j, tres) * billed * age
        C.used[place, L.kept.size] += seconds * age
        place = _next(L, place, second, assoc)
    end = C.ran[j, STARTED] + jobs.limit[j]
    _change_left(L, C, jobs, j, end - C.ran[j, SEEN], end - now)
    C.ran[j, SEEN] = now


@kernel
def _is_spent(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> bool:
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    for s in range(L.n_submit, L.n_start):
        tres = L.slot[s, TRES]
        if L.slot[s, FORM] == QOS_GRP_MINS and tres_count(jobs, j, tres) > 0:
            place = first if first >= 0 else assoc
            while place >= 0:
                if 0 <= L.limit[s, place] <= C.used[place, tres]:
                    return True
                place = _next(L, place, second, assoc)
    return False
