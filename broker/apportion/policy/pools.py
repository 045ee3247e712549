"""Pools of resources: the machine as partitions see it, and what reservations take out of it for a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core.errors import PolicyError
from apportion.core.tables import NEVER, Ints
from apportion.policy.nodes import capacity as capacity_of_nodes
from apportion.policy.nodes import usable

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.sections import ReservationEntry
    from apportion.policy.workload import Submissions

UNBOUNDED = 2**52  # a resource of which a pool does not say how much there is
DAY_S = 86_400


@dataclass(frozen=True)
class PoolPlan:
    """Pools by index, and the known changes of their capacity.

    ``names`` ; ``capacity`` (n_pools, n_tres) : at first, cpu first, UNBOUNDED where not stated. ``pool_of`` : per job.
    ``of_partition`` : pool of each partition.
    ``steps`` : (pool, time in ms, change per TRES), by pool and time.
    """

    names: tuple[str, ...]
    capacity: Ints
    pool_of: Ints
    of_partition: tuple[int, ...]
    steps: tuple[tuple[int, int, tuple[int, ...]], ...]


def plan_pools(
    policy: Policy, jobs: Submissions, partition: Ints, tres: tuple[str, ...], accounts: list[str]
) -> PoolPlan:
    """Lay out the pools.

    Parameters
    ----------
    partition : int64[n_jobs]
        Partition of each job; one that is in none (-1) is in the first pool.
    tres : tuple of str
        TRES that count, ``cpu`` first; billing is not among them.
    accounts : list of str
        Account of each job, or [] if no reservation asks for it.

    Raises
    ------
    PolicyError
        If partitions of one pool contradict each other, or a reservation names what is not there.
    """
    machine = {**policy.TRES, **policy.Licenses}
    machine.setdefault("cpu", jobs.capacity["cpu"])
    sizes: dict[str, dict[str, int]] = {}
    of_partition = []
    for entry in policy.partitions:
        name = entry.pool or "machine"
        size = sizes.setdefault(name, {})
        for key, value in entry.capacity.items():
            if size.setdefault(key, value) != value:
                raise PolicyError(f"the partitions of pool {name} state different amounts of {key}")
        of_partition.append(list(sizes).index(name))
    if not sizes:
        sizes = {"machine": {}}
        of_partition = [0]
    if policy.SelectType is not None:
        for name, size in sizes.items():
            if usable(policy, name):
                size.update(capacity_of_nodes(policy, name))
    if "machine" in sizes:
        sizes["machine"] = {**machine, **sizes["machine"]}
    for name, size in sizes.items():
        if "cpu" not in size:
            raise PolicyError(
                f"pool {name} does not say how many processors it has", "give its partition Procs or TRES cpu="
            )
    names = list(sizes)
    capacity = [[sizes[name].get(t, UNBOUNDED) for t in tres] for name in names]
    pool_of = np.array(of_partition, np.int64)[np.maximum(partition, 0)]
    steps: list[tuple[int, int, tuple[int, ...]]] = []
    first = int(jobs.submit_ms[0]) if len(jobs) else 0
    last = int(jobs.submit_ms[-1]) if len(jobs) else 0
    for reservation in policy.reservations:
        source = _pool_of_reservation(policy, reservation, of_partition)
        amount = tuple(
            (reservation.capacity.get(t, 0) if reservation.capacity else capacity[source][k] % UNBOUNDED)
            for k, t in enumerate(tres)
        )
        for k, t in enumerate(tres):
            if amount[k] > capacity[source][k]:
                raise PolicyError(
                    f"reservation {reservation.ReservationName} takes {amount[k]} {t}, but {names[source]} has {capacity[source][k]}"
                )
        owners = None
        if (reservation.Users or reservation.Accounts) and "MAINT" not in reservation.Flags:
            owners = len(names)
            names.append(f"reservation {reservation.ReservationName}")
            capacity.append([0] * len(tres))
            pool_of[_owned(reservation, jobs, accounts, first, last) & (pool_of == source)] = owners
        for begin, end in _times(reservation, jobs.origin_ms, last):
            minus = tuple(-a for a in amount)
            steps += [(source, begin, minus), (source, end, amount)]
            if owners is not None:
                steps += [(owners, begin, amount), (owners, end, minus)]
    return PoolPlan(
        tuple(names),
        np.array(capacity, np.int64),
        pool_of,
        tuple(of_partition),
        tuple(sorted(steps, key=lambda s: s[:2])),
    )


def _pool_of_reservation(policy: Policy, entry: ReservationEntry, of_partition: list[int]) -> int:
    if not entry.PartitionName:
        return 0
    for index, partition in enumerate(policy.partitions):
        if partition.PartitionName == entry.PartitionName:
            return of_partition[index]
    raise PolicyError(
        f"reservation {entry.ReservationName} names the partition {entry.PartitionName}, which is not there"
    )


def _times(entry: ReservationEntry, origin_ms: int, last_ms: int) -> list[tuple[int, int]]:
    """Begin and end (ms) of each occurrence; a repeated one goes on a week beyond the last submission."""
    begin = entry.StartTime.seconds * 1000 + (origin_ms if entry.StartTime.from_origin else 0)
    length = entry.duration * 1000
    every = DAY_S * 1000 if "DAILY" in entry.Flags else 7 * DAY_S * 1000 if "WEEKLY" in entry.Flags else 0
    if every == 0:
        return [(begin, begin + length)]
    if length > every:
        raise PolicyError(f"reservation {entry.ReservationName} is longer than the time after which it is repeated")
    until = last_ms + 7 * DAY_S * 1000
    return [(t, t + length) for t in range(begin, max(until, begin + 1), every)]


def _owned(
    entry: ReservationEntry, jobs: Submissions, accounts: list[str], first_ms: int, last_ms: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Jobs that run in the reservation: its owners', submitted while it lasts, that can end before it does."""
    mine = np.zeros(len(jobs), bool)
    if entry.Users:
        mine |= np.array([name in entry.Users for name in [*jobs.user.names, ""]])[jobs.user.codes]
    if entry.Accounts:
        mine |= np.array([name in entry.Accounts for name in accounts], bool)
    during = np.zeros(len(jobs), bool)
    for begin, end in _times(entry, jobs.origin_ms, last_ms):
        if begin <= last_ms and end >= first_ms:
            during |= (jobs.submit_ms >= begin) & (jobs.submit_ms + jobs.limit_ms <= end)
    fits = jobs.procs <= entry.capacity.get("cpu", NEVER)
    return mine & during & fits
