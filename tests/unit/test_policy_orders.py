"""Orders: published formulas, plug-ins; expression, plug-in, compiled code and plain Python give the same score."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import pages
from apportion.core.errors import PolicyError
from apportion.core.jit import JIT_DISABLED, kernel
from apportion.core.scoring import JOB_COLUMNS, call_score
from apportion.policy.load import from_dict, load, load_file
from apportion.policy.orders import EXPRESSIONS, order_function
from apportion.policy.plugins import Job, OrderFunction, from_expression, order


@kernel
def scores(address, columns, out):
    for i in range(out.shape[0]):
        out[i] = call_score(
            address,
            columns[i, 0],
            columns[i, 1],
            columns[i, 2],
            columns[i, 3],
            columns[i, 4],
            columns[i, 5],
            columns[i, 6],
            columns[i, 7],
            columns[i, 8],
            columns[i, 9],
            columns[i, 10],
            columns[i, 11],
            columns[i, 12],
        )


def jobs(count: int = 300) -> np.ndarray:
    random = np.random.default_rng(7)
    columns = np.floor(10.0 ** random.uniform(0, 6, (count, len(JOB_COLUMNS))))
    columns[:, JOB_COLUMNS.index("fairshare")] = random.uniform(0, 1, count)
    columns[0] = 0.0
    return columns


def in_core(function: OrderFunction, columns: np.ndarray) -> np.ndarray:
    out = np.empty(len(columns))
    scores(function.address, columns, out)
    return out


# The published formulas, written down a second time by hand (r requested time, n processors, s submit, w wait).
PUBLISHED = {
    "f1": lambda r, n, s, w: math.log10(r) * n + 870 * math.log10(s),
    "f2": lambda r, n, s, w: math.sqrt(r) * n + 25600 * math.log10(s),
    "f3": lambda r, n, s, w: r * n + 6860000 * math.log10(s),
    "f4": lambda r, n, s, w: r * math.sqrt(n) + 530000 * math.log10(s),
    "wfp3": lambda r, n, s, w: -((w / r) ** 3) * n,
    "unicef": lambda r, n, s, w: -w / (math.log2(n) * r),
    "fcfs": lambda r, n, s, w: s,
    "sjf": lambda r, n, s, w: r,
    "ljf": lambda r, n, s, w: -r,
    "saf": lambda r, n, s, w: r * n,
    "laf": lambda r, n, s, w: -r * n,
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_formula(name):
    function = order_function(load(name))
    for r, n, s, w in [(3600.0, 64.0, 86400.0, 1800.0), (1.0, 2.0, 1.0, 0.0), (172800.0, 1024.0, 3.1e7, 90000.0)]:
        job = Job(s + w, w, s, r, n, 1, 0, 0, 0, 0, r, 1, w)
        assert function.python(*map(float, job)) == pytest.approx(PUBLISHED[name](r, n, s, w), rel=1e-14)


def test_every_named_order_has_a_formula_and_a_preset():
    assert set(PUBLISHED) == set(EXPRESSIONS)
    assert {load(name).Order for name in EXPRESSIONS} == set(EXPRESSIONS)
    assert order_function(load("multifactor")) is None


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_compiled_equals_python(name):
    function = order_function(load(name))
    columns = jobs()
    np.testing.assert_array_equal(in_core(function, columns), [function.python(*row) for row in columns.tolist()])


def test_same_bits_without_compilation():
    if JIT_DISABLED:
        pytest.skip("compares with compiled code")
    text = "log10(max(limit,1))*procs + 2**nodes - (wait/max(limit,1))**3 + sqrt(mem) % 7"
    text += " + submit**0.5 + limit**1.5 + exp(-fairshare) + log(age + 1) * log2(gpus + 1)"
    code = (
        "import struct, sys\nfrom apportion.policy.plugins import from_expression\nimport ast\n"
        "f = from_expression('x', sys.argv[1])\n"
        "for row in ast.literal_eval(sys.stdin.read()): print(struct.pack('>d', f.python(*row)).hex())"
    )
    columns = jobs(50)
    columns[:, 5] = np.minimum(columns[:, 5], 40)
    done = subprocess.run(
        [sys.executable, "-c", code, text],
        input=repr(columns.tolist()),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [struct.pack(">d", x).hex() for x in in_core(from_expression("x", text), columns)]


EXAMPLE = pages.files("orders.md")
PLUGIN = f"""\
{EXAMPLE["narrow.py"]}
def waits(job):
    return -job.wait / job.limit

def broken(job):
    return job.prcs

def text(job):
    return "soon"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path


