"""The parts of a policy: frozen models whose fields are Slurm's own keys, as in `apportion.policy.model`.

``SchedulerParameters``: bf_window (min), bf_resolution (s), bf_max_job_test, bf_max_job_user (0 = no cap),
bf_interval (s), bf_min_prio_reserve, default_queue_depth, sched_interval (s), assoc_limit_stop.

``ShareParameters`` (`ShareOptions`): keys of the share engines of other schedulers, in these schedulers' own words;
`ENGINE_KEYS` says which engine reads which.

Associations (`AccountEntry`: Account, Parent; `UserEntry`: User, Account; both): Fairshare (int or "parent"), Priority,
DefaultQOS, GrpJobs, GrpJobsAccrue, GrpSubmitJobs, GrpTRES, GrpTRESMins, GrpTRESRunMins, GrpWall, MaxJobs,
MaxJobsAccrue, MaxSubmitJobs, MaxTRESPerJob, MaxTRESPerNode, MaxTRESMinsPerJob, MaxWall, MinPrioThreshold.

Quotas of accounts and of `CohortEntry` (Cohort, Parent): NominalQuota, BorrowingLimit, LendingLimit (TRES by flavour, ``*`` for
all together), FairWeight, LendUntil; of accounts also Cohort, LendingLease, QueueingStrategy, AdmissionMode, StopPolicy,
WithinClusterQueue, ReclaimWithinCohort, BorrowWithinCohort, MaxPriorityThreshold (of the policy: PreemptionStrategies, FairSharing,
UsageHalfLifeTime, UsageSamplingInterval, ResourceWeights; of users: FairWeight),
and budgets: Budget and BudgetCarryCap (TRES hours), BudgetPeriod, BudgetDays, BudgetStart, BudgetCarryOver, BudgetEnd.

`QosEntry`: Name, Priority, Flags, UsageFactor, UsageThreshold, LimitFactor, MaxWait, MaxWaitReserveAt, GrpJobs,
GrpJobsAccrue, GrpSubmitJobs, GrpTRES, GrpTRESMins, GrpTRESRunMins, GrpWall, MaxJobsPU, MaxJobsPA, MaxJobsAccruePU,
MaxJobsAccruePA, MaxSubmitJobsPU, MaxSubmitJobsPA, MaxTRESPU, MaxTRESPA, MaxTRESPerJob, MaxTRESPerNode,
MaxTRESMinsPerJob, MaxWall, MinTRESPerJob, MinPrioThreshold.

`PartitionEntry`: PartitionName, Default, Match, Pool, TRES, Procs, Nodes, PriorityTier, PriorityJobFactor, MaxTime,
DefaultTime, MinNodes, MaxNodes, QOS, TRESBillingWeights, OverSubscribe, State. `NodeEntry`: NodeName, CPUs, RealMemory, Gres,
Weight, Features, State, Pool; needs SelectType, SelectTypeParameters. `ReservationEntry`: ReservationName, StartTime,
EndTime, Duration, TRES, CoreCnt, NodeCnt, PartitionName, Users, Accounts, Flags. `AssignRule`: Match (Queue,
Partition, User, Account, Group, ProcsMin, ProcsMax, LimitMin, LimitMax), Set (QOS, Partition, Account, Nice, Constraint); the first
rule that matches wins.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from apportion.policy.fields import (
    UINT32,
    Count,
    DefaultSeconds,
    Fraction,
    Label,
    Labels,
    NiceValue,
    Number,
    OneOf,
    OptionalCount,
    OptionalLabel,
    OptionalNumber,
    OptionalSeconds,
    OptionalWhen,
    QuotaCounts,
    Seconds,
    Shares,
    SomeOf,
    Switch,
    Text,
    TresCounts,
    TresWeights,
    Weight,
    When,
)

PREEMPT_MODES = ("OFF", "CANCEL", "REQUEUE", "CHECKPOINT", "SUSPEND")
# Share engines, and the keys of ShareParameters that each reads.
ENGINE_KEYS: dict[str, tuple[str, ...]] = {
    "fair_tree": (),
    "classic": (),
    "condor": ("PRIORITY_HALFLIFE", "DEFAULT_PRIO_FACTOR"),
    "drf": (),
    "flux": ("UsageBins",),
    "kai": ("KValue", "WindowSize"),
    "karma": ("Alpha", "Quantum", "InitialCredits"),
    "lsf": (
        "HIST_HOURS",
        "CPU_TIME_FACTOR",
        "RUN_TIME_FACTOR",
        "COMMITTED_RUN_TIME_FACTOR",
        "RUN_JOB_FACTOR",
        "ENABLE_HIST_RUN_TIME",
    ),
    "moab": ("FSINTERVAL", "FSDEPTH", "FSDECAY", "FSUSERWEIGHT", "FSACCOUNTWEIGHT"),
    "oar": (
        "SCHEDULER_FAIRSHARING_WINDOW_SIZE",
        "SCHEDULER_FAIRSHARING_COEF_PROJECT",
        "SCHEDULER_FAIRSHARING_COEF_USER",
        "SCHEDULER_FAIRSHARING_COEF_USER_ASK",
    ),
}


class Section(BaseModel):
    """What all parts of a policy share: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=lambda name, _: name)


