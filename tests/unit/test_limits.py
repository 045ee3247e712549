"""Limits one by one, as Slurm's documentation describes them."""

from __future__ import annotations

import numpy as np
import pytest

from apportion.core import limit_tables as lt
from apportion.core import limit_usage, limits, reasons
from apportion.core.errors import PolicyError
from apportion.core.handle import handle
from apportion.core.limit_build import LimitBuilder, no_limits
from apportion.core.limit_tables import build_counters
from apportion.core.tables import NEVER
from limit_cases import TRES, ints, jobs_table, running_in_one_pool
from oracles.limits import Job

MINUTE = 60_000
ROOT, PHYSICS, ANN, BOB, ANN_TOO = range(5)


def a_builder(n_qos: int = 2, enforce: int = lt.ENFORCE_LIMITS, n_partitions: int = 2) -> LimitBuilder:
    """root{physics{ann, bob}, ann}: ann has two associations."""
    return LimitBuilder(
        parent=ints(-1, ROOT, PHYSICS, PHYSICS, ROOT),
        is_user=ints(0, 0, 1, 1, 1),
        n_qos=n_qos,
        tres=TRES,
        n_partitions=n_partitions,
        user_of=ints(2, 3, 0, 1, 0),
        account_of=ints(0, 1, 1, 1, 0),
        enforce=enforce,
    )


def a_job(cpu=1, assoc=ANN, qos=-1, partition=0, limit=MINUTE, mem=0, node=1, gpu=0, billing=0) -> Job:
    tres = {"cpu": cpu, "mem": mem, "node": node, "gres/gpu": gpu, "billing": billing}
    return Job(assoc=assoc, qos=qos, partition=partition, limit_ms=limit, tres=tres)


class System:
    """A few jobs under limits; all are submitted."""

    def __init__(self, builder: LimitBuilder, *jobs: Job) -> None:
        self.tables = builder.build()
        self.counters = build_counters(self.tables, len(jobs))
        self.args = (handle(self.tables), handle(self.counters), handle(jobs_table(list(jobs))))
        self.active: list[int] = []

    def refused(self, j: int) -> list[str]:
        return self._words(limits.submit_mask(*self.args, j))

    def submit(self, *jobs: int) -> None:
        for j in jobs:
            limit_usage.on_submit(*self.args, j)

    def start(self, *jobs: int, at: int = 0) -> None:
        for j in jobs:
            limit_usage.on_start(*self.args, j, at)
            self.active.append(j)

    def end(self, j: int, at: int) -> None:
        limit_usage.on_end(*self.args, j, at, 1.0)
        self.active.remove(j)

    def tick(self, at: int, factor: float = 1.0, per_second: float = 1.0) -> None:
        limit_usage.tick(*self.args, self._running(), at, factor, per_second)

    def kills(self) -> list[int]:
        out = np.zeros(10, np.int64)
        return out[: limit_usage.to_kill(*self.args, self._running(), out)].tolist()

    def held(self, j: int) -> list[str]:
        return self._words(limits.binding(*self.args, j))

    def never(self, j: int) -> list[str]:
        return self._words(limits.never(*self.args, j))

    def _words(self, mask: int) -> list[str]:
        return reasons.words(mask, self.tables.bit_code) if mask else []

    def _running(self):
        return running_in_one_pool(self.active)


def test_the_first_place_that_sets_a_limit_wins_as_in_slurms_example():
    """MaxJobs=20 in the partition QOS beats MaxJobs=4 of the user, whose MaxSubmitJobs=50 holds."""
    builder = a_builder()
    builder.partition(0, qos=1)
    builder.qos(1, "MaxJobsPU", 20)
    builder.association(ANN, "MaxJobs", 4)
    builder.association(ANN, "MaxSubmitJobs", 50)
    system = System(builder, *(a_job() for _ in range(51)))
    system.submit(*range(50))
    system.start(*range(19))
    assert system.held(30) == []
    system.start(19)
    assert system.held(30) == ["QOSMaxJobsPerUserLimit"]
    assert system.refused(50) == ["AssocMaxSubmitJobLimit"]


def test_without_the_qos_the_associations_own_limit_holds():
    builder = a_builder()
    builder.association(ROOT, "MaxJobs", 1)
    system = System(builder, a_job(), a_job(), a_job(assoc=BOB))
    system.submit(0, 1, 2)
    system.start(0)
    assert system.held(1) == ["AssocMaxJobsLimit"]  # root's limit, counted for each user association
    assert system.held(2) == []


