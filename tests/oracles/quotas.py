"""Quotas over cohorts, as naive as can be: everything is worked out anew from what the nodes have and use themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oracles.jobs import Job

INFINITE = 10**30
Cell = tuple[str, str]  # flavour, resource


@dataclass
class Node:
    """A cohort or an account. ``borrowing``, ``lending`` : None for no limit."""

    name: str
    parent: Node | None = None
    nominal: dict[Cell, int] = field(default_factory=dict)
    borrowing: dict[Cell, int] = field(default_factory=dict)
    lending: dict[Cell, int] = field(default_factory=dict)
    weight: Fraction = Fraction(1)
    own: dict[Cell, int] = field(default_factory=dict)
    lends: bool = True
    children: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.parent.children.append(self)

    def subtree(self, cell: Cell) -> int:
        return self.nominal.get(cell, 0) + sum(child.lendable(cell) for child in self.children)

    def kept(self, cell: Cell) -> int:
        """What it never lends."""
        if not self.lends:
            return self.subtree(cell)
        if cell not in self.lending:
            return 0
        return max(0, self.subtree(cell) - self.lending[cell])

    def lendable(self, cell: Cell) -> int:
        return self.subtree(cell) - self.kept(cell)

    def usage(self, cell: Cell) -> int:
        return self.own.get(cell, 0) + sum(max(0, child.usage(cell) - child.kept(cell)) for child in self.children)

    def available(self, cell: Cell) -> int:
        if self.parent is None:
            return self.subtree(cell) - self.usage(cell)
        of_parent = self.parent.available(cell)
        if cell in self.borrowing:
            in_parent = max(0, self.usage(cell) - self.kept(cell))
            of_parent = min(of_parent, self.lendable(cell) - in_parent + self.borrowing[cell])
        return max(0, self.kept(cell) - self.usage(cell)) + of_parent

    def potential(self, cell: Cell) -> int:
        if self.parent is None:
            return self.subtree(cell)
        most = self.kept(cell) + self.parent.potential(cell)
        return min(most, self.subtree(cell) + self.borrowing[cell]) if cell in self.borrowing else most

    def root(self) -> Node:
        return self if self.parent is None else self.parent.root()

    def all_below(self) -> list[Node]:
        return [self, *(node for child in self.children for node in child.all_below())]

    def governed(self, cell: Cell) -> bool:
        return any(
            cell in table for node in self.root().all_below() for table in (node.nominal, node.borrowing, node.lending)
        )

    def share(self, cells: list[Cell], incoming: dict[Cell, int]) -> tuple[Fraction, str]:
        """Part that it has borrowed of what there is to lend, without its weight, and of which resource."""
        best = Fraction(0), ""
        if self.parent is None:
            return best
        for resource in sorted({resource for _, resource in cells}):
            mine = [cell for cell in cells if cell[1] == resource and self.governed(cell)]
            borrowed = sum(max(0, self.usage(cell) + incoming.get(cell, 0) - self.subtree(cell)) for cell in mine)
            lendable = sum(self.parent.potential(cell) for cell in mine)
            if borrowed and lendable and Fraction(borrowed, lendable) > best[0]:
                best = Fraction(borrowed, lendable), resource
        return best

    def weighted(self, cells: list[Cell], incoming: dict[Cell, int]) -> tuple[bool, Fraction]:
        """What shares are compared by: infinite ones last."""
        ratio = self.share(cells, incoming)[0]
        if self.weight == 0:
            return ratio > 0, ratio
        return False, ratio / self.weight


@dataclass
class AccountQuotas:
    """Quotas of accounts, as a schedule asks about them. ``account`` : of each user who has quotas. ``flavor`` : of each pool, "" for none."""

    account: Mapping[int, Node]
    flavor: Sequence[str]
    strict: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()

    def asked(self, job: Job) -> dict[Cell, int]:
        """What a job takes in its flavour, and in all together, as far as its tree has such quotas."""
        node = self.account[job.user]
        flavors = ["*", *filter(None, [self.flavor[job.pool]])]
        amounts = {"cpu": job.procs, "mem": job.mem, "gres/gpu": job.gpus}
        cells = {(flavor, name): amount for flavor in flavors for name, amount in amounts.items() if amount}
        return {cell: amount for cell, amount in cells.items() if node.governed(cell)}

    def held(self, job: Job, running: Sequence[tuple[Job, int]], pending: Sequence[Job], _now: int) -> bool:
        node = self.account.get(job.user)
        if node is None:
            return False
        if node.name in self.stopped:
            return True
        mine = [other for other in pending if self.account.get(other.user) is node]
        if node.name in self.strict and min(mine, key=lambda other: (other.submit, other.id)) != job:
            return True
        self.use(running)
        return any(node.available(cell) < amount for cell, amount in self.asked(job).items())

    def use(self, running: Sequence[tuple[Job, int]]) -> None:
        """Let the nodes use what these jobs take."""
        for account in self.account.values():
            for every in account.root().all_below():
                every.own = {}
        for other, _ in running:
            if other.user in self.account:
                own = self.account[other.user].own
                for cell, amount in self.asked(other).items():
                    own[cell] = own.get(cell, 0) + amount
