"""Kernels of reading and writing text against their naive twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apportion.traces import parsing
from apportion.traces.readers.pbs import find_keys
from apportion.traces.readers.swf import _ROUNDS, SHIFTS
from apportion.traces.swf_writer import swf_text
from apportion.traces.texts import Spans
from oracles import text_oracle as naive

UNHURRIED = settings(deadline=None)  # the first call compiles

NUMBERS = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.decimals(-(10**12), 10**12, places=5).map(lambda d: f"{d:f}"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[-+]?[0-9]{0,22}\.?[0-9]{0,25}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789.-+eE x", max_size=12),
)


def block(text: bytes | bytearray):
    return np.frombuffer(text, dtype=np.uint8)


@UNHURRIED
@given(NUMBERS, st.sampled_from([0, 3]), st.booleans())
@example("552.21", 3, True)
@example("0.0005", 3, True)
@example("1.0005", 3, True)
@example("2.0015", 3, True)
@example("0.00050000000000000000000000001", 3, True)
@example("-1.000", 3, True)
@example("4000000000000000", 3, True)
@example("4000000000000001", 3, True)
@example("1" * 18, 0, False)
@example("0" * 40 + "7", 0, False)
@example("1e400", 3, True)
@example("0e999999999999", 3, True)
@example("1e-999999999999", 3, True)
def test_a_number_is_what_decimal_arithmetic_says(word, shift, rounds):
    text = word.encode()
    data = block(text + b"\n")
    value, pos, code = parsing.number(parsing.indexable(data), 0, len(text), shift, int(rounds))
    readable = code == parsing.OK and pos == len(text)
    try:
        expected = naive.number(text, shift, rounds)
    except naive.UnreadableError:
        assert not readable
        return
    whole = word.lstrip("+-").split(".")[0].split("e")[0].split("E")[0].lstrip("0")
    if len(whole) <= 18:
        assert (value, code) == (expected, parsing.OK)
        assert readable
    else:
        assert code == parsing.TOO_LONG or value == expected


WORDS = st.one_of(st.integers(-3, 99).map(str), st.sampled_from(["1.5", "2.0", "x", "-1", "7e2", "123456789012345678"]))
LINES = st.one_of(
    st.lists(WORDS, min_size=18, max_size=18).map("  ".join),
    st.lists(st.integers(-2, 9).map(str), min_size=17, max_size=21).map("\t".join),
    st.sampled_from(["", "   ", "; a note", "  ;; 1 2 3", ";"]),
)


@UNHURRIED
@given(st.lists(LINES, max_size=6), st.sampled_from([0, 3]))
def test_swf_lines_are_read_like_the_naive_reader_does(lines, extra):
    text = "".join(line + "\n" for line in lines).encode()
    data = block(text)
    count = len(lines)
    out = np.zeros((18, count), dtype=np.int64)
    extras = np.zeros((extra, 2, count), dtype=np.int64)
    comments = np.zeros((count, 2), dtype=np.int64)
    rows, done, found, code, *_ = parsing.swf_block(
        parsing.indexable(data), data.size, SHIFTS, _ROUNDS, out, extras, comments
    )
    try:
        jobs, further, notes = naive.swf(text, SHIFTS.tolist(), _ROUNDS.tolist())
        fitting = all(len(words) == extra for words in further)
    except naive.UnreadableError:
        fitting = False
    if not fitting:
        assert code != parsing.OK
        assert done < count
        return
    assert (code, rows, done) == (parsing.OK, len(jobs), count)
    assert out[:, :rows].T.tolist() == jobs
    assert [[text[a:b] for a, b in extras[:, :, row]] for row in range(rows)] == further
    assert [text[a:b] for a, b in comments[:found]] == notes


@UNHURRIED
@given(
    st.lists(st.text("ab|# \t", max_size=8), max_size=6),
    st.sampled_from("| "),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["", "#"]),
    st.integers(0, 2),
)
def test_fields_are_split_like_python_splits_them(lines, separator, fields, rest, comment, skip):
    text = "".join(line + "\n" for line in lines).encode()
    data = block(bytearray(text))
    found = np.zeros((fields, 2, len(lines)), dtype=np.int64)
    line_of = np.zeros(len(lines), dtype=np.int64)
    mark = ord(comment) if comment else -1
    rows, done, _, code, count = parsing.split_block(
        parsing.indexable(data), data.size, ord(separator), int(rest), mark, -1, skip, found, line_of
    )
    try:
        expected = naive.split(text, separator.encode(), fields, rest, comment.encode(), skip)
    except naive.UnreadableError:
        assert code != parsing.OK
        assert count != fields
        assert 0 < done <= len(lines)
        return
    assert code == parsing.OK
    got = [
        (int(line_of[row]), [text[found[k, 0, row] : found[k, 1, row]] for k in range(fields)]) for row in range(rows)
    ]
    assert got == expected


@UNHURRIED
@given(st.lists(st.text('ab",', min_size=1, max_size=10), max_size=4), st.integers(1, 4))
@example(['"a,""b""",', "b,"], 2)
@example(['"a"b,b'], 2)
@example(['"a,b'], 1)
def test_quoted_fields_are_split_like_pythons_csv_splits_them(lines, fields):
    text = "".join(line + "\n" for line in lines).encode()
    data = block(bytearray(text))
    found = np.zeros((fields, 2, len(lines)), dtype=np.int64)
    line_of = np.zeros(len(lines), dtype=np.int64)
    rows, _, _, code, _ = parsing.split_block(
        parsing.indexable(data), data.size, ord(","), 0, -1, ord('"'), 0, found, line_of
    )
    try:
        expected = naive.split_csv(text, fields)
    except naive.UnreadableError:
        assert code != parsing.OK
        return
    assert code == parsing.OK
    got = data.tobytes()
    assert [[got[found[k, 0, row] : found[k, 1, row]] for k in range(fields)] for row in range(rows)] == expected