class SchedulerOptions(Section):
    """Slurm's SchedulerParameters, as far as they change a decision here."""

    bf_window: Count = Field(
        default=1440, ge=1, le=1_000_000, description="minutes backfill looks ahead; at least the longest time limit"
    )
    bf_resolution: Count = Field(default=60, ge=1, le=86400, description="seconds; grain of backfill's time axis")
    bf_max_job_test: Count = Field(default=500, ge=1, le=2**31, description="jobs one backfill pass looks at")
    bf_max_job_user: Count = Field(
        default=0, le=2**31, description="jobs of one user that one pass looks at; 0 means all"
    )
    bf_interval: Count = Field(default=30, ge=1, le=10_000_000, description="seconds between backfill passes")
    bf_min_prio_reserve: Count = Field(
        default=0, le=UINT32, description="priority below which backfill holds no resources for a job"
    )
    default_queue_depth: Count = Field(default=100, ge=0, le=2**31, description="jobs the main pass looks at")
    sched_interval: Count = Field(
        default=60, ge=1, le=10_000_000, description="seconds between main passes over the whole queue"
    )
    assoc_limit_stop: Switch = Field(
        default=False, description="a job held by an association's limit also holds those behind it"
    )


class PreemptOptions(Section):
    """Slurm's PreemptParameters, as far as they change a decision here, and bounds on what preemption may cost."""

    youngest_first: Switch = Field(
        default=False, description="of a class, the job that started last is preempted first, whatever is lost"
    )
    min_wait: Seconds = Field(default=0, description="time a job must have waited before it may preempt others")
    min_gain: Number = Field(
        default=0,
        description="a job preempts only if its processors times limit are so many times what is lost, or more",
    )
    rate_limit: OptionalCount = Field(default=None, description="jobs preempted in an hour of the clock, at most")
    again_after: Seconds = Field(
        default=0, description="time after it was preempted in which a job is not preempted again"
    )
    refund: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0, description="part of what a preempted job lost that its account is given back, in usage and budgets"
    )
    lost_budget: OptionalCount = Field(
        default=None, description="core-hours that the jobs of one account may lose to others in a day (UTC)"
    )
    caused_budget: OptionalCount = Field(
        default=None, description="core-hours that the jobs of one account may make others lose in a day (UTC)"
    )


class CheckpointKeys(Section):
    """Checkpoints, of a QOS or of all jobs."""

    CheckpointInterval: OptionalSeconds = Field(
        default=None, ge=1, description="work between two checkpoints; with an MTBF, Daly's optimum when absent"
    )
    CheckpointWriteTime: OptionalSeconds = Field(default=None, description="time to write a checkpoint")
    RestartTime: OptionalSeconds = Field(default=None, description="time to start from a checkpoint")
    MTBF: OptionalSeconds = Field(
        default=None, ge=1, description="mean time between interruptions of a job, for the optimal interval"
    )


