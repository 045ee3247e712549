"""Who may use how much: nominal quotas that a tree of cohorts borrows and lends, by the algebra of Kueue.

A node keeps ``local_quota`` to itself: what it has beyond its lending limit. Usage above that rises to the parent. What a node may
still use is what is left of its own, and of the parent as far as its borrowing limit allows. It may be negative: a lease has ended or a
quota was lowered while jobs run.

Source: Kueue, "Cluster Queue" and "Cohort" (kueue.sigs.k8s.io/docs/concepts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.cohort_tables import ALL_FLAVORS, NOT_COUNTED, STRICT_FIFO
from apportion.core.jit import kernel
from apportion.core.limits import association_of, tres_count
from apportion.core.reasons import JOB_HELD_ADMIN, QUOTA_BORROWING_LIMIT, QUOTA_COHORT, QUOTA_NOMINAL, QUOTA_ORDER
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.core.tables import Ints, Jobs


@kernel
def cell_of(Q: Quotas, flavor: int, resource: int) -> int:
    """Column of a resource in a flavour."""
    return int((flavor + 1) * Q.tres.size + resource)


@kernel
def node_of(Q: Quotas, jobs: Jobs, j: int) -> int:
    """Node whose quota a job uses, -1 for none."""
    assoc = association_of(jobs, j)
    return int(Q.of_assoc[assoc]) if assoc >= 0 else -1


@kernel
def local_quota(Q: Quotas, node: int, cell: int) -> int:
    """What a node never lends; nothing if it lends without limit."""
    lending = Q.lending[node, cell] if Q.lent[node] == 1 else 0
    return max(0, int(Q.subtree[node, cell] - lending)) if lending >= 0 else 0


@kernel
def local_available(Q: Quotas, node: int, cell: int) -> int:
    """What is free of that."""
    return max(0, local_quota(Q, node, cell) - int(Q.usage[node, cell]))


@kernel
def _room(Q: Quotas, node: int, cell: int) -> int:
    """What a node may still take of its parent by its own limits: its part of it and what it may borrow."""
    if Q.borrowing[node, cell] < 0:
        return NEVER
    kept = local_quota(Q, node, cell)
    used = max(0, int(Q.usage[node, cell]) - kept)
    return int(Q.subtree[node, cell]) - kept - used + int(Q.borrowing[node, cell])


@kernel
def available(Q: Quotas, node: int, cell: int) -> int:
    """What a node may still use, negative if more is in use than it may have."""
    most = NEVER
    local = 0  # what is kept on the way up
    while Q.parent[node] >= 0:
        local += local_available(Q, node, cell)
        most = min(most, local + _room(Q, node, cell))
        node = int(Q.parent[node])
    return min(most, local + int(Q.subtree[node, cell] - Q.usage[node, cell]))


@kernel
def potential_available(Q: Quotas, node: int, cell: int) -> int:
    """What a node might use if nobody used anything."""
    most = NEVER
    local = 0
    while Q.parent[node] >= 0:
        if Q.borrowing[node, cell] >= 0:
            most = min(most, local + int(Q.subtree[node, cell] + Q.borrowing[node, cell]))
        local += local_quota(Q, node, cell)
        node = int(Q.parent[node])
    return min(most, local + int(Q.subtree[node, cell]))


@kernel
def add_usage(Q: Quotas, node: int, cell: int, amount: int) -> None:
    """A node uses ``amount`` more; what exceeds its local quota rises to its parent."""
    Q.own[node, cell] += amount
    while True:
        kept = local_available(Q, node, cell)
        Q.usage[node, cell] += amount
        if Q.parent[node] < 0 or amount <= kept:
            return
        amount -= kept
        node = int(Q.parent[node])


@kernel
def remove_usage(Q: Quotas, node: int, cell: int, amount: int) -> None:
    """A node uses ``amount`` less; the reverse of `add_usage`."""
    Q.own[node, cell] -= amount
    while True:
        risen = int(Q.usage[node, cell]) - local_quota(Q, node, cell)
        Q.usage[node, cell] -= amount
        if Q.parent[node] < 0 or risen <= 0:
            return
        amount = min(amount, risen)
        node = int(Q.parent[node])


@kernel
def sum_up(Q: Quotas) -> None:
    """Work out the quotas of subtrees and all usage anew from what the nodes have and use themselves."""
    for node in range(Q.parent.size):
        for cell in range(Q.nominal.shape[1]):
            Q.subtree[node, cell] = Q.nominal[node, cell]
            Q.usage[node, cell] = Q.own[node, cell]
    for node in range(Q.parent.size - 1, -1, -1):
        above = Q.parent[node]
        if above < 0:
            continue
        for cell in range(Q.nominal.shape[1]):
            kept = local_quota(Q, node, cell)
            Q.subtree[above, cell] += Q.subtree[node, cell] - kept
            Q.usage[above, cell] += max(0, int(Q.usage[node, cell]) - kept)


@kernel
def _change_cell(Q: Quotas, node: int, cell: int, amount: int, sign: int) -> None:
    if Q.governed[node, cell] == 0 or amount == 0:
        return
    if sign > 0:
        add_usage(Q, node, cell, amount)
    else:
        remove_usage(Q, node, cell, amount)


@kernel
def _change_usage(Q: Quotas, jobs: Jobs, j: int, flavor: int, sign: int) -> None:
    """Add what a job asks for in a flavour, and in all flavours together, to the usage of its node, or take it off (-1)."""
    node = node_of(Q, jobs, j)
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, j, Q.tres[resource])
        if Q.in_use.shape[0] > 0:
            Q.in_use[association_of(jobs, j), resource] += sign * amount
        _change_cell(Q, node, cell_of(Q, ALL_FLAVORS, resource), amount, sign)
        if flavor != ALL_FLAVORS:
            _change_cell(Q, node, cell_of(Q, flavor, resource), amount, sign)


@kernel
def reserve(Q: Quotas, jobs: Jobs, j: int, flavor: int) -> None:
    """Let a job have its quota in a flavour, if it has none yet."""
    if node_of(Q, jobs, j) >= 0 and Q.counted[j] == NOT_COUNTED:
        Q.counted[j] = flavor
        _change_usage(Q, jobs, j, flavor, 1)


@kernel
def release(Q: Quotas, jobs: Jobs, j: int) -> None:
    """Take back the quota of a job, if it has any."""
    if node_of(Q, jobs, j) >= 0 and Q.counted[j] != NOT_COUNTED:
        _change_usage(Q, jobs, j, Q.counted[j], -1)
        Q.counted[j] = NOT_COUNTED


@kernel
def enter(Q: Quotas, jobs: Jobs, j: int) -> None:
    """A job begins to wait, in the place of its submission, also if it has run and was stopped: Kueue queues by creation, not by eviction."""
    node = node_of(Q, jobs, j)
    if node < 0:
        return
    Q.waiting[node] += 1
    if Q.strict[node] == STRICT_FIFO:
        before, after = Q.newest[node], -1
        while before >= 0 and (jobs.submit[before], before) > (jobs.submit[j], j):
            before, after = Q.older[before], before
        Q.older[j] = before
        Q.newer[j] = after
        if before < 0:
            Q.oldest[node] = j
        else:
            Q.newer[before] = j
        if after < 0:
            Q.newest[node] = j
        else:
            Q.older[after] = j


@kernel
def leave(Q: Quotas, jobs: Jobs, j: int) -> None:
    """A job waits no longer."""
    node = node_of(Q, jobs, j)
    if node < 0:
        return
    Q.waiting[node] -= 1
    if Q.strict[node] == STRICT_FIFO:
        before, after = Q.older[j], Q.newer[j]
        if before < 0:
            Q.oldest[node] = after
            Q.moved_up[0] += after >= 0
        else:
            Q.newer[before] = after
        if after < 0:
            Q.newest[node] = before
        else:
            Q.older[after] = before


@kernel
def _binding_in(Q: Quotas, node: int, cell: int, amount: int) -> int:
    """Mask of what keeps a node from using ``amount`` more of a cell."""
    if Q.governed[node, cell] == 0 or amount == 0:
        return 0
    mask = 0
    local = 0
    alone = Q.parent[node] < 0
    while Q.parent[node] >= 0:
        local += local_available(Q, node, cell)
        if local + _room(Q, node, cell) < amount:
            mask |= QUOTA_BORROWING_LIMIT
        node = int(Q.parent[node])
    if local + int(Q.subtree[node, cell] - Q.usage[node, cell]) < amount:
        mask |= QUOTA_NOMINAL if alone else QUOTA_COHORT
    return mask


@kernel
def binding(Q: Quotas, jobs: Jobs, j: int, flavor: int) -> int:
    """Mask of the quotas that hold a pending job in a flavour; 0 if it fits, or has its quota already."""
    node = node_of(Q, jobs, j)
    if node < 0 or Q.counted[j] != NOT_COUNTED:
        return 0
    mask = JOB_HELD_ADMIN if Q.stopped[node] == 1 else 0
    if Q.strict[node] == STRICT_FIFO and Q.oldest[node] >= 0 and Q.oldest[node] != j:
        mask |= QUOTA_ORDER
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, j, Q.tres[resource])
        mask |= _binding_in(Q, node, cell_of(Q, ALL_FLAVORS, resource), amount)
        if flavor != ALL_FLAVORS:
            mask |= _binding_in(Q, node, cell_of(Q, flavor, resource), amount)
    return mask


@kernel
def explain(Q: Quotas, jobs: Jobs, j: int, flavor: int, rows: Ints) -> int:
    """Write down each quota that holds a pending job, as `binding` finds them; return how many.

    Parameters
    ----------
    rows : int64[n, 5]
        For each: mask of reasons, TRES, 1 if the quota is of this flavour and 0 if of all together, what is available (negative if more is
        in use than may be), what is asked.
    """
    node = node_of(Q, jobs, j)
    if node < 0 or Q.counted[j] != NOT_COUNTED:
        return 0
    n = 0
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, j, Q.tres[resource])
        for own in range(1 if flavor == ALL_FLAVORS else 2):
            cell = cell_of(Q, flavor if own == 1 else ALL_FLAVORS, resource)
            mask = _binding_in(Q, node, cell, amount)
            if mask != 0 and n < rows.shape[0]:
                rows[n, 0] = mask
                rows[n, 1] = Q.tres[resource]
                rows[n, 2] = own
                rows[n, 3] = available(Q, node, cell)
                rows[n, 4] = amount
                n += 1
    return n
