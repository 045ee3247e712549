"""Limits of associations and QOS as tables, and the counters that they are compared with.

Associations and QOS are *places*: association i is place i, QOS q is place ``n_assoc + q``. Each pair of a kind of limit
and a TRES that is set anywhere is a *slot*, and ``limit[slot, place]`` holds its values, so that what no policy sets
costs nothing.

Units: TRES as in `apportion.core.tables` (billing in thousandths); TRES-minutes are kept in TRES-seconds, MaxWall in ms,
GrpWall in seconds, UsageThreshold and LimitFactor in millionths. -1 is unlimited, 0 is a real limit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from apportion.core.jit import table
from apportion.core.tables import Floats, Ints

# AccountingStorageEnforce. As in Slurm, limits and qos imply associations, and safe implies limits.
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
QOS_REQUIRES_RESERVATION: Final = 256
QOS_USAGE_FACTOR_SAFE: Final = 512

MILLION: Final = 1_000_000
ROW_COLUMNS: Final = 6  # of what `limits.explain` writes: code, place, TRES, limit, in use, asked


@table
class LimitTables(NamedTuple):
    """What the limits are; never changes during a run.

    ``in_use`` : 0 if nothing at all is limited, then no kernel need be called; ``holds`` : 0 if no pending job can be held, ``counts`` : 0
    if the counters need not be kept. ``safe`` : 1 with AccountingStorageEnforce=safe; ``enforce`` : all its bits.
    ``n_assoc``, ``n_qos`` ; ``parent`` (places) : place above, -1 for root and QOS.
    ``user``, ``account`` (associations) : index for the per-user and per-account limits of a QOS.
    Slots, in the order of enforcement: ``[0, n_submit)`` judge submissions, ``[n_submit, n_start)`` starts, the rest ageing.
    ``family``, ``form`` (the QOS family that is judged alike), ``tres`` (-1 none), ``bit``, ``code`` (slots); ``overridden`` : the slot of
    the QOS limit that takes the place of this one, or -1.
    ``limit``, ``where`` (slots, places) : value in effect, and the place that sets it.
    ``flags``, ``usage_factor``, ``limit_factor`` (millionths, -1 none), ``min_prio`` (places; associations inherit) by QOS or place.
    ``user_row``, ``account_row`` (QOS) : row of its per-user and per-account counters, -1 none.
    ``part_qos``, ``part_time``, ``part_max_nodes``, ``part_min_nodes`` (partitions).
    ``wait_bound``, ``reserve_after`` (n_qos + 1) : ms after submit; the last row is for jobs without a QOS.
    ``counted``, ``metered``, ``remaining`` : the TRES whose use, decayed TRES-seconds and remaining run seconds must be known;
    ``walled`` : 1 if wall time must. ``node_tres`` : TRES index of nodes, -1 if not a TRES here; ``n_tres``.
    ``bit_code`` (62) : reason code of each mask bit. ``no_rows``, ``no_count`` : empty, for checks that write no rows.
    """

    in_use: int
    holds: int
    counts: int
    safe: int
    enforce: int
    n_assoc: int
    n_qos: int
    n_tres: int
    n_submit: int
    n_start: int
    n_accrue: int
    walled: int
    node_tres: int
    parent: Ints
    user: Ints
    account: Ints
    family: Ints
    form: Ints
    tres: Ints
    bit: Ints
    code: Ints
    overridden: Ints
    limit: Ints
    where: Ints
    flags: Ints
    usage_factor: Floats
    limit_factor: Ints
    min_prio: Ints
    user_row: Ints
    account_row: Ints
    part_qos: Ints
    part_time: Ints
    part_max_nodes: Ints
    part_min_nodes: Ints
    wait_bound: Ints
    reserve_after: Ints
    counted: Ints
    metered: Ints
    remaining: Ints
    bit_code: Ints
    no_rows: Ints
    no_count: Ints


@table
class LimitCounters(NamedTuple):
    """What counts against the limits. Places are associations, then QOS; an association counts all that runs below it.

    ``running``, ``submitted`` (pending and running), ``accruing`` (places) : jobs. ``tres`` (places, TRES) : in use.
    ``used_s`` (places, TRES), ``wall_s`` (places) : decayed TRES-seconds and wall seconds. ``left_s`` (places, TRES) : TRES-seconds that the
    running jobs may still use, as of the last tick.
    ``user_*``, ``account_*`` : likewise, (rows, users or accounts[, TRES]), for the QOS that have such limits.
    ``seen``, ``start`` (jobs) : ms up to which a running job is accounted, and of its start (empty if no limit needs them).
    ``accrue_since`` (jobs) : ms since when the job ages, -1 not yet (empty if no limit on ageing is set).
    ``fairshare`` (associations) : F, written by whoever computes it.
    """

    running: Ints
    submitted: Ints
    accruing: Ints
    tres: Ints
    used_s: Floats
    wall_s: Floats
    left_s: Ints
    user_running: Ints
    user_submitted: Ints
    user_accruing: Ints
    user_tres: Ints
    account_running: Ints
    account_submitted: Ints
    account_accruing: Ints
    account_tres: Ints
    seen: Ints
    start: Ints
    accrue_since: Ints
    fairshare: Floats


def build_counters(tables: LimitTables, n_jobs: int) -> LimitCounters:
    """Counters at zero for ``n_jobs`` jobs. Columns per job that no limit needs are empty."""
    places = tables.n_assoc + tables.n_qos
    user_rows = int(tables.user_row.max(initial=-1)) + 1
    account_rows = int(tables.account_row.max(initial=-1)) + 1
    users = int(tables.user.max(initial=-1)) + 1
    accounts = int(tables.account.max(initial=-1)) + 1
    timed = n_jobs if tables.metered.size or tables.remaining.size or tables.walled else 0

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, np.int64)

    return LimitCounters(
        running=zeros(places),
        submitted=zeros(places),
        accruing=zeros(places),
        tres=zeros(places, tables.n_tres),
        used_s=np.zeros((places, tables.n_tres)),
        wall_s=np.zeros(places),
        left_s=zeros(places, tables.n_tres),
        user_running=zeros(user_rows, users),
        user_submitted=zeros(user_rows, users),
        user_accruing=zeros(user_rows, users),
        user_tres=zeros(user_rows, users, tables.n_tres),
        account_running=zeros(account_rows, accounts),
        account_submitted=zeros(account_rows, accounts),
        account_accruing=zeros(account_rows, accounts),
        account_tres=zeros(account_rows, accounts, tables.n_tres),
        seen=zeros(timed),
        start=zeros(timed),
        accrue_since=np.full(n_jobs if tables.n_accrue else 0, -1, np.int64),
        fairshare=np.ones(tables.n_assoc),
    )
