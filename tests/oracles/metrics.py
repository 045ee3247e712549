"""Metrics the slow way: plain loops that a reader can check by eye."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Job(NamedTuple):
    """One job; ``start`` is None where it never started, ``leave`` when it left the queue."""

    submit: float
    start: float | None
    run: float
    procs: int
    leave: float

    @property
    def end(self) -> float | None:
        return None if self.start is None else self.start + self.run


def jain(values: Sequence[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(v * v for v in values))


def gini(values: Sequence[float]) -> float:
    n = len(values)
    mean = sum(values) / n
    return sum(abs(a - b) for a in values for b in values) / (2 * n * n * mean)


def overlap(a: float, b: float, low: float, high: float) -> float:
    return max(0.0, min(b, high) - max(a, low))


def binned(
    group: Sequence[int],
    n_groups: int,
    spans: Sequence[tuple[float, float]],
    weight: Sequence[float],
    edges: Sequence[float],
) -> list[list[float]]:
    table = [[0.0] * (len(edges) - 1) for _ in range(n_groups)]
    for g, (a, b), w in zip(group, spans, weight, strict=True):
        for k in range(len(edges) - 1):
            table[g][k] += w * overlap(a, b, edges[k], edges[k + 1])
    return table


def lost_capacity(jobs: Sequence[Job], capacity: Sequence[tuple[float, int]], window: tuple[float, float]) -> float:
    """Integral of min(idle, queued processors): looks at the middle of each stretch between events."""
    moments = {*window, *(t for t, _ in capacity)}
    for job in jobs:
        moments |= {job.submit, job.leave} | ({job.start, job.end} if job.start is not None else set())
    inside = sorted(t for t in moments if t is not None and window[0] <= t <= window[1])
    total = 0.0
    for a, b in pairwise(inside):
        middle = (a + b) / 2
        there = 0
        for t, procs in capacity:
            if t <= middle:
                there = procs
        used = sum(j.procs for j in jobs if j.start is not None and j.start <= middle < j.end)
        queued = sum(j.procs for j in jobs if j.submit <= middle < j.leave)
        total += min(max(there - used, 0), queued) * (b - a)
    return total


def fair_start(jobs: Sequence[Job], j: int, capacity: Sequence[tuple[int, int]], *, backfill: bool) -> int | None:
    """Fair start of job ``j``: plan what was there at its submit, in order of submit, on a list of reservations."""
    now = jobs[j].submit
    reserved = [(now, job.end, job.procs) for job in jobs[:j] if job.start is not None and job.start < now < job.end]
    queue = [job for job in jobs[:j] if job.start is not None and job.start >= now and job.end > now] + [jobs[j]]

    def free(t: float) -> int:
        there = 0
        for since, procs in capacity:
            if since <= t:
                there = procs
        return there - sum(procs for a, b, procs in reserved if a <= t < b)

    earliest = now
    begin: float | None = None
    for job in queue:
        marks = sorted({earliest, *(t for t, _ in capacity), *(x for a, b, _ in reserved for x in (a, b))})
        begin = None
        for t in marks:
            if t < earliest:
                continue
            watch = [t] + [x for x in marks if t < x < t + job.run]
            if all(free(x) >= job.procs for x in watch):
                begin = t
                break
        if begin is None:
            continue
        reserved.append((begin, begin + job.run, job.procs))
        if not backfill:
            earliest = begin
    return begin


def fcfs(jobs: Sequence[tuple[int, int, int]], procs: int) -> list[int]:
    """Starts of (submit, run, procs) jobs under strict FCFS."""
    return _in_order(jobs, procs, backfill=False)


def conservative(jobs: Sequence[tuple[int, int, int]], procs: int) -> list[int]:
    """Starts under conservative backfilling with exact estimates: each job takes the first gap at its arrival."""
    return _in_order(jobs, procs, backfill=True)


def _in_order(jobs: Sequence[tuple[int, int, int]], procs: int, *, backfill: bool) -> list[int]:
    taken: list[tuple[int, int, int]] = []
    starts: list[int] = []
    for submit, run, need in jobs:
        first = submit if backfill or not starts else max(submit, starts[-1])
        t = first
        while any(procs - sum(p for a, b, p in taken if a <= x < b) < need for x in range(t, t + max(run, 1))):
            t += 1
        starts.append(t)
        taken.append((t, t + run, need))
    return starts


# Every key of metrics.json, from its definition. Time is walked in units in which nothing changes.


class Entry(NamedTuple):
    """A row of a run: ``start`` is None where the job never began, ``end`` where it neither ended nor left the queue."""

    submit: float
    start: float | None
    end: float | None
    procs: int
    user: str
    account: str
    qos: str
    state: str
    passed: bool


class Setting(NamedTuple):
    """What a run is measured against; all moments of jobs, capacity and window are multiples of ``unit`` seconds."""

    window: tuple[float, float]
    unit: float
    capacity: list[tuple[float, int]]
    account_shares: dict[str, float]
    user_shares: dict[str, float]
    bounds: dict[str, float]


def size_class(procs: int) -> str:
    low = 1
    for high in (1, 4, 16, 64, 256, 1024, 4096, 16384):
        if procs <= high:
            return str(high) if low == high else f"{low}-{high}"
        low = high + 1
    return ">16384"


GROUP: dict[str, Callable[[Entry], str]] = {
    "user": lambda job: job.user,
    "account": lambda job: job.account,
    "qos": lambda job: job.qos,
    "size_class": lambda job: size_class(job.procs),
}


def percentile(values: Sequence[float], part: float) -> float:
    ranked = sorted(values)
    rank = part * (len(ranked) - 1)
    low, high = math.floor(rank), math.ceil(rank)
    return ranked[low] + (rank - low) * (ranked[high] - ranked[low])


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def divided(above: float, below: float) -> float | None:
    return above / below if below > 0 else None


def described(pairs: list[tuple[float, float]]) -> dict[str, float | None]:
    """Statistics of (value, weight) pairs."""
    values = [value for value, _ in pairs]
    centre = mean(values)
    if centre is None:
        return dict.fromkeys(("mean", "area_weighted_mean", "std", "min", "p50", "p90", "p95", "p99", "max"))
    return {
        "mean": centre,
        "area_weighted_mean": divided(sum(v * w for v, w in pairs), sum(w for _, w in pairs)),
        "std": math.sqrt(sum((v - centre) ** 2 for v in values) / len(values)),
        "min": min(values),
        **{f"p{p}": percentile(values, p / 100) for p in (50, 90, 95, 99)},
        "max": max(values),
    }


def everything(jobs: list[Entry], of: Setting) -> dict[str, Any]:
    """All keys but those of fair start times, flat."""
    begin, end = of.window
    seconds = end - begin
    known = [t for job in jobs for t in (job.submit, job.start, job.end) if t is not None]
    horizon = max([*known, end])
    measured = [job for job in jobs if begin <= job.submit <= end]
    ran = [job for job in measured if job.start is not None]
    ended = [job for job in ran if job.end is not None]

    def wait(job: Entry) -> float:
        return job.start - job.submit

    def run(job: Entry) -> float:
        return job.end - job.start

    def area(job: Entry) -> float:
        return 0.0 if job.start is None or job.end is None else job.procs * run(job)

    def until(job: Entry) -> float:
        return math.inf if job.end is None else job.end

    def leaves(job: Entry) -> float:
        if job.start is not None:
            return job.start
        return job.submit if job.state in ("REJECTED", "DROPPED") else until(job)

    ticks = [begin + of.unit * (k + 0.5) for k in range(round(seconds / of.unit))]

    def there(t: float) -> int:
        level = 0
        for since, procs in of.capacity:
            if since <= t:
                level = procs
        return level

    def running(t: float) -> list[Entry]:
        return [job for job in jobs if job.start is not None and job.start <= t < until(job)]

    def queued(t: float) -> list[Entry]:
        return [job for job in jobs if job.submit <= t < leaves(job)]

    found: dict[str, Any] = {"window.from_s": begin, "window.to_s": end, "window.days": seconds / 86400}

    def tell(prefix: str, table: dict[str, Any]) -> None:
        found.update({f"{prefix}.{key}": value for key, value in table.items()})

    states = {"completed": "COMPLETED", "timed_out": "TIMEOUT", "failed": "FAILED", "cancelled": "CANCELLED"}
    states["rejected"] = "REJECTED"
    tell("jobs", {"total": len(jobs), "measured": len(measured), "started": len(ran)})
    tell("jobs", {key: sum(job.state == state for job in measured) for key, state in states.items()})
    found["jobs.other"] = sum(job.state not in states.values() for job in measured)

    tell("service.wait_s", described([(wait(j), area(j)) for j in ran]))
    tell("service.response_s", described([(j.end - j.submit, area(j)) for j in ended]))
    tell("service.slowdown", described([((j.end - j.submit) / run(j), area(j)) for j in ended if run(j) > 0]))
    tell(
        "service.bounded_slowdown",
        described([(max(1.0, (j.end - j.submit) / max(run(j), 10.0)), area(j)) for j in ended]),
    )
    tell(
        "service.per_processor_slowdown",
        described([((j.end - j.submit) / run(j) / j.procs, area(j)) for j in ended if run(j) > 0]),
    )
    tell(
        "service.per_processor_bounded_slowdown",
        described([(max(1.0, (j.end - j.submit) / (j.procs * max(run(j), 10.0))), area(j)) for j in ended]),
    )
    for what, levels in (
        ("jobs", [len(queued(t)) for t in ticks]),
        ("procs", [sum(job.procs for job in queued(t)) for t in ticks]),
    ):
        tell(f"service.queue_{what}", {"mean": mean(levels), "max": max(levels, default=0)})
    ends = [job.end for job in jobs if job.start is not None and job.end is not None]
    per_hour = divided(3600.0 * sum(begin <= t <= end for t in ends), seconds)
    found["service.throughput_jobs_per_h"] = per_hour
    found["service.makespan_s"] = max(ends) - min(job.submit for job in jobs) if ends else None
    found["service.backfilled_fraction"] = mean([float(job.passed) for job in ran])

    capacity = of.unit * sum(there(t) for t in ticks)
    used = of.unit * sum(job.procs for t in ticks for job in running(t))
    lost = of.unit * sum(
        min(max(there(t) - sum(j.procs for j in running(t)), 0), sum(j.procs for j in queued(t))) for t in ticks
    )
    tell("utilization", {"capacity_core_h": capacity / 3600, "used_core_h": used / 3600})
    found["utilization.used_fraction"] = divided(used, capacity)
    found["utilization.loss_of_capacity_fraction"] = divided(lost, capacity)
    for key, mine in (
        ("useful", lambda state: state == "COMPLETED"),
        ("killed", lambda state: state == "TIMEOUT"),
        ("lost", lambda state: state not in ("COMPLETED", "TIMEOUT")),
    ):
        found[f"utilization.{key}_core_h"] = sum(area(job) for job in ended if mine(job.state)) / 3600
    found["utilization.unfinished_core_h"] = (
        sum(job.procs * (horizon - job.start) for job in ran if job.end is None) / 3600
    )

    for by, group_of in GROUP.items():
        rates = []
        for name in sorted({group_of(job) for job in jobs}):
            mine = [job for job in ended if group_of(job) == name]
            stay = sum(job.procs * (job.end - job.submit) for job in mine)
            if stay > 0:
                rates.append(sum(area(job) for job in mine) / stay)
        some = sum(rates) > 0
        tell(f"fairness.{by}", {"groups": len(rates), "jain_service": jain(rates) if some else None})
        found[f"fairness.{by}.gini_service"] = gini(rates) if some else None
    promises: dict[str, float] = {}
    for name, share in of.user_shares.items():
        promises[name.split("/")[1]] = promises.get(name.split("/")[1], 0.0) + share
    for by, promised in (("user", promises), ("account", of.account_shares)):
        tell(f"fairness.{by}", _shares(jobs, by, promised, of, ticks, running, leaves))

    worth = []
    for name in sorted({job.user for job in ran}):
        mine = [job for job in ran if job.user == name]
        if sum(area(job) for job in mine) > 0:
            worth.append(sum(wait(job) for job in mine) / sum(area(job) for job in mine))
    centre = mean(worth)
    squares = None if centre is None else sum((centre - x) ** 2 for x in worth)
    tell("fairness.nuwt", {"users": len(worth), "mean": centre, "sum_of_squares": squares})
    found["fairness.nuwt.std"] = None if squares is None else math.sqrt(squares / len(worth))
    found["fairness.nuwt.p50"] = percentile(worth, 0.5) if worth else None
    found["fairness.nuwt.max"] = max(worth, default=None)

    still = [job for job in measured if job.start is None and math.isinf(leaves(job))]
    patience = [(wait(job), job) for job in ran] + [(horizon - job.submit, job) for job in still]
    longest = max((w for w, _ in patience), default=None)
    # of several that waited as long, the one submitted first
    worst = [jobs.index(job) + 1 for w, job in patience if w == longest]
    tell("starvation", {"longest_wait_s": longest, "longest_wait_job": min(worst, default=None)})
    tell("starvation", {"over_1_day_jobs": sum(w > 86400 for w, _ in patience)})
    tell("starvation", {"over_7_days_jobs": sum(w > 7 * 86400 for w, _ in patience), "still_waiting_jobs": len(still)})
    over = sum(w > of.bounds.get(job.qos, math.inf) for w, job in patience)
    found["starvation.over_wait_bound_jobs"] = over if of.bounds else None
    for by in ("qos", "size_class"):
        for name in {GROUP[by](job) for _, job in patience}:
            mine = [w for w, job in patience if GROUP[by](job) == name]
            table = {"jobs": len(mine), "longest_wait_s": max(mine), "wait_p99_s": percentile(mine, 0.99)}
            tell(f"starvation.{by}.{name}", table)
    return found


def _shares(
    jobs: list[Entry],
    by: str,
    promised: dict[str, float],
    of: Setting,
    ticks: list[float],
    running: Callable[[float], list[Entry]],
    leaves: Callable[[Entry], float],
) -> dict[str, float | None]:
    names = ("jain_usage_per_share", "gini_usage_per_share")
    names += ("share_error_mean", "share_error_demand_mean", "share_error_final")
    result: dict[str, float | None] = dict.fromkeys(names)
    if not promised:
        return result
    total = sum(promised.values())
    groups = sorted({GROUP[by](job) for job in jobs} | set(promised))
    target = {name: promised.get(name, 0.0) / total for name in groups}

    def used(name: str, when: list[float]) -> float:
        return of.unit * sum(job.procs for t in when for job in running(t) if GROUP[by](job) == name)

    def asked(name: str, when: list[float]) -> bool:
        def gone(job: Entry) -> float:
            if job.start is None:
                return leaves(job)
            return math.inf if job.end is None else job.end

        return any(GROUP[by](job) == name and job.submit <= t < gone(job) for job in jobs for t in when)

    def error(due: dict[str, float], when: list[float]) -> float:
        delivered = sum(used(name, when) for name in groups)
        return sum(abs(due[name] - used(name, when) / delivered) for name in groups) / 2

    uses = [used(name, ticks) / target[name] for name in groups if target[name] > 0 and asked(name, ticks)]
    if sum(uses) > 0:
        result["jain_usage_per_share"], result["gini_usage_per_share"] = jain(uses), gini(uses)
    if sum(used(name, ticks) for name in groups) == 0:
        return result
    result["share_error_final"] = error(target, ticks)
    plain, aware = [], []
    for day in sorted({(t - of.window[0]) // 86400 for t in ticks}):
        when = [t for t in ticks if (t - of.window[0]) // 86400 == day]
        delivered = sum(used(name, when) for name in groups)
        if delivered == 0:
            continue
        plain.append((error(target, when), delivered))
        live = sum(target[name] for name in groups if asked(name, when))
        if live > 0:
            due = {name: target[name] / live if asked(name, when) else 0.0 for name in groups}
            aware.append((error(due, when), delivered))
    result["share_error_mean"] = described(plain)["area_weighted_mean"]
    result["share_error_demand_mean"] = described(aware)["area_weighted_mean"]
    return result


def fair_start_numbers(late: list[float], eligible: int) -> dict[str, float | None]:
    """Statistics of how much later than fair the sampled jobs started."""
    unfair = [value for value in late if value > 0]
    return {
        "sampled_jobs": len(late),
        "sampled_fraction": divided(len(late), eligible),
        "unfair_fraction": mean([float(value > 0) for value in late]),
        "mean_unfairness_s": mean(late),
        "mean_of_unfair_s": mean(unfair),
        "p95_unfairness_s": percentile(late, 0.95) if late else None,
        "max_unfairness_s": max(late, default=None),
    }
