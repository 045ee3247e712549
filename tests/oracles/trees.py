"""From nested nodes to the tables of the core, and random trees for Hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from apportion.core.handle import handle
from apportion.core.share import fairshare_factors, share_state
from apportion.core.tables import Accounts, Floats
from oracles.fairshare import PARENT, Node, account, user


def table(root: Node, order: list[Node] | None = None) -> tuple[Accounts, list[Node]]:
    """Accounts table of a tree, and the node of each row; breadth first, or in a given order (parents first)."""
    if order is None:
        order = [root]
        for node in order:
            order += node.children
    row = {node.name: i for i, node in enumerate(order)}
    parent = np.full(len(order), -1)
    children: list[list[int]] = [[] for _ in order]
    for node in order:
        for child in node.children:
            parent[row[child.name]] = row[node.name]
    for i in range(1, len(order)):
        assert parent[i] < i
        children[parent[i]].append(i)
    start = np.cumsum([0, *map(len, children)])
    return (
        Accounts(
            parent=parent,
            is_user=np.array([int(node.is_user) for node in order]),
            shares=np.array([node.shares for node in order]),
            child_start=start,
            child=np.array([i for below in children for i in below], np.int64),
        ),
        order,
    )


def usage_of(order: list[Node]) -> Floats:
    return np.array([node.usage for node in order], np.float64)


def factors(engine: int, root: Node, order: list[Node] | None = None, dampening: float = 1.0) -> dict[str, float]:
    """Run an engine of the core on a tree of nodes."""
    accounts, rows = table(root, order)
    state = share_state(engine, accounts, dampening)
    fairshare_factors(handle(accounts), usage_of(rows), handle(state))
    return {node.name: value for node, value in zip(rows, state.fairshare.tolist(), strict=True)}


@st.composite
def trees(draw: st.DrawFn, parents: bool = True) -> Node:
    """Trees up to four levels deep; few distinct shares and usages, so that ties are frequent."""
    shares = st.sampled_from([0, 1, 1, 1, 2, 3, 40] + ([PARENT] if parents else []))
    usages = st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 10.0, 1e6, 0.1])
    count = 0

    def name(kind: str) -> str:
        nonlocal count
        count += 1
        return f"{kind}{count}"

    def below(depth: int) -> list[Node]:
        nodes = [user(name("u"), draw(shares), draw(usages)) for _ in range(draw(st.integers(0, 4)))]
        if depth < 3:
            nodes += [
                account(name("a"), draw(shares), *below(depth + 1)) for _ in range(draw(st.integers(0, 3 - depth)))
            ]
        return draw(st.permutations(nodes))

    return account("root", 1, *below(0))
