"""Forests of cohorts and accounts, once as the core's table and once as the naive twin."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core import cohort
from apportion.core.cohort_tables import UNIT_WEIGHT, UNLIMITED, Quotas, new_quotas
from apportion.core.handle import handle
from oracles.quotas import AccountQuotas, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis import strategies as st

    from oracles.jobs import Pool
    from oracles.quotas import Cell

ALL = "*"  # the flavour of quotas that name none
AMOUNTS = ("NominalQuota", "BorrowingLimit", "LendingLimit")


def ints(values: Any) -> Any:
    return np.array(values, np.int64)


@dataclass
class Forest:
    """Both forms; nodes are in topological order. ``cells`` : in the order of the core's columns."""

    nodes: list[Node]
    cells: list[Cell]

    def __post_init__(self) -> None:
        self.table: Quotas = table(self.nodes, self.cells)
        self.Q = handle(self.table)
        cohort.sum_up(self.Q)

    def use(self, k: int, cell: Cell, amount: int) -> None:
        """A node uses so much more, or less."""
        node = self.nodes[k]
        node.own[cell] = node.own.get(cell, 0) + amount
        change = cohort.add_usage if amount > 0 else cohort.remove_usage
        change(self.Q, k, self.cells.index(cell), abs(amount))

    def incoming(self, amounts: dict[Cell, int]) -> Any:
        return ints([amounts.get(cell, 0) for cell in self.cells])


def table(nodes: Sequence[Node], cells: Sequence[Cell]) -> Quotas:
    """The core's form of a forest without jobs."""

    def column(name: str, absent: int) -> Any:
        return ints([[getattr(node, name).get(cell, absent) for cell in cells] for node in nodes])

    n_tres = len({resource for _, resource in cells})
    none = ints([])
    found = new_quotas(
        ints([-1 if node.parent is None else list(nodes).index(node.parent) for node in nodes]),
        column("nominal", 0),
        column("borrowing", UNLIMITED),
        column("lending", UNLIMITED),
        of_assoc=none,
        tres=ints(range(n_tres)),
        governed=ints([[int(node.governed(cell)) for cell in cells] for node in nodes]),
        strict=np.zeros(len(nodes), np.int64),
        n_jobs=0,
    )
    found.weight[:] = [int(node.weight * UNIT_WEIGHT) for node in nodes]
    found.own[:] = [[node.own.get(cell, 0) for cell in cells] for node in nodes]
    found.lent[:] = [int(node.lends) for node in nodes]
    return found


def forests(least: int = 1, most: int = 7) -> st.SearchStrategy[Forest]:
    """Random forests, mostly trees, with small quotas."""
    from hypothesis import strategies as st

    @st.composite
    def build(draw: st.DrawFn) -> Forest:
        flavors = [ALL, "x", "y"][: draw(st.integers(1, 3))]
        resources = ["cpu", "gpu"][: draw(st.integers(1, 2))]
        cells = [(flavor, resource) for flavor in flavors for resource in resources]
        nodes: list[Node] = []

        def amounts(density: float) -> dict[Cell, int]:
            return {
                cell: draw(st.integers(0, 12)) for cell in cells if draw(st.floats(0, 1, exclude_max=True)) < density
            }

        for k in range(draw(st.integers(least, most))):
            above = draw(st.sampled_from([*range(k), *range(k), -1])) if k else -1
            nodes.append(
                Node(
                    str(k),
                    nodes[above] if above >= 0 else None,
                    nominal=amounts(0.7),
                    borrowing=amounts(0.3),
                    lending=amounts(0.3),
                    weight=draw(st.sampled_from([Fraction(1), Fraction(1), Fraction(0), Fraction(3, 10), Fraction(2)])),
                    lends=draw(st.sampled_from([True, True, True, False])),
                )
            )
        return Forest(nodes, cells)

    return build()


def twin(keys: dict[str, Any], pools: Sequence[Pool]) -> AccountQuotas:
    """Keys of a policy for the naive scheduler; the account of user K is aK, and pool K is called pK."""
    cohorts: dict[str, Node] = {}
    nodes: dict[str, Node | None] = {}

    def node(entry: dict[str, Any], name: str, parent: Node | None) -> Node:
        tables = [
            {(flavor, tres): n for flavor, counts in entry[key].items() for tres, n in counts.items()}
            for key in AMOUNTS
        ]
        return Node(name, parent, *tables, weight=Fraction(entry.get("FairWeight", 1)))

    for entry in keys["cohorts"]:
        cohorts[entry["Cohort"]] = node(entry, entry["Cohort"], cohorts.get(entry["Parent"]))
    for entry in keys["accounts"]:
        outer = nodes.get(entry["Parent"])
        is_node = "NominalQuota" in entry and (
            any(entry[key] for key in AMOUNTS)
            or entry["Cohort"]
            or entry["QueueingStrategy"] == "StrictFIFO"
            or entry["StopPolicy"] == "Hold"
        )
        name = entry["Account"]
        nodes[name] = node(entry, name, cohorts.get(entry["Cohort"], outer)) if is_node else outer
    named = {f for entry in (*keys["cohorts"], *keys["accounts"]) for key in AMOUNTS for f in entry.get(key, {})}
    found = {k: nodes.get(f"a{k}") for k in range(20)}
    return AccountQuotas(
        {k: n for k, n in found.items() if n is not None},
        [f"p{k}" if f"p{k}" in named else "" for k in range(len(pools))],
        frozenset(e["Account"] for e in keys["accounts"] if e.get("QueueingStrategy") == "StrictFIFO"),
        frozenset(e["Account"] for e in keys["accounts"] if e.get("StopPolicy") == "Hold"),
    )
