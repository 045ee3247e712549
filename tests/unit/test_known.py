"""Numbers that kernels are compiled for: what hangs on them is left out, and nothing else changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from numba.core.errors import TypingError

from apportion.core.handle import Known, handle, table
from apportion.core.jit import JIT_DISABLED, kernel
from apportion.core.tables import without_the_unusual
from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict
from apportion.sim import compiled
from driving import machine, submissions, world
from oracles.jobs import Pool
from oracles.workloads import job_lists


@table
class Switches(NamedTuple):
    first: int
    second: int


@table
class Machine(NamedTuple):
    values: np.ndarray
    switches: Switches


@table
class Row(NamedTuple):
    machines: list
    first: Machine
    share: float


def machine_of(first, second):
    return Machine(np.arange(4), Switches(first, second))


@kernel
def either(m, job):
    return m.values[job] > 2 or m.switches.second == 1


@kernel
def asks(m, job):
    switches = m.switches
    found = 0
    if m.switches.first == 1:
        found += m.values[job]
    while switches.second != 0 and found < 10:
        found += 3
    return found if either(m, job) and (switches.first == 1 or m.switches.second == 1) else -found - 1


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_known_numbers_change_no_result(first, second):
    numbers = [(first, second), (Known(first), second), (first, Known(second)), (Known(first), Known(second))]
    for job in range(4):
        expected = getattr(asks, "py_func", asks)(machine_of(first, second), job)
        assert [asks(handle(machine_of(*pair)), job) for pair in numbers] == [expected] * 4


@kernel
def needs_what_is_not_there(m):
    return m.absent if m.switches.first == 1 else 7


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_what_is_never_asked_is_not_compiled():
    assert needs_what_is_not_there(handle(machine_of(Known(0), 1))) == 7
    for others in (machine_of(0, 1), machine_of(Known(1), 1)):
        with pytest.raises(TypingError):
            needs_what_is_not_there(handle(others))
    with pytest.raises(TypingError):
        needs_what_is_not_there(handle(machine_of(Known(0), 1), with_known=False))


@kernel
def sum_of_a_list(row):
    return 10 * asks(row.machines[0], 3) + asks(row.machines[1], 3) + row.share * asks(row.first, 3)


def rows():
    one, other = machine_of(Known(0), Known(1)), machine_of(Known(1), 0)
    return [Row([one, other], first, share) for first in (one, other) for share in (1, 0.5)]


def test_tables_of_a_list_are_of_one_kind_whatever_is_known_of_each():
    assert [sum_of_a_list(handle(row)) for row in rows()] == [123 + 12, 123 + 6, 123 + 3, 123 + 1.5]


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_with_a_list_and_with_whole_numbers_for_real_ones_the_kind_is_the_same():
    assert len({handle(row)._numba_type_ for row in rows()}) == 1


POOL = [Pool(8)]
PLAIN = [
    {"Order": order, "Backfill": backfill}
    for order in ("fcfs", "sjf", "wfp3")
    for backfill in ("none", "easy", "easy-sjbf", "conservative", "slurm")
]


def rules_of(policy, jobs, pools=POOL):
    return compile_policy(from_dict({**machine(pools), **policy}), submissions(jobs, 8)).state.rules


@given(job_lists(POOL, cancels=True))
@settings(max_examples=10, deadline=None)
def test_kernels_without_the_unusual_decide_alike(jobs):
    for policy in PLAIN:
        hashes = []
        for with_known in (True, False):
            made = compile_policy(from_dict({**machine(POOL), **policy}), submissions(jobs, 8))
            core, around = handle(made.state, with_known=with_known), handle(world(jobs, made))
            assert compiled.replay(core, around, 20_000)
            hashes.append(made.state.digest.tolist())
        assert hashes[0] == hashes[1]


def test_several_pools_are_unusual():
    rules = rules_of({"Order": "fcfs"}, [], [Pool(8), Pool(3)])
    assert (rules.bare, rules.several) == (1, 1)
    assert not any(isinstance(value, Known) for value in rules)


@pytest.mark.parametrize(
    ("unusual", "keys"),
    [
        ("charged", {"Order": "multifactor"}),
        ("predictor", {"Predictor": "last-two", "Backfill": "easy"}),
        ("preemptive", {"PreemptType": "partition_prio", "PreemptMode": "REQUEUE"}),
        ("assoc_limit_stop", {"SchedulerParameters": "assoc_limit_stop"}),
    ],
)
def test_a_policy_with_something_unusual_is_compiled_with_all(unusual, keys):
    assert isinstance(rules_of({"Order": "fcfs"}, []).bare, Known)
    rules = rules_of(keys, [])
    assert getattr(rules, unusual) != 0
    assert not any(isinstance(value, Known) for value in rules)
    assert without_the_unusual(rules._replace(bare=1)) == rules._replace(bare=1)


USAGE = {"Order": "multifactor", "PriorityWeightFairshare": 1000}
ACCOUNT = {"Account": "a", "NominalQuota": "cpu=4", "AdmissionMode": "UsageBasedAdmissionFairSharing"}
UNUSUAL = [
    USAGE,
    {**USAGE, "ShareEngine": "moab", "ShareParameters": {"FSDECAY": 1}},
    {**USAGE, "ShareEngine": "karma", "ShareParameters": {"Alpha": 1, "InitialCredits": 3}},
    {"accounts": [ACCOUNT], "UsageHalfLifeTime": "1:00:00", "ResourceWeights": "cpu=2"},
    {"accounts": [{**ACCOUNT, "FairWeight": 2}], "UsageHalfLifeTime": "1:00:00", "FairSharing": True},
    {"accounts": [{"Account": "a", "Budget": "cpu=4"}], "FairShareDampeningFactor": 3},
    {"Backfill": "easy", "Predictor": "quantile", "PredictorQuantile": 1},
    {"qos": [{"Name": "q", "MaxWait": "1:00:00", "UsageFactor": 2}], "MaxWaitReserveAt": 1},
]


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_all_unusual_policies_are_of_one_kind():
    kinds = {}
    for keys in UNUSUAL:
        policy = compile_policy(from_dict({**machine(POOL), **keys}), submissions([], 8))
        kinds.setdefault(handle(policy.state)._numba_type_, []).append(keys)
    assert len(kinds) == 1, list(kinds.values())
