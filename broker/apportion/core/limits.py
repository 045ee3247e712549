"""Which limits hold a job: the checks. They only read; `apportion.core.limit_usage` keeps the counters.

Order of enforcement: partition QOS, job QOS (swapped by OverPartQOS), user association, the accounts above it, root.
``Grp`` limits are judged at each of these places; any other limit only at the first place that sets it. A partition's
own time and node limits stay binding unless a flag of the job's QOS lifts them. A job that asks for none of a TRES is
never held by a limit on it, except by MinTRESPerJob.

Sources: Slurm, "Resource Limits", "Quality of Service" and sacctmgr(1).
"""

from __future__ import annotations

import math

import numpy as np

from apportion.core.jit import kernel
from apportion.core.limit_tables import (
    ACCOUNT,
    ACCOUNT_ROW,
    BIT,
    CODE,
    ENFORCE_ASSOCIATIONS,
    ENFORCE_QOS,
    FAMILY,
    FIRST_TRES,
    FLAGS,
    FORM,
    LIMIT_FACTOR,
    MILLION,
    MIN_PRIO,
    OVERRIDDEN,
    PARENT,
    PART_CLOSED,
    PART_DOWN,
    PART_MAX_NODES,
    PART_MIN_NODES,
    PART_QOS,
    PART_TIME,
    QOS_DENY_ON_LIMIT,
    QOS_NO_RESERVE,
    QOS_NOT_FOR_JOBS,
    QOS_OVER_PART_QOS,
    QOS_PARTITION_MAX_NODES,
    QOS_PARTITION_MIN_NODES,
    QOS_PARTITION_TIME_LIMIT,
    QOS_USAGE_FACTOR_SAFE,
    RESERVE_AFTER,
    RUNNING,
    SUBMITTED,
    TRES,
    USER,
    USER_ROW,
    LimitCounters,
    LimitTables,
)
from apportion.core.reasons import (
    INVALID_ACCOUNT,
    INVALID_QOS,
    PARTITION_DOWN,
    PARTITION_DOWN_CODE,
    PARTITION_INACTIVE,
    PARTITION_NODE_LIMIT,
    PARTITION_NODE_LIMIT_CODE,
    PARTITION_TIME_LIMIT,
    PARTITION_TIME_LIMIT_CODE,
    QOS_GRP_JOBS,
    QOS_GRP_MINS,
    QOS_GRP_RUN_MINS,
    QOS_GRP_SUBMIT,
    QOS_GRP_TRES,
    QOS_GRP_WALL,
    QOS_MAX_JOBS_PA,
    QOS_MAX_JOBS_PU,
    QOS_MAX_MINS_PJ,
    QOS_MAX_PA,
    QOS_MAX_PJ,
    QOS_MAX_PN,
    QOS_MAX_PU,
    QOS_MAX_SUBMIT_PA,
    QOS_MAX_SUBMIT_PU,
    QOS_MAX_WALL,
    QOS_MIN_PJ,
    QOS_NOT_ALLOWED,
    QOS_THRESHOLD,
)
from apportion.core.tables import NEVER, Ints, Jobs

# What a scan is asked for.
_ALL = 0  # all limits that hold the job
_FIRST = 1  # stop at the first
_ALONE = 2  # those that would hold it in an empty system

_GROUP = (QOS_GRP_JOBS, QOS_GRP_WALL, QOS_GRP_TRES, QOS_GRP_MINS, QOS_GRP_RUN_MINS, QOS_GRP_SUBMIT)
_BY_OWNER = (
    QOS_THRESHOLD,
    QOS_MAX_PA,
    QOS_MAX_PU,
    QOS_MAX_JOBS_PA,
    QOS_MAX_JOBS_PU,
    QOS_MAX_SUBMIT_PA,
    QOS_MAX_SUBMIT_PU,
)


@kernel
def association_of(jobs: Jobs, j: int) -> int:
    """Association of a job, -1 if it has none."""
    return int(jobs.assoc[j]) if jobs.assoc.size > 0 else -1


