"""Columns of text on their way into the schema: gathered from blocks, coded, converted once for each distinct text.

A trace repeats itself: a million jobs have a hundred users, twenty states and a few thousand time limits. So a column
of text is coded first, and each conversion then runs over the distinct values only.
"""

from __future__ import annotations

import csv
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apportion.core.errors import TraceError, UserError
from apportion.core.units import counted
from apportion.traces import categories, parsing
from apportion.traces.files import TraceFile, head
from apportion.traces.schema import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import pandas as pd

Ints = NDArray[np.int64]

WHY: Final = {
    parsing.NOT_A_NUMBER: "is not a number",
    parsing.TOO_LONG: "is too large a number",
    parsing.NOT_WHOLE: "is not a whole number",
}


class Spans:
    """Spans of the blocks of a file, copied out so that the blocks can be let go."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.uint8], Ints]] = []

    def add(self, block: NDArray[np.uint8], starts: Ints, ends: Ints) -> None:
        """Copy the spans of one block."""
        values = np.empty(int((ends - starts).sum()), dtype=np.uint8)
        offsets = np.empty(starts.size + 1, dtype=np.int64)
        parsing.gather(parsing.indexable(block), starts, ends, values, offsets)
        self.parts.append((values, offsets))

    def column(self) -> Texts:
        """All spans so far as one column."""
        return Texts(self.parts)


class Texts:
    """A column of text.

    Parameters
    ----------
    parts : list of (uint8 array, int64 array)
        Bytes and offsets (one more than rows) of consecutive pieces of the column.
    """

    def __init__(self, parts: list[tuple[NDArray[np.uint8], Ints]]) -> None:
        self.parts = parts
        self.size = sum(offsets.size - 1 for _, offsets in parts)

    @cached_property
    def coded(self) -> tuple[Ints, list[str]]:
        """Code of each row, and the distinct texts in order of first appearance.

        Bytes that are no UTF-8 are written as a backslash, an x and two digits.
        """
        import pyarrow as pa

        arrays = [
            pa.LargeBinaryArray.from_buffers(
                pa.large_binary(), offsets.size - 1, [None, pa.py_buffer(offsets), pa.py_buffer(values)]
            )
            for values, offsets in self.parts
        ]
        coded = pa.chunked_array(arrays, type=pa.large_binary()).dictionary_encode().unify_dictionaries()
        if coded.num_chunks == 0:
            return np.zeros(0, dtype=np.int64), []
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks]).astype(np.int64)
        labels = [label.decode("utf-8", "backslashreplace") for label in coded.chunk(0).dictionary.to_pylist()]
        if len(set(labels)) == len(labels):
            return codes, labels
        merged = {label: k for k, label in enumerate(dict.fromkeys(labels))}
        return np.array([merged[label] for label in labels], dtype=np.int64)[codes], list(merged)

    def first(self) -> str:
        """Text of the first row; empty without rows."""
        for values, offsets in self.parts:
            if offsets.size > 1:
                return values[: offsets[1]].tobytes().decode("utf-8", "backslashreplace")
        return ""

    def text(self, row: int) -> str:
        """Text of one row, shortened, fit for a message."""
        for values, offsets in self.parts:
            if row < offsets.size - 1:
                text = values[offsets[row] : offsets[row + 1]].tobytes()[:2000].decode("utf-8", "replace")
                text = "".join(c if c.isprintable() else "?" for c in text)
                return text if len(text) <= 40 else f"{text[:36]}..."
            row -= offsets.size - 1
        raise IndexError(row)

    def numbers(self, shift: int = 0, rounds: int = 0) -> tuple[Ints, int, int]:
        """Rows as integers of ``10**-shift`` units, exactly; -1 where empty.

        Returns
        -------
        values, row, code
            ``row`` is the first that is no number and ``code`` says why; -1 and 0 if all are.
        """
        values = np.empty(self.size, dtype=np.int64)
        at = 0
        for data, offsets in self.parts:
            part = values[at : at + offsets.size - 1]
            row, code = parsing.numbers(parsing.indexable(data), offsets, shift, rounds, part)
            if code:
                return values, at + row, code
            at += part.size
        return values, -1, parsing.OK

    def integers(self) -> Ints | None:
        """Rows as whole numbers; None if they are not."""
        values, _, code = self.numbers()
        return None if code else values

    def floats(self) -> NDArray[np.float64] | None:
        """Rows as floats; None if they are not."""
        codes, labels = self.coded
        try:
            return np.array([float(label) for label in labels], dtype=np.float64)[codes]
        except ValueError:
            return None

    def each(self, convert: Callable[[str], int]) -> Ints:
        """``convert`` of each row, called once for each distinct text."""
        codes, labels = self.coded
        return np.array([convert(label) for label in labels], dtype=np.int64)[codes] if labels else codes

    def marks(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Rows whose text passes a test."""
        codes, labels = self.coded
        return np.array([test(label) for label in labels], dtype=np.bool_)[codes] if labels else codes.astype(np.bool_)

    def category(self, missing: Collection[str] = ("",), rename: Callable[[str], str] = str) -> pd.Categorical:
        """Category of the texts in alphabetical order.

        Parameters
        ----------
        missing : collection of str
            Texts that mean "unknown".
        rename : callable
            Applied to each label.
        """
        codes, labels = self.coded
        names = [rename(label) for label in labels]
        order = sorted({name for name, label in zip(names, labels, strict=True) if label not in missing})
        place = {name: k for k, name in enumerate(order)}
        lookup = [UNKNOWN if label in missing else place[name] for name, label in zip(names, labels, strict=True)]
        new = np.array(lookup, dtype=np.int64)[codes] if labels else codes
        return categories.of_codes(new, order)

    def take(self, rows: NDArray[Any]) -> Texts:
        """Column of the chosen rows (a mask or places in ascending order)."""
        place = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        parts = []
        at = 0
        for values, offsets in self.parts:
            size = offsets.size - 1
            chosen = place[(place >= at) & (place < at + size)] - at
            spans = Spans()
            spans.add(values, offsets[:-1][chosen], offsets[1:][chosen])
            parts.extend(spans.parts)
            at += size
        return Texts(parts)


