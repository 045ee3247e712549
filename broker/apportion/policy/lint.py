"""Questions worth asking of a policy that loads: what it sets without effect, and what will not do what it seems to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apportion.policy.fields import write_seconds
from apportion.policy.sections import ENGINE_KEYS, GroupLimits, JobLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apportion.policy.model import Policy
    from apportion.policy.sections import Association, QosEntry

WEIGHTS = ("Age", "Assoc", "Fairshare", "JobSize", "Partition", "QOS")
_NO_LIMIT = "give a time, or leave it out where there is no limit"
RESOLUTION = 1000  # Slurm's manual: below it a factor's differences are lost when the priority is made a whole number


class Finding(NamedTuple):
    """One question: the key it is about, what is doubtful, and what to do."""

    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem} ({self.remedy})"


def lint(policy: Policy, longest_limit_s: int | None = None) -> list[Finding]:
    """Look a policy over.

    Parameters
    ----------
    policy : Policy
        What to look at.
    longest_limit_s : int, optional
        Longest time limit of the jobs it is meant for, seconds; by default the longest that its partitions and QOS
        allow.

    Returns
    -------
    list of Finding
        Empty when there is nothing to ask.
    """
    return [
        *_backfill(policy, longest_limit_s),
        *_weights(policy),
        *_fairshare(policy),
        *_limits(policy),
        *_quotas(policy),
        *_names(policy),
    ]


def _backfill(policy: Policy, longest_limit_s: int | None) -> Iterator[Finding]:
    options = policy.SchedulerParameters
    if policy.Backfill != "slurm":
        given = sorted(key for key in options.model_fields_set if key.startswith("bf_"))
        if given and options != type(options)():
            yield Finding(
                "SchedulerParameters",
                f"{given[0]} has no effect with Backfill {policy.Backfill}",
                'set Backfill = "slurm"',
            )
        return
    limits = [entry.MaxTime for entry in policy.partitions] + [entry.MaxWall for entry in policy.qos]
    longest = (
        max([limit for limit in limits if limit is not None], default=None)
        if longest_limit_s is None
        else longest_limit_s
    )
    if longest is not None and options.bf_window * 60 < longest:
        yield Finding(
            "SchedulerParameters",
            f"bf_window of {options.bf_window} minutes is shorter than the longest time limit, "
            f"{write_seconds(longest)}; "
            "such jobs never get a reservation",
            f"set bf_window={-(-longest // 60)} or more",
        )
    if options.bf_resolution > options.bf_window * 60:
        yield Finding("SchedulerParameters", "bf_resolution is longer than bf_window", "lower bf_resolution")


def _weights(policy: Policy) -> Iterator[Finding]:
    if "CALCULATE_RUNNING" in policy.PriorityFlags:
        yield Finding(
            "PriorityFlags", "CALCULATE_RUNNING has no effect: the priority of a running job decides nothing", "drop it"
        )
    weights = {f"PriorityWeight{name}": getattr(policy, f"PriorityWeight{name}") for name in WEIGHTS}
    given = [key for key, weight in weights.items() if weight]
    if policy.Order != "multifactor":
        if given or policy.PriorityWeightTRES:
            key = given[0] if given else "PriorityWeightTRES"
            yield Finding(key, f"no effect with Order {policy.Order}", 'set Order = "multifactor", or drop it')
        return
    if not given and not policy.PriorityWeightTRES:
        yield Finding(
            "Order", "multifactor without any weight: all jobs have the same priority", "set PriorityWeight keys"
        )
    for key in given:
        if weights[key] < RESOLUTION:
            yield Finding(
                key, f"a weight of {weights[key]} loses the factor's fine differences", f"use {RESOLUTION} or more"
            )
    for name, weight in policy.PriorityWeightTRES.items():
        if 0 < weight < RESOLUTION:
            yield Finding(
                "PriorityWeightTRES",
                f"a weight of {weight} for {name} loses fine differences",
                f"use {RESOLUTION} or more",
            )
    if not policy.PriorityWeightAssoc and any(entry.Priority for entry in (*policy.accounts, *policy.users)):
        yield Finding("PriorityWeightAssoc", "associations have priorities, but their weight is 0", "give a weight")
    if not policy.PriorityWeightQOS and len({entry.Priority for entry in policy.qos}) > 1:
        yield Finding("PriorityWeightQOS", "QOS have priorities, but their weight is 0", "give a weight")
    if not policy.PriorityWeightPartition and len({entry.PriorityJobFactor for entry in policy.partitions}) > 1:
        yield Finding("PriorityWeightPartition", "partitions have factors, but their weight is 0", "give a weight")


def _uses_fairshare(policy: Policy) -> bool:
    if policy.Order == "multifactor":
        return policy.PriorityWeightFairshare > 0
    if policy.Order == "expression":
        from apportion.policy.expression import parse

        return "fairshare" in parse(policy.OrderExpression).columns
    return policy.Order == "plugin"


def _fairshare(policy: Policy) -> Iterator[Finding]:
    entries = (*policy.accounts, *policy.users)
    if not _uses_fairshare(policy) and any(entry.Fairshare != 1 for entry in entries):
        remedy = (
            "give PriorityWeightFairshare a weight" if policy.Order == "multifactor" else 'set Order = "multifactor"'
        )
        yield Finding("Fairshare", "shares are given, but nothing weighs them", remedy)
    if policy.share_engine != "classic" and policy.FairShareDampeningFactor != 1:
        name = "Fair Tree" if policy.share_engine == "fair_tree" else policy.share_engine
        yield Finding("FairShareDampeningFactor", f"no effect with {name}", 'set ShareEngine = "classic", or drop it')
    read = ENGINE_KEYS[policy.share_engine]
    for key in sorted(policy.ShareParameters.model_fields_set - set(read)):
        engine = next(name for name, keys in ENGINE_KEYS.items() if key in keys)
        yield Finding(
            "ShareParameters",
            f"{key} has no effect with ShareEngine {policy.share_engine}",
            f'set ShareEngine = "{engine}", or drop it',
        )
    half_life = policy.PriorityDecayHalfLife
    if 0 < half_life < 10 * policy.PriorityCalcPeriod:
        yield Finding(
            "PriorityDecayHalfLife",
            f"{write_seconds(half_life)} is less than ten periods of PriorityCalcPeriod; usage decays in coarse steps",
            "shorten PriorityCalcPeriod",
        )


def _limited(entry: Association | QosEntry) -> bool:
    fields = {*GroupLimits.model_fields, *JobLimits.model_fields}
    fields |= {
        name for name in type(entry).model_fields if name.startswith(("MaxJobs", "MaxSubmit", "MaxTRES", "MinTRES"))
    }
    return any(getattr(entry, name) not in (None, {}) for name in fields)


def _limits(policy: Policy) -> Iterator[Finding]:
    limited = any(_limited(entry) for entry in (*policy.accounts, *policy.users)) or any(
        _limited(entry) for entry in policy.qos
    )
    if limited and "limits" not in policy.enforce:
        yield Finding("AccountingStorageEnforce", "there are limits that are not enforced", 'add "limits"')
    for partition in policy.partitions:
        if partition.MaxTime == 0:
            yield Finding("MaxTime", f"0 holds every job of partition {partition.PartitionName}", _NO_LIMIT)
    if "limits" in policy.enforce:
        owners: list[tuple[str, JobLimits]] = [(f"account {entry.Account}", entry) for entry in policy.accounts]
        owners += [(f"user {entry.User}", entry) for entry in policy.users]
        owners += [(f"QOS {entry.Name}", entry) for entry in policy.qos]
        for whose, limits in owners:
            if limits.MaxWall == 0:
                yield Finding("MaxWall", f"0 holds every job of {whose}", _NO_LIMIT)
    if policy.Licenses and any(name.startswith("license/") for entry in policy.partitions for name in entry.TRES):
        yield Finding("Licenses", "licences are stated for the machine and for a partition", "keep one")


def _quotas(policy: Policy) -> Iterator[Finding]:
    from apportion.policy.quotas import has_quota, lonely_cohorts, promised

    for pool, name, quota, capacity in promised(policy):
        yield Finding("NominalQuota", f"{quota} {name} are promised, {capacity} there are{pool}", "lower the quotas")
    with_quota = {entry.Account for entry in policy.accounts if has_quota(entry)}
    above = {entry.Account: entry.Parent for entry in policy.accounts}
    for entry in policy.accounts:
        outer = entry.Parent
        while outer and outer not in with_quota:
            outer = above.get(outer, "")
        if not entry.Cohort and not outer and (entry.BorrowingLimit or entry.LendingLimit):
            key = "BorrowingLimit" if entry.BorrowingLimit else "LendingLimit"
            whom = "borrow from" if entry.BorrowingLimit else "lend to"
            yield Finding(key, f"{entry.Account} has nobody to {whom}", "give it a Cohort")
        if (
            not entry.Cohort
            and not outer
            and entry.ReclaimWithinCohort != "Never"
            and entry.Account not in above.values()
        ):
            yield Finding("ReclaimWithinCohort", f"{entry.Account} lends to nobody", "give it a Cohort")
    for name, account in lonely_cohorts(policy):
        yield Finding("Cohort", f"nothing but {account} is in {name}", "correct the name, or list it under cohorts")


def _names(policy: Policy) -> Iterator[Finding]:
    given = [policy.DefaultQOS, *(rule.Set.QOS for rule in policy.assign)]
    given += [entry.DefaultQOS for entry in policy.accounts] + [entry.DefaultQOS for entry in policy.users]
    if policy.qos and "qos" in policy.enforce and not any(given):
        yield Finding(
            "DefaultQOS",
            "not set, so jobs whose trace names no QOS are rejected (InvalidQOS)",
            f'set DefaultQOS = "{policy.qos[0].Name}"',
        )
    accounts = {entry.Account for entry in policy.accounts} | {"root"}
    strangers = list(dict.fromkeys(entry.Account for entry in policy.users if entry.Account not in accounts))
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        yield Finding(
            "users",
            f"the account {strangers[0]}{more} is not listed; it gets DefaultFairshare",
            "list it under accounts",
        )
    if policy.assign:
        for i, rule in enumerate(policy.assign[:-1], start=1):
            if rule.Match == type(rule.Match)():
                yield Finding(
                    "assign", f"rule {i} matches every job, so those after it never apply", "move it to the end"
                )
                break
    for entry in policy.reservations:
        if "IGNORE_JOBS" in entry.Flags:
            yield Finding(
                "reservations",
                f"IGNORE_JOBS of {entry.ReservationName} has no effect: no job runs before it is known",
                "drop it",
            )
        if entry.Users or entry.Accounts:
            continue
        if "MAINT" not in entry.Flags:
            yield Finding(
                "reservations",
                f"nobody may run in {entry.ReservationName}",
                'give Users or Accounts, or Flags = "MAINT"',
            )
