"""From a scenario and its workload to the tables of `apportion.core.federation`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apportion.core import federation_tables as tables
from apportion.core.codes import PREDICT_LIMIT
from apportion.core.cohort_tables import ALL_FLAVORS
from apportion.core.errors import UserError
from apportion.core.limit_tables import no_holds
from apportion.core.tables import NEVER, Ints, Outages, State
from apportion.policy.assign import assign
from apportion.policy.budgets import budgets_mention
from apportion.policy.compile import Compiled, compile_policy
from apportion.policy.nodes import capacity as capacity_of_nodes
from apportion.policy.pools import UNBOUNDED
from apportion.policy.quotas import flavor_index, flavors_of, quotas_mention
from apportion.policy.sections import AccountEntry, PartitionEntry
from apportion.sim.failures import AFTER_MS, FailureSource, Timetable, timetable

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.sections import NodeEntry
    from apportion.sim.federation.moves import Moves
    from apportion.sim.federation.workload import FederationWorkload
    from apportion.sim.scenario import CenterEntry, Scenario

HOUR_S = 3600
KEPT_CELLS = 20_000_000  # alternatives of all bindings that are still worth keeping
PLACEMENTS = {
    "home": tables.PLACE_HOME,
    "random": tables.PLACE_RANDOM,
    "round-robin": tables.PLACE_ROUND_ROBIN,
    "least-loaded": tables.PLACE_LEAST_LOADED,
    "redundant": tables.PLACE_REDUNDANT,
}
# What a unit of each term is worth in seconds of waiting, in the order of the terms: start, data, run, cost, energy, carbon, risk, away.
WEIGHTS = {
    "balanced": (1.0, 1.0, 1.0, 300.0, 0.0, 0.0, 600.0, 300.0),
    "urgent": (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 600.0, 0.0),
    "economy": (0.1, 0.1, 0.1, 7200.0, 0.0, 0.0, 600.0, 60.0),
    "green": (0.1, 0.1, 0.1, 0.0, 60.0, 3600.0, 600.0, 60.0),
}
TERMS = ("start", "data", "run", "cost", "energy", "carbon", "failure", "affinity")


@dataclass(frozen=True)
class CompiledFederation:
    """Tables ready to run, and the names behind their indices.

    ``broker``, ``centers`` : compiled policies. ``target_names`` : (center, partition) by target. ``capacity_steps`` : (ms, row of
    `Seen`, change of processors) by time. ``cuts`` : (ms, center) when one is cut off from the broker, or is back.
    ``failures`` : of processors; places are rows of `Seen`.
    """

    scenario: Scenario

    federation: tables.Federation
    broker: Compiled
    centers: tuple[Compiled, ...]
    target_names: tuple[tuple[str, str], ...]
    capacity_steps: tuple[tuple[int, int, int], ...]
    cuts: tuple[tuple[int, int], ...]
    failures: Timetable


def compile_federation(scenario: Scenario, workload: FederationWorkload, moves: Moves) -> CompiledFederation:
    """Compile the broker's policy and those of all centers for one workload.

    Raises
    ------
    PolicyError
        If a policy does not fit the workload.
    UserError
        If the broker's policy has limits on used minutes, which are not kept across centers, or quotas or budgets of billing where managed
        centers have rates of exchange, which these do not know.
    """
    own = [
        _partitions(entry, scenario.policy_of(entry.Center), workload, k) for k, entry in enumerate(scenario.centers)
    ]
    managed = [k for k, entry in enumerate(scenario.centers) if entry.Mode == "managed"]
    shared: list[PartitionEntry] = []
    partition = np.full(len(workload), -1, np.int64)  # jobs of autonomous centers are in none of the broker's
    begins = {}
    for k in managed:
        begins[k] = len(shared)
        partition[workload.home == k] = len(shared) + _local_partition(scenario, own[k], workload, k)
        shared += [_renamed(entry, workload.centers[k]) for entry in own[k]]
    base = scenario.broker_policy.model_copy(
        update={"partitions": tuple(shared), "accounts": account_tree(scenario, workload)}
    )
    elsewhere = tuple(
        f"{workload.centers[k]}/{entry.pool or 'machine'}"
        for k in range(len(scenario.centers))
        for entry in own[k]
        if k not in managed
    )
    broker = compile_policy(base, workload.jobs, partition, more_pools=elsewhere)
    state = broker.state
    state = state._replace(jobs=state.jobs._replace(submit=state.jobs.submit.copy()))  # jobs that follow others
    if scenario.broker.Placement == "redundant" and len(managed) < len(scenario.centers):
        if state.rules.quotas:
            held = np.zeros((len(workload), len(flavors_of(base))), np.int8)
            state = state._replace(quotas=state.quotas._replace(held=held))
        if state.rules.limited:
            state = state._replace(counters=state.counters._replace(held=no_holds(len(workload))))
    broker = replace(broker, state=state)
    if state.rules.metered:
        raise UserError(
            "the policy of the broker limits minutes (GrpTRESMins, GrpTRESRunMins or GrpWall), which is not kept across centers",
            "give these limits to the policies of the centers",
        )
    rated = [scenario.centers[k] for k in managed if scenario.centers[k].ExchangeRate != 1]
    if rated and "billing" in quotas_mention(base) | budgets_mention(base):
        raise UserError(
            f"the policy of the broker has quotas or budgets of billing, and {rated[0].Center} an ExchangeRate, which these do not know",
            "give them in processors, or managed centers an ExchangeRate of 1",
        )
    state.pools.largest[:] = UNBOUNDED  # what is too large for one center may fit another
    state.pools.extra_largest[:] = UNBOUNDED
    state.pools.flavor[:] = ALL_FLAVORS  # that of a job is known when it is bound
    compiled = []
    fails = any(entry.Kind != "network" for entry in scenario.failures)
    for k, entry in enumerate(scenario.centers):
        policy = scenario.policy_of(entry.Center)
        if entry.Mode == "managed":
            local = base.model_copy(
                update={
                    "Backfill": policy.Backfill,
                    "SchedulerParameters": policy.SchedulerParameters,
                    "SelectType": policy.SelectType,
                    "SelectTypeParameters": policy.SelectTypeParameters,
                    "nodes": tuple(_renamed_nodes(node, entry.Center) for node in policy.nodes),
                }
            )
            one = compile_policy(
                local,
                workload.jobs,
                partition,
                constraint=moves.constraint,
                open_pools=True,
                fails=fails,
                more_pools=elsewhere,
            )
            compiled.append(_sharing(one, state, entry))
        else:
            local = policy.model_copy(update={"partitions": own[k]}) if entry.partitions else policy
            jobs = workload.seen_from(k, moves.movable)
            one = compile_policy(local, jobs, constraint=moves.constraint, open_pools=True, fails=fails)
            compiled.append(replace(one, state=one.state._replace(digest=state.digest)))
    return _assemble(scenario, workload, moves, broker, tuple(compiled), own, begins)


def account_tree(scenario: Scenario, workload: FederationWorkload) -> tuple[AccountEntry, ...]:
    """The accounts of the broker's policy, and for those that it does not list, a place in one tree over all centers.

    Each center is an account of its own name with shares for what it brings in, processors times its rate of exchange; below it are the
    accounts of its trace, with the policy's default shares.
    """
    policy = scenario.broker_policy
    listed = {entry.Account for entry in policy.accounts}
    found = list(policy.accounts)
    for k, entry in enumerate(scenario.centers):
        if entry.Center not in listed:
            procs = workload.parts[k].jobs.capacity["cpu"]
            shares = max(round(procs * entry.ExchangeRate * entry.Speed), 1)
            found.append(AccountEntry(Account=entry.Center, Fairshare=shares))
    names = workload.jobs.account.names
    for name in sorted(names[code] for code in workload.jobs.account.used()):
        if name not in listed:
            parent = name.partition("/")[0]
            found.append(AccountEntry(Account=name, Parent=parent, Fairshare=policy.DefaultFairshare))
    return tuple(found)


def _partitions(entry: CenterEntry, policy: Policy, workload: FederationWorkload, k: int) -> tuple[PartitionEntry, ...]:
    """Partitions of a center: those of the scenario, else of its policy, else one that is the whole machine."""
    found = tuple(entry.partitions) or policy.partitions
    if policy.SelectType is not None:
        alone = PartitionEntry(PartitionName=entry.Center, Default=True)
        return tuple(
            partition.model_copy(update={"Pool": pool, "Procs": capacity_of_nodes(policy, pool)["cpu"]})
            for partition in found or (alone,)
            for pool in (partition.pool or "machine",)
        )
    if found and all(partition.capacity or partition.Pool for partition in found):
        return found
    procs = entry.Procs or workload.parts[k].jobs.capacity["cpu"]
    if found:
        return tuple(p if p.capacity else p.model_copy(update={"Pool": "machine", "Procs": procs}) for p in found)
    return (PartitionEntry(PartitionName=entry.Center, Procs=procs, Default=True),)


def _local_partition(scenario: Scenario, own: tuple[PartitionEntry, ...], workload: FederationWorkload, k: int) -> Ints:
    """Index among its own partitions of each job of a managed center."""
    policy = scenario.policy_of(workload.centers[k]).model_copy(update={"partitions": own})
    return assign(policy, workload.parts[k].jobs).partition


def _renamed(entry: PartitionEntry, center: str) -> PartitionEntry:
    """A partition under the name that it has in the federation."""
    return entry.model_copy(
        update={
            "PartitionName": f"{center}/{entry.PartitionName}",
            "Pool": f"{center}/{entry.pool or 'machine'}",
            "Default": False,
        }
    )


def _renamed_nodes(entry: NodeEntry, center: str) -> NodeEntry:
    """Nodes in the pool of that partition."""
    return entry.model_copy(update={"Pool": f"{center}/{entry.Pool or 'machine'}"})


def _sharing(compiled: Compiled, broker: State, entry: CenterEntry) -> Compiled:
    """A managed center: accounts, usage, shares, limits and quotas are the broker's own tables."""
    state = compiled.state
    limit = state.jobs.limit.copy()
    jobs = broker.jobs._replace(
        pool=state.jobs.pool.copy(),
        partition=state.jobs.partition.copy(),
        limit=limit,
        expected=limit if state.rules.predictor == PREDICT_LIMIT else limit.copy(),
        user=state.jobs.user,
        billing=state.jobs.billing * round(entry.ExchangeRate * 1000) // 1000,
    )
    shared = state._replace(
        jobs=jobs,
        accounts=broker.accounts,
        usage_params=broker.usage_params,
        usage=broker.usage,
        share=broker.share,
        limits=broker.limits,
        counters=broker.counters,
        quotas=broker.quotas,
        budgets=broker.budgets,
        turns=broker.turns,
        digest=broker.digest,
    )
    return replace(compiled, state=shared)


