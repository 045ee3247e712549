"""The cheap way to hand a large state to kernels: tables of columns behind one pointer.

What kernels may take of it is described as Numba's types, and the reading of a field as the few loads that it is.
"""

from __future__ import annotations

import hashlib
import operator
from functools import cache, reduce
from typing import Any, ClassVar, TypeVar

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

T = TypeVar("T")

config: Any = numba_config  # its settings are set at run time

_TABLES: set[type] = set()

_WORD = ir.IntType(64)


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


class Known(int):
    """A number of a table that kernels are compiled for (see `apportion.core.known`); for another number they are compiled anew."""

    __slots__ = ()


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


def handle(state: Any, *, with_known: bool = True) -> Any:
    """Give a tuple of tables the form in which kernels take it.

    Parameters
    ----------
    state : NamedTuple
        Fields are C-contiguous arrays of one or two dimensions, ints, floats, tables again (see `table`), or lists of
        tables of one kind, which kernels index.
    with_known : bool
        Whether kernels may be compiled for the `Known` numbers in it; where it has lists, whose tables must be of one kind, they are not.

    Returns
    -------
    Handle
        Or ``state`` itself under ``NUMBA_DISABLE_JIT=1``.
    """
    if config.DISABLE_JIT:
        return state
    words: list[int] = []
    kept: list[Any] = []
    with_known &= not any(isinstance(value, list) for value in state)
    kind = _lay_out(state, words, kept, with_known=with_known)
    return Handle((state, kept), kind, np.array(words, np.int64))


def _lay_out(state: Any, words: list[int], kept: list[Any], *, with_known: bool) -> Any:
    """Append what `_load` reads, field by field, and describe it as a type; offsets count words from the table's own begin.

    ``kept`` : takes what must live as long as the handle.
    """
    begin = len(words)
    fields = []
    known = {}
    for name, value in zip(state._fields, state, strict=True):
        offset = len(words) - begin
        if type(value) in _TABLES:
            kind = _lay_out(value, words, kept, with_known=with_known)
        elif isinstance(value, list):
            items = [handle(item, with_known=False) for item in value]
            kind = ListType(items[0]._numba_type_)
            if any(item._numba_type_ is not kind.item for item in items):
                raise ValueError(f"the tables of {name} are not of one kind")
            addresses = np.array([item.address for item in items], np.int64)
            kept += [addresses, *items]
            words.append(addresses.ctypes.data)
        elif isinstance(value, np.ndarray):
            if not value.flags.c_contiguous:
                raise ValueError(f"column {name} is not contiguous")
            kind = _column(value.dtype, value.ndim)
            words += [value.ctypes.data, *value.shape]
        elif isinstance(value, float) or _is_declared_real(state, name):
            # As declared, also where a whole number is given: for another type all kernels would be compiled anew.
            kind = types.float64
            words.append(int(np.float64(value).view(np.int64)))
        else:
            kind = types.int64
            words.append(int(value))
            if with_known and isinstance(value, Known):
                known[name] = int(value)
        fields.append((name, kind, offset))
    return TableType.of(type(state).__name__, tuple(fields), known)


@cache
def _column(dtype: Any, ndim: int) -> Any:
    """Numba's type of a column, which takes a while to make."""
    return types.Array(numba.from_dtype(dtype), ndim, "C")


def _is_declared_real(state: Any, name: str) -> bool:
    declared = type(state).__annotations__[name]
    return getattr(declared, "__forward_arg__", declared) in {"float", float}


class TableType(types.Type):
    """Numba's type of a handle: a pointer to words laid out as ``fields`` (name, type, offset in words) say, some of them ``known``."""

    _all: ClassVar[dict[str, TableType]] = {}

    def __init__(self, name: str, fields: tuple[tuple[str, Any, int], ...], known: dict[str, int]) -> None:
        self.fields = {field: (kind, offset) for field, kind, offset in fields}
        self.known = known
        super().__init__(name=name)

    @classmethod
    def of(cls, name: str, fields: tuple[tuple[str, Any, int], ...], known: dict[str, int]) -> TableType:
        """One type for each layout; its short name keeps the symbols of compiled functions short."""
        text = ",".join(f"{field}:{kind.name}:{offset}:{known.get(field)}" for field, kind, offset in fields)
        key = f"{name}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        if key not in cls._all:
            cls._all[key] = cls(key, fields, known)
        return cls._all[key]