@UNHURRIED
@given(st.lists(st.text('ab=" ', max_size=20), max_size=5))
def test_keys_are_found_like_the_naive_reader_does(records):
    keys = [b"a", b"b", b"ab"]
    texts = [record.encode() for record in records]
    values = block(b"".join(texts))
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    names = block(b"".join(keys))
    name_offsets = np.cumsum([0, *map(len, keys)], dtype=np.int64)
    starts = np.zeros((len(keys), len(texts)), dtype=np.int64)
    ends = np.zeros((len(keys), len(texts)), dtype=np.int64)
    find_keys(parsing.indexable(values), offsets, parsing.indexable(names), name_offsets, starts, ends)
    whole = values.tobytes()
    for row, text in enumerate(texts):
        assert [whole[starts[k, row] : ends[k, row]] for k in range(len(keys))] == naive.find_keys(text, keys)


@UNHURRIED
@given(st.lists(st.lists(st.integers(-(10**17), 10**17) | st.just(-1), min_size=3, max_size=3), min_size=1, max_size=5))
@example([[-1, -1000, -1], [0, 5, 552210], [10, 100, 1000]])
def test_lines_are_written_like_the_naive_writer_does(rows):
    shifts = [0, 3, 3]
    columns = np.array(rows, dtype=np.int64).T.copy()
    out = np.zeros(columns.size * 25 + 1, dtype=np.uint8)
    ends = np.zeros(len(rows), dtype=np.int64)
    size = swf_text(columns, np.array(shifts), parsing.indexable(out), ends)
    assert size == ends[-1]
    begins = [0, *ends[:-1].tolist()]
    lines = [out[a:b].tobytes() for a, b in zip(begins, ends.tolist(), strict=True)]
    assert lines == [naive.swf_line(row, shifts) for row in rows]


@UNHURRIED
@given(st.lists(st.lists(st.binary(max_size=6), max_size=5), max_size=3))
def test_columns_keep_every_byte_and_code_alike_what_is_alike(parts):
    spans = Spans()
    for words in parts:
        text = b"".join(words)
        stops = np.cumsum([0, *map(len, words)], dtype=np.int64)
        spans.add(block(text), stops[:-1], stops[1:])
    column = spans.column()
    words = [word for part in parts for word in part]
    codes, labels = column.coded
    assert [labels[code] for code in codes] == [word.decode("utf-8", "backslashreplace") for word in words]
    assert len(set(labels)) == len(labels)


def test_a_file_is_cut_into_whole_lines_whatever_the_size_of_a_block(tmp_path):
    from apportion.traces.files import TraceFile

    text = b"".join(b"x" * (k % 17) + b"\n" for k in range(300)) + b"last"
    path = tmp_path / "lines"
    path.write_bytes(text)
    for size in (17, 18, 64, 1000, 100_000):
        with TraceFile(path) as file:
            blocks = [(block.tobytes(), lines) for block, lines in file.blocks(size)]
        assert b"".join(data for data, _ in blocks) == text + b"\n"
        assert all(data.endswith(b"\n") and data.count(b"\n") == lines for data, lines in blocks)
        assert all(len(data) <= size + 1 for data, _ in blocks)


def test_a_line_longer_than_a_block_is_an_error(tmp_path):
    from apportion.core.errors import TraceError
    from apportion.traces.files import TraceFile

    path = tmp_path / "lines"
    path.write_bytes(b"short\n" + b"x" * 100 + b"\n")
    with TraceFile(path) as file, pytest.raises(TraceError, match=r":2: the line is longer"):
        list(file.blocks(50))