def _assemble(
    scenario: Scenario,
    workload: FederationWorkload,
    moves: Moves,
    broker: Compiled,
    centers: tuple[Compiled, ...],
    own: list[tuple[PartitionEntry, ...]],
    begins: dict[int, int],
) -> CompiledFederation:
    n, n_centers = len(workload), len(centers)
    first_seen = np.concatenate([[0], np.cumsum([len(c.pool_names) for c in centers])]).astype(np.int64)
    rows: list[tuple[int, int, int, int, int]] = []
    names: list[tuple[str, str]] = []
    used: set[int] = set()
    for k in range(n_centers):
        pool_of = centers[k].pool_of_partition
        for p, entry in enumerate(own[k]):
            index = begins.get(k, 0) + p
            pool = pool_of[index] if k in begins or centers[k].partition_names != ("",) else 0
            if entry.State == "UP":
                limit = NEVER if entry.MaxTime is None else entry.MaxTime * 1000
                rows.append((k, pool, index, int(first_seen[k]) + pool, limit))
                names.append((workload.centers[k], entry.PartitionName))
            used.add(int(first_seen[k]) + pool)
    table = np.array(rows, np.int64).reshape(-1, 5)
    pools_of = [
        [
            (int(first_seen[k]) + pool, int(procs))
            for pool, procs in enumerate(c.pool_capacity)
            if int(first_seen[k]) + pool in used
        ]
        for k, c in enumerate(centers)
    ]
    failures = _timetable(scenario, workload, pools_of, ("node", "center"))
    cut_off = _timetable(scenario, workload, [[(k, 1)] for k in range(n_centers)], ("network",))
    cuts = tuple(zip(cut_off.time_ms.tolist(), cut_off.place.tolist(), strict=True))
    outage_center, outage_row, outages = _outages(failures, first_seen)
    center, pools, partition, seen, max_time = (np.ascontiguousarray(table[:, k]) for k in range(5))
    entries = [scenario.centers[k] for k in center.tolist()]
    speed = _milli([entry.Speed for entry in scenario.centers])
    targets = tables.Targets(
        center=center,
        pool=pools,
        partition=partition,
        seen=seen,
        max_time=max_time,
        speed=speed[center],
        price=np.array([entry.Price / HOUR_S for entry in entries]),
        watts=np.array([entry.PowerBusy for entry in entries], np.float64),
        risk=np.array([entry.FailureRate / 86_400 for entry in entries], np.float64),
        carbon=np.array([scenario.carbon_by_utc_hour(entry) for entry in entries], np.float64).reshape(-1, 24) / 1000.0,
    )
    is_managed = np.array([entry.Mode == "managed" for entry in scenario.centers], np.int64)
    b = scenario.broker
    placement = PLACEMENTS.get(b.Placement, tables.PLACE_BY_SCORE)
    where = np.full(n, tables.HOME, np.int8)
    if placement != tables.PLACE_HOME:
        where[moves.movable] = tables.QUEUED
    rows_of_log = 2 * int(moves.movable.sum()) + 16 if placement != tables.PLACE_HOME else 0
    n_targets = len(center)
    keep = int(rows_of_log * n_targets * tables.N_TERMS <= KEPT_CELLS)
    kept = rows_of_log * keep
    # in one instant a job may be bound, start, be stopped and start again; or its data are fetched to every center
    n_decided = (4 + n_centers * (placement == tables.PLACE_REDUNDANT and len(scenario.datasets) > 0)) * n + 16
    fed = tables.Federation(
        broker=broker.state,
        cores=[c.state._replace(outages=lost) for c, lost in zip(centers, outages, strict=True)],
        centers=tables.Centers(
            first_seen=first_seen[:-1].copy(),
            managed=is_managed,
            poll=np.array(
                [0 if e.Mode == "managed" else max(round(e.PollInterval * 1000), 1) for e in scenario.centers], np.int64
            ),
            latency=np.array(
                [0 if e.Mode == "managed" else round(e.Latency * 1000) for e in scenario.centers], np.int64
            ),
            exchange=_milli([entry.ExchangeRate for entry in scenario.centers]),
            speed=speed,
            reachable=np.ones(n_centers, np.int64),
            wake=np.full(n_centers, NEVER, np.int64),
            touched=np.zeros(n_centers, np.int64),
            changed=np.ones(n_centers, np.int64),
            next_look=np.full(n_centers, -NEVER, np.int64),
            waiting=np.zeros(n_centers, np.int64),
            accuracy=np.ones(n_centers),
            habit=np.ones(n_centers),
            waited=np.full((n_centers, tables.N_CLASSES), 600.0),
            foreseen=np.full((n_centers, tables.N_CLASSES), 600.0),
        ),
        targets=targets,
        seen=_seen(centers, first_seen, used, _flavors(scenario, centers)),
        places=tables.Places(
            home=workload.home,
            where=where,
            center=np.full(n, -1, np.int64),
            target=np.full(n, -1, np.int64),
            group=moves.group,
            dataset=moves.dataset,
            dice=moves.dice,
            predicted=np.full(n, -1, np.int64),
            foreseen=np.zeros(n, np.int64),
            patience=np.full(n, NEVER, np.int64),
            started=np.full(n, -1, np.int64),
            bound=np.full(n, -1, np.int64),
            travel=np.zeros(n, np.int64),
            row=np.full(n, -1, np.int64),
            limit=workload.jobs.limit_ms.copy(),
        ),
        log=tables.Log(
            time=np.zeros(rows_of_log, np.int64),
            job=np.zeros(rows_of_log, np.int64),
            target=np.zeros(rows_of_log, np.int64),
            predicted=np.zeros(rows_of_log, np.int64),
            terms=np.zeros((kept * n_targets, tables.N_TERMS)),
            score=np.zeros((kept, n_targets)),
            reason=np.zeros((kept, n_targets), np.int64),
            rows=np.zeros(1, np.int64),
        ),
        rules=tables.BrokerRules(
            placement=placement,
            look_ahead=b.LookAhead,
            depth=b.Depth,
            replace_after=round(b.ReplaceAfter * 1000) if placement == tables.PLACE_BY_SCORE else 0,
            replace_min=round(b.ReplaceMinWait * 1000),
            hysteresis=float(b.Hysteresis),
            keep=keep,
            weights=weights(b.Placement, b.weights.model_dump(exclude_none=True)),
        ),
        clock=_clock(),
        barred=moves.barred(scenario, names),
        data_ms=moves.data_ms.copy(),
        data_due=np.full_like(moves.data_ms, NEVER),
        outage_center=outage_center,
        outage_row=outage_row,
        decided=np.zeros(n_decided, np.int64),
        what=np.zeros(n_decided, np.int64),
        watch=np.zeros(n + 1, np.int64),
        score=np.zeros(n_targets),
        reason=np.zeros(n_targets, np.int64),
        terms=np.zeros((n_targets, tables.N_TERMS)),
        expected=np.zeros(n_targets, np.int64),
        foreseen=np.zeros(n_targets, np.int64),
        digest=broker.state.digest,
    )
    steps = sorted(
        (time, int(first_seen[k]) + pool, change)
        for k, c in enumerate(centers)
        for time, pool, change in c.capacity_steps
    )
    return CompiledFederation(scenario, fed, broker, centers, tuple(names), tuple(steps), cuts, failures)