def test_an_account_overrides_root_for_its_users():
    builder = a_builder()
    builder.association(ROOT, "MaxTRESPerJob", 2, "cpu")
    builder.association(PHYSICS, "MaxTRESPerJob", 8, "cpu")
    system = System(builder, a_job(cpu=5), a_job(cpu=5, assoc=ANN_TOO))
    assert system.held(0) == []
    assert system.held(1) == ["AssocMaxCpuPerJobLimit"]


def test_group_limits_hold_at_every_level():
    builder = a_builder()
    builder.association(ROOT, "GrpTRES", 10, "cpu")
    builder.association(PHYSICS, "GrpTRES", 100, "cpu")
    builder.qos(0, "GrpTRES", 50, "cpu")
    system = System(builder, a_job(cpu=6, assoc=ANN_TOO), a_job(cpu=6, assoc=BOB, qos=0))
    system.submit(0, 1)
    assert system.held(1) == []
    system.start(0)
    assert system.held(1) == ["AssocGrpCpuLimit"]
    rows = np.zeros((5, 6), np.int64)
    assert limits.explain(*system.args, 1, rows) == 1
    assert rows[0].tolist() == [reasons.WORDS.index("AssocGrpCpuLimit"), ROOT, 0, 10, 6, 6]
    system.end(0, MINUTE)
    assert system.held(1) == []


def test_zero_is_a_limit_and_minus_one_is_none():
    builder = a_builder()
    builder.association(ANN, "GrpJobs", 0)
    builder.association(BOB, "GrpJobs", -1)
    system = System(builder, a_job(), a_job(assoc=BOB))
    assert system.held(0) == system.never(0) == ["AssocGrpJobsLimit"]
    assert system.held(1) == []


def test_a_partition_qos_limits_two_partitions_together():
    """GrpTRES=cpu=20 of one QOS on two partitions allows 20 CPUs, not 20 each."""
    builder = a_builder()
    builder.partition(0, qos=0)
    builder.partition(1, qos=0)
    builder.qos(0, "GrpTRES", 20, "cpu")
    system = System(builder, a_job(cpu=15), a_job(cpu=6, partition=1), a_job(cpu=5, partition=1, qos=0))
    system.submit(0, 1, 2)
    system.start(0)
    assert system.held(1) == ["QOSGrpCpuLimit"]
    assert system.held(2) == []
    system.start(2)
    assert system.counters.totals[5, lt.RUNNING] == 2  # job 2 has the same QOS twice and counts once


def test_over_part_qos_swaps_the_two():
    for flags, word in ((0, ["QOSMaxCpuPerJobLimit"]), (lt.QOS_OVER_PART_QOS, [])):
        builder = a_builder()
        builder.partition(0, qos=0)
        builder.qos(0, "MaxTRESPerJob", 4, "cpu")
        builder.qos(1, "MaxTRESPerJob", 8, "cpu")
        builder.qos_flags(1, flags)
        assert System(builder, a_job(cpu=6, qos=1)).held(0) == word


def test_limit_factor_stretches_the_associations_limit_only():
    """LimitFactor 2: a GrpTRES of 30 CPUs allows 60."""
    builder = a_builder()
    builder.association(PHYSICS, "GrpTRES", 30, "cpu")
    builder.qos_factors(0, limit_factor=2.0)
    system = System(builder, a_job(cpu=60, qos=0), a_job(cpu=61, qos=0), a_job(cpu=31))
    assert [system.held(j) for j in range(3)] == [[], ["AssocGrpCpuLimit"], ["AssocGrpCpuLimit"]]
    builder = a_builder()
    builder.qos(0, "GrpTRES", 30, "cpu")
    builder.qos_factors(0, limit_factor=2.0)
    assert System(builder, a_job(cpu=31, qos=0)).held(0) == ["QOSGrpCpuLimit"]


def test_per_user_limits_join_a_users_associations():
    builder = a_builder()
    builder.qos(0, "MaxTRESPU", 8, "cpu")
    system = System(builder, a_job(cpu=5, qos=0), a_job(cpu=5, qos=0, assoc=ANN_TOO), a_job(cpu=5, qos=0, assoc=BOB))
    system.submit(0, 1, 2)
    system.start(0)
    assert system.held(1) == ["QOSMaxCpuPerUserLimit"]
    assert system.held(2) == []


def test_per_account_limits_join_an_accounts_users():
    builder = a_builder()
    builder.qos(0, "MaxJobsPA", 1)
    system = System(builder, a_job(qos=0), a_job(qos=0, assoc=ANN_TOO), a_job(qos=0, assoc=BOB))
    system.submit(0, 1, 2)
    system.start(0)
    assert system.held(1) == []
    assert system.held(2) == ["MaxJobsPerAccount"]


