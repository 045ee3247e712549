"""Speed of the replay against targets, as a table: ours beside an equivalent C loop, median against median, in one run.

``make bench`` runs it. Rates depend on the machine; what is compared with a target is the ratio to the C loop where there is one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apportion.policy.compile import compile_policy
from apportion.policy.load import load
from apportion.sim.conventions import Conventions
from apportion.sim.replay import run
from apportion.sim.workload import Workload, from_trace
from apportion.traces import read
from apportion.traces.clean import clean
from apportion.traces.synth import burst, steady
from bench import anchor
from real_traces import FOLDERS

REPEAT = 5
TRACES = ("KTH-SP2-1996-2.1-cln", "HPC2N-2002-2.2-cln", "SDSC-DS-2004-2.1-cln", "LCG-2005-1")
RATES = {"multifactor": 300_000, "conservative": 50_000}  # jobs/s; conservative on KTH: 100,000


def workloads() -> Iterator[tuple[str, Workload]]:
    """The archive traces that are at hand, each as one pool, and two deep queues."""
    for name in TRACES:
        for folder in FOLDERS:
            path = folder / f"{name}.swf.gz"
            if path.is_file():
                yield name.split("-2.")[0], from_trace(clean(read(path))[0], Conventions())
    yield "burst of 50,000", from_trace(burst(50_000, procs=1000, seed=1), Conventions())
    yield "steady, load 0.8", from_trace(steady(100_000, 1, 1024, 0.8), Conventions())


def rate(workload: Workload, policy: str, engine: str, repeat: int = REPEAT) -> float:
    """Median jobs/s of the driver's loop alone, warm."""
    rates = []
    for _ in range(repeat + 1):
        compiled = compile_policy(load(policy), workload.jobs)
        begin = time.perf_counter()
        run(workload, compiled, engine)
        rates.append(len(workload) / (time.perf_counter() - begin))
    return statistics.median(rates[1:])


def row(name: str, what: str, ours: float, target: str, figure: str, met: bool) -> None:
    """One line of the table."""
    print(
        f"{name:20} {what:24} {ours:12,.0f} jobs/s  {figure:>18}  target {target:16} {'met' if met else 'MISSED'}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    for name, workload in workloads():
        slow = name.startswith("burst")
        arrays = (workload.jobs.submit_ms, workload.run_ms, workload.jobs.limit_ms, workload.jobs.procs)
        fits = workload.jobs.procs <= workload.jobs.capacity["cpu"]
        for policy in ("fcfs", "easy"):
            ours = rate(workload, policy, "compiled", 1 if slow else REPEAT)
            if anchor.has_compiler():
                columns: list[Any] = [column[fits] for column in arrays]
                theirs = anchor.measure(policy, columns, workload.jobs.capacity["cpu"], repeat=1 if slow else REPEAT)
                ratio = theirs.jobs_per_s / ours
                row(name, f"{policy} against C", ours, "within 1.5x", f"{ratio:.2f}x C's time", ratio <= 1.5)
        if slow:
            continue
        for policy, target in RATES.items():
            wanted = 100_000 if (policy, name) == ("conservative", "KTH-SP2-1996") else target
            ours = rate(workload, policy, "compiled", 2)
            row(name, policy, ours, f">= {wanted:,}", "", ours >= wanted)
        ours = rate(workload, "easy", "simpy", 1)
        row(name, "easy, SimPy", ours, ">= 30,000", "", ours >= 30_000)
    growth(rate)


def growth(measure: Callable[..., float]) -> None:
    """How the cost of a job grows from 10^5 to 10^6 jobs at equal load."""
    small, large = (
        measure(from_trace(steady(n, 1, 1024, 0.8), Conventions()), "easy", "compiled", 2) for n in (100_000, 1_000_000)
    )
    row("10^5 to 10^6 jobs", "cost per job, easy", large, "within 1.5x", f"{small / large:.2f}x", small / large <= 1.5)


if __name__ == "__main__":
    main()
