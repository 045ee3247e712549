"""Jobs of the naive oracles through the real path: a policy from plain data, compiled, replayed by the compiled driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.policy.compile import Compiled, compile_policy
from apportion.policy.load import from_dict
from apportion.policy.workload import Labels, Submissions
from apportion.sim import compiled
from apportion.sim.releases import releases_of
from apportion.sim.replay import room_for_ends
from oracles.jobs import Job, Pool, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apportion.policy.model import Policy
    from apportion.sim.compiled import World
    from apportion.sim.releases import Precedence

NOTHING: dict[str, Any] = {}


def labels(names: Sequence[str]) -> Labels:
    """A column of names, "" for none, coded in order of appearance."""
    known = tuple(dict.fromkeys(name for name in names if name))
    code = {name: k for k, name in enumerate(known)} | {"": -1}
    return Labels(np.array([code[name] for name in names], np.int64), known)


def by_submit(jobs: Sequence[Job]) -> list[Job]:
    """The order in which a driver holds jobs, which is that of the core's indices."""
    return sorted(jobs, key=lambda job: (job.submit, job.id))


def submissions(
    jobs: Sequence[Job],
    procs: int = 1,
    *,
    origin_ms: int = 0,
    nodes: Callable[[Job], int] | None = None,
    **names: Callable[[Job], str],
) -> Submissions:
    """Jobs in submit order as a policy is compiled for them; ``names`` give account, qos, ..., of a job."""
    jobs = by_submit(jobs)
    given = {"user": lambda job: f"u{job.user}", "partition": lambda job: f"p{job.pool}", **names}
    columns = {
        name: labels([given[name](job) for job in jobs]) if name in given else Labels.none(len(jobs))
        for name in ("user", "account", "group", "qos", "queue", "partition")
    }

    def column(of: Callable[[Job], int]) -> Any:
        return np.array([of(job) for job in jobs], np.int64)

    resources = {"mem": column(lambda job: job.mem), "gres/gpu": column(lambda job: job.gpus)}
    if nodes is not None:
        resources["node"] = column(nodes)
    return Submissions(
        submit_ms=column(lambda job: job.submit + origin_ms),
        limit_ms=column(lambda job: job.limit),
        procs=column(lambda job: job.procs),
        **columns,
        origin_ms=origin_ms,
        capacity={"cpu": procs},
        resources=resources,
    )


def machine(pools: Sequence[Pool], windows: Sequence[Window] = ()) -> dict[str, Any]:
    """Keys of a policy for these pools (partition pK is pool K) and windows (whole seconds)."""
    keys: dict[str, Any] = {}
    vectors = any(pool.mem or pool.gpus for pool in pools)

    def tres(need: tuple[int, int, int]) -> dict[str, int]:
        return {"cpu": need[0]} | ({"mem": need[1], "gres/gpu": need[2]} if vectors else {})

    if len(pools) > 1:
        keys["partitions"] = [
            {"PartitionName": f"p{place}", "TRES": tres(pool.capacity)} for place, pool in enumerate(pools)
        ]
    else:
        keys["TRES"] = tres(pools[0].capacity)
    if windows:
        keys["reservations"] = [
            {
                "ReservationName": f"w{k}",
                "StartTime": f"now+{window.start // 1000}seconds",
                "Duration": f"0:{(window.end - window.start) // 1000}",
                "TRES": tres(window.need),
                "Flags": "MAINT",
            }
            | ({"PartitionName": f"p{window.pool}"} if len(pools) > 1 else {})
            for k, window in enumerate(windows)
        ]
    return keys


def world(
    jobs: Sequence[Job],
    policy: Compiled,
    origin_ms: int = 0,
    precedence: Precedence | None = None,
    failures: Sequence[tuple[int, int, int]] = (),
) -> World:
    """What will happen to the jobs; ``failures`` : time, code and subject of events FAIL, RETURN and LOSS, in order."""
    jobs = by_submit(jobs)
    columns = np.array(failures, np.int64).reshape(-1, 3)
    cancels = sorted((job.cancel + origin_ms, k) for k, job in enumerate(jobs) if job.cancel is not None)
    steps = np.array([step[:2] for step in policy.capacity_steps], np.int64).reshape(-1, 2)
    room = room_for_ends(policy)
    arrives = np.arange(len(jobs)) if precedence is None else np.flatnonzero(~precedence.follows)
    return compiled.World(
        run=np.array([job.run for job in jobs], np.int64),
        end=np.full(len(jobs), -1, np.int64),
        arrival_time=policy.state.jobs.submit[arrives],
        arrival_job=arrives,
        cancel_time=np.array([time for time, _ in cancels], np.int64),
        cancel_job=np.array([k for _, k in cancels], np.int64),
        capacity_time=np.ascontiguousarray(steps[:, 0]),
        capacity_pool=np.ascontiguousarray(steps[:, 1]),
        failure_time=columns[:, 0].copy(),
        failure_code=columns[:, 1].copy(),
        failure_subject=columns[:, 2].copy(),
        end_time=np.zeros(room, np.int64),
        end_job=np.zeros(room, np.int64),
        releases=releases_of(precedence),
        at=np.zeros(6, np.int64),
    )


class Run:
    """A finished replay; columns are in order of job id. ``stuck`` : it had not come to its end after so many instants."""

    def __init__(
        self, policy: Policy, jobs: Sequence[Job], table: Submissions, instants: int = 200_000, *, until_ms: int = NEVER
    ) -> None:
        self.compiled = compile_policy(policy, table)
        self.state = self.compiled.state
        self.jobs = by_submit(jobs)
        happenings = world(jobs, self.compiled, table.origin_ms)
        core, around = handle(self.state), handle(happenings)
        self.stuck = True
        while self.stuck and instants > 0 and int(self.state.clock.now[0]) < until_ms:
            self.stuck = not compiled.replay(core, around, min(instants, 20_000))
            instants -= 20_000
        self.end = self._by_id(happenings.end, table.origin_ms)
        self.starts = self._by_id(self.state.live.start, table.origin_ms)
        self.first_plan = self._by_id(self.state.live.first_plan, table.origin_ms)
        self.digest: tuple[int, int] = tuple(self.state.digest.tolist())

    def _by_id(self, column: Any, origin_ms: int) -> list[int]:
        found = [
            (job.id, value - origin_ms if value >= 0 else -1) for job, value in zip(self.jobs, column, strict=True)
        ]
        return [int(value) for _, value in sorted(found)]


def run(
    jobs: Sequence[Job],
    pools: int | Sequence[Pool],
    order: str = "fcfs",
    backfill: str = "none",
    *,
    windows: Sequence[Window] = (),
    max_jobs_per_user: int | None = None,
    names: dict[str, Callable[[Job], str]] = NOTHING,
    nodes: Callable[[Job], int] | None = None,
    origin_ms: int = 0,
    **keys: Any,
) -> Run:
    """Replay jobs under a policy; ``keys`` are further keys of the policy."""
    pools = [Pool(pools)] if isinstance(pools, int) else list(pools)
    data: dict[str, Any] = {"Order": order, "Backfill": backfill, **machine(pools, windows), **keys}
    if max_jobs_per_user is not None:
        data |= {"qos": [{"Name": "normal", "MaxJobsPU": max_jobs_per_user}], "DefaultQOS": "normal"}
    table = submissions(jobs, pools[0].procs, nodes=nodes, origin_ms=origin_ms, **names)
    done = Run(from_dict(data), jobs, table)
    assert not done.stuck, "the replay does not end"
    return done
