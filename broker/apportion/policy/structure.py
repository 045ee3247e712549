"""Checks of a policy as a whole: names that must be known, trees that must be trees, flags that must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pydantic_core import PydanticCustomError

from apportion.policy.fields import nearest, write_seconds
from apportion.policy.hostlist import expand
from apportion.policy.model import MEMORY_COUNTS, NO_MEMORY, PLACEMENTS
from apportion.policy.quotas import has_quotas, quotas_mention
from apportion.policy.reclaim import has_reclaim
from apportion.policy.turns import BY_USAGE, goes_by_usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apportion.policy.model import Policy

SLURM_ENGINES = ("fair_tree", "classic")
KAI_WINDOWS = 7  # of which the window of KAI is made: it moves by a seventh at a time
Place = tuple[str | int, ...]

# Limits that the QOS flag Relative makes percentages: those of TRES, not of TRES-minutes.
RELATIVE = ("GrpTRES", "MaxTRESPA", "MaxTRESPU", "MaxTRESPerJob", "MaxTRESPerNode", "MinTRESPerJob")


def _fail(problem: str, remedy: str, *at: str | int) -> NoReturn:
    raise PydanticCustomError("policy", "{problem} ({remedy})", {"problem": problem, "remedy": remedy, "at": at})


def check_structure(policy: Policy) -> None:
    """Raise a pydantic error, the place of the fault in its context, if parts of a policy contradict each other."""
    _check_order(policy)
    _check_predictor(policy)
    _check_priority(policy)
    _check_shares(policy)
    _check_engine(policy)
    _check_tree(policy)
    _check_cohorts(policy)
    _check_references(policy)
    _check_relative(policy)
    _check_preemption(policy)
    _check_reclaim(policy)
    _check_turns(policy)
    _check_pools(policy)
    _check_nodes(policy)
    _check_reservations(policy)


def _check_order(policy: Policy) -> None:
    for key, order in (("OrderExpression", "expression"), ("OrderPlugin", "plugin")):
        given = bool(getattr(policy, key))
        if given and policy.Order != order:
            _fail(f'{key} is given, but Order is "{policy.Order}"', f'set Order = "{order}", or drop {key}', key)
        if not given and policy.Order == order:
            _fail(f'Order is "{order}", but there is no {key}', f"add {key}", "Order")
    if policy.OrderExpression:
        from apportion.policy.expression import ExpressionError, parse

        try:
            parse(policy.OrderExpression)
        except ExpressionError as error:
            _fail(error.problem, error.remedy, "OrderExpression")
    if policy.OrderPluginSha256 and not policy.OrderPlugin:
        _fail("OrderPluginSha256 is given, but there is no OrderPlugin", "drop it", "OrderPluginSha256")


def _check_predictor(policy: Policy) -> None:
    """A prediction may prove wrong, so nothing that is promised can rest on it."""
    if policy.Predictor == "limit":
        return
    if policy.Backfill not in ("easy", "easy-sjbf", "slurm"):
        _fail(
            f'Predictor is "{policy.Predictor}", but Backfill is "{policy.Backfill}"',
            "set Backfill to easy, easy-sjbf or slurm, or drop Predictor",
            "Predictor",
        )
    promised = {"reservations": bool(policy.reservations), "MaxWait": policy.MaxWait is not None}
    promised["a QOS with MaxWait"] = any(entry.MaxWait is not None for entry in policy.qos)
    for name, given in promised.items():
        if given:
            _fail(
                f"{name} cannot be kept by predicted run times, which may be too short",
                'drop it, or set Predictor = "limit"',
                "Predictor",
            )


def _check_preemption(policy: Policy) -> None:
    """Nobody may preempt, over however many others, whoever may preempt them."""
    by_name = {entry.Name: entry for entry in policy.qos}
    for i, entry in enumerate(policy.qos):
        for name in entry.Preempt:
            if name not in by_name:
                near = nearest(name, tuple(by_name))
                hint = f"did you mean '{near}'?" if near else "add it, or take it off the list"
                _fail(f"QOS {entry.Name} may preempt QOS {name}, which is not there", hint, "qos", i, "Preempt")
    left = {name: set(entry.Preempt) for name, entry in by_name.items()}
    while ends := [name for name, below in left.items() if not below & set(left)]:
        for name in ends:
            del left[name]
    if left:
        _fail(f"QOS {', '.join(sorted(left))} may preempt each other in a circle", "let one of them not", "qos")
    if policy.PreemptParameters.refund > 0 and policy.share_engine not in SLURM_ENGINES:
        _fail(
            f"ShareEngine {policy.share_engine} keeps no usage that could be given back",
            "drop refund, or use one of Slurm's",
            "PreemptParameters",
        )
    for kind in ("MTBF", "CheckpointWriteTime", "RestartTime"):
        for keys in (policy, *policy.qos):
            if getattr(keys, kind) is not None and not _has_checkpoints(policy):
                _fail(f"{kind} is given, but no job writes checkpoints", "give CheckpointInterval, or an MTBF", kind)
    if policy.Predictor != "limit" and _has_checkpoints(policy):
        _fail(
            "checkpoints lengthen jobs, which predicted run times know nothing of", "drop one of the two", "Predictor"
        )


def keeps_work(policy: Policy) -> bool:
    """Whether any job that is preempted goes on from where it was."""
    entries = policy.partitions if policy.PreemptType == "partition_prio" else policy.qos
    return (policy.PreemptType != "none" or has_reclaim(policy)) and any(
        mode in ("CHECKPOINT", "SUSPEND") for mode in (policy.PreemptMode, *(entry.PreemptMode for entry in entries))
    )


def _check_reclaim(policy: Policy) -> None:
    """Who may borrow by preemption may take back, too; and something must become of those who are stopped."""
    takes = [i for i, e in enumerate(policy.accounts) if e.ReclaimWithinCohort != "Never"]
    for i, entry in enumerate(policy.accounts):
        at = ("accounts", i)
        if policy.PreemptionStrategies and entry.WithinClusterQueue != "Never":
            _fail(
                "with WithinClusterQueue and PreemptionStrategies jobs may stop each other for ever",
                "keep one of the two",
                *at,
                "WithinClusterQueue",
            )
        if entry.BorrowWithinCohort != "Never":
            if i not in takes:
                _fail(
                    f"{entry.Account} may stop jobs to borrow, but not to have its own quota back",
                    "give ReclaimWithinCohort, or drop BorrowWithinCohort",
                    *at,
                    "BorrowWithinCohort",
                )
            if policy.PreemptionStrategies:
                _fail(
                    "BorrowWithinCohort goes by priority, PreemptionStrategies by shares",
                    "keep one of the two",
                    *at,
                    "BorrowWithinCohort",
                )
        elif entry.MaxPriorityThreshold is not None:
            _fail(
                "MaxPriorityThreshold is given, but no BorrowWithinCohort",
                'set BorrowWithinCohort = "LowerPriority", or drop it',
                *at,
                "MaxPriorityThreshold",
            )
    if policy.PreemptionStrategies and not takes:
        _fail(
            "PreemptionStrategies are given, but no account may take anything from another",
            "give accounts ReclaimWithinCohort",
            "PreemptionStrategies",
        )
    within = [i for i, e in enumerate(policy.accounts) if e.WithinClusterQueue != "Never"]
    classes = policy.partitions if policy.PreemptType == "partition_prio" else policy.qos
    if (takes or within) and policy.PreemptMode == "OFF" and all(e.PreemptMode in (None, "OFF") for e in classes):
        key = "ReclaimWithinCohort" if takes else "WithinClusterQueue"
        _fail(
            f"{key} is given, but PreemptMode is OFF: no job can be stopped",
            "set PreemptMode to REQUEUE or CANCEL",
            "accounts",
            (takes or within)[0],
            key,
        )


def _check_turns(policy: Policy) -> None:
    """Who is admitted first: fair sharing needs quotas, and what goes by usage a half-life and no other line."""
    if policy.FairSharing and not has_quotas(policy):
        _fail("FairSharing is on, but no account has a quota", "give accounts NominalQuota, or drop it", "FairSharing")
    for i, entry in enumerate(policy.accounts):
        if entry.AdmissionMode != "NoAdmissionFairSharing" and entry.QueueingStrategy == "StrictFIFO":
            _fail(
                f"jobs of {entry.Account} go by submission (StrictFIFO) and by what users used (AdmissionMode)",
                "keep one of the two",
                "accounts",
                i,
                "AdmissionMode",
            )
    if goes_by_usage(policy):
        if policy.UsageHalfLifeTime is None:
            _fail("AdmissionMode needs a half-life of what was used", "give UsageHalfLifeTime", "accounts")
        known = {"cpu"} | quotas_mention(policy)
        for name in policy.ResourceWeights:
            if name not in known:
                _fail(
                    f"{name} has a weight, but no quota is of it",
                    f"choose from {', '.join(sorted(known))}",
                    "ResourceWeights",
                )
        return
    for key in ("UsageHalfLifeTime", "UsageSamplingInterval", "ResourceWeights"):
        if key in policy.model_fields_set:
            _fail(
                f"{key} is given, but no account goes by what users used",
                f'set AdmissionMode = "{BY_USAGE}", or drop it',
                key,
            )
    for i, user in enumerate(policy.users):
        if user.FairWeight != 1:
            _fail(
                f"FairWeight of {user.User} is given, but no account goes by what users used",
                f'set AdmissionMode = "{BY_USAGE}", or drop it',
                "users",
                i,
                "FairWeight",
            )


def _has_checkpoints(policy: Policy) -> bool:
    return keeps_work(policy) or any(entry.CheckpointInterval or entry.MTBF for entry in (policy, *policy.qos))


def _check_priority(policy: Policy) -> None:
    if policy.PriorityDecayHalfLife == 0 and "PriorityUsageResetPeriod" not in policy.model_fields_set:
        _fail(
            "PriorityDecayHalfLife is 0, so usage would never be forgotten",
            "give a half-life such as 7-0, or say when usage is reset: PriorityUsageResetPeriod",
            "PriorityDecayHalfLife",
        )
    flags = set(policy.PriorityFlags)
    contradictions = [
        ({"MAX_TRES", "MAX_TRES_GRES"}, "bill in two ways"),
        ({"FAIR_TREE", "NO_FAIR_TREE"}, "contradict each other"),
        ({"FAIR_TREE", "DEPTH_OBLIVIOUS"}, "name two share engines"),
    ]
    for pair, what in contradictions:
        if pair <= flags:
            _fail(f"the flags {' and '.join(sorted(pair))} {what}", "keep one", "PriorityFlags")
    classic = flags & {"NO_FAIR_TREE", "DEPTH_OBLIVIOUS"}
    if policy.ShareEngine == "fair_tree" and classic:
        _fail(f"ShareEngine is fair_tree, but PriorityFlags hold {min(classic)}", "keep one of the two", "ShareEngine")
    if policy.ShareEngine == "classic" and "FAIR_TREE" in flags:
        _fail("ShareEngine is classic, but PriorityFlags hold FAIR_TREE", "keep one of the two", "ShareEngine")
    about = flags & {"FAIR_TREE", "NO_FAIR_TREE", "DEPTH_OBLIVIOUS"}
    if policy.share_engine not in SLURM_ENGINES and about:
        _fail(
            f"ShareEngine is {policy.ShareEngine}, but PriorityFlags hold {min(about)}",
            "keep one of the two",
            "ShareEngine",
        )
    enforce = set(policy.AccountingStorageEnforce)
    if "none" in enforce and len(enforce) > 1:
        _fail("AccountingStorageEnforce names none and others", "keep one", "AccountingStorageEnforce")


def _check_shares(policy: Policy) -> None:
    places: list[tuple[int | str, Place]] = [(policy.DefaultFairshare, ("DefaultFairshare",))]
    places += [(entry.Fairshare, ("accounts", i, "Fairshare")) for i, entry in enumerate(policy.accounts)]
    places += [(entry.Fairshare, ("users", i, "Fairshare")) for i, entry in enumerate(policy.users)]
    for shares, at in places:
        if shares == 0 and not policy.AllowZeroShares:
            _fail(
                "shares of 0 put all jobs behind everyone else's", "give at least 1, or set AllowZeroShares = true", *at
            )


def _check_engine(policy: Policy) -> None:
    """What the share engines that are not Slurm's need."""
    engine, given = policy.share_engine, policy.ShareParameters
    if engine in SLURM_ENGINES:
        return
    for section, entries in (("accounts", policy.accounts), ("users", policy.users)):
        for i, entry in enumerate(entries):
            if entry.Fairshare == "parent":
                _fail(
                    f'Fairshare is "parent", which ShareEngine {engine} does not know',
                    "give a number",
                    section,
                    i,
                    "Fairshare",
                )
    if policy.DefaultFairshare == "parent":
        _fail(
            f'DefaultFairshare is "parent", which ShareEngine {engine} does not know',
            "give a number",
            "DefaultFairshare",
        )
    windows = {
        "flux": ("PriorityDecayHalfLife", policy.PriorityDecayHalfLife),
        "kai": ("WindowSize", given.WindowSize // KAI_WINDOWS),
        "karma": ("Quantum", given.Quantum),
        "moab": ("FSINTERVAL", given.FSINTERVAL),
        "oar": ("SCHEDULER_FAIRSHARING_WINDOW_SIZE", 86_400),
    }
    key, seconds = windows.get(engine, ("", 0))
    if key and seconds < policy.PriorityCalcPeriod:
        at = (key,) if key == "PriorityDecayHalfLife" else ("ShareParameters", key)
        _fail(
            f"usage is counted in windows of {write_seconds(seconds)}, but only every {write_seconds(policy.PriorityCalcPeriod)}",
            f"lengthen {key} or shorten PriorityCalcPeriod",
            *at,
        )
    weights = {
        "moab": ("FSUSERWEIGHT", given.FSUSERWEIGHT + given.FSACCOUNTWEIGHT),
        "oar": (
            "SCHEDULER_FAIRSHARING_COEF_USER",
            given.SCHEDULER_FAIRSHARING_COEF_PROJECT
            + given.SCHEDULER_FAIRSHARING_COEF_USER
            + given.SCHEDULER_FAIRSHARING_COEF_USER_ASK,
        ),
    }
    key, weight = weights.get(engine, ("", 1.0))
    if weight == 0:
        _fail(f"all weights of ShareEngine {engine} are 0", f"give {key} a weight", "ShareParameters", key)


def _check_tree(policy: Policy) -> None:
    _unique("account", (entry.Account for entry in policy.accounts), "accounts", "Account")
    _unique("user", (f"{entry.User} of {entry.Account}" for entry in policy.users), "users", "User")
    index = {entry.Account: i for i, entry in enumerate(policy.accounts)}
    for i, entry in enumerate(policy.accounts):
        if entry.Account == "root":
            if entry.Parent:
                _fail("root has a parent", "drop Parent", "accounts", i, "Parent")
            if entry.Fairshare != 1:
                _fail("root has shares", "drop Fairshare: root has no siblings", "accounts", i, "Fairshare")
        elif entry.Parent and entry.Parent != "root" and entry.Parent not in index:
            _unknown("account", entry.Parent, tuple(index), "accounts", i, "Parent")
    settled: set[str] = {"root", ""}
    for i, entry in enumerate(policy.accounts):
        path: list[str] = []
        on_path: set[str] = set()
        name = entry.Account
        while name not in settled:
            if name in on_path:
                loop = path[path.index(name) :]
                shown = " > ".join([*loop[:6], *(["..."] if len(loop) > 6 else []), name])
                _fail(
                    f"the account tree has a cycle: {shown}", "give one of them another Parent", "accounts", i, "Parent"
                )
            path.append(name)
            on_path.add(name)
            name = policy.accounts[index[name]].Parent
        settled |= on_path


def _check_cohorts(policy: Policy) -> None:
    _unique("cohort", (entry.Cohort for entry in policy.cohorts), "cohorts", "Cohort")
    above = {entry.Cohort: entry.Parent for entry in policy.cohorts}
    for i, entry in enumerate(policy.cohorts):
        path = [entry.Cohort]
        while above.get(path[-1]):
            path.append(above[path[-1]])
            if path[-1] == entry.Cohort:
                _fail(
                    f"the cohorts {' -> '.join(path)} borrow in a circle",
                    "give one of them another Parent",
                    "cohorts",
                    i,
                    "Parent",
                )
            if path[-1] in path[:-1]:
                break  # a circle that this one only leads to


def _check_references(policy: Policy) -> None:
    _unique("QOS", (entry.Name for entry in policy.qos), "qos", "Name")
    _unique("partition", (entry.PartitionName for entry in policy.partitions), "partitions", "PartitionName")
    _unique("reservation", (entry.ReservationName for entry in policy.reservations), "reservations", "ReservationName")
    qos = tuple(entry.Name for entry in policy.qos)
    partitions = tuple(entry.PartitionName for entry in policy.partitions)
    wanted: list[tuple[str, Place]] = [(policy.DefaultQOS, ("DefaultQOS",))]
    wanted += [(entry.DefaultQOS, ("accounts", i, "DefaultQOS")) for i, entry in enumerate(policy.accounts)]
    wanted += [(entry.DefaultQOS, ("users", i, "DefaultQOS")) for i, entry in enumerate(policy.users)]
    wanted += [(entry.QOS, ("partitions", i, "QOS")) for i, entry in enumerate(policy.partitions)]
    wanted += [(rule.Set.QOS, ("assign", i, "Set", "QOS")) for i, rule in enumerate(policy.assign)]
    for name, at in wanted:
        if name and name not in qos:
            _unknown("QOS", name, qos, *at)
    wanted = [(rule.Set.Partition, ("assign", i, "Set", "Partition")) for i, rule in enumerate(policy.assign)]
    wanted += [
        (entry.PartitionName, ("reservations", i, "PartitionName")) for i, entry in enumerate(policy.reservations)
    ]
    for name, at in wanted:
        if name and name not in partitions:
            _unknown("partition", name, partitions, *at)
    for i, rule in enumerate(policy.assign):
        target = rule.Set
        if not (target.QOS or target.Partition or target.Account or target.Constraint or target.Nice is not None):
            _fail(
                "the rule sets nothing",
                "give Set a QOS, a Partition, an Account, a Nice or a Constraint",
                "assign",
                i,
                "Set",
            )


def _check_relative(policy: Policy) -> None:
    """Check QOS whose limits are percentages, by the rules of sacctmgr(1)."""
    for i, entry in enumerate(policy.qos):
        if "Relative" not in entry.Flags:
            continue
        for name in RELATIVE:
            for tres, percent in getattr(entry, name).items():
                if tres == "billing":
                    _fail(f"{name} gives a percentage of billing", "limit a resource", "qos", i, name)
                if percent > 100:
                    _fail(f"{name} is {percent} % of {tres}", "give at most 100, or drop Relative", "qos", i, name)
        doors = [k for k, partition in enumerate(policy.partitions) if entry.Name == partition.QOS]
        if len(doors) > 1:
            _fail(
                f"the QOS {entry.Name} is Relative, and that of two partitions",
                "give one of them another QOS",
                "partitions",
                doors[1],
                "QOS",
            )
        if doors and entry.Name in [policy.DefaultQOS, *(rule.Set.QOS for rule in policy.assign)]:
            _fail(
                f"the QOS {entry.Name} is Relative and that of a partition, so no job may ask for it",
                "give jobs another QOS",
                "qos",
                i,
                "Flags",
            )


def _check_pools(policy: Policy) -> None:
    labels: dict[str, str] = {}
    for i, entry in enumerate(policy.partitions):
        for label in entry.labels:
            if label in labels:
                _fail(
                    f"the label {label} means both {labels[label]} and {entry.PartitionName}",
                    "keep it in one Match",
                    "partitions",
                    i,
                    "Match",
                )
            labels[label] = entry.PartitionName
        for shorthand, name in (("Procs", "cpu"), ("Nodes", "node")):
            amount = getattr(entry, shorthand)
            if amount is not None and entry.TRES.get(name, amount) != amount:
                _fail(f"{shorthand} and TRES {name} differ", "keep one", "partitions", i, shorthand)
        if entry.TRES and "cpu" not in entry.capacity:
            _fail(
                f"the capacity of {entry.PartitionName} names no processors",
                "add cpu=NUMBER to TRES",
                "partitions",
                i,
                "TRES",
            )
        if entry.capacity.get("cpu") == 0:
            _fail(
                f"{entry.PartitionName} has 0 processors",
                'give at least 1, or say State = "DOWN"',
                "partitions",
                i,
                "TRES",
            )
        if entry.MinNodes is not None and entry.MaxNodes is not None and entry.MinNodes > entry.MaxNodes:
            _fail("MinNodes is above MaxNodes", "swap them", "partitions", i, "MinNodes")
        if entry.MaxTime is not None and entry.DefaultTime is not None and entry.DefaultTime > entry.MaxTime:
            _fail("DefaultTime is above MaxTime", "lower DefaultTime", "partitions", i, "DefaultTime")
    if sum(entry.Default for entry in policy.partitions) > 1:
        last = max(i for i, entry in enumerate(policy.partitions) if entry.Default)
        _fail("two partitions are Default", "keep one", "partitions", last, "Default")
    capacity: dict[str, dict[str, int]] = {}
    for i, entry in enumerate(policy.partitions):
        if entry.capacity and capacity.setdefault(entry.pool, entry.capacity) != entry.capacity:
            _fail(
                f"the pool {entry.pool} has two capacities",
                "state it once, or the same each time",
                "partitions",
                i,
                "TRES",
            )
    made_of_nodes = {entry.Pool for entry in policy.nodes}
    for i, entry in enumerate(policy.partitions):
        if entry.Pool and entry.Pool not in capacity and entry.Pool not in made_of_nodes:
            _fail(
                f"the pool {entry.Pool} has no capacity",
                'give one of its partitions TRES = "cpu=NUMBER"',
                "partitions",
                i,
                "Pool",
            )


def _check_nodes(policy: Policy) -> None:
    """What nodes need, and what cannot be planned with them."""
    if policy.SelectType is None:
        _check_no_nodes(policy)
        return
    if not policy.nodes:
        _fail("SelectType is given, but there are no nodes", "list them under nodes", "SelectType")
    words = set(policy.SelectTypeParameters)
    memory = words & {*MEMORY_COUNTS, *NO_MEMORY}
    for pair in (memory, words & set(PLACEMENTS)):
        if len(pair) > 1:
            _fail(f"{' and '.join(sorted(pair))} contradict each other", "keep one", "SelectTypeParameters")
    linear = policy.SelectType == "select/linear"
    if memory and (memory == {"CR_Memory"}) != linear:
        remedy = "drop it, or write CR_Memory" if linear else "write CR_Core_Memory"
        _fail(f"{min(memory)} is not for {policy.SelectType}", remedy, "SelectTypeParameters")
    bounds = [policy.MaxWait is not None, *(entry.MaxWait is not None for entry in policy.qos)]
    for what, given in (("reservations", bool(policy.reservations)), ("MaxWait", any(bounds))):
        if given:
            _fail(f"{what} cannot be planned with nodes", f"drop {what}, or SelectType and nodes", "SelectType")
    pools = {entry.pool for entry in policy.partitions} or {""}
    names: set[str] = set()
    for i, node in enumerate(policy.nodes):
        if node.Pool not in pools:
            _unknown("pool", node.Pool or "of the whole machine", tuple(sorted(pools - {""})), "nodes", i, "Pool")
        if memory & set(MEMORY_COUNTS) and node.RealMemory is None:
            _fail(f"{node.NodeName} has no RealMemory, but {min(memory)} counts it", "give it", "nodes", i, "NodeName")
        for key, read in (("NodeName", lambda e: expand(e.NodeName)), ("Gres", lambda e: e.gpus)):
            try:
                read(node)
            except ValueError as error:
                problem, _, remedy = str(error).partition("; ")
                _fail(problem, remedy or "correct it", "nodes", i, key)
        twice = sorted(names.intersection(expand(node.NodeName)))
        if twice:
            _fail(f"the node {twice[0]} is listed twice", "drop one, or give it another name", "nodes", i, "NodeName")
        names.update(expand(node.NodeName))
    usable = {entry.Pool for entry in policy.nodes if entry.State == "UNKNOWN"}
    for i, entry in enumerate(policy.partitions):
        if entry.pool not in usable:
            _fail(f"{entry.PartitionName} has no nodes", "list nodes of its Pool", "partitions", i, "PartitionName")
        if entry.capacity:
            _fail(
                f"{entry.PartitionName} states a capacity, but its nodes do",
                "drop TRES, Procs and Nodes",
                "partitions",
                i,
            )
    if not usable:
        _fail("no node is up", "give one the State UNKNOWN", "nodes", 0, "State")
    known = {feature for node in policy.nodes for feature in (*node.Features, *node.gpus)} - {""}
    for i, rule in enumerate(policy.assign):
        if rule.Set.Constraint and rule.Set.Constraint not in known:
            _unknown("feature", rule.Set.Constraint, tuple(sorted(known)), "assign", i, "Set", "Constraint")


def _check_no_nodes(policy: Policy) -> None:
    """Refuse what means nothing where pools are counts."""
    remedy = "add SelectType, or drop it"
    for key in ("SelectTypeParameters", "nodes"):
        if getattr(policy, key):
            _fail(f"{key} is given, but no SelectType", remedy, key)
    for i, partition in enumerate(policy.partitions):
        if partition.OverSubscribe == "EXCLUSIVE":
            _fail("OverSubscribe is EXCLUSIVE, but there are no nodes", remedy, "partitions", i, "OverSubscribe")
    for i, rule in enumerate(policy.assign):
        if rule.Set.Constraint:
            _fail("Constraint is given, but there are no nodes", remedy, "assign", i, "Set", "Constraint")


def _check_reservations(policy: Policy) -> None:
    for i, entry in enumerate(policy.reservations):
        if (entry.Duration is None) == (entry.EndTime is None):
            _fail("a reservation needs either Duration or EndTime", "give one of them", "reservations", i)
        if entry.EndTime and entry.EndTime.from_origin != entry.StartTime.from_origin:
            _fail(
                "StartTime and EndTime count from different origins",
                "give Duration instead",
                "reservations",
                i,
                "EndTime",
            )
        if entry.duration <= 0:
            _fail("the reservation ends before it starts", "mend EndTime or Duration", "reservations", i)
        if {"DAILY", "WEEKLY"} <= set(entry.Flags):
            _fail("the reservation repeats both DAILY and WEEKLY", "keep one", "reservations", i, "Flags")
        for flag, period in (("DAILY", 86400), ("WEEKLY", 604800)):
            if flag in entry.Flags and entry.duration > period:
                _fail(f"a {flag} reservation overlaps its next one", "shorten it", "reservations", i)


def _unique(what: str, names: Iterable[str], section: str, key: str) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            _fail(f"the {what} {name} is listed twice", "drop one, or give it another name", section, i, key)
        seen.add(name)


def _unknown(what: str, name: str, known: tuple[str, ...], *at: str | int) -> NoReturn:
    near = nearest(name, known)
    _fail(f"there is no {what} '{name}'", f"did you mean '{near}'?" if near else "list it, or correct the name", *at)