class ShareOptions(Section):
    """Keys of the share engines of other schedulers than Slurm."""

    PRIORITY_HALFLIFE: Seconds = Field(
        default=86400, ge=1, description="`condor`: time in which real priority moves halfway to the cores in use"
    )
    DEFAULT_PRIO_FACTOR: Number = Field(
        default=1000, gt=0, description="`condor`: priority factor of a user with one share; more shares divide it"
    )
    UsageBins: Count = Field(
        default=5,
        ge=1,
        le=1000,
        description="`flux`: bins of PriorityDecayHalfLife that count, the growing one included",
    )
    KValue: Number = Field(default=1, description="`kai`: how much past usage counts; 0 for nothing")
    WindowSize: Seconds = Field(default=7 * 86400, ge=7, description="`kai`: time in which usage counts")
    Alpha: Annotated[Number, Field(le=1)] = Field(
        default=0.5, description="`karma`: part of the machine that is not guaranteed to anybody, but lent for credits"
    )
    Quantum: Seconds = Field(default=3600, ge=1, description="`karma`: length of a round")
    InitialCredits: Number = Field(
        default=100, le=100_000, description="`karma`: credits to begin with, in rounds of one's own share"
    )
    HIST_HOURS: Number = Field(default=5, gt=0, description="`lsf`: hours in which what was used decays to a tenth")
    CPU_TIME_FACTOR: Number = Field(default=0.7, description="`lsf`: weight of decayed CPU hours")
    RUN_TIME_FACTOR: Number = Field(default=0.7, description="`lsf`: weight of the hours that running jobs have run")
    COMMITTED_RUN_TIME_FACTOR: Number = Field(
        default=0, description="`lsf`: weight of the hours that running jobs may yet run"
    )
    RUN_JOB_FACTOR: Number = Field(default=3, gt=0, description="`lsf`: weight of slots in use, plus one")
    ENABLE_HIST_RUN_TIME: Switch = Field(
        default=False, description="`lsf`: run time of jobs that ended counts on, decaying"
    )
    FSINTERVAL: Seconds = Field(default=43200, ge=1, description="`moab`: length of a window")
    FSDEPTH: Count = Field(default=8, ge=1, le=1000, description="`moab`: windows that count, the growing one included")
    FSDECAY: Annotated[Number, Field(le=1)] = Field(
        default=1, description="`moab`: weight of a window / that of the one after it"
    )
    FSUSERWEIGHT: Number = Field(default=1, description="`moab`: weight of the user's distance from the target")
    FSACCOUNTWEIGHT: Number = Field(default=1, description="`moab`: weight of the account's distance")
    SCHEDULER_FAIRSHARING_WINDOW_SIZE: Seconds = Field(
        default=30 * 86400, ge=86400, le=366 * 86400, description="`oar`: time in which usage counts, by days"
    )
    SCHEDULER_FAIRSHARING_COEF_PROJECT: Number = Field(default=0, description="`oar`: weight of what the project used")
    SCHEDULER_FAIRSHARING_COEF_USER: Number = Field(default=2, description="`oar`: weight of what the user used")
    SCHEDULER_FAIRSHARING_COEF_USER_ASK: Number = Field(
        default=1, description="`oar`: weight of what the user's jobs asked for"
    )


class GroupLimits(Section):
    """Limits on the sum over all jobs of an association with its children, or of a QOS."""

    GrpJobs: OptionalCount = Field(default=None, description="running jobs")
    GrpJobsAccrue: OptionalCount = Field(default=None, description="pending jobs that may gain age at a time")
    GrpSubmitJobs: OptionalCount = Field(default=None, description="jobs pending and running")
    GrpTRES: TresCounts = Field(default={}, description="resources in use")
    GrpTRESMins: TresCounts = Field(default={}, description="resource minutes used, decaying with the half-life")
    GrpTRESRunMins: TresCounts = Field(default={}, description="resource minutes that running jobs may still use")
    GrpWall: OptionalSeconds = Field(default=None, description="wall time used, decaying with the half-life")


