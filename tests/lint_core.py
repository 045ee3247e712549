"""Determinism lint of the decision core: what could make the same events give other decisions, found in the source.

The rules, each with a short name:

``import``      a module off the list: the core knows numpy, numba and a few pure parts of the standard library
``clock``       a clock, under any name
``random``      randomness, numpy's too
``io``          files and streams: ``open``, ``print``, ``input``, numpy's readers and writers
``identity``    ``hash`` and ``id``, which change from process to process
``dynamic``     ``eval``, ``exec``, ``compile``, ``__import__``: they would hide all of the above
``set-order``   anything that walks over a set, unless its order cannot be seen: ``sorted``, ``any``, ``all``, or
                ``min`` and ``max`` without a key; but not ``sum``, whose floats round by order
``container``   a dict or set inside a kernel: their order and their speed are Numba's affair
``flags``       compiler flags that change results: ``fastmath``, ``parallel``, ``prange``
``decorator``   a compiler decorator other than ``kernel``, ``inlined`` and ``apart``; a decorator that is not on the list
``state``       ``global``: a kernel, and what calls it, remembers nothing

A place that needs an exception is listed in `EXCEPTIONS` with its reason; one that is no longer needed is an error too.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path


class Finding(NamedTuple):
    """A rule that a line breaks."""

    file: str
    line: int
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.what}"


# (file, rule, what or * for all) -> why it may stand there
EXCEPTIONS: dict[tuple[str, str, str], str] = {
    ("errors.py", "import", "os"): "os.PathLike in the signature of an error",
    ("jit.py", "import", "contextlib"): "one process compiles at a time",
    ("jit.py", "import", "fcntl"): "one process compiles at a time",
    ("jit.py", "io", "open"): "one process compiles at a time",
    ("jit.py", "import", "hashlib"): "names the cache folder for the content of the kernels",
    ("jit.py", "import", "logging"): "says that it compiles, which takes a while",
    ("jit.py", "import", "os"): "reads where the user wants the cache folder",
    ("jit.py", "import", "pathlib"): "the cache folder",
    ("jit.py", "import", "shutil"): "removes cache folders of old versions",
    ("jit.py", "io", "read_bytes"): "names the cache folder for the content of the kernels",
    ("jit.py", "flags", "fastmath"): "the one place that switches it off",
    ("jit.py", "flags", "parallel"): "the one place that switches it off",
    ("handle.py", "import", "hashlib"): "names a type for its layout",
    ("handle.py", "import", "llvmlite"): "tells the compiler how fields are read",
    ("handle.py", "decorator", "*"): "tells the compiler how fields are read",
    ("jit.py", "decorator", "*"): "the decorator of all kernels",
    ("known.py", "decorator", "register_pass"): "a step of the compiler",
    ("parts.py", "import", "llvmlite"): "links parts",
    ("parts.py", "decorator", "register_pass"): "a step of the compiler",
    ("shortcuts.py", "import", "llvmlite"): "writes what the compiler reads",
    ("shortcuts.py", "decorator", "register_pass"): "a step of the compiler",
    ("limit_build.py", "set-order", "together"): "a sum of whole numbers",
    ("scoring.py", "import", "llvmlite"): "calls an operator's order by its address",
    ("scoring.py", "decorator", "intrinsic"): "calls an operator's order by its address",
}

ALLOWED_IMPORTS = {
    "__future__", "apportion.core", "collections", "collections.abc", "dataclasses", "decimal", "difflib", "enum",
    "fractions", "functools", "itertools", "math", "numba", "numpy", "operator", "re", "types", "typing",
}  # fmt: skip
ALLOWED_DECORATORS = {
    "apart", "cache", "classmethod", "contextmanager", "dataclass", "inlined", "kernel", "overload", "property", "staticmethod", "table",
}  # fmt: skip

_CLOCKS = {"time", "datetime", "monotonic", "perf_counter", "datetime64_now", "utcnow", "today"}
_COMPILERS = {"jit", "njit", "vectorize", "guvectorize", "stencil", "cfunc", "generated_jit", "intrinsic", "overload"}
_STREAMS = {"open", "print", "input"}
_FILES = {"read_bytes", "read_text", "write_bytes", "write_text", "open", "tofile"}
_NUMPY_FILES = {"load", "loadtxt", "genfromtxt", "fromfile", "save", "savez", "savez_compressed", "savetxt", "memmap"}
_DYNAMIC = {"eval", "exec", "compile", "__import__", "import_module"}
_SET_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
_WALKS = {
    "array", "asarray", "dict", "enumerate", "filter", "fromiter", "fromkeys", "iter", "join", "list", "map",
    "reversed", "sum", "tuple", "zip",
}  # fmt: skip
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_BLIND = {"all", "any", "frozenset", "max", "min", "set", "sorted"}  # what gives the same in whatever order it takes


def lint(source: str, file: str) -> list[Finding]:
    """Find what in ``source`` could make a decision depend on more than its events, exceptions left out."""
    return [found for found in findings(source, file) if EXCEPTIONS.keys().isdisjoint(_excused_by(found))]


def idle_exceptions(folder: Path) -> list[tuple[str, str, str]]:
    """Exceptions that nothing needs."""
    needed = {
        exception
        for path in folder.rglob("*.py")
        for found in findings(path.read_text(encoding="utf-8"), path.name)
        for exception in _excused_by(found)
    }
    return sorted(EXCEPTIONS.keys() - needed)


def _excused_by(found: Finding) -> list[tuple[str, str, str]]:
    return [(found.file, found.rule, found.what), (found.file, found.rule, "*")]


def findings(source: str, file: str) -> list[Finding]:
    """All findings in line order, exceptions too."""
    tree = ast.parse(source, file)
    found = {Finding(file, node.lineno, rule, what) for node, rule, what in _walk(tree)}
    return sorted(found, key=lambda finding: (finding.line, finding.rule, finding.what))


def _walk(tree: ast.Module) -> Iterator[tuple[ast.stmt | ast.expr, str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node, *broken) for name in names for broken in _import(name.name))
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from ((node, *broken) for broken in _import("." * level + (module or "")))
                if any(name.name == "random" for name in names):
                    yield node, "random", f"{module}.random"
            case ast.Global(names=names):
                yield from ((node, "state", name) for name in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from _decorators(node)
                if any(_dotted(decorator) in ("kernel", "inlined", "apart") for decorator in node.decorator_list):
                    yield from _containers(node)
            case ast.Call():
                yield from _call(node)
            case ast.Attribute(attr="random"):
                yield node, "random", _dotted(node)
            case ast.Name(id="prange") | ast.Attribute(attr="prange"):
                yield node, "flags", "prange"
    yield from _set_walks(tree)


def _import(module: str) -> Iterator[tuple[str, str]]:
    parts = module.split(".")
    if parts[:2] in (["numpy", "random"], ["numba", "random"]):
        yield "random", module
    elif not ({module, parts[0], ".".join(parts[:2])} & ALLOWED_IMPORTS):
        yield "import", parts[0] or module


def _call(node: ast.Call) -> Iterator[tuple[ast.expr, str, str]]:
    name = _last(node.func)
    bare = isinstance(node.func, ast.Name)
    for keyword in node.keywords:
        if keyword.arg in ("fastmath", "parallel"):
            yield node, "flags", keyword.arg
    if name in (_STREAMS if bare else _FILES) or (
        name in _NUMPY_FILES and _dotted(node.func).startswith(("np.", "numpy."))
    ):
        yield node, "io", name
    if bare and name in ("hash", "id"):
        yield node, "identity", name
    if (bare and name in _DYNAMIC) or name in ("__import__", "import_module"):
        yield node, "dynamic", name
    if name in _CLOCKS or name == "now":
        yield node, "clock", name
    if name in _COMPILERS:
        yield node, "decorator", _dotted(node.func)


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[tuple[ast.expr, str, str]]:
    for decorator in node.decorator_list:
        name = _dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name.rpartition(".")[2] not in ALLOWED_DECORATORS and not name.endswith((".setter", ".register")):
            yield decorator, "decorator", name


def _containers(kernel: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[tuple[ast.expr, str, str]]:
    for statement in kernel.body:
        for node in ast.walk(statement):
            match node:
                case ast.Dict() | ast.DictComp():
                    yield node, "container", "dict"
                case ast.Set() | ast.SetComp():
                    yield node, "container", "set"
                case ast.Call(func=func) if _last(func) in ("dict", "set", "frozenset", "items", "keys", "values"):
                    yield node, "container", _last(func)
                case ast.Attribute(attr="Dict"):
                    yield node, "container", "Dict"


def _set_walks(scope: ast.AST, known: frozenset[str] = frozenset()) -> Iterator[tuple[ast.expr, str, str]]:
    """Walks over sets in a module or function and in the functions within it, which see its names."""
    sets = _names_of_sets(scope, known)
    nodes = list(_own(scope))
    blind = {argument for node in nodes for argument in _order_unseen(node)}
    for node in nodes:
        if node not in blind:
            yield from ((place, "set-order", ast.unparse(place)) for place in _walked(node) if _is_set(place, sets))
        if node is not scope and isinstance(node, _SCOPES):
            yield from _set_walks(node, sets)


def _order_unseen(node: ast.AST) -> list[ast.expr]:
    """Comprehensions that are handed straight to something blind to their order."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if name in _BLIND:
            by_key = name in ("max", "min", "sorted") and any(keyword.arg == "key" for keyword in keywords)
            return [] if by_key else arguments
    return []


