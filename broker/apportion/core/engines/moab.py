"""Moab and Maui: usage of the last FSDEPTH windows, each weighed FSDECAY times less than the one after it, against a target.

Source: Adaptive Computing, Moab Workload Manager Administrator Guide, "Fairshare"; Jackson, Snell and Clement, "Core Algorithms of the Maui
Scheduler", JSSPP 2001, https://doi.org/10.1007/3-540-45540-X_6.
"""

from __future__ import annotations

from apportion.core.jit import kernel

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