class TextTable:
    """A delimited file as columns of text, with the line of each row so that an error can name it.

    Parameters
    ----------
    path : str
    names : sequence of str
    columns : dict of str to Texts
    lines : int64 array
    sha256 : str
    """

    def __init__(self, path: str, columns: dict[str, Texts], lines: Ints, sha256: str) -> None:
        self.path = path
        self.columns = columns
        self.lines = lines
        self.sha256 = sha256

    def __len__(self) -> int:
        return int(self.lines.size)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Texts:
        return self.columns[name]

    def first_of(self, *names: str) -> str | None:
        """Return the first of the names that the table has."""
        return next((name for name in names if name in self.columns), None)

    def take(self, rows: NDArray[np.bool_]) -> TextTable:
        """Table of the chosen rows."""
        if rows.all():
            return self
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return TextTable(self.path, columns, self.lines[rows], self.sha256)

    def numbers(self, name: str, *, shift: int = 0, rounds: bool = False) -> Ints:
        """One column as integers of ``10**-shift`` units; -1 where empty.

        Raises
        ------
        TraceError
            Something in it is no number.
        """
        values, row, code = self.columns[name].numbers(shift, int(rounds))
        if code:
            raise self.error(name, row, WHY[code])
        return values

    def times(self, name: str) -> Ints:
        """One column of seconds as ms, rounded half to even."""
        return self.numbers(name, shift=3, rounds=True)

    def each(self, name: str, convert: Callable[[str], int]) -> Ints:
        """``convert`` of each text of a column; its `UserError` or ValueError becomes a `TraceError` with the line."""

        def guarded(text: str) -> int:
            try:
                value = convert(text)
            except (UserError, ValueError, OverflowError) as error:
                raise self._error_of(name, text, error) from None
            if not -(2**62) < value < 2**62:
                raise self._error_of(name, text, ValueError("is too large a number"))
            return value

        return self.columns[name].each(guarded)

    def error(self, name: str, row: int, what: str, remedy: str = "") -> TraceError:
        """Build an error about one row of a column."""
        text = self.columns[name].text(row)
        return TraceError(
            f"{name} '{text}' {what}", remedy or "correct or remove the line", path=self.path, line=int(self.lines[row])
        )

    def _error_of(self, name: str, text: str, error: Exception) -> TraceError:
        column = self.columns[name]
        row = int(np.flatnonzero(column.coded[0] == column.coded[1].index(text))[0])
        if isinstance(error, UserError):
            what = error.problem.removeprefix(f"'{text}' ")
            return self.error(name, row, what if len(what) < 100 else "makes no sense", error.remedy)
        return self.error(name, row, str(error) or "makes no sense")


