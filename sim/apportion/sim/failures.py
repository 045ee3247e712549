"""What goes wrong in the world: failures of nodes and centers and cut-off networks, as a timetable made before a run.

Nothing here depends on the schedule, so that every driver, and every policy, meets the same failures. Times between failures are
exponential or Weibull (Schroeder & Gibson, "A large-scale study of failures in high-performance computing systems", DSN 2006,
doi:10.1109/DSN.2006.5: Weibull with a shape of 0.7 to 0.8 fits best), times to repair are exponential; or both are read from a log.
"""

from __future__ import annotations

import csv
import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from apportion.core.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from apportion.core.tables import Ints

# What happens, in the order within one instant.
PROCS_BACK: Final = 0
NETWORK_BACK: Final = 1
PROCS_LOST: Final = 2
NETWORK_CUT: Final = 3

POSITIONS: Final = 2**32  # a position is below this
MOST: Final = 1_000_000  # failures of one source
AFTER_MS: Final = 30 * 86_400_000  # how long after the last submission nodes of a single machine still fail


@dataclass(frozen=True)
class FailureSource:
    """What fails, and how often.

    Attributes
    ----------
    place : int
        Index of what is hit: a pool of processors, for ``network`` a center; the same index in ``capacity`` of `timetable`.
    kind : {"node", "center", "network"}
        A failure takes some processors, all of a pool, or the connection.
    distribution : {"exponential", "weibull"}
        Of the time between failures: of nodes from one to the next; what is lost as a whole fails again only once it is back, and the
        time counts from there.
    mtbf_s, repair_s : float
        Means, seconds.
    shape : float
        Of a Weibull distribution.
    procs : int
        Processors that a failure of a node takes.
    log : Path, optional
        Recorded failures instead: csv with the columns ``time_s`` (Unix time), ``procs`` and ``repair_s``.
    stream : int
        Sources with the same number draw the same, as the pools of a center that fails as a whole; -1 for one of its own.
    """

    place: int
    kind: str = "node"
    distribution: str = "exponential"
    mtbf_s: float = 0.0
    repair_s: float = 3600.0
    shape: float = 1.0
    procs: int = 1
    log: Path | None = None
    stream: int = -1


class Outage(NamedTuple):
    """From ``begin`` to ``end`` (ms) something is away; ``position`` : 0 to 2^32 - 1, drawn, picks what is hit."""

    begin: int
    end: int
    place: int
    procs: int
    position: int
    is_network: bool


@dataclass(frozen=True)
class Timetable:
    """What happens, by time; columns are int64 of one length.

    ``time_ms``; ``what`` : one of the codes of this module; ``place``; ``procs`` : lost or back (0 for a network); ``position`` : of a
    loss, and of the return of what it took; 0 for a network.
    """

    time_ms: Ints
    what: Ints
    place: Ints
    procs: Ints
    position: Ints

    def __len__(self) -> int:
        return len(self.time_ms)

    def summary(self, capacity: Sequence[int], begin_ms: int, end_ms: int) -> dict[str, Any]:
        """Failures, and what they take between two moments: processor hours, the part of all there are, hours without network."""
        lost = self.what == PROCS_LOST
        cut = self.what == NETWORK_CUT
        left = np.clip(end_ms - self.time_ms, 0, end_ms - begin_ms).astype(object)  # Python integers do not overflow
        sign = np.where(lost | cut, 1, -1).astype(object)
        is_network = cut | (self.what == NETWORK_BACK)
        procs_ms = int((sign * left * self.procs)[~is_network].sum())
        total = sum(capacity) * (end_ms - begin_ms)
        return {
            "failures": int(lost.sum()),
            "lost_proc_h": procs_ms / 3_600_000,
            "lost_fraction": procs_ms / total if total else 0.0,
            "network_failures": int(cut.sum()),
            "network_away_h": int((sign * left)[is_network].sum()) / 3_600_000,
        }


def timetable(
    sources: Sequence[FailureSource], capacity: Sequence[int], begin_ms: int, end_ms: int, seed: int
) -> Timetable:
    """Draw, or read, all that goes wrong from ``begin_ms`` until ``end_ms``; what begins then is still repaired later.

    Each source draws from a generator of its own, so that another one more or less changes nothing for it. What is
    away cannot be lost again: where failures overlap, a later one takes what is left of the pool at most, and a network is
    back when the last of its failures is over.

    Parameters
    ----------
    capacity : sequence of int
        Processors of each place.

    Raises
    ------
    ScenarioError
        If a log cannot be read, or a source would fail more than a million times.
    """
    outages: list[Outage] = []
    for number, source in enumerate(sources):
        rng = np.random.default_rng([seed, number if source.stream < 0 else source.stream])
        if source.log is None:
            found = _draw(source, capacity[source.place], begin_ms, end_ms, rng)
        else:
            found = _recorded(source, capacity[source.place], rng)
        outages += [outage for outage in found if begin_ms <= outage.begin < end_ms]
    outages.sort(key=lambda outage: outage.begin)  # stable: ties stay in the order of the sources
    rows = [*_losses(outages, capacity), *_cuts(outages)]
    table = np.array(sorted(rows, key=lambda row: row[:3]), np.int64).reshape(-1, 5)
    return Timetable(*(np.ascontiguousarray(table[:, k]) for k in range(5)))


