"""Share engines: from shares and usage to one factor per association, behind one interface.

A `ShareState` holds what an engine reads (computed once from the tree), what it writes, and its scratch space; it is
made by `share_state` when a policy is compiled. `fairshare_factors` runs the engine that the state was made for. A
further engine is a further code here and a kernel of its own.

Slurm's engines read usage and nothing else. The others have a `History`, which starts and ends of jobs move and `advance` brings
forward tick by tick. Those that say who comes first, but not by how much, give each association a level, and users are ranked by
Fair Tree's walk over the levels; the others give the factor themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.classic import classic, depth_oblivious
from apportion.core.engines import condor, drf, flux, kai, karma, lsf, moab, oar, windows
from apportion.core.engines.history import LAST_TICK, WINDOW, History, no_history, take_stock, to_window, window_of
from apportion.core.fairtree import REMEMBERS_NOTHING, fair_tree, note_levels, rank_by_level
from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.tables import SHARES_PARENT

if TYPE_CHECKING:
    from apportion.core.tables import Accounts, Floats, Ints

FAIR_TREE = 0
FAIR_TREE_SLURM_26 = 1
CLASSIC = 2
DEPTH_OBLIVIOUS = 3
CONDOR = 4  # from here on engines with a history
DRF = 5
FLUX = 6
KAI = 7
KARMA = 8
LSF = 9
MOAB = 10
OAR = 11
ENGINES = {
    "fair_tree": FAIR_TREE,
    "fair_tree_slurm_26": FAIR_TREE_SLURM_26,
    "classic": CLASSIC,
    "depth_oblivious": DEPTH_OBLIVIOUS,
    "condor": CONDOR,
    "drf": DRF,
    "flux": FLUX,
    "kai": KAI,
    "karma": KARMA,
    "lsf": LSF,
    "moab": MOAB,
    "oar": OAR,
}
BY_VALUE = (CLASSIC, DEPTH_OBLIVIOUS, MOAB, OAR)  # engines whose factor is not a rank


@table
class ShareState(NamedTuple):
    """Input, output and scratch space of a share engine; columns have one row per association.

    Written by the engine (in Fair Tree all but the factor by `fairshare_factors` only):
    ``fairshare`` : the factor, 0 to 1. An engine that ranks gives one to users only and leaves 0 at accounts.
    ``level_fs`` : what associations are compared by, larger is better; in Fair Tree share over usage among siblings,
    infinite for who used nothing or has ``parent`` shares.
    ``effective_usage`` : Slurm's EffectvUsage. ``norm_usage`` : usage / usage of root (classic engines). In other engines what
    `apportion.core.explain` says.

    Fixed:
    ``engine`` : its code. ``dampening`` : FairShareDampeningFactor.
    ``norm_shares`` : Slurm's NormShares: among siblings in Fair Tree, from root in all others.
    ``ratio`` : shares / siblings' shares; infinite for ``parent`` shares in Fair Tree, 1 in all others.
    ``compared_in`` : the account whose usage an association's usage is compared with; root's is root.
    ``start`` (n + 1) : the list of account i is ``pool[start[i]:start[i + 1]]``.
    ``lists`` : the accounts whose list has more than one member.
    ``alike`` : 1 where the members of an account's list have one ratio, neither 0 nor infinite.
    ``rank_value`` (n_users + 1) : rank / n_users.

    Moved by jobs and ticks:
    ``history`` : empty for Slurm's engines.

    Scratch:
    ``pool`` (2 n) : the lists of those compared with each other, kept in order from one evaluation to the next, then
    merged lists. ``in_order`` (2 n) : what their members are compared by. ``ratio_in_order`` (n) : Fair Tree's ``ratio`` of the members.
    ``stack`` (3, n + 1) : of the walk down the tree.

    Remembered of the last evaluation (Fair Tree):
    ``tied`` (n) : 1 where the member of a list equals the one before.
    ``next_rank`` (2 n) : rank that the first user at or below each member has, -1 where it ties with one before. ``merged`` (n) : members of
    merged lists, which are ranked anew each time once they have used something. ``memory`` (2) : what is known at all, and the number of the
    latter.
    """

    fairshare: Floats
    level_fs: Floats
    effective_usage: Floats
    norm_usage: Floats
    engine: int
    dampening: float
    norm_shares: Floats
    ratio: Floats
    compared_in: Ints
    start: Ints
    lists: Ints
    alike: Ints
    rank_value: Floats
    pool: Ints
    in_order: Floats
    ratio_in_order: Floats
    stack: Ints
    tied: Ints
    next_rank: Ints
    merged: Ints
    memory: Ints
    history: History


def share_state(engine: int, accounts: Accounts, dampening: float = 1.0, history: History | None = None) -> ShareState:
    """Prepare a share engine for a tree of associations.

    Parameters
    ----------
    engine : int
        One of the codes in `ENGINES`.
    accounts : Accounts
        The tree. Its shares are read now, not later: other shares need another state.
    dampening : float
        FairShareDampeningFactor, for `CLASSIC`.
    history : History, optional
        Needed from `CONDOR` on: made by `apportion.core.engines.history.new_history` with what the engine's module reads.

    Returns
    -------
    ShareState

    Raises
    ------
    ValueError
        If the engine is unknown, the dampening is not positive, or a history is missing.
    """
    if engine not in ENGINES.values():
        raise ValueError(f"no share engine has the code {engine}")
    if not dampening > 0:
        raise ValueError("FairShareDampeningFactor must be above 0")
    n = len(accounts.parent)
    history = no_history() if history is None else history
    if engine >= CONDOR and len(history.used) != n:
        raise ValueError("the engine needs a history of these associations")
    is_fair_tree = engine in {FAIR_TREE, FAIR_TREE_SLURM_26}
    parent = accounts.parent.tolist()
    shares = accounts.shares.tolist()
    is_user = accounts.is_user.tolist()

    # Fair Tree lifts the children of an account with `parent` shares to the first account above with its own.
    compared_in = [0] * n
    for i in range(1, n):
        above = parent[i]
        lifted = is_fair_tree and above != 0 and shares[above] == SHARES_PARENT
        compared_in[i] = compared_in[above] if lifted else above
    users_below = list(is_user)
    for i in range(n - 1, 0, -1):
        users_below[parent[i]] += users_below[i]

    level_shares = [0] * n
    lists: list[list[int]] = [[] for _ in range(n)]
    for i in range(1, n):
        if shares[i] != SHARES_PARENT:
            level_shares[compared_in[i]] += shares[i]
        if users_below[i] and (is_user[i] or shares[i] != SHARES_PARENT):  # an account without users ranks nobody
            lists[compared_in[i]].append(i)
    if engine == CONDOR:
        lists = _groups(parent, is_user)

    ratio = np.ones(n)
    norm_shares = np.ones(n)
    for i in range(1, n):
        above = compared_in[i]
        if shares[i] == SHARES_PARENT:
            ratio[i] = np.inf if is_fair_tree else 1.0
            norm_shares[i] = norm_shares[above]
        else:
            ratio[i] = shares[i] / level_shares[above] if level_shares[above] else 0.0
            norm_shares[i] = ratio[i] if is_fair_tree else norm_shares[above] * ratio[i]

    n_users = sum(is_user)
    pool = np.zeros(2 * n, np.int64)
    start = np.zeros(n + 1, np.int64)
    for i, members in enumerate(lists):
        start[i + 1] = start[i] + len(members)
        pool[start[i] : start[i + 1]] = members
    if engine == KARMA:
        karma.endow(accounts, history, norm_shares)
    return ShareState(
        fairshare=np.zeros(n),
        level_fs=np.full(n, np.inf),
        effective_usage=np.zeros(n),
        norm_usage=np.zeros(n),
        engine=engine,
        dampening=float(dampening),
        norm_shares=norm_shares,
        ratio=ratio,
        compared_in=np.array(compared_in, np.int64),
        start=start,
        lists=np.flatnonzero(np.diff(start) > 1),
        alike=np.array([_is_one_quotient(ratio[members]) for members in lists], np.int64),
        rank_value=np.arange(n_users + 1) / max(n_users, 1),
        pool=pool,
        in_order=np.zeros(2 * n),
        ratio_in_order=np.zeros(n),
        stack=np.zeros((3, n + 1), np.int64),
        tied=np.zeros(n, np.int64),
        next_rank=np.zeros(2 * n, np.int64),
        merged=np.zeros(n, np.int64),
        memory=np.zeros(2, np.int64),
        history=history,
    )


def _is_one_quotient(ratio: Floats) -> bool:
    return len(ratio) > 0 and 0.0 < ratio[0] < np.inf and bool((ratio == ratio[0]).all())


def _groups(parent: list[int], is_user: list[int]) -> list[list[int]]:
    """HTCondor's order of negotiation: one flat list of all groups that have users, and in each its own users."""
    lists: list[list[int]] = [[] for _ in parent]
    for i in range(1, len(parent)):
        if is_user[i]:
            lists[parent[i]].append(i)
    lists[0] += [i for i in range(1, len(parent)) if lists[i]]
    return lists


