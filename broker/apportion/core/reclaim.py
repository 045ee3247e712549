"""Which running jobs have to go so that an account has its quota back: the choice, and nothing but the choice.

What a job is short of is quota, or room in its pool, or on its nodes: a lease may have ended, or processors have failed.
Where it is only that what is free lies in pieces, it is short of all it asks for. Candidates are, by the policies of the
account that wants to start a job: running jobs of the account itself with lower
priority (or equal priority and a later submission), and jobs of other accounts of its tree that use more than their quota of what is short,
as all cohorts do that they share with accounts that the first one does not belong to. They
go in this order: other accounts' jobs first (by fair sharing those of the account with the highest share), lowest priority first,
newest first, then by index. When enough have gone, they are
given back in reverse order as far as there is still enough, so that no job goes in vain.

An account that stays within its nominal quota may take back whatever others have borrowed. An account that would itself borrow takes from
others only below a priority threshold (`borrow_below`), or by fair sharing: only while the share that it would have is not above that
of the account it takes from. So nobody who is at or below its nominal quota ever loses a job to a borrower.

LessThanInitialShare looks at the share that the other account had, so it may take more than that account had borrowed, and what it leaves
over others fill: two wide jobs could stop each other for ever (kubernetes-sigs/kueue#3779 tells of such). Here, unlike in Kueue, a job that was
stopped itself borrows nothing by that rule any more, so each job does at most once.

Priority can do the same, also in Kueue, for an account takes back its own from jobs of any priority: a job of A within its quota stops one of B
that borrows, a job of A that is before it but wider than the quota stops that one, and the first of B by its priority the wide one, each second
another. Here a job that has stopped others, and then had to give way to another account, stops nobody by priority any more, neither within its
account nor so as to borrow; it only takes back from others what its account's own quota holds. So what a job takes by priority it loses to
another account at most once, and within an account a fixed order decides.

Source: Kueue, "Preemption" (kueue.sigs.k8s.io/docs/concepts/preemption); of its fair sharing, the rules LessThanOrEqualToFinalShare and
LessThanInitialShare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import cohort, node_room
from apportion.core.cohort_share import dominant, share_before
from apportion.core.cohort_tables import ALL_FLAVORS, NOT_COUNTED
from apportion.core.jit import kernel
from apportion.core.limits import tres_count
from apportion.core.nodes import give_back
from apportion.core.reclaim_tables import (
    ANY,
    FINAL_SHARE,
    HAS_LOST,
    INITIAL_SHARE,
    LOWER_OR_NEWER_EQUAL,
    LOWER_PRIORITY,
    NEVER_PREEMPT,
    NO_THRESHOLD,
    OWN_QUOTA,
)

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.core.node_tables import Nodes
    from apportion.core.reclaim_tables import Reclaim
    from apportion.core.tables import Ints, Jobs


@kernel
def _asks(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, cell: int) -> bool:
    """Whether a cell is one in which the job asks for anything."""
    in_flavor = cell // Q.tres.size - 1
    if (in_flavor != ALL_FLAVORS and in_flavor != flavor) or Q.governed[node, cell] == 0:
        return False
    return tres_count(jobs, job, Q.tres[cell % Q.tres.size]) > 0


@kernel
def _lacks(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, cell: int) -> bool:
    """Whether a cell is one in which the job asks for more than its account has available."""
    if not _asks(Q, jobs, node, job, flavor, cell):
        return False
    return cohort.available(Q, node, cell) < tres_count(jobs, job, Q.tres[cell % Q.tres.size])


@kernel
def _lacks_room(Q: Quotas, node: int, flavor: int, cell: int, room: Ints) -> bool:
    """Whether a cell is of a resource of which the pool has too little free."""
    tres = Q.tres[cell % Q.tres.size]
    in_flavor = cell // Q.tres.size - 1
    return tres < room.size and room[tres] > 0 and in_flavor in (ALL_FLAVORS, flavor) and Q.governed[node, cell] == 1


@kernel
def _fits_on_nodes(jobs: Jobs, job: int, nodes: Nodes) -> bool:
    """Whether nodes have room for the job without those that go, if there are nodes."""
    return nodes.tried.size == 0 or node_room.fits(nodes, nodes.trial, jobs.pool[job], job)


@kernel
def _fits(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, borrows: bool, room: Ints, nodes: Nodes) -> bool:
    """Whether there is room and quota for the job, and, unless it may borrow, within the nominal quota of its account."""
    for tres in range(room.size):
        if room[tres] > 0:
            return False
    for cell in range(Q.nominal.shape[1]):
        if _lacks(Q, jobs, node, job, flavor, cell):
            return False
    return (borrows or not would_borrow(Q, jobs, node, job, flavor)) and _fits_on_nodes(jobs, job, nodes)


@kernel
def _go(Q: Quotas, jobs: Jobs, job: int, other: int, room: Ints, nodes: Nodes) -> None:
    """Another job gives its quota and, where it runs in the same pool, its room."""
    cohort.release(Q, jobs, other)
    if jobs.pool[other] == jobs.pool[job]:
        for tres in range(room.size):
            room[tres] -= tres_count(jobs, other, tres)
        if nodes.tried.size > 0:
            give_back(nodes, nodes.trial, other, 1)


@kernel
def _stay(Q: Quotas, jobs: Jobs, job: int, other: int, flavor: int, room: Ints, nodes: Nodes) -> None:
    """The reverse of `_go`."""
    cohort.reserve(Q, jobs, other, flavor)
    if jobs.pool[other] == jobs.pool[job]:
        for tres in range(room.size):
            room[tres] += tres_count(jobs, other, tres)
        if nodes.tried.size > 0:
            give_back(nodes, nodes.trial, other, -1)


@kernel
def would_borrow(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int) -> bool:
    """Whether the account would use more than its quota with the job."""
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, job, Q.tres[resource])
        for f in (ALL_FLAVORS, flavor):
            cell = cohort.cell_of(Q, f, resource)
            if amount > 0 and Q.governed[node, cell] == 1 and Q.usage[node, cell] + amount > Q.subtree[node, cell]:
                return True
    return False


@kernel
def _borrows(Q: Quotas, jobs: Jobs, node: int, job: int, short: Ints) -> bool:
    """Whether the account of a running job uses more than its quota of anything that is short and that the job has.

    So must all cohorts above it that ``node`` is not in.
    """
    other = cohort.node_of(Q, jobs, job)
    for cell in range(short.size):
        if short[cell] == 0 or not _has(Q, jobs, job, cell):
            continue
        if Q.governed[other, cell] == 1 and Q.own[other, cell] > Q.nominal[other, cell]:
            above = other
            while not _is_below(Q, node, above) and Q.usage[above, cell] > Q.subtree[above, cell]:
                above = int(Q.parent[above])
            if _is_below(Q, node, above):
                return True
    return False


@kernel
def _is_below(Q: Quotas, node: int, above: int) -> bool:
    """Whether a node is another one or below it; a parent comes before its children."""
    while node > above:
        node = int(Q.parent[node])
    return node == above


@kernel
def _within(R: Reclaim, node: int, job: int) -> int:
    """Whose jobs of its own account a job may stop."""
    return NEVER_PREEMPT if R.past[job] == HAS_LOST else int(R.within[node])


@kernel
def _may_borrow_below(R: Reclaim, node: int, job: int) -> int:
    """From jobs below which priority a job may borrow; NO_THRESHOLD if from none."""
    if R.past[job] == HAS_LOST:
        return NO_THRESHOLD
    return int(min(R.borrow_below[node], R.priority[job]))


@kernel
def may_lose(Q: Quotas, node: int, job: int, other: int, R: Reclaim) -> bool:
    """Whether jobs of ``other`` are worth a look where a job of ``node`` takes back: those of its own, or of accounts above their nominal quota."""
    if node == other:
        return _within(R, node, job) != NEVER_PREEMPT
    return R.reclaim[node] != NEVER_PREEMPT and is_above_nominal(Q, other)


@kernel
def is_above_nominal(Q: Quotas, node: int) -> bool:
    """Whether the jobs of an account use more than its nominal quota of anything."""
    for cell in range(Q.nominal.shape[1]):
        if Q.governed[node, cell] == 1 and Q.own[node, cell] > Q.nominal[node, cell]:
            return True
    return False


@kernel
def is_hopeless(Q: Quotas, jobs: Jobs, job: int, flavor: int, R: Reclaim) -> bool:
    """Whether no job can go for this one, whoever runs: nobody may go, or only for what is within the quota of its account."""
    node = cohort.node_of(Q, jobs, job)
    if _within(R, node, job) != NEVER_PREEMPT:
        return False
    if R.reclaim[node] == NEVER_PREEMPT:
        return True
    return R.first == 0 and _may_borrow_below(R, node, job) == NO_THRESHOLD and would_borrow(Q, jobs, node, job, flavor)


@kernel
def _uses(Q: Quotas, jobs: Jobs, job: int, short: Ints) -> bool:
    """Whether a running job uses anything that is short."""
    for cell in range(short.size):
        if short[cell] == 1 and _has(Q, jobs, job, cell):
            return True
    return False


@kernel
def _has(Q: Quotas, jobs: Jobs, job: int, cell: int) -> bool:
    """Whether a running job uses something."""
    in_flavor = cell // Q.tres.size - 1
    return in_flavor in (ALL_FLAVORS, Q.counted[job]) and tres_count(jobs, job, Q.tres[cell % Q.tres.size]) > 0


@kernel
def _root(Q: Quotas, node: int) -> int:
    while Q.parent[node] >= 0:
        node = int(Q.parent[node])
    return node


@kernel
def _goes_before(Q: Quotas, jobs: Jobs, node: int, a: int, b: int, priority: Ints, start: Ints) -> bool:
    own_a = cohort.node_of(Q, jobs, a) == node
    own_b = cohort.node_of(Q, jobs, b) == node
    if own_a != own_b:
        return own_b
    if priority[a] != priority[b]:
        return bool(priority[a] < priority[b])
    if start[a] != start[b]:
        return bool(start[a] > start[b])
    return a < b


@kernel
def candidates(
    Q: Quotas,
    jobs: Jobs,
    job: int,
    flavor: int,
    n_running: int,
    start: Ints,
    R: Reclaim,
    room: Ints,
    nodes: Nodes,
    out: Ints,
) -> int:
    """List the running jobs that may go for a job, in the order in which they do; also what is ``R.short`` (cells), 0 or 1.

    Returns
    -------
    int
        How many there are; they are ``out[:n]``.
    """
    node, priority = cohort.node_of(Q, jobs, job), R.priority
    within, reclaim = _within(R, node, job), R.reclaim[node]
    in_pieces = not _fits_on_nodes(jobs, job, nodes)
    for cell in range(R.short.size):
        lacks = in_pieces and _asks(Q, jobs, node, job, flavor, cell)
        lacks = lacks or _lacks(Q, jobs, node, job, flavor, cell) or _lacks_room(Q, node, flavor, cell, room)
        R.short[cell] = 1 if lacks else 0
    n = 0
    for i in range(n_running):
        other = R.running[i]
        of = cohort.node_of(Q, jobs, other)
        if of < 0 or _root(Q, of) != _root(Q, node) or not _uses(Q, jobs, other, R.short):
            continue
        lower = priority[other] < priority[job]
        if of == node:
            later = jobs.submit[other] > jobs.submit[job] or (jobs.submit[other] == jobs.submit[job] and other > job)
            newer = priority[other] == priority[job] and later
            allowed = within != NEVER_PREEMPT and (lower or (within == LOWER_OR_NEWER_EQUAL and newer))
        else:
            allowed = (reclaim == ANY or (reclaim == LOWER_PRIORITY and lower)) and _borrows(
                Q, jobs, node, other, R.short
            )
        if not allowed:
            continue
        k = n
        while k > 0 and _goes_before(Q, jobs, node, other, out[k - 1], priority, start):
            out[k] = out[k - 1]
            k -= 1
        out[k] = other
        n += 1
    return n


@kernel
def _share_allows(
    Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, other: int, rule: int, incoming: Ints
) -> bool:
    """Whether a fair sharing rule lets ``job`` take from ``other``: shares of the two nodes just below their first common one."""
    if rule == OWN_QUOTA:
        return False
    a, b = node, cohort.node_of(Q, jobs, other)
    above, up = a, b
    while above != up:  # a parent comes before its children
        if above > up:
            above = int(Q.parent[above])
        else:
            up = int(Q.parent[up])
    if above in (a, b):
        return False  # one lies above the other: it shares with nobody here
    while Q.parent[a] != above:
        a = int(Q.parent[a])
    while Q.parent[b] != above:
        b = int(Q.parent[b])
    of = Q.counted[other]
    for cell in range(incoming.size):
        incoming[cell] = 0
    _, before, of_before = dominant(Q, b, incoming)
    cohort.release(Q, jobs, other)
    _, after, of_after = dominant(Q, b, incoming)
    for resource in range(Q.tres.size):
        amount = tres_count(jobs, job, Q.tres[resource])
        for f in (ALL_FLAVORS, flavor):
            incoming[cohort.cell_of(Q, f, resource)] = amount
    _, mine, of_mine = dominant(Q, a, incoming)
    cohort.reserve(Q, jobs, other, of)
    if rule == FINAL_SHARE:
        return not share_before(Q, b, after, of_after, a, mine, of_mine)
    return share_before(Q, a, mine, of_mine, b, before, of_before)


@kernel
def _highest_share_first(Q: Quotas, jobs: Jobs, node: int, out: Ints, begin: int, n: int, incoming: Ints) -> None:
    """Bring the first candidate of the other account with the highest share to row ``begin``."""
    for cell in range(incoming.size):
        incoming[cell] = 0
    best = -1
    for k in range(begin, n):
        of = cohort.node_of(Q, jobs, out[k])
        if of == node:
            break  # its own come last
        if best < 0:
            best = k
            continue
        top = cohort.node_of(Q, jobs, out[best])
        _, most, of_most = dominant(Q, top, incoming)
        _, this, of_this = dominant(Q, of, incoming)
        if of != top and share_before(Q, top, most, of_most, of, this, of_this):
            best = k
    if best > begin:
        job = out[best]
        for k in range(best, begin, -1):
            out[k] = out[k - 1]
        out[begin] = job


@kernel
def _take(
    Q: Quotas,
    jobs: Jobs,
    job: int,
    flavor: int,
    out: Ints,
    n: int,
    borrows: bool,
    own_only: bool,
    borrow_below: int,
    rule: int,
    R: Reclaim,
    room: Ints,
    nodes: Nodes,
) -> int:
    """Let candidates go until the job fits, then give back; quotas and room are as before, the victims in ``out[:n]``, none if it never fits."""
    node = cohort.node_of(Q, jobs, job)
    flavors = R.flavors
    last = n
    for k in range(n):
        if rule > 0:
            _highest_share_first(Q, jobs, node, out, k, n, R.incoming)
        other = out[k]
        flavors[k] = NOT_COUNTED
        of = cohort.node_of(Q, jobs, other)
        if of != node:
            if own_only or not _borrows(Q, jobs, node, other, R.short):
                continue
            if rule > 0:
                over = would_borrow(Q, jobs, node, job, flavor)
                if over and not _share_allows(Q, jobs, node, job, flavor, other, rule, R.incoming):
                    continue
            elif R.priority[other] >= borrow_below:
                borrows = False  # from here on only what is its own is taken back
        flavors[k] = Q.counted[other]
        _go(Q, jobs, job, other, room, nodes)
        if _fits(Q, jobs, node, job, flavor, borrows, room, nodes):
            last = k
            break
    fits = last < n
    for k in range(min(last, n - 1), -1, -1):
        if flavors[k] == NOT_COUNTED:
            continue
        _stay(Q, jobs, job, out[k], flavors[k], room, nodes)
        if fits and not _fits(Q, jobs, node, job, flavor, borrows, room, nodes):
            _go(Q, jobs, job, out[k], room, nodes)
        else:
            flavors[k] = NOT_COUNTED
    found = 0
    for k in range(last + 1 if fits else 0):
        if flavors[k] != NOT_COUNTED:
            _stay(Q, jobs, job, out[k], flavors[k], room, nodes)
            out[found] = out[k]
            found += 1
    return found


@kernel
def victims(
    Q: Quotas,
    jobs: Jobs,
    job: int,
    flavor: int,
    n_running: int,
    start: Ints,
    was_stopped: bool,
    R: Reclaim,
    room: Ints,
    nodes: Nodes,
    out: Ints,
) -> int:
    """Choose the running jobs that have to go so that there is quota and room for a pending job in a flavour.

    Parameters
    ----------
    n_running : int
        Jobs that run and have quota; they are ``R.running[:n_running]``.
    start : int64[n_jobs]
        ms.
    was_stopped : bool
        Whether the pending job was itself stopped before: then it borrows nothing by INITIAL_SHARE.
    room : int64[1 + n_extra]
        What the pool of the job lacks for it of each TRES; 0 or less where there is enough.
    nodes : Nodes
        ``trial`` is what the nodes of the pool have free now, and is so again afterwards; empty where pools are counts.
    out : int64[>= n_running]
        Receives the victims, in the order in which they were chosen.

    Returns
    -------
    int
        How many there are; 0 if the job fits as it is, or cannot by these rules.
    """
    node = cohort.node_of(Q, jobs, job)
    if node < 0 or _fits(Q, jobs, node, job, flavor, True, room, nodes):
        return 0
    if R.first > 0:
        for rule in (R.first, R.second):
            if rule == 0:
                continue
            by = OWN_QUOTA if rule == INITIAL_SHARE and was_stopped else rule
            n = candidates(Q, jobs, job, flavor, n_running, start, R, room, nodes, out)
            n = _take(Q, jobs, job, flavor, out, n, True, False, NO_THRESHOLD, by, R, room, nodes)
            if n > 0:
                return n
        return 0
    below = _may_borrow_below(R, node, job)
    n = candidates(Q, jobs, job, flavor, n_running, start, R, room, nodes, out)
    n = _take(Q, jobs, job, flavor, out, n, below > NO_THRESHOLD, False, below, 0, R, room, nodes)
    if n > 0 or _within(R, node, job) == NEVER_PREEMPT:
        return n
    n = candidates(Q, jobs, job, flavor, n_running, start, R, room, nodes, out)
    return _take(Q, jobs, job, flavor, out, n, True, True, NO_THRESHOLD, 0, R, room, nodes)
