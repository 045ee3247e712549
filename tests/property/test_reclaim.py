"""Victims of reclaim: cases worked out by hand, and what must hold for any: nobody loses its own, and no endless to and fro."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core import cohort
from apportion.core import reclaim as choice
from apportion.core import reclaim_tables as reclaim
from apportion.core.cohort_tables import ALL_FLAVORS
from apportion.core.handle import handle
from apportion.core.node_tables import no_nodes
from limit_cases import jobs_table
from oracles.limits import Job
from oracles.quotas import Node
from quota_cases import ALL, table

CPU = (ALL, "cpu")
NO_NODES = handle(no_nodes())


class Rules(NamedTuple):
    """Those of `apportion.core.reclaim_tables.Reclaim`, the same for all accounts."""

    within: int
    reclaim: int
    borrow_below: int
    first: int
    second: int


CLASSIC = Rules(reclaim.LOWER_PRIORITY, reclaim.ANY, reclaim.NO_THRESHOLD, 0, 0)


class Machine:
    """Jobs (node, processors, priority) of a forest; none runs at first."""

    def __init__(self, nodes: list[Node], jobs: list[tuple[int, int, int]], rules: Rules) -> None:
        self.nodes, self.jobs = nodes, jobs
        n = len(jobs)
        columns = table(nodes, [CPU])._replace(
            of_assoc=np.arange(len(nodes)), counted=np.full(n, -2, np.int64), tres=np.zeros(1, np.int64)
        )
        self.columns = columns
        self.Q = handle(columns)
        cohort.sum_up(self.Q)
        tres = {"mem": 0, "node": 1, "gres/gpu": 0, "billing": 0}
        rows = [Job(assoc=of, qos=-1, partition=0, limit_ms=1, tres={"cpu": procs, **tres}) for of, procs, _ in jobs]
        self.table = handle(jobs_table(rows)._replace(submit=np.arange(n)))
        columns = [np.full(len(nodes), value, np.int64) for value in rules[:3]]
        self.rules = reclaim.new_reclaim(
            np.array([priority for *_, priority in jobs], np.int64),
            *columns,
            strategies=rules[3:],
            n_cells=1,
            n_pools=1,
        )
        self.R = handle(self.rules)
        self.start = np.zeros(n, np.int64)
        self.running: list[int] = []
        self.stopped: set[int] = set()
        self.clock = 0

    def usage(self, node: int) -> int:
        return sum(self.jobs[j][1] for j in self.running if self.jobs[j][0] == node)

    def run(self, j: int) -> None:
        self.clock += 1
        self.start[j] = self.clock
        cohort.reserve(self.Q, self.table, j, ALL_FLAVORS)
        self.running.append(j)

    def stop(self, j: int) -> None:
        cohort.release(self.Q, self.table, j)
        self.running.remove(j)
        self.stopped.add(j)

    def note(self, j: int, victims: list[int]) -> None:
        """Remember that a job stops others, and which of them have taken and lose now."""
        past = self.rules.past
        past[j] = max(past[j], reclaim.HAS_TAKEN)
        for other in victims:
            if past[other] == reclaim.HAS_TAKEN and self.jobs[other][0] != self.jobs[j][0]:
                past[other] = reclaim.HAS_LOST

    def fits(self, j: int) -> bool:
        return cohort.binding(self.Q, self.table, j, ALL_FLAVORS) == 0

    def victims(self, j: int) -> list[int]:
        out = np.zeros(len(self.jobs), np.int64)
        self.rules.running[: len(self.running)] = self.running
        room = np.zeros(1, np.int64)
        n = choice.victims(
            self.Q,
            self.table,
            j,
            ALL_FLAVORS,
            len(self.running),
            self.start,
            j in self.stopped,
            self.R,
            room,
            NO_NODES,
            out,
        )
        return out[:n].tolist()


def team(*nominal: int, **keys: Any) -> list[Node]:
    top = Node("cohort")
    return [top, *(Node(str(k), top, nominal={CPU: n}, **keys) for k, n in enumerate(nominal))]


A, B, C = 1, 2, 3


def test_what_was_borrowed_is_taken_back_newest_first_and_only_as_much_as_needed():
    machine = Machine(team(4, 4), [(A, 3, 0), (A, 1, 0), (A, 2, 0), (A, 2, 0), (B, 2, 0), (B, 4, 0)], CLASSIC)
    for j in range(4):
        machine.run(j)
    assert machine.victims(4) == [3]
    assert machine.victims(5) == [3, 2]


def test_lowest_priority_first():
    machine = Machine(team(4, 4), [(A, 2, 0), (A, 2, 5), (A, 2, 1), (A, 2, 7), (B, 2, 3)], CLASSIC)
    for j in range(4):
        machine.run(j)
    assert machine.victims(4) == [0]


def test_victims_that_turn_out_not_to_be_needed_stay():
    machine = Machine(team(4, 4), [(A, 1, 0), (A, 7, 1), (B, 4, 3)], CLASSIC)
    machine.run(0)
    machine.run(1)
    assert machine.victims(2) == [1]  # 0 was taken first, and given back


def test_an_account_within_its_quota_loses_nothing_and_a_borrower_takes_nothing():
    machine = Machine(team(4, 4), [(A, 4, 0), (B, 4, 9), (B, 2, 9)], CLASSIC)
    machine.run(0)
    assert machine.victims(1) == []  # it fits as it is
    machine.run(1)
    assert machine.victims(2) == []


def test_reclaim_of_lower_priority_only():
    rules = CLASSIC._replace(reclaim=reclaim.LOWER_PRIORITY)
    machine = Machine(team(4, 4), [(A, 8, 3), (B, 4, 3), (B, 4, 4)], rules)
    machine.run(0)
    assert machine.victims(1) == []
    assert machine.victims(2) == [0]
    assert Machine(team(4, 4), [(A, 8, 3), (B, 4, 9)], rules._replace(reclaim=reclaim.NEVER_PREEMPT)).victims(1) == []


def test_within_an_account_lower_and_by_the_wider_rule_newer_jobs():
    jobs = [(A, 4, 1), (A, 4, 1), (A, 4, 2)]
    machine = Machine(team(4), jobs, CLASSIC)
    machine.run(1)
    assert machine.victims(0) == []
    assert machine.victims(2) == [1]
    wider = Machine(team(4), jobs, CLASSIC._replace(within=reclaim.LOWER_OR_NEWER_EQUAL))
    wider.run(1)
    assert wider.victims(0) == [1]
    wider.stop(1)
    wider.run(0)
    assert wider.victims(1) == []


def test_borrowing_by_preemption_below_a_threshold():
    machine = Machine(team(2, 2, 4), [(A, 8, 1), (B, 4, 5)], CLASSIC._replace(borrow_below=3))
    machine.run(0)
    assert machine.victims(1) == [0]
    machine = Machine(team(2, 2, 4), [(A, 8, 3), (B, 4, 5)], CLASSIC._replace(borrow_below=3))
    machine.run(0)
    assert machine.victims(1) == []


def test_who_stopped_others_and_gave_way_to_another_account_takes_only_its_own_back():
    rules = CLASSIC._replace(borrow_below=9)
    within = Machine(team(4), [(A, 4, 1), (A, 2, 2)], rules)
    within.run(0)
    assert within.victims(1) == [0]
    below = Machine(team(2, 4), [(B, 6, 1), (A, 4, 2), (A, 2, 2)], rules)
    below.run(0)
    assert below.victims(1) == [0]  # it borrows
    for machine in (within, below):
        machine.rules.past[1:] = reclaim.HAS_TAKEN
        assert machine.victims(1) == [0]
        machine.rules.past[1:] = reclaim.HAS_LOST
        assert machine.victims(1) == []
    assert below.victims(2) == [0]


@pytest.mark.parametrize(
    ("rule", "wide", "expected"),
    [
        (reclaim.FINAL_SHARE, 3, [1]),  # B would have 3 of 12, A keep 5
        (reclaim.FINAL_SHARE, 6, []),  # B 6, A 5
        (reclaim.INITIAL_SHARE, 6, [1]),  # B 6, A had 9
        (reclaim.INITIAL_SHARE, 9, []),
    ],
)
def test_fair_sharing(rule, wide, expected):
    rules = Rules(reclaim.NEVER_PREEMPT, reclaim.ANY, reclaim.NO_THRESHOLD, rule, 0)
    machine = Machine(team(0, 0, 12), [(A, 5, 0), (A, 4, 0), (B, wide, 0), (C, 1, 0)], rules)
    for j in (0, 1, 3):
        machine.run(j)
    assert machine.victims(2) == expected


def test_fair_sharing_takes_from_the_account_with_the_highest_share():
    rules = Rules(reclaim.NEVER_PREEMPT, reclaim.ANY, reclaim.NO_THRESHOLD, reclaim.FINAL_SHARE, 0)
    nodes = team(0, 0, 0)
    nodes[0].nominal[CPU] = 10
    machine = Machine(nodes, [(A, 3, 0), (A, 3, 0), (B, 4, 0), (C, 2, 0)], rules)
    for j in (0, 1, 2):
        machine.run(j)
    assert machine.victims(3) == [1]  # B's job is newer, but A has 6


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    fair = draw(st.booleans())
    top = Node("cohort", nominal={CPU: draw(st.integers(0, 6))})
    inner = top if fair or draw(st.booleans()) else Node("inner", top, nominal={CPU: draw(st.integers(0, 4))})
    nodes = [top] if inner is top else [top, inner]
    first = len(nodes)
    for k in range(draw(st.integers(1, 4))):
        limits = [{CPU: draw(st.integers(0, 4))} if draw(st.integers(0, 3)) == 0 else {} for _ in range(2)]
        above = draw(st.sampled_from(list(dict.fromkeys(map(id, (top, inner))))))
        parent = top if above == id(top) else inner
        nodes.append(Node(str(k), parent, {CPU: draw(st.integers(0, 6))}, *limits))
    job = st.tuples(st.integers(first, len(nodes) - 1), st.integers(1, 5), st.integers(0, 3))
    rules = Rules(
        draw(st.sampled_from([reclaim.NEVER_PREEMPT, reclaim.LOWER_PRIORITY, reclaim.LOWER_OR_NEWER_EQUAL])),
        draw(st.sampled_from([reclaim.NEVER_PREEMPT, reclaim.LOWER_PRIORITY, reclaim.ANY])),
        draw(st.sampled_from([reclaim.NO_THRESHOLD, 1, 2, 9])),
        *(draw(st.sampled_from([(1, 0), (2, 0), (1, 2)])) if fair else (0, 0)),
    )
    return Machine(nodes, draw(st.lists(job, min_size=1, max_size=10)), rules)


@given(machines(), st.data())
def test_static_demand_comes_to_rest_and_nobody_loses_its_own_to_a_borrower(machine, data):
    order = data.draw(st.permutations(range(len(machine.jobs))))
    for _ in range(60):
        moved = False
        for j in order:
            if j in machine.running:
                continue
            node, procs, _ = machine.jobs[j]
            before = machine.columns.usage.copy(), machine.columns.counted.copy()
            lost = machine.victims(j)
            assert (machine.columns.usage == before[0]).all()
            assert (machine.columns.counted == before[1]).all()
            if machine.fits(j):
                assert lost == []
                machine.run(j)
                moved = True
            elif lost:
                borrows = machine.usage(node) + procs > machine.nodes[node].nominal.get(CPU, 0)
                for victim in lost:
                    of = machine.jobs[victim][0]
                    above = machine.usage(of) > machine.nodes[of].nominal.get(CPU, 0)
                    assert of == node or above or not borrows
                machine.note(j, lost)
                for victim in lost:
                    machine.stop(victim)
                assert machine.fits(j)
                for victim in lost:  # none went in vain
                    machine.run(victim)
                    assert not machine.fits(j) or borrows
                    machine.stop(victim)
                machine.run(j)
                moved = True
        if not moved:
            return
    raise AssertionError("the jobs take from each other for ever")
