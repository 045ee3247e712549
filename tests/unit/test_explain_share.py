"""The explanation of a fair-share factor adds up, for every engine."""

from __future__ import annotations

import math

import pytest

from apportion.core.errors import PolicyError
from apportion.policy.explain import explain_share
from apportion.policy.load import from_dict
from apportion.policy.sections import ENGINE_KEYS
from apportion.sim.conventions import Conventions
from apportion.sim.replay import Schedule, replay
from apportion.sim.workload import from_trace
from apportion.traces.synth import lublin


def schedule(engine: str, **keys) -> Schedule:
    workload = from_trace(lublin(120, 4, procs=64, load=1.2, users=8, accounts=3), Conventions())
    rules = {"Order": "multifactor", "Backfill": "easy", "PriorityWeightFairshare": 1000, "ShareEngine": engine}
    return replay(workload, from_dict(rules | keys))


def over(a: float, b: float) -> float:
    return a / b if b else math.inf


# What a level is compared by, from its terms in their order.
SUMS = {
    "fair_tree": lambda shares, used, part: over(shares, part),
    "classic": lambda shares, used, part, effective, dampening: 2 ** -(effective / shares / dampening),
    "drf": over,
    "flux": lambda shares, used, part: over(shares, part),
    "kai": lambda shares, past, weight, now: over(weight, now),
    "karma": lambda owned, due: owned / due,
    "lsf": lambda shares, cpu, run, committed, slots: shares / (0.7 * cpu + 0.7 * run + 3 * (1 + slots)),
    "moab": lambda target, used, due, by_account: (target - used + due - by_account) / 2,
    "oar": lambda target, used, due, by_project, asked: 2 * (used - target) + (asked - target),
}


@pytest.mark.parametrize("engine", [*SUMS, "condor"])
def test_each_level_follows_from_its_terms(engine):
    done = schedule(engine)
    tree = done.compiled.tree
    factors = {}
    for account, user in tree.index:
        if not user:
            continue
        found, lines = explain_share(done.compiled, account, user)
        factors[account, user] = found.factor
        assert len(lines) == 1 + len(found.levels)
        assert found.levels[-1].row == found.row == tree.index[account, user]
        assert lines[0].startswith(f"{user}: fair-share factor ")
        for level in found.levels:
            terms = [term.value for term in level.terms]
            if engine == "condor":
                is_group = level.row != found.row
                want = over(terms[0], terms[1]) if is_group else 1 / terms[2]
                assert is_group or terms[2] == pytest.approx(1000 * terms[0] / terms[1])
            else:
                want = SUMS[engine](*terms)
            assert level.value == pytest.approx(want, rel=1e-9)
        if found.rank:
            assert found.factor == pytest.approx((found.users + 1 - found.rank) / found.users)
    assert len(set(factors.values())) > 2
    ranked = engine not in ("classic", "moab", "oar")
    assert (max(factors.values()) == 1.0) is ranked
    assert set(ENGINE_KEYS) == {*SUMS, "condor"}


def test_an_account_is_on_the_way_to_its_user():
    done = schedule("lsf")
    account, user = next(pair for pair in done.compiled.tree.index if pair[1])
    found, lines = explain_share(done.compiled, account, user)
    assert [done.compiled.tree.account_name[level.row] for level in found.levels] == [account, account]
    assert lines[1].startswith(f"{account}: dynamic priority ")
    assert "slots in use" in lines[1]


@pytest.mark.parametrize(
    ("engine", "name", "said"),
    [
        ("lsf", ("nobody", ""), "there is no association of account nobody"),
        ("lsf", ("a1", "nobody"), "there is no association of nobody in a1"),
        ("lsf", ("a1", ""), "a1 has no factor of its own (name a user of it, too)"),
        ("lsf", ("root", ""), "root has no factor of its own"),
    ],
)
def test_what_has_no_factor_is_said_in_a_line(engine, name, said):
    with pytest.raises(PolicyError) as told:
        explain_share(schedule(engine).compiled, *name)
    assert str(told.value).startswith(said)
    assert "\n" not in str(told.value)


def test_accounts_have_factors_where_these_are_no_ranks():
    found, _ = explain_share(schedule("moab").compiled, "a1")
    assert found.rank == 0
    assert 0 < found.factor < 1


def test_a_policy_without_accounts_has_nothing_to_explain():
    workload = from_trace(lublin(20, 4, procs=64), Conventions())
    with pytest.raises(PolicyError, match="no use for accounts"):
        explain_share(replay(workload, from_dict({"Order": "fcfs"})).compiled, "root")
