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

import math
from typing import TYPE_CHECKING

from apportion.core.decay import SMALLEST
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

# What is remembered of the last evaluation.
REMEMBERS_NOTHING = 0
RANKED = 1
MERGED_BY_VALUE = 2  # lists were merged whose members compare by usage

UNKNOWN = -1


@kernel
def fair_tree(accounts: Accounts, usage: Floats, state: ShareState, merge_ties: bool) -> None:
    """Rank all users; see `apportion.core.share.fairshare_factors`.

    Cost: one pass over the associations, and one comparison for each while their order stays as it was. Ranks rest on the order of each
    list and on its ties alone, so they are given out anew only when one of these has changed; and as long as ties stay as they were and
    those who changed places have none, only to these. Save where accounts that have been used tie, as then users of several lists are
    compared.

    Parameters
    ----------
    merge_ties : bool
        Merge accounts with equal level fairshare, or visit them in the order of their indices.
    """
    _level_fs(usage, state.ratio, state.compared_in, state.effective_usage, state.level_fs)
    rank_by_level(accounts.is_user, state, merge_ties)


@kernel
def rank_by_level(is_user: Ints, state: ShareState, merge_ties: bool) -> None:
    """Rank all users by walking the lists, those of the highest ``state.level_fs`` first."""
    lists, start, memory = state.lists, state.start, state.memory
    from_scratch = memory[0] != RANKED
    for k in range(memory[1]):
        from_scratch |= state.effective_usage[state.merged[k]] > 0.0
    for k in range(lists.shape[0]):
        account = lists[k]
        begin, end = _sort_list(state, start[account], start[account + 1])
        if begin == end:
            continue
        if from_scratch or begin == UNKNOWN or state.next_rank[begin] == UNKNOWN:
            from_scratch = True
        else:  # if a list above has changed, too, its turn puts right what this one may get wrong
            _rank(is_user, state, merge_ties, begin, end, state.next_rank[begin])
    if from_scratch:
        memory[0], memory[1] = REMEMBERS_NOTHING, 0
        memory[0] = _rank(is_user, state, merge_ties, start[0], start[1], state.rank_value.shape[0] - 1)


@kernel
def _level_fs(usage: Floats, ratio: Floats, compared_in: Ints, effective_usage: Floats, level_fs: Floats) -> None:
    n = ratio.shape[0]
    for i in range(n):
        effective_usage[i] = max(usage[compared_in[i]], SMALLEST)
    for i in range(n):  # without a branch or a look-up, so that several are divided at once
        effective = usage[i] / effective_usage[i]
        effective_usage[i] = effective
        level = ratio[i] / effective  # infinite where nothing was used, as both quotients are never below 0
        level_fs[i] = level if ratio[i] > 0.0 else 0.0


@kernel
def _sort_list(state: ShareState, begin: int, end: int) -> tuple[int, int]:
    """Sort ``pool[begin:end]`` by falling level fairshare.

    Returns
    -------
    tuple of int
        Begin and end of the places that changed hands, equal if none did; UNKNOWN begin if a tie begins or ends, or somebody there ties.
    """
    rows, tied, level_fs, in_order = state.pool, state.tied, state.level_fs, state.in_order
    for k in range(begin, end):
        in_order[k] = level_fs[rows[k]]
    unsorted = False
    changed = False
    for k in range(begin + 1, end):  # without a branch or a look-up, so that several are compared at once
        unsorted |= in_order[k] > in_order[k - 1]
        changed |= (in_order[k] == in_order[k - 1]) != (tied[k] != 0)
    if not unsorted and not changed:
        return begin, begin
    if unsorted:
        sort_down(rows, begin, end, level_fs, state.spare)
    first, last = end, begin
    changed = False
    before = math.nan
    for k in range(begin, end):
        level = level_fs[rows[k]]
        if level != in_order[k]:
            first = min(first, k)
            last = k + 1
        tie = 1 if level == before else 0
        changed |= tie != tied[k]
        tied[k] = tie
        before = level
    for k in range(first, min(last + 1, end)):
        changed |= tied[k] != 0
    return UNKNOWN if changed else first, last


@kernel
def sort_down(rows: Ints, begin: int, end: int, key: Floats, spare: Ints) -> None:
    """Sort ``rows[begin:end]`` by falling ``key``, in place; the order of equals is left open.

    Insertion, as lists hardly change between two evaluations; merging once that turns out wrong, so that no order is
    slow.
    """
    moves = 8 * (end - begin)
    before = math.inf
    for k in range(begin, end):
        row = rows[k]
        value = key[row]
        if value <= before:
            before = value
            continue
        at = k
        while at > begin and key[rows[at - 1]] < value:
            rows[at] = rows[at - 1]
            at -= 1
        rows[at] = row
        moves -= k - at
        if moves < 0:
            _merge_sort(rows, begin, end, key, spare)
            return


@kernel
def _merge_sort(rows: Ints, begin: int, end: int, key: Floats, spare: Ints) -> None:
    width = 1
    while width < end - begin:
        for low in range(begin, end - width, 2 * width):
            middle = low + width
            high = min(middle + width, end)
            for k in range(low, middle):
                spare[k - low] = rows[k]
            left, right, at = 0, middle, low
            while left < width:
                if right < high and key[rows[right]] > key[spare[left]]:
                    rows[at] = rows[right]
                    right += 1
                else:
                    rows[at] = spare[left]
                    left += 1
                at += 1
        width *= 2


@kernel
def _rank(is_user: Ints, state: ShareState, merge_ties: bool, begin: int, end: int, counter: int) -> int:
    """Walk ``pool[begin:end]`` and all below depth first and give out ranks, from ``counter`` downwards; return what to remember.

    ``ties`` says of a list that its first user ties with the one visited before.
    """
    level_fs, start, pool, spare = state.level_fs, state.start, state.pool, state.spare
    fairshare, rank_value, next_rank = state.fairshare, state.rank_value, state.next_rank
    position, stop, ties = state.stack[0], state.stack[1], state.stack[2]
    n = is_user.shape[0]
    rank = counter
    free = n  # behind the lists of the accounts
    depth = 0
    memory = RANKED
    position[0], stop[0], ties[0] = begin, end, 0
    while depth >= 0:
        k = position[depth]
        end = stop[depth]
        if k == end:
            depth -= 1
            continue
        tied = ties[depth] != 0
        ties[depth] = 0
        level = level_fs[pool[k]]
        row = pool[k]
        while k < end:
            row = pool[k]
            if level_fs[row] != level:
                level = level_fs[row]
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
        while k < end and level_fs[pool[k]] == level:  # all that tie with this account, users first
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
                    for place in range(start[row], start[row + 1]):
                        child = pool[place]
                        pool[free] = child
                        free += 1
                        if state.effective_usage[child] > 0.0:
                            memory = MERGED_BY_VALUE
                        elif state.memory[0] == REMEMBERS_NOTHING:
                            state.merged[state.memory[1]] = child
                            state.memory[1] += 1
            sort_down(pool, merged, free, level_fs, spare)
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
    return memory
