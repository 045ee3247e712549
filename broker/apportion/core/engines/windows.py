"""Usage by windows of time, a ring of them, the newest still growing: what Moab, flux-accounting, OAR and KAI count from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.engines.history import WINDOW, used_up_to
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.engines.history import History
    from apportion.core.tables import Floats, Ints


@kernel
def remember(history: History, tick: int) -> None:
    """Add what was used, and asked for, in the slice before ``tick`` to the newest window."""
    asks = history.asked_windows.shape[0] > 0
    row = history.clock[WINDOW] % history.windows.shape[0]
    for i in range(history.used.shape[0]):
        used = used_up_to(history, i, tick)
        history.windows[row, i] += used - history.used[i]
        history.used[i] = used
        if asks:
            history.asked_windows[row, i] += history.asked[i] - history.asked_then[i]
            history.asked_then[i] = history.asked[i]


@kernel
def weighted(windows: Ints, newest: int, decay: float, out: Floats) -> None:
    """Sum over the windows of decay^age x usage, the newest having age 0.

    Parameters
    ----------
    windows : int64[n_windows, n]
        Window w is in row ``w % n_windows``.
    newest : int
        Number of the newest window.
    decay : float
        Moab's FSDECAY; flux-accounting halves.
    out : float64[n]
        Written.
    """
    n_windows = windows.shape[0]
    out[:] = 0.0
    weight = 1.0
    for age in range(n_windows):
        row = (newest - age) % n_windows
        for i in range(out.shape[0]):
            out[i] += weight * windows[row, i]
        weight *= decay
