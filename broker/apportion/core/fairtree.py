"""Fair Tree: rank users by walking the tree of associations, the worst-served branch first.

Source: Slurm's description at https://slurm.schedmd.com/fair_tree.html (Cox and Morrison, 2014). Level fairshare is LF
= S / U with S = shares / siblings' shares and U = usage / usage of the account above. Both quotients are rounded before
the third is taken: whether two users that are equal on paper tie rests on this order, and Slurm's own test shows that
it is this one.

Accounts with equal LF: the description merges them and lets all their children compete in one list, and so did Slurm
22.05 when measured. As read in the source of 26.11 they are visited one after the other instead, and only the first
user of the next one ties with the user before. Both can be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.decay import SMALLEST
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

# What is remembered of the last evaluation.
REMEMBERS_NOTHING = 0
RANKED = 1

UNKNOWN = -1

# Two usages with a larger quotient, and with the same shares, have different levels: eight times what rounding can do.
APART = 1 + 2.0**-48
# Times less, or more, than the account above: there levels may be rounded more coarsely, to infinity at last.
EXTREME = 1e290


@kernel
def fair_tree(accounts: Accounts, usage: Floats, state: ShareState, merge_ties: bool) -> None:
    """Rank all users; see `apportion.core.share.update_factors`.

    Cost: one pass over the associations that are compared with others, and one comparison for each while their order stays as it was.
    Ranks rest on the order of each list and on its ties alone, so they are given out anew only when one of these has changed; and as long
    as ties stay as they were and those who changed places have none, only to these. Save where accounts that have been used tie, as then
    users of several lists are compared.

    Parameters
    ----------
    merge_ties : bool
        Merge accounts with equal level fairshare, or visit them in the order of their indices.
    """
    rank_by_level(accounts.is_user, usage, state, merge_ties, True)


@kernel
def rank_by_level(is_user: Ints, usage: Floats, state: ShareState, merge_ties: bool, of_usage: bool) -> None:
    """Rank all users by walking the lists, those of the highest level first: Fair Tree's, ``of_usage``, or else ``state.level_fs``."""
    lists, memory = state.lists, state.memory
    from_scratch = memory[0] != RANKED
    for k in range(memory[1]):
        from_scratch |= usage[state.merged[k]] > 0.0
    for k in range(lists.shape[0]):
        begin, end = _sort_list(usage, state, lists[k], of_usage)
        if begin == end:
            continue
        if from_scratch or begin == UNKNOWN or state.next_rank[begin] == UNKNOWN:
            from_scratch = True
        else:  # if a list above has changed, too, its turn puts right what this one may get wrong
            _rank(is_user, usage, state, merge_ties, of_usage, begin, end, state.next_rank[begin])
    if from_scratch:
        memory[0], memory[1] = REMEMBERS_NOTHING, 0
        _rank(
            is_user, usage, state, merge_ties, of_usage, state.start[0], state.start[1], state.rank_value.shape[0] - 1
        )
        memory[0] = RANKED


@kernel
def _level(ratio: float, effective: float) -> float:
    """Level fairshare; infinite where nothing was used, as both are never below 0."""
    level = ratio / effective
    return level if ratio > 0.0 else 0.0


@kernel
def _note_levels(usage: Floats, state: ShareState, account: int, of_usage: bool) -> None:
    """Note the levels of those in the list of an account, in its order."""
    rows, in_order, ratios = state.pool, state.in_order, state.ratio_in_order
    begin, end = state.start[account], state.start[account + 1]
    if not of_usage:
        for k in range(begin, end):
            in_order[k] = state.level_fs[rows[k]]
        return
    for k in range(begin, end):
        in_order[k] = usage[rows[k]]
        ratios[k] = state.ratio[rows[k]]
    whole = max(usage[account], SMALLEST)
    for k in range(begin, end):  # without a branch or a look-up, so that several are divided at once
        in_order[k] = _level(ratios[k], in_order[k] / whole)


@kernel
def note_levels(usage: Floats, state: ShareState) -> None:
    """Work out ``effective_usage`` and ``level_fs`` of all associations, for who asks what their ranks rest on."""
    for i in range(state.ratio.shape[0]):
        state.effective_usage[i] = usage[i] / max(usage[state.compared_in[i]], SMALLEST)
        state.level_fs[i] = _level(state.ratio[i], state.effective_usage[i])


@kernel
def _sort_list(usage: Floats, state: ShareState, account: int, of_usage: bool) -> tuple[int, int]:
    """Sort the list of an account by falling level.

    Of members with the same shares who used less has no lower a level, so that nothing need be divided.

    Returns
    -------
    tuple of int
        Begin and end of the places that changed hands, equal if none did; UNKNOWN begin if a tie begins or ends, or somebody there ties.
    """
    rows, tied, in_order = state.pool, state.tied, state.in_order
    begin, end = state.start[account], state.start[account + 1]
    alike = of_usage and state.alike[account] == 1
    if alike:
        for k in range(begin, end):
            in_order[k] = -usage[rows[k]]
    else:
        _note_levels(usage, state, account, of_usage)
    unsorted = False
    for k in range(begin + 1, end):  # without a branch, so that several are compared at once
        unsorted |= in_order[k] > in_order[k - 1]
    first, last = begin, begin
    if unsorted:
        first, last = sort_down(rows, in_order, begin, end)
    if alike and _may_tie(in_order, begin, end, max(usage[account], SMALLEST)):
        _note_levels(usage, state, account, of_usage)
    changed = False
    for k in range(begin + 1, end):
        changed |= (in_order[k] == in_order[k - 1]) != (tied[k] != 0)
    if changed:
        for k in range(begin + 1, end):
            tied[k] = in_order[k] == in_order[k - 1]
    for k in range(first, min(last + 1, end)):
        changed |= tied[k] != 0
    return UNKNOWN if changed else first, last


