"""The decision core depends on its events alone; and the lint that says so finds what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

import apportion.core
import lint_core

CORE = Path(apportion.core.__file__).parent

BROKEN = {
    # source: the rule it breaks
    "import time": "import",
    "import datetime as d": "import",
    "from time import time_ns": "import",
    "import random": "import",
    "import secrets": "import",
    "import uuid": "import",
    "import threading": "import",
    "import asyncio": "import",
    "import multiprocessing.pool": "import",
    "import os": "import",
    "import io": "import",
    "from pathlib import Path": "import",
    "import pandas as pd": "import",
    "from apportion.sim import replay": "import",
    "import apportion.policy": "import",
    "from . import tables": "import",
    "def f():\n    import socket": "import",
    "from numpy import random\nx = random.rand()": "random",
    "import numpy.random as r": "random",
    "from numpy.random import default_rng": "random",
    "import numpy as np\nx = np.random.rand()": "random",
    "x = clock.perf_counter()": "clock",
    "x = d.datetime.now()": "clock",
    "x = time()": "clock",
    "f = open('x')": "io",
    "print('x')": "io",
    "np.load('x')": "io",
    "x = hash('a')": "identity",
    "x = id(y)": "identity",
    "x = eval('1')": "dynamic",
    "x = __import__('time')": "dynamic",
    "for x in {1, 2}:\n    pass": "set-order",
    "y = [x for x in set(a)]": "set-order",
    "y = list({x for x in a})": "set-order",
    "y = ','.join(frozenset(a))": "set-order",
    "def f(a: set[int]):\n    for x in a:\n        pass": "set-order",
    "def f(a):\n    b = set(a)\n    c = b\n    return tuple(c)": "set-order",
    "def f(a):\n    b = set(a) | a\n    return [*b]": "set-order",
    "def f(a):\n    return set(a).pop()": "set-order",
    "first, *rest = {1, 2}": "set-order",
    "NAMES = {'a', 'b'}\ndef f():\n    for x in NAMES:\n        pass": "set-order",
    "def f(a):\n    s = set(a)\n    return [g(x) for x in s - {1}]": "set-order",
    "x = sum(x for x in {0.1, 0.2})": "set-order",
    "x = sum({0.1, 0.2})": "set-order",
    "x = min({1, -1}, key=abs)": "set-order",
    "x = sorted({1, -1}, key=abs)": "set-order",
    "@kernel\ndef f(a):\n    x = {1: 2}": "container",
    "@kernel\ndef f(a):\n    for x in a.items():\n        pass": "container",
    "@kernel\ndef f(a):\n    x = set(a)": "container",
    "@kernel\ndef f(a):\n    x = numba.typed.Dict.empty(a, a)": "container",
    "x = kernel(f, fastmath=True)": "flags",
    "x = kernel(f, parallel=True)": "flags",
    "for i in numba.prange(3):\n    pass": "flags",
    "@njit\ndef f():\n    pass": "decorator",
    "@numba.njit(cache=True)\ndef f():\n    pass": "decorator",
    "@lru_cache\ndef f():\n    pass": "decorator",
    "f = numba.njit(g)": "decorator",
    "def f():\n    global x\n    x = 1": "state",
}

SOUND = (
    "import numpy as np\nfrom numba import types\nimport math\nfrom apportion.core.tables import Jobs",
    "@kernel\ndef f(a):\n    for i in range(len(a)):\n        a[i] += 1",
    "x = sorted({1, 2})\ny = len({1}) + max({3, 4})\nz = 3 in {1, 3}",
    "x = sorted(y for y in {1, 2})\nz = any(y > 1 for y in {1, 2})",
    "def f(a):\n    s = set(a)\n    s.add(1)\n    return sorted(s)",
    "def f(a: dict[str, int]):\n    return [x for x in a.items()]",
    "@table\nclass Jobs:\n    pass",
    "limit_time = 3\ntime = limit_time",
)


def test_the_core_depends_on_its_events_alone():
    found = [
        str(one) for path in sorted(CORE.rglob("*.py")) for one in lint_core.lint(path.read_text("utf-8"), path.name)
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_needed():
    assert lint_core.idle_exceptions(CORE) == []


@pytest.mark.parametrize(("source", "rule"), BROKEN.items(), ids=range(len(BROKEN)))
def test_finds(source, rule):
    assert {found.rule for found in lint_core.lint(source, "planted.py")} == {rule}


@pytest.mark.parametrize("source", SOUND, ids=range(len(SOUND)))
def test_lets_pass(source):
    assert lint_core.lint(source, "planted.py") == []