@kernel
def advance(accounts: Accounts, state: ShareState, now: int) -> None:
    """Bring the history forward to the newest tick not after ``now``, ms. To be called before the events of an instant are applied."""
    history, engine = state.history, state.engine
    if engine < CONDOR or history.clock[LAST_TICK] + history.period > now:
        return
    while history.clock[LAST_TICK] + history.period <= now:
        tick = history.clock[LAST_TICK] + history.period
        window = window_of(tick, history.interval)
        if window != history.clock[WINDOW]:
            if engine == KARMA:
                karma.settle(accounts, state)
            to_window(history, window)
        if engine == CONDOR:
            condor.remember(history, tick)
        elif engine == LSF:
            lsf.remember(history, tick)
        elif engine != DRF:
            windows.remember(history, tick)
        history.clock[LAST_TICK] = tick
    take_stock(history)


@kernel
def fairshare_factors(accounts: Accounts, usage: Floats, state: ShareState) -> None:
    """Compute the factor of every association, and what it rests on, for who reads that; arguments as for `update_factors`."""
    update_factors(accounts, usage, state)
    if state.engine in (FAIR_TREE, FAIR_TREE_SLURM_26):
        note_levels(usage, state)


@kernel
def update_factors(accounts: Accounts, usage: Floats, state: ShareState) -> None:
    """Compute the factor of every association into ``state.fairshare``. Allocates nothing.

    Parameters
    ----------
    usage : float64[n_assoc]
        Usage of each association, an account's with all below it: ``Usage.value[0]`` (whose further rows are not read).
        Engines with a history do not read it.
    """
    engine = state.engine
    if engine == CLASSIC:
        classic(accounts, usage, state)
    elif engine == DEPTH_OBLIVIOUS:
        depth_oblivious(accounts, usage, state)
    elif engine < CONDOR:
        fair_tree(accounts, usage, state, engine == FAIR_TREE)
    elif engine == MOAB:
        moab.factors(accounts, state)
    elif engine == OAR:
        oar.factors(accounts, state)
    else:
        _levels(accounts, state)
        state.memory[0] = REMEMBERS_NOTHING
        rank_by_level(accounts.is_user, usage, state, True, False)


@kernel
def _levels(accounts: Accounts, state: ShareState) -> None:
    engine = state.engine
    if engine == CONDOR:
        condor.levels(accounts, state)
    elif engine == DRF:
        drf.levels(accounts, state)
    elif engine == FLUX:
        flux.levels(accounts, state)
    elif engine == KAI:
        kai.levels(accounts, state)
    elif engine == KARMA:
        karma.levels(accounts, state)
    else:
        lsf.levels(accounts, state)