@kernel
def qos_of(jobs: Jobs, j: int) -> int:
    """QOS that a job runs in, -1 if it has none."""
    return int(jobs.qos[j]) if jobs.qos.size > 0 else -1


@kernel
def qos_row(L: LimitTables, qos: int) -> int:
    """Row of a QOS in ``LimitTables.qos`` and ``usage_factor``: the last one for jobs without a QOS (-1)."""
    return qos if qos >= 0 else L.qos.shape[0] - 1


@kernel
def partition_of(L: LimitTables, jobs: Jobs, j: int) -> int:
    """Partition of a job, -1 if the policy has none."""
    part = int(jobs.partition[j]) if jobs.partition.size > 0 else -1
    return part if part < L.part.shape[0] else -1


@kernel
def partition_qos_of(L: LimitTables, jobs: Jobs, j: int) -> int:
    """QOS of a job's partition, -1 if it has none or if it is the job's own, which counts once."""
    part = partition_of(L, jobs, j)
    if part < 0:
        return -1
    qos = L.part[part, PART_QOS]
    return -1 if qos == qos_of(jobs, j) else int(qos)


@kernel
def qos_places(L: LimitTables, jobs: Jobs, j: int) -> tuple[int, int]:
    """Places of the two QOS of a job in the order of enforcement; -1 for none, and never only the second."""
    own = qos_of(jobs, j)
    part = partition_qos_of(L, jobs, j)
    if part < 0:
        return (own + L.n_assoc, -1) if own >= 0 else (-1, -1)
    if own < 0:
        return part + L.n_assoc, -1
    if L.qos[own, FLAGS] & QOS_OVER_PART_QOS:
        return own + L.n_assoc, part + L.n_assoc
    return part + L.n_assoc, own + L.n_assoc


@kernel
def tres_count(jobs: Jobs, j: int, tres: int) -> int:
    """How much of a TRES a job asks for."""
    if tres == 0:
        return int(jobs.procs[j])
    if tres <= jobs.extra.shape[1]:
        return max(0, int(jobs.extra[j, tres - 1]))
    return int(jobs.billing[j]) if jobs.billing.size > 0 else 0


@kernel
def tres_seconds(count: int, ms: int, factor: float) -> int:
    """TRES-seconds of ``count`` over ``ms`` (begun seconds count), times a usage factor, rounded half up."""
    if ms <= 0:
        return 0
    seconds = (ms + 999) // 1000
    if factor == 1.0:
        return count * seconds
    return math.floor(count * seconds * factor + 0.5)


@kernel
def usage_factor_of(L: LimitTables, jobs: Jobs, j: int) -> float:
    """UsageFactor of the job's own QOS; that of a partition QOS never counts."""
    return float(L.usage_factor[qos_row(L, qos_of(jobs, j))])


@kernel
def _whole_s(L: LimitTables, jobs: Jobs, j: int, tres: int) -> int:
    """TRES-seconds of the job's whole time limit; UsageFactor counts only with the flag UsageFactorSafe."""
    qos = qos_row(L, qos_of(jobs, j))
    factor = 1.0
    if L.qos[qos, FLAGS] & QOS_USAGE_FACTOR_SAFE:
        factor = L.usage_factor[qos]
    return tres_seconds(tres_count(jobs, j, tres), jobs.limit[j], factor)


@kernel
def _bound(L: LimitTables, jobs: Jobs, j: int, s: int, place: int) -> int:
    """Value of a limit for this job: LimitFactor of its QOS stretches the TRES limits of associations."""
    limit = int(L.limit[s, place])
    if place < L.n_assoc:
        qos = qos_row(L, qos_of(jobs, j))
        form = L.slot[s, FORM]
        if L.qos[qos, LIMIT_FACTOR] > 0 and form in (QOS_GRP_TRES, QOS_MAX_PJ, QOS_MAX_PN):
            return limit * int(L.qos[qos, LIMIT_FACTOR]) // MILLION
    return limit


@kernel
def _of_user(L: LimitTables, C: LimitCounters, place: int, assoc: int, column: int) -> int:
    """Read what the user of an association has in a QOS."""
    return int(C.owner[L.qos[place - L.n_assoc, USER_ROW], L.place[assoc, USER], column])


