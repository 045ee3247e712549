"""From the limits of a policy, by Slurm's names, to the tables that the kernels read.

A limit that is not a ``Grp`` limit holds where it is first defined. For associations that is settled here: the row of
an association already carries what it inherits, and ``where`` says from whom.

Source: Slurm, "Resource Limits" and the sacctmgr(1) and slurm.conf(5) manual pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from apportion.core import reasons
from apportion.core.errors import PolicyError
from apportion.core.limit_tables import (
    ACCOUNT,
    ACCOUNT_ROW,
    BIT,
    CODE,
    COUNTED,
    ENFORCE_LIMITS,
    ENFORCE_SAFE,
    FAMILY,
    FLAGS,
    FORM,
    LIMIT_FACTOR,
    METERED,
    MILLION,
    MIN_PRIO,
    OVERRIDDEN,
    PARENT,
    PART_COLUMNS,
    PLACE_COLUMNS,
    QOS_COLUMNS,
    QOS_ENFORCE_USAGE_THRESHOLD,
    REMAINING,
    RESERVE_AFTER,
    ROW_COLUMNS,
    SLOT_COLUMNS,
    TRES,
    USER,
    USER_ROW,
    WAIT_BOUND,
    LimitCounters,
    LimitTables,
    build_counters,
)
from apportion.core.tables import NEVER, Ints

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASSOC_FAMILY: Final[dict[str, int]] = {
    "GrpJobs": reasons.ASSOC_GRP_JOBS,
    "GrpJobsAccrue": reasons.ASSOC_GRP_ACCRUE,
    "GrpSubmitJobs": reasons.ASSOC_GRP_SUBMIT,
    "GrpTRES": reasons.ASSOC_GRP_TRES,
    "GrpTRESMins": reasons.ASSOC_GRP_MINS,
    "GrpTRESRunMins": reasons.ASSOC_GRP_RUN_MINS,
    "GrpWall": reasons.ASSOC_GRP_WALL,
    "MaxJobs": reasons.ASSOC_MAX_JOBS,
    "MaxJobsAccrue": reasons.ASSOC_MAX_ACCRUE,
    "MaxSubmitJobs": reasons.ASSOC_MAX_SUBMIT,
    "MaxTRESMinsPerJob": reasons.ASSOC_MAX_MINS_PJ,
    "MaxTRESPerJob": reasons.ASSOC_MAX_PJ,
    "MaxTRESPerNode": reasons.ASSOC_MAX_PN,
    "MaxWall": reasons.ASSOC_MAX_WALL,
}
_QOS_FAMILY: Final[dict[str, int]] = {
    "GrpJobs": reasons.QOS_GRP_JOBS,
    "GrpJobsAccrue": reasons.QOS_GRP_ACCRUE,
    "GrpSubmitJobs": reasons.QOS_GRP_SUBMIT,
    "GrpTRES": reasons.QOS_GRP_TRES,
    "GrpTRESMins": reasons.QOS_GRP_MINS,
    "GrpTRESRunMins": reasons.QOS_GRP_RUN_MINS,
    "GrpWall": reasons.QOS_GRP_WALL,
    "MaxJobsPU": reasons.QOS_MAX_JOBS_PU,
    "MaxJobsPA": reasons.QOS_MAX_JOBS_PA,
    "MaxJobsAccruePU": reasons.QOS_MAX_ACCRUE_PU,
    "MaxJobsAccruePA": reasons.QOS_MAX_ACCRUE_PA,
    "MaxSubmitJobsPU": reasons.QOS_MAX_SUBMIT_PU,
    "MaxSubmitJobsPA": reasons.QOS_MAX_SUBMIT_PA,
    "MaxTRESMinsPerJob": reasons.QOS_MAX_MINS_PJ,
    "MaxTRESPerJob": reasons.QOS_MAX_PJ,
    "MaxTRESPerNode": reasons.QOS_MAX_PN,
    "MaxTRESPU": reasons.QOS_MAX_PU,
    "MaxTRESPA": reasons.QOS_MAX_PA,
    "MaxWall": reasons.QOS_MAX_WALL,
    "MinTRESPerJob": reasons.QOS_MIN_PJ,
}
ASSOCIATION_LIMITS: Final = tuple(_ASSOC_FAMILY)
QOS_LIMITS: Final = tuple(_QOS_FAMILY)

_GROUP: Final = frozenset(
    family for names in (_ASSOC_FAMILY, _QOS_FAMILY) for name, family in names.items() if name.startswith("Grp")
)
# The limit of a QOS that is judged alike; where it is set, a Max limit of the association does not count.
_JUDGED_AS: Final[dict[int, int]] = {
    family: _QOS_FAMILY[name] if name in _QOS_FAMILY else _QOS_FAMILY[name + "PU"]
    for name, family in _ASSOC_FAMILY.items()
}
_PER_USER: Final = (
    reasons.QOS_MAX_JOBS_PU,
    reasons.QOS_MAX_SUBMIT_PU,
    reasons.QOS_MAX_ACCRUE_PU,
    reasons.QOS_MAX_PU,
)
_IN_USE: Final = (reasons.ASSOC_GRP_TRES, reasons.QOS_GRP_TRES, reasons.QOS_MAX_PU, reasons.QOS_MAX_PA)
_MINUTES: Final = (reasons.ASSOC_GRP_MINS, reasons.QOS_GRP_MINS)
_RUN_MINUTES: Final = (reasons.ASSOC_GRP_RUN_MINS, reasons.QOS_GRP_RUN_MINS)
_WALL: Final = (reasons.ASSOC_GRP_WALL, reasons.QOS_GRP_WALL)
_PER_ACCOUNT: Final = (
    reasons.QOS_MAX_JOBS_PA,
    reasons.QOS_MAX_SUBMIT_PA,
    reasons.QOS_MAX_ACCRUE_PA,
    reasons.QOS_MAX_PA,
)

# Whether jobs may start, and whether they may be submitted, in a partition of each State (scontrol(1)).
PARTITION_STATES: Final = {
    "UP": (True, True),
    "DOWN": (False, True),
    "DRAIN": (True, False),
    "INACTIVE": (False, False),
}

_Values = dict[tuple[int, int], dict[int, int]]  # (family, TRES) -> place -> value


def no_limits() -> tuple[LimitTables, LimitCounters]:
    """Tables and counters of a policy that limits nothing."""
    tables = LimitBuilder(
        parent=np.empty(0, np.int64), is_user=np.empty(0, np.int64), n_qos=0, tres=("cpu", "billing")
    ).build()
    return tables, build_counters(tables, 0)


class LimitBuilder:
    """Collects the limits of a policy, by Slurm's names, and makes tables of them.

    Parameters
    ----------
    parent, is_user : int64[n_assoc]
        The association tree, as in `apportion.core.tables.Accounts`.
    n_qos : int
    tres : sequence of str
        Slurm names of the TRES in the order of the policy: ``cpu`` first, ``billing`` last.
    n_partitions : int
    user_of, account_of : int64[n_assoc], optional
        Who an association belongs to, for limits per user and per account of a QOS. By default each association is a
        user of its own, and its account is the one it hangs below.
    enforce : int
        AccountingStorageEnforce, as ENFORCE bits. Without ENFORCE_LIMITS the limits of associations and QOS are
        ignored.
    with_quotas : bool
        The policy has quotas or budgets too, whose reasons need some of the bits of a mask.
    """

    def __init__(
        self,
        *,
        parent: Ints,
        is_user: Ints,
        n_qos: int,
        tres: Sequence[str],
        n_partitions: int = 1,
        user_of: Ints | None = None,
        account_of: Ints | None = None,
        enforce: int = ENFORCE_LIMITS,
        with_quotas: bool = False,
    ) -> None:
        self._limit_bits = reasons.LIMIT_BITS - (len(reasons.QUOTA) if with_quotas else 0)
        self.n_assoc = len(parent)
        self.n_qos = n_qos
        self.tres = tuple(tres)
        self._parent = np.array(parent, np.int64)
        if enforce & ENFORCE_SAFE:
            enforce |= ENFORCE_LIMITS
        self._enforce = enforce
        own = np.arange(self.n_assoc, dtype=np.int64)
        above = np.where((np.asarray(is_user) != 0) & (self._parent >= 0), self._parent, own)
        self._user = own if user_of is None else np.array(user_of, np.int64)
        self._account = above if account_of is None else np.array(account_of, np.int64)
        self._values: _Values = {}
        self._flags = np.zeros(n_qos + 1, np.int64)
        self._usage_factor = np.ones(n_qos + 1)
        self._limit_factor = np.full(n_qos + 1, -1, np.int64)
        self._threshold = np.full(n_qos, -1, np.int64)
        self._min_prio = np.full(self.n_assoc + n_qos, -1, np.int64)
        self._max_wait = np.full(n_qos + 1, -1, np.int64)
        self._reserve_permille = np.full(n_qos + 1, -1, np.int64)
        self._reserve_permille[n_qos] = 500
        self._partitions = np.full((n_partitions, PART_COLUMNS), -1, np.int64)

    def association(self, index: int, name: str, value: int, tres: str | None = None) -> None:
        """Set a limit of an association.

        Parameters
        ----------
        index : int
        name : str
            One of ``ASSOCIATION_LIMITS`` or ``MinPrioThreshold``.
        value : int
            Jobs, TRES, TRES-minutes, or ms for MaxWall and GrpWall; -1 clears.
        tres : str, optional
            For the limits whose name has TRES in it.

        Raises
        ------
        PolicyError
            No such limit, or a TRES is missing, unknown or out of place.
        """
        self._set(_ASSOC_FAMILY, index, name, value, tres)

    def qos(self, index: int, name: str, value: int, tres: str | None = None) -> None:
        """Set a limit of a QOS: one of ``QOS_LIMITS`` or ``MinPrioThreshold``; otherwise as `association`."""
        self._set(_QOS_FAMILY, self.n_assoc + index, name, value, tres)

    def qos_flags(self, index: int, flags: int) -> None:
        """Set the flags (QOS bits) of a QOS."""
        self._flags[index] = flags

    def qos_factors(self, index: int, *, usage_factor: float = 1.0, limit_factor: float = -1.0) -> None:
        """Set UsageFactor (0 makes it free) and LimitFactor (not above 0: none) of a QOS."""
        self._usage_factor[index] = usage_factor
        self._limit_factor[index] = round(limit_factor * MILLION) if limit_factor > 0 else -1

    def qos_threshold(self, index: int, fairshare: float) -> None:
        """Set UsageThreshold of a QOS; it counts only with the flag EnforceUsageThreshold."""
        self._threshold[index] = round(fairshare * MILLION)

    def qos_max_wait(self, index: int, bound_ms: int, fraction_permille: int = -1) -> None:
        """Set the longest wait (ms) that a within-limits job of this QOS should see.

        ``fraction_permille`` : the part of it after which the job earns a reservation; -1: that of `default_wait`.
        """
        self._max_wait[index] = bound_ms
        self._reserve_permille[index] = fraction_permille

    def default_wait(self, bound_ms: int, fraction_permille: int = 500) -> None:
        """Set the wait bound (ms, -1 none) of jobs whose QOS has none, and after which part of it they get a slot."""
        self._max_wait[self.n_qos] = bound_ms
        self._reserve_permille[self.n_qos] = fraction_permille

    def partition(
        self,
        index: int,
        *,
        qos: int = -1,
        max_time_ms: int = -1,
        max_nodes: int = -1,
        min_nodes: int = -1,
        state: str = "UP",
    ) -> None:
        """Set what a partition itself limits, its partition QOS, and its state in Slurm's words."""
        starts, takes = PARTITION_STATES[state]
        self._partitions[index] = (qos, max_time_ms, max_nodes, min_nodes, int(not starts), int(not takes))

    def build(self) -> LimitTables:
        """Make the tables."""
        limits_on = bool(self._enforce & ENFORCE_LIMITS)
        values = {key: places for key, places in self._values.items() if any(v >= 0 for v in places.values())}
        threshold = {
            self.n_assoc + q: int(self._threshold[q])
            for q in range(self.n_qos)
            if self._threshold[q] >= 0 and self._flags[q] & QOS_ENFORCE_USAGE_THRESHOLD
        }
        if threshold:
            values[reasons.QOS_THRESHOLD, -1] = threshold
        slots = sorted(values) if limits_on else []
        n_submit = sum(family < reasons.FIRST_START_FAMILY for family, _ in slots)
        n_start = sum(family < reasons.FIRST_ACCRUE_FAMILY for family, _ in slots)
        limit, where = self._effective(slots, values)
        codes, bit, code = self._bits(slots[:n_start])
        safe = bool(self._enforce & ENFORCE_SAFE)
        slot = np.full((len(slots), SLOT_COLUMNS), -1, np.int64)
        for s, (family, tres) in enumerate(slots):
            form = _JUDGED_AS.get(family, family)
            slot[s, FAMILY] = family
            slot[s, FORM] = form
            slot[s, TRES] = tres
            if family not in _GROUP and form != family and (form, tres) in slots:
                slot[s, OVERRIDDEN] = slots.index((form, tres))
        slot[:n_start, BIT] = bit
        slot[:n_start, CODE] = code
        return LimitTables(
            safe=int(safe),
            enforce=self._enforce,
            n_assoc=self.n_assoc,
            n_submit=n_submit,
            n_start=n_start,
            n_accrue=len(slots) - n_start,
            walled=int(any(family in _WALL for family, _ in slots)),
            node_tres=self.tres.index("node") if "node" in self.tres else -1,
            slot=slot,
            limit=limit,
            where=where,
            place=self._place_table(),
            qos=self._qos_table(slots, values),
            usage_factor=self._usage_factor,
            part=self._partitions,
            kept=np.array(
                [
                    COUNTED * any(f in _IN_USE and t == tres for f, t in slots)
                    + METERED * any(f in _MINUTES and t == tres for f, t in slots)
                    + REMAINING * any((f in _RUN_MINUTES or (safe and f in _MINUTES)) and t == tres for f, t in slots)
                    for tres in range(len(self.tres))
                ],
                np.int64,
            ),
            bit_code=np.array(codes, np.int64),
            no_rows=np.empty((0, ROW_COLUMNS), np.int64),
        )

    def _place_table(self) -> Ints:
        table = np.full((self.n_assoc + self.n_qos, PLACE_COLUMNS), -1, np.int64)
        table[: self.n_assoc, PARENT] = self._parent
        table[: self.n_assoc, USER] = self._user
        table[: self.n_assoc, ACCOUNT] = self._account
        table[:, MIN_PRIO] = self._min_prio
        for i in range(self.n_assoc):
            above = self._parent[i]
            if table[i, MIN_PRIO] < 0 <= above:
                table[i, MIN_PRIO] = table[above, MIN_PRIO]
        return table

    def _qos_table(self, slots: list[tuple[int, int]], values: _Values) -> Ints:
        table = np.full((self.n_qos + 1, QOS_COLUMNS), -1, np.int64)
        table[:, FLAGS] = self._flags
        table[:, LIMIT_FACTOR] = self._limit_factor
        row = 0
        for families, column in ((_PER_USER, USER_ROW), (_PER_ACCOUNT, ACCOUNT_ROW)):
            limited = {
                place for key in slots if key[0] in families for place, value in values[key].items() if value >= 0
            }
            for place in sorted(limited):
                table[place - self.n_assoc, column] = row
                row += 1
        bound = np.where(self._max_wait >= 0, self._max_wait, self._max_wait[self.n_qos])
        table[:, WAIT_BOUND] = bound
        part = np.where(self._reserve_permille >= 0, self._reserve_permille, self._reserve_permille[self.n_qos])
        table[:, RESERVE_AFTER] = np.where(bound >= 0, bound * part // 1000, NEVER)
        return table

    def _set(self, families: dict[str, int], place: int, name: str, value: int, tres: str | None) -> None:
        if name == "MinPrioThreshold":
            self._min_prio[place] = value
            return
        if name not in families:
            raise PolicyError(f"there is no limit {name} here", f"known are {', '.join(families)}")
        family = families[name]
        if (tres is not None) != reasons.is_per_tres(family):
            raise PolicyError(f"{name} {'needs' if tres is None else 'takes no'} TRES")
        if tres is not None and tres not in self.tres:
            raise PolicyError(f"{name}: unknown TRES {tres}", f"this policy has {', '.join(self.tres)}")
        index = -1 if tres is None else self.tres.index(tres)
        if value > 0:
            value *= 1000 if tres == "billing" else 1
            value *= 60 if reasons.is_minutes(family) else 1
            if name == "GrpWall":
                value //= 1000
        self._values.setdefault((family, index), {})[place] = value

    def _effective(self, slots: list[tuple[int, int]], values: _Values) -> tuple[Ints, Ints]:
        places = self.n_assoc + self.n_qos
        limit = np.full((len(slots), places), -1, np.int64)
        where = np.full((len(slots), places), -1, np.int64)
        for s, key in enumerate(slots):
            for place, value in values[key].items():
                if value >= 0:
                    limit[s, place] = value
                    where[s, place] = place
            if key[0] not in _GROUP:
                for i in range(self.n_assoc):
                    above = self._parent[i]
                    if limit[s, i] < 0 <= above:
                        limit[s, i] = limit[s, above]
                        where[s, i] = where[s, above]
        return limit, where

    def _bits(self, slots: list[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
        """Reason code of each mask bit, then bit and reason code of each slot.

        Should a policy set more pairs than there are bits, the last families share one bit among their TRES.
        """
        families = sorted({family for family, _ in slots})
        together: set[int] = set()
        while len(slots) - sum(sum(f == g for f, _ in slots) - 1 for g in together) > self._limit_bits:
            together.add(max(f for f in families if f not in together and reasons.is_per_tres(f)))
        codes = reasons.fixed_bit_codes()
        bit: list[int] = []
        code: list[int] = []
        following = reasons.FIRST_LIMIT_BIT
        for s, (family, tres) in enumerate(slots):
            of_tres = reasons.tres_class(self.tres[tres]) if tres >= 0 else -1
            code.append(reasons.code_of(family, of_tres))
            if s > 0 and family in together and slots[s - 1][0] == family:
                bit.append(bit[-1])
                continue
            codes[following] = reasons.code_of(family, reasons.WHOLE) if family in together else code[-1]
            bit.append(following)
            following += 1
        return codes, bit, code