def test_deny_on_limit_refuses_only_what_would_not_fit_alone():
    builder = a_builder()
    builder.qos(0, "GrpTRES", 10, "cpu")
    builder.qos_flags(0, lt.QOS_DENY_ON_LIMIT)
    system = System(builder, a_job(cpu=8, qos=0), a_job(cpu=8, qos=0), a_job(cpu=11, qos=0))
    assert system.refused(0) == []
    system.submit(0)
    system.start(0)
    assert system.refused(1) == []
    assert system.held(1) == ["QOSGrpCpuLimit"]
    assert system.refused(2) == ["QOSGrpCpuLimit"]


def test_partition_limits_bind_unless_the_qos_lifts_them():
    builder = a_builder()
    builder.partition(0, max_time_ms=MINUTE, max_nodes=2, min_nodes=1)
    builder.qos(0, "MaxWall", 10 * MINUTE)
    builder.qos(1, "MaxWall", 10 * MINUTE)
    builder.qos_flags(1, lt.QOS_PARTITION_TIME_LIMIT | lt.QOS_PARTITION_MAX_NODES)
    wide = {"limit": 5 * MINUTE, "node": 3}
    system = System(builder, a_job(**wide), a_job(qos=0, **wide), a_job(qos=1, **wide), a_job(qos=1, limit=11 * MINUTE))
    assert system.held(0) == ["PartitionNodeLimit", "PartitionTimeLimit"]
    assert system.never(0) == []  # DenyOnLimit is about QOS and associations
    assert system.held(1) == ["PartitionNodeLimit", "PartitionTimeLimit"]
    assert system.held(2) == []
    assert system.held(3) == ["QOSMaxWallDurationPerJobLimit"]


def test_minutes_hold_at_the_limit_and_kill_what_uses_that_tres():
    builder = a_builder()
    builder.association(PHYSICS, "GrpTRESMins", 10, "gres/gpu")
    system = System(builder, a_job(gpu=2, limit=60 * MINUTE), a_job(limit=60 * MINUTE), a_job(gpu=1), a_job())
    system.submit(0, 1, 2, 3)
    system.start(0, 1)
    system.tick(4 * MINUTE)
    assert system.held(2) == []
    assert system.kills() == []
    system.tick(5 * MINUTE)
    assert system.held(2) == ["AssocGrpGRESMinutes"]
    assert system.held(3) == []
    assert system.kills() == [0]
    system.end(0, 5 * MINUTE)
    system.tick(5 * MINUTE, factor=0.5)
    assert system.held(2) == []


def test_safe_wants_room_for_the_whole_time_limit_beside_what_runs():
    builder = a_builder(enforce=lt.ENFORCE_SAFE)
    builder.association(PHYSICS, "GrpTRESMins", 100, "cpu")
    ten = 10 * MINUTE
    system = System(builder, a_job(cpu=6, limit=ten), a_job(cpu=5, limit=ten, assoc=BOB), a_job(cpu=4, limit=ten))
    system.submit(0, 1, 2)
    system.start(0)
    assert system.held(1) == ["AssocGrpCPUMinutesLimit"]
    assert system.held(2) == []
    system.end(0, MINUTE)  # 6 of 60 minutes were used
    assert system.held(1) == []
    assert system.kills() == []


def test_usage_factor_scales_what_is_charged_and_with_usage_factor_safe_what_must_fit():
    for flags, word in ((0, []), (lt.QOS_USAGE_FACTOR_SAFE, ["AssocGrpCPUMinutesLimit"])):
        builder = a_builder(enforce=lt.ENFORCE_SAFE)
        builder.association(PHYSICS, "GrpTRESMins", 15, "cpu")
        builder.qos_factors(0, usage_factor=2.0)
        builder.qos_flags(0, flags)
        system = System(builder, a_job(cpu=1, limit=10 * MINUTE, qos=0))
        assert system.held(0) == word
        system.submit(0)
        system.start(0)
        system.tick(3 * MINUTE)
        assert system.counters.used[PHYSICS, 0] == 6 * 60


