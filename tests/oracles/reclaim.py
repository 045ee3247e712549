"""Who has to go so that an account has its quota back, as naive as can be: every question is answered from the list of running jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from oracles.jobs import Job, fits, plus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oracles.jobs import Vector
    from oracles.quotas import AccountQuotas, Cell, Node

Pair = tuple[Job, int]  # a job and when it started
RESOURCES = ("cpu", "mem", "gres/gpu")


@dataclass(frozen=True)
class Rules:
    """Kueue's words. ``threshold`` : highest priority that may be stopped to borrow, None for any."""

    within: str = "Never"
    reclaim: str = "Never"
    borrow: bool = False
    threshold: int | None = None

    def without_priority(self) -> Rules:
        """Those of a job that has stopped others and then gave way to another account: its account's own quota back from others, no more."""
        return replace(self, within="Never", borrow=False)


@dataclass(frozen=True)
class Reclaim:
    """``rules`` : by name of the account. ``priority`` : by id of the job. ``exempt`` : ms."""

    rules: Mapping[str, Rules]
    priority: Sequence[int]
    cancel: frozenset[int] = frozenset()
    exempt: int = 0
    strategies: tuple[str, ...] = ()  # of fair sharing, in the order in which they are tried


def line(node: Node) -> list[Node]:
    """A node and all above it."""
    return [node] if node.parent is None else [node, *line(node.parent)]


def may_lose(node: Node, of: Node, rules: Rules) -> bool:
    """Whether jobs of an account are worth a look for those of ``node``."""
    if of is node:
        return rules.within != "Never"
    return rules.reclaim != "Never" and any(amount > of.nominal.get(cell, 0) for cell, amount in of.own.items())


def victims(
    job: Job,
    running: Sequence[Pair],
    safe: set[int],
    free: Vector,
    quotas: AccountQuotas,
    how: Reclaim,
    was_stopped: bool = False,
    has_lost: bool = False,
) -> list[Pair]:
    """Running jobs that go for a pending one.

    ``safe`` : ids of those that may not. ``was_stopped`` : the pending one was stopped before; ``has_lost`` : by another account, after it had
    stopped others.
    """
    node, rules = quotas.account[job.user], how.rules.get(quotas.account[job.user].name, Rules())
    rules = rules.without_priority() if has_lost else rules
    asked = quotas.asked(job)

    def use(gone: Sequence[Pair]) -> None:
        quotas.use([pair for pair in running if pair not in gone])

    def does(gone: Sequence[Pair], borrow: bool) -> bool:
        use(gone)
        room = free
        for other, _ in gone:
            if other.pool == job.pool:
                room = plus(room, other.need)
        within = all(node.usage(cell) + amount <= node.subtree(cell) for cell, amount in asked.items())
        return (
            fits(job.need, room)
            and all(node.available(cell) >= amount for cell, amount in asked.items())
            and (borrow or within)
        )

    def borrows(other: Job, gone: Sequence[Pair]) -> bool:
        """Its account is above its quota of something that is short and the job has, and so are all cohorts above that the taker is not in."""
        use(gone)
        of, has = quotas.account[other.user], quotas.asked(other)
        return any(
            of.own.get(cell, 0) > of.nominal.get(cell, 0)
            and all(n.usage(cell) > n.subtree(cell) for n in line(of) if n not in line(node))
            for cell in short
            if cell in has
        )

    if does([], True):
        return []
    use([])
    room = dict(zip(RESOURCES, free, strict=True))
    short: list[Cell] = [
        cell for cell, amount in asked.items() if node.available(cell) < amount or room[cell[1]] < amount
    ]
    mine = how.priority[job.id]

    def may(other: Job) -> bool:
        if other.id in safe or other.user not in quotas.account or not set(short) & set(quotas.asked(other)):
            return False
        of, priority = quotas.account[other.user], how.priority[other.id]
        if of.root() is not node.root():
            return False
        if of is node:
            newer = priority == mine and (other.submit, other.id) > (job.submit, job.id)
            return (
                priority < mine
                if rules.within == "LowerPriority"
                else rules.within != "Never" and (priority < mine or newer)
            )
        return (rules.reclaim == "Any" or (rules.reclaim == "LowerPriority" and priority < mine)) and borrows(other, [])

    order = sorted(
        (pair for pair in running if may(pair[0])),
        key=lambda pair: (quotas.account[pair[0].user] is node, how.priority[pair[0].id], -pair[1], pair[0].id),
    )

    def share(of: Node, gone: Sequence[Pair], incoming: dict[Cell, int]) -> tuple[bool, Fraction]:
        use(gone)
        return of.weighted(
            [(flavor, name) for flavor in ["*", *filter(None, quotas.flavor)] for name in RESOURCES], incoming
        )

    def allows(rule: str, pair: Pair, gone: list[Pair]) -> bool:
        """By the shares of the two just below the first cohort that both are in."""
        of = quotas.account[pair[0].user]
        if of in line(node) or node in line(of) or (rule == "LessThanInitialShare" and was_stopped):
            return False
        above = next(n for n in line(node) if n in line(of))
        a, b = (line(n)[line(n).index(above) - 1] for n in (node, of))
        mine = share(a, [*gone, pair], asked)
        if rule == "LessThanInitialShare":
            return mine < share(b, gone, {})
        return mine <= share(b, [*gone, pair], {})

    def needed(gone: list[Pair], borrow: bool) -> list[Pair]:
        """Give back, the last one first, as far as there is still enough."""
        for back in reversed(list(gone)):
            rest = [other for other in gone if other is not back]
            if does(rest, borrow):
                gone = rest
        return gone

    gone: list[Pair] = []
    for rule in how.strategies:
        left, gone = list(order), []
        while left:
            # of equal shares the first of them; `max` keeps it
            pair = max(left, key=lambda pair: share(quotas.account[pair[0].user], gone, {}))
            left.remove(pair)
            if not borrows(pair[0], gone):
                continue
            use(gone)
            within = all(node.usage(cell) + amount <= node.subtree(cell) for cell, amount in asked.items())
            if not within and not allows(rule, pair, gone):
                continue
            gone.append(pair)
            if does(gone, True):
                return needed(gone, True)
    if how.strategies:
        return []
    below = min(mine, 10**9 if rules.threshold is None else rules.threshold + 1)
    for own_only in (False, True):
        borrow = own_only or rules.borrow
        gone = []
        for pair in order:
            if quotas.account[pair[0].user] is not node:
                if own_only or not borrows(pair[0], gone):
                    continue
                borrow = borrow and how.priority[pair[0].id] < below
            gone.append(pair)
            if does(gone, borrow):
                return needed(gone, borrow)
    return []
