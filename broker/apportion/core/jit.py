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
T = TypeVar("T")

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


if JIT_DISABLED:

    def table(cls: type[T]) -> type[T]:
        """Mark a NamedTuple as a table that `handle` can turn into a reference."""
        return cls

    def handle(state: Any) -> Any:
        """Give a tuple of tables the form in which kernels take it."""
        return state

else:
    _REFERENCES: dict[type, type] = {}

    def table(cls: type[T]) -> type[T]:
        """Mark a NamedTuple as a table that `handle` can turn into a reference."""
        name = f"{cls.__name__}Table"
        kind = type(f"{name}Type", (numba.types.StructRef,), {"preprocess_fields": _without_literals, "__module__": __name__})
        proxy = type(name, (structref.StructRefProxy,), {"__module__": __name__})
        globals()[kind.__name__] = structref.register(kind)  # the compile cache finds the types by these names
        globals()[name] = proxy
        structref.define_proxy(proxy, kind, list(cls._fields))  # type: ignore[attr-defined]
        _REFERENCES[cls] = proxy
        return cls

    def _without_literals(_self: Any, fields: Any) -> Any:
        return tuple((name, numba.types.unliteral(kind)) for name, kind in fields)

    def handle(state: Any) -> Any:
        """Give a tuple of tables the form in which kernels take it.

        A NamedTuple of sixty arrays is handed to a kernel by value: 15 us a call from Python, copies at each call inside and
        minutes of compile time. A handle is one pointer; it shares the arrays of the tuple.
        """
        reference = _REFERENCES[type(state)]
        return reference(*(handle(value) if type(value) in _REFERENCES else value for value in state))
