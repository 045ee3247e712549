"""Build and run the C anchor, `anchor/anchor.c`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

SOURCE = Path(__file__).parent / "anchor" / "anchor.c"
POLICIES = ("fcfs", "fcfs-bare", "easy", "easy-inc")


class Measured(NamedTuple):
    """Median rate of the loop alone, starts by row, and how full it got."""

    jobs_per_s: float
    starts: npt.NDArray[np.int64]
    most_running: int
    longest_queue: int


def has_compiler() -> bool:
    """Tell whether there is a C compiler."""
    return shutil.which("cc") is not None


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="anchor-")


@cache
def build() -> Path:
    """Compile the anchor once a process; it goes away with the process."""
    binary = Path(_folder().name) / "anchor"
    subprocess.run(["cc", "-O3", "-std=gnu11", "-Wall", "-Wextra", "-o", str(binary), str(SOURCE)], check=True)
    return binary


def measure(policy: str, arrays: Sequence[npt.ArrayLike], procs: int, *, repeat: int = 5) -> Measured:
    """Replay arrays = (submit, run, limit, procs), in order of submit, on a machine of `procs` processors."""
    rows = np.column_stack([np.asarray(column, dtype=np.int64) for column in arrays])
    with tempfile.TemporaryDirectory(prefix="anchor-") as folder:
        jobs, starts = Path(folder) / "jobs", Path(folder) / "starts"
        rows.tofile(jobs)
        command = [str(build()), policy, str(jobs), str(procs), str(repeat), str(starts)]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        values = dict(zip(words[::2], words[1::2], strict=True))
        return Measured(
            float(values["jobs_per_s"]),
            np.fromfile(starts, dtype=np.int64),
            int(values["most_running"]),
            int(values["longest_queue"]),
        )


def run(
    policy: str, arrays: Sequence[npt.ArrayLike], procs: int, *, repeat: int = 5
) -> tuple[float, npt.NDArray[np.int64]]:
    """Return jobs per second and starts, as `measure` does."""
    measured = measure(policy, arrays, procs, repeat=repeat)
    return measured.jobs_per_s, measured.starts