class JobLimits(Section):
    """Limits on one job."""

    MaxTRESPerJob: TresCounts = Field(default={}, description="resources of one job")
    MaxTRESPerNode: TresCounts = Field(default={}, description="resources of one job on one node")
    MaxTRESMinsPerJob: TresCounts = Field(default={}, description="resource minutes of one job by its time limit")
    MaxWall: OptionalSeconds = Field(default=None, description="time limit of one job")
    MinPrioThreshold: OptionalCount = Field(
        default=None, description="priority below which a job may not hold a reservation of backfill"
    )


class Association(GroupLimits, JobLimits):
    """What accounts and users have in common."""

    Fairshare: Shares = Field(default=1, description='raw shares among siblings, or "parent"')
    DefaultQOS: OptionalLabel = Field(default="", description="QOS of jobs that ask for none")
    Priority: OptionalCount = Field(
        default=None, description="raw priority; the factor is this over the largest of all; inherited when absent"
    )
    MaxJobs: OptionalCount = Field(default=None, description="running jobs of one user")
    MaxJobsAccrue: OptionalCount = Field(
        default=None, description="pending jobs of one user that may gain age at a time"
    )
    MaxSubmitJobs: OptionalCount = Field(default=None, description="jobs of one user pending and running")


class QuotaKeys(Section):
    """Quotas in Kueue's words; each is TRES, or a table of TRES by pool or center."""

    NominalQuota: QuotaCounts = Field(default={}, description="what it may use at any time")
    BorrowingLimit: QuotaCounts = Field(
        default={}, description="how much more it may use of what others leave; no limit when absent"
    )
    LendingLimit: QuotaCounts = Field(
        default={}, description="how much of its quota others may use meanwhile; all when absent"
    )
    FairWeight: Annotated[Number, Field(le=1000)] = Field(
        default=1, description="its part of what is borrowed, against its siblings' weights"
    )
    LendUntil: OptionalWhen = Field(default=None, description="time from which it lends nothing")


class CohortEntry(QuotaKeys):
    """A group of accounts and cohorts that lend quota to each other; one without quotas need not be listed."""

    Cohort: Label = Field(description="name")
    Parent: OptionalLabel = Field(default="", description="cohort above it")


class AccountEntry(Association, QuotaKeys):
    """An account: a node of the association tree. ``root`` may be listed to set its limits."""

    Account: Label = Field(description="name")
    Parent: OptionalLabel = Field(default="", description="account above it; root when absent")
    Cohort: OptionalLabel = Field(
        default="",
        description="cohort that it borrows from and lends to; the next account above with a quota when absent",
    )
    LendingLease: OptionalSeconds = Field(
        default=None, description="time for which it lends, if none of its jobs waits; then it is asked anew"
    )
    QueueingStrategy: Annotated[str, OneOf("BestEffortFIFO", "StrictFIFO")] = Field(
        default="BestEffortFIFO", description="whether its jobs may start while an older one of it waits"
    )
    AdmissionMode: Annotated[str, OneOf("NoAdmissionFairSharing", "UsageBasedAdmissionFairSharing")] = Field(
        default="NoAdmissionFairSharing", description="whether its next job is that of the user who used least of late"
    )
    StopPolicy: Annotated[str, OneOf("None", "Hold", "HoldAndDrain")] = Field(
        default="None", description="with Hold and HoldAndDrain none of its jobs starts"
    )
    WithinClusterQueue: Annotated[str, OneOf("Never", "LowerPriority", "LowerOrNewerEqualPriority")] = Field(
        default="Never", description="which of its own jobs a job of it may stop, by priority of their QOS"
    )
    ReclaimWithinCohort: Annotated[str, OneOf("Never", "LowerPriority", "Any")] = Field(
        default="Never",
        description="which jobs of accounts that use more than their quota its jobs may stop to have its own",
    )
    BorrowWithinCohort: Annotated[str, OneOf("Never", "LowerPriority")] = Field(
        default="Never", description="which of those its jobs may stop though they borrow themselves"
    )
    MaxPriorityThreshold: OptionalCount = Field(
        default=None, description="highest priority of a job that may be stopped by BorrowWithinCohort"
    )
    Budget: TresCounts = Field(default={}, description="resource hours that it may use in a period, cpu=50000")
    BudgetPeriod: Annotated[str, OneOf("month", "quarter", "year")] = Field(
        default="month", description="period of the calendar (UTC)"
    )
    BudgetDays: OptionalCount = Field(
        default=None, ge=1, le=36600, description="length of a period in days, in place of the calendar's"
    )
    BudgetStart: OptionalWhen = Field(
        default=None, description="when a period of BudgetDays begins; the trace's origin when absent"
    )
    BudgetCarryOver: Annotated[Number, Field(le=1)] = Field(
        default=0, description="part of what is left that the next period gets"
    )
    BudgetCarryCap: TresCounts = Field(default={}, description="resource hours that are carried over at most")
    BudgetEnd: Annotated[str, OneOf("hard", "soft")] = Field(
        default="hard",
        description="hard: a job whose limit does not fit what is left waits; soft: when it is used up, no room is kept for its jobs",
    )


