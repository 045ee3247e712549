"""Who has borrowed most: Kueue's dominant resource share, as exact fractions.

The share of a node is, for the resource where it is largest, what the node uses beyond its quota, over all flavours, divided by what
its parent could at most give, and by the node's FairWeight. A root, and who borrows nothing, has none. With weight 0 it is
infinite as soon as anything is borrowed; such nodes are compared among themselves without their weights.

Source: Kueue, "Preemption", fair sharing (kueue.sigs.k8s.io/docs/concepts/preemption), and the program itself where they differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.cohort import cell_of, potential_available
from apportion.core.cohort_tables import ALL_FLAVORS, UNIT_WEIGHT
from apportion.core.jit import kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.core.tables import Ints


@kernel
def less(a: int, b: int, c: int, d: int) -> bool:
    """Whether a / b < c / d, of numbers from 0 on and b, d > 0; exact, although a * d may be more than an int64 holds."""
    while True:
        whole, other = a // b, c // d
        if whole != other:
            return whole < other
        a, c = a - whole * b, c - other * d
        if a == 0 or c == 0:
            return a == 0 and c > 0
        # a / b < c / d, both below 1, is d / c < b / a
        a, b, c, d = d, c, b, a


@kernel
def dominant(Q: Quotas, node: int, incoming: Ints) -> tuple[int, int, int]:
    """Resource that a node has borrowed the largest part of, what it has borrowed, and what there is to lend; (-1, 0, 1) for none.

    ``incoming`` (cells) : what is to be used in addition. Of equal parts the first resource counts.
    """
    best, most, of = -1, 0, 1
    if Q.parent[node] < 0:
        return best, most, of
    for resource in range(Q.tres.size):
        borrowed = 0
        lendable = 0
        for flavor in range(ALL_FLAVORS, Q.nominal.shape[1] // Q.tres.size - 1):
            cell = cell_of(Q, flavor, resource)
            if Q.governed[node, cell] == 1:
                borrowed += max(0, int(Q.usage[node, cell] + incoming[cell] - Q.subtree[node, cell]))
                lendable += potential_available(Q, Q.parent[node], cell)
        if borrowed > 0 and (best < 0 or (lendable > 0 and less(most, of, borrowed, lendable))):
            best, most, of = resource, borrowed if lendable > 0 else 0, max(lendable, 1)
    return best, most, of


@kernel
def dominant_of_own(Q: Quotas, node: int) -> tuple[int, int, int]:
    """The same of what the jobs of a node itself use beyond its nominal quota, as if they were of an account below it."""
    best, most, of = -1, 0, 1
    for resource in range(Q.tres.size):
        borrowed = 0
        lendable = 0
        for flavor in range(ALL_FLAVORS, Q.nominal.shape[1] // Q.tres.size - 1):
            cell = cell_of(Q, flavor, resource)
            if Q.governed[node, cell] == 1:
                borrowed += max(0, int(Q.own[node, cell] - Q.nominal[node, cell]))
                lendable += potential_available(Q, node, cell)
        if borrowed > 0 and (best < 0 or (lendable > 0 and less(most, of, borrowed, lendable))):
            best, most, of = resource, borrowed if lendable > 0 else 0, max(lendable, 1)
    return best, most, of


@kernel
def share_before(Q: Quotas, a: int, borrowed_a: int, of_a: int, b: int, borrowed_b: int, of_b: int) -> bool:
    """Whether node a's share is less than node b's; the numbers are those of `dominant`."""
    zero_a = Q.weight[a] == 0 and borrowed_a > 0
    zero_b = Q.weight[b] == 0 and borrowed_b > 0
    if zero_a or zero_b:
        return zero_b and (not zero_a or less(borrowed_a, of_a, borrowed_b, of_b))
    return less(
        borrowed_a * UNIT_WEIGHT,
        of_a * max(int(Q.weight[a]), 1),
        borrowed_b * UNIT_WEIGHT,
        of_b * max(int(Q.weight[b]), 1),
    )


@kernel
def permille(Q: Quotas, node: int, borrowed: int, of: int) -> int:
    """Share in thousandths, rounded up, as Kueue reports it; NEVER for infinite."""
    if borrowed == 0:
        return 0
    if Q.weight[node] == 0:
        return NEVER
    scale = of * int(Q.weight[node])
    return (borrowed * 1000 * UNIT_WEIGHT + scale - 1) // scale
