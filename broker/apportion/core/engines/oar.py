"""OAR's karma: what the user used and asked for, and the project used, in a sliding window, less what each is due; smaller is better.

Source: the fair-sharing scheduler of OAR and its options in oar.conf, http://oar.imag.fr/docs/latest/admin/configuration.html.
"""

from __future__ import annotations

from apportion.core.jit import kernel

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
