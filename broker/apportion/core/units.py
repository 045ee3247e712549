"""Times and sizes as Slurm writes them, in plain Python.

Notations follow Slurm's manual pages sbatch(1) ``--time`` and ``--mem``, and sacct(1) ``Elapsed`` and ``ReqMem``.
"""

from __future__ import annotations

import re
from typing import Final

from apportion.core.errors import UserError

UNLIMITED: Final = -1
MS_PER_SECOND: Final = 1000
MS_PER_DAY: Final = 86_400_000

_UNLIMITED_WORDS = frozenset({"unlimited", "infinite", "-1"})
_DAYS = re.compile(r"(?P<days>\d{1,9})-(?P<clock>[\d:.]+)")
_CLOCK = re.compile(r"\d{1,12}(:\d{1,12}){0,2}(\.\d{1,9})?")
_MEMORY = re.compile(r"(?P<number>\d{1,18}(\.\d{1,9})?)\s*(?:(?P<unit>[KMGTP])(?:i?B)?)?", re.IGNORECASE)
_KIB_PER: Final = {"": 1024, "K": 1, "M": 1024, "G": 1024**2, "T": 1024**3, "P": 1024**4}


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: "1 job", "2,000 jobs"; ``plural`` is the noun with an "s" unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a time in one of Slurm's notations.

    Accepted are ``MM``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM`` and ``D-HH:MM:SS``, each with an optional
    fraction of its last part, and ``UNLIMITED`` or ``INFINITE``. A bare number is minutes, as in ``sbatch --time``.

    Returns
    -------
    int
        Milliseconds, or `UNLIMITED` (-1).

    Raises
    ------
    UserError
        For any other text.

    Examples
    --------
    >>> parse_duration_ms("90"), parse_duration_ms("1-12"), parse_duration_ms("00:00:01.5")
    (5400000, 129600000, 1500)
    """
    word = text.strip()
    if word.lower() in _UNLIMITED_WORDS:
        return UNLIMITED
    with_days = _DAYS.fullmatch(word)
    clock = with_days["clock"] if with_days else word
    if not _CLOCK.fullmatch(clock):
        raise UserError(f"'{text}' is not a time", "write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS")
    whole, _, fraction = clock.partition(".")
    parts = [int(part) for part in whole.split(":")]
    if with_days:
        first_unit, days = 0, int(with_days["days"])
    else:
        first_unit, days = (0 if len(parts) == 3 else 1), 0
    unit_s = (3600, 60, 1)
    seconds = days * 86_400 + sum(n * unit_s[first_unit + i] for i, n in enumerate(parts))
    last_unit_s = unit_s[first_unit + len(parts) - 1]
    part_ms = round(int(fraction) * last_unit_s * MS_PER_SECOND / 10 ** len(fraction)) if fraction else 0
    return seconds * MS_PER_SECOND + part_ms


def format_duration(ms: int) -> str:
    """Write milliseconds as Slurm does: ``[D-]HH:MM:SS``, with a fraction only where there is one.

    Examples
    --------
    >>> format_duration(5_400_000), format_duration(129_600_500), format_duration(-1)
    ('01:30:00', '1-12:00:00.500', 'UNLIMITED')
    """
    if ms == UNLIMITED:
        return "UNLIMITED"
    sign, rest = ("-", -ms) if ms < 0 else ("", ms)
    days, rest = divmod(rest, MS_PER_DAY)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, part = divmod(rest, MS_PER_SECOND)
    return (
        sign
        + (f"{days}-" if days else "")
        + f"{hours:02d}:{minutes:02d}:{seconds:02d}"
        + (f".{part:03d}" if part else "")
    )


def parse_mem_kib(text: str) -> int:
    """KiB of a memory size in Slurm's notation; a bare number is MiB.

    Raises
    ------
    UserError
        Where the text is no size.

    Examples
    --------
    >>> parse_mem_kib("4G"), parse_mem_kib("100"), parse_mem_kib("0.5M")
    (4194304, 102400, 512)
    """
    found = _MEMORY.fullmatch(text.strip())
    if not found:
        raise UserError(f"'{text}' is not a memory size", "write a number with K, M, G, T or P; a bare number is M")
    scale = _KIB_PER[(found["unit"] or "").upper()]
    whole, _, fraction = found["number"].partition(".")
    return int(whole) * scale + (round(int(fraction) * scale / 10 ** len(fraction)) if fraction else 0)


def parse_mem_mib(text: str) -> int:
    """MiB of a memory size in Slurm's notation, rounded up; a bare number is MiB.

    Examples
    --------
    >>> parse_mem_mib("4G"), parse_mem_mib("100"), parse_mem_mib("1K")
    (4096, 100, 1)
    """
    return -(-parse_mem_kib(text) // 1024)
