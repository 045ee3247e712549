"""Which running jobs have to go so that an account has its quota back: the choice, and nothing but the choice.

Candidates are, by the policies of the account that wants to start a job: running jobs of the account itself with lower
priority (or equal priority and a later submission), and jobs of other accounts of its tree that use more than their quota of what is short. They
go in this order: other accounts' jobs first (by fair sharing those of the account with the highest share), lowest priority first,
newest first, then by index. When enough have gone, they are
given back in reverse order as far as there is still enough, so that no job goes in vain.

An account that stays within its nominal quota may take back whatever others have borrowed. An account that would itself borrow takes from
others only below a priority threshold (`borrow_below`), or by fair sharing: only while the share that it would have is not above that
of the account it takes from. So nobody who is at or below its nominal quota ever loses a job to a borrower.

Source: Kueue, "Preemption" (kueue.sigs.k8s.io/docs/concepts/preemption); of its fair sharing, the rules LessThanOrEqualToFinalShare and
LessThanInitialShare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from apportion.core import cohort
from apportion.core.cohort_share import dominant, share_before
from apportion.core.cohort_tables import ALL_FLAVORS, NOT_COUNTED
from apportion.core.jit import kernel, table
from apportion.core.limits import tres_count

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.core.tables import Ints, Jobs

# withinClusterQueue and reclaimWithinCohort
NEVER_PREEMPT: Final = 0
LOWER_PRIORITY: Final = 1
LOWER_OR_NEWER_EQUAL: Final = 2  # within the account only
ANY: Final = 3  # of other accounts only

# Fair sharing strategies, tried in this order; 0 is Kueue's classic preemption.
FINAL_SHARE: Final = 1
INITIAL_SHARE: Final = 2

NO_THRESHOLD: Final = -(2**62)  # nobody is below it: the account never borrows by preemption


@table
class ReclaimRules(NamedTuple):
    """What an account may take back: ``within`` (its own jobs) and ``reclaim`` (others' jobs), codes above.

    ``borrow_below`` : it may borrow what jobs of less than this, and less than its own, priority have; NO_THRESHOLD.
    ``first``, ``second`` : rules of fair sharing; with ``first`` 0 none, and ``borrow_below`` counts.
    """

    within: int
    reclaim: int
    borrow_below: int
    first: int
    second: int


@table
class Scratch(NamedTuple):
    """``short``, ``incoming`` (cells) ; ``flavors`` (jobs that run)."""

    short: Ints
    incoming: Ints
    flavors: Ints


@kernel
def _lacks(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, cell: int) -> bool:
    """Whether a cell is one in which the job asks for more than its account has available."""
    resource = cell % Q.tres.size
    in_flavor = cell // Q.tres.size - 1
    if (in_flavor != ALL_FLAVORS and in_flavor != flavor) or Q.governed[node, cell] == 0:
        return False
    amount = tres_count(jobs, job, Q.tres[resource])
    return amount > 0 and cohort.available(Q, node, cell) < amount


@kernel
def _fits(Q: Quotas, jobs: Jobs, node: int, job: int, flavor: int, borrows: bool) -> bool:
    """Whether there is quota for the job, and, unless it may borrow, within the nominal quota of its account."""
    for cell in range(Q.nominal.shape[1]):
        if _lacks(Q, jobs, node, job, flavor, cell):
            return False
    return borrows or not would_borrow(Q, jobs, node, job, flavor)


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
def _borrows(Q: Quotas, other: int, short: Ints) -> bool:
    """Whether a node uses more than its quota of anything that is short."""
    for cell in range(short.size):
        if short[cell] == 1 and Q.governed[other, cell] == 1 and Q.usage[other, cell] > Q.subtree[other, cell]:
            return True
    return False


@kernel
def _uses(Q: Quotas, jobs: Jobs, job: int, short: Ints) -> bool:
    """Whether a running job uses anything that is short."""
    flavor = Q.counted[job]
    for cell in range(short.size):
        in_flavor = cell // Q.tres.size - 1
        if short[cell] == 1 and (in_flavor in (ALL_FLAVORS, flavor)):
            if tres_count(jobs, job, Q.tres[cell % Q.tres.size]) > 0:
                return True
    return False


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
    running: Ints,
    n_running: int,
    priority: Ints,
    start: Ints,
    rules: ReclaimRules,
    short: Ints,
    out: Ints,
) -> int:
    """List the running jobs that may go for a job, in the order in which they do; also what is ``short`` (cells), 0 or 1.

    Returns
    -------
    int
        How many there are; they are ``out[:n]``.
    """
    node = cohort.node_of(Q, jobs, job)
    for cell in range(short.size):
        short[cell] = 1 if _lacks(Q, jobs, node, job, flavor, cell) else 0
    n = 0
    for i in range(n_running):
        other = running[i]
        of = cohort.node_of(Q, jobs, other)
        if of < 0 or _root(Q, of) != _root(Q, node) or not _uses(Q, jobs, other, short):
            continue
        lower = priority[other] < priority[job]
        if of == node:
            later = jobs.submit[other] > jobs.submit[job] or (jobs.submit[other] == jobs.submit[job] and other > job)
            newer = priority[other] == priority[job] and later
            allowed = rules.within != NEVER_PREEMPT and (lower or (rules.within == LOWER_OR_NEWER_EQUAL and newer))
        else:
            allowed = _borrows(Q, of, short) and (rules.reclaim == ANY or (rules.reclaim == LOWER_PRIORITY and lower))
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
    a, b = node, cohort.node_of(Q, jobs, other)
    while True:  # lift the two until they are siblings; parents come before children
        if Q.parent[a] == Q.parent[b]:
            break
        if a > b:
            a = int(Q.parent[a])
        else:
            b = int(Q.parent[b])
        if a == b or a < 0 or b < 0:
            return False  # one lies above the other: it shares with nobody here
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
    priority: Ints,
    scratch: Scratch,
) -> int:
    """Let candidates go until the job fits, then give back; the quotas are as before, the victims in ``out[:n]``, none if it never fits."""
    node = cohort.node_of(Q, jobs, job)
    flavors = scratch.flavors
    last = n
    for k in range(n):
        if rule > 0:
            _highest_share_first(Q, jobs, node, out, k, n, scratch.incoming)
        other = out[k]
        flavors[k] = NOT_COUNTED
        of = cohort.node_of(Q, jobs, other)
        if of != node:
            if own_only or not _borrows(Q, of, scratch.short):
                continue
            if rule > 0:
                over = would_borrow(Q, jobs, node, job, flavor)
                if over and not _share_allows(Q, jobs, node, job, flavor, other, rule, scratch.incoming):
                    continue
            elif priority[other] >= borrow_below:
                borrows = False  # from here on only what is its own is taken back
        flavors[k] = Q.counted[other]
        cohort.release(Q, jobs, other)
        if _fits(Q, jobs, node, job, flavor, borrows):
            last = k
            break
    fits = last < n
    for k in range(min(last, n - 1), -1, -1):
        if flavors[k] == NOT_COUNTED:
            continue
        cohort.reserve(Q, jobs, out[k], flavors[k])
        if fits and not _fits(Q, jobs, node, job, flavor, borrows):
            cohort.release(Q, jobs, out[k])
        else:
            flavors[k] = NOT_COUNTED
    found = 0
    for k in range(last + 1 if fits else 0):
        if flavors[k] != NOT_COUNTED:
            cohort.reserve(Q, jobs, out[k], flavors[k])
            out[found] = out[k]
            found += 1
    return found


@kernel
def victims(
    Q: Quotas,
    jobs: Jobs,
    job: int,
    flavor: int,
    running: Ints,
    n_running: int,
    priority: Ints,
    start: Ints,
    rules: ReclaimRules,
    scratch: Scratch,
    out: Ints,
) -> int:
    """Choose the running jobs that have to go so that there is quota for a pending job in a flavour.

    Parameters
    ----------
    running : int64[>= n_running]
        Jobs that run and have quota.
    priority, start : int64[n_jobs]
        Larger priorities go later; starts in ms.
    scratch : Scratch
    out : int64[>= n_running]
        Receives the victims, in the order in which they were chosen.

    Returns
    -------
    int
        How many there are; 0 if the job has quota as it is, or cannot have it by these rules.
    """
    node = cohort.node_of(Q, jobs, job)
    if node < 0 or _fits(Q, jobs, node, job, flavor, True):
        return 0
    if rules.first > 0:
        for rule in (rules.first, rules.second):
            if rule == 0:
                continue
            n = candidates(Q, jobs, job, flavor, running, n_running, priority, start, rules, scratch.short, out)
            n = _take(Q, jobs, job, flavor, out, n, True, False, NO_THRESHOLD, rule, priority, scratch)
            if n > 0:
                return n
        return 0
    below = min(rules.borrow_below, priority[job])
    n = candidates(Q, jobs, job, flavor, running, n_running, priority, start, rules, scratch.short, out)
    n = _take(Q, jobs, job, flavor, out, n, rules.borrow_below > NO_THRESHOLD, False, below, 0, priority, scratch)
    if n > 0:
        return n
    n = candidates(Q, jobs, job, flavor, running, n_running, priority, start, rules, scratch.short, out)
    return _take(Q, jobs, job, flavor, out, n, True, True, NO_THRESHOLD, 0, priority, scratch)
