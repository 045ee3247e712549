"""What makes a command that needs everything start and end sooner."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Any

COLLECT_EVERY = 3_000_000  # new objects; a command's imports make about two million, and they stay


def collect_seldom() -> None:
    """Look for garbage seldom, and not at all on the way out.

    A collection looks at every object that the imports made; the one at exit alone took longer than most replays.
    """
    gc.set_threshold(COLLECT_EVERY)
    atexit.register(gc.freeze)


def load_numba() -> None:
    """Let Numba load without SciPy.

    Numba imports ``scipy.linalg`` to see whether kernels could multiply matrices, which none here does; that takes about
    as long as importing Numba itself. Whoever imports it later gets it.
    """
    if "scipy.linalg" in sys.modules:
        return
    modules: Any = sys.modules
    modules["scipy.linalg"] = None  # there is no such module
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del modules["scipy.linalg"]