def read_table(
    path: str,
    names: list[str],
    *,
    separator: str,
    comment: str = "",
    quote: str = "",
    rest: bool = False,
    skip_lines: int = 0,
    remedy: str = "",
) -> TextTable:
    """Read a delimited text file.

    Parameters
    ----------
    path : str
    names : list of str
        Name of each field; a field with an empty name is left out.
    separator : str
        One ASCII character; a blank stands for any run of blanks.
    comment : str
        Lines that begin with it are left out.
    quote : str
        What may stand around a field that holds separators.
    rest : bool
        The last field takes the rest of the line.
    skip_lines : int
        Lines at the top that are no data; comments and empty lines are not counted.
    remedy : str
        What to do about a line with another number of fields.

    Raises
    ------
    TraceError
        The file cannot be read, a line has another number of fields, or there are no data.
    """
    wanted = {name: k for k, name in enumerate(names) if name}
    spans = {name: Spans() for name in wanted}
    numbers: list[Ints] = []
    lines = 0
    skip = skip_lines
    mark, quotes = (ord(sign) if sign else -1 for sign in (comment, quote))
    with TraceFile(path) as file:
        for block, count in file.blocks():
            fields = np.empty((len(names), 2, count), dtype=np.int64)
            line_of = np.empty(count, dtype=np.int64)
            rows, done, skip, code, found = parsing.split_block(
                parsing.indexable(block), block.size, ord(separator), int(rest), mark, quotes, skip, fields, line_of
            )
            if code == parsing.BAD_QUOTE:
                what = f"field {found} has a quote that is not closed at its end, on its line"
                raise TraceError(
                    what, "double quotes within a quoted field, and leave line breaks out", path=path, line=lines + done
                )
            if code:
                what = f"the line has {counted(found, 'field')} instead of {len(names)}"
                raise TraceError(what, remedy or "correct or remove the line", path=path, line=lines + done)
            for name, k in wanted.items():
                spans[name].add(block, fields[k, 0, :rows], fields[k, 1, :rows])
            numbers.append(line_of[:rows] + (lines + 1))
            lines += count
        sha256 = file.sha256()
    line = np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)
    if line.size == 0:
        raise TraceError("has no jobs", "give a trace with at least one job", path=path)
    return TextTable(path, {name: span.column() for name, span in spans.items()}, line, sha256)


def csv_names(line: str) -> list[str]:
    """Names in the header line of a comma-separated file, quoted or not."""
    return [name.strip() for name in next(csv.reader([line], skipinitialspace=True))]


def first_line(path: str, comment: str = "") -> str:
    """First line of a file that is neither empty nor a comment; empty if the file's head has none."""
    for line in head(path).decode("utf-8", "backslashreplace").splitlines():
        if line.strip() and not (comment and line.lstrip().startswith(comment)):
            return line.strip()
    return ""
