"""The one decorator of all kernels, and the cheap way to hand them a large state.

Every flag that could change a result is set here and nowhere else: compiled code is cached, releases the GIL,
keeps strict IEEE floating point (no ``fastmath``) and runs sequentially (no ``parallel``).

Numba's own cache looks only at the file of the function it caches, so a caller would go on using a stale callee
after an edit elsewhere. The cache therefore lives in a folder named for the content of all kernel sources.
"""

from __future__ import annotations

import fcntl
import hashlib
import operator
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
    unbox,
)
from numba.np.arrayobj import populate_array

from apportion.core.parts import APART, PartCompiler, WholeCompiler

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

config: Any = numba_config  # its settings are set at run time

_TABLES: set[type] = set()

JIT_DISABLED = bool(config.DISABLE_JIT)


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


@contextmanager
def _alone(name: str, signature: str) -> Iterator[None]:
    """Let one process at a time compile a kernel; those that waited for it find it in the cache.

    The file that is locked tells what has been compiled, so that who comes later need not wait for its turn to load it.
    """
    with ExitStack() as stack:
        file = None
        with suppress(OSError):  # a file system without locks, or without room: each for itself
            Path(CACHE_DIR).mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(Path(CACHE_DIR, f"{name}.lock").open("a+", encoding="utf-8"))
            file.seek(0)
            if signature in file.read().splitlines():
                file = None
            else:
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
        if file is not None:
            with suppress(OSError):
                file.write(signature + "\n")
                file.flush()


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


def table(cls: type[T]) -> type[T]:
    """Mark a NamedTuple as a table that `handle` can turn into one pointer."""
    _TABLES.add(cls)
    return cls


def move(column: Any, to: int, start: int, n: int) -> None:
    """Move ``n`` elements, or rows, from ``start`` on; the two places may overlap. In kernels it is C's memmove."""
    column[to : to + n] = column[start : start + n].copy()


@infer_global(move)
class _Move(AbstractTemplate):
    def generic(self, args: Any, _kws: Any) -> Any:
        """Type of ``move(column, to, start, n)``."""
        return signature(types.none, args[0], types.int64, types.int64, types.int64)


@lower_builtin(move, types.Array, types.Integer, types.Integer, types.Integer)
def _lower_move(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, args[0])
    to, start, n = args[1:]
    if kind.ndim == 2:
        width = cgutils.unpack_tuple(builder, array.shape)[1]
        to, start, n = (builder.mul(rows, width) for rows in (to, start, n))
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    cgutils.raw_memmove(builder, builder.gep(array.data, [to]), builder.gep(array.data, [start]), n, itemsize)
    return context.get_dummy_value()


class Handle:
    """A tuple of tables as kernels take it: the address of a block that holds the address and shape of each column.

    A NamedTuple of sixty arrays is handed over by value: 15 us a call from Python, a copy at each call inside, a count of
    references for every column touched, and minutes of compile time. A handle is one pointer, and the columns reached through
    it are plain memory. It keeps the arrays alive; they must not be replaced or resized.
    """

    __slots__ = ("_numba_type_", "address", "block", "kept")

    def __init__(self, kept: Any, kind: Any, block: Any) -> None:
        self.kept = kept
        self.block = block
        self.address = block.ctypes.data
        self._numba_type_ = kind


def handle(state: Any) -> Any:
    """Give a tuple of tables the form in which kernels take it.

    Parameters
    ----------
    state : NamedTuple
        Fields are C-contiguous arrays of one or two dimensions, ints, floats, tables again (see `table`), or lists of
        tables of one kind, which kernels index.

    Returns
    -------
    Handle
        Or ``state`` itself under ``NUMBA_DISABLE_JIT=1``.
    """
    if JIT_DISABLED:
        return state
    words: list[int] = []
    kept: list[Any] = []
    kind = _lay_out(state, words, kept)
    return Handle((state, kept), kind, np.array(words, np.int64))


