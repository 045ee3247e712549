"""Speed against its targets, as a table: medians of one run, ours beside an equivalent C loop where the target is a ratio.

``make bench`` runs it all; ``bench_replay.py [--quick] [WORD...]`` only the rows whose names hold each word. What is a rate or a time
depends on the machine; a ratio does not, since ours and C's take turns on one processor.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from apportion.policy.compile import compile_policy
from apportion.policy.load import from_dict, load
from apportion.sim.conventions import Conventions
from apportion.sim.federation.compile import compile_federation
from apportion.sim.federation.replay import run as run_federation
from apportion.sim.federation.source import read_input
from apportion.sim.replay import run
from apportion.sim.scenario import load_scenario
from apportion.sim.workload import Workload, from_trace
from apportion.traces import read
from apportion.traces.clean import clean
from apportion.traces.synth import burst
from bench import anchor, deep_federation
from bench.synthetic import many_running, steady
from real_traces import FOLDERS

TRACES = ("KTH-SP2-1996-2.1-cln", "HPC2N-2002-2.2-cln", "SDSC-DS-2004-2.1-cln", "LCG-2005-1")
DEEP = ("burst of 50,000", "5,000 running")
RIVALS = {"fcfs": "fcfs-bare", "easy": "easy-inc"}  # what C can do beyond the loop that the target names
CONSERVATIVE = {"KTH-SP2-1996-2.1-cln": 100_000, "HPC2N-2002-2.2-cln": 50_000}  # jobs/s
WHOLE = "KTH-SP2-1996-2"
WIDE = "2,000 nodes of 16"  # synthetic
NODES = {
    "KTH-SP2-1996-2.1-cln": (100, 1),
    "HPC2N-2002-2.2-cln": (120, 2),
    WIDE: (2000, 16),
}  # nodes, processors of each
APPORTION = f"{sys.prefix}/bin/apportion"


class Row(NamedTuple):
    """A figure beside its target; without a target nothing is met or missed."""

    figure: str
    target: str = ""
    met: bool | None = None


class UnmeasuredError(Exception):
    """Why a row has no figure."""


Measure = Callable[[], Iterable[Row]]


# What is replayed


def path_of(name: str) -> Path:
    """Where an archive trace lies."""
    for folder in FOLDERS:
        if (folder / f"{name}.swf.gz").is_file():
            return folder / f"{name}.swf.gz"
    raise UnmeasuredError(f"no {name}.swf.gz in APPORTION_TRACES")


@cache
def workload_of(name: str) -> Workload:
    """An archive trace as one pool, or a deep queue."""
    if name == DEEP[0]:
        return from_trace(burst(50_000, procs=1000, seed=1), Conventions())
    if name == DEEP[1]:
        return many_running()
    return from_trace(clean(read(path_of(name)))[0], Conventions())


# Rows


def replay_s(workload: Workload, policy: str, engine: str = "compiled") -> tuple[float, np.ndarray]:
    """Seconds of the driver's loop alone, and the starts. Memory is touched before, as C's is."""
    compiled = compile_policy(load(policy), workload.jobs)
    for table in compiled.state:
        for column in table if isinstance(table, tuple) else (table,):
            if isinstance(column, np.ndarray):
                column.reshape(-1)[:: 4096 // column.itemsize] += 0
    schedule = run(workload, compiled, engine)
    return schedule.loop_s, schedule.start_ms


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Keep this process and those that it starts on one processor: on a shared machine the others may be half as fast, or twice."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@on_one_processor()
def against_c(name: str, policy: str, rounds: int) -> list[Row]:
    """Compare with the C loops in turns; all must come to the same schedule."""
    if not anchor.has_compiler():
        raise UnmeasuredError("no C compiler (cc)")
    workload = workload_of(name)
    jobs, machine = workload.jobs, workload.jobs.capacity["cpu"]
    fits = jobs.procs <= machine  # the others are rejected on arrival
    columns = [column[fits] for column in (jobs.submit_ms, workload.run_ms, jobs.limit_ms, jobs.procs)]
    replay_s(workload, policy)
    ours, theirs = [], {kind: [] for kind in (policy, RIVALS[policy])}
    for _ in range(rounds):
        seconds, starts = replay_s(workload, policy)
        repeat = 1 if seconds > 1 else 3  # of each in a turn, so that neither is alone in starting cold
        ours.append(statistics.median([seconds, *(replay_s(workload, policy)[0] for _ in range(repeat - 1))]))
        for kind, of_kind in theirs.items():
            measured = anchor.measure(kind, columns, machine, repeat=repeat)
            of_kind.append(len(columns[0]) / measured.jobs_per_s)
            if not np.array_equal(starts[fits], measured.starts):
                raise UnmeasuredError(f"{kind} in C comes to another schedule")
    own = len(fits) / statistics.median(ours)
    rows = []
    for kind, of_kind in theirs.items():
        ratio = statistics.median(mine / c for mine, c in zip(ours, of_kind, strict=True))  # a slow spell meets both
        figure = f"{ratio:.2f}x C's `{kind}` ({own:,.0f} against {len(fits) / statistics.median(of_kind):,.0f} jobs/s)"
        rows.append(Row(figure, "<= 1.5x", ratio <= 1.5) if kind == policy else Row(figure))
    return rows


def rate(name: str, policy: str, engine: str, target: int | None, rounds: int) -> Iterator[Row]:
    """Jobs per second, warm."""
    workload = workload_of(name)
    seconds = [replay_s(workload, policy, engine)[0] for _ in range(rounds + 1)][1:]
    ours = len(workload) / statistics.median(seconds)
    figure = f"{ours:,.0f} jobs/s"
    yield Row(figure) if target is None else Row(figure, f">= {target:,}", ours >= target)


def on_nodes(name: str, n: int, cpus: int, select: str, rounds: int, backfill: str = "easy") -> Iterator[Row]:
    """Cost of a backfill on nodes beside the same on the pool of their processors, in turns; the target is for EASY."""
    workload = steady(60_000, machine=n * cpus, load=0.95) if name == WIDE else workload_of(name)
    policies = (
        from_dict({"Backfill": backfill, "TRES": f"cpu={n * cpus}"}),
        from_dict({"Backfill": backfill, "SelectType": select, "nodes": [{"NodeName": f"n[1-{n}]", "CPUs": cpus}]}),
    )
    found = []
    for _ in range(rounds + 1):
        pool, nodes = (run(workload, compile_policy(policy, workload.jobs)).loop_s for policy in policies)
        found.append((nodes / pool, len(workload) / nodes))
    ratio, rate = (statistics.median(column) for column in zip(*found[1:], strict=True))
    figure = f"{ratio:.1f}x the time of a pool ({rate:,.0f} jobs/s)"
    yield Row(figure, "<= 10x", ratio <= 10) if backfill == "easy" else Row(figure)


def scale(largest: int, rounds: int) -> Iterator[Row]:
    """Cost and memory of a job as their number grows, each size in processes of its own that take turns."""
    if not Path("/proc/self/status").exists():
        raise UnmeasuredError("memory is read from /proc, which this system does not have")
    sizes = [size for size in (100_000, 1_000_000, 10_000_000) if size <= largest]
    script = Path(__file__).with_name("scale.py")
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            command = [sys.executable, str(script), str(size), str(max(1, 500_000 // size))]
            words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            found[size].append((float(words[0]), float(words[1])))
    rates = [statistics.median(jobs_per_s for jobs_per_s, _ in found[size]) for size in sizes]
    spread = max(rates) / min(rates)
    yield Row(
        f"{spread:.2f}x from {sizes[0]:,} to {largest:,} jobs ({', '.join(f'{one:,.0f}' for one in rates)} jobs/s)",
        "<= 1.5x",
        spread <= 1.5,
    )
    each = statistics.median(size for _, size in found[largest])
    full = largest == 10_000_000
    yield Row(f"{each:,.0f} bytes per job at {largest:,}", "<= 250" if full else "", each <= 250 if full else None)


def deep_queue(rounds: int) -> Iterator[Row]:
    """Passes of a broker with 100,000 pending jobs, 20 centers of 5 partitions and 1,000 accounts."""
    found = [deep_federation.passes() for _ in range(rounds)]
    full, arrival, end = (
        statistics.median(getattr(one, name) for one in found) for name in deep_federation.Passes._fields[:3]
    )
    yield Row(f"{full:.1f} ms a full pass, {found[0].pending:,} pending", "< 50 ms", full < 50)
    yield Row(f"{arrival:.2f} ms after an arrival", "< 1 ms", arrival < 1)
    yield Row(f"{end:.2f} ms after an end", "< 1 ms", end < 1)


def more_centers(rounds: int) -> Iterator[Row]:
    """The same jobs in ten times the centers."""
    ratio = statistics.median(deep_federation.growth() for _ in range(rounds))
    yield Row(f"{ratio:.2f}x the time with 30 centers instead of 3", "<= 12x", ratio <= 12)


def preset(engine: str, target_s: float, rounds: int) -> Iterator[Row]:
    """Replay three real centers with a broker between them: the loop alone."""
    for name in ("HPC2N-2002-2.2-cln", "LPC-EGEE-2004-1.2-cln", "SDSC-DS-2004-2.1-cln"):
        path_of(name)
    given = read_input(load_scenario("europe-us-2004"), Conventions())
    seconds = []
    for _ in range(rounds + 1):
        compiled = compile_federation(given.scenario, given.workload, given.moves)
        seconds.append(run_federation(given.workload, compiled, engine).loop_s)
    ours = statistics.median(seconds[1:])
    yield Row(f"{ours:.2f} s for {len(given.workload):,} jobs", f"< {target_s:g} s", ours < target_s)


def reading(name: str, rounds: int) -> Iterator[Row]:
    """Read an uncompressed SWF."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plain = Path(folder) / f"{name}.swf"
        with gzip.open(path_of(name)) as source, plain.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        lines = plain.read_bytes().count(b"\n")
        seconds = []
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            read(plain)
            seconds.append(time.perf_counter() - begin)
        ours = lines / statistics.median(seconds[1:])
        yield Row(f"{ours:,.0f} lines/s of {lines:,}", ">= 1,000,000", ours >= 1_000_000)


