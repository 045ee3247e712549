"""OAR's karma: what the user used and asked for, and the project used, in a sliding window, less what each is due; smaller is better.

Source: the fair-sharing scheduler of OAR and its options in oar.conf, http://oar.imag.fr/docs/latest/admin/configuration.html.
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
PROJECT = 0
USER = 1
ASKED = 2


@kernel
def karma(
    project: float,
    project_target: float,
    user: float,
    asked: float,
    target: float,
    project_weight: float,
    user_weight: float,
    asked_weight: float,
) -> float:
    """Karma.

    Parameters
    ----------
    project, user : float
        Part of all usage in the window.
    asked : float
        Part of all that was asked for (processors times time limit).
    project_target, target : float
        Part that project and user are due, 0 to 1.
    project_weight, user_weight, asked_weight : float
        SCHEDULER_FAIRSHARING_COEF_PROJECT, _USER and _USER_ASK.
    """
    return project_weight * (project - project_target) + user_weight * (user - target) + asked_weight * (asked - target)


@kernel
def factors(accounts: Accounts, state: ShareState) -> None:
    """Factor 1/2 - karma / (2 x sum of the coefficients) of every association. An account's stands for both of its parts."""
    history = state.history
    weight = history.factors
    used, asked = history.recent[0], history.recent[1]
    weighted(history.windows, history.clock[WINDOW], 1.0, used)
    weighted(history.asked_windows, history.clock[WINDOW], 1.0, asked)
    total = weight[PROJECT] + weight[USER] + weight[ASKED]
    for i in range(accounts.parent.shape[0]):
        state.norm_usage[i] = used[i] / used[0] if used[0] > 0.0 else 0.0
        state.effective_usage[i] = asked[i] / asked[0] if asked[0] > 0.0 else 0.0
        project = accounts.parent[i] if accounts.is_user[i] == 1 else i
        state.level_fs[i] = karma(
            state.norm_usage[project],
            state.norm_shares[project],
            state.norm_usage[i],
            state.effective_usage[i],
            state.norm_shares[i],
            weight[PROJECT],
            weight[USER],
            weight[ASKED],
        )
        state.fairshare[i] = 0.5 - 0.5 * state.level_fs[i] / total