@kernel
def _of_account(L: LimitTables, C: LimitCounters, place: int, assoc: int, column: int) -> int:
    """Read what the account of an association has in a QOS."""
    return int(C.owner[L.qos[place - L.n_assoc, ACCOUNT_ROW], L.place[assoc, ACCOUNT], column])


@kernel
def _judge(
    L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, s: int, place: int, alone: bool
) -> tuple[bool, int, int, int]:
    """Whether the limit of slot ``s`` at ``place`` holds job ``j``, then limit, in use and asked."""
    form = L.slot[s, FORM]
    tres = L.slot[s, TRES]
    bound = _bound(L, jobs, j, s, place)
    assoc = association_of(jobs, j)
    used = 0
    asked = 1
    if tres >= 0:
        asked = tres_count(jobs, j, tres)
        if form == QOS_MIN_PJ:
            return asked < bound, bound, 0, asked
        if asked == 0:
            return False, bound, 0, 0
        if form == QOS_GRP_TRES:
            used = C.totals[place, FIRST_TRES + tres]
        elif form == QOS_MAX_PU:
            used = _of_user(L, C, place, assoc, FIRST_TRES + tres)
        elif form == QOS_MAX_PA:
            used = _of_account(L, C, place, assoc, FIRST_TRES + tres)
        elif form == QOS_MAX_PN:
            nodes = tres_count(jobs, j, L.node_tres) if L.node_tres >= 0 else 0
            asked = (asked + nodes - 1) // nodes if nodes > 0 else 0
        elif form == QOS_MAX_MINS_PJ:
            asked = _whole_s(L, jobs, j, tres)
        elif form == QOS_GRP_RUN_MINS:
            used = C.left[place, tres]
            asked = tres_seconds(asked, jobs.limit[j], usage_factor_of(L, jobs, j))
        elif form == QOS_GRP_MINS:
            asked = _whole_s(L, jobs, j, tres)
            spent = 0.0 if alone else C.used[place, tres]
            left = C.left[place, tres] if L.safe and not alone else 0
            held = spent >= bound or (L.safe == 1 and spent + left + asked > bound)
            return held, bound, int(spent) + left, asked
        # A Max limit compares what is asked alone.
        return (asked > bound if alone else used + asked > bound), bound, 0 if alone else used, asked
    if form == QOS_THRESHOLD:
        used = math.floor(C.fairshare[assoc] * MILLION + 0.5)
        return not alone and used < bound, bound, used, 0
    if form == QOS_GRP_WALL:
        spent = 0.0 if alone else C.used[place, C.left.shape[1]]
        return spent >= bound, bound, int(spent), 0
    if form == QOS_MAX_WALL:
        return jobs.limit[j] > bound, bound, 0, jobs.limit[j]
    if form == QOS_GRP_JOBS:
        used = C.totals[place, RUNNING]
    elif form == QOS_GRP_SUBMIT:
        used = C.totals[place, SUBMITTED]
    elif form == QOS_MAX_JOBS_PU:
        used = C.totals[place, RUNNING] if place < L.n_assoc else _of_user(L, C, place, assoc, RUNNING)
    elif form == QOS_MAX_SUBMIT_PU:
        used = C.totals[place, SUBMITTED] if place < L.n_assoc else _of_user(L, C, place, assoc, SUBMITTED)
    elif form == QOS_MAX_JOBS_PA:
        used = _of_account(L, C, place, assoc, RUNNING)
    elif form == QOS_MAX_SUBMIT_PA:
        used = _of_account(L, C, place, assoc, SUBMITTED)
    if alone:
        used = 0
    return used + asked > bound, bound, used, asked


@kernel
def _write(rows: Ints, code: int, place: int, tres: int, limit: int, used: int, asked: int) -> None:
    """Put a row where the first free one is (code 0), if there is one."""
    for n in range(rows.shape[0]):
        if rows[n, 0] == 0:
            rows[n, 0] = code
            rows[n, 1] = place
            rows[n, 2] = tres
            rows[n, 3] = limit
            rows[n, 4] = used
            rows[n, 5] = asked
            return


