"""The jobs a policy is compiled for: what a driver knows of them at submit time, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from apportion.core.tables import Ints


@dataclass(frozen=True)
class Labels:
    """A column of names: ``codes`` (int64 per job, -1 none) index ``names``."""

    codes: Ints
    names: tuple[str, ...]

    @classmethod
    def none(cls, n_jobs: int) -> Labels:
        """No job has a name."""
        return cls(np.full(n_jobs, -1, np.int64), ())

    def text(self) -> list[str]:
        """The name of each job, empty where it has none."""
        lookup = [*self.names, ""]
        return [lookup[code] for code in self.codes.tolist()]

    def used(self) -> list[int]:
        """Codes that some job has, ascending."""
        counts = np.bincount(self.codes + 1, minlength=len(self.names) + 1)
        return [code for code, count in enumerate(counts[1:].tolist()) if count]


@dataclass(frozen=True)
class Submissions:
    """Jobs in submit order.

    Attributes
    ----------
    submit_ms, limit_ms : int64[n]
        Milliseconds since the Unix epoch (or since an arbitrary origin), and requested time limit.
    procs : int64[n]
        Processors.
    resources : dict of str to int64[n]
        Further TRES by Slurm's name: ``mem`` (MiB), ``node``, ``gres/gpu``, ``license/NAME``; those that are known.
    user, account, group, qos, queue, partition : Labels
    origin_ms : int
        Time 0 of the trace.
    capacity : dict of str to int
        Size of the whole machine by TRES, ``cpu`` at least.
    critical_path_ms : int64[n], optional
        Time by the limits along the longest chain of jobs that begins with each; its own limit where no job follows another.
    """

    submit_ms: Ints
    limit_ms: Ints
    procs: Ints
    user: Labels
    account: Labels
    group: Labels
    qos: Labels
    queue: Labels
    partition: Labels
    origin_ms: int
    capacity: dict[str, int]
    resources: dict[str, Ints] = field(default_factory=dict)
    critical_path_ms: Ints | None = None

    def __len__(self) -> int:
        return len(self.submit_ms)