def _walked(node: ast.AST) -> list[ast.expr]:
    """Expressions whose order ``node`` shows."""
    match node:
        case ast.For(iter=place) | ast.AsyncFor(iter=place) | ast.Starred(value=place) | ast.YieldFrom(value=place):
            return [place]
        case (
            ast.ListComp(generators=generators)
            | ast.DictComp(generators=generators)
            | ast.GeneratorExp(generators=generators)
        ):
            return [generator.iter for generator in generators]
        case ast.Call(func=ast.Attribute(value=owner, attr="pop"), args=[]):
            return [owner]
        case ast.Call(func=ast.Name(id="max" | "min" | "sorted"), args=arguments) if not _order_unseen(node):
            return arguments
        case ast.Call(func=func, args=arguments) if _last(func) in _WALKS:
            return arguments
        case ast.Assign(targets=[ast.Tuple() | ast.List(), *_], value=value):
            return [value]
    return []


def _names_of_sets(scope: ast.AST, known: frozenset[str]) -> frozenset[str]:
    """Names bound to a set here or around; looked for until no more are found."""
    names = set(known)
    while True:
        before = len(names)
        for node in _own(scope):
            match node:
                case ast.Assign(targets=targets, value=value) if _is_set(value, names):
                    names.update(target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if _is_set_type(kind):
                    names.add(name)
                case ast.arg(arg=name, annotation=kind) if kind is not None and _is_set_type(kind):
                    names.add(name)
                case ast.NamedExpr(target=ast.Name(id=name), value=value) if _is_set(value, names):
                    names.add(name)
        if len(names) == before:
            return frozenset(names)


def _is_set(node: ast.expr, names: AbstractSet[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(value=owner, attr=method)):
            return method in _SET_METHODS and _is_set(owner, names)
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, names) or _is_set(right, names)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_set(body, names) or _is_set(orelse, names)
    return False


def _is_set_type(annotation: ast.expr) -> bool:
    name = _dotted(annotation.value if isinstance(annotation, ast.Subscript) else annotation).rpartition(".")[2]
    return name in ("set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet")


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope; a function within it is one node."""
    yield scope
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, _SCOPES):
            yield child
        else:
            yield from _own(child)


def _last(node: ast.expr) -> str:
    return _dotted(node).rpartition(".")[2]


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_dotted(value)}.{attr}"
    return ""
