"""What makes a command that needs everything start sooner."""

from __future__ import annotations

import gc
import sys
from typing import Any

COLLECT_EVERY = 100_000  # new objects; what the imports of a command make stays


def hasten() -> None:
    """Collect garbage seldom, and let Numba load without SciPy.

    Numba imports ``scipy.linalg`` to see whether kernels could multiply matrices, which none here does; that takes about
    as long as importing Numba itself. Whoever imports it later gets it.
    """
    gc.set_threshold(COLLECT_EVERY)
    if "scipy.linalg" in sys.modules:
        return
    modules: Any = sys.modules
    modules["scipy.linalg"] = None  # there is no such module
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del modules["scipy.linalg"]
