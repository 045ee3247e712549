from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.scoring import JOB_COLUMNS
from apportion.policy import expression
from apportion.policy.expression import ExpressionError, parse
from apportion.policy.plugins import Job, from_expression

JOB = Job(
    now=90000.0,
    wait=3600.0,
    submit=86400.0,
    limit=7200.0,
    procs=64.0,
    nodes=4.0,
    mem=4096.0,
    gpus=2.0,
    qos_priority=10.0,
    nice=100.0,
    critical_path=7200.0,
    fairshare=0.25,
    age=1800.0,
)


def score(text: str, **columns: float) -> float:
    return from_expression("test", text).python(*JOB._replace(**columns))


def test_columns_are_those_of_the_core():
    assert Job._fields == JOB_COLUMNS
    assert {name: score(name) for name in JOB_COLUMNS} == JOB._asdict()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("area", 7200.0 * 64),
        ("limit * procs - area", 0.0),
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("-(wait / limit) ** 3 * procs", -8.0),
        ("2 ** 10", 1024.0),
        ("pow(2, -1)", 0.5),
        ("log(exp(1))", 1.0),
        ("log2(procs)", 6.0),
        ("log10(1000)", 2.9999999999999996 if math.log10(1000) != 3.0 else 3.0),
        ("sqrt(procs)", 8.0),
        ("min(3, procs, 2)", 2.0),
        ("max(3, procs, 2)", 64.0),
        ("abs(-3)", 3.0),
        ("floor(-1.5)", -2.0),
        ("now % 86400", 3600.0),
        ("-1 % 3", 2.0),
        ("1e300 % 7", 1e300 % 7),
        ("5 % -3", -1.0),
        ("(-2) ** 1e300", math.inf),
        ("procs > 32", 1.0),
        ("1 < 2 < 2", 0.0),
        ("gpus == 2 and nodes != 4", 0.0),
        ("gpus == 2 or nodes != 4", 1.0),
        ("not gpus", 0.0),
        ("1 if gpus else 2", 1.0),
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("log(0)", -math.inf),
        ("exp(1000)", math.inf),
        ("10 ** 400", math.inf),
        ("10 ** -400", 0.0),
        ("(-10) ** 401", -math.inf),
        ("0 ** -1", math.inf),
    ],
)
def test_value(text, value):
    assert score(text) == value


@pytest.mark.parametrize(
    "text", ["0 / 0", "log(-1)", "sqrt(-1)", "(-8) ** (1 / 3)", "log(0) - log(0)", "1 % 0", "min(0/0, 1)"]
)
def test_not_a_number_comes_last(text):
    assert score(text) == math.inf


@pytest.mark.parametrize(
    ("text", "words", "column"),
    [
        ("", "empty", None),
        ("limit * prcs", "no column 'prcs'.*did you mean 'procs'", 9),
        ("limit * lgo(procs)", "no function 'lgo'.*did you mean 'log'", 9),
        ("limit * (procs", "not understood", 9),
        ("limit procs", "not understood", 7),
        ("__import__('os')", "no function", 1),
        ("procs.real", "Attribute is not allowed", 1),
        ("[procs]", "List is not allowed", 1),
        ("lambda: 1", "Lambda is not allowed", 1),
        ("(x := 3)", "NamedExpr is not allowed", 2),
        ("'a'", "not a number", 1),
        ("True", "not a number", 1),
        ("1j", "not a number", 1),
        ("procs // 2", "FloorDiv is not allowed", 1),
        ("procs in nodes", "comparison is not allowed", 1),
        ("log(1, 2)", "takes 1 arguments", 1),
        ("min(1)", "takes 2 to 20 arguments", 1),
        ("log(x=1)", "plain arguments", 1),
        ("max(*procs)", "plain arguments", 1),
        ("1" + "0" * 309, "too large", 1),
        ("9" * 1999, "too large", 1),
        ("(" * 900 + "1" + ")" * 900, "nested too deeply|not understood", None),
        ("-" * 1990 + "1", "nested too deeply", None),
        ("1 +" * 700 + "1", "characters", None),
        ("limit\0", "not understood", None),
    ],
)
def test_says_what_is_wrong_and_where(text, words, column):
    with pytest.raises(ExpressionError, match=words) as caught:
        parse(text)
    if column is not None:
        assert caught.value.column == column


def test_knows_whether_a_score_moves():
    assert not parse("limit * procs + log(submit)").dynamic
    for column in ("now", "wait", "age", "fairshare"):
        assert parse(f"limit + {column}").dynamic


def test_equal_meaning_gives_equal_hash():
    one = from_expression("a", "limit*procs+ 870*log10( submit )")
    two = from_expression("b", "(limit * procs) + (870 * log10(submit))")
    assert one.source_hash == two.source_hash
    assert one.source_hash != from_expression("a", "limit * procs + 871 * log10(submit)").source_hash


leaves = st.sampled_from([*JOB_COLUMNS, "area", "0", "1", "2.5", "1e300"])
texts = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%", "**", "<", "==", "and", "or"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        st.tuples(st.sampled_from(["log", "log2", "log10", "sqrt", "exp", "abs", "floor", "-", "not "]), inner).map(
            lambda parts: f"({parts[0]}({parts[1]}))"
        ),
        st.tuples(st.sampled_from(["min", "max", "pow"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
    ),
    max_leaves=8,
)
floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18)


@given(texts, st.tuples(*[floats] * len(JOB_COLUMNS)))
def test_never_fails_and_is_never_not_a_number(text, columns):
    result = from_expression("test", text).python(*columns)
    assert isinstance(result, float)
    assert not math.isnan(result)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused(text):
    with contextlib.suppress(ExpressionError):
        parse(text)


@given(texts)
@settings(max_examples=50)
def test_canonical_text_means_the_same(text):
    first = parse(text)
    assert parse(first.text) == first


def test_power_agrees_with_python_where_python_answers():
    for base in (-3.0, -2.5, 0.0, 0.5, 1.0, 2.0, 1e10):
        for exponent in (-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0, 30.0):
            try:
                expected = base**exponent
            except (ZeroDivisionError, OverflowError):
                continue
            if isinstance(expected, complex):
                continue
            assert struct.pack("d", expression.power(base, exponent)) == struct.pack("d", expected)