@kernel
def _at(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, s: int, place: int, mode: int, rows: Ints) -> int:
    """Mask of slot ``s`` at ``place``: its bit if it holds the job."""
    held, bound, used, asked = _judge(L, C, jobs, j, s, place, mode == _ALONE)
    if rows.shape[0] > 0 and held:
        _write(rows, L.slot[s, CODE], L.where[s, place], L.slot[s, TRES], bound, used, asked)
    return 1 << L.slot[s, BIT] if held else 0


@kernel
def _scan(
    L: LimitTables,
    C: LimitCounters,
    jobs: Jobs,
    j: int,
    begin: int,
    end: int,
    mode: int,
    rows: Ints,
) -> int:
    """Mask of the slots ``[begin, end)`` that hold a job, at all the places where they apply to it."""
    mask = 0
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    for s in range(begin, end):
        form = L.slot[s, FORM]
        if L.slot[s, FAMILY] == form:  # set on QOS
            if first < 0 or (assoc < 0 and form in _BY_OWNER):
                continue
            if L.limit[s, first] >= 0:
                mask |= _at(L, C, jobs, j, s, first, mode, rows)
            if second >= 0 and L.limit[s, second] >= 0 and (L.limit[s, first] < 0 or form in _GROUP):
                mask |= _at(L, C, jobs, j, s, second, mode, rows)
        elif form in _GROUP:
            place = assoc
            while place >= 0:
                if L.limit[s, place] >= 0:
                    mask |= _at(L, C, jobs, j, s, place, mode, rows)
                place = L.place[place, PARENT]
        elif assoc >= 0 and L.limit[s, assoc] >= 0:
            over = L.slot[s, OVERRIDDEN]
            if over >= 0 and (
                (first >= 0 and L.limit[over, first] >= 0) or (second >= 0 and L.limit[over, second] >= 0)
            ):
                continue
            mask |= _at(L, C, jobs, j, s, assoc, mode, rows)
        if mask != 0 and mode == _FIRST:
            return mask
    return mask


@kernel
def _partition(L: LimitTables, jobs: Jobs, j: int, rows: Ints) -> int:
    """Mask of what keeps a job from starting in its partition: the state of the partition and its own limits."""
    part = partition_of(L, jobs, j)
    if part < 0:
        return 0
    flags = L.qos[qos_row(L, qos_of(jobs, j)), FLAGS]
    nodes = tres_count(jobs, j, L.node_tres) if L.node_tres >= 0 else 0
    mask = 0
    if L.part[part, PART_DOWN] > 0:
        mask |= PARTITION_DOWN
        _write(rows, PARTITION_DOWN_CODE, part, -1, 0, 0, 0)
    most = L.part[part, PART_MAX_NODES]
    if 0 <= most < nodes and not flags & QOS_PARTITION_MAX_NODES:
        mask |= PARTITION_NODE_LIMIT
        _write(rows, PARTITION_NODE_LIMIT_CODE, part, L.node_tres, most, 0, nodes)
    least = L.part[part, PART_MIN_NODES]
    if 0 < nodes < least and not flags & QOS_PARTITION_MIN_NODES:
        mask |= PARTITION_NODE_LIMIT
        _write(rows, PARTITION_NODE_LIMIT_CODE, part, L.node_tres, least, 0, nodes)
    longest = L.part[part, PART_TIME]
    if 0 <= longest < jobs.limit[j] and not flags & QOS_PARTITION_TIME_LIMIT:
        mask |= PARTITION_TIME_LIMIT
        _write(rows, PARTITION_TIME_LIMIT_CODE, part, -1, longest, 0, jobs.limit[j])
    return mask


