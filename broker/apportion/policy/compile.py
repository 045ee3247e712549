"""From a policy and the jobs it is for to the tables of the core.

Here names become indices, durations milliseconds and weights sums; what a policy does not use costs nothing (its columns are
empty). Nothing of this happens again while jobs are scheduled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import billing, budget, codes, cohort_tables, multifactor
from apportion.core.calendar import DAY_MS, RESETS
from apportion.core.errors import PolicyError
from apportion.core.limit_build import no_limits
from apportion.core.limit_tables import WAIT_BOUND, build_counters
from apportion.core.reclaim_tables import no_reclaim
from apportion.core.share import ENGINES, share_state
from apportion.core.tables import (
    Floats,
    Ints,
    Jobs,
    Outages,
    Rules,
    State,
    without_the_unusual,
)
from apportion.core.turn_tables import no_turns
from apportion.core.usage import new_usage, usage_params
from apportion.policy import fresh
from apportion.policy.assign import NOWHERE, Assigned, assign
from apportion.policy.associations import Tree, accounts_table, association_priorities, build_tree
from apportion.policy.budgets import KEYS as BUDGET_KEYS
from apportion.policy.budgets import budgets_mention, build_budgets, has_budgets
from apportion.policy.engines import history_of
from apportion.policy.limits import build_limits, limits_mention
from apportion.policy.nodes import build_nodes, node_names, placement_of
from apportion.policy.orders import order_function
from apportion.policy.pools import UNBOUNDED, PoolPlan, plan_pools
from apportion.policy.preemption import PREEMPTION_KEYS, checkpoints_of, preemption_of
from apportion.policy.quotas import KEYS as QUOTA_KEYS
from apportion.policy.quotas import build_quotas, flavors_of, forest, has_quotas, quotas_mention
from apportion.policy.reclaim import build_reclaim, has_reclaim
from apportion.policy.turns import build_turns, has_turns

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.plugins import OrderFunction
    from apportion.policy.workload import Labels, Submissions

_BACKFILL = {
    "none": codes.BACKFILL_NONE,
    "easy": codes.BACKFILL_EASY,
    "easy-sjbf": codes.BACKFILL_EASY_SJBF,
    "conservative": codes.BACKFILL_CONSERVATIVE,
    "slurm": codes.BACKFILL_SLURM,
}
_PREDICTOR = {
    "limit": codes.PREDICT_LIMIT,
    "last-two": codes.PREDICT_MEAN,
    "quantile": codes.PREDICT_QUANTILE,
}
_MAX_BINS = 50_000_000  # cells of daily usage that are still worth keeping


@dataclass(frozen=True)
class Compiled:
    """A state ready to run, and the names behind its indices.

    ``pool_capacity`` : processors at first. ``partition`` : index of each job's, -1 for none.
    ``capacity_steps`` : (time in ms, pool, change of processors) by time, for whoever plays the world.
    ``partition_names`` : by index; one empty name when the policy has none. ``pool_of_partition`` : likewise. ``tres`` : names by number.
    ``tree`` : None where no account matters.
    ``order`` : keeps the compiled score function alive. ``node_names`` : by index; none where pools are counts only.
    """

    state: State
    pool_names: tuple[str, ...]
    pool_capacity: tuple[int, ...]
    partition: Ints
    partition_names: tuple[str, ...]
    pool_of_partition: tuple[int, ...]
    tres: tuple[str, ...]
    account: Labels
    qos: Labels
    tree: Tree | None
    capacity_steps: tuple[tuple[int, int, int], ...]
    order: OrderFunction | None
    node_names: tuple[str, ...]


def compile_policy(
    policy: Policy,
    jobs: Submissions,
    partition: Ints | None = None,
    *,
    constraint: Labels | None = None,
    open_pools: bool = False,
    fails: bool = False,
    more_pools: tuple[str, ...] = (),
) -> Compiled:
    """Compile ``policy`` for ``jobs``.

    Parameters
    ----------
    partition : int64[n], optional
        Index of each job's partition, whatever the rules of the policy say; -1 for none.
    constraint : Labels, optional
        Feature or type of GPU that the nodes of each job must have, whatever the rules of the policy say.
    open_pools : bool
        Make room for any of the jobs to come to any pool, and let all running jobs be read.
    more_pools : tuple of str
        Names of pools elsewhere that quotas may be for.
    fails : bool
        Let jobs be stopped before their end: by events FAIL, LOSS and RETURN.

    Raises
    ------
    PolicyError
        If the policy cannot be applied to these jobs: a partition without a capacity, an unknown name in a rule, ...
    """
    reclaims = has_reclaim(policy)
    assigned = assign(policy, jobs)
    if partition is not None:
        assigned = replace(assigned, partition=partition)
    if constraint is not None:
        assigned = replace(assigned, constraint=constraint)
    order = order_function(policy) if policy.Order not in ("fcfs", "multifactor") else None
    is_multifactor = policy.Order == "multifactor"
    reads_usage = order is not None and order.reads_fairshare
    extra_names = _extra_tres(policy)
    extra = np.zeros((len(jobs), len(extra_names)), np.int64)
    for k, name in enumerate(extra_names):
        if name in jobs.resources:
            extra[:, k] = np.maximum(jobs.resources[name], 0)
    needs_accounts = any(entry.Accounts for entry in policy.reservations)
    plan = plan_pools(
        policy, jobs, assigned.partition, ("cpu", *extra_names), assigned.account.text() if needs_accounts else []
    )
    limits, counters = no_limits()
    has_limits = _has_limits(policy)
    tree = None
    with_quotas = has_quotas(policy)
    with_budgets = has_budgets(policy)
    if is_multifactor or reads_usage or has_limits or with_quotas or with_budgets:
        tree = build_tree(policy, jobs.user, assigned.account)
    if has_limits and tree is not None:
        limits = build_limits(policy, tree, ("cpu", *extra_names, "billing"), plan)
        counters = build_counters(limits, len(jobs))
    quotas = cohort_tables.no_quotas()
    if with_quotas and tree is not None:
        quotas = build_quotas(
            policy,
            tree,
            ("cpu", *extra_names, "billing"),
            (*plan.names, *more_pools),
            n_jobs=len(jobs),
            origin_ms=jobs.origin_ms,
        )
    qos = _qos_index(policy, assigned.qos)
    turns = no_turns()
    if has_turns(policy) and tree is not None:
        turns, quotas = build_turns(policy, tree, quotas, ("cpu", *extra_names, "billing"), jobs)
    reclaim = no_reclaim()
    if reclaims and tree is not None:
        reclaim = build_reclaim(
            policy,
            forest(policy, tree)[0],
            qos,
            n_cells=quotas.nominal.shape[1],
            n_pools=len(plan.names),
        )
    metered = counters.ran.size > 0
    charged = is_multifactor or reads_usage or metered or any(e.UsageThreshold is not None for e in policy.qos)
    guarded = bool((limits.qos[:, WAIT_BOUND] >= 0).any()) and policy.Backfill != "conservative"
    plain = not plan.steps and not guarded and bool((plan.capacity[:, 1:] >= UNBOUNDED).all())
    empty_i, empty_f = np.zeros(0, np.int64), np.zeros(0, np.float64)

    billed = (
        _billing(policy, jobs, assigned, extra_names, extra)
        if charged or has_limits or with_quotas or with_budgets
        else empty_i
    )
    checkpoints = checkpoints_of(policy, qos)
    preemption = preemption_of(policy, assigned, qos, checkpoints, len(plan.names), extra_names)
    may_change = policy.Predictor != "limit" or len(preemption.until)
    expected = jobs.limit_ms.copy() if may_change else jobs.limit_ms
    if len(checkpoints.saved):
        limits_ms = zip(checkpoints.interval.tolist(), checkpoints.write.tolist(), jobs.limit_ms.tolist(), strict=True)
        expected = np.array([a + (a - 1) // i * w if i else a for i, w, a in limits_ms], np.int64)
    table = Jobs(
        submit=jobs.submit_ms,
        limit=jobs.limit_ms,
        expected=expected,
        procs=jobs.procs,
        extra=extra,
        pool=plan.pool_of,
        partition=assigned.partition if has_limits else empty_i,
        assoc=tree.of_job if tree is not None else empty_i,
        user=jobs.user.codes + 1
        if policy.SchedulerParameters.bf_max_job_user or policy.Predictor != "limit"
        else empty_i,
        qos=qos if charged or has_limits else empty_i,
        tier=_tier(policy, assigned) if is_multifactor else empty_i,
        static_priority=_static_priority(policy, jobs, assigned, tree, qos, extra_names, extra, plan)
        if is_multifactor and tree is not None
        else empty_f,
        billing=billed,
        features=_features(policy, jobs, assigned, qos) if order is not None else np.zeros((0, 6)),
    )
    budgets = budget.no_budgets()
    if with_budgets and tree is not None:
        budgets = build_budgets(
            policy,
            tree,
            ("cpu", *extra_names, "billing"),
            n_jobs=len(jobs),
            origin_ms=jobs.origin_ms,
            largest=_most_at_a_time(table, plan),
            longest_ms=int(jobs.limit_ms.max(initial=0)),
        )
    rules = _rules(
        policy,
        jobs,
        order,
        plain=plain,
        bare=plain and not (extra_names or policy.SelectType or charged or has_limits or with_quotas or with_budgets),
        charged=charged,
        limited=has_limits,
        metered=metered,
        guarded=guarded,
        several=len(plan.names) > 1,
        quotas=with_quotas,
        budgets=with_budgets,
    )
    factors = np.array([round(entry.UsageFactor * 1000) for entry in policy.qos], np.int64)
    params = usage_params(
        policy.PriorityDecayHalfLife,
        policy.PriorityCalcPeriod * 1000,
        decay=policy.Decay,
        reset=RESETS[policy.PriorityUsageResetPeriod],
        usage_factor=factors,
        no_decay=np.array(["NoDecay" in entry.Flags for entry in policy.qos], np.int64),
        billing_tres=len(extra_names) + 1,
    )
    if tree is None:
        accounts = accounts_table(np.array([-1], np.int64), np.zeros(1, np.int64), np.ones(1, np.int64))
    else:
        accounts = tree.accounts
    n_assoc = len(accounts.parent)
    start_ms = int(jobs.submit_ms[0]) if len(jobs) else 0
    in_pool = np.bincount(plan.pool_of, minlength=len(plan.names)).astype(np.int64)
    if open_pools:
        in_pool[:] = len(jobs)
    span_days = (int(jobs.submit_ms[-1]) - start_ms) // DAY_MS + 400 if len(jobs) and charged else 0
    if policy.SelectType is not None and preemption.grace.any():
        raise PolicyError(
            "grace is of counted processors, not of nodes",
            "leave SelectType out, or GraceTime and CheckpointWriteTime",
        )
    preemptive = policy.PreemptType != "none" or reclaims
    stops = fresh.stops(4 * len(jobs) + 65_536 if fails or preemptive else 0)
    profile = fresh.profile(plan, in_pool, rules)
    state = State(
        jobs=table,
        live=fresh.live(len(jobs), rules),
        queue=fresh.queue(len(jobs)),
        short_queue=fresh.queue(len(jobs) if rules.backfill == codes.BACKFILL_EASY_SJBF else 0),
        pools=fresh.pools(plan, flavors_of(policy)),
        running=fresh.running(
            plan,
            in_pool,
            is_read=open_pools or fails or preemptive or not plain or metered or policy.Backfill != "none",
        ),
        profile=profile,
        clock=fresh.clock(),
        rules=rules,
        accounts=accounts,
        usage_params=params,
        usage=new_usage(n_assoc, params, start_ms, span_days if span_days * n_assoc <= _MAX_BINS else 0),
        share=share_state(
            ENGINES[_engine(policy)],
            accounts,
            policy.FairShareDampeningFactor,
            history_of(policy, n_assoc, start_ms, _whole_machine(plan)),
        ),
        limits=limits,
        counters=counters,
        quotas=quotas,
        budgets=budgets,
        history=fresh.history(policy, jobs),
        nodes=build_nodes(
            policy,
            jobs,
            assigned,
            plan.names,
            n_extra=len(extra_names),
            stops=len(stops.time),
            steps=len(profile.time) if policy.Backfill in ("conservative", "slurm") else 0,
            keeps=len(preemption.until) > 0,
        ),
        outages=Outages(*(np.zeros(0, np.int64) for _ in Outages._fields)),
        stops=stops,
        checkpoints=checkpoints,
        preemption=preemption,
        reclaim=reclaim,
        turns=turns,
        decided=np.zeros(2 * len(jobs) + 2, np.int64),  # a job may be stopped and start again
        digest=np.zeros(2, np.int64),
        work=np.zeros(max(len(jobs), len(plan.names), len(jobs.user.names) + 1, 8), np.int64),
    )
    steps = sorted((time, pool, change[0]) for pool, time, change in plan.steps)
    names = tuple(entry.PartitionName for entry in policy.partitions) or ("",)
    return Compiled(
        state,
        plan.names,
        tuple(plan.capacity[:, 0].tolist()),
        assigned.partition,
        names,
        plan.of_partition,
        ("cpu", *extra_names, "billing"),
        assigned.account,
        assigned.qos,
        tree,
        tuple(steps),
        order,
        node_names(policy, plan.names),
    )


def _extra_tres(policy: Policy) -> tuple[str, ...]:
    """TRES beside cpu and billing that a capacity, a limit or a weight speaks of, sorted."""
    found = (
        set(policy.TRES)
        | set(policy.Licenses)
        | limits_mention(policy)
        | quotas_mention(policy)
        | budgets_mention(policy)
    )
    found |= set(policy.TRESBillingWeights) | set(policy.PriorityWeightTRES)
    for entry in policy.partitions:
        found |= set(entry.capacity) | set(entry.TRESBillingWeights)
        if entry.MaxNodes is not None or entry.MinNodes is not None:
            found.add("node")
    for reservation in policy.reservations:
        found |= set(reservation.capacity)
    return tuple(sorted(found - {"cpu", "billing"}))


def _has_limits(policy: Policy) -> bool:
    """Whether anything in the policy may hold a job beside resources."""
    by_partition = any(
        entry.MaxTime is not None
        or entry.MaxNodes is not None
        or entry.MinNodes is not None
        or entry.QOS
        or entry.State != "UP"
        for entry in policy.partitions
    )
    unlimited = {
        "Fairshare",
        "DefaultQOS",
        "Account",
        "Parent",
        "User",
        "Name",
        "Priority",
        "UsageFactor",
        *QUOTA_KEYS,
        *BUDGET_KEYS,
        *PREEMPTION_KEYS,
    }
    by_entry = any(
        getattr(entry, name) not in (None, {}, ())
        for entry in (*policy.accounts, *policy.users, *policy.qos)
        for name in type(entry).model_fields
        if name not in unlimited
    )
    return by_partition or by_entry or policy.MaxWait is not None


def _qos_index(policy: Policy, labels: Labels) -> Ints:
    names = [entry.Name for entry in policy.qos]
    lookup = np.array([*(names.index(name) if name in names else -1 for name in labels.names), -1], np.int64)
    return lookup[labels.codes]


def _whole_machine(plan: PoolPlan) -> tuple[int, ...]:
    """Processors and further TRES of all pools; 0 for what is not limited."""
    whole = np.where(plan.capacity >= UNBOUNDED, 0, plan.capacity).sum(axis=0)
    return tuple(int(amount) for amount in whole)


def _most_at_a_time(jobs: Jobs, plan: PoolPlan) -> Ints:
    """Most of each TRES, billing last, that can run at a time: all there is, or what all jobs ask for."""
    asked = np.column_stack([jobs.procs, jobs.extra, jobs.billing]).sum(axis=0)
    whole = plan.capacity.sum(axis=0) + sum(abs(amount) for _, _, change in plan.steps for amount in change)
    most: Ints = np.minimum(asked, np.append(whole, asked[-1])).astype(np.int64)
    return most


def _engine(policy: Policy) -> str:
    if policy.share_engine == "classic":
        return "depth_oblivious" if "DEPTH_OBLIVIOUS" in policy.PriorityFlags else "classic"
    if policy.share_engine != "fair_tree":
        return policy.share_engine
    return "fair_tree_slurm_26" if policy.FairTreeTies == "slurm-26" else "fair_tree"


def _weights(weights: Mapping[str, float], extra_names: tuple[str, ...]) -> Floats:
    return np.array([float(weights.get(name, 0.0)) for name in ("cpu", *extra_names)], np.float64)


def _billing(policy: Policy, jobs: Submissions, assigned: Assigned, extra_names: tuple[str, ...], extra: Ints) -> Ints:
    counts = np.column_stack([jobs.procs, extra])
    kinds = np.array(
        [
            billing.GLOBAL
            if name.startswith(("license/", "bb/"))
            else billing.GRES
            if name.startswith("gres/")
            else billing.NODE
            for name in ("cpu", *extra_names)
        ],
        np.int64,
    )
    mode = {"sum": billing.SUM, "max_tres": billing.MAX_TRES, "max_tres_gres": billing.MAX_TRES_GRES}[
        policy.billing_mode
    ]

    def bill(weights: dict[str, float]) -> Ints:
        return billing.billing_milli(counts, _weights(weights, extra_names) if weights else np.zeros(0), kinds, mode)

    result = bill(policy.TRESBillingWeights)
    for k, entry in enumerate(policy.partitions):
        if entry.TRESBillingWeights:
            result = np.where(assigned.partition == k, bill(entry.TRESBillingWeights), result)
    return result


def _tier(policy: Policy, assigned: Assigned) -> Ints:
    tiers = np.array([entry.PriorityTier for entry in (*policy.partitions, NOWHERE)], np.int64)[assigned.partition]
    return tiers if len(np.unique(tiers)) > 1 else np.zeros(0, np.int64)


def _static_priority(
    policy: Policy,
    jobs: Submissions,
    assigned: Assigned,
    tree: Tree,
    qos: Ints,
    extra_names: tuple[str, ...],
    extra: Ints,
    plan: PoolPlan,
) -> Floats:
    """Sum of the terms of the multifactor priority that never change."""
    flags = set(policy.PriorityFlags)
    raw_all = "NO_NORMAL_ALL" in flags
    assoc = multifactor.normalized(association_priorities(policy, tree), raw=raw_all or "NO_NORMAL_ASSOC" in flags)
    partition = multifactor.normalized(
        np.array([entry.PriorityJobFactor for entry in (*policy.partitions, NOWHERE)], np.int64),
        raw=raw_all or "NO_NORMAL_PART" in flags,
    )
    of_qos = multifactor.normalized(
        np.array([entry.Priority for entry in policy.qos], np.int64), raw=raw_all or "NO_NORMAL_QOS" in flags
    )
    machine = int(plan.capacity[:, 0].sum())
    nodes = int(plan.capacity[:, 1 + extra_names.index("node")].sum()) if "node" in extra_names else 0
    size = multifactor.job_size_factor(
        jobs.procs,
        jobs.resources.get("node") if 0 < nodes < UNBOUNDED else None,
        jobs.limit_ms,
        cluster_cpus=machine,
        cluster_nodes=nodes,
        favor_small=policy.PriorityFavorSmall,
        relative_to_time="SMALL_RELATIVE_TO_TIME" in flags,
    )
    tres = multifactor.tres_term(
        np.column_stack([jobs.procs, extra]),
        np.append(
            np.where(plan.capacity >= UNBOUNDED, 0, plan.capacity),
            np.zeros((1, plan.capacity.shape[1]), np.int64),
            axis=0,
        ),  # last: of no partition
        np.where(assigned.partition < 0, -1, plan.pool_of),
        _weights(policy.PriorityWeightTRES, extra_names),
        raw=raw_all or "NO_NORMAL_TRES" in flags,
    )
    return multifactor.static_priority(
        multifactor.Terms(
            assoc=policy.PriorityWeightAssoc * assoc[tree.of_job],
            job_size=policy.PriorityWeightJobSize * size,
            partition=policy.PriorityWeightPartition * partition[assigned.partition],
            qos=policy.PriorityWeightQOS * np.append(of_qos, 0.0)[qos],
            tres=tres,
            nice=assigned.nice.astype(np.float64),
        )
    )


def _features(policy: Policy, jobs: Submissions, assigned: Assigned, qos: Ints) -> Floats:
    """Nodes, memory in MiB, GPUs, QOS priority, nice and critical path of each job, as orders read them; 0 where unknown."""
    table = np.zeros((len(jobs), 6))
    for k, name in enumerate(("node", "mem", "gres/gpu")):
        if name in jobs.resources:
            table[:, k] = np.maximum(jobs.resources[name], 0)
    table[:, 3] = np.array([*(entry.Priority for entry in policy.qos), 0], np.float64)[qos]
    table[:, 4] = assigned.nice
    table[:, 5] = (jobs.limit_ms if jobs.critical_path_ms is None else jobs.critical_path_ms) / 1000.0
    return table


def _rules(
    policy: Policy,
    jobs: Submissions,
    order: OrderFunction | None,
    *,
    plain: bool,
    bare: bool,
    charged: bool,
    limited: bool,
    metered: bool,
    guarded: bool,
    several: bool,
    quotas: bool,
    budgets: bool,
) -> Rules:
    if policy.Order == "multifactor":
        kind = codes.ORDER_MULTIFACTOR
    elif order is None:
        kind = codes.ORDER_ARRIVAL
    else:
        kind = codes.ORDER_MOVING if order.dynamic else codes.ORDER_FIXED
    options = policy.SchedulerParameters
    half_life = policy.PriorityDecayHalfLife
    if policy.Order == "multifactor" and half_life == 0 and policy.PriorityUsageResetPeriod == "NONE":
        raise PolicyError("PriorityDecayHalfLife is 0 and usage is never reset", "give PriorityUsageResetPeriod")
    second = 1.0 if half_life == 0 else 1.0 - 0.693 / half_life if policy.Decay == "slurm" else 0.5 ** (1.0 / half_life)
    reserves = policy.Backfill in ("conservative", "slurm") or guarded
    stops = policy.PreemptType != "none" or has_reclaim(policy)
    rules = Rules(
        order=kind,
        backfill=_BACKFILL[policy.Backfill],
        score_function=order.address if order is not None else 0,
        origin=jobs.origin_ms,
        plain=int(plain),
        bare=int(bare),
        charged=int(charged),
        limited=int(limited),
        metered=int(metered),
        requeue=int(policy.JobRequeue),
        preemptive=int(policy.PreemptType != "none"),
        reclaims=int(has_reclaim(policy)),
        assoc_limit_stop=int(options.assoc_limit_stop),
        quotas=int(quotas),
        budgets=int(budgets),
        turns=int(has_turns(policy)),
        holds=int(limited or quotas or budgets),
        guarded=int(guarded),
        several=int(several),
        timed=int(charged or quotas or budgets or reserves or stops or policy.Predictor != "limit"),
        age_weight=float(policy.PriorityWeightAge),
        fairshare_weight=float(policy.PriorityWeightFairshare),
        max_age=policy.PriorityMaxAge * 1000,
        calc_period=policy.PriorityCalcPeriod * 1000 if charged else 0,
        incr_only=int(policy.Order == "multifactor" and "INCR_ONLY" in policy.PriorityFlags),
        second_factor=second,
        bf_interval=options.bf_interval * 1000,
        bf_window=options.bf_window * 60_000,
        bf_resolution=options.bf_resolution * 1000,
        bf_max_job_test=options.bf_max_job_test,
        bf_max_job_user=options.bf_max_job_user,
        bf_min_prio_reserve=options.bf_min_prio_reserve if policy.Backfill == "slurm" else 0,
        main_depth=options.default_queue_depth,
        sched_interval=options.sched_interval * 1000,
        predictor=_PREDICTOR[policy.Predictor],
        predictor_quantile=round(policy.PredictorQuantile * 1000),
        placement=placement_of(policy),
    )
    return without_the_unusual(rules)
