"""Scores of jobs by a function that the core does not know: how it is called at compiled speed.

A score function takes the thirteen columns of `JOB_COLUMNS` as float64 and returns a float64; the smallest score comes
first. The core holds only its address (int64), so kernels stay the same, and stay cached, whatever order an operator
writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from apportion.core.jit import JIT_DISABLED

if TYPE_CHECKING:
    from collections.abc import Callable

JOB_COLUMNS: Final = (
    "now",  # seconds from the trace's origin
    "wait",  # seconds since submit
    "submit",  # seconds from the trace's origin
    "limit",  # requested time, seconds
    "procs",
    "nodes",
    "mem",  # MiB
    "gpus",
    "qos_priority",
    "nice",
    "critical_path",  # seconds of the limits along the longest chain of jobs that begins with it
    "fairshare",  # factor, 0..1
    "age",  # seconds eligible
)

_held: dict[int, Any] = {}


def hold(address: int, function: Callable[..., float]) -> None:
    """Keep the function behind ``address`` alive, and callable when compilation is switched off."""
    _held[address] = function


if JIT_DISABLED:

    def call_score(
        address: int,
        now: float,
        wait: float,
        submit: float,
        limit: float,
        procs: float,
        nodes: float,
        mem: float,
        gpus: float,
        qos_priority: float,
        nice: float,
        critical_path: float,
        fairshare: float,
        age: float,
    ) -> float:
        """Score of one job by the function at ``address``; its arguments are the columns of `JOB_COLUMNS`."""
        score: float = _held[int(address)](
            float(now),
            float(wait),
            float(submit),
            float(limit),
            float(procs),
            float(nodes),
            float(mem),
            float(gpus),
            float(qos_priority),
            float(nice),
            float(critical_path),
            float(fairshare),
            float(age),
        )
        return score

else:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def call_score(  # type: ignore[no-untyped-def]  # noqa: ANN201
        typing_context,  # noqa: ANN001, ARG001
        address,  # noqa: ANN001, ARG001
        now,  # noqa: ANN001, ARG001
        wait,  # noqa: ANN001, ARG001
        submit,  # noqa: ANN001, ARG001
        limit,  # noqa: ANN001, ARG001
        procs,  # noqa: ANN001, ARG001
        nodes,  # noqa: ANN001, ARG001
        mem,  # noqa: ANN001, ARG001
        gpus,  # noqa: ANN001, ARG001
        qos_priority,  # noqa: ANN001, ARG001
        nice,  # noqa: ANN001, ARG001
        critical_path,  # noqa: ANN001, ARG001
        fairshare,  # noqa: ANN001, ARG001
        age,  # noqa: ANN001, ARG001
    ):
        """Score of one job by the function at ``address``; its arguments are the columns of `JOB_COLUMNS`."""
        signature = types.float64(types.int64, *[types.float64] * len(JOB_COLUMNS))

        def emit(context: Any, builder: Any, _: Any, arguments: Any) -> Any:  # noqa: ARG001
            double = ir.DoubleType()
            pointer = builder.inttoptr(arguments[0], ir.FunctionType(double, [double] * len(JOB_COLUMNS)).as_pointer())
            return builder.call(pointer, arguments[1:])

        return signature, emit
