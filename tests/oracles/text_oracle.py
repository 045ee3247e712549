"""Naive twins of the kernels that read and write text: split by Python, numbers by Decimal."""

from __future__ import annotations

import csv
import operator
import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
BLANKS = bytes(range(33))
BLANKLESS = operator.methodcaller("strip", BLANKS)
WORD = re.compile(rb"[^\x00-\x20]+")


class UnreadableError(Exception):
    """The text is none of what the kernel reads."""


def number(word: bytes, shift: int, rounds: bool) -> int:
    """The word as an integer of 10**-shift units; an error where it is no number, too large, or not whole."""
    if not NUMBER.fullmatch(word):
        raise UnreadableError(word)
    with localcontext() as context:
        context.prec = 5000
        exact = Decimal(word.decode()).scaleb(shift)
        value = exact.to_integral_value(ROUND_HALF_EVEN)
        if value != exact and not rounds:
            raise UnreadableError(word)
        if abs(value) > 4 * 10**18:
            raise UnreadableError(word)
    return -1 if shift == 3 and value == -1000 else int(value)


def swf(text: bytes, shifts: list[int], rounds: list[int]) -> tuple[list[list[int]], list[list[bytes]], list[bytes]]:
    """Jobs (18 numbers each), their further fields, and the comment lines."""
    jobs, extras, comments = [], [], []
    for line in text.split(b"\n"):
        words = WORD.findall(line)
        if not words:
            continue
        if words[0].startswith(b";"):
            comments.append(line)
            continue
        if len(words) < 18:
            raise UnreadableError(line)
        jobs.append([number(word, s, bool(r)) for word, s, r in zip(words[:18], shifts, rounds, strict=True)])
        extras.append(words[18:])
    if len({len(extra) for extra in extras}) > 1:
        raise UnreadableError(text)
    return jobs, extras, comments


def split(
    text: bytes, separator: bytes, fields: int, rest: bool, comment: bytes, skip: int
) -> list[tuple[int, list[bytes]]]:
    """Line number (from 0) and fields of each data line."""
    rows = []
    for k, line in enumerate(map(BLANKLESS, text.split(b"\n"))):
        if not line or (comment and line.startswith(comment)):
            continue
        if skip:
            skip -= 1
            continue
        if separator == b" ":
            words = WORD.findall(line)
            if rest and len(words) >= fields:
                at = 0
                for word in words[: fields - 1]:
                    at = line.index(word, at) + len(word)
                words = [*words[: fields - 1], line[at:].strip(BLANKS)]
        else:
            words = [word.strip(BLANKS) for word in line.split(separator, fields - 1 if rest else -1)]
        if len(words) != fields:
            raise UnreadableError(line)
        rows.append((k, words))
    return rows


def split_csv(text: bytes, fields: int) -> list[list[bytes]]:
    """Fields of each line of comma-separated text without blanks or empty lines, by Python's own reader."""
    rows = []
    for line in text.decode().splitlines():
        try:
            words = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise UnreadableError(line) from error
        if len(words) != fields:
            raise UnreadableError(line)
        rows.append([word.encode() for word in words])
    return rows


def find_keys(text: bytes, keys: list[bytes]) -> list[bytes]:
    """Value of each key in a record; empty where it lacks it."""
    found: dict[bytes, bytes] = {}
    word, quoted = b"", False
    for k in range(len(text) + 1):
        c = text[k : k + 1]
        if c and (quoted or c[0] > 32):
            quoted ^= c == b'"'
            word += c
            continue
        key, equals, value = word.partition(b"=")
        if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
            value = value[1:-1]
        if equals and not found.get(key):
            found[key] = value
        word = b""
    return [found.get(key, b"") for key in keys]


def swf_line(values: list[int], shifts: list[int]) -> bytes:
    """One job as SWF, without a line end."""
    words = []
    for value, shift in zip(values, shifts, strict=True):
        if shift == 3 and value != -1:
            words.append(f"{Decimal(value) / 1000:f}")
            if "." in words[-1]:
                words[-1] = words[-1].rstrip("0").rstrip(".")
        else:
            words.append(str(value))
    return " ".join(words).encode()
