"""Classic fair-share, F = 2^(-(U_E / S) / d), and its depth-oblivious variant.

Sources: https://slurm.schedmd.com/classic_fair_share.html and the flag DEPTH_OBLIVIOUS in slurm.conf(5). The power of
two is part of the formula, so this is one of the few places of the core with a transcendental function (depth-oblivious
also needs a logarithm).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.jit import kernel
from apportion.core.tables import SHARES_PARENT

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats


@kernel
def classic(accounts: Accounts, usage: Floats, state: ShareState) -> None:
    """Factor of every association, accounts too; see `apportion.core.share.fairshare_factors`.

    Effective usage blends an association's own usage with that of the accounts above it. ``parent`` shares: the numbers
    of the account above. Shares of zero give 0, even to who used nothing.
    """
    total = usage[0]
    for i in range(accounts.parent.shape[0]):
        norm = min(usage[i] / total, 1.0) if total > 0.0 else 0.0
        state.norm_usage[i] = norm
        above = accounts.parent[i]
        if accounts.shares[i] == SHARES_PARENT and i > 0:
            state.effective_usage[i] = state.effective_usage[above]
            state.fairshare[i] = state.fairshare[above]
            continue
        effective = norm
        if above > 0:
            effective = norm + (state.effective_usage[above] - norm) * state.ratio[i]
        state.effective_usage[i] = effective
        shares = state.norm_shares[i]
        state.fairshare[i] = math.pow(2.0, -(effective / shares) / state.dampening) if shares > 0.0 else 0.0


@kernel
def depth_oblivious(accounts: Accounts, usage: Floats, state: ShareState) -> None:
    """Factor 2^-R of every association, with R = R(above) * r^k; see `apportion.core.share.fairshare_factors`.

    r is usage over share among siblings. k = 1, but smaller where the account above and the association lie on
    different sides of balance, so that neither can hide the other in a deep tree. R is left in ``level_fs``.
    """
    total = usage[0]
    state.level_fs[0] = 1.0
    state.fairshare[0] = 0.5
    for i in range(1, accounts.parent.shape[0]):
        state.norm_usage[i] = min(usage[i] / total, 1.0) if total > 0.0 else 0.0
        above = accounts.parent[i]
        effective = usage[i] / usage[above] if usage[above] > 0.0 else 0.0
        state.effective_usage[i] = effective
        if accounts.shares[i] == SHARES_PARENT:
            state.level_fs[i] = state.level_fs[above]
            state.fairshare[i] = state.fairshare[above]
            continue
        if state.norm_shares[i] == 0.0:
            state.level_fs[i] = math.inf
            state.fairshare[i] = 0.0
            continue
        over = state.level_fs[above]
        local = effective / state.ratio[i]
        if over > 0.0 and (over > 1.0) != (local > 1.0) and over != 1.0 and local != 1.0 and local > 0.0:
            log = 5.0 * math.log(over)
            local = math.pow(local, 1.0 / (1.0 + log * log))
        state.level_fs[i] = over * local
        state.fairshare[i] = math.pow(2.0, -state.level_fs[i])
