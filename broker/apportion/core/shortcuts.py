"""Shorter ways from Numba's typed code to LLVM's for what kernels mostly do.

Numba asks for the implementation of each ``a + b`` among all that are registered, and spells out an element of an array as
a view of it: strides, a struct of seven fields in memory, a count of references. It takes milliseconds each, and LLVM then removes
most of what was written. Kernels read columns of tables and add and compare integers; for these the few instructions that remain
are written at once, which halves the time of a first run. All else goes Numba's way.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

from llvmlite.ir import Ret
from numba import types
from numba.core import cgutils, ir, ir_utils, typed_passes, untyped_passes
from numba.core.callconv import excinfo_ptr_t
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import impl_ret_new_ref
from numba.core.lowering import Lower

from apportion.core.handle import TableType, column_address, column_length

# Passes for what no kernel has: closures, comprehensions, ``with``, literal_unroll, branches that are decided by None.
IDLE = {
    typed_passes.DumpParforDiagnostics,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    untyped_passes.DeadBranchPrune,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.InlineClosureLikes,
    untyped_passes.InlineInlinables,
    untyped_passes.LiteralPropagationSubPipelinePass,
    untyped_passes.LiteralUnroll,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.WithLifting,
}

_SUMS = {operator.add: "add", operator.sub: "sub", operator.mul: "mul"}
_COMPARISONS = {
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
_ON_INTEGERS = _SUMS | _COMPARISONS
_TYPED_ALIKE = {*_ON_INTEGERS, operator.iadd, operator.isub, operator.imul}

_usual_call_type = types.Function.get_call_type
_call_types: dict[tuple[Any, ...], Any] = {}


def _call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
    """Type of a call of a builtin function or an operator, found once for the same types of arguments."""
    if kws:
        return _usual_call_type(self, context, args, kws)
    if self.typing_key in _TYPED_ALIKE:
        values = tuple(types.unliteral(arg) for arg in args)
        if values == (types.int64, types.int64):  # whatever the number written there
            args = values
    key = (self, *args)
    if key not in _call_types:
        _call_types[key] = _usual_call_type(self, context, args, kws)
    return _call_types[key]


@register_pass(mutates_CFG=True, analysis_only=False)
class QuickTypeInference(typed_passes.NopythonTypeInference):
    """Numba's type inference, which remembers what calls return instead of asking all that is registered each time."""

    _name = "quick_type_inference"

    def run_pass(self, state: Any) -> bool:
        """Called by Numba, which holds its compiler lock meanwhile."""
        function: Any = types.Function
        before = function.get_call_type
        function.get_call_type = _call_type
        try:
            return bool(super().run_pass(state))
        finally:
            function.get_call_type = before


def quick_call(description: Any, libraries: list[Any]) -> Any:
    """How a caller calls a kernel that never fails: without asking."""

    def implementation(context: Any, builder: Any, kind: Any, args: Any) -> Any:
        convention = context.call_conv
        room = cgutils.alloca_once(builder, convention.get_return_type(description.restype).pointee)
        nothing = excinfo_ptr_t.as_pointer()(None)
        arguments = convention._get_arg_packer(description.argtypes).as_arguments(builder, args)  # noqa: SLF001
        builder.call(context.declare_function(builder.module, description), [room, nothing, *arguments])
        value = context.get_returned_value(builder, description.restype, builder.load(room))
        return impl_ret_new_ref(context, builder, kind.return_type, value)

    call: Any = implementation
    call.signature = description.argtypes
    call.libs = tuple(libraries)
    return call


