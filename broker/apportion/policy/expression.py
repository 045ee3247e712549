"""Orders written as arithmetic: ``log10(limit) * procs + 870 * log10(submit)``.

An expression gives a job's score from named columns; the smallest score comes first, ties go to the older submit.
Columns are in seconds, processors, nodes and MiB:

``submit`` and ``now`` (seconds from the trace's origin), ``wait``, ``limit`` (requested time), ``procs``, ``nodes``,
``mem``, ``gpus``, ``area`` (``limit * procs``), ``qos_priority``, ``nice``, ``critical_path`` (limits along the longest chain of jobs that
begins with it), ``fairshare`` (0..1) and ``age`` (seconds the job has been eligible).

Operators: ``+ - * / % **``, comparisons (1 or 0), ``and or not``, ``a if c else b``. Functions: log (natural), log2,
log10, sqrt, exp, min, max, abs, pow, floor. Arithmetic is that of IEEE 754 and never fails: ``1/0`` is
infinite, ``log(0)`` minus infinite; a score that is not a number (``0/0``, ``log(-1)``) counts as plus infinite, so
such a job comes last.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from numba.extending import register_jitable

from apportion.core.scoring import JOB_COLUMNS
from apportion.policy.fields import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

DYNAMIC_COLUMNS = frozenset({"now", "wait", "fairshare", "age"})
COLUMNS = (*JOB_COLUMNS, "area")
MAX_LENGTH = 2000


class ExpressionError(ValueError):
    """An expression that cannot be used: what is wrong, at which column of it, and what to do."""

    def __init__(self, problem: str, remedy: str, column: int | None = None) -> None:
        self.problem = problem if column is None else f"{problem}, at column {column} of the expression"
        self.remedy = remedy
        self.column = column
        super().__init__(f"{self.problem} ({remedy})")


class Expression(NamedTuple):
    """An accepted expression: canonical text, the columns it reads, and the body that is compiled."""

    text: str
    columns: frozenset[str]
    body: str

    @property
    def dynamic(self) -> bool:
        """Whether a score changes while the job waits."""
        return bool(self.columns & DYNAMIC_COLUMNS)


@register_jitable
def divide(a: float, b: float) -> float:
    """Quotient of IEEE 754, also by zero."""
    if b != 0.0:
        return a / b
    if a == 0.0 or a != a:  # noqa: PLR0124
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


@register_jitable
def modulo(a: float, b: float) -> float:
    """Remainder with the sign of ``b``; not a number where ``b`` is 0 or an operand is infinite."""
    if b == 0.0 or not math.isfinite(a) or not math.isfinite(b):
        return math.nan
    return a % b


@register_jitable
def power(a: float, b: float) -> float:
    """Raise ``a`` to ``b``; not a number where no real number answers, infinite where it is too large."""
    if a == 0.0 and b < 0.0:
        return math.inf
    if a < 0.0 and math.isfinite(b) and b % 1.0 != 0.0:
        return math.nan
    if not (math.isfinite(a) and math.isfinite(b)) or a == 0.0:
        return float(a**b)
    if abs(b) * abs(math.log2(abs(a))) > 1030.0:  # Python would raise where C gives infinity
        if (abs(a) > 1.0) != (b > 0.0):
            return 0.0
        return -math.inf if a < 0.0 and b % 2.0 != 0.0 else math.inf
    if abs(b) * abs(math.log2(abs(a))) > 1020.0:
        half = float(abs(a) ** (b / 2.0))
        return -(half * half) if a < 0.0 and b % 2.0 != 0.0 else half * half
    return float(a**b)


@register_jitable
def square(a: float) -> float:
    """Raise to 2 as one product."""
    return a * a


@register_jitable
def cube(a: float) -> float:
    """Raise to 3 as two products."""
    return a * a * a


@register_jitable
def log(a: float) -> float:
    """Natural logarithm; minus infinite at 0, not a number below."""
    if a > 0.0:
        return math.log(a)
    return -math.inf if a == 0.0 else math.nan


@register_jitable
def log2(a: float) -> float:
    """Logarithm to base 2; minus infinite at 0, not a number below."""
    if a > 0.0:
        return math.log2(a)
    return -math.inf if a == 0.0 else math.nan


@register_jitable
def log10(a: float) -> float:
    """Logarithm to base 10; minus infinite at 0, not a number below."""
    if a > 0.0:
        return math.log10(a)
    return -math.inf if a == 0.0 else math.nan


@register_jitable
def sqrt(a: float) -> float:
    """Square root; not a number below 0."""
    return math.sqrt(a) if a >= 0.0 else math.nan


@register_jitable
def exp(a: float) -> float:
    """Exponential; infinite where it is too large."""
    return math.inf if a > 709.7 else math.exp(a)


@register_jitable
def floor(a: float) -> float:
    """Largest whole number not above ``a``."""
    return float(math.floor(a)) if abs(a) < 2.0**53 else a


@register_jitable
def least(a: float, b: float) -> float:
    """Take the smaller; not a number if either is not."""
    if a != a:  # noqa: PLR0124
        return a
    return a if a < b else b  # noqa: FURB136  (min would treat a NaN otherwise)


@register_jitable
def most(a: float, b: float) -> float:
    """Take the larger; not a number if either is not."""
    if a != a:  # noqa: PLR0124
        return a
    return a if a > b else b  # noqa: FURB136


# name -> (helper, fewest arguments, most arguments)
FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {
    "log": (log, 1, 1),
    "log2": (log2, 1, 1),
    "log10": (log10, 1, 1),
    "sqrt": (sqrt, 1, 1),
    "exp": (exp, 1, 1),
    "floor": (floor, 1, 1),
    "abs": (abs, 1, 1),
    "pow": (power, 2, 2),
    "min": (least, 2, 20),
    "max": (most, 2, 20),
}
HELPERS = {function.__name__: function for function, _, _ in FUNCTIONS.values()} | {
    function.__name__: function for function in (divide, modulo, square, cube)
}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_PLAIN = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
# Powers that a compiler would rewrite, and round otherwise, are written out.
_POWERS: dict[object, str] = {2: "square", 3: "cube", 0.5: "sqrt"}
_CALLED = {ast.Div: "divide", ast.Mod: "modulo", ast.Pow: "power"}


def parse(text: str) -> Expression:
    """Accept or refuse an expression.

    Parameters
    ----------
    text : str
        The expression as an operator writes it.

    Returns
    -------
    Expression

    Raises
    ------
    ExpressionError
        Pointing at the column (counted from 1) of what is not understood.
    """
    text = text.strip()
    if not text:
        raise ExpressionError("the expression is empty", "write for example limit * procs")
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters", f"{MAX_LENGTH} are the most; write a plug-in"
        )
    try:
        tree = ast.parse(text, mode="eval").body
        columns: set[str] = set()
        body = _emit(tree, columns)
        return Expression(ast.unparse(tree), frozenset(columns), body)
    except SyntaxError as error:
        column = min(max(error.offset or 1, 1), len(text))
        raise ExpressionError(
            f"the expression is not understood ({error.msg})", "check its brackets and operators", column
        ) from None
    except (RecursionError, MemoryError):
        raise ExpressionError("the expression is nested too deeply", "write a plug-in") from None
    except ValueError as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError("the expression is not understood", "check its numbers and characters") from None


def _refuse(node: ast.expr, problem: str, remedy: str) -> NoReturn:
    raise ExpressionError(problem, remedy, node.col_offset + 1)


def _emit(node: ast.expr, columns: set[str]) -> str:
    """Source text of one node; notes the columns it reads."""
    match node:
        case ast.Constant(value=value):
            return _constant(node, value)
        case ast.Name(id=name):
            return _name(node, name, columns)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{_emit(operand, columns)})"
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _emit(operand, columns)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"(0.0 if {_emit(operand, columns)} != 0.0 else 1.0)"
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(node, left, op, right, columns)
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.And) else " or "
            return "(1.0 if " + word.join(f"{_emit(value, columns)} != 0.0" for value in values) + " else 0.0)"
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _comparison(node, [left, *comparators], ops, columns)
        case ast.IfExp(test=test, body=yes, orelse=no):
            return f"({_emit(yes, columns)} if {_emit(test, columns)} != 0.0 else {_emit(no, columns)})"
        case ast.Call():
            return _call(node, columns)
    _refuse(
        node, f"{type(node).__name__} is not allowed", "use numbers, columns, + - * / % **, comparisons and functions"
    )


def _constant(node: ast.expr, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(node, f"{str(value)[:40]!r} is not a number", "use numbers and columns")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(node, "the number is too large", "use one below 1e308")
    return repr(number)


def _name(node: ast.expr, name: str, columns: set[str]) -> str:
    if name not in COLUMNS:
        near = nearest(name, COLUMNS)
        _refuse(
            node,
            f"there is no column '{name[:40]}'",
            f"did you mean '{near}'?" if near else f"columns are {', '.join(COLUMNS)}",
        )
    if name == "area":
        columns.update(("limit", "procs"))
        return "(limit * procs)"
    columns.add(name)
    return name


def _binary(node: ast.expr, left: ast.expr, op: ast.operator, right: ast.expr, columns: set[str]) -> str:
    if type(op) in _PLAIN:
        return f"({_emit(left, columns)} {_PLAIN[type(op)]} {_emit(right, columns)})"
    if type(op) not in _CALLED:
        _refuse(node, f"the operator {type(op).__name__} is not allowed", "use + - * / % **")
    if isinstance(op, ast.Pow) and isinstance(right, ast.Constant) and right.value in _POWERS:
        return f"{_POWERS[right.value]}({_emit(left, columns)})"
    return f"{_CALLED[type(op)]}({_emit(left, columns)}, {_emit(right, columns)})"


def _comparison(node: ast.expr, operands: list[ast.expr], ops: list[ast.cmpop], columns: set[str]) -> str:
    parts = []
    for left, op, right in zip(operands, ops, operands[1:], strict=False):
        if type(op) not in _COMPARE:
            _refuse(node, "this comparison is not allowed", "use < <= > >= == !=")
        parts.append(f"{_emit(left, columns)} {_COMPARE[type(op)]} {_emit(right, columns)}")
    return f"(1.0 if {' and '.join(parts)} else 0.0)"


def _call(node: ast.Call, columns: set[str]) -> str:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in FUNCTIONS:
        near = nearest(name, tuple(FUNCTIONS)) if name else ""
        _refuse(
            node,
            f"there is no function '{name[:40]}'",
            f"did you mean '{near}'?" if near else f"functions are {', '.join(FUNCTIONS)}",
        )
    function, fewest, most_arguments = FUNCTIONS[name]
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        _refuse(
            node,
            f"{name} takes plain arguments only",
            f"write {name}(a)" if most_arguments == 1 else f"write {name}(a, b)",
        )
    if not fewest <= len(node.args) <= most_arguments:
        wanted = str(fewest) if fewest == most_arguments else f"{fewest} to {most_arguments}"
        _refuse(node, f"{name} takes {wanted} arguments, not {len(node.args)}", "correct the brackets")
    source = _emit(node.args[0], columns)
    if most_arguments == 1:
        return f"{function.__name__}({source})"
    for argument in node.args[1:]:
        source = f"{function.__name__}({source}, {_emit(argument, columns)})"
    return source