class ListType(types.Type):
    """Numba's type of a list of tables: a pointer to the pointers of their blocks."""

    def __init__(self, item: TableType) -> None:
        self.item = item
        super().__init__(name=f"list.{item.name}")


@register_model(TableType)
class _TableModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _WORD.as_pointer())


@register_model(ListType)
class _ListModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _WORD.as_pointer().as_pointer())


@infer_global(operator.getitem)
class _ListItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        """Type of ``tables[i]``."""
        if not kws and isinstance(args[0], ListType) and isinstance(args[1], types.Integer):
            return signature(args[0].item, args[0], types.int64)
        return None


@lower_builtin(operator.getitem, ListType, types.Integer)
def _load_item(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    """Read the pointer of one table of a list."""
    item = builder.load(builder.gep(args[0], [args[1]]))
    item.set_metadata("invariant.load", builder.module.add_metadata([]))
    return item


@infer_getattr
class _TableAttributes(AttributeTemplate):
    key = TableType

    def generic_resolve(self, table_type: TableType, name: str) -> Any:  # type: ignore[override]
        """Type of one field."""
        return table_type.fields[name][0] if name in table_type.fields else None


def _read(builder: Any, pointer: Any, place: int) -> Any:
    """Read one word of a block."""
    value = builder.load(builder.gep(pointer, [_WORD(place)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))  # so that loops need not reload addresses
    return value


def column_address(context: Any, builder: Any, table_type: TableType, pointer: Any, name: str) -> Any:
    """Address of the first element of a column, as LLVM's value."""
    kind, offset = table_type.fields[name]
    dtype = context.data_model_manager[kind.dtype].get_data_type()
    return builder.inttoptr(_read(builder, pointer, offset), dtype.as_pointer())


def column_length(builder: Any, table_type: TableType, pointer: Any, name: str, dimension: int) -> Any:
    """Length of a column in one dimension, as LLVM's value."""
    return _read(builder, pointer, table_type.fields[name][1] + 1 + dimension)


@lower_getattr_generic(TableType)
def _load(context: Any, builder: Any, table_type: TableType, pointer: Any, name: str) -> Any:
    """Read a field: a column becomes an array without an owner, so that no references are counted."""
    kind, offset = table_type.fields[name]
    if isinstance(kind, ListType):
        return builder.inttoptr(_read(builder, pointer, offset), pointer.type.as_pointer())
    if isinstance(kind, TableType):
        return builder.gep(pointer, [_WORD(offset)])
    if isinstance(kind, types.Array):
        shape = [column_length(builder, table_type, pointer, name, d) for d in range(kind.ndim)]
        return _array(context, builder, kind, column_address(context, builder, table_type, pointer, name), shape)
    if kind == types.float64:
        return builder.bitcast(_read(builder, pointer, offset), ir.DoubleType())
    return _read(builder, pointer, offset)


def _array(context: Any, builder: Any, kind: Any, address: Any, shape: list[Any]) -> Any:
    """Make Numba's array of an address and a shape; what is known of it is written as a constant."""
    itemsize = np.dtype(str(kind.dtype)).itemsize
    strides = [_WORD(0)] * (kind.ndim - 1) + [_WORD(itemsize)]
    known: dict[str, Any] = {"itemsize": itemsize, "strides": strides}
    model = context.data_model_manager[kind]
    array = ir.Constant(
        model.get_value_type(),
        [
            ir.Constant(model.get_model(place).get_value_type(), known.get(field))
            for place, field in enumerate(model._fields)
        ],
    )

    def put(value: Any, field: str, *place: int) -> None:
        nonlocal array
        array = builder.insert_value(array, value, [model.get_field_position(field), *place])

    put(address, "data")
    stride = _WORD(itemsize)
    for d in reversed(range(kind.ndim)):
        put(shape[d], "shape", d)
        if d < kind.ndim - 1:
            stride = builder.mul(stride, shape[d + 1])
            put(stride, "strides", d)
    put(reduce(builder.mul, shape), "nitems")
    array.unowned = True
    return array


@unbox(TableType)
def _unbox(_type: Any, value: Any, c: Any) -> Any:
    """Take the address out of a `Handle`."""
    attribute = c.pyapi.object_getattr_string(value, "address")
    address = c.builder.bitcast(c.pyapi.long_as_voidptr(attribute), _WORD.as_pointer())
    c.pyapi.decref(attribute)
    return NativeValue(address, is_error=c.pyapi.c_api_error())
