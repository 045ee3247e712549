"""What must hold of allocations, and that the kernels of the other share engines are what plain Python says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.engines import condor, drf, kai, karma, water
from apportion.core.engines.history import new_history
from apportion.core.handle import handle
from apportion.core.share import ENGINES, advance, fairshare_factors, share_state
from oracles import engines as oracle
from oracles.fairshare import Node, account, user, users, walk
from oracles.trees import table

relaxed = settings(deadline=None, max_examples=100)
small = st.integers(0, 12)


def ints(values) -> np.ndarray:
    return np.array(list(values), np.int64)


def floats(values) -> np.ndarray:
    return np.array(list(values), np.float64)


@relaxed
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-2, 9)), min_size=1, max_size=7), st.integers(0, 40))
def test_filling_by_level_is_filling_unit_by_unit(rows, units):
    level, room = ints(r[0] for r in rows), ints(r[1] for r in rows)
    out = np.zeros(len(rows), np.int64)
    given_out = water.fill(level, room, units, out)
    assert out.tolist() == oracle.fill_one_by_one(level.tolist(), room.tolist(), units)
    assert given_out == out.sum()


@relaxed
@given(st.data(), st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_karma_is_karma_slice_by_slice(data, n, alpha):
    capacity = data.draw(st.integers(0, 40))
    guaranteed, free = np.zeros(n, np.int64), np.zeros(n, np.int64)
    karma.guarantees(capacity, alpha, np.full(n, 1 / n), guaranteed, free)
    credits_ = ints(data.draw(st.lists(st.integers(0, 10), min_size=n, max_size=n)))
    for _ in range(4):
        demand = data.draw(st.lists(small, min_size=n, max_size=n))
        wanted, wealth = oracle.karma_round(demand, guaranteed.tolist(), free.tolist(), capacity, credits_.tolist())
        allocation = np.zeros(n, np.int64)
        karma.one_round(ints(demand), guaranteed, free, capacity, credits_, allocation, np.zeros((3, n), np.int64))
        assert allocation.tolist() == wanted
        assert credits_.tolist() == wealth
        assert allocation.sum() <= capacity
        assert (allocation <= demand).all()
        assert (credits_ >= 0).all()


@relaxed
@given(st.data(), st.integers(1, 5), st.integers(1, 3))
def test_progressive_filling(data, n, resources):
    capacity = data.draw(st.lists(st.integers(1, 30), min_size=resources, max_size=resources))
    one = st.lists(st.integers(0, 6), min_size=resources, max_size=resources).filter(any)
    need = data.draw(st.lists(one, min_size=n, max_size=n))
    weight = data.draw(st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=n, max_size=n))
    tasks, used = np.zeros(n, np.int64), np.zeros(resources, np.int64)
    table = np.ascontiguousarray(np.array(need, np.int64).T)
    drf.progressive_filling(ints(capacity), table, floats(weight), tasks, used)
    assert (used <= capacity).all()
    assert used.tolist() == (table @ tasks).tolist()
    if all(capacity[r] & (capacity[r] - 1) == 0 for r in range(resources)):  # quotients without rounding
        assert tasks.tolist() == oracle.drf_tasks(capacity, need, weight)
    for i in range(n):  # nobody could start one more
        assert (used + table[:, i] > capacity).any()


@relaxed
@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 2.0, 5.0]), st.sampled_from([0.0, 0.01, 0.2, 0.4, 1.0, float("inf")])),
        min_size=1,
        max_size=8,
    )
)
def test_fair_shares_are_max_min_to_a_hundredth(queues):
    n = len(queues)
    weight, demand = floats(q[0] for q in queues), floats(q[1] for q in queues)
    capped, uncapped = np.zeros(n), np.zeros(n)
    drf.fair_shares(weight, demand, capped, uncapped, np.zeros(n))
    assert capped.sum() <= 1 + 1e-12
    assert (capped <= demand).all()
    assert (uncapped >= capped - 1e-12).all()
    exact = oracle.water_level(weight.tolist(), demand.tolist())
    assert capped.tolist() == pytest.approx(exact, abs=drf.UNASSIGNED)


@relaxed
@given(st.data(), st.integers(1, 5), st.integers(0, 30), st.sampled_from([0.0, 1.0, 4.0]))
def test_over_quota(data, n, capacity, k):
    def column(values):
        return data.draw(st.lists(values, min_size=n, max_size=n))

    deserved, limit, request = column(st.integers(-1, 6)), column(st.integers(-1, 12)), column(small)
    weight, priority = column(st.sampled_from([0.0, 1.0, 1.0, 2.0, 4.0])), column(st.integers(0, 2))
    used = column(st.sampled_from([0.0, 0.125, 0.25, 0.5]))
    share = np.zeros(n, np.int64)
    left = kai.fair_share(
        capacity,
        ints(deserved),
        ints(limit),
        ints(request),
        floats(weight),
        ints(priority),
        floats(used),
        k,
        share,
        np.zeros(n),
    )
    wanted = [r if top < 0 else min(r, top) for r, top in zip(request, limit, strict=True)]
    assert (share <= wanted).all()
    assert share.sum() + left == capacity
    deserved_sum = sum(w if d < 0 else min(w, d) for w, d in zip(wanted, deserved, strict=True))
    assert share.sum() <= max(capacity, deserved_sum)
    want = oracle.kai_shares(capacity, deserved, limit, request, weight, priority, used, k)
    assert share.tolist() == want


@relaxed
@given(st.data(), st.integers(1, 7), st.sampled_from([0.0, 10.0, 30.0, 64.0]))
def test_group_quotas_and_allocations(data, n, pool):
    parent = [-1, *(data.draw(st.integers(0, i - 1)) for i in range(1, n))]
    static = data.draw(st.lists(st.sampled_from([-1.0, -1.0, 0.0, 5.0, 20.0]), min_size=n, max_size=n))
    dynamic = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=n, max_size=n))
    accepts = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    demand = data.draw(st.lists(st.sampled_from([0.0, 1.0, 7.0, 60.0]), min_size=n, max_size=n))
    subtree, own, allocated = np.zeros(n), np.zeros(n), np.zeros(n)
    condor.group_quotas(ints(parent), floats(static), floats(dynamic), pool, False, subtree, own)
    want = oracle.condor_quotas(parent, static, dynamic, pool)
    assert subtree.tolist() == pytest.approx(want[0], abs=1e-9)
    assert own.tolist() == pytest.approx(want[1], abs=1e-9)
    assert own.sum() == pytest.approx(pool)
    left = condor.group_allocations(
        ints(parent), subtree, own, ints(accepts), floats(demand), allocated, np.zeros((4, n))
    )
    assert allocated.sum() <= pool + 1e-6
    assert allocated.sum() + left == pytest.approx(pool, abs=1e-6)
    assert (allocated <= floats(demand) + 1e-9).all()
    assert (allocated >= np.minimum(own, demand) - 1e-9).all()
    assert allocated.tolist() == pytest.approx(
        oracle.condor_allocations(parent, subtree.tolist(), own.tolist(), accepts, demand), abs=1e-6
    )


# Factors of users who ran something for an hour, and run something now

HOUR = 3_600_000
MADE = {
    "condor": {"decay": 0.5, "factors": (1000.0,), "aged": 0.5},
    "drf": {"capacity": (4096, 4096)},
    "flux": {"interval_ms": HOUR, "n_windows": 3},
    "kai": {"interval_ms": HOUR, "n_windows": 2, "factors": (1.0,), "capacity": (4096,)},
    "karma": {"interval_ms": HOUR, "n_windows": 1, "factors": (0.5, 10.0), "capacity": (4096,)},
    "lsf": {"decay": 0.5, "factors": (0.7, 0.7, 0.1, 3.0, 1.0)},
    "moab": {"interval_ms": HOUR, "n_windows": 3, "decay": 0.5, "factors": (1.0, 1.0)},
    "oar": {"interval_ms": HOUR, "n_windows": 3, "factors": (1.0, 2.0, 1.0), "asks": True},
}
SCALE_FREE = ("drf", "flux", "moab", "oar")  # engines that read proportions only
BY_ACCOUNT = ("condor", "drf", "flux", "kai", "karma", "lsf")  # engines that compare accounts before users


@st.composite
def people(draw: st.DrawFn) -> Node:
    """Accounts, some within others, and their users with cores that they hold, as ``usage``."""
    count = 0

    def some() -> list[Node]:
        nonlocal count
        found = []
        for _ in range(draw(st.integers(1, 3))):
            count += 1
            found.append(user(f"u{count}", draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([0, 1, 2, 4, 16]))))
        return found

    inner = account("inner", draw(st.integers(1, 2)), *some())
    return account(
        "root", 1, account("a", draw(st.integers(1, 3)), *some()), account("b", 1, inner), account("c", 2, *some())
    )


def factors(engine: str, root: Node) -> dict[str, float]:
    return outcome(engine, root)[0]


def outcome(engine: str, root: Node) -> tuple[dict[str, float], dict[str, float]]:
    """Factors of users, and levels of all: everybody has held the cores for an hour and holds them still."""
    accounts, rows = table(root)
    history = new_history(len(rows), HOUR, 0, **MADE[engine])
    state = share_state(ENGINES[engine], accounts, history=history)
    for i, node in enumerate(rows):
        if node.is_user:
            cores, row = int(node.usage), i
            while row >= 0:
                history.running[0, row] += 1000 * cores
                history.asked[row] += 1000 * cores * 7200
                history.committed[row] += 1000 * cores * 7200
                if history.running.shape[0] > 1:
                    history.running[1:, row] += cores
                row = accounts.parent[row]
    shares = handle(state)
    advance(handle(accounts), shares, 2 * HOUR)
    fairshare_factors(handle(accounts), np.zeros(len(rows)), shares)
    levels = {node.name: float(state.level_fs[i]) for i, node in enumerate(rows)}
    return {node.name: float(state.fairshare[i]) for i, node in enumerate(rows) if node.is_user}, levels


@pytest.mark.parametrize("engine", MADE)
@relaxed
@given(data=st.data(), root=people())
def test_using_more_never_raises_ones_own_factor(engine: str, data: st.DataObject, root: Node):
    before = factors(engine, root)
    person = data.draw(st.sampled_from(users(root)))
    person.usage += data.draw(st.sampled_from([1, 8, 64]))
    assert factors(engine, root)[person.name] <= before[person.name]


@pytest.mark.parametrize("engine", SCALE_FREE)
@relaxed
@given(root=people(), exponent=st.integers(1, 6))
def test_using_twice_as_much_all_of_them_changes_nothing(engine: str, root: Node, exponent: int):
    before = factors(engine, root)
    for node in walk(root):
        node.usage *= 2**exponent
    assert factors(engine, root) == before


def branches(engine: str, root: Node) -> dict[str, str]:
    """Of each account with users, which association stands for it among those that root compares."""
    found = {node.name: node.name for node in root.children}
    if engine == "condor":
        return found | {"inner": "inner"}
    return found | {"inner": "b"}


@pytest.mark.parametrize("engine", BY_ACCOUNT)
@relaxed
@given(data=st.data(), root=people())
def test_a_second_name_in_an_account_gains_it_nothing(engine: str, data: st.DataObject, root: Node):
    """Accounts that were ahead of an account, or behind it, with all their users still are when a user of it goes by two names."""
    homes = [node for node in walk(root) if any(child.is_user for child in node.children)]
    home = data.draw(st.sampled_from(homes))
    person = data.draw(st.sampled_from(home.children))
    branch = branches(engine, root)
    before = outcome(engine, root)[1]
    moved = data.draw(st.integers(0, int(person.usage)))
    home.children.append(user("second", person.shares, moved))
    person.usage -= moved
    after, level = outcome(engine, root)
    own = branch[home.name]
    assert level[own] == pytest.approx(before[own], rel=1e-3)  # Karma rounds to a thousandth of a processor
    mine = [after[child.name] for child in home.children]
    for other in homes:
        theirs = [after[child.name] for child in other.children]
        if before[branch[other.name]] > before[own] * (1.001 if before[own] > 0 else 0.999):
            assert min(theirs) > max(mine)
        if before[own] > before[branch[other.name]] * (1.001 if before[own] > 0 else 0.999):
            assert min(mine) > max(theirs)
