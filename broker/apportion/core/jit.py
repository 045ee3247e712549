"""The one decorator of all kernels.

Every flag that could change a result is set here and nowhere else: compiled code is cached, releases the GIL,
keeps strict IEEE floating point (no ``fastmath``) and runs sequentially (no ``parallel``).

Numba's own cache looks only at the file of the function it caches, so a caller would go on using a stale callee
after an edit elsewhere. The cache therefore lives in a folder named for the content of all kernel sources.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core import config as numba_config

from apportion.core.parts import APART, PartCompiler, WholeCompiler

F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba_config  # its settings are set at run time

JIT_DISABLED = bool(config.DISABLE_JIT)

log = logging.getLogger(__name__)  # who waits for a compilation should be told what takes so long


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
    checked = "-checked" if config.BOUNDSCHECK else ""  # Numba's own cache does not tell such code apart
    return str(root / f"kernels-{_fingerprint()}{checked}")


CACHE_DIR = _cache_dir()
UNUSED_S = 30 * 86_400  # after which the folder of another version goes


@cache
def _date_folder() -> None:
    """Say that the folder is in use, once a process."""
    os.utime(CACHE_DIR)


@cache
def _remove_unused() -> None:
    """Remove folders of other versions of the kernels that nobody has used for a month.

    They are told by their names and the locks in them. Who still runs on such a version has its kernels in memory, and makes the folder anew to
    compile others.
    """
    here = Path(CACHE_DIR)
    for folder in here.parent.iterdir():
        is_ours = re.fullmatch(r"kernels-[0-9a-f]{16}(-checked)?", folder.name) and any(folder.glob("apportion.*.lock"))
        if is_ours and not folder.is_symlink() and here.stat().st_mtime - folder.stat().st_mtime > UNUSED_S:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(name: str, signature: str) -> Iterator[None]:
    """Let one process at a time compile a kernel; those that waited for it find it in the cache.

    The file that is locked tells what has been compiled, so that who comes later need not wait for its turn to load it.
    """
    with ExitStack() as stack:
        file = None
        with suppress(OSError):  # a file system without locks, or without room: each for itself
            Path(CACHE_DIR).mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):
                _date_folder()
            file = stack.enter_context(Path(CACHE_DIR, f"{name}.lock").open("a+", encoding="utf-8"))
            file.seek(0)
            if signature in file.read().splitlines():
                file = None
            else:
                log.info("compiling %s", name)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
        if file is not None:
            with suppress(OSError):
                file.write(signature + "\n")
                file.flush()
                _remove_unused()


def kernel(function: F, *, inline: bool = False) -> F:
    """Compile ``function`` with the flags of this project.

    Parameters
    ----------
    function : callable
        Written in the subset of Python that Numba compiles; takes and returns numbers, arrays and NamedTuples of arrays.
    inline : bool
        Put it into each of its callers, see `inlined`.

    Returns
    -------
    callable
        The compiled dispatcher, or ``function`` itself under ``NUMBA_DISABLE_JIT=1``.
    """
    if JIT_DISABLED:
        return function
    njit = partial(
        cast("Any", numba.njit), nogil=True, fastmath=False, parallel=False, error_model="numpy", no_cfunc_wrapper=True
    )
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE_DIR  # read by Numba at decoration only
    try:
        compiled = njit(cache=True, pipeline_class=WholeCompiler)(function)
    finally:
        config.CACHE_DIR = before

    @cache
    def part() -> Any:  # made when a caller is compiled, that is not at all where the caller comes from the cache
        return njit(pipeline_class=PartCompiler, no_cpython_wrapper=True, forceinline=inline)(function)

    def called(args: Any, kws: Any) -> Any:
        # A number written in a call is an int64 like any other; Numba would compile a case of its own for each.
        return part().get_call_template(
            [types.unliteral(arg) for arg in args], {name: types.unliteral(kws[name]) for name in kws}
        )

    compile_it = compiled.compile

    def compile_alone(signature: Any) -> Any:
        with _alone(f"{function.__module__}.{function.__qualname__}", str(signature)):
            return compile_it(signature)

    compiled.compile = compile_alone
    compiled.get_call_template = called
    compiled.get_overload = lambda signature: part().get_overload(signature)
    return cast("F", compiled)


def inlined(function: F) -> F:
    """Compile a short kernel, as `kernel` does, that is to stand in each of its callers.

    For a question that mostly spares the call of a long kernel, and for what a constant argument makes shorter.
    """
    return kernel(function, inline=True)


def apart(function: F) -> F:
    """Compile a kernel, as `kernel` does, that is to stay a call in its callers.

    For what few policies need, so that a caller stays as short and quick as what all need.
    """
    APART.add(function)
    return kernel(function)