class UserEntry(Association):
    """A user's association with an account: a leaf of the tree."""

    User: Label = Field(description="name")
    Account: Label = Field(description="account it belongs to")
    FairWeight: Annotated[Number, Field(le=1000)] = Field(
        default=1, description="what the user may use of an account with an AdmissionMode, against others' weights"
    )


class QosEntry(GroupLimits, JobLimits, CheckpointKeys):
    """A quality of service: priority, limits and promises of a class of jobs."""

    Name: Label = Field(description="name")
    Priority: Weight = Field(default=0, description="raw priority; the factor is this over the largest of all QOS")
    Flags: Annotated[
        tuple[str, ...],
        SomeOf(
            "DenyOnLimit",
            "EnforceUsageThreshold",
            "NoDecay",
            "NoReserve",
            "OverPartQOS",
            "PartitionMaxNodes",
            "PartitionMinNodes",
            "PartitionTimeLimit",
            "Relative",
            "RequiresReservation",
            "UsageFactorSafe",
        ),
    ] = Field(default=(), description="what is special about it, in Slurm's words")
    UsageFactor: Number = Field(default=1.0, description="factor on the usage that its jobs are charged; 0 is free")
    UsageThreshold: OptionalNumber = Field(default=None, description="fair-share factor below which its jobs wait")
    LimitFactor: OptionalNumber = Field(
        default=None, description="factor on the association's TRES limits for its jobs"
    )
    MaxWait: OptionalSeconds = Field(
        default=None, description="wait bound: a job within its limits that nears it gets a reservation"
    )
    MaxWaitReserveAt: Fraction | None = Field(
        default=None, description="part of MaxWait after which the reservation is made"
    )
    Preempt: Labels = Field(default=(), description="QOS whose jobs its jobs may preempt (PreemptType qos)")
    PreemptMode: Annotated[str | None, OneOf(*PREEMPT_MODES)] = Field(
        default=None, description="what becomes of its jobs when they are preempted; OFF: they cannot be"
    )
    PreemptExemptTime: OptionalSeconds = Field(default=None, description="time after its start in which a job is safe")
    GraceTime: Seconds = Field(
        default=0, description="time for which its jobs keep their resources after they were preempted"
    )
    MaxJobsPU: OptionalCount = Field(default=None, description="running jobs of one user")
    MaxJobsPA: OptionalCount = Field(default=None, description="running jobs of one account")
    MaxJobsAccruePU: OptionalCount = Field(
        default=None, description="pending jobs of one user that may gain age at a time"
    )
    MaxJobsAccruePA: OptionalCount = Field(
        default=None, description="an account's pending jobs that may gain age at a time"
    )
    MaxSubmitJobsPU: OptionalCount = Field(default=None, description="jobs of one user pending and running")
    MaxSubmitJobsPA: OptionalCount = Field(default=None, description="jobs of one account pending and running")
    MaxTRESPU: TresCounts = Field(default={}, description="resources one user may hold")
    MaxTRESPA: TresCounts = Field(default={}, description="resources one account may hold")
    MinTRESPerJob: TresCounts = Field(default={}, description="resources one job must at least ask for")


