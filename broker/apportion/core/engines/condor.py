"""HTCondor: user priorities that follow what a user runs, and quotas of accounting groups.

Real priority moves halfway to the weighted cores in use in one PRIORITY_HALFLIFE and never falls below a half; effective
priority is real priority times a factor, and smaller is better. Source: the manual,
https://htcondor.readthedocs.io/en/latest/admin-manual/cm-configuration.html (user priorities, group accounting).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.engines.history import BILLED, used_up_to
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.engines.history import History
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

FLOOR = 0.5  # smallest real priority
ROUNDING = 1e-9  # of a slot: what divisions leave over is not worth giving out


@kernel
def real_priority(before: float, in_use: float, beta: float) -> float:
    """Real priority after a while in which ``in_use`` weighted cores ran on average; ``beta`` is 0.5^(while / half-life)."""
    return max(beta * before + (1.0 - beta) * in_use, FLOOR)


@kernel
def effective_priority(real: float, default_factor: float, shares: float) -> float:
    """Real priority x factor; a share of 1 has the default factor, one of 2 half of it, and one of 0 an infinite one."""
    return real * (default_factor / shares) if shares > 0.0 else math.inf


@kernel
def remember(history: History, tick: int) -> None:
    """Move all real priorities on by one slice. ``History.decay`` is beta."""
    per_core = 1.0 / history.period  # thousandths x s / ms are cores
    for i in range(history.used.shape[0]):
        used = used_up_to(history, i, tick)
        history.aged[0, i] = real_priority(history.aged[0, i], (used - history.used[i]) * per_core, history.decay)
        history.used[i] = used


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Accounts with users are groups, in the order of quota over cores in use; their users by effective priority.

    A group's quota is what the shares of its own users come to. Users right below root are in ``<none>``, which is served last.
    """
    history = state.history
    quota, in_use = state.norm_usage, state.effective_usage
    quota[:] = 0.0
    in_use[:] = 0.0
    for i in range(accounts.parent.shape[0]):
        if accounts.is_user[i] == 1:
            above = accounts.parent[i]
            quota[above] += state.norm_shares[i]
            in_use[above] += history.held[BILLED, i] / 1000.0
    for i in range(accounts.parent.shape[0]):
        if accounts.is_user[i] == 1:
            effective = effective_priority(history.aged[0, i], history.factors[0], float(accounts.shares[i]))
            state.level_fs[i] = -effective if accounts.parent[i] == 0 else 1.0 / effective
        elif quota[i] == 0.0:
            state.level_fs[i] = 0.0
        else:
            state.level_fs[i] = quota[i] / in_use[i] if in_use[i] > 0.0 else math.inf


@kernel
def pie_slices(effective: Floats, out: Floats) -> None:
    """Part of the pool that each submitter is due: in inverse proportion to effective priorities (above 0)."""
    total = 0.0
    for i in range(effective.shape[0]):
        out[i] = 1.0 / effective[i]
        total += out[i]
    for i in range(effective.shape[0]):
        out[i] /= total


@kernel
def group_quotas(
    parent: Ints, static: Floats, dynamic: Floats, pool: float, oversubscribe: bool, subtree: Floats, own: Floats
) -> None:
    """Quotas of a tree of groups.

    Static quotas are served first, scaled down if they exceed the parent's quota together; dynamic ones are fractions of what remains,
    scaled down if they sum to more than 1.

    Parameters
    ----------
    parent : int64[n]
        Group above; -1 for the root, row 0, which is the group ``<none>``. Parents come first.
    static : float64[n]
        GROUP_QUOTA in weighted slots, -1 where the group has a dynamic one.
    dynamic : float64[n]
        GROUP_QUOTA_DYNAMIC, a fraction; read where ``static`` is -1.
    pool : float
        Weighted slots.
    oversubscribe : bool
        NEGOTIATOR_ALLOW_QUOTA_OVERSUBSCRIPTION: leave static quotas as they are.
    subtree : float64[n]
        Written: quota of a group with all below it.
    own : float64[n]
        Written: what of it is left for the group's own jobs.
    """
    n = parent.shape[0]
    subtree[0] = pool
    for node in range(n):  # parents first, so that a group's quota is known when its children are served
        fixed = 0.0
        fractions = 0.0
        for i in range(node + 1, n):
            if parent[i] == node:
                if static[i] >= 0.0:
                    fixed += static[i]
                else:
                    fractions += dynamic[i]
        scale = subtree[node] / fixed if fixed > subtree[node] and not oversubscribe else 1.0
        remains = max(subtree[node] - fixed * scale, 0.0)
        given = fixed * scale
        for i in range(node + 1, n):
            if parent[i] == node:
                if static[i] >= 0.0:
                    subtree[i] = static[i] * scale
                else:
                    subtree[i] = remains * dynamic[i] / max(fractions, 1.0)
                    given += subtree[i]
        own[node] = max(subtree[node] - given, 0.0)