def of_machine(
    capacity: Sequence[int],
    submit_ms: Ints,
    mtbf_s: float,
    repair_s: float,
    node_procs: int,
    log: Path | None,
    seed: int,
) -> Timetable:
    """Failures of nodes of one machine, from the first submission until a month after the last.

    Parameters
    ----------
    capacity : sequence of int
        Processors of each pool. Each fails by its part of the machine; a log is of a machine with one pool.
    submit_ms : int64[n]
        Ascending.
    mtbf_s, repair_s : float
        Mean times from one failure of the machine to the next, and to repair.

    Raises
    ------
    ScenarioError
        As for `timetable`, and if it is not known which pool a log is of.
    """
    if log is not None and len(capacity) > 1:
        raise ScenarioError(
            f"a log does not say which of {len(capacity)} pools failed", "let the partitions share one pool", path=log
        )
    sources = [
        FailureSource(
            pool, mtbf_s=mtbf_s * sum(capacity) / procs, repair_s=repair_s, procs=min(node_procs, procs), log=log
        )
        for pool, procs in enumerate(capacity)
        if procs > 0
    ]
    return timetable(sources, capacity, int(submit_ms[0]), int(submit_ms[-1]) + AFTER_MS, seed)


def _draw(
    source: FailureSource, capacity: int, begin_ms: int, end_ms: int, rng: np.random.Generator
) -> Iterator[Outage]:
    expected = (end_ms - begin_ms) / (source.mtbf_s * 1000)
    if expected > MOST:
        raise ScenarioError(
            f"an MTBF of {source.mtbf_s:g} s makes {expected:,.0f} failures", "give a longer MTBF, or a shorter window"
        )
    scale_ms = source.mtbf_s * 1000 / math.gamma(1 + 1 / source.shape) if source.distribution == "weibull" else 0.0
    time = float(begin_ms)
    while True:
        gap = scale_ms * rng.weibull(source.shape) if scale_ms else rng.exponential(source.mtbf_s * 1000)
        repair = max(round(rng.exponential(source.repair_s * 1000)), 1)
        position = int(rng.integers(POSITIONS))
        time += gap
        if time >= end_ms:
            return
        begin = round(time)
        yield Outage(begin, begin + repair, source.place, _lost(source, capacity), position, source.kind == "network")
        if source.kind != "node":
            time += repair


def _lost(source: FailureSource, capacity: int) -> int:
    """Processors that a drawn failure takes."""
    return {"node": source.procs, "center": capacity, "network": 0}[source.kind]


def _recorded(source: FailureSource, capacity: int, rng: np.random.Generator) -> Iterator[Outage]:
    path = source.log
    try:
        with open(path or "", newline="", encoding="utf-8") as file:  # noqa: PTH123
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ScenarioError(
            f"cannot be read: {(reason or '').lower()}",
            "name a csv file with the columns time_s,procs,repair_s",
            path=path,
        ) from None
    names = [name.strip() for name in rows[0]] if rows else []
    lacking = [name for name in ("time_s", "procs", "repair_s") if name not in names]
    if lacking:
        raise ScenarioError(f"there is no column {lacking[0]}", "begin with time_s,procs,repair_s", path=path, line=1)
    column = [names.index(name) for name in ("time_s", "procs", "repair_s")]
    for line, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        try:
            time_s, procs, repair_s = (float(row[k]) for k in column)
            good = procs == int(procs) >= 1 and 0 < repair_s < 1e10 and abs(time_s) < 1e11
        except (ValueError, IndexError, OverflowError):
            good = False
        if not good:
            raise ScenarioError(
                "this is not a failure: " + ",".join(row)[:80],
                "write a time, a number of processors of 1 or more and a repair time above 0, in seconds",
                path=path,
                line=line,
            )
        begin = round(time_s * 1000)
        lost = {"node": int(procs), "center": capacity, "network": 0}[source.kind]
        position = int(rng.integers(POSITIONS))
        end = begin + max(round(repair_s * 1000), 1)
        yield Outage(begin, end, source.place, lost, position, source.kind == "network")


Row = tuple[int, int, int, int, int]


def _losses(outages: list[Outage], capacity: Sequence[int]) -> Iterator[Row]:
    """Losses and returns of processors, none of which is lost twice."""
    there = list(capacity)
    returns: list[tuple[int, int, int]] = []
    for outage in outages:
        while returns and returns[0][0] <= outage.begin:
            _, place, procs = heapq.heappop(returns)
            there[place] += procs
        lost = min(outage.procs, there[outage.place])
        if lost > 0 and not outage.is_network:
            there[outage.place] -= lost
            heapq.heappush(returns, (outage.end, outage.place, lost))
            yield outage.begin, PROCS_LOST, outage.place, lost, outage.position
            yield outage.end, PROCS_BACK, outage.place, lost, outage.position


def _cuts(outages: list[Outage]) -> Iterator[Row]:
    """Beginnings and ends of the times without network, overlapping ones as one."""
    away: dict[int, tuple[int, int]] = {}
    for outage in outages:
        if not outage.is_network:
            continue
        begin, end = away.get(outage.place, (outage.begin, outage.end))
        if outage.begin > end:
            yield from _cut(outage.place, begin, end)
            begin, end = outage.begin, outage.end
        away[outage.place] = begin, max(end, outage.end)
    for place, (begin, end) in away.items():
        yield from _cut(place, begin, end)


def _cut(place: int, begin: int, end: int) -> Iterator[Row]:
    yield begin, NETWORK_CUT, place, 0, 0
    yield end, NETWORK_BACK, place, 0, 0
