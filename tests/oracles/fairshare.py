"""Fair-share by the book: recursive, on a tree of nested nodes, with no thought of speed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

PARENT = -1


@dataclass
class Node:
    """An association. Usage of an account is that of all users below it."""

    name: str
    shares: int
    usage: float = 0.0
    is_user: bool = False
    children: list[Node] = field(default_factory=list)


def user(name: str, shares: int, usage: float) -> Node:
    return Node(name, shares, usage, is_user=True)


def account(name: str, shares: int, *children: Node) -> Node:
    return Node(name, shares, sum(child.usage for child in children), children=list(children))


def walk(node: Node) -> list[Node]:
    return [node] + [below for child in node.children for below in walk(child)]


def users(node: Node) -> list[Node]:
    return [below for below in walk(node) if below.is_user]


def compared(node: Node) -> list[Node]:
    """Those ranked with each other below an account: children, and the children of children with `parent` shares."""
    found = []
    for child in node.children:
        if not child.is_user and child.shares == PARENT:
            found += compared(child)
        else:
            found.append(child)
    return found


def level_fs(root: Node) -> dict[str, float]:
    """Level fairshare of every association that is compared with others."""
    values = {}
    for node in walk(root):
        if node.is_user or (node is not root and node.shares == PARENT):
            continue
        siblings = compared(node)
        total = sum(sibling.shares for sibling in siblings if sibling.shares != PARENT)
        for sibling in siblings:
            if sibling.shares == PARENT:
                values[sibling.name] = math.inf
            elif sibling.shares == 0:
                values[sibling.name] = 0.0
            elif sibling.usage == 0:
                values[sibling.name] = math.inf
            else:
                values[sibling.name] = (sibling.shares / total) / (sibling.usage / node.usage)
    return values


def fair_tree(root: Node, merge_ties: bool = True) -> dict[str, float]:
    """Fair-share factor of every user."""
    return ranks(root, level_fs(root), merge_ties)


def ranks(root: Node, level: dict[str, float], merge_ties: bool = True) -> dict[str, float]:
    """Rank of every user / number of users, by a walk that visits the highest level first."""
    n = len(users(root))
    visited: list[tuple[str, bool]] = []  # users in order, and whether each ties with the one before

    def groups(nodes: list[Node]) -> list[list[Node]]:
        """Equals together, best served last."""
        return [
            [node for node in nodes if level[node.name] == value]
            for value in sorted({level[node.name] for node in nodes}, reverse=True)
        ]

    def visit(nodes: list[Node], ties: bool) -> None:
        for group in groups([node for node in nodes if users(node)]):
            for node in group:
                if node.is_user:
                    visited.append((node.name, ties))
                    ties = True
            accounts = [node for node in group if not node.is_user]
            if merge_ties:
                if accounts:
                    visit([below for node in accounts for below in compared(node)], ties)
            else:
                for node in accounts:
                    visit(compared(node), ties)
                    ties = True
            ties = False

    visit(compared(root), False)
    found: dict[str, int] = {}
    rank = n
    for i, (name, ties) in enumerate(visited):
        if not ties:
            rank = n - i
        found[name] = rank
    return {name: rank / n for name, rank in found.items()}


def classic(root: Node, dampening: float = 1.0) -> dict[str, float]:
    """Classic factor of every association: 2^(-(U_E / S) / d)."""
    factors: dict[str, float] = {}

    def visit(node: Node, share: float, effective: float, first_level: bool) -> None:
        total = sum(child.shares for child in node.children if child.shares != PARENT)
        for child in node.children:
            if child.shares == PARENT:
                factors[child.name] = factors[node.name]
                visit(child, share, effective, False)
                continue
            ratio = child.shares / total if total else 0.0
            own = min(1.0, child.usage / root.usage) if root.usage else 0.0
            child_effective = own if first_level else own + (effective - own) * ratio
            child_share = share * ratio
            factors[child.name] = 2.0 ** (-(child_effective / child_share) / dampening) if child_share else 0.0
            visit(child, child_share, child_effective, False)

    factors[root.name] = 2.0 ** (-(1.0 if root.usage else 0.0) / dampening)
    visit(root, 1.0, 1.0 if root.usage else 0.0, True)
    return factors


def depth_oblivious(root: Node) -> dict[str, float]:
    """Factor 2^-R of every association below root, R = R(above) * r^k."""
    factors: dict[str, float] = {}

    def visit(node: Node, above: float) -> None:
        total = sum(child.shares for child in node.children if child.shares != PARENT)
        for child in node.children:
            if child.shares == PARENT:
                ratio = above
            elif child.shares == 0 or above == math.inf:
                ratio = math.inf
            else:
                used = child.usage / node.usage if node.usage else 0.0
                local = used / (child.shares / total)
                if local == 0 or above == 0:
                    ratio = 0.0
                else:
                    opposite = math.log(above) * math.log(local) < 0
                    k = 1 / (1 + (5 * math.log(above)) ** 2) if opposite else 1
                    ratio = above * local**k
            factors[child.name] = 0.0 if ratio == math.inf else 2.0**-ratio
            visit(child, ratio)

    visit(root, 1.0)
    return factors