def _lay_out(state: Any, words: list[int], kept: list[Any]) -> Any:
    """Append what `_load` reads, field by field, and describe it as a type; offsets count words from the table's own begin.

    ``kept`` : takes what must live as long as the handle.
    """
    begin = len(words)
    fields = []
    for name, value in zip(state._fields, state, strict=True):
        offset = len(words) - begin
        if type(value) in _TABLES:
            kind = _lay_out(value, words, kept)
        elif isinstance(value, list):
            items = [handle(item) for item in value]
            kind = _ListType(items[0]._numba_type_)
            if any(item._numba_type_ is not kind.item for item in items):
                raise ValueError(f"the tables of {name} are not of one kind")
            addresses = np.array([item.address for item in items], np.int64)
            kept += [addresses, *items]
            words.append(addresses.ctypes.data)
        elif isinstance(value, np.ndarray):
            if not value.flags.c_contiguous:
                raise ValueError(f"column {name} is not contiguous")
            kind = types.Array(numba.from_dtype(value.dtype), value.ndim, "C")
            words += [value.ctypes.data, *value.shape]
        elif isinstance(value, float):
            kind = types.float64
            words.append(int(np.float64(value).view(np.int64)))
        else:
            kind = types.int64
            words.append(int(value))
        fields.append((name, kind, offset))
    return _TableType.of(type(state).__name__, tuple(fields))


class _TableType(types.Type):
    """Numba's type of a handle: a pointer to words laid out as ``fields`` (name, type, offset in words) say."""

    _known: ClassVar[dict[str, _TableType]] = {}

    def __init__(self, name: str, fields: tuple[tuple[str, Any, int], ...]) -> None:
        self.fields = {field: (kind, offset) for field, kind, offset in fields}
        super().__init__(name=name)

    @classmethod
    def of(cls, name: str, fields: tuple[tuple[str, Any, int], ...]) -> _TableType:
        """One type for each layout; its short name keeps the symbols of compiled functions short."""
        text = ",".join(f"{field}:{kind.name}:{offset}" for field, kind, offset in fields)
        key = f"{name}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        if key not in cls._known:
            cls._known[key] = cls(key, fields)
        return cls._known[key]


class _ListType(types.Type):
    """Numba's type of a list of tables: a pointer to the pointers of their blocks."""

    def __init__(self, item: _TableType) -> None:
        self.item = item
        super().__init__(name=f"list.{item.name}")


register_model(_TableType)(models.OpaqueModel)
register_model(_ListType)(models.OpaqueModel)


@infer_global(operator.getitem)
class _ListItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        """Type of ``tables[i]``."""
        if not kws and isinstance(args[0], _ListType) and isinstance(args[1], types.Integer):
            return signature(args[0].item, args[0], types.int64)
        return None


@lower_builtin(operator.getitem, _ListType, types.Integer)
def _load_item(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    """Read the pointer of one table of a list."""
    pointers = builder.bitcast(args[0], args[0].type.as_pointer())
    item = builder.load(builder.gep(pointers, [args[1]]))
    item.set_metadata("invariant.load", builder.module.add_metadata([]))
    return item


@infer_getattr
class _TableAttributes(AttributeTemplate):
    key = _TableType

    def generic_resolve(self, table_type: _TableType, name: str) -> Any:  # type: ignore[override]
        """Type of one field."""
        return table_type.fields[name][0] if name in table_type.fields else None


@lower_getattr_generic(_TableType)
def _load(context: Any, builder: Any, table_type: _TableType, pointer: Any, name: str) -> Any:
    """Read a field: a column becomes an array without an owner, so that no references are counted."""
    kind, offset = table_type.fields[name]
    word = ir.IntType(64)
    words = builder.bitcast(pointer, word.as_pointer())

    def read(i: int) -> Any:
        value = builder.load(builder.gep(words, [ir.Constant(word, offset + i)]))
        value.set_metadata("invariant.load", builder.module.add_metadata([]))  # so that loops need not reload addresses
        return value

    if isinstance(kind, _ListType):
        return builder.inttoptr(read(0), pointer.type)
    if isinstance(kind, _TableType):
        return builder.bitcast(builder.gep(words, [ir.Constant(word, offset)]), pointer.type)
    if isinstance(kind, types.Array):
        itemsize = context.get_constant(types.intp, np.dtype(str(kind.dtype)).itemsize)
        shape = [read(1 + d) for d in range(kind.ndim)]
        strides = [itemsize]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(read(0), array.data.type)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
        return array._getvalue()  # noqa: SLF001  (what Numba's own array code returns)
    if kind == types.float64:
        return builder.bitcast(read(0), ir.DoubleType())
    return read(0)


@unbox(_TableType)
def _unbox(_type: Any, value: Any, c: Any) -> Any:
    """Take the address out of a `Handle`."""
    attribute = c.pyapi.object_getattr_string(value, "address")
    address = c.pyapi.long_as_voidptr(attribute)
    c.pyapi.decref(attribute)
    return NativeValue(address, is_error=c.pyapi.c_api_error())
