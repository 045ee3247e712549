"""Reason codes: Slurm's words, masks and sentences."""

from __future__ import annotations

import numpy as np
import pytest

from apportion.core import limit_tables as lt
from apportion.core import reasons
from apportion.core.limit_build import LimitBuilder

# The words of Slurm's page "Job Reason Codes" (26.05) that a limit, a hold or the queue can give.
STEMS_GRP = ("BB", "Billing", "Energy", "GRES", "License", "Unknown")
SLURM = {
    *("None", "Priority", "Resources", "Dependency", "BeginTime", "Licenses", "JobHeldAdmin", "JobHeldUser"),
    *("PartitionDown", "PartitionInactive"),
    *("PartitionNodeLimit", "PartitionTimeLimit", "PartitionConfig", "Reservation", "ReqNodeNotAvail"),
    *("InvalidAccount", "InvalidQOS", "QOSNotAllowed", "QOSResourceLimit", "AssociationResourceLimit"),
    *("QOSUsageThreshold", "MaxJobsPerAccount", "MaxSubmitJobsPerAccount"),
    *("QOSMaxJobsPerUserLimit", "QOSMaxSubmitJobPerUserLimit", "AssocMaxJobsLimit", "AssocMaxSubmitJobLimit"),
    *(f"{scope}Grp{what}Limit" for scope in ("Assoc", "QOS") for what in ("Jobs", "SubmitJobs", "Wall")),
    *(f"{scope}MaxWallDurationPerJobLimit" for scope in ("Assoc", "QOS")),
    *(f"{scope}Grp{what}Limit" for scope in ("Assoc", "QOS") for what in ("Cpu", "Mem", "Node")),
    *(f"{scope}GrpCPU{what}Limit" for scope in ("Assoc", "QOS") for what in ("Minutes", "RunMinutes")),
    *(f"{scope}Grp{what}" for scope in ("Assoc", "QOS") for what in STEMS_GRP),
    *(f"{scope}Grp{what}Minutes" for scope in ("Assoc", "QOS") for what in (*STEMS_GRP, "Node")),
    *(f"{scope}Grp{what}RunMinutes" for scope in ("Assoc", "QOS") for what in (*STEMS_GRP, "Node")),
    *("AssocGrpMemMinutes", "AssocGrpMemRunMinutes", "QOSGrpMemoryMinutes", "QOSGrpMemoryRunMinutes"),
    *(f"{scope}MaxCpuMinutesPerJobLimit" for scope in ("Assoc", "QOS")),
    *(f"{scope}Max{what}MinutesPerJob" for scope in ("Assoc", "QOS") for what in (*STEMS_GRP, "Node")),
    *("AssocMaxMemMinutesPerJob", "QOSMaxMemoryMinutesPerJob"),
    *(f"{scope}Max{what}PerJobLimit" for scope in ("Assoc", "QOS") for what in ("Cpu", "Node")),
    *(f"{scope}Max{what}PerJob" for scope in ("Assoc", "QOS") for what in STEMS_GRP),
    *("AssocMaxMemPerJob", "QOSMaxMemoryPerJob", "AssocMaxMemPerNode", "QOSMaxMemoryPerNode"),
    *(f"{scope}MaxCpuPerNode" for scope in ("Assoc", "QOS")),
    *(f"{scope}Max{what}PerNode" for scope in ("Assoc", "QOS") for what in STEMS_GRP if what != "License"),
    *("QOSMinCpuNotSatisfied", "QOSMinMemory", "QOSMinNode", *(f"QOSMin{what}" for what in STEMS_GRP)),
    *("MaxCpuPerAccount", "MaxMemoryPerAccount", "MaxNodePerAccount", *(f"Max{what}PerAccount" for what in STEMS_GRP)),
    *("QOSMaxCpuPerUserLimit", "QOSMaxMemoryPerUser", "QOSMaxNodePerUserLimit"),
    *(f"QOSMax{what}PerUser" for what in STEMS_GRP),
}


def test_every_word_is_one_of_slurms_but_for_quotas_and_none_is_missing():
    assert set(reasons.WORDS) == SLURM | set(reasons.QUOTA)


