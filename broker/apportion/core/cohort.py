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
def has_flavors(Q: Quotas) -> bool:
    """Whether any quota is of a flavour, and not of all together."""
    return Q.nominal.shape[1] > Q.tres.size


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
def _change_in_flavor(Q: Quotas, jobs: Jobs, j: int, flavor: int, sign: int) -> None:
    """Add what a job asks for to the usage of its node in a flavour, or take it off (-1)."""
    node = node_of(Q, jobs, j)
    for resource in range(Q.tres.size):
        _change_cell(Q, node, cell_of(Q, flavor, resource), tres_count(jobs, j, Q.tres[resource]), sign)


@kernel
def _change_usage(Q: Quotas, jobs: Jobs, j: int, sign: int) -> None:
    """The same in all flavours together, and in each that the job has its quota in."""
    if Q.in_use.shape[0] > 0:
        for resource in range(Q.tres.size):
            Q.in_use[association_of(jobs, j), resource] += sign * tres_count(jobs, j, Q.tres[resource])
    _change_in_flavor(Q, jobs, j, ALL_FLAVORS, sign)
    if Q.counted[j] != ALL_FLAVORS:
        _change_in_flavor(Q, jobs, j, Q.counted[j], sign)
    for flavor in range(Q.held.shape[1]):
        if Q.held[j, flavor] == 1:
            _change_in_flavor(Q, jobs, j, flavor, sign)


@kernel
def _has_quota(Q: Quotas, j: int, flavor: int) -> bool:
    """Whether a job has its quota in a flavour."""
    if Q.counted[j] == NOT_COUNTED:
        return False
    return flavor in (ALL_FLAVORS, Q.counted[j]) or (Q.held.shape[1] > 0 and Q.held[j, flavor] == 1)


@kernel
def reserve(Q: Quotas, jobs: Jobs, j: int, flavor: int) -> None:
    """Let a job have its quota in a flavour, and in no other."""
    if node_of(Q, jobs, j) < 0 or (Q.counted[j] == flavor and Q.held.shape[1] == 0):
        return
    release(Q, jobs, j)
    count_in(Q, jobs, j, flavor)


@kernel
def hold(Q: Quotas, jobs: Jobs, j: int, flavor: int) -> None:
    """Let a job have its quota in one more flavour, until it is known in which it starts and `reserve` lets the others go."""
    if Q.counted[j] == NOT_COUNTED:
        reserve(Q, jobs, j, flavor)
    elif not _has_quota(Q, j, flavor):
        Q.held[j, flavor] = 1
        _change_in_flavor(Q, jobs, j, flavor, 1)


@kernel
def release(Q: Quotas, jobs: Jobs, j: int) -> None:
    """Take back the quota of a job, if it has any."""
    count_out(Q, jobs, j)
    for flavor in range(Q.held.shape[1]):
        Q.held[j, flavor] = 0


@kernel
def count_out(Q: Quotas, jobs: Jobs, j: int) -> int:
    """See what would be if a job had no quota, until `count_in`; returns ``counted`` for it."""
    counted = int(Q.counted[j])
    if counted != NOT_COUNTED:
        _change_usage(Q, jobs, j, -1)
        Q.counted[j] = NOT_COUNTED
    return counted


@kernel
def count_in(Q: Quotas, jobs: Jobs, j: int, counted: int) -> None:
    """The reverse of `count_out`."""
    if counted != NOT_COUNTED:
        Q.counted[j] = counted
        _change_usage(Q, jobs, j, 1)


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
    """Mask of the quotas that hold a pending job in a flavour; 0 if it fits, or has its quota already.

    A job that has its quota in another flavour lacks only what this one has of its own.
    """
    node = node_of(Q, jobs, j)
    if node < 0 or _has_quota(Q, j, flavor):
        return 0
    mask = 0
    is_new = Q.counted[j] == NOT_COUNTED
    if is_new and Q.stopped[node] == 1:
        mask |= JOB_HELD_ADMIN
    if is_new and Q.strict[node] == STRICT_FIFO and Q.oldest[node] >= 0 and Q.oldest[node] != j:
        mask |= QUOTA_ORDER
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, j, Q.tres[resource])
        if is_new:
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
    if node < 0 or _has_quota(Q, j, flavor):
        return 0
    n = 0
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, j, Q.tres[resource])
        for own in range(0 if Q.counted[j] == NOT_COUNTED else 1, 1 if flavor == ALL_FLAVORS else 2):
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