def _outages(failures: Timetable, first_seen: Ints) -> tuple[Ints, Ints, list[Outages]]:
    """Center of each row of a timetable, its row in the table of that center, and these tables."""
    center = np.searchsorted(first_seen, failures.place, side="right") - 1
    row = np.zeros(len(failures), np.int64)
    tables_of = []
    for k in range(len(first_seen) - 1):
        mine = np.flatnonzero(center == k)
        row[mine] = np.arange(len(mine))
        tables_of.append(Outages(failures.place[mine] - first_seen[k], failures.procs[mine], failures.position[mine]))
    return center.astype(np.int64), row, tables_of


def _timetable(
    scenario: Scenario, workload: FederationWorkload, places: list[list[tuple[int, int]]], kinds: tuple[str, ...]
) -> Timetable:
    """Draw, or read, what goes wrong of the given kinds; ``places`` : of each center, (place, processors)."""
    procs = dict(pair for of_center in places for pair in of_center)
    sources: list[FailureSource] = []
    for entry in scenario.failures:
        for k, center in enumerate(scenario.centers):
            if entry.Kind not in kinds or entry.Center not in ("", center.Center):
                continue
            whole = max(sum(there for _, there in places[k]), 1)
            first = len(sources)
            sources += [
                FailureSource(
                    place=place,
                    kind=entry.Kind,
                    distribution=entry.Distribution,
                    mtbf_s=entry.MTBF * whole / max(there, 1) if entry.Kind == "node" else entry.MTBF,
                    repair_s=entry.Repair,
                    shape=entry.Shape,
                    procs=min(entry.Procs, max(there, 1)),
                    log=Path(entry.Log) if entry.Log else None,
                    stream=-1 if entry.Kind == "node" else first,
                )
                for place, there in places[k]
            ]
    submit = workload.jobs.submit_ms
    capacity = [procs.get(place, 0) for place in range(max(procs, default=-1) + 1)]
    return timetable(sources, capacity, int(submit[0]), int(submit[-1]) + AFTER_MS, scenario.Seed)


