"""Moab and Maui: usage of the last FSDEPTH windows, each weighed FSDECAY times less than the one after it, against a target.

Source: Adaptive Computing, Moab Workload Manager Administrator Guide, "Fairshare"; Jackson, Snell and Clement, "Core Algorithms of the Maui
Scheduler", JSSPP 2001, https://doi.org/10.1007/3-540-45540-X_6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.engines.history import WINDOW
from apportion.core.engines.windows import weighted
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts

# Cells of `History.factors`
USER = 0
ACCOUNT = 1


@kernel
def component(
    user: float, target: float, account: float, account_target: float, user_weight: float, account_weight: float
) -> float:
    """What fair-share adds to a priority: weighted targets less usage, all parts of the whole; -1 to 1.

    Parameters
    ----------
    user, account : float
        Effective usage of the user and of the account / that of all.
    target, account_target : float
        FSTARGET / 100.
    user_weight, account_weight : float
        FSUSERWEIGHT and FSACCOUNTWEIGHT, not both 0. Only their proportion counts here.
    """
    total = user_weight + account_weight
    return (user_weight * (target - user) + account_weight * (account_target - account)) / total


@kernel
def factors(accounts: Accounts, state: ShareState) -> None:
    """Factor (1 + component) / 2 of every association. An account's stands for both of its parts."""
    history = state.history
    used = history.recent[0]
    weighted(history.windows, history.clock[WINDOW], history.decay, used)
    for i in range(accounts.parent.shape[0]):
        state.norm_usage[i] = used[i] / used[0] if used[0] > 0.0 else 0.0
        account = accounts.parent[i] if accounts.is_user[i] == 1 else i
        state.level_fs[i] = component(
            state.norm_usage[i],
            state.norm_shares[i],
            state.norm_usage[account],
            state.norm_shares[account],
            history.factors[USER],
            history.factors[ACCOUNT],
        )
        state.fairshare[i] = 0.5 + 0.5 * state.level_fs[i]
