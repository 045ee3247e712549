"""Numbers that are known when kernels are compiled, and the branches that go with them.

A policy without accounts, limits, nodes or preemption should not pay for the question whether it has them, neither each time
a job starts nor when kernels are compiled. A number of a table given as `apportion.core.handle.Known` is therefore part of the type
of its handle: what reads it becomes a constant before Numba looks at types, and what hangs on it is never compiled.
"""

from __future__ import annotations

from typing import Any

from numba.core import ir, ir_utils
from numba.core.analysis import dead_branch_prune
from numba.core.compiler_machinery import FunctionPass, register_pass

from apportion.core.handle import ListType, TableType


def _kind(func_ir: Any, args: Any, var: Any) -> Any:
    """Type of a variable that is an argument, or read from one field by field; None if it is something else."""
    value = ir_utils.guard(ir_utils.get_definition, func_ir, var)
    if isinstance(value, ir.Arg):
        return args[value.index]
    if not isinstance(value, ir.Expr):
        return None
    if value.op == "getattr":
        table = _kind(func_ir, args, value.value)
        return table.fields[value.attr][0] if isinstance(table, TableType) and value.attr in table.fields else None
    if value.op in {"getitem", "static_getitem"}:
        tables = _kind(func_ir, args, value.value)
        return tables.item if isinstance(tables, ListType) else None
    return None


@register_pass(mutates_CFG=True, analysis_only=False)
class WriteKnown(FunctionPass):
    """Write known numbers where they are read, and leave out the branches that are never taken."""

    _name = "write_known"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Called by Numba, before it looks at types."""
        code = state.func_ir
        found = False
        for block in code.blocks.values():
            for statement in block.find_insts(ir.Assign):
                value = statement.value
                if not isinstance(value, ir.Expr) or value.op != "getattr":
                    continue
                table = _kind(code, state.args, value.value)
                if isinstance(table, TableType) and value.attr in table.known:
                    written = ir.Const(table.known[value.attr], statement.loc)
                    definitions = code._definitions[statement.target.name]  # noqa: SLF001
                    definitions[definitions.index(value)] = written
                    statement.value = written
                    found = True
        if found:
            dead_branch_prune(code, state.args)
        return found