class NodeEntry(Section):
    """Nodes of one kind: a NodeName line of slurm.conf."""

    NodeName: Label = Field(description="their names: `n[1-64]`, or that of one node")
    CPUs: Count = Field(ge=1, le=2**20, description="processors of each")
    RealMemory: OptionalCount = Field(default=None, le=2**40, description="memory of each in MiB")
    Gres: Text = Field(default="", description="GPUs of each, `gpu:NUMBER` or `gpu:TYPE:NUMBER`, separated by commas")
    Weight: Count = Field(default=1, le=UINT32, description="nodes of lower weight are used first")
    Features: Labels = Field(
        default=(), description="what `Constraint` of a rule may ask for, as it may for a type of GPU"
    )
    State: Annotated[str, OneOf("UNKNOWN", "DOWN", "DRAIN", "FAIL", "FUTURE")] = Field(
        default="UNKNOWN", description="nodes that are not UNKNOWN are not there"
    )
    Pool: OptionalLabel = Field(default="", description="pool they make up; the machine when absent")

    @cached_property
    def gpus(self) -> dict[str, int]:
        """GPUs of each node by type, "" for a type that is not named."""
        from apportion.policy.fields import parse_gres

        return parse_gres(self.Gres)


class PartitionEntry(Section):
    """A partition: a door to a pool of resources, with rules of its own."""

    PartitionName: Label = Field(description="name")
    Default: Switch = Field(default=False, description="jobs that match no partition run here (else in the first one)")
    Match: Labels = Field(
        default=(), description="partition or queue labels of the trace that mean this one; its own name when absent"
    )
    Pool: OptionalLabel = Field(default="", description="pool of resources, shared by all partitions that name it")
    TRES: TresCounts = Field(default={}, description="capacity of its pool, for example cpu=1368,mem=5T,gres/gpu=64")
    Procs: OptionalCount = Field(default=None, description="shorthand for TRES cpu")
    Nodes: OptionalCount = Field(default=None, description="shorthand for TRES node")
    PriorityTier: Count = Field(
        default=1, le=65533, description="jobs of a higher tier come first, whatever their priority"
    )
    PriorityJobFactor: Count = Field(default=1, le=65533, description="raw partition factor of the job priority")
    MaxTime: OptionalSeconds = Field(default=None, description="longest time limit")
    DefaultTime: DefaultSeconds = Field(
        default=None, description="time limit of jobs that ask for none; MaxTime when absent"
    )
    MinNodes: OptionalCount = Field(default=None, description="fewest nodes of a job")
    MaxNodes: OptionalCount = Field(default=None, description="most nodes of a job")
    QOS: OptionalLabel = Field(default="", description="partition QOS: its limits apply to all jobs here")
    TRESBillingWeights: TresWeights = Field(default={}, description="billing weights here; the policy's when absent")
    OverSubscribe: Annotated[str | None, OneOf("NO", "EXCLUSIVE")] = Field(
        default=None, description="EXCLUSIVE: its jobs get whole nodes (only with `SelectType`)"
    )
    State: Annotated[str, OneOf("UP", "DOWN", "DRAIN", "INACTIVE")] = Field(
        default="UP", description="UP, DOWN (jobs wait and none starts), DRAIN or INACTIVE (jobs are refused)"
    )

    PreemptMode: Annotated[str | None, OneOf(*PREEMPT_MODES)] = Field(
        default=None, description="what becomes of its jobs when they are preempted (PreemptType partition_prio)"
    )
    GraceTime: Seconds = Field(
        default=0,
        description="time for which its jobs keep their resources after they were preempted (PreemptType partition_prio)",
    )

    @property
    def capacity(self) -> dict[str, int]:
        """TRES with the shorthands Procs and Nodes folded in; {} when no capacity is stated."""
        counts = dict(self.TRES)
        if self.Procs is not None:
            counts["cpu"] = self.Procs
        if self.Nodes is not None:
            counts["node"] = self.Nodes
        return dict(sorted(counts.items()))

    @property
    def pool(self) -> str:
        """Name of its pool: Pool, else its own name where it states a capacity, else "" (the whole machine)."""
        return self.Pool or (self.PartitionName if self.capacity else "")

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the trace that mean this partition."""
        return self.Match or (self.PartitionName,)


class ReservationEntry(Section):
    """An advance reservation or a maintenance window: capacity taken out for a time."""

    ReservationName: Label = Field(description="name")
    StartTime: When = Field(
        description="ISO date (UTC unless it says otherwise), or now+D-HH:MM:SS from the trace's origin"
    )
    EndTime: OptionalWhen = Field(default=None, description="as StartTime; give this or Duration")
    Duration: OptionalSeconds = Field(default=None, description="give this or EndTime")
    TRES: TresCounts = Field(default={}, description="resources reserved; all of them when absent")
    CoreCnt: OptionalCount = Field(default=None, description="shorthand for TRES cpu")
    NodeCnt: OptionalCount = Field(default=None, description="shorthand for TRES node")
    PartitionName: OptionalLabel = Field(
        default="", description="partition whose resources are reserved; the first pool when absent"
    )
    Users: Labels = Field(default=(), description="users who may run in it")
    Accounts: Labels = Field(default=(), description="accounts that may run in it")
    Flags: Annotated[tuple[str, ...], SomeOf("MAINT", "IGNORE_JOBS", "DAILY", "WEEKLY")] = Field(
        default=(),
        description="MAINT (nothing runs), DAILY or WEEKLY (repeated); IGNORE_JOBS is heeded already: "
        "reservations stand before the first job runs",
    )

    @property
    def capacity(self) -> dict[str, int]:
        """TRES with the shorthands CoreCnt and NodeCnt folded in; {} means everything."""
        counts = dict(self.TRES)
        if self.CoreCnt is not None:
            counts["cpu"] = self.CoreCnt
        if self.NodeCnt is not None:
            counts["node"] = self.NodeCnt
        return dict(sorted(counts.items()))

    @property
    def duration(self) -> int:
        """Seconds it lasts."""
        if self.Duration is not None:
            return self.Duration
        return self.EndTime.seconds - self.StartTime.seconds if self.EndTime else 0


class AssignMatch(Section):
    """Which jobs of a trace a rule is for; all that is given must hold."""

    Queue: Labels = Field(default=(), description="queues of the trace")
    Partition: Labels = Field(default=(), description="partitions of the trace")
    User: Labels = Field(default=(), description="users")
    Account: Labels = Field(default=(), description="accounts")
    Group: Labels = Field(default=(), description="groups")
    ProcsMin: OptionalCount = Field(default=None, description="fewest processors")
    ProcsMax: OptionalCount = Field(default=None, description="most processors")
    LimitMin: OptionalSeconds = Field(default=None, description="shortest time limit")
    LimitMax: OptionalSeconds = Field(default=None, description="longest time limit")


class AssignTarget(Section):
    """What a rule sets."""

    QOS: OptionalLabel = Field(default="", description="QOS to give")
    Partition: OptionalLabel = Field(default="", description="partition to send to")
    Account: OptionalLabel = Field(default="", description="account to charge")
    Nice: NiceValue = Field(default=None, description="taken off the priority; negative for what goes first")
    Constraint: OptionalLabel = Field(
        default="", description="feature or type of GPU that its nodes must have (only with `SelectType`)"
    )


class AssignRule(Section):
    """A rule that gives jobs of a trace a QOS, a partition or an account."""

    Match: AssignMatch = Field(default=AssignMatch(), description="which jobs; all when absent")
    Set: AssignTarget = Field(description="what they get")