class QuickLower(Lower):
    """Numba's lowering of one function, with short ways for elements of arrays, sums and comparisons of int64, and what is not counted."""

    def init(self) -> None:
        """Called by Numba before anything else."""
        super().init()
        self._counted: dict[Any, bool] = {}
        self._bare = self._find_bare_columns()
        self._columns: dict[str, tuple[Any, Any, str]] = {}

    def _find_bare_columns(self) -> set[str]:
        """Find what is read from a table only to read or write elements, or to ask for the size: it needs not become an array."""
        statements: list[Any] = [statement for block in self.blocks.values() for statement in block.body]
        bare, whole = set(), set()
        for statement in statements:
            value = getattr(statement, "value", None)
            names = [var.name for var in statement.list_vars()]
            if isinstance(statement, ir.Del):
                continue
            if isinstance(statement, ir.Assign) and isinstance(value, ir.Expr):
                if value.op == "getattr":
                    if isinstance(self.typeof(value.value.name), TableType):
                        bare.add(names.pop(names.index(statement.target.name)))
                    elif value.attr == "size":
                        names.remove(value.value.name)
                elif value.op in {"getitem", "static_getitem"}:
                    index = value.index if value.op == "getitem" else value.index_var
                    if self._is_element(value.value, index):
                        names.remove(value.value.name)
            elif isinstance(statement, (ir.SetItem, ir.StaticSetItem)):
                index = statement.index if isinstance(statement, ir.SetItem) else statement.index_var
                if self._is_element(statement.target, index):
                    names.remove(statement.target.name)
            whole.update(names)
        return {
            name
            for name in bare - whole
            if name in self._singly_assigned_vars and isinstance(self.typeof(name), types.Array)
        }

    def lower(self) -> None:
        """Lower the function, and note whether it can fail."""
        super().lower()
        ends = [block.terminator for block in self.function.blocks]
        self.library.never_fails = all(
            getattr(end.operands[0], "constant", None) == 0 for end in ends if isinstance(end, Ret)
        )

    # Without debug information and without text of instructions for it, see Numba's own.
    def lower_inst(self, inst: Any) -> None:
        """Lower one statement."""
        if isinstance(inst, ir.Assign):
            name = inst.target.name
            if name in self._bare:
                read: Any = inst.value
                table = read.value.name
                self._columns[name] = self.typeof(table), self.loadvar(table), read.attr
            else:
                self.storevar(self.lower_assign(self.typeof(name), inst), name)
        elif isinstance(inst, ir.Del):
            if inst.value not in self._bare and self._is_counted(self.typeof(inst.value)):
                self.delvar(inst.value)
        elif isinstance(inst, (ir.SetItem, ir.StaticSetItem)):
            index = inst.index if isinstance(inst, ir.SetItem) else inst.index_var
            place = self._element(inst.target, index)
            if place is None:
                super().lower_inst(inst)
            else:
                dtype = self.typeof(inst.target.name).dtype
                value = self.context.cast(
                    self.builder, self.loadvar(inst.value.name), self.typeof(inst.value.name), dtype
                )
                self.context.pack_value(self.builder, dtype, value, place)
        else:
            super().lower_inst(inst)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        """Lower the right side of an assignment."""
        if expr.op == "getattr" and expr.attr == "size" and isinstance(self.typeof(expr.value.name), types.Array):
            lengths = (self._length(expr.value, d) for d in range(self.typeof(expr.value.name).ndim))
            return self.context.cast(self.builder, reduce(self.builder.mul, lengths), types.intp, resty)
        if expr.op in {"getitem", "static_getitem"}:
            place = self._element(expr.value, expr.index if expr.op == "getitem" else expr.index_var)
            if place is not None:
                dtype = self.typeof(expr.value.name).dtype
                value = self.context.unpack_value(self.builder, dtype, place)
                return self.context.cast(self.builder, value, dtype, resty)
        elif expr.op in {"binop", "inplace_binop"}:
            value = self._is_one_of(resty, expr) if expr.fn is operator.contains else self._of_integers(resty, expr)
            if value is not None:
                return value
        elif expr.op == "call":
            value = self._call_of_integers(resty, expr)
            if value is not None:
                return value
        elif expr.op == "getiter":
            value = self._count_up(resty, expr)
            if value is not None:
                return value
        return super().lower_expr(resty, expr)

    def storevar(self, value: Any, name: str, argidx: Any = None) -> None:
        """Give a variable a value."""
        if name in self._singly_assigned_vars or self._is_counted(self.typeof(name)):
            super().storevar(value, name, argidx)
        else:
            self.builder.store(value, self.getvar(name))

    def incref(self, typ: Any, val: Any) -> None:
        """Count one more reference to a value, if it has any."""
        if self._is_counted(typ) and not hasattr(val, "unowned"):
            super().incref(typ, val)

    def decref(self, typ: Any, val: Any) -> None:
        """Count one reference less to a value, if it has any."""
        if self._is_counted(typ) and not hasattr(val, "unowned"):
            super().decref(typ, val)

    def _is_counted(self, kind: Any) -> bool:
        """Whether values of a type hold references."""
        if kind not in self._counted:
            self._counted[kind] = self.context.data_model_manager[kind].contains_nrt_meminfo()
        return self._counted[kind]

    def _is_element(self, array: Any, index: Any) -> bool:
        """Whether an index, which is not to be checked, says one element of a contiguous array."""
        kind = self.typeof(array.name)
        if index is None or self.context.enable_boundscheck or not isinstance(kind, types.Array):
            return False
        if kind.layout != "C" or not kind.aligned or not isinstance(kind.dtype, (types.Number, types.Boolean)):
            return False
        index_types = self.typeof(index.name)
        if not isinstance(index_types, types.BaseTuple):
            index_types = (index_types,)
        return len(index_types) == kind.ndim and all(isinstance(t, types.Integer) for t in index_types)

    def _element(self, array: Any, index: Any) -> Any:
        """Address of an element; None if it is none."""
        if not self._is_element(array, index):
            return None
        kinds: Any = self.typeof(index.name)
        values = [self.loadvar(index.name)]
        if isinstance(kinds, types.BaseTuple):
            values = cgutils.unpack_tuple(self.builder, values[0])
        else:
            kinds = (kinds,)
        place, *others = (
            self.context.cast(self.builder, value, kind, types.intp) for kind, value in zip(kinds, values, strict=True)
        )
        for dimension, other in enumerate(others, start=1):
            place = self.builder.add(self.builder.mul(place, self._length(array, dimension)), other)
        return self.builder.gep(self._address(array), [place])

    def _address(self, array: Any) -> Any:
        """Address of the first element of an array."""
        if array.name in self._columns:
            return column_address(self.context, self.builder, *self._columns[array.name])
        model = self.context.data_model_manager[self.typeof(array.name)]
        return self.builder.extract_value(self.loadvar(array.name), model.get_field_position("data"))

    def _length(self, array: Any, dimension: int) -> Any:
        """Length of an array in one dimension."""
        if array.name in self._columns:
            return column_length(self.builder, *self._columns[array.name], dimension)
        model = self.context.data_model_manager[self.typeof(array.name)]
        return self.builder.extract_value(self.loadvar(array.name), [model.get_field_position("shape"), dimension])

    def _of_integers(self, resty: Any, expr: Any) -> Any:
        """Sum or comparison of two int64; None if it is none."""
        signature = self.fndesc.calltypes[expr]
        if signature.args != (types.int64, types.int64):
            return None
        operation = expr.fn if expr.op == "binop" else expr.immutable_fn
        name = _ON_INTEGERS.get(operation)
        if name is None or signature.return_type not in {types.int64, types.boolean}:
            return None
        a, b = (
            self.context.cast(self.builder, self.loadvar(side.name), self.typeof(side.name), types.int64)
            for side in (expr.lhs, expr.rhs)
        )
        value = getattr(self.builder, name)(a, b) if operation in _SUMS else self.builder.icmp_signed(name, a, b)
        return self.context.cast(self.builder, value, signature.return_type, resty)

    def _is_one_of(self, resty: Any, expr: Any) -> Any:
        """Whether an integer is in a tuple of int64; None if it is something else."""
        among, kind = self.fndesc.calltypes[expr].args
        if not isinstance(among, types.UniTuple) or among.dtype != types.int64 or not isinstance(kind, types.Integer):
            return None
        values = self.context.cast(self.builder, self.loadvar(expr.lhs.name), self.typeof(expr.lhs.name), among)
        value = self.context.cast(self.builder, self.loadvar(expr.rhs.name), self.typeof(expr.rhs.name), types.int64)
        same = [self.builder.icmp_signed("==", value, other) for other in cgutils.unpack_tuple(self.builder, values)]
        return self.context.cast(self.builder, reduce(self.builder.or_, same), types.boolean, resty)

    def _call_of_integers(self, resty: Any, expr: Any) -> Any:
        """``int``, ``min`` and ``max`` of int64; None if it is none of these."""
        operation = getattr(self.typeof(expr.func.name), "typing_key", None)
        kind = self.fndesc.calltypes[expr]
        taken = (
            set(kind.args[0]) if len(kind.args) == 1 and isinstance(kind.args[0], types.UniTuple) else set(kind.args)
        )
        if operation not in {int, min, max} or expr.kws or expr.vararg or taken != {types.int64}:
            return None
        values = [
            self.context.cast(self.builder, self.loadvar(a.name), self.typeof(a.name), types.int64) for a in expr.args
        ]
        if operation is int:
            (value,) = values
        else:
            order = "<" if operation is min else ">"
            value = reduce(lambda a, b: self.builder.select(self.builder.icmp_signed(order, b, a), b, a), values)
        return self.context.cast(self.builder, value, types.int64, resty)

    def _count_up(self, resty: Any, expr: Any) -> Any:
        """Iterator of ``range`` without a step; None if it is none."""
        kind = self.typeof(expr.value.name)
        made = ir_utils.guard(ir_utils.get_definition, self.func_ir, expr.value)
        if kind != types.range_state64_type or made is None or len(made.args) > 2:
            return None
        given = self.context.make_helper(self.builder, kind, self.loadvar(expr.value.name))
        loop = self.context.make_helper(self.builder, resty)
        left = self.builder.sub(given.stop, given.start)
        none = left.type(0)
        left = self.builder.select(self.builder.icmp_signed(">", left, none), left, none)
        loop.iter = cgutils.alloca_once_value(self.builder, given.start)
        loop.count = cgutils.alloca_once_value(self.builder, left)
        loop.stop, loop.step = given.stop, left.type(1)
        return loop._getvalue()  # noqa: SLF001  (what Numba's own code returns)
