"""Share engines with a memory against plain Python that looks at all jobs anew."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core import share
from apportion.core.engines import history as core
from apportion.core.handle import handle
from apportion.core.tables import Accounts
from oracles import engines_over_time as oracle
from oracles.engines_over_time import Ran, World
from oracles.fairshare import Node, account, user, users
from oracles.trees import table

PERIOD = 60_000
FIRST = 1_000_000_000_000  # not a multiple of an hour
TENTHS = [0.7, 0.5, 0.25, 3.0]
CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    # what the core is made with, and what the oracle is told
    "condor": ({"decay": 0.5 ** (60 / 3600), "factors": (1000.0,), "aged": 0.5}, (3600, 1000.0)),
    "drf": ({"capacity": (64, 0, 8)}, ((64, 0, 8),)),
    "flux": ({"interval_ms": 600_000, "n_windows": 3}, (600_000, 3)),
    "kai": ({"interval_ms": 600_000, "n_windows": 3, "factors": (1.0,), "capacity": (64,)}, (600_000, 3, 1.0, 64)),
    "karma": (
        {"interval_ms": 600_000, "n_windows": 1, "factors": (0.5, 3.0), "capacity": (64,)},
        (600_000, 0.5, 3.0, 64),
    ),
    "lsf": ({"decay": 0.1 ** (60 / 3600), "factors": (*TENTHS, 1.0)}, (1, TENTHS, True)),
    "moab": ({"interval_ms": 600_000, "n_windows": 4, "decay": 0.5, "factors": (1.0, 2.0)}, (600_000, 4, 0.5, (1, 2))),
    "oar": (
        {"interval_ms": 600_000, "n_windows": 3, "factors": (1.0, 2.0, 1.0), "asks": True},
        (600_000, 3, (1, 2, 1)),
    ),
}


def play(
    name: str, accounts: Accounts, rows: list[Node], jobs: list[Ran], last: int, asked: list[int]
) -> share.ShareState:
    """Let jobs start and end in the core; factors are worked out at ``asked`` instants and at ``last``."""
    row = {node.name: i for i, node in enumerate(rows)}
    state = share.share_state(
        share.ENGINES[name], accounts, history=core.new_history(len(rows), PERIOD, FIRST, **CASES[name][0])
    )
    tree, shares = handle(accounts), handle(state)
    nothing = np.zeros(len(rows))
    events = [(job.start, 2, k) for k, job in enumerate(jobs)]
    events += [(job.end, 1 if job.end > job.start else 3, k) for k, job in enumerate(jobs) if job.end is not None]
    events += [(time, 4, -1) for time in (*asked, last)]
    for time, kind, k in sorted(events):
        share.advance(tree, shares, time)
        if kind == 4:
            share.fairshare_factors(tree, nothing, shares)
            continue
        job = jobs[k]
        args = (
            handle(state.history),
            accounts.parent,
            row[job.user],
            job.units,
            job.tres[0],
            np.array(job.tres[1:], np.int64),
        )
        if kind == 2:
            core.begin(*args, job.start, job.limit)
        else:
            core.end(*args, job.start, job.limit, job.end)
    return state


@st.composite
def cases(draw: st.DrawFn) -> tuple[Node, list[Ran], int]:
    root = draw(small_trees())
    names = [node.name for node in users(root)]
    jobs = []
    for _ in range(draw(st.integers(0, 8)) if names else 0):
        start = FIRST + 1000 * draw(st.sampled_from([0, 7, 20, 61, 600, 1000, 1999])) + draw(st.sampled_from([0, 250]))
        runs = draw(st.sampled_from([0, 30_000, 60_000, 333_000, 1_200_000, None]))
        jobs.append(
            Ran(
                draw(st.sampled_from(names)),
                start,
                None if runs is None else start + runs,
                1_500_000,
                1000 * draw(st.sampled_from([1, 1, 2, 8])),
                (draw(st.sampled_from([1, 4])), 7, draw(st.sampled_from([0, 2]))),
            )
        )
    return root, jobs, FIRST + draw(st.sampled_from([0, 59_000, 700_000, 2_500_000, 4_000_000]))


@st.composite
def small_trees(draw: st.DrawFn) -> Node:
    """Accounts in accounts, users right below root, and users with no shares."""
    count = 0

    def people(most: int) -> list[Node]:
        nonlocal count
        count += 10
        return [
            user(f"u{count + k}", draw(st.sampled_from([0, 1, 1, 2, 4])), 0) for k in range(draw(st.integers(0, most)))
        ]

    def shares() -> int:
        return draw(st.sampled_from([1, 1, 2, 3]))

    return account(
        "root",
        1,
        account("a", shares(), account("aa", shares(), *people(2)), *people(2)),
        account("b", shares(), *people(3)),
        *people(1),
    )


@pytest.mark.parametrize("name", CASES)
@settings(deadline=None, max_examples=60)
@given(case=cases(), asked=st.lists(st.integers(FIRST, FIRST + 2_400_000), max_size=4))
def test_factors_are_what_plain_python_says(name: str, case: tuple[Node, list[Ran], int], asked: list[int]):
    root, jobs, last = case
    last = max([last, *(job.end or job.start for job in jobs)])
    accounts, rows = table(root)
    state = play(name, accounts, rows, jobs, last, [time for time in asked if time < last])
    want = oracle.BY_NAME[name](World(root, rows, jobs, FIRST, last, PERIOD), *CASES[name][1])
    got = {node.name: state.fairshare[i] for i, node in enumerate(rows) if node.is_user}
    assert got == pytest.approx(want, abs=1e-9)
    assert all(0 <= factor <= 1 for factor in got.values())


def digest() -> str:
    """Hash of all factors and levels of seeded cases, to the last bit."""
    rng = random.Random(7)
    root = account(
        "root",
        1,
        account("a", 2, account("aa", 1, user("u1", 1, 0), user("u2", 3, 0)), user("u3", 1, 0)),
        account("b", 1, *(user(f"v{k}", k, 0) for k in range(3))),
    )
    names = [node.name for node in users(root)]
    jobs = []
    for _ in range(80):
        start = FIRST + rng.randrange(3_600_000)
        run = rng.choice([0, rng.randrange(1_800_000), None])
        jobs.append(
            Ran(
                rng.choice(names),
                start,
                None if run is None else start + run,
                2_000_000,
                rng.randrange(1, 9_000),
                (3, 5, 1),
            )
        )
    accounts, rows = table(root)
    result = hashlib.sha256()
    for name in CASES:
        state = play(name, accounts, rows, jobs, FIRST + 5_500_000, [FIRST + 1_000_000, FIRST + 3_000_000])
        for column in (state.fairshare, state.level_fs, state.history.aged, state.history.credits):
            result.update(column.tobytes())
    return result.hexdigest()


def test_the_same_bits_without_the_compiler():
    tests = Path(__file__).parents[1]
    code = "from differential.test_engines_over_time import digest; print(digest())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tests)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()