@kernel
def binding(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> int:
    """Mask of all limits that hold a pending job now (not only the first, as Slurm keeps)."""
    mask = _partition(L, jobs, j, L.no_rows)
    return mask | _scan(L, C, jobs, j, L.n_submit, L.n_start, _ALL, L.no_rows)


@kernel
def may_start(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> bool:
    """Whether no limit holds a pending job now."""
    if _partition(L, jobs, j, L.no_rows) != 0:
        return False
    return _scan(L, C, jobs, j, L.n_submit, L.n_start, _FIRST, L.no_rows) == 0


@kernel
def never(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> int:
    """Mask of the limits of QOS and associations that would hold the job if it were the only one ever."""
    return _scan(L, C, jobs, j, L.n_submit, L.n_start, _ALONE, L.no_rows)


@kernel
def submit_mask(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int) -> int:
    """Mask of reasons to refuse a submission; 0 to accept it.

    Refused are: a partition that takes no jobs, no association or no QOS where these are enforced, a QOS that is not
    for jobs, one job too many for a submit limit, and, if a QOS of the job says DenyOnLimit, a job that would break a
    limit of a QOS or an association even alone.
    """
    mask = 0
    own = qos_of(jobs, j)
    part = partition_of(L, jobs, j)
    of_part = partition_qos_of(L, jobs, j)
    if part >= 0 and L.part[part, PART_CLOSED] > 0:
        mask |= PARTITION_INACTIVE
    if L.enforce & ENFORCE_ASSOCIATIONS and jobs.assoc.size > 0 and jobs.assoc[j] < 0:
        mask |= INVALID_ACCOUNT
    if L.enforce & ENFORCE_QOS and L.qos.shape[0] > 1 and own < 0:
        mask |= INVALID_QOS
    if L.qos[qos_row(L, own), FLAGS] & QOS_NOT_FOR_JOBS:
        mask |= QOS_NOT_ALLOWED
    mask |= _scan(L, C, jobs, j, 0, L.n_submit, _ALL, L.no_rows)
    if (L.qos[qos_row(L, own), FLAGS] | L.qos[qos_row(L, of_part), FLAGS]) & QOS_DENY_ON_LIMIT:
        mask |= never(L, C, jobs, j)
    return mask


@kernel
def explain(L: LimitTables, C: LimitCounters, jobs: Jobs, j: int, rows: Ints) -> int:
    """All limits that hold a pending job, in the order of enforcement, with what was compared.

    Parameters
    ----------
    rows : int64[k, 6]
        Receives reason code, place (or partition), TRES (-1 none), limit, in use, asked. Written as far as there is
        room.

    Returns
    -------
    int
        Number of rows written.
    """
    rows[:, 0] = 0
    _partition(L, jobs, j, rows)
    _scan(L, C, jobs, j, L.n_submit, L.n_start, _ALL, rows)
    return int(np.count_nonzero(rows[:, 0]))


@kernel
def may_reserve(L: LimitTables, jobs: Jobs, j: int, priority: int, min_priority: int) -> bool:
    """Whether backfill may hold resources for a job: not with NoReserve, nor below MinPrioThreshold.

    ``min_priority`` is bf_min_prio_reserve, which any MinPrioThreshold on the job's way overrides.
    """
    if L.qos[qos_row(L, qos_of(jobs, j)), FLAGS] & QOS_NO_RESERVE:
        return False
    first, second = qos_places(L, jobs, j)
    assoc = association_of(jobs, j)
    if first >= 0 and L.place[first, MIN_PRIO] >= 0:
        return priority >= int(L.place[first, MIN_PRIO])
    if second >= 0 and L.place[second, MIN_PRIO] >= 0:
        return priority >= int(L.place[second, MIN_PRIO])
    if assoc >= 0 and assoc < L.n_assoc and L.place[assoc, MIN_PRIO] >= 0:
        return priority >= int(L.place[assoc, MIN_PRIO])
    return priority >= min_priority


@kernel
def reserve_at(L: LimitTables, jobs: Jobs, j: int) -> int:
    """Time (ms) from which a within-limits job has earned a reservation; NEVER if its wait has no bound."""
    after = int(L.qos[qos_row(L, qos_of(jobs, j)), RESERVE_AFTER])
    return NEVER if after >= NEVER else int(jobs.submit[j]) + after
