"""TRES (trackable resources) as Slurm reads and writes them: counts, billing weights, names.

Every parser takes what a person may write and raises ``ValueError`` with one clear sentence for anything else; every
formatter writes what its parser reads back as the same value.

References
----------
The ``sacctmgr`` and ``slurm.conf`` manual pages of Slurm (TRES strings, ``TRESBillingWeights``).
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from apportion.core.errors import UserError
from apportion.core.units import parse_mem_mib

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_COUNT = 2**53  # exact as a float64 too
PLAIN_TRES = ("cpu", "mem", "node", "energy", "billing", "vmem", "pages")
MEMORY_TRES = ("mem", "vmem")

_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:e[+-]?\d{1,3})?", re.IGNORECASE)
_TYPED = re.compile(r"(?:gres|license|fs|bb|ic)/[\w.:+-]{1,100}")
_ALIASES = {"gpu": "gres/gpu", "gpus": "gres/gpu", "memory": "mem", "core": "cpu", "processors": "cpu", "procs": "cpu"}
_MIB_PER = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2, "p": 1024.0**3}


def tres_name(text: str) -> str:
    """Canonical spelling of a TRES: ``CPU`` gives ``cpu``, ``GRES/gpu`` gives ``gres/gpu``.

    Raises
    ------
    ValueError
        If Slurm knows no such TRES; names the nearest.
    """
    kind, slash, rest = text.strip().partition("/")
    name = kind.lower() + slash + rest
    if name in PLAIN_TRES or _TYPED.fullmatch(name):
        return name
    known = [*PLAIN_TRES, "gres/gpu", "license/NAME"]
    near = _ALIASES.get(name) or next(iter(difflib.get_close_matches(name[:80], known, n=1)), "")
    hint = f"did you mean '{near}'?" if near else f"known are {', '.join(known)}"
    raise ValueError(f"unknown TRES '{shorten(text)}'; {hint}")


def parse_tres(value: str | Mapping[str, object]) -> dict[str, int]:
    """Read a TRES string such as ``cpu=4,mem=16G,gres/gpu=1``, or a table of the same.

    Returns
    -------
    dict of str to int
        Counts by canonical name, names sorted; memory in MiB. An amount of -1 clears a limit, so that name is left out.

    Raises
    ------
    ValueError
        For an unknown name, a name given twice, or an amount that is no whole number of zero or more.
    """
    counts: dict[str, int] = {}
    for name, amount in _pairs(value, "TRES"):
        if amount.lower() in ("-1", "unlimited", "infinite"):
            continue
        counts[name] = _memory(amount) if name in MEMORY_TRES else parse_count(amount, f"the count of {name}")
    return dict(sorted(counts.items()))


def format_tres(counts: Mapping[str, int]) -> str:
    """Write TRES counts as Slurm does, names sorted: ``cpu=4,gres/gpu=1,mem=16G``."""
    return ",".join(
        f"{name}={format_memory(count) if name in MEMORY_TRES else count}" for name, count in sorted(counts.items())
    )


def format_memory(mib: int) -> str:
    """Write MiB with the largest suffix that keeps it whole: 16384 gives ``16G``, 100 gives ``100M``."""
    for power, suffix in ((3, "P"), (2, "T"), (1, "G")):
        if mib and mib % 1024**power == 0:
            return f"{mib // 1024**power}{suffix}"
    return f"{mib}M"


def parse_tres_weights(value: str | Mapping[str, object]) -> dict[str, float]:
    """Read ``TRESBillingWeights``: ``CPU=1.0,Mem=0.25G,GRES/gpu=8``.

    A weight of memory is per MiB unless it carries a suffix: ``Mem=0.25G`` is 0.25 for each GiB.

    Returns
    -------
    dict of str to float
        Weight by canonical name, names sorted; memory per MiB.

    Raises
    ------
    ValueError
        For an unknown name, a name given twice, or a weight that is no number of zero or more.
    """
    weights: dict[str, float] = {}
    for name, amount in _pairs(value, "TRES weight"):
        number, unit_mib = amount, 1.0
        if name in MEMORY_TRES and amount[-1:].lower() in _MIB_PER:
            number, unit_mib = amount[:-1], _MIB_PER[amount[-1].lower()]
        if not _NUMBER.fullmatch(number) or not 0 <= float(number) <= MAX_COUNT:
            raise ValueError(f"the weight of {name} is '{shorten(amount)}', not a number of zero or more")
        weights[name] = float(number) / unit_mib
    return dict(sorted(weights.items()))


def format_tres_weights(weights: Mapping[str, float]) -> str:
    """Write TRES weights, names sorted, memory per MiB, every digit kept."""
    return ",".join(
        f"{name}={int(weight) if weight == int(weight) else repr(weight)}" for name, weight in sorted(weights.items())
    )


def parse_count(value: object, what: str = "the number") -> int:
    """Read a whole number of zero or more; ``what`` names it in the error.

    Raises
    ------
    ValueError
        For anything else, and for numbers beyond 2**53.
    """
    text = shorten(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > MAX_COUNT:
        raise ValueError(f"{what} is '{shorten(value)}', not a whole number; write one from 0 to 2^53")
    return int(text)


def shorten(value: object) -> str:
    """Text of a value for an error: one line of at most 60 characters; a huge integer is not even converted."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_COUNT:
        return str(int(value))
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _memory(amount: str) -> int:
    try:
        mib = parse_mem_mib(amount)
    except UserError as error:
        raise ValueError(f"{error.problem}; {error.remedy}") from None
    if mib > MAX_COUNT:
        raise ValueError(f"'{shorten(amount)}' is too large a memory size")
    return mib


def _pairs(value: str | Mapping[str, object], what: str) -> list[tuple[str, str]]:
    raw: list[tuple[str, str]] = []
    if isinstance(value, str):
        for item in (part for part in (part.strip() for part in value.split(",")) if part):
            name, equals, amount = item.partition("=")
            if not equals or not amount.strip():
                raise ValueError(f"'{shorten(item)}' is not a {what}; write NAME=NUMBER, for example cpu=4,mem=16G")
            raw.append((name, amount.strip()))
    else:
        raw = [(str(name), shorten(amount).strip()) for name, amount in value.items()]
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, amount in raw:
        canonical = tres_name(name)
        if canonical in seen:
            raise ValueError(f"{canonical} is given twice")
        seen.add(canonical)
        pairs.append((canonical, amount))
    return pairs
