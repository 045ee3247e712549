"""The one decorator of all kernels, and the cheap way to hand them a large state.

Every flag that could change a result is set here and nowhere else: compiled code is cached, releases the GIL,
keeps strict IEEE floating point (no ``fastmath``) and runs sequentially (no ``parallel``).

Numba's own cache looks only at the file of the function it caches, so a caller would go on using a stale callee
after an edit elsewhere. The cache therefore lives in a folder named for the content of all kernel sources.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.experimental import structref

F = TypeVar("F", bound=Callable[..., Any])

JIT_DISABLED = bool(numba.config.DISABLE_JIT)


def _fingerprint() -> str:
    """Short content hash of every module that may hold kernels."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_dir() -> str:
    base = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apportion"
    return str(root / f"kernels-{_fingerprint()}")


CACHE_DIR = _cache_dir()


def kernel(function: F) -> F:
    """Compile ``function`` with the flags of this project.

    Parameters
    ----------
    function : callable
        Written in the subset of Python that Numba compiles; takes and returns numbers, arrays and NamedTuples of arrays.

    Returns
    -------
    callable
        The compiled dispatcher, or ``function`` itself under ``NUMBA_DISABLE_JIT=1``.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = CACHE_DIR  # read by Numba at decoration only
    try:
        compiled: F = numba.njit(cache=True, nogil=True, fastmath=False, parallel=False, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


class _BoxType(numba.types.StructRef):
    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, numba.types.unliteral(kind)) for name, kind in fields)


if JIT_DISABLED:

    class Box:
        """Holds a state so that a kernel can be called without unpacking every column of it each time."""

        def __init__(self, state: Any) -> None:
            self.state = state

else:
    structref.register(_BoxType)

    class Box(structref.StructRefProxy):  # type: ignore[no-redef, misc]
        """Holds a state so that a kernel can be called without unpacking every column of it each time.

        Unpacking a NamedTuple of sixty arrays costs about 15 us a call, a box 1 us.
        """

        def __new__(cls, state: Any) -> Any:
            return structref.StructRefProxy.__new__(cls, state)

    structref.define_proxy(Box, _BoxType, ["state"])
