"""Values as Slurm's accounting writes them: states, sizes, memory, time limits, TRES.

References
----------
sacct(1), fields ``State``, ``ReqMem``, ``Timelimit`` and ``AllocTRES``, https://slurm.schedmd.com/sacct.html.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from apportion.core.units import parse_duration_ms, parse_mem_kib
from apportion.traces.schema import UNKNOWN, Status

NO_TIME: Final = frozenset({"Unknown", "None", "N/A", "NONE"})
NO_LIMIT: Final = frozenset({"", "UNLIMITED", "Partition_Limit", "INVALID", "N/A", "None"})

_STATES: Final = {
    "COMPLETED": Status.COMPLETED,
    "FAILED": Status.FAILED,
    "BOOT_FAIL": Status.NODE_FAIL,
    "NODE_FAIL": Status.NODE_FAIL,
    "CANCELLED": Status.CANCELLED,
    "REVOKED": Status.CANCELLED,
    "TIMEOUT": Status.TIMEOUT,
    "DEADLINE": Status.TIMEOUT,
    "PREEMPTED": Status.PREEMPTED,
    "OUT_OF_MEMORY": Status.OUT_OF_MEMORY,
    "RUNNING": Status.RUNNING,
    "COMPLETING": Status.RUNNING,
    "SUSPENDED": Status.RUNNING,
    "STOPPED": Status.RUNNING,
    "RESIZING": Status.RUNNING,
    "PENDING": Status.PENDING,
    "CONFIGURING": Status.PENDING,
    "REQUEUED": Status.PENDING,
    "REQUEUE_HOLD": Status.PENDING,
    "REQUEUE_FED": Status.PENDING,
    "SPECIAL_EXIT": Status.PENDING,
}
_REQ_MEM: Final = re.compile(r"(?P<number>\d{1,18}(?:\.\d{1,6})?)(?P<unit>[KMGTP]?)(?P<per>[cn]?)")
_COUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([KMG]?)")
_PER_CPU_FLAG_MIB: Final = 2**31  # Slurm's MEM_PER_CPU bit, where an old dump shows it as megabytes
_KIB_PER_MIB: Final = 1024
_SCALE: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Memory(NamedTuple):
    """Requested memory and what one unit of it is given for: ``job``, ``cpu`` or ``node``."""

    kib: int
    per: str


def status(state: str) -> Status:
    """Status of a state word; ``CANCELLED by 1000`` and cut-off words (``CANCELLED+``) are understood."""
    word = state.split(maxsplit=1)[0].upper().rstrip("+") if state.strip() else ""
    if word in _STATES:
        return _STATES[word]
    if len(word) >= 4:
        for name, code in _STATES.items():
            if name.startswith(word):
                return code
    return Status.UNKNOWN


def limit_ms(text: str) -> int:
    """Time limit in ms; -1 for none."""
    return UNKNOWN if text in NO_LIMIT else parse_duration_ms(text)


def span_ms(text: str) -> int:
    """Time span in ms (``Elapsed``, ``TotalCPU``); -1 where there is none.

    Slurm writes minutes and seconds at least, so a bare number is no notation of its own but seconds, as in ``ElapsedRaw``.
    """
    if text in NO_LIMIT:
        return UNKNOWN
    return parse_duration_ms(f"0:{text}" if text.isdecimal() else text)


def count(text: str) -> int:
    """Read a number of CPUs or nodes; sacct may write 2048 as ``2K``."""
    if not text:
        return UNKNOWN
    match = _COUNT.fullmatch(text)
    if not match:
        raise ValueError("is not a count")
    return round(float(match[1]) * _SCALE[match[2]]) if "." in match[1] else int(match[1]) * _SCALE[match[2]]


def req_mem(text: str) -> Memory:
    """Read requested memory as ``ReqMem`` writes it.

    ``4000Mc`` is per CPU and ``4Gn`` per node; without a letter (Slurm 21.08 and later) it is the job's. In some old
    dumps the bit that says "per CPU" is left in the number (``2147486448Mn``): it is taken out, and what remains is per
    CPU.
    """
    if text in {"", "?", "0", "0n", "0c", "N/A"}:
        return Memory(UNKNOWN, "job")
    match = _REQ_MEM.fullmatch(text)
    if not match:
        raise ValueError("is not a memory size")
    kib = parse_mem_kib(match["number"] + match["unit"])
    per = {"": "job", "c": "cpu", "n": "node"}[match["per"]]
    if match["per"] and kib >= _PER_CPU_FLAG_MIB * _KIB_PER_MIB:
        return Memory(kib - _PER_CPU_FLAG_MIB * _KIB_PER_MIB, "cpu")
    return Memory(kib, per)


def tres(text: str, name: str) -> int:
    """Amount of one TRES in a list such as ``cpu=12,mem=33600M,gres/gpu:a100=4``; -1 where it is not in it.

    Memory is in KiB. For ``gres/gpu`` the untyped count is taken, else the sum over the types.
    """
    typed = UNKNOWN
    for entry in text.split(","):
        key, _, value = entry.partition("=")
        if key == name:
            return parse_mem_kib(value) if name == "mem" else count(value)
        if key.startswith(f"{name}:"):
            typed = max(typed, 0) + count(value)
    return typed
