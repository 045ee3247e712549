"""Why a job waits or was refused: reason codes, Slurm's words for them, and masks for the hot path.

A *code* is an index into ``WORDS``. A *mask* is an int64 whose bits are in the order of enforcement:

====== ==========================================================================================
bits   meaning
====== ==========================================================================================
0-14   reasons that every policy has (held, dependency, partition, ...)
15-59  the limits that the policy at hand sets, one bit for each pair of limit and TRES
55-59  instead of limits, quotas and budgets, where the policy has any; their words are not Slurm's
60, 61 ``Resources``, ``Priority``: the job may run, but not yet
====== ==========================================================================================

``LimitTables.bit_code`` says which code each bit stands for. A mask of 0 is Slurm's ``None``: not looked at yet.
The words are those of Slurm's manual page "Job Reason Codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIXED: Final[tuple[str, ...]] = (
    "JobHeldAdmin",
    "JobHeldUser",
    "Dependency",
    "BeginTime",
    "InvalidAccount",
    "InvalidQOS",
    "QOSNotAllowed",
    "PartitionDown",
    "PartitionInactive",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "Reservation",
    "ReqNodeNotAvail",
    "Licenses",
    "PartitionConfig",
)

# Not Slurm's: the account's quota, a borrowing limit, or all of its cohort is used up; an older job of an account with StrictFIFO waits;
# the budget of the period does not hold the job's time limit.
QUOTA: Final[tuple[str, ...]] = ("QuotaNominal", "QuotaBorrowingLimit", "QuotaCohort", "QuotaOrder", "QuotaBudget")

JOB_HELD_ADMIN: Final = 1 << 0
JOB_HELD_USER: Final = 1 << 1
DEPENDENCY: Final = 1 << 2
BEGIN_TIME: Final = 1 << 3
INVALID_ACCOUNT: Final = 1 << 4
INVALID_QOS: Final = 1 << 5
QOS_NOT_ALLOWED: Final = 1 << 6
PARTITION_DOWN: Final = 1 << 7
PARTITION_INACTIVE: Final = 1 << 8
PARTITION_NODE_LIMIT: Final = 1 << 9
PARTITION_TIME_LIMIT: Final = 1 << 10
RESERVATION: Final = 1 << 11
REQ_NODE_NOT_AVAIL: Final = 1 << 12
LICENSES: Final = 1 << 13
PARTITION_CONFIG: Final = 1 << 14
QUOTA_NOMINAL: Final = 1 << 55
QUOTA_BORROWING_LIMIT: Final = 1 << 56
QUOTA_COHORT: Final = 1 << 57
QUOTA_ORDER: Final = 1 << 58
QUOTA_BUDGET: Final = 1 << 59
RESOURCES: Final = 1 << 60
PRIORITY: Final = 1 << 61

FIRST_LIMIT_BIT: Final = 15
LIMIT_BITS: Final = 45  # those of quotas among them, where a policy has none
FIRST_QUOTA_BIT: Final = 55
RESOURCES_BIT: Final = 60
PRIORITY_BIT: Final = 61
MASK_BITS: Final = 62

# Families: one for each kind of limit, in the order of enforcement. Submissions are judged first; then, at each
# attempt to start, QOS before associations. The last five only decide who may age and have no word, since they hold
# no job.
QOS_GRP_SUBMIT: Final = 0
QOS_MAX_SUBMIT_PA: Final = 1
QOS_MAX_SUBMIT_PU: Final = 2
ASSOC_GRP_SUBMIT: Final = 3
ASSOC_MAX_SUBMIT: Final = 4
QOS_THRESHOLD: Final = 5
QOS_GRP_JOBS: Final = 6
QOS_GRP_WALL: Final = 7
QOS_MAX_JOBS_PA: Final = 8
QOS_MAX_JOBS_PU: Final = 9
QOS_MAX_WALL: Final = 10
QOS_GRP_TRES: Final = 11
QOS_GRP_MINS: Final = 12
QOS_GRP_RUN_MINS: Final = 13
QOS_MAX_MINS_PJ: Final = 14
QOS_MAX_PJ: Final = 15
QOS_MAX_PN: Final = 16
QOS_MIN_PJ: Final = 17
QOS_MAX_PA: Final = 18
QOS_MAX_PU: Final = 19
ASSOC_GRP_JOBS: Final = 20
ASSOC_GRP_WALL: Final = 21
ASSOC_MAX_JOBS: Final = 22
ASSOC_MAX_WALL: Final = 23
ASSOC_GRP_TRES: Final = 24
ASSOC_GRP_MINS: Final = 25
ASSOC_GRP_RUN_MINS: Final = 26
ASSOC_MAX_MINS_PJ: Final = 27
ASSOC_MAX_PJ: Final = 28
ASSOC_MAX_PN: Final = 29
QOS_GRP_ACCRUE: Final = 30
QOS_MAX_ACCRUE_PA: Final = 31
QOS_MAX_ACCRUE_PU: Final = 32
ASSOC_GRP_ACCRUE: Final = 33
ASSOC_MAX_ACCRUE: Final = 34
N_FAMILIES: Final = 35
FIRST_START_FAMILY: Final = QOS_THRESHOLD
FIRST_ACCRUE_FAMILY: Final = QOS_GRP_ACCRUE

# Classes of TRES: Slurm's words differ by class, not by name. WHOLE stands for several TRES together.
CPU: Final = 0
MEM: Final = 1
NODE: Final = 2
GRES: Final = 3
LICENSE: Final = 4
BILLING: Final = 5
ENERGY: Final = 6
BURST_BUFFER: Final = 7
OTHER: Final = 8
WHOLE: Final = 9
N_CLASSES: Final = 10

_SINGLE: Final[dict[int, str]] = {
    QOS_GRP_SUBMIT: "QOSGrpSubmitJobsLimit",
    QOS_MAX_SUBMIT_PA: "MaxSubmitJobsPerAccount",
    QOS_MAX_SUBMIT_PU: "QOSMaxSubmitJobPerUserLimit",
    ASSOC_GRP_SUBMIT: "AssocGrpSubmitJobsLimit",
    ASSOC_MAX_SUBMIT: "AssocMaxSubmitJobLimit",
    QOS_THRESHOLD: "QOSUsageThreshold",
    QOS_GRP_JOBS: "QOSGrpJobsLimit",
    QOS_GRP_WALL: "QOSGrpWallLimit",
    QOS_MAX_JOBS_PA: "MaxJobsPerAccount",
    QOS_MAX_JOBS_PU: "QOSMaxJobsPerUserLimit",
    QOS_MAX_WALL: "QOSMaxWallDurationPerJobLimit",
    ASSOC_GRP_JOBS: "AssocGrpJobsLimit",
    ASSOC_GRP_WALL: "AssocGrpWallLimit",
    ASSOC_MAX_JOBS: "AssocMaxJobsLimit",
    ASSOC_MAX_WALL: "AssocMaxWallDurationPerJobLimit",
}

# Stem and tail of the words of a family, then the words that are spelled otherwise: Slurm wrote "Limit" after the
# oldest of them, and says Mem for associations but Memory for most of QOS.
_BY_CLASS: Final[dict[int, tuple[str, str, dict[int, str]]]] = {
    QOS_GRP_TRES: (
        "QOSGrp",
        "",
        {CPU: "QOSGrpCpuLimit", MEM: "QOSGrpMemLimit", NODE: "QOSGrpNodeLimit"},
    ),
    QOS_GRP_MINS: ("QOSGrp", "Minutes", {CPU: "QOSGrpCPUMinutesLimit", MEM: "QOSGrpMemoryMinutes"}),
    QOS_GRP_RUN_MINS: ("QOSGrp", "RunMinutes", {CPU: "QOSGrpCPURunMinutesLimit", MEM: "QOSGrpMemoryRunMinutes"}),
    QOS_MAX_MINS_PJ: (
        "QOSMax",
        "MinutesPerJob",
        {CPU: "QOSMaxCpuMinutesPerJobLimit", MEM: "QOSMaxMemoryMinutesPerJob"},
    ),
    QOS_MAX_PJ: (
        "QOSMax",
        "PerJob",
        {CPU: "QOSMaxCpuPerJobLimit", MEM: "QOSMaxMemoryPerJob", NODE: "QOSMaxNodePerJobLimit"},
    ),
    QOS_MAX_PN: (
        "QOSMax",
        "PerNode",
        {MEM: "QOSMaxMemoryPerNode", NODE: "QOSMaxUnknownPerNode", LICENSE: "QOSMaxUnknownPerNode"},
    ),
    QOS_MIN_PJ: ("QOSMin", "", {CPU: "QOSMinCpuNotSatisfied", MEM: "QOSMinMemory"}),
    QOS_MAX_PA: ("Max", "PerAccount", {MEM: "MaxMemoryPerAccount"}),
    QOS_MAX_PU: (
        "QOSMax",
        "PerUser",
        {CPU: "QOSMaxCpuPerUserLimit", MEM: "QOSMaxMemoryPerUser", NODE: "QOSMaxNodePerUserLimit"},
    ),
    ASSOC_GRP_TRES: (
        "AssocGrp",
        "",
        {CPU: "AssocGrpCpuLimit", MEM: "AssocGrpMemLimit", NODE: "AssocGrpNodeLimit"},
    ),
    ASSOC_GRP_MINS: ("AssocGrp", "Minutes", {CPU: "AssocGrpCPUMinutesLimit"}),
    ASSOC_GRP_RUN_MINS: ("AssocGrp", "RunMinutes", {CPU: "AssocGrpCPURunMinutesLimit"}),
    ASSOC_MAX_MINS_PJ: ("AssocMax", "MinutesPerJob", {CPU: "AssocMaxCpuMinutesPerJobLimit"}),
    ASSOC_MAX_PJ: (
        "AssocMax",
        "PerJob",
        {CPU: "AssocMaxCpuPerJobLimit", NODE: "AssocMaxNodePerJobLimit"},
    ),
    ASSOC_MAX_PN: (
        "AssocMax",
        "PerNode",
        {NODE: "AssocMaxUnknownPerNode", LICENSE: "AssocMaxUnknownPerNode"},
    ),
}
_CLASS_STEM: Final = ("Cpu", "Mem", "Node", "GRES", "License", "Billing", "Energy", "BB", "Unknown")
_MINUTES: Final = frozenset(
    (
        QOS_GRP_MINS,
        QOS_GRP_RUN_MINS,
        QOS_MAX_MINS_PJ,
        ASSOC_GRP_MINS,
        ASSOC_GRP_RUN_MINS,
        ASSOC_MAX_MINS_PJ,
    )
)


def _spell() -> tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    words = ["None", *FIXED, "Resources", "Priority"]
    origin = [(-1, -1)] * len(words)
    first = []
    for family in range(FIRST_ACCRUE_FAMILY):
        first.append(len(words))
        if family in _SINGLE:
            words.append(_SINGLE[family])
            origin.append((family, -1))
            continue
        stem, tail, otherwise = _BY_CLASS[family]
        for kind, name in enumerate(_CLASS_STEM):
            words.append(otherwise.get(kind, stem + name + tail))
            origin.append((family, kind))
        words.append("QOSResourceLimit" if family < ASSOC_GRP_JOBS else "AssociationResourceLimit")
        origin.append((family, WHOLE))
    return (*words, *QUOTA), tuple(first), (*origin, *[(-1, -1)] * len(QUOTA))


_SPELLED: Final = _spell()
WORDS: Final = _SPELLED[0]
_FIRST_CODE: Final = _SPELLED[1]
_ORIGIN: Final = _SPELLED[2]

NONE_CODE: Final = 0
RESOURCES_CODE: Final = len(FIXED) + 1
PRIORITY_CODE: Final = len(FIXED) + 2
PARTITION_DOWN_CODE: Final = WORDS.index("PartitionDown")
PARTITION_NODE_LIMIT_CODE: Final = WORDS.index("PartitionNodeLimit")
PARTITION_TIME_LIMIT_CODE: Final = WORDS.index("PartitionTimeLimit")


def is_per_tres(family: int) -> bool:
    """Whether limits of this family are set for single TRES."""
    return family in _BY_CLASS


def is_minutes(family: int) -> bool:
    """Whether limits of this family are in TRES-minutes."""
    return family in _MINUTES


def code_of(family: int, tres_class: int = -1) -> int:
    """Reason code of a family of limits, for families that differ by TRES of the given class."""
    return _FIRST_CODE[family] + (tres_class if family in _BY_CLASS else 0)


def tres_class(name: str) -> int:
    """Class of a TRES by its Slurm name (``cpu``, ``mem``, ``node``, ``gres/gpu``, ``license/ansys``, ...)."""
    plain = {"cpu": CPU, "mem": MEM, "node": NODE, "billing": BILLING, "energy": ENERGY}
    prefixed = {"gres": GRES, "license": LICENSE, "bb": BURST_BUFFER}
    return plain.get(name, prefixed.get(name.partition("/")[0], OTHER))


def fixed_bit_codes() -> list[int]:
    """Codes of the 62 bits for a policy without limits; a bit that means nothing has ``NONE_CODE``."""
    codes = [NONE_CODE] * MASK_BITS
    codes[: len(FIXED)] = range(1, len(FIXED) + 1)
    for k, word in enumerate(QUOTA):
        codes[FIRST_QUOTA_BIT + k] = WORDS.index(word)
    codes[RESOURCES_BIT] = RESOURCES_CODE
    codes[PRIORITY_BIT] = PRIORITY_CODE
    return codes


def words(mask: int, bit_code: Iterable[int]) -> list[str]:
    """Words for a mask, in the order of enforcement; ``["None"]`` for a job not looked at yet.

    Parameters
    ----------
    mask : int
        As the kernels of `apportion.core.limits` return it, or several of them joined by ``|``.
    bit_code : int64[62]
        ``LimitTables.bit_code`` of the policy that made the mask.
    """
    mask = int(mask)
    said: list[str] = []
    for bit, code in enumerate(bit_code):
        word = WORDS[int(code)]
        if mask >> bit & 1 and word not in said:
            said.append(word)
    return said or [WORDS[NONE_CODE]]


@dataclass(frozen=True)
class Names:
    """Names for people, by index; anything missing is shown by its number."""

    associations: Sequence[str] = ()
    qos: Sequence[str] = ()
    partitions: Sequence[str] = ()
    tres: Sequence[str] = ()


def describe(rows: Iterable[Sequence[int]], names: Names, n_assoc: int) -> list[str]:
    """One sentence for each row of `apportion.core.limits.explain`, with the quantities that were compared.

    Parameters
    ----------
    rows : int64[n, 6]
        Reason code, place, TRES (-1 none), limit, in use, asked.
    names : Names
    n_assoc : int
        Number of associations: places from there on are QOS.
    """
    return [_sentence(*(int(value) for value in row), names=names, n_assoc=n_assoc) for row in rows]


def _sentence(
    code: int, place: int, tres: int, limit: int, used: int, asked: int, *, names: Names, n_assoc: int
) -> str:
    family = _ORIGIN[code][0]
    if family < 0:
        where = "partition " + _name(names.partitions, place)
    elif place >= n_assoc:
        where = "QOS " + _name(names.qos, place - n_assoc)
    else:
        where = "association " + _name(names.associations, place)
    if code == PARTITION_DOWN_CODE:
        return f"{WORDS[code]}: {where} starts no job"
    what = _name(names.tres, tres) if tres >= 0 else ""
    is_billing = tres >= 0 and what == "billing"

    def show(value: int) -> str:
        return _quantity(code, family, value, is_billing)

    unit = f" {what}{' minutes' if family in _MINUTES else ''}" if what else ""
    bound = "at least" if family in {QOS_MIN_PJ, QOS_THRESHOLD} else "at most"
    if family == QOS_THRESHOLD:
        return f"{WORDS[code]}: {where} wants a fair-share of {bound} {show(limit)}, it is {show(used)}"
    return f"{WORDS[code]}: {where} allows {bound} {show(limit)}{unit}, {show(used)} in use, {show(asked)} asked"


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"#{index}"


def _quantity(code: int, family: int, value: int, is_billing: bool) -> str:
    if family == QOS_THRESHOLD:
        return f"{value / 1e6:g}"
    if code == PARTITION_TIME_LIMIT_CODE or family in {QOS_MAX_WALL, ASSOC_MAX_WALL}:
        return f"{value / 60_000:g} min"
    if family in {QOS_GRP_WALL, ASSOC_GRP_WALL}:
        return f"{value / 60:g} min"
    scale = (60 if family in _MINUTES else 1) * (1000 if is_billing else 1)
    return f"{value / scale:g}" if scale > 1 else str(value)