def weights(placement: str, own: dict[str, float]) -> np.ndarray:
    """Weights of the terms of a score: those of the preset unless the scenario gives its own."""
    preset = dict(zip(TERMS, WEIGHTS.get(placement, WEIGHTS["balanced"]), strict=True))
    return np.array([own.get(term, preset[term]) for term in TERMS], np.float64)


def _milli(ratios: list[float]) -> Ints:
    return np.array([max(round(ratio * 1000), 1) for ratio in ratios], np.int64)


def _flavors(scenario: Scenario, centers: tuple[Compiled, ...]) -> Ints:
    """Flavour of the broker's quotas of each pool of each center; a center without partitions is a pool of its own name."""
    flavors = flavors_of(scenario.broker_policy)
    names = [
        name
        if entry.Mode == "managed"
        else f"{entry.Center}/{entry.Center if center.partition_names == ('',) else name}"
        for entry, center in zip(scenario.centers, centers, strict=True)
        for name in center.pool_names
    ]
    return np.array([flavor_index(flavors, name) for name in names], np.int64)


def _seen(centers: tuple[Compiled, ...], first_seen: Ints, used: set[int], flavor: Ints) -> tables.Seen:
    n = int(first_seen[-1])
    room = np.zeros(n, np.int64)
    for k, c in enumerate(centers):
        room[first_seen[k] : first_seen[k + 1]] = np.diff(c.state.running.first)
    room[[v for v in range(n) if v not in used]] = 0
    first = np.concatenate([[0], np.cumsum(room)]).astype(np.int64)
    of_center = np.repeat(np.arange(len(centers)), np.diff(first_seen))
    return tables.Seen(
        center=of_center,
        pool=np.arange(n, dtype=np.int64) - first_seen[of_center],
        procs=np.zeros(n, np.int64),
        free=np.zeros(n, np.int64),
        owed=np.zeros(n, np.int64),
        backlog=np.zeros(n, np.int64),
        sent=np.zeros(n, np.int64),
        on_way=np.zeros(n, np.int64),
        flavor=flavor,
        first=first,
        count=np.zeros(n, np.int64),
        end=np.zeros(int(first[-1]), np.int64),
        width=np.zeros(int(first[-1]), np.int64),
    )


def _clock() -> tables.FederationClock:
    clock = tables.FederationClock(*(np.zeros(1, np.int64) for _ in tables.FederationClock._fields))
    clock.now[0] = -NEVER
    clock.wake[0] = NEVER
    clock.patience[0] = NEVER
    return clock