def test_run_minutes_shrink_by_slices_and_stop_at_the_time_limit():
    builder = a_builder()
    builder.association(ROOT, "GrpTRESRunMins", 100, "cpu")
    system = System(builder, a_job(cpu=10, limit=5 * MINUTE), a_job(cpu=11, limit=5 * MINUTE))
    system.submit(0, 1)
    system.start(0)
    assert system.counters.left[[ROOT, PHYSICS, ANN, BOB], 0].tolist() == [3000, 3000, 3000, 0]
    assert system.held(1) == ["AssocGrpCPURunMinutesLimit"]
    system.tick(MINUTE)
    assert system.counters.left[ROOT, 0] == 2400
    assert system.held(1) == []
    system.tick(9 * MINUTE)  # overran its limit
    assert system.counters.left[ROOT, 0] == 0
    system.end(0, 10 * MINUTE)
    assert not system.counters.left.any()


def test_wall_time_counts_jobs_not_processors_and_decays():
    builder = a_builder()
    builder.qos(0, "GrpWall", 10 * MINUTE)
    builder.qos_factors(0, usage_factor=5.0)
    system = System(builder, a_job(cpu=9, qos=0, limit=60 * MINUTE), a_job(qos=0))
    system.submit(0, 1)
    system.start(0)
    system.tick(9 * MINUTE)
    assert system.held(1) == []
    system.tick(10 * MINUTE)
    assert system.held(1) == ["QOSGrpWallLimit"]
    assert system.never(1) == []
    system.end(0, 10 * MINUTE)
    system.tick(10 * MINUTE, factor=0.5)
    assert system.held(1) == []


def test_a_slice_is_aged_as_if_it_had_happened_at_its_start_but_not_with_no_decay():
    builder = a_builder()
    builder.association(ANN, "GrpTRESMins", 1000, "cpu")
    builder.qos(0, "GrpTRESMins", 1000, "cpu")
    builder.qos_flags(0, lt.QOS_NO_DECAY)
    system = System(builder, a_job(cpu=4, qos=0))
    system.submit(0)
    system.start(0)
    system.tick(2000, factor=0.25, per_second=0.5)
    system.tick(5000, factor=0.125, per_second=0.5)
    assert system.counters.used[ANN, 0] == 4 * 2 * 0.25 * 0.125 + 4 * 3 * 0.125
    assert system.counters.used[5, 0] == 4 * 5


def test_usage_threshold_holds_associations_below_it():
    builder = a_builder()
    builder.qos_threshold(0, 0.5)
    builder.qos_threshold(1, 0.5)
    builder.qos_flags(0, lt.QOS_ENFORCE_USAGE_THRESHOLD)
    system = System(builder, a_job(qos=0), a_job(qos=1))
    system.counters.fairshare[ANN] = 0.499
    assert system.held(0) == ["QOSUsageThreshold"]
    assert system.held(1) == []  # without the flag it is but a number
    system.counters.fairshare[ANN] = 0.5
    assert system.held(0) == []


def test_minimum_and_per_node_limits():
    builder = a_builder()
    builder.qos(0, "MinTRESPerJob", 4, "cpu")
    builder.qos(0, "MaxTRESPerNode", 2, "cpu")
    system = System(builder, a_job(cpu=3, node=2, qos=0), a_job(cpu=4, node=2, qos=0), a_job(cpu=5, node=2, qos=0))
    assert [system.held(j) for j in range(3)] == [["QOSMinCpuNotSatisfied"], [], ["QOSMaxCpuPerNode"]]


def test_billing_limits_are_in_billing_units():
    builder = a_builder()
    builder.association(ANN, "GrpTRES", 2, "billing")
    system = System(builder, a_job(billing=2000), a_job(billing=2001))
    assert [system.held(j) for j in range(2)] == [[], ["AssocGrpBilling"]]


def test_who_ages():
    builder = a_builder()
    builder.association(PHYSICS, "GrpJobsAccrue", 2)
    builder.association(ANN, "MaxJobsAccrue", 1)
    system = System(builder, a_job(), a_job(), a_job(assoc=BOB), a_job(assoc=BOB), a_job(assoc=ANN_TOO))
    system.submit(*range(5))

    def accrue(at: int) -> list[bool]:
        return [bool(limit_usage.accrue(*system.args, j, at)) for j in range(5)]

    assert accrue(7) == [True, False, True, False, True]
    assert accrue(8) == [True, False, True, False, True]
    assert system.counters.accrue_since.tolist() == [7, -1, 7, -1, 7]
    system.start(0, at=9)
    assert [bool(limit_usage.accrue(*system.args, j, 9)) for j in (1, 2, 3)] == [True, True, False]
    limit_usage.on_cancel_pending(*system.args, 2)
    assert bool(limit_usage.accrue(*system.args, 3, 10))


