"""Share engines and usage against their plain twins, compiled and not."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.handle import handle
from apportion.core.share import (
    CLASSIC,
    DEPTH_OBLIVIOUS,
    FAIR_TREE,
    FAIR_TREE_SLURM_26,
    ShareState,
    fairshare_factors,
    share_state,
)
from oracles import fairshare as oracle
from oracles.fairshare import Node, account, user, users, walk
from oracles.histories import PARENT, PERIOD, Event, histories, play
from oracles.trees import factors, table, trees, usage_of
from oracles.usage import Charged
from oracles.usage import usage as usage_by_the_book


@settings(deadline=None, max_examples=150)
@given(root=trees())
def test_fair_tree(root: Node):
    got = factors(FAIR_TREE, root)
    assert {node.name: got[node.name] for node in users(root)} == oracle.fair_tree(root)


@settings(deadline=None, max_examples=150)
@given(root=trees())
def test_fair_tree_with_the_ties_of_slurm_26(root: Node):
    """Rows depth first, so that tied accounts of a list come in the order in which the oracle finds them."""
    got = factors(FAIR_TREE_SLURM_26, root, walk(root))
    assert {node.name: got[node.name] for node in users(root)} == oracle.fair_tree(root, merge_ties=False)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_users_with_the_same_shares_tie_where_rounding_makes_their_levels_equal(data: st.DataObject):
    """Usages a few last digits apart, or so small or large beside the whole that levels lose digits, or all of them."""
    ordinary, extreme = [1.0, 1.9, 7.8], [0.0, 5e-324, 2e-308, 1e-295, 1e-285, 1e17, 1e285, 1e300]
    bases = data.draw(st.sampled_from([ordinary, ordinary + extreme]))
    usages = st.lists(st.tuples(st.sampled_from(bases), st.integers(0, 40)), min_size=2, max_size=12)
    near = [base + digits * math.ulp(base) for base, digits in data.draw(usages)]
    whole = data.draw(
        st.sampled_from([0.0, 1.0, 1.7, 6.9, max(near), 1e10, 1e300])
    )  # rounding may part it from their sum
    n = len(near)
    accounts, _ = table(Node("root", 1, children=[user(f"u{i}", 5, 0.0) for i in range(n)]))
    with np.errstate(all="ignore"):
        level = (np.float64(1) / n) / (np.array(near) / max(whole, np.finfo(np.float64).tiny))
    state = share_state(FAIR_TREE, accounts)
    for usage in near, near[::-1], near:
        fairshare_factors(handle(accounts), np.array([whole, *usage]), handle(state))
    assert state.fairshare[1:].tolist() == [(n - int((level > one).sum())) / n for one in level]


@pytest.mark.parametrize("engine", [FAIR_TREE, FAIR_TREE_SLURM_26])
@pytest.mark.parametrize("seed", [*range(80), 603, 1330])  # the last two: usage too small to change a level fairshare
def test_what_was_seen_before_leaves_no_trace(engine: int, seed: int):
    """Ranks are kept while no order and no tie has changed: usages that rise one by one, fall together and tie again."""
    rng = random.Random(seed)
    accounts, rows = table(random_tree(rng))
    kept = share_state(engine, accounts)
    usage = usage_of(rows)
    leaves = [i for i in range(len(rows)) if accounts.is_user[i]]
    for _ in range(60):
        kind = rng.randrange(6)
        if kind == 0:
            usage *= 0.5
        elif kind == 1:  # two change places, which may leave all accounts above as they were
            one, other = rng.choice(leaves), rng.choice(leaves)
            for leaf, change in (one, usage[other] - usage[one]), (other, usage[one] - usage[other]):
                row = leaf
                while row >= 0:
                    usage[row] = max(usage[row] + change, 0.0)
                    row = accounts.parent[row]
        elif kind > 2:
            leaf = rng.choice(leaves)
            levels = (
                [0.0, 1.0, 2.0, 3.0] if seed % 2 else [0.0, 1.0, 1e-320, usage[rng.choice(leaves)], 1e5 * rng.random()]
            )
            level = rng.choice(levels)
            change, row = level - usage[leaf], leaf
            while row >= 0:
                usage[row] = max(usage[row] + change, 0.0)
                row = accounts.parent[row]
        fairshare_factors(handle(accounts), usage, handle(kept))
        fresh = share_state(engine, accounts)
        fairshare_factors(handle(accounts), usage, handle(fresh))
        for column in ("fairshare", "level_fs", "effective_usage"):
            assert getattr(kept, column).tolist() == getattr(fresh, column).tolist(), column


@pytest.mark.parametrize("seed", range(12))
def test_long_lists_in_any_order(seed: int):
    """So that an insertion sort gives up; those of two accounts that tie, too."""
    rng = random.Random(seed)
    n = rng.choice([40, 150])
    kept: dict[int, ShareState] = {}
    for _ in range(3):
        usages = [rng.choice([0.0, rng.randrange(9), rng.random()]) for _ in range(n)]
        lists = [
            [user(f"{name}{i}", 1 + (i + seed) % 3 // 2, float(used)) for i, used in enumerate(rng.sample(usages, n))]
            for name in "abc"
        ]
        root = account("root", 1, account("A", 2, *lists[0]), account("B", 2, *lists[1]), *lists[2])
        root.children[1].usage = root.children[0].usage  # summed in another order, it need not be
        accounts, rows = table(root)
        for engine in (FAIR_TREE, FAIR_TREE_SLURM_26):
            state = kept.setdefault(engine, share_state(engine, accounts))
            fairshare_factors(handle(accounts), usage_of(rows), handle(state))
            got = dict(zip([node.name for node in rows], state.fairshare.tolist(), strict=True))
            expected = oracle.fair_tree(root, merge_ties=engine == FAIR_TREE)
            assert {node.name: got[node.name] for node in users(root)} == expected


@settings(deadline=None, max_examples=150)
@given(root=trees(), dampening=st.sampled_from([1.0, 2.0, 10.0]))
def test_classic(root: Node, dampening: float):
    assert factors(CLASSIC, root, dampening=dampening) == pytest.approx(oracle.classic(root, dampening), abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(root=trees())
def test_depth_oblivious(root: Node):
    got = factors(DEPTH_OBLIVIOUS, root)
    del got["root"]
    assert got == pytest.approx(oracle.depth_oblivious(root), abs=1e-9)


@settings(deadline=None, max_examples=150)
@given(
    history=histories(),
    half_life_s=st.sampled_from([0.0, 600.0, 86_400.0, 604_800.0]),
    decay=st.sampled_from(["slurm", "exact"]),
    running=st.integers(0, 3),
)
def test_usage(history: list[Event], half_life_s: float, decay: str, running: int):
    jobs = [
        Charged(event.assoc, event.start, event.time, event.billing_milli / 1000)
        for event in history
        if not event.is_start
    ]
    for k in range(running):  # some that are still running at the end
        history = [*history, Event(3_600_000 + 7000 * k, True, 3 + k, 2500, 3_600_000 + 7000 * k)]
        jobs.append(Charged(3 + k, 3_600_000 + 7000 * k, None, 2.5))
    last = 4_800_000
    got = play(history, last, half_life_s, decay).value[0].tolist()
    want = usage_by_the_book(jobs, PARENT, 0, last, PERIOD, half_life_s, decay)
    assert got == pytest.approx(want, rel=1e-9, abs=1e-4)


def random_tree(rng: random.Random, depth: int = 0, prefix: str = "n") -> Node:
    children = [
        user(f"{prefix}u{i}", rng.choice([-1, 0, 1, 1, 5]), rng.choice([0.0, 1.0, 3.0, 1e5 * rng.random()]))
        for i in range(rng.randrange(1, 5))
    ]
    if depth < 3:
        children += [random_tree(rng, depth + 1, f"{prefix}{i}.") for i in range(rng.randrange(3 - depth))]
    return account(prefix, 1 if depth == 0 else rng.choice([-1, 1, 2]), *children)


def digest() -> str:
    """Hash of all that the engines and usage give for seeded cases, to the last bit."""
    rng = random.Random(20)
    result = hashlib.sha256()
    for _ in range(15):
        root = random_tree(rng)
        accounts, rows = table(root)
        for engine in (CLASSIC, DEPTH_OBLIVIOUS, FAIR_TREE, FAIR_TREE_SLURM_26):
            state = share_state(engine, accounts)
            fairshare_factors(handle(accounts), usage_of(rows), handle(state))
            for column in (state.fairshare, state.level_fs, state.effective_usage):
                result.update(column.tobytes())
    for decay in ("slurm", "exact"):
        times = np.cumsum([rng.randrange(1, 200_000) for _ in range(60)]).tolist()
        events = [
            event
            for start, end in zip(times, times[3:], strict=False)
            for billing in [rng.randrange(1, 10**6)]
            for event in (
                Event(start, True, 3 + start % 5, billing, start),
                Event(end, False, 3 + start % 5, billing, start),
            )
        ]
        events.sort(key=lambda event: event.time)
        result.update(play(events, times[-1] + PERIOD, 86_400.0, decay).value.tobytes())
    return result.hexdigest()


def test_the_same_bits_without_the_compiler():
    tests = Path(__file__).parents[1]
    code = "from differential.test_share_oracle import digest; print(digest())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tests)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()