def process_s(*words: str, **variables: str) -> tuple[float, str]:
    """Seconds of a whole process, and what it said. Bytecode is kept from run to run, as it is for a user."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    ended = subprocess.run(
        [APPORTION, *words],
        check=False,
        env=kept | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - begin
    if ended.returncode:
        raise UnmeasuredError(f"apportion {' '.join(words)} failed: {ended.stdout.strip()}")
    return seconds, ended.stdout


def help_text(rounds: int) -> Iterator[Row]:
    """Ask for help."""
    ours = statistics.median([process_s("--help")[0] for _ in range(rounds + 1)][1:])
    yield Row(f"{ours:.3f} s", "< 0.3 s", ours < 0.3)


def whole(rounds: int) -> Iterator[Row]:
    """Replay from start to report, the core compiled before."""
    path_of(TRACES[0])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        seconds = [process_s("replay", WHOLE, "--out", f"{folder}/{k}")[0] for k in range(rounds + 1)]
        ours = statistics.median(seconds[1:])
    yield Row(f"{ours:.2f} s", "< 3 s", ours < 3)


def first_run(policy: str) -> Iterator[Row]:
    """Replay from start to report, nothing compiled; one run."""
    path_of(TRACES[0])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ours, said = process_s(
            "replay", WHOLE, "--policy", policy, "--out", f"{folder}/run", NUMBA_CACHE_DIR=f"{folder}/cache"
        )
    told = "compil" in said.lower().split("jobs on")[0]
    yield Row(
        f"{ours:.0f} s, {'which a line explains' if told else 'and no line explains it'}",
        "< 60 s, a line says why",
        ours < 60 and told,
    )


def cases(*, quick: bool) -> Iterator[tuple[str, Measure]]:
    """Name and measurement of each row."""
    few, some, many = (1, 2, 3) if quick else (3, 5, 9)
    for policy in RIVALS:
        for name in TRACES:
            yield f"{policy} against C, {name}", partial(against_c, name, policy, many)
        for name in DEEP:
            yield f"{policy} against C, {name}", partial(against_c, name, policy, few)
    for name in TRACES:
        yield f"multifactor + Fair Tree + EASY, {name}", partial(rate, name, "multifactor", "compiled", 300_000, some)
    for name in TRACES:
        wanted = CONSERVATIVE.get(name)
        yield f"conservative, {name}", partial(rate, name, "conservative", "compiled", wanted, some)
    for name in TRACES:
        yield f"EASY in SimPy, {name}", partial(rate, name, "easy", "simpy", 30_000, few)
    for name, (n, cpus) in NODES.items():
        for select in ("select/cons_tres", "select/linear"):
            yield f"{select}, {name}", partial(on_nodes, name, n, cpus, select, few)
    for backfill in ("conservative", "slurm"):
        work = partial(on_nodes, TRACES[0], *NODES[TRACES[0]], "select/cons_tres", 1, backfill)
        yield f"{backfill}, select/cons_tres, {TRACES[0]}", work
    yield "cost and memory of a job", partial(scale, 1_000_000 if quick else 10_000_000, few)
    yield "broker, deep queue", partial(deep_queue, few)
    yield "broker, ten times the centers", partial(more_centers, few)
    yield "europe-us-2004, compiled", partial(preset, "compiled", 10, some)
    yield "europe-us-2004, SimPy", partial(preset, "simpy", 60, 1)
    for name in TRACES:
        yield f"reading SWF, {name}", partial(reading, name, some)
    yield "apportion --help", partial(help_text, many)
    yield f"apportion replay {WHOLE}, warm", partial(whole, some)
    if not quick:
        for policy in ("easy", "multifactor"):  # one without, one with what most kernels are about
            yield f"apportion replay {WHOLE}, first run, {policy}", partial(first_run, policy)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure speed against the targets.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="measure only rows whose names hold all of these")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 10^6 jobs, no first run")
    options = parser.parse_args()
    for name, measure in cases(quick=options.quick):
        if not all(word.lower() in name.lower() for word in options.words):
            continue
        try:
            for figure, target, met in measure():
                verdict = "" if met is None else "met" if met else "MISSED"
                print(f"{name:52} {verdict:6}  {target:23}  {figure}", flush=True)
        except UnmeasuredError as why:
            print(f"{name:52} not measured: {why}", flush=True)


if __name__ == "__main__":
    main()