def test_a_qos_that_limits_ageing_per_user_replaces_the_associations_limit():
    builder = a_builder()
    builder.association(ROOT, "MaxJobsAccrue", 0)
    builder.qos(0, "MaxJobsAccruePU", 1)
    builder.qos(1, "MaxJobsAccruePA", 1)
    builder.partition(1, qos=0)
    system = System(
        builder,
        a_job(qos=0),
        a_job(qos=0, assoc=ANN_TOO),  # the same user
        a_job(qos=0, assoc=BOB),
        a_job(qos=1),  # no limit per user here, so root's 0 holds
        a_job(partition=1),  # a partition QOS neither limits nor lifts
    )
    system.submit(*range(5))
    assert [bool(limit_usage.accrue(*system.args, j, 1)) for j in range(5)] == [True, False, True, False, False]


def test_who_is_refused_at_the_door():
    builder = a_builder(enforce=lt.ENFORCE_ASSOCIATIONS | lt.ENFORCE_QOS)
    builder.qos_flags(1, lt.QOS_NOT_FOR_JOBS)
    system = System(builder, a_job(assoc=-1, qos=0), a_job(qos=-1), a_job(qos=1), a_job(qos=0))
    assert [system.refused(j) for j in range(4)] == [["InvalidAccount"], ["InvalidQOS"], ["QOSNotAllowed"], []]


@pytest.mark.parametrize(
    ("state", "refused", "held"),
    [
        ("UP", [], []),
        ("DOWN", [], ["PartitionDown"]),
        ("DRAIN", ["PartitionInactive"], []),
        ("INACTIVE", ["PartitionInactive"], ["PartitionDown"]),
    ],
)
def test_states_of_partitions(state, refused, held):
    builder = a_builder()
    builder.partition(0, state=state)
    system = System(builder, a_job(), a_job(partition=1))
    assert (system.refused(0), system.held(0)) == (refused, held)
    assert (system.refused(1), system.held(1)) == ([], [])


def test_limits_that_are_not_enforced_do_nothing():
    builder = a_builder(enforce=lt.ENFORCE_ASSOCIATIONS)
    builder.association(ROOT, "GrpJobs", 0)
    system = System(builder, a_job())
    assert system.held(0) == []
    assert len(system.tables.slot) == 0


def test_reservations_of_backfill():
    builder = a_builder()
    builder.qos_flags(0, lt.QOS_NO_RESERVE)
    builder.association(ROOT, "MinPrioThreshold", 100)
    builder.qos(1, "MinPrioThreshold", 0)
    system = System(builder, a_job(qos=0), a_job(qos=1), a_job(), a_job(assoc=-1))
    tables, _, jobs = system.args
    assert [limits.may_reserve(tables, jobs, j, 99, 50) for j in range(4)] == [False, True, False, True]
    assert limits.may_reserve(tables, jobs, 2, 100, 50)
    assert not limits.may_reserve(tables, jobs, 3, 49, 50)


def test_wait_bounds():
    builder = a_builder()
    builder.qos_max_wait(0, 1000)
    builder.qos_max_wait(1, 1000, 900)
    system = System(builder, a_job(qos=0), a_job(qos=1), a_job())
    tables, _, jobs = system.args
    assert [limits.reserve_at(tables, jobs, j) for j in range(3)] == [500, 900, NEVER]
    builder.default_wait(8000, 250)
    tables = handle(builder.build())
    assert [limits.reserve_at(tables, jobs, j) for j in range(3)] == [250, 900, 2000]


def test_no_limits_are_no_work():
    tables, counters = no_limits()
    args = (handle(tables), handle(counters), handle(jobs_table([a_job(assoc=-1)])))
    assert limits.submit_mask(*args, 0) == 0
    assert limits.binding(*args, 0) == 0
    limit_usage.on_submit(*args, 0)
    limit_usage.on_start(*args, 0, 0)
    limit_usage.on_end(*args, 0, 5, 1.0)
    assert limit_usage.accrue(*args, 0, 0)


@pytest.mark.parametrize(
    ("name", "tres", "message"),
    [
        ("MaxTRESPU", "cpu", "no limit MaxTRESPU"),
        ("GrpTRES", None, "needs TRES"),
        ("GrpJobs", "cpu", "takes no TRES"),
        ("GrpTRES", "gres/fpga", "unknown TRES gres/fpga"),
    ],
)
def test_mistakes_are_named(name, tres, message):
    with pytest.raises(PolicyError, match=message):
        a_builder().association(0, name, 1, tres)