@kernel
def group_allocations(
    parent: Ints, subtree: Floats, own: Floats, accepts: Ints, demand: Floats, allocated: Floats, scratch: Floats
) -> float:
    """Slots that each group may fill: its quota, and what others leave of theirs.

    What a subtree leaves goes up. At each group it is divided among the group itself and the children that accept surplus, in proportion to
    their quotas and, when those want no more, equally among groups without quota.

    Parameters
    ----------
    parent : int64[n]
        As for `group_quotas`, which gives ``subtree`` and ``own``.
    accepts : int64[n]
        GROUP_ACCEPT_SURPLUS.
    demand : float64[n]
        Weighted slots that each group's own jobs want.
    allocated : float64[n]
        Written.
    scratch : float64[4, n]

    Returns
    -------
    float
        Slots that nobody may use.
    """
    wanted, surplus, grant, rest = scratch[0], scratch[1], scratch[2], scratch[3]
    n = parent.shape[0]
    for i in range(n):
        allocated[i] = min(demand[i], own[i])
        rest[i] = demand[i] - allocated[i]  # still wanted by the group itself
        surplus[i] = own[i] - allocated[i]
    for node in range(n - 1, -1, -1):  # children first
        grant[:] = 0.0
        grant[node] = surplus[node]
        left = 0.0
        for i in range(node, n):
            if grant[i] > ROUNDING:
                _count_wanted(parent, accepts, rest, wanted)
                left += _share_out(i, parent, accepts, subtree, own, wanted, rest, allocated, grant)
        if node == 0:
            return left
        surplus[parent[node]] += left
    return 0.0


@kernel
def _count_wanted(parent: Ints, accepts: Ints, rest: Floats, wanted: Floats) -> None:
    """What each subtree would still take."""
    wanted[:] = rest
    for i in range(parent.shape[0] - 1, 0, -1):
        if accepts[i] == 1:
            wanted[parent[i]] += wanted[i]


@kernel
def _share_out(
    node: int,
    parent: Ints,
    accepts: Ints,
    subtree: Floats,
    own: Floats,
    wanted: Floats,
    rest: Floats,
    allocated: Floats,
    grant: Floats,
) -> float:
    """Divide ``grant[node]`` among the group itself and its children, whose part is added to their grants; return what is left."""
    n = parent.shape[0]
    left = grant[node]
    for by_quota in (True, False):
        while left > ROUNDING:
            total = 0.0
            for i in range(node, n):
                room, quota = _room(i, node, parent, accepts, subtree, own, wanted, rest, grant)
                if room > ROUNDING and (quota > 0.0) == by_quota:
                    total += quota if by_quota else 1.0
            if total == 0.0:
                break
            given = 0.0
            for i in range(node, n):
                room, quota = _room(i, node, parent, accepts, subtree, own, wanted, rest, grant)
                if room > ROUNDING and (quota > 0.0) == by_quota:
                    part = min(left * (quota if by_quota else 1.0) / total, room)
                    given += part
                    if i == node:
                        allocated[i] += part
                        rest[i] -= part
                    else:
                        grant[i] += part
            left -= given
    return max(left, 0.0)


@kernel
def _room(
    i: int,
    node: int,
    parent: Ints,
    accepts: Ints,
    subtree: Floats,
    own: Floats,
    wanted: Floats,
    rest: Floats,
    grant: Floats,
) -> tuple[float, float]:
    """What group ``i`` may still take of a grant to ``node``, and the quota by which it takes part."""
    if i == node:
        return rest[i], own[i]
    if parent[i] == node and accepts[i] == 1:
        return wanted[i] - grant[i], subtree[i]
    return 0.0, 0.0
