"""Compile each kernel once: kernels that others call are linked into them as they are, and become machine code only there.

Left to itself, Numba optimizes every function with all that it calls and makes machine code of it, and does so again for each of
its callers: of a call chain eight deep the last link is compiled eight times. A *part* stays intermediate code; what Python
calls, a *whole*, takes in the parts that it needs, directly or not, and is optimized with them. Nobody else calls those copies, and
saying so lets LLVM take in what is called once, and drop what is never looked at of arguments and results.

No kernel counts an index from the end, so none pays for the question whether it does: a select at each access, which also keeps
loops from becoming block operations. ``NUMBA_BOUNDSCHECK=1`` finds an index below zero as well as one beyond the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite.binding import Linkage
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import user_function
from numba.core.typed_passes import NativeLowering, NopythonTypeInference
from numba.core.untyped_passes import RewriteSemanticConstants
from numba.np import arrayobj

from apportion.core.known import WriteKnown
from apportion.core.shortcuts import IDLE, QuickLower, QuickTypeInference, quick_call


def _lower_indices_as_they_are(lower: Callable[[Any], bool], state: Any) -> bool:
    """Lower a function without the question whether an index counts from the end. Numba holds its compiler lock meanwhile."""

    def as_it_is(context: Any, builder: Any, index_type: Any, index: Any, _size: Any) -> Any:
        return context.cast(builder, index, index_type, types.intp)

    usual = arrayobj.fix_integer_index
    arrayobj.fix_integer_index = as_it_is
    try:
        return lower(state)
    finally:
        arrayobj.fix_integer_index = usual


APART: set[Callable[..., Any]] = set()  # kernels that stay calls in their callers


class _PartLibrary(JITCodeLibrary):
    """Intermediate code as it was written, to be linked and optimized in wholes only."""

    def add_llvm_module(self, ll_module: Any) -> None:
        """Take in the code; called by Numba."""
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        """Offer the code to those who link it, once each."""
        self._raise_if_finalized()
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.external:
                function.linkage = Linkage.linkonce_odr
        self._shared_module = self._final_module
        self._finalized = True


class _WholeLibrary(JITCodeLibrary):
    """Code that takes in its parts, and theirs, for itself alone."""

    def finalize(self) -> None:
        """Take in all code that is needed and make machine code of it."""
        needed = dict.fromkeys(self._linking_libraries)
        rest = list(needed)
        while rest:
            library = rest.pop()
            if isinstance(library, _PartLibrary):
                new = [needs for needs in dict.fromkeys(library._linking_libraries) if needs not in needed]  # noqa: SLF001
                needed.update(dict.fromkeys(new))
                rest += new
        self._linking_libraries = list(needed)
        super().finalize()

    def _optimize_final_module(self) -> None:
        """Called by Numba once all parts are in."""
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


@register_pass(mutates_CFG=True, analysis_only=False)
class _WholeLowering(NativeLowering):
    """Lower to a `_WholeLibrary`."""

    _name = "whole_lowering"
    lowering_class = QuickLower

    def run_pass(self, state: Any) -> bool:
        """Called by Numba."""
        state.library = _WholeLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return _lower_indices_as_they_are(super().run_pass, state)


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    """Lower to a `_PartLibrary`, and tell Numba where calls find it."""

    _name = "part_lowering"
    lowering_class = QuickLower

    def run_pass(self, state: Any) -> bool:
        """Called by Numba."""
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        _lower_indices_as_they_are(super().run_pass, state)
        code = state.library._final_module  # noqa: SLF001
        if state.func_id.func in APART:
            code.get_function(state["cr"].fndesc.llvm_func_name).add_function_attribute("noinline")
        key: Any = [].append  # a unique callable: calls look the code up by it, and never call it
        state.library.finalize()
        description = state["cr"].fndesc
        how = quick_call if state.library.never_fails else user_function
        state.targetctx.insert_func_defn([(how(description, [state.library]), key, description.argtypes)])
        state["cr"] = state["cr"]._replace(cfunc=key)
        return True


class _Compiler(CompilerBase):
    """Numba's usual pipeline, but for the lowering."""

    lowering: type[NativeLowering]

    def define_pipelines(self) -> list[Any]:
        """Called by Numba."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        instead: dict[Any, Any] = {
            NativeLowering: self.lowering,
            NopythonTypeInference: QuickTypeInference,
            RewriteSemanticConstants: WriteKnown,
        }
        passes.passes = [(instead.get(cls, cls), description) for cls, description in passes.passes if cls not in IDLE]
        passes.finalize()
        return [passes]


class PartCompiler(_Compiler):
    """For what kernels call."""

    lowering = _PartLowering


class WholeCompiler(_Compiler):
    """For what Python calls."""

    lowering = _WholeLowering
