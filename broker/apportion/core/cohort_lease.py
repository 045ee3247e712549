"""Leases: who lends quota only until a time, or decides again and again whether to.

When a lease ends, the node keeps all it has to itself; what others have borrowed of it is given back as their jobs end, or is reclaimed.
A node with a lease length lends from one decision to the next if none of its own jobs waits at the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.cohort import sum_up
from apportion.core.jit import apart, kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas


@apart
def advance(Q: Quotas, now: int) -> bool:
    """End leases and decide on new ones up to ``now``, ms; True if what may be borrowed has changed.

    To be called before the events of an instant are applied, and at `next_change` while any job waits.
    """
    if Q.turn[0] > now:
        return False
    changed = False
    turn = NEVER
    for node in range(Q.parent.size):
        lent = Q.lent[node]
        if Q.lease_next[node] <= now:
            lent = 1 if Q.waiting[node] == 0 else 0
            length = Q.lease_length[node]
            Q.lease_next[node] += ((now - Q.lease_next[node]) // length + 1) * length
        if Q.lease_end[node] <= now:
            lent = 0
        else:
            turn = min(turn, Q.lease_end[node], Q.lease_next[node])
        changed |= lent != Q.lent[node]
        Q.lent[node] = lent
    Q.turn[0] = turn
    if changed:
        sum_up(Q)
    return changed


@kernel
def next_change(Q: Quotas) -> int:
    """When `advance` would change what may be borrowed if nothing happened until then, ms; NEVER if not at all."""
    time = NEVER
    if Q.turn[0] == NEVER:
        return time
    for node in range(Q.parent.size):
        if Q.lent[node] == 1:
            time = min(time, Q.lease_end[node])
        if (Q.lent[node] == 1) != (Q.waiting[node] == 0) and Q.lease_next[node] < Q.lease_end[node]:
            time = min(time, Q.lease_next[node])
    return time
