"""The policy: one frozen model whose fields are Slurm's own keys, spelled as Slurm spells them; its tables are `apportion.policy.sections`.

Field names are attribute names (``policy.PriorityWeightAge``). Values are ready to compile:

- durations: int seconds (``bf_window`` in minutes, as in Slurm); an absent limit, ``UNLIMITED`` and ``-1`` are all
  None;
- TRES: ``dict[str, int]`` by canonical name (``cpu``, ``mem`` in MiB, ``node``, ``gres/gpu``, ``license/x``,
  ``billing``), {} when absent;
- TRES minutes: the same in TRES x minutes; weights of TRES: ``dict[str, float]``, memory per MiB;
- flags: sorted tuples of str; names: str, "" when absent; moments: `Moment` (seconds from the trace's origin or from
  the epoch).

``Policy``: Name, Description, Order, OrderExpression, OrderPlugin, OrderPluginSha256, Backfill, SchedulerParameters,
Predictor, PredictorQuantile, PredictorJobs, JobRequeue, MaxWait,
MaxWaitReserveAt, PriorityWeight{Age,Assoc,Fairshare,JobSize,Partition,QOS,TRES}, PriorityMaxAge,
PriorityDecayHalfLife, PriorityUsageResetPeriod, PriorityCalcPeriod, PriorityFavorSmall, PriorityFlags,
FairShareDampeningFactor, ShareEngine, ShareParameters, FairTreeTies, Decay, AccountingStorageEnforce, DefaultFairshare,
AllowZeroShares, DefaultQOS, TRES, TRESBillingWeights, Licenses, accounts, users, cohorts, qos, partitions, reservations,
assign. Resolved: ``policy.share_engine`` ("fair_tree", "classic", "condor", ...), ``policy.billing_mode`` ("sum", "max_tres",
"max_tres_gres"), ``policy.enforce`` (frozenset), ``partition.capacity``, ``partition.pool``, ``partition.labels``,
``reservation.capacity``, ``reservation.duration``; ``policy.canonical()``, ``policy.hash``, ``policy.warnings``.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from apportion.policy.fields import (
    Count,
    Fraction,
    LicenseCounts,
    OneOf,
    OptionalLabel,
    OptionalSeconds,
    Seconds,
    Shares,
    SomeOf,
    Switch,
    Text,
    TresCounts,
    TresFactors,
    TresWeights,
    Weight,
)
from apportion.policy.sections import (
    ENGINE_KEYS,
    PREEMPT_MODES,
    AccountEntry,
    AssignRule,
    CheckpointKeys,
    CohortEntry,
    NodeEntry,
    PartitionEntry,
    PreemptOptions,
    QosEntry,
    ReservationEntry,
    SchedulerOptions,
    ShareOptions,
    UserEntry,
)

ORDERS = (
    "fcfs",
    "sjf",
    "ljf",
    "saf",
    "laf",
    "wfp3",
    "unicef",
    "f1",
    "f2",
    "f3",
    "f4",
    "multifactor",
    "expression",
    "plugin",
)
BACKFILLS = ("none", "easy", "easy-sjbf", "conservative", "slurm")
PREEMPT_TYPES = ("none", "qos", "partition_prio")
PREDICTORS = ("limit", "last-two", "quantile")
SELECT_TYPES = ("select/linear", "select/cons_tres")
# Words of SelectTypeParameters: memory counts or does not, and the placement.
MEMORY_COUNTS = ("CR_Core_Memory", "CR_CPU_Memory", "CR_Memory")
NO_MEMORY = ("CR_Core", "CR_CPU")
PLACEMENTS = ("BestFit", "CR_LLN", "FirstFit", "LeastFragmentation")


class Policy(CheckpointKeys):
    """Everything that decides the order of jobs, their limits and their shares."""

    Name: Text = Field(default="", description="what people call it; does not enter the hash")
    Description: Text = Field(default="", description="a sentence about it; does not enter the hash")
    Order: Annotated[str, OneOf(*ORDERS)] = Field(
        default="fcfs", description="how the queue is sorted; plugin:NAME for a plug-in by name"
    )
    OrderExpression: Text = Field(default="", description="score of a job, smallest first, for example limit * procs")
    OrderPlugin: Text = Field(
        default="", description="NAME of a registered plug-in, or FILE.py:FUNCTION beside this file"
    )
    OrderPluginSha256: Text = Field(default="", description="when given, the plug-in's source must have this hash")
    Backfill: Annotated[str, OneOf(*BACKFILLS)] = Field(
        default="none", description="who may pass a job that waits for room"
    )
    SchedulerParameters: SchedulerOptions = Field(
        default=SchedulerOptions(), description="Slurm's comma-separated text, or a table"
    )
    Predictor: Annotated[str, OneOf(*PREDICTORS)] = Field(
        default="limit", description="how long backfill takes jobs to run; they are killed at their limit all the same"
    )
    PredictorQuantile: Fraction = Field(
        default=0.75, description="which quantile of a user's last run times quantile takes"
    )
    PredictorJobs: Count = Field(default=10, ge=2, le=1000, description="of how many jobs of the user, at most")
    JobRequeue: Switch = Field(
        default=True, description="a job that loses its node is queued again; otherwise it is over (NODE_FAIL)"
    )
    PreemptType: Annotated[str, OneOf(*PREEMPT_TYPES, prefix="preempt/")] = Field(
        default="none", description="who may preempt whom: by the QOS key Preempt, or higher PriorityTier lower ones"
    )
    PreemptMode: Annotated[str, OneOf(*PREEMPT_MODES)] = Field(
        default="OFF", description="what becomes of preempted jobs whose QOS (or partition) does not say"
    )
    PreemptExemptTime: Seconds = Field(
        default=0, description="time after its start in which a job is not preempted, a second at least"
    )
    PreemptParameters: PreemptOptions = Field(
        default=PreemptOptions(), description="Slurm's comma-separated text, or a table"
    )
    PreemptionStrategies: Annotated[tuple[str, ...], SomeOf("LessThanOrEqualToFinalShare", "LessThanInitialShare")] = (
        Field(
            default=(), description="Kueue's fair sharing: a borrower may stop jobs of accounts that have borrowed more"
        )
    )
    FairSharing: Switch = Field(
        default=False,
        description="Kueue's fair sharing: the account whose dominant share would be lowest is admitted first",
    )
    UsageHalfLifeTime: OptionalSeconds = Field(
        default=None, description="time in which what users used counts half (AdmissionMode of accounts)"
    )
    UsageSamplingInterval: Seconds = Field(default=300, ge=1, description="time between samples of what users use")
    ResourceWeights: TresFactors = Field(
        default={}, description="what each TRES of the quotas weighs in what users used; 1 when absent"
    )
    MaxWait: OptionalSeconds = Field(default=None, description="wait bound of jobs whose QOS sets none")
    MaxWaitReserveAt: Fraction = Field(default=0.5, description="part of MaxWait after which the reservation is made")

    PriorityWeightAge: Weight = Field(default=0, description="weight of the time waited")
    PriorityWeightAssoc: Weight = Field(default=0, description="weight of the association's priority")
    PriorityWeightFairshare: Weight = Field(default=0, description="weight of the fair-share factor")
    PriorityWeightJobSize: Weight = Field(default=0, description="weight of the size")
    PriorityWeightPartition: Weight = Field(default=0, description="weight of the partition's PriorityJobFactor")
    PriorityWeightQOS: Weight = Field(default=0, description="weight of the QOS priority")
    PriorityWeightTRES: TresFactors = Field(default={}, description="weight of each TRES asked for, CPU=1000,Mem=2000")
    PriorityMaxAge: Seconds = Field(default=7 * 86400, ge=1, description="time waited that gives the full age factor")
    PriorityDecayHalfLife: Seconds = Field(
        default=7 * 86400, description="time after which usage counts half; 0: never decays"
    )
    PriorityUsageResetPeriod: Annotated[
        str, OneOf("NONE", "NOW", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY")
    ] = Field(default="NONE", description="when usage is set to zero")
    PriorityCalcPeriod: Seconds = Field(
        default=300, ge=1, description="time between calculations of usage and priority"
    )
    PriorityFavorSmall: Switch = Field(default=False, description="the size factor prefers small jobs")
    PriorityFlags: Annotated[
        tuple[str, ...],
        SomeOf(
            "ACCRUE_ALWAYS",
            "CALCULATE_RUNNING",
            "DEPTH_OBLIVIOUS",
            "FAIR_TREE",
            "INCR_ONLY",
            "MAX_TRES",
            "MAX_TRES_GRES",
            "NO_FAIR_TREE",
            "NO_NORMAL_ALL",
            "NO_NORMAL_ASSOC",
            "NO_NORMAL_PART",
            "NO_NORMAL_QOS",
            "NO_NORMAL_TRES",
            "SMALL_RELATIVE_TO_TIME",
        ),
    ] = Field(default=(), description="Slurm's flags of the multifactor priority")
    FairShareDampeningFactor: Count = Field(default=1, ge=1, le=2**31, description="dampens classic fair-share")
    ShareEngine: Annotated[str | None, OneOf(*ENGINE_KEYS)] = Field(
        default=None,
        description="what makes the fair-share factor; fair_tree or classic, by PriorityFlags, when absent",
    )
    ShareParameters: ShareOptions = Field(
        default=ShareOptions(), description="a table of keys of the share engines that are not Slurm's"
    )
    FairTreeTies: Annotated[str, OneOf("documented", "slurm-26")] = Field(
        default="documented", description="how Fair Tree treats tied sibling accounts"
    )
    Decay: Annotated[str, OneOf("slurm", "exact")] = Field(
        default="slurm", description="slurm: 1 - 0.693/half-life per second; exact: halves in a half-life"
    )
    AccountingStorageEnforce: Annotated[
        tuple[str, ...], SomeOf("associations", "limits", "qos", "safe", "all", "none")
    ] = Field(
        default=("limits", "qos"),
        description="which limits bind; with associations, users who are not listed are refused",
    )
    DefaultFairshare: Shares = Field(
        default=1, description="shares of accounts and users that the trace has and this policy does not list"
    )
    AllowZeroShares: Switch = Field(
        default=False, description="accept shares of 0, which put an account behind all others"
    )
    DefaultQOS: OptionalLabel = Field(default="", description="QOS of jobs that get none otherwise")
    TRES: TresCounts = Field(default={}, description="capacity of the whole machine where the trace does not say it")
    TRESBillingWeights: TresWeights = Field(
        default={}, description="billing weights; without any, a job is billed its processors"
    )
    Licenses: LicenseCounts = Field(default={}, description="licences of the whole machine, matlab:50")
    SelectType: Annotated[str | None, OneOf(*SELECT_TYPES)] = Field(
        default=None,
        description="whole nodes (linear) or parts of them (cons_tres); pools are counts without nodes when absent",
    )
    SelectTypeParameters: Annotated[tuple[str, ...], SomeOf(*MEMORY_COUNTS, *NO_MEMORY, *PLACEMENTS)] = Field(
        default=(), description="what is counted, and which nodes a job gets; best fit when none is named"
    )

    accounts: tuple[AccountEntry, ...] = Field(default=(), description="the account tree")
    users: tuple[UserEntry, ...] = Field(default=(), description="users of the accounts")
    cohorts: tuple[CohortEntry, ...] = Field(default=(), description="groups of accounts that lend quota to each other")
    qos: tuple[QosEntry, ...] = Field(default=(), description="qualities of service")
    nodes: tuple[NodeEntry, ...] = Field(default=(), description="nodes of the machine (needs `SelectType`)")
    partitions: tuple[PartitionEntry, ...] = Field(
        default=(), description="partitions; without any, one for the whole machine"
    )
    reservations: tuple[ReservationEntry, ...] = Field(
        default=(), description="advance reservations and maintenance windows"
    )
    assign: tuple[AssignRule, ...] = Field(
        default=(), description="rules that give jobs of a trace a QOS, a partition or an account"
    )

    _warnings: tuple[str, ...] = PrivateAttr(())
    _folder: Path = PrivateAttr(Path())

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        from apportion.policy.structure import check_structure

        check_structure(self)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """Keys the file holds that Slurm knows and that are not simulated yet, a line each."""
        return self._warnings

    @property
    def folder(self) -> Path:
        """Folder that a relative path of a plug-in starts from."""
        return self._folder

    @property
    def share_engine(self) -> str:
        """The share engine that runs: a key of `ENGINE_KEYS`."""
        if self.ShareEngine is not None:
            return self.ShareEngine
        return "classic" if {"NO_FAIR_TREE", "DEPTH_OBLIVIOUS"} & set(self.PriorityFlags) else "fair_tree"

    @property
    def billing_mode(self) -> str:
        """How TRES are billed: "sum", "max_tres" or "max_tres_gres"."""
        if "MAX_TRES_GRES" in self.PriorityFlags:
            return "max_tres_gres"
        return "max_tres" if "MAX_TRES" in self.PriorityFlags else "sum"

    @property
    def enforce(self) -> frozenset[str]:
        """What is enforced of associations, limits, qos, safe; ``safe`` implies ``limits``."""
        flags = set(self.AccountingStorageEnforce) - {"none"}
        if "all" in flags:
            flags = {"associations", "limits", "qos", "safe"}
        return frozenset(flags | ({"limits"} if "safe" in flags else set()))

    def canonical(self) -> dict[str, Any]:
        """Write this policy in the one canonical way: keys sorted, defaults filled in, units as Slurm prints them."""
        from apportion.policy.canonical import canonical

        return canonical(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical form; policies of equal meaning have equal hashes."""
        from apportion.policy.canonical import digest

        return digest(self)