def policy_of(folder, text):
    (folder / "policy.toml").write_text(text)
    return load_file(folder / "policy.toml")


def test_plugin_expression_and_plain_python_agree(folder):
    """The worked example of the documentation: an order in ten lines, once as a function and once as an expression."""
    plugin = order_function(policy_of(folder, 'OrderPlugin = "mine.py:narrow_first"\nBackfill = "easy"'))
    expression = order_function(policy_of(folder, EXAMPLE["narrow.toml"]))
    columns = jobs()
    plain = [math.log2(row[4] + 1.0) if row[4] < 8 else row[4] * row[3] for row in columns.tolist()]
    for function in (plugin, expression):
        assert not function.dynamic
        np.testing.assert_array_equal(in_core(function, columns), plain)
        np.testing.assert_array_equal([function.python(*row) for row in columns.tolist()], plain)


def test_plugin_that_gives_no_number_comes_last(folder):
    function = order_function(policy_of(folder, 'OrderPlugin = "mine.py:waits"'))
    assert function.dynamic
    zero = np.zeros((1, len(JOB_COLUMNS)))
    assert in_core(function, zero)[0] == math.inf
    assert function.python(*zero[0].tolist()) == math.inf


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("mine.py:narow_first", "no function 'narow_first'.*did you mean 'narrow_first'"),
        ("mine.py:broken", "fails: AttributeError"),
        ("mine.py:text", "gives a str"),
        ("missing.py:f", "no such file"),
        ("mine.py", "no order plug-in 'mine.py'"),
        ("test-unheard-of", "no order plug-in"),
    ],
)
def test_a_bad_plugin_is_refused_in_one_line(folder, plugin, words):
    with pytest.raises(PolicyError, match=words) as caught:
        _ = order_function(policy_of(folder, f'OrderPlugin = "{plugin}"')).address
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"), [("def f(:\n", "not valid Python"), ("1/0\n", "ZeroDivisionError"), ("\0", "source code")]
)
def test_a_file_that_cannot_be_imported(folder, source, words):
    (folder / "bad.py").write_text(source)
    with pytest.raises(PolicyError, match=words):
        order_function(policy_of(folder, 'OrderPlugin = "bad.py:f"'))


def test_plugin_by_name(folder):
    @order("test-by-name")
    def by_name(job):
        return job.nodes

    function = order_function(from_dict({"Order": "plugin:test-by-name"}))
    assert function.python(*jobs()[5].tolist()) == jobs()[5, 5]
    with pytest.raises(PolicyError, match="did you mean 'test-by-name'"):
        order_function(from_dict({"Order": "plugin:test-by-nam"}))


def test_a_static_order_may_not_read_what_moves():
    with pytest.raises(PolicyError, match="reads wait but says dynamic=False"):

        @order("test-liar", dynamic=False)
        def liar(job):
            return job.wait


def test_the_hash_follows_the_plugin_and_not_its_folder(folder, tmp_path_factory):
    text = 'OrderPlugin = "mine.py:waits"\nName = "x"'
    before = policy_of(folder, text).hash
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mine.py").write_text(PLUGIN)
    assert policy_of(elsewhere, text).hash == before
    (folder / "mine.py").write_text(PLUGIN.replace("-job.wait", "-2 * job.wait"))
    assert policy_of(folder, text).hash != before


def test_a_pinned_plugin_may_not_change(folder):
    pinned = policy_of(folder, 'OrderPlugin = "mine.py:waits"').canonical()
    assert order_function(from_dict(pinned, folder)).name == "waits"
    (folder / "mine.py").write_text(PLUGIN.replace("-job.wait", "-2 * job.wait"))
    with pytest.raises(PolicyError, match="not the one this policy was written for"):
        order_function(from_dict(pinned, folder))


@pytest.mark.parametrize(
    "text",
    [
        "log(qos_priority) % pow(limit, fairshare)",
        "pow(exp(not age) + mem % log(age), nodes)",
        "pow(procs, submit if now else age) - (-procs) ** 2.5",
        "floor(limit / procs) + min(mem, 0 / 0) - max(gpus, -nice) * (wait < age <= now)",
    ],
)
def test_compiled_equals_python_on_extreme_numbers(text):
    extremes = [0.0, 1.0, -1.0, 0.5, -2.5, 1e300, -1e300, 1e-300, 2.0, 3.0]
    columns = np.random.default_rng(3).choice(extremes, (200, len(JOB_COLUMNS)))
    function = from_expression("test", text)
    np.testing.assert_array_equal(in_core(function, columns), [function.python(*row) for row in columns.tolist()])