def test_nothing_looked_at_is_none():
    assert reasons.words(0, reasons.fixed_bit_codes()) == ["None"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("JOB_HELD_ADMIN", "JobHeldAdmin"),
        ("JOB_HELD_USER", "JobHeldUser"),
        ("DEPENDENCY", "Dependency"),
        ("BEGIN_TIME", "BeginTime"),
        ("INVALID_ACCOUNT", "InvalidAccount"),
        ("INVALID_QOS", "InvalidQOS"),
        ("QOS_NOT_ALLOWED", "QOSNotAllowed"),
        ("PARTITION_DOWN", "PartitionDown"),
        ("PARTITION_INACTIVE", "PartitionInactive"),
        ("PARTITION_NODE_LIMIT", "PartitionNodeLimit"),
        ("PARTITION_TIME_LIMIT", "PartitionTimeLimit"),
        ("RESERVATION", "Reservation"),
        ("REQ_NODE_NOT_AVAIL", "ReqNodeNotAvail"),
        ("LICENSES", "Licenses"),
        ("PARTITION_CONFIG", "PartitionConfig"),
        ("RESOURCES", "Resources"),
        ("PRIORITY", "Priority"),
    ],
)
def test_each_fixed_bit_says_its_word(name, word):
    assert reasons.words(getattr(reasons, name), reasons.fixed_bit_codes()) == [word]


def test_words_come_in_the_order_of_enforcement():
    mask = reasons.PRIORITY | reasons.RESOURCES | reasons.BEGIN_TIME | reasons.JOB_HELD_USER
    assert reasons.words(mask, reasons.fixed_bit_codes()) == ["JobHeldUser", "BeginTime", "Resources", "Priority"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cpu", reasons.CPU),
        ("gres/gpu:a100", reasons.GRES),
        ("license/ansys", reasons.LICENSE),
        ("power", reasons.OTHER),
    ],
)
def test_tres_classes(name, kind):
    assert reasons.tres_class(name) == kind


def test_more_limits_than_bits_share_the_last_ones():
    tres = ("cpu", "mem", "node", "gres/a", "gres/b", "gres/c", "billing")
    builder = LimitBuilder(parent=np.array([-1]), is_user=np.array([1]), n_qos=1, tres=tres)
    names = ("GrpTRES", "GrpTRESMins", "GrpTRESRunMins", "MaxTRESMinsPerJob", "MaxTRESPerJob")
    for name in names:
        for one in tres:
            builder.association(0, name, 1, one)
            builder.qos(0, name, 1, one)
    tables = builder.build()
    bits = tables.slot[:, lt.BIT]
    assert len(bits) == 2 * 5 * 7
    assert bits.min() == 15
    assert bits.max() <= 59
    assert (np.diff(bits) >= 0).all()
    # What is enforced first keeps a bit for each TRES.
    assert reasons.words(1 << 15, tables.bit_code) == ["QOSGrpCpuLimit"]
    assert reasons.words(1 << int(bits[-1]), tables.bit_code) == ["AssociationResourceLimit"]
    # A shared bit still has the exact code in the rows of an explanation.
    assert reasons.WORDS[tables.slot[-1, lt.CODE]] == "AssocMaxBillingPerJob"


def test_sentences_name_the_place_and_the_quantities():
    names = reasons.Names(
        associations=("root", "physics"), qos=("long",), partitions=("batch",), tres=("cpu", "mem", "billing")
    )
    word = reasons.WORDS.index
    rows = [
        (word("AssocGrpCpuLimit"), 1, 0, 64, 60, 8),
        (word("QOSGrpCPUMinutesLimit"), 2, 0, 6000, 5400, 1200),
        (word("QOSMaxWallDurationPerJobLimit"), 2, -1, 3_600_000, 0, 7_200_000),
        (word("PartitionDown"), 0, -1, 0, 0, 0),
        (word("PartitionTimeLimit"), 0, -1, 60_000, 0, 90_000),
        (word("AssocGrpBilling"), 5, 2, 1500, 0, 2000),
    ]
    assert reasons.describe(rows, names, n_assoc=2) == [
        "AssocGrpCpuLimit: association physics allows at most 64 cpu, 60 in use, 8 asked",
        "QOSGrpCPUMinutesLimit: QOS long allows at most 100 cpu minutes, 90 in use, 20 asked",
        "QOSMaxWallDurationPerJobLimit: QOS long allows at most 60 min, 0 min in use, 120 min asked",
        "PartitionDown: partition batch starts no job",
        "PartitionTimeLimit: partition batch allows at most 1 min, 0 min in use, 1.5 min asked",
        "AssocGrpBilling: QOS #3 allows at most 1.5 billing, 0 in use, 2 asked",
    ]
