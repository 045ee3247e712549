"""flux-accounting's weighted walk: Fair Tree over usage in bins of PriorityDecayHalfLife, each bin worth half of the one after it.

Source: the documentation of flux-accounting, https://flux-framework.readthedocs.io/projects/flux-accounting/en/latest/.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.engines.history import WINDOW
from apportion.core.engines.windows import weighted
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts

HALF = 0.5


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Weight: shares among siblings over usage among siblings; infinite for who used nothing, 0 for who has no shares."""
    history = state.history
    used = history.recent[0]
    weighted(history.windows, history.clock[WINDOW], HALF, used)
    for i in range(accounts.parent.shape[0]):
        above = used[max(accounts.parent[i], 0)]
        state.effective_usage[i] = used[i] / above if above > 0.0 else 0.0
        if state.ratio[i] == 0.0:
            state.level_fs[i] = 0.0
        else:
            state.level_fs[i] = (
                state.ratio[i] / state.effective_usage[i] if state.effective_usage[i] > 0.0 else math.inf
            )
