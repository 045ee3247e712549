"""Replay N synthetic jobs at a constant load in a process of its own: ``scale.py N [REPEAT]`` prints jobs/s and bytes per job.

Counted is everything the process takes at its peak above what it held after its imports and a small warm replay: the arrays of the
workload, the compiled state and the driver's arrays. Not counted, since there is none: the trace that jobs would be read from.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apportion.policy.compile import compile_policy
from apportion.policy.load import load
from apportion.sim.replay import run
from bench.synthetic import steady

POLICY = "easy"


def memory_bytes(field: str) -> int:
    """One line of /proc/self/status. getrusage would not do: a process inherits the peak of the one that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def main(n_jobs: int, repeat: int) -> None:
    """Measure and print."""
    policy = load(POLICY)
    small = steady(1000)
    run(small, compile_policy(policy, small.jobs))
    base = memory_bytes("VmRSS")
    workload = steady(n_jobs)
    seconds = []
    for _ in range(repeat):
        compiled = compile_policy(policy, workload.jobs)
        seconds.append(run(workload, compiled).loop_s)
        del compiled
    peak = memory_bytes("VmHWM")
    print(n_jobs / statistics.median(seconds), (peak - base) / n_jobs)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
