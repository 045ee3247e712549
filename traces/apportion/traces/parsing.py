"""Kernels that turn bytes of text into columns.

All of them work on a block of whole lines (or on the value buffer of a column of text) and touch each byte once, which
is what keeps the reading of large traces near the speed of the disk. Plain-Python twins live in
``tests/oracles/text_oracle.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apportion.core.jit import JIT_DISABLED, kernel

Bytes = Any  # a uint8 array, or a memoryview of one where the JIT is off
Ints = NDArray[np.int64]

OK = 0
NOT_A_NUMBER = 1
TOO_LONG = 2
NOT_WHOLE = 3
TOO_FEW = 4
TOO_MANY = 5
BAD_QUOTE = 6

NEWLINE = 10
LARGEST = 4_000_000_000_000_000_000
SWF_FIELDS = 18


def indexable(data: NDArray[np.uint8]) -> Bytes:
    """Return what the kernels index: the array, or in plain Python a view of it that gives plain integers, faster."""
    return data.data if JIT_DISABLED else data


@kernel
def number(data: Bytes, pos: int, end: int, shift: int, rounds: int) -> tuple[int, int, int]:
    """Read the decimal number at ``pos`` as an integer of ``10**-shift`` units.

    Digits beyond the unit are rounded half to even where ``rounds`` is 1 and are an error where it is 0. At most 18
    significant digits are kept before the decimal point; longer numbers are an error, longer fractions are rounded
    correctly.

    Returns
    -------
    value, pos, code : int
        ``pos`` is behind the number (or at the byte that is wrong); -1 stays -1 whatever the unit, since it means
        "unknown".
    """
    negative = False
    if data[pos] == 45 or data[pos] == 43:  # - +
        negative = data[pos] == 45
        pos += 1
    mantissa = 0
    digits = 0
    fraction = 0
    seen = False
    point = False
    inexact = False
    while pos < end:
        c = data[pos]
        if 48 <= c <= 57:
            seen = True
            if digits < 18:
                mantissa = mantissa * 10 + (c - 48)
                if mantissa > 0:
                    digits += 1
                if point:
                    fraction += 1
            elif point:
                inexact = inexact or c != 48
            else:
                return 0, pos, TOO_LONG
        elif c == 46 and not point:  # .
            point = True
        else:
            break
        pos += 1
    if not seen:
        return 0, pos, NOT_A_NUMBER
    exponent = 0
    if pos < end and (data[pos] == 101 or data[pos] == 69):  # e E
        pos += 1
        down = False
        if pos < end and (data[pos] == 45 or data[pos] == 43):
            down = data[pos] == 45
            pos += 1
        if pos >= end or data[pos] < 48 or data[pos] > 57:
            return 0, pos, NOT_A_NUMBER
        while pos < end and 48 <= data[pos] <= 57:
            if exponent < 100_000_000:
                exponent = exponent * 10 + (data[pos] - 48)
            pos += 1
        if down:
            exponent = -exponent
    if pos < end and data[pos] > 32:
        return 0, pos, NOT_A_NUMBER

    power = shift - fraction + exponent
    value = mantissa
    if power >= 0:
        if mantissa > 0:
            for _ in range(power):
                if value > LARGEST // 10:
                    return 0, pos, TOO_LONG
                value *= 10
    elif power < -18:
        inexact = inexact or mantissa > 0
        value = 0
    else:
        divisor = 1
        for _ in range(-power):
            divisor *= 10
        value = mantissa // divisor
        rest = mantissa - value * divisor
        half = divisor // 2
        if rest > half or (rest == half and (inexact or value % 2 == 1)):
            value += 1
        inexact = inexact or rest > 0
    if inexact and rounds == 0:
        return 0, pos, NOT_WHOLE
    if negative:
        if shift == 3 and value == 1000:
            value = 1
        value = -value
    return value, pos, OK


@kernel
def swf_block(
    data: Bytes,
    size: int,
    shifts: Ints,
    rounds: Ints,
    out: NDArray[np.int64],
    extras: NDArray[np.int64],
    comments: NDArray[np.int64],
) -> tuple[int, int, int, int, int, int]:
    """Read a block of whole SWF lines.

    Parameters
    ----------
    data : uint8 array
        Ends in a line end.
    size : int
        Bytes of it that count.
    shifts, rounds : int64 array of 18
        Unit and rounding of each field, as `number` takes them.
    out : int64 array (18, rows)
        Filled, one row a field.
    extras : int64 array (fields beyond the 18th, 2, rows)
        Filled with the start and end of each further field.
    comments : int64 array (rows, 2)
        Filled with the start and end of each comment line.

    Returns
    -------
    rows, lines, comments, code, field, pos : int
        Counts of what was read; where ``code`` is not `OK`, the field (from 0) and the byte at fault in the line after
        ``lines``.
    """
    pos = 0
    rows = 0
    lines = 0
    found = 0
    n_extra = extras.shape[0]
    while pos < size:
        start = pos
        while data[pos] <= 32 and data[pos] != NEWLINE:
            pos += 1
        if data[pos] == NEWLINE:
            pos += 1
            lines += 1
            continue
        if data[pos] == 59:  # ;
            while data[pos] != NEWLINE:
                pos += 1
            comments[found, 0] = start
            comments[found, 1] = pos
            found += 1
            pos += 1
            lines += 1
            continue
        for field in range(SWF_FIELDS):
            while data[pos] <= 32 and data[pos] != NEWLINE:
                pos += 1
            if data[pos] == NEWLINE:
                return rows, lines, found, TOO_FEW, field, start
            token = pos
            if data[pos] == 45 and data[pos + 1] == 49 and data[pos + 2] <= 32:  # -1, the most frequent word of all
                out[field, rows] = -1
                pos += 2
                continue
            value = 0
            limit = pos + 15
            while 48 <= data[pos] <= 57 and pos < limit:
                value = value * 10 + (data[pos] - 48)
                pos += 1
            if pos > token and data[pos] <= 32:
                if shifts[field] == 3:
                    value *= 1000
            else:
                value, pos, code = number(data, token, size, shifts[field], rounds[field])
                if code != OK:
                    return rows, lines, found, code, field, token
            out[field, rows] = value
        for k in range(n_extra):
            while data[pos] <= 32 and data[pos] != NEWLINE:
                pos += 1
            if data[pos] == NEWLINE:
                return rows, lines, found, TOO_FEW, SWF_FIELDS + k, start
            extras[k, 0, rows] = pos
            while data[pos] > 32:
                pos += 1
            extras[k, 1, rows] = pos
        while data[pos] <= 32 and data[pos] != NEWLINE:
            pos += 1
        if data[pos] != NEWLINE:
            return rows, lines, found, TOO_MANY, SWF_FIELDS + n_extra, start
        rows += 1
        lines += 1
        pos += 1
    return rows, lines, found, OK, 0, 0


@kernel
def unquote(data: Bytes, at: int, stop: int, quote: int, separator: int) -> tuple[int, int]:
    """Find the end of the quoted field that begins at ``at``, and make each two quotes within it one.

    Returns
    -------
    right, end : int
        Behind the last byte of the field, and of its closing quote with the blanks that follow; ``end`` is -1 where there is no
        closing quote on the line, or something else than a separator behind it.
    """
    right = end = at + 1
    while True:
        while end < stop and data[end] != quote:
            data[right] = data[end]
            right += 1
            end += 1
        if end >= stop:
            return right, -1
        end += 1
        if end >= stop or data[end] != quote:
            break
        data[right] = quote
        right += 1
        end += 1
    while end < stop and data[end] <= 32 and data[end] != separator:
        end += 1
    return right, end if end >= stop or data[end] == separator else -1


@kernel
def split_block(
    data: Bytes,
    size: int,
    separator: int,
    rest: int,
    comment: int,
    quote: int,
    skip: int,
    fields: NDArray[np.int64],
    line_of: Ints,
) -> tuple[int, int, int, int, int]:
    """Split a block of whole lines into fields.

    Parameters
    ----------
    data, size
        As for `swf_block`.
    separator : int
        Byte between fields; 32 means any run of blanks. Blanks around a field are left out of it.
    rest : int
        1: the last field takes the rest of the line, separators included.
    comment : int
        Lines that begin with this byte are left out; -1 for none. Empty lines always are.
    quote : int
        Byte around fields that may hold separators, as in CSV; -1 for none. Two of them within stand for one, which is written over
        ``data``. Blanks within belong to the field.
    skip : int
        Data lines at the top that are passed over, whatever they look like.
    fields : int64 array (fields, 2, rows)
        Filled with the start and end of each field.
    line_of : int64 array (rows,)
        Filled with the line of each row, from 0 in this block.

    Returns
    -------
    rows, lines, skip, code, count : int
        ``skip`` is what is left of it, ``count`` the fields of the line at fault, which is the last of ``lines``.
    """
    n_fields = fields.shape[0]
    pos = 0
    rows = 0
    lines = 0
    while pos < size:
        start = pos
        while data[pos] != NEWLINE:
            pos += 1
        stop = pos
        pos += 1
        lines += 1
        while start < stop and data[start] <= 32:
            start += 1
        while stop > start and data[stop - 1] <= 32:
            stop -= 1
        if start == stop or data[start] == comment:
            continue
        if skip > 0:
            skip -= 1
            continue
        field = 0
        at = start
        while True:
            end = at
            if quote >= 0:
                while at < stop and data[at] <= 32 and data[at] != separator:
                    at += 1
                if at < stop and data[at] == quote:
                    right, end = unquote(data, at, stop, quote, separator)
                    if end < 0:
                        return rows, lines, skip, BAD_QUOTE, field + 1
                    if field < n_fields:
                        fields[field, 0, rows] = at + 1
                        fields[field, 1, rows] = right
                    field += 1
                    if end >= stop:
                        break
                    at = end + 1
                    continue
                end = at
            if rest == 1 and field == n_fields - 1:
                end = stop
            elif separator == 32:
                while end < stop and data[end] > 32:
                    end += 1
            else:
                while end < stop and data[end] != separator:
                    end += 1
            if field < n_fields:
                left = at
                right = end
                while left < right and data[left] <= 32:
                    left += 1
                while right > left and data[right - 1] <= 32:
                    right -= 1
                fields[field, 0, rows] = left
                fields[field, 1, rows] = right
            field += 1
            if end >= stop:
                break
            at = end + 1
            if separator == 32:
                while data[at] <= 32:
                    at += 1
        if field < n_fields:
            return rows, lines, skip, TOO_FEW, field
        if field > n_fields:
            return rows, lines, skip, TOO_MANY, field
        line_of[rows] = lines - 1
        rows += 1
    return rows, lines, skip, OK, 0


@kernel
def gather(data: Bytes, starts: Ints, ends: Ints, out: NDArray[np.uint8], offsets: Ints) -> None:
    """Copy the spans of ``data`` one behind the other; ``offsets`` (one more than spans) receives where each begins."""
    at = 0
    for row in range(starts.size):
        offsets[row] = at
        for pos in range(starts[row], ends[row]):
            out[at] = data[pos]
            at += 1
    offsets[starts.size] = at


@kernel
def numbers(data: Bytes, offsets: Ints, shift: int, rounds: int, out: Ints) -> tuple[int, int]:
    """Read a column of text as integers of ``10**-shift`` units; empty text is -1.

    Returns
    -------
    row, code : int
        The first row that is no number, with the code of `number`; (-1, 0) if all are.
    """
    for row in range(out.size):
        start = offsets[row]
        end = offsets[row + 1]
        if start == end:
            out[row] = -1
            continue
        value, pos, code = number(data, start, end, shift, rounds)
        if code == OK and pos < end:
            code = NOT_A_NUMBER
        if code != OK:
            return row, code
        out[row] = value
    return -1, OK
