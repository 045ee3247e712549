"""Names of nodes as Slurm writes them: ``n[001-016,020]`` (scontrol(1), *hostlist expressions*)."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_NODES = 1_000_000
_LIST = re.compile(r"([\w.-]*)\[([^\[\]]+)\]([\w.-]*)")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_NUMBERED = re.compile(r"(.*?)(\d{1,9})")


def expand(text: str) -> list[str]:
    """Names that an expression stands for, in its order.

    Raises
    ------
    ValueError
        With one sentence, for anything that is not one name or one list in brackets.
    """
    if re.fullmatch(r"[\w.-]+", text):
        return [text]
    found = _LIST.fullmatch(text)
    if not found:
        raise ValueError(f"'{text[:60]}' is no name of nodes; write one such as n[1-64]")
    names: list[str] = []
    for part in found[2].split(","):
        ends = _RANGE.fullmatch(part.strip())
        if not ends:
            raise ValueError(f"'{part[:40]}' is no range of numbers; write one such as 1-64")
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if last < first or last - first >= MAX_NODES - len(names):
            raise ValueError(f"the range {part.strip()} is empty or too long")
        names += [f"{found[1]}{number:0{len(ends[1])}}{found[3]}" for number in range(first, last + 1)]
    return names


def compress(names: Iterable[str]) -> str:
    """Write names as short as Slurm does, numbers ascending: ``n1, n2, n3, n7`` gives ``n[1-3,7]``."""
    groups: dict[tuple[str, int], set[int]] = {}
    parts = []
    numbered = []
    for name in sorted(set(names)):
        found = _NUMBERED.fullmatch(name)
        if found:
            numbered.append((found[1], found[2]))
        else:
            parts.append(name)
    padded = {(prefix, len(digits)) for prefix, digits in numbered if digits.startswith("0") and len(digits) > 1}
    for prefix, digits in numbered:
        width = len(digits) if (prefix, len(digits)) in padded else 0
        groups.setdefault((prefix, width), set()).add(int(digits))
    for (prefix, width), numbers in sorted(groups.items()):
        ranges = [f"{a:0{width}}" if a == b else f"{a:0{width}}-{b:0{width}}" for a, b in _ranges(sorted(numbers))]
        alone = len(ranges) == 1 and "-" not in ranges[0]
        parts.append(f"{prefix}{ranges[0]}" if alone else f"{prefix}[{','.join(ranges)}]")
    return ",".join(parts)


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
