"""The table of running jobs against a sorted list, whether it is read often, seldom or never until its rows are full."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from apportion.core import running
from apportion.core.codes import ENDED, RUNNING
from apportion.core.handle import handle
from apportion.core.tables import Running


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("reading", [1.0, 0.2, 0.005])
@pytest.mark.parametrize("seed", range(6))
def test_rows_are_the_running_jobs_by_expected_end(reading, seed):
    random = Random(f"{reading} {seed}")
    most, n_jobs = random.choice([3, 20, 150]), 1500
    room = 2 * most + 64
    zeros = (np.zeros(2, np.int64) for _ in range(4))
    table = Running(ints(0, room, 2 * room), *zeros, np.zeros((2 * room, 3), np.int64))
    state = np.zeros(n_jobs, np.int8)
    core = handle(table)
    naive: list[list[tuple[int, int, int]]] = [[], []]  # pool by pool, in order of start: (end, procs, job)
    for job in range(n_jobs):
        pool = random.randrange(2)
        while len(naive[pool]) == most or (naive[pool] and random.random() < 0.4):
            end, _, gone = naive[pool].pop(random.randrange(len(naive[pool])))
            state[gone] = ENDED
            running.remove(core, pool, end, gone)
        end, procs = random.randrange(1, 40 if seed % 2 else 10**6), random.randrange(1, 9)
        running.add(core, state, pool, end, procs, job)
        state[job] = RUNNING
        naive[pool].append((end, procs, job))
        if random.random() < reading or job == n_jobs - 1:
            running.settle(core, state, pool)
            first, count = int(table.first[pool]), int(table.count[pool])
            rows = [tuple(row) for row in table.row[first : first + count].tolist()]
            assert rows == sorted(naive[pool], key=lambda one: one[0])