@kernel
def _may_tie(less: Floats, begin: int, end: int, whole: float) -> bool:
    """Whether two of a list, with the same shares and different usage (``less``: minus that), may have the same level, as it is rounded twice."""
    least, most = whole / EXTREME, whole * EXTREME
    may = False
    for k in range(begin, end):
        may |= (less[k] < 0.0) & ((less[k] > -least) | (less[k] < -most))
    for k in range(begin + 1, end):
        may |= (less[k] >= less[k - 1] * APART) & (less[k] != less[k - 1])
    return may


@kernel
def sort_down(rows: Ints, key: Floats, begin: int, end: int) -> tuple[int, int]:
    """Sort ``rows[begin:end]`` by falling ``key``, both in place; the order of equals is left open.

    Insertion, as lists hardly change between two evaluations; a heap once that turns out wrong, so that no order is slow.

    Returns
    -------
    tuple of int
        Begin and end of the places that changed hands; they may be fewer where insertion turned out wrong.
    """
    moves = 8 * (end - begin)
    first, last = end, begin
    for k in range(begin + 1, end):
        value = key[k]
        if value <= key[k - 1]:
            continue
        row = rows[k]
        at = k
        while at > begin and key[at - 1] < value:
            rows[at], key[at] = rows[at - 1], key[at - 1]
            at -= 1
        rows[at], key[at] = row, value
        first, last = min(first, at), k + 1
        moves -= k - at
        if moves < 0:
            _heap_sort(rows, key, begin, end)
            return begin, end
    return first, last


@kernel
def _heap_sort(rows: Ints, key: Floats, begin: int, end: int) -> None:
    """Sort by falling key: the least goes to the end, again and again."""
    n = end - begin
    for k in range(n // 2 - 1, -1, -1):
        _sift_down(rows, key, begin, k, n)
    for left in range(n - 1, 0, -1):
        last = begin + left
        rows[begin], rows[last] = rows[last], rows[begin]
        key[begin], key[last] = key[last], key[begin]
        _sift_down(rows, key, begin, 0, left)


@kernel
def _sift_down(rows: Ints, key: Floats, begin: int, k: int, n: int) -> None:
    """Put right, from entry ``k`` down, a heap of ``n`` entries, the least of them first."""
    while 2 * k + 1 < n:
        child = 2 * k + 1
        if child + 1 < n and key[begin + child + 1] < key[begin + child]:
            child += 1
        low, high = begin + k, begin + child
        if key[low] <= key[high]:
            return
        rows[low], rows[high] = rows[high], rows[low]
        key[low], key[high] = key[high], key[low]
        k = child


@kernel
def _rank(
    is_user: Ints,
    usage: Floats,
    state: ShareState,
    merge_ties: bool,
    of_usage: bool,
    begin: int,
    end: int,
    counter: int,
) -> None:
    """Walk ``pool[begin:end]`` and all below depth first and give out ranks, from ``counter`` downwards.

    ``ties`` says of a list that its first user ties with the one visited before.
    """
    in_order, start, pool = state.in_order, state.start, state.pool
    fairshare, rank_value, next_rank = state.fairshare, state.rank_value, state.next_rank
    position, stop, ties = state.stack[0], state.stack[1], state.stack[2]
    n = is_user.shape[0]
    rank = counter
    free = n  # behind the lists of the accounts
    depth = 0
    position[0], stop[0], ties[0] = begin, end, 0
    while depth >= 0:
        k = position[depth]
        end = stop[depth]
        if k == end:
            depth -= 1
            continue
        tied = ties[depth] != 0
        ties[depth] = 0
        level = in_order[k]
        row = pool[k]
        while k < end:
            row = pool[k]
            if in_order[k] != level:
                level = in_order[k]
                tied = False
            next_rank[k] = UNKNOWN if tied else counter
            if is_user[row] == 0:
                break
            if not tied:
                rank = counter
                tied = True
            fairshare[row] = rank_value[rank]
            counter -= 1
            k += 1
        first = k
        account = row
        n_accounts = 0
        while k < end and in_order[k] == level:  # all that tie with this account, users first
            row = pool[k]
            k += 1
            if is_user[row] == 0:
                account = row
                n_accounts += 1
                continue
            if not tied:
                rank = counter
                tied = True
            fairshare[row] = rank_value[rank]
            counter -= 1
        position[depth] = k
        if n_accounts == 0:
            continue
        if n_accounts == 1:
            depth += 1
            position[depth], stop[depth], ties[depth] = start[account], start[account + 1], tied
        elif merge_ties:
            merged = free
            for j in range(first, k):
                row = pool[j]
                if is_user[row] == 0:
                    _note_levels(usage, state, row, of_usage)
                    for place in range(start[row], start[row + 1]):
                        child = pool[place]
                        pool[free], in_order[free] = child, in_order[place]
                        free += 1
                        if state.memory[0] == REMEMBERS_NOTHING:
                            state.merged[state.memory[1]] = child
                            state.memory[1] += 1
            sort_down(pool, in_order, merged, free)
            depth += 1
            position[depth], stop[depth], ties[depth] = merged, free, tied
        else:
            for j in range(first + 1, k):  # their order shows here, so it must not be that of the last evaluation
                row = pool[j]
                at = j
                while at > first and pool[at - 1] > row:
                    pool[at] = pool[at - 1]
                    at -= 1
                pool[at] = row
            for j in range(k - 1, first - 1, -1):
                row = pool[j]
                if is_user[row] == 0:
                    n_accounts -= 1
                    depth += 1
                    position[depth], stop[depth] = start[row], start[row + 1]
                    ties[depth] = tied or n_accounts > 0
