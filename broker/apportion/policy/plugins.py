"""Orders as small Python functions, compiled, and the one thing that expressions and functions both become.

A plug-in is a function of one job that returns its score; the smallest comes first::

    from apportion.policy.plugins import Job, order

    @order("narrow-first")
    def narrow_first(job: Job) -> float:
        return job.procs + 0.001 * job.wait

A policy names it by file, ``OrderPlugin = "narrow.py:narrow_first"`` (beside the policy file), or by name,
``Order = "plugin:narrow-first"``, where the function is registered by an import or by an entry point of the group
``apportion.orders``. The function may use numbers, ``math`` and the columns of the job. A score that is not a number
counts as plus infinite. A plug-in is code: load only what you trust.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numba
import numpy as np

from apportion.core.errors import PolicyError
from apportion.core.jit import JIT_DISABLED
from apportion.core.scoring import JOB_COLUMNS, hold
from apportion.policy.expression import DYNAMIC_COLUMNS, HELPERS, parse
from apportion.policy.fields import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from apportion.policy.model import Policy

ENTRY_POINTS = "apportion.orders"


class Job(NamedTuple):
    """What an order may know of a job; all float64.

    Seconds, processors, nodes, MiB; ``submit`` and ``now`` count from the trace's origin.
    """

    now: float
    wait: float
    submit: float
    limit: float
    procs: float
    nodes: float
    mem: float
    gpus: float
    qos_priority: float
    nice: float
    critical_path: float
    fairshare: float
    age: float


F = TypeVar("F", bound=Callable[[Job], float])
Score = Callable[[float, float, float, float, float, float, float, float, float, float, float, float], float]


@dataclass(frozen=True)
class OrderFunction:
    """An order, whatever it was written in.

    ``name`` : for people. ``source_hash`` : SHA-256 (hex) of what it was made from. ``dynamic`` : whether a score
    changes while a job waits (it reads now, wait, age or fairshare). ``reads_fairshare`` : whether it does, so that
    usage must be kept. ``python`` : the score as a plain function of the columns of `JOB_COLUMNS`.
    """

    name: str
    source_hash: str
    dynamic: bool
    reads_fairshare: bool
    python: Score

    @cached_property
    def address(self) -> int:
        """Address for `apportion.core.scoring.call_score`; compiles at the first use."""
        return _address(self)


class _Registered(NamedTuple):
    function: Callable[[Job], float]
    dynamic: bool


_registry: dict[str, _Registered] = {}
_addresses: dict[str, int] = {}


def order(name: str, *, dynamic: bool = True) -> Callable[[F], F]:
    """Register a function as an order.

    Parameters
    ----------
    name : str
        What ``Order = "plugin:NAME"`` calls it.
    dynamic : bool
        False promises that a job's score never changes (it reads none of now, wait, age, fairshare); such an order is
        much faster.

    Raises
    ------
    PolicyError
        If the promise is visibly broken, or another function has the name.
    """

    def register(function: F) -> F:
        if not dynamic and (read := DYNAMIC_COLUMNS & set(function.__code__.co_names)):
            raise PolicyError(
                f"the order {name} reads {', '.join(sorted(read))} but says dynamic=False", "drop dynamic=False"
            )
        known = _registry.get(name)
        if known is not None and _text(known.function) != _text(function):
            raise PolicyError(f"two functions are registered as the order {name}", "rename one")
        _registry[name] = _Registered(function, dynamic)
        return function

    return register


def from_expression(name: str, text: str) -> OrderFunction:
    """Order of an expression.

    Parameters
    ----------
    name : str
        For people.
    text : str
        See `apportion.policy.expression`.

    Raises
    ------
    ExpressionError
        If the text is no expression.
    """
    expression = parse(text)
    source = (
        f"def score({', '.join(JOB_COLUMNS)}):\n"
        f"    result = {expression.body}\n"
        f"    return result + 0.0 if result == result else inf\n"
    )
    namespace: dict[str, Any] = {**HELPERS, "inf": math.inf}
    exec(compile(source, f"<order {name}>", "exec"), namespace)  # noqa: S102  (our own text, from an accepted tree)
    digest = hashlib.sha256(expression.text.encode()).hexdigest()
    reads_fairshare = "fairshare" in expression.columns
    return OrderFunction(name, digest, expression.dynamic, reads_fairshare, namespace["score"])


def from_plugin(policy: Policy) -> OrderFunction:
    """Order of the plug-in that a policy names.

    Raises
    ------
    PolicyError
        If it cannot be found, read or compiled, or is not the one that ``OrderPluginSha256`` pins.
    """
    name, found = _find(policy)
    digest = _hash(found)
    if policy.OrderPluginSha256 and policy.OrderPluginSha256.lower() != digest:
        raise PolicyError(
            f"the plug-in {policy.OrderPlugin} is not the one this policy was written for",
            f"its hash is {digest}; correct OrderPluginSha256 if it is meant",
        )
    reads_fairshare = found.dynamic and _may_read_fairshare(found.function)
    function = OrderFunction(name, digest, found.dynamic, reads_fairshare, _as_score(found.function))
    _try_out(function)
    return function


def _may_read_fairshare(function: Callable[[Job], float]) -> bool:
    """Whether a function reads the column, or hands the job to something that could."""
    names = set(function.__code__.co_names)
    columns = names & set(Job._fields)
    harmless = set(dir(math)) | set(dir(builtins)) | {"math"}
    return "fairshare" in names or not columns or bool(names - columns - harmless)


def source_hash(policy: Policy) -> str:
    """SHA-256 (hex) of the source of the plug-in that a policy names."""
    return _hash(_find(policy)[1])


def _find(policy: Policy) -> tuple[str, _Registered]:
    text = policy.OrderPlugin
    file, colon, function_name = text.rpartition(":")
    if colon and file.endswith(".py"):
        module = _import_file(policy.folder / file)
        function = getattr(module, function_name, None)
        if not inspect.isfunction(function):
            names = [name for name, value in vars(module).items() if inspect.isfunction(value)]
            near = nearest(function_name, tuple(names))
            raise PolicyError(
                f"there is no function '{function_name}'",
                f"did you mean '{near}'?" if near else "correct OrderPlugin",
                path=file,
            )
        named = next((entry for entry in _registry.values() if entry.function is function), None)
        return function_name, named or _Registered(function, dynamic=True)
    if text not in _registry:
        for entry in metadata.entry_points(group=ENTRY_POINTS):
            if entry.name == text:
                try:
                    function = entry.load()
                except Exception as error:  # noqa: BLE001
                    raise PolicyError(
                        f"the plug-in {text} cannot be imported: {error}", "mend or reinstall it"
                    ) from None
                if text not in _registry:
                    _registry[text] = _Registered(function, dynamic=True)
    if text not in _registry:
        known = tuple(sorted({*_registry, *(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))}))
        near = nearest(text, known)
        hint = (
            f"did you mean '{near}'?" if near else 'name a file, "FILE.py:FUNCTION", or install the package that has it'
        )
        raise PolicyError(f"there is no order plug-in '{text}'", hint)
    return text, _registry[text]


def _import_file(path: Path) -> Any:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PolicyError((error.strerror or "cannot be read").lower(), "correct OrderPlugin", path=path) from None
    name = "apportion_order_" + hashlib.sha256(source).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PolicyError("this is not a Python file", "correct OrderPlugin", path=path)
    module = importlib.util.module_from_spec(spec)
    try:
        exec(compile(source, str(path.resolve()), "exec"), module.__dict__)  # noqa: S102  (the operator's own plug-in)
    except PolicyError:
        raise
    except SyntaxError as error:
        raise PolicyError(f"not valid Python: {error.msg}", "mend the line", path=path, line=error.lineno) from None
    except Exception as error:  # noqa: BLE001
        raise PolicyError(f"importing it fails: {type(error).__name__}: {error}", "mend it", path=path) from None
    return module


def _as_score(function: Callable[[Job], float]) -> Score:
    """Wrap into the plain-Python twin: IEEE arithmetic as compiled; what else fails counts as plus infinite."""

    def score(*columns: float) -> float:
        try:
            with np.errstate(all="ignore"):
                result = float(function(Job(*map(np.float64, columns))))
        except (ArithmeticError, ValueError):
            return math.inf
        return result + 0.0 if result == result else math.inf  # noqa: PLR0124

    score.__wrapped__ = function  # type: ignore[attr-defined]
    return score


def _text(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = function.__code__
        return repr((code.co_code, code.co_consts, code.co_names))


def _hash(found: _Registered) -> str:
    return hashlib.sha256(f"{_text(found.function)}\n{found.dynamic}".encode()).hexdigest()


def _compiled(function: OrderFunction) -> Any:
    """Compile the score with this project's flags: strict floating point, IEEE division."""
    signature = "float64(" + ",".join(["float64"] * len(JOB_COLUMNS)) + ")"
    wrapped = getattr(function.python, "__wrapped__", None)
    if wrapped is None:
        return numba.cfunc(signature, fastmath=False, error_model="numpy")(function.python)
    inner = numba.njit(fastmath=False, error_model="numpy")(wrapped)
    inf = math.inf

    def score(
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
        job = Job(now, wait, submit, limit, procs, nodes, mem, gpus, qos_priority, nice, critical_path, fairshare, age)
        result = float(inner(job))
        return result + 0.0 if result == result else inf  # noqa: PLR0124

    return numba.cfunc(signature, fastmath=False, error_model="numpy")(score)


def _address(function: OrderFunction) -> int:
    key = f"{function.name} {function.source_hash}"
    if key not in _addresses:
        if JIT_DISABLED:
            address = len(_addresses) + 1
            hold(address, function.python)
        else:
            try:
                compiled = _compiled(function)
            except Exception as error:  # noqa: BLE001  (numba raises many kinds)
                reason = " ".join(str(error).split())[:200]
                raise PolicyError(
                    f"the order {function.name} cannot be compiled: {reason}", "use numbers and math only"
                ) from None
            address = int(compiled.address)
            hold(address, compiled)
        _addresses[key] = address
    return _addresses[key]


_SAMPLES = (
    (0.0, 0.0, 0.0, 60.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 60.0, 1.0, 0.0),
    (90000.0, 3600.0, 86400.0, 7200.0, 64.0, 4.0, 4096.0, 2.0, 10.0, 100.0, 9000.0, 0.25, 3600.0),
)


def _try_out(function: OrderFunction) -> None:
    """Call the function on two ordinary jobs, so that a fault shows at loading and not at the first decision."""
    original: Callable[[Job], float] = function.python.__wrapped__  # type: ignore[attr-defined]
    for sample in _SAMPLES:
        try:
            with np.errstate(all="ignore"):
                result = original(Job(*map(np.float64, sample)))
        except (ArithmeticError, ValueError):
            continue
        except Exception as error:  # noqa: BLE001
            raise PolicyError(f"the order {function.name} fails: {type(error).__name__}: {error}", "mend it") from None
        if not isinstance(result, (int, float, np.number, np.bool)):
            raise PolicyError(f"the order {function.name} gives a {type(result).__name__}", "let it return a number")
