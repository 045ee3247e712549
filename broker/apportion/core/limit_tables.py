"""Limits of associations and QOS as tables, and the counters that they are compared with.

Associations and QOS are *places*: association i is place i, QOS q is place ``n_assoc + q``. Each pair of a kind of
limit and a TRES that is set anywhere is a *slot*, and ``limit[slot, place]`` holds its values, so that what no policy
sets costs nothing.

Units: TRES as in `apportion.core.tables` (billing in thousandths); TRES-minutes are kept in TRES-seconds, MaxWall in
ms, GrpWall in seconds, UsageThreshold and LimitFactor in millionths. -1 is unlimited, 0 is a real limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from apportion.core.handle import table

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints

# AccountingStorageEnforce; safe implies limits. That limits and qos imply associations in Slurm is left to the caller.
ENFORCE_ASSOCIATIONS: Final = 1
ENFORCE_LIMITS: Final = 2
ENFORCE_QOS: Final = 4
ENFORCE_SAFE: Final = 8

# QOS flags.
QOS_DENY_ON_LIMIT: Final = 1
QOS_ENFORCE_USAGE_THRESHOLD: Final = 2
QOS_NO_DECAY: Final = 4
QOS_NO_RESERVE: Final = 8
QOS_OVER_PART_QOS: Final = 16
QOS_PARTITION_MAX_NODES: Final = 32
QOS_PARTITION_MIN_NODES: Final = 64
QOS_PARTITION_TIME_LIMIT: Final = 128
QOS_NOT_FOR_JOBS: Final = 256  # RequiresReservation, or the QOS of a partition with the flag Relative
QOS_USAGE_FACTOR_SAFE: Final = 512

MILLION: Final = 1_000_000
ROW_COLUMNS: Final = 6  # of what `limits.explain` writes: code, place, TRES, limit, in use, asked


# Columns of LimitTables.slot
FAMILY: Final = 0  # of `apportion.core.reasons`
FORM: Final = 1  # the QOS family that is judged alike
TRES: Final = 2  # -1 none
BIT: Final = 3
CODE: Final = 4
OVERRIDDEN: Final = 5  # slot of the QOS limit that takes the place of this one, -1 none
SLOT_COLUMNS: Final = 6
# Columns of LimitTables.place
PARENT: Final = 0  # place above, -1 for root and QOS
USER: Final = 1  # whose an association is, for the limits per user of a QOS
ACCOUNT: Final = 2  # likewise, per account
MIN_PRIO: Final = 3  # MinPrioThreshold; associations inherit
PLACE_COLUMNS: Final = 4
# Columns of LimitTables.qos
FLAGS: Final = 0
LIMIT_FACTOR: Final = 1  # millionths, -1 none
USER_ROW: Final = 2  # row of LimitCounters.owner where the users begin, -1 if nothing is limited per user
ACCOUNT_ROW: Final = 3
WAIT_BOUND: Final = 4  # ms, -1 none
RESERVE_AFTER: Final = 5  # ms after submit, NEVER
QOS_COLUMNS: Final = 6
# Columns of LimitTables.part
PART_QOS: Final = 0
PART_TIME: Final = 1  # ms
PART_MAX_NODES: Final = 2
PART_MIN_NODES: Final = 3
PART_DOWN: Final = 4  # 1 if no job may start
PART_CLOSED: Final = 5  # 1 if no job may be submitted
PART_COLUMNS: Final = 6
# Bits of LimitTables.kept
COUNTED: Final = 1  # how much is in use must be known
METERED: Final = 2  # decayed TRES-seconds
REMAINING: Final = 4  # TRES-seconds that running jobs may still use
# Columns of LimitCounters.totals and owner; TRES t is in FIRST_TRES + t
RUNNING: Final = 0
SUBMITTED: Final = 1  # pending and running
ACCRUING: Final = 2
FIRST_TRES: Final = 3
# Columns of LimitCounters.ran
STARTED: Final = 0  # ms
SEEN: Final = 1  # ms up to which the job is accounted
# Columns of LimitCounters.held
HELD_FIRST: Final = 0  # places of the two QOS that count it
HELD_SECOND: Final = 1
HELD_BILLING: Final = 2  # billing that is counted, -1 if the job is not held
HELD_COLUMNS: Final = 3


@table
class LimitTables(NamedTuple):
    """What the limits are; never changes during a run. Few and wide tables, as each column costs time to compile.

    ``safe`` : 1 with AccountingStorageEnforce=safe; ``enforce`` : all its bits.
    Slots are in the order of enforcement: ``[0, n_submit)`` judge submissions,
    ``[n_submit, n_start)`` starts, the ``n_accrue`` others ageing. ``walled`` : 1 if wall time must be known.
    ``node_tres`` : TRES index of nodes, -1 if none. ``slot`` (slots, SLOT_COLUMNS). ``limit``, ``where`` (slots,
    places) : value in effect, and the place that sets it. ``place`` (places, PLACE_COLUMNS). ``qos`` (n_qos + 1,
    QOS_COLUMNS), ``usage_factor`` (n_qos + 1) : the last row is for jobs without a QOS. ``part`` (partitions,
    PART_COLUMNS). ``kept`` (TRES) : COUNTED, METERED and REMAINING bits. ``bit_code`` (62) : reason code of each mask
    bit. ``no_rows`` : empty, for checks that write no rows.
    """

    safe: int
    enforce: int
    n_assoc: int
    n_submit: int
    n_start: int
    n_accrue: int
    walled: int
    node_tres: int
    slot: Ints
    limit: Ints
    where: Ints
    place: Ints
    qos: Ints
    usage_factor: Floats
    part: Ints
    kept: Ints
    bit_code: Ints
    no_rows: Ints


@table
class LimitCounters(NamedTuple):
    """What counts against the limits. An association counts all that runs below it.

    ``totals`` (places, 3 + TRES) : jobs running, submitted, ageing, and TRES in use.
    ``owner`` (rows, users or accounts, 3 + TRES) : likewise for each user or account of the QOS that limit these.
    ``used`` (places, TRES + 1) : decayed TRES-seconds; the last column is wall seconds.
    ``left`` (places, TRES) : TRES-seconds that the running jobs may still use, as of the last tick.
    ``ran`` (jobs, 2) : STARTED and SEEN of running jobs (empty if no limit needs it).
    ``held`` (jobs, HELD_COLUMNS) : as what a pending job is counted as running already, since it may start where nobody is asked about these
    limits; empty where no job waits at such a place and at others.
    ``accrue_since`` (jobs) : ms since when the job ages, -1 not yet (empty if no limit on ageing is set).
    ``fairshare`` (associations) : F, written by whoever computes it.
    """

    totals: Ints
    owner: Ints
    used: Floats
    left: Ints
    ran: Ints
    held: Ints
    accrue_since: Ints
    fairshare: Floats


def no_holds(n_jobs: int) -> Ints:
    """``LimitCounters.held`` where none of ``n_jobs`` jobs is held."""
    return np.full((n_jobs, HELD_COLUMNS), -1, np.int64)


def build_counters(tables: LimitTables, n_jobs: int) -> LimitCounters:
    """Counters at zero for ``n_jobs`` jobs. Columns per job that no limit needs are empty."""
    places = tables.place.shape[0]
    n_tres = tables.kept.size
    rows = int(tables.qos[:, (USER_ROW, ACCOUNT_ROW)].max()) + 1
    owners = int(tables.place[:, (USER, ACCOUNT)].max(initial=-1)) + 1
    timed = bool(tables.walled) or bool((tables.kept & (METERED | REMAINING)).any())
    return LimitCounters(
        totals=np.zeros((places, FIRST_TRES + n_tres), np.int64),
        owner=np.zeros((rows, owners, FIRST_TRES + n_tres), np.int64),
        used=np.zeros((places, n_tres + 1)),
        left=np.zeros((places, n_tres), np.int64),
        ran=np.zeros((n_jobs if timed else 0, 2), np.int64),
        held=no_holds(0),
        accrue_since=np.full(n_jobs if tables.n_accrue else 0, -1, np.int64),
        fairshare=np.ones(tables.n_assoc),
    )
