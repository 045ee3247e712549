"""Limits of associations and QOS the plain way: dictionaries, sums over lists of jobs, and one rule after the other.

Written from the text (Slurm's "Resource Limits", "QOS" and sacctmgr(1)), not from the kernels. A limit is
``(name, tres) -> value`` in units of a policy: TRES, TRES-minutes, jobs, seconds of wall time, None for no TRES.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Order of enforcement within QOS and within associations.
SUBMIT_QOS = ("GrpSubmitJobs", "MaxSubmitJobsPA", "MaxSubmitJobsPU")
SUBMIT_ASSOC = ("GrpSubmitJobs", "MaxSubmitJobs")
START_QOS = (
    "UsageThreshold",
    "GrpJobs",
    "GrpWall",
    "MaxJobsPA",
    "MaxJobsPU",
    "MaxWall",
    "GrpTRES",
    "GrpTRESMins",
    "GrpTRESRunMins",
    "MaxTRESMinsPerJob",
    "MaxTRESPerJob",
    "MaxTRESPerNode",
    "MinTRESPerJob",
    "MaxTRESPA",
    "MaxTRESPU",
)
START_ASSOC = (
    "GrpJobs",
    "GrpWall",
    "MaxJobs",
    "MaxWall",
    "GrpTRES",
    "GrpTRESMins",
    "GrpTRESRunMins",
    "MaxTRESMinsPerJob",
    "MaxTRESPerJob",
    "MaxTRESPerNode",
)
# Where a QOS sets the limit on the right, the one of the association does not count.
QOS_NAME = {"MaxJobs": "MaxJobsPU", "MaxSubmitJobs": "MaxSubmitJobsPU", "MaxJobsAccrue": "MaxJobsAccruePU"}


@dataclass(eq=False)  # two jobs that ask for the same are still two
class Job:
    assoc: int
    qos: int
    partition: int
    limit_ms: int
    tres: dict[str, int]  # cpu, mem, node, gres/gpu, billing (thousandths)
    start: int = -1
    seen: int = -1
    ageing_since: int = -1


@dataclass
class Qos:
    limits: dict[tuple[str, str | None], int] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    usage_factor: float = 1.0
    limit_factor: float | None = None
    threshold: float | None = None


@dataclass
class Partition:
    qos: int = -1
    max_time_ms: int | None = None
    max_nodes: int | None = None
    min_nodes: int | None = None
    state: str = "UP"


@dataclass
class World:
    parent: list[int]
    user_of: list[int]
    account_of: list[int]
    assoc_limits: list[dict[tuple[str, str | None], int]]
    qos: list[Qos]
    partitions: list[Partition]
    tres: tuple[str, ...]
    safe: bool = False
    pending: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    used_s: dict[tuple[int, str], float] = field(default_factory=dict)
    wall_s: dict[int, float] = field(default_factory=dict)
    fairshare: dict[int, float] = field(default_factory=dict)

    # Places: ("qos", q) or ("assoc", i), as numbers: associations first.

    def chain(self, assoc: int) -> list[int]:
        places = []
        while assoc != -1:
            places.append(assoc)
            assoc = self.parent[assoc]
        return places

    def two_qos(self, job: Job) -> list[int]:
        part = self.partitions[job.partition].qos
        found = [part, job.qos]
        if job.qos != -1 and "OverPartQOS" in self.qos[job.qos].flags:
            found.reverse()
        once: list[int] = []
        for q in found:
            if q != -1 and q not in once:
                once.append(q)
        return once

    def places(self, job: Job) -> list[int]:
        return [len(self.parent) + q for q in self.two_qos(job)] + self.chain(job.assoc)

    def jobs_at(self, jobs: list[Job], place: int) -> list[Job]:
        return [other for other in jobs if place in self.places(other)]

    def factor(self, job: Job) -> float:
        return self.qos[job.qos].usage_factor if job.qos != -1 else 1.0

    # What is compared.

    def whole_s(self, job: Job, tres: str) -> int:
        factor = 1.0
        if job.qos != -1 and "UsageFactorSafe" in self.qos[job.qos].flags:
            factor = self.factor(job)
        return math.floor(job.tres[tres] * math.ceil(job.limit_ms / 1000) * factor + 0.5)

    def left_of(self, job: Job, tres: str, at: int) -> int:
        ms = max(0, job.start + job.limit_ms - at)
        return math.floor(job.tres[tres] * math.ceil(ms / 1000) * self.factor(job) + 0.5)

    def left_s(self, place: int, tres: str) -> int:
        return sum(self.left_of(other, tres, other.seen) for other in self.jobs_at(self.running, place))

    def judge(
        self, job: Job, name: str, tres: str | None, limit: int, place: int, alone: bool
    ) -> tuple[bool, int, int, int]:
        """Held?, limit, in use, asked; times in the units of the tables."""
        is_assoc = place < len(self.parent)
        running = [] if alone else self.jobs_at(self.running, place)
        pending = [] if alone else self.jobs_at(self.pending, place)
        if tres is not None:
            asked = job.tres[tres]
            limit *= 1000 if tres == "billing" else 1
            if is_assoc and job.qos != -1 and name in {"GrpTRES", "MaxTRESPerJob", "MaxTRESPerNode"}:
                stretch = self.qos[job.qos].limit_factor
                if stretch is not None:
                    limit = math.floor(limit * stretch + 1e-9)
            if name.endswith(("Mins", "MinsPerJob")):
                limit *= 60
            if name == "MinTRESPerJob":
                return asked < limit, limit, 0, asked
            if asked == 0:
                return False, limit, 0, 0
            if name == "GrpTRES":
                used = sum(other.tres[tres] for other in running)
            elif name == "MaxTRESPU":
                used = sum(other.tres[tres] for other in running if self.same_user(other, job))
            elif name == "MaxTRESPA":
                used = sum(other.tres[tres] for other in running if self.same_account(other, job))
            elif name == "MaxTRESPerJob":
                used = 0
            elif name == "MaxTRESPerNode":
                used = 0
                asked = math.ceil(asked / job.tres["node"]) if job.tres["node"] > 0 else 0
            elif name == "MaxTRESMinsPerJob":
                used, asked = 0, self.whole_s(job, tres)
            elif name == "GrpTRESRunMins":
                used = 0 if alone else self.left_s(place, tres)
                asked = math.floor(asked * math.ceil(job.limit_ms / 1000) * self.factor(job) + 0.5)
            else:
                asked = self.whole_s(job, tres)
                spent = 0.0 if alone else self.used_s.get((place, tres), 0.0)
                left = self.left_s(place, tres) if self.safe and not alone else 0
                held = spent >= limit or (self.safe and spent + left + asked > limit)
                return held, limit, int(spent) + left, asked
            return used + asked > limit, limit, used, asked
        if name == "UsageThreshold":
            have = math.floor(self.fairshare[job.assoc] * 1e6 + 0.5)
            return not alone and have < limit, limit, have, 0
        if name == "GrpWall":
            spent = 0.0 if alone else self.wall_s.get(place, 0.0)
            return spent >= limit, limit, int(spent), 0
        if name == "MaxWall":
            return job.limit_ms > limit * 1000, limit * 1000, 0, job.limit_ms
        counted = running + pending if "Submit" in name else running
        if name.endswith("PU"):
            counted = [other for other in counted if self.same_user(other, job)]
        elif name.endswith("PA"):
            counted = [other for other in counted if self.same_account(other, job)]
        return len(counted) + 1 > limit, limit, len(counted), 1

    def same_user(self, a: Job, b: Job) -> bool:
        return a.assoc != -1 and self.user_of[a.assoc] == self.user_of[b.assoc]

    def same_account(self, a: Job, b: Job) -> bool:
        return a.assoc != -1 and self.account_of[a.assoc] == self.account_of[b.assoc]

    # Which limits apply, and from where.

    def limits_of_qos(self, q: int) -> dict[tuple[str, str | None], int]:
        found = dict(self.qos[q].limits)
        threshold = self.qos[q].threshold
        if threshold is not None and "EnforceUsageThreshold" in self.qos[q].flags:
            found["UsageThreshold", None] = round(threshold * 1e6)
        return {key: value for key, value in found.items() if value != -1}

    def applying(
        self, job: Job, qos_names: tuple[str, ...], assoc_names: tuple[str, ...]
    ) -> list[tuple[str, str | None, int, int, int]]:
        """(name, tres, value, place that sets it, place where it is counted)."""
        found: list[tuple[str, str | None, int, int, int]] = []
        n = len(self.parent)
        by_owner = ("UsageThreshold", "MaxJobsPA", "MaxJobsPU", "MaxTRESPA", "MaxTRESPU")
        for name in qos_names:
            for tres in (None, *self.tres):
                for q in self.two_qos(job):
                    value = self.limits_of_qos(q).get((name, tres))
                    if value is None or (job.assoc == -1 and name in (*by_owner, "MaxSubmitJobsPU", "MaxSubmitJobsPA")):
                        continue
                    found.append((name, tres, value, n + q, n + q))
                    if not name.startswith("Grp"):
                        break
        for name in assoc_names:
            for tres in (None, *self.tres):
                if not name.startswith("Grp") and any(
                    (QOS_NAME.get(name, name), tres) in self.limits_of_qos(q) for q in self.two_qos(job)
                ):
                    continue
                for place in self.chain(job.assoc):
                    value = self.assoc_limits[place].get((name, tres), -1)
                    if value == -1:
                        continue
                    if name.startswith("Grp"):
                        found.append((name, tres, value, place, place))
                    else:
                        found.append((name, tres, value, place, job.assoc))
                        break
        return found

    def partition_rows(self, job: Job) -> list[tuple[bool, tuple[str, int, str | None, int, int, int]]]:
        part = self.partitions[job.partition]
        flags = self.qos[job.qos].flags if job.qos != -1 else frozenset()
        nodes = job.tres["node"]
        rows: list[tuple[bool, tuple[str, int, str | None, int, int, int]]] = []
        if part.state in {"DOWN", "INACTIVE"}:
            rows.append((True, ("PartitionDown", job.partition, None, 0, 0, 0)))
        if part.max_nodes is not None and nodes > 0 and "PartitionMaxNodes" not in flags:
            rows.append(
                (nodes > part.max_nodes, ("PartitionNodeLimit", job.partition, "node", part.max_nodes, 0, nodes))
            )
        if part.min_nodes is not None and nodes > 0 and "PartitionMinNodes" not in flags:
            rows.append(
                (nodes < part.min_nodes, ("PartitionNodeLimit", job.partition, "node", part.min_nodes, 0, nodes))
            )
        if part.max_time_ms is not None and "PartitionTimeLimit" not in flags:
            rows.append(
                (
                    job.limit_ms > part.max_time_ms,
                    ("PartitionTimeLimit", job.partition, None, part.max_time_ms, 0, job.limit_ms),
                )
            )
        return rows

    def rows(
        self, job: Job, *, alone: bool = False, submit: bool = False
    ) -> list[tuple[str, int, str | None, int, int, int]]:
        """Limits that hold a job: (word, place or partition, TRES, limit, in use, asked); ``alone`` : of QOS and
        associations, if there were no other job.
        """
        found = [] if submit or alone else [row for held, row in self.partition_rows(job) if held]
        names = (SUBMIT_QOS, SUBMIT_ASSOC) if submit else (START_QOS, START_ASSOC)
        for name, tres, value, where, counted in self.applying(job, *names):
            held, limit, used, asked = self.judge(job, name, tres, value, counted, alone)
            if held:
                scope = "Assoc" if where < len(self.parent) else "QOS"
                found.append((word(scope, name, tres), where, tres, limit, used, asked))
        return found

    def refused(self, job: Job) -> list[str]:
        found = []
        if self.partitions[job.partition].state in {"DRAIN", "INACTIVE"}:
            found.append("PartitionInactive")
        if job.qos != -1 and "RequiresReservation" in self.qos[job.qos].flags:
            found.append("QOSNotAllowed")
        found += [row[0] for row in self.rows(job, submit=True)]
        if any("DenyOnLimit" in self.qos[q].flags for q in self.two_qos(job)):
            found += [row[0] for row in self.rows(job, alone=True)]
        return found

    # What happens.

    def start(self, job: Job, now: int) -> None:
        self.pending.remove(job)
        self.running.append(job)
        job.start = job.seen = now
        job.ageing_since = -1

    def charge(self, job: Job, now: int, per_second: float) -> None:
        ms = now - job.seen
        for place in self.places(job):
            age = per_second ** (ms // 1000)
            if place >= len(self.parent) and "NoDecay" in self.qos[place - len(self.parent)].flags:
                age = 1.0
            for tres in self.tres:
                amount = job.tres[tres] * (ms / 1000) * self.factor(job) * age
                self.used_s[place, tres] = self.used_s.get((place, tres), 0.0) + amount
            self.wall_s[place] = self.wall_s.get(place, 0.0) + ms / 1000 * age
        job.seen = now

    def end(self, job: Job, now: int, per_second: float) -> None:
        self.charge(job, now, per_second)
        self.running.remove(job)

    def tick(self, now: int, factor: float, per_second: float) -> None:
        for place in range(len(self.parent) + len(self.qos)):
            if place >= len(self.parent) and "NoDecay" in self.qos[place - len(self.parent)].flags:
                continue
            self.wall_s[place] = self.wall_s.get(place, 0.0) * factor
            for tres in self.tres:
                self.used_s[place, tres] = self.used_s.get((place, tres), 0.0) * factor
        for job in self.running:
            self.charge(job, now, per_second)

    def to_kill(self) -> list[Job]:
        if self.safe:
            return []
        return [job for job in self.running if self.is_spent(job)]

    def is_spent(self, job: Job) -> bool:
        for name, tres, value, _, place in self.applying(job, ("GrpTRESMins",), ("GrpTRESMins",)):
            assert name == "GrpTRESMins"
            assert tres is not None
            limit = value * 60 * (1000 if tres == "billing" else 1)
            if job.tres[tres] > 0 and self.used_s.get((place, tres), 0.0) >= limit:
                return True
        return False

    def ageing(self, place: int) -> list[Job]:
        n = len(self.parent)
        return [
            job
            for job in self.pending
            if job.ageing_since >= 0 and (place in self.chain(job.assoc) or (job.qos != -1 and place == n + job.qos))
        ]

    def accrue(self, job: Job, now: int) -> bool:
        if job.ageing_since >= 0:
            return True
        n = len(self.parent)
        own = {} if job.qos == -1 else {k: v for k, v in self.qos[job.qos].limits.items() if v != -1}
        in_qos = self.ageing(n + job.qos) if job.qos != -1 else []
        allowed = []
        if ("GrpJobsAccrue", None) in own:
            allowed.append(len(in_qos) < own["GrpJobsAccrue", None])
        if ("MaxJobsAccruePA", None) in own and job.assoc != -1:
            same = [other for other in in_qos if self.same_account(other, job)]
            allowed.append(len(same) < own["MaxJobsAccruePA", None])
        if ("MaxJobsAccruePU", None) in own and job.assoc != -1:
            same = [other for other in in_qos if self.same_user(other, job)]
            allowed.append(len(same) < own["MaxJobsAccruePU", None])
        for place in self.chain(job.assoc):
            limit = self.assoc_limits[place].get(("GrpJobsAccrue", None), -1)
            if limit != -1:
                allowed.append(len(self.ageing(place)) < limit)
        if ("MaxJobsAccruePU", None) not in own:
            for place in self.chain(job.assoc):
                limit = self.assoc_limits[place].get(("MaxJobsAccrue", None), -1)
                if limit != -1:
                    allowed.append(len(self.ageing(job.assoc)) < limit)
                    break
        if all(allowed):
            job.ageing_since = now
        return all(allowed)


_WORD = {
    ("QOS", "UsageThreshold"): "QOSUsageThreshold",
    ("QOS", "GrpSubmitJobs"): "QOSGrpSubmitJobsLimit",
    ("QOS", "MaxSubmitJobsPA"): "MaxSubmitJobsPerAccount",
    ("QOS", "MaxSubmitJobsPU"): "QOSMaxSubmitJobPerUserLimit",
    ("QOS", "GrpJobs"): "QOSGrpJobsLimit",
    ("QOS", "GrpWall"): "QOSGrpWallLimit",
    ("QOS", "MaxJobsPA"): "MaxJobsPerAccount",
    ("QOS", "MaxJobsPU"): "QOSMaxJobsPerUserLimit",
    ("QOS", "MaxWall"): "QOSMaxWallDurationPerJobLimit",
    ("Assoc", "GrpSubmitJobs"): "AssocGrpSubmitJobsLimit",
    ("Assoc", "MaxSubmitJobs"): "AssocMaxSubmitJobLimit",
    ("Assoc", "GrpJobs"): "AssocGrpJobsLimit",
    ("Assoc", "GrpWall"): "AssocGrpWallLimit",
    ("Assoc", "MaxJobs"): "AssocMaxJobsLimit",
    ("Assoc", "MaxWall"): "AssocMaxWallDurationPerJobLimit",
}
_TRES_WORD = {
    ("QOS", "GrpTRES"): ("QOSGrpCpuLimit", "QOSGrpMemLimit", "QOSGrpNodeLimit", "QOSGrpGRES", "QOSGrpBilling"),
    ("QOS", "GrpTRESMins"): (
        "QOSGrpCPUMinutesLimit",
        "QOSGrpMemoryMinutes",
        "QOSGrpNodeMinutes",
        "QOSGrpGRESMinutes",
        "QOSGrpBillingMinutes",
    ),
    ("QOS", "GrpTRESRunMins"): (
        "QOSGrpCPURunMinutesLimit",
        "QOSGrpMemoryRunMinutes",
        "QOSGrpNodeRunMinutes",
        "QOSGrpGRESRunMinutes",
        "QOSGrpBillingRunMinutes",
    ),
    ("QOS", "MaxTRESMinsPerJob"): (
        "QOSMaxCpuMinutesPerJobLimit",
        "QOSMaxMemoryMinutesPerJob",
        "QOSMaxNodeMinutesPerJob",
        "QOSMaxGRESMinutesPerJob",
        "QOSMaxBillingMinutesPerJob",
    ),
    ("QOS", "MaxTRESPerJob"): (
        "QOSMaxCpuPerJobLimit",
        "QOSMaxMemoryPerJob",
        "QOSMaxNodePerJobLimit",
        "QOSMaxGRESPerJob",
        "QOSMaxBillingPerJob",
    ),
    ("QOS", "MaxTRESPerNode"): (
        "QOSMaxCpuPerNode",
        "QOSMaxMemoryPerNode",
        "",
        "QOSMaxGRESPerNode",
        "QOSMaxBillingPerNode",
    ),
    ("QOS", "MinTRESPerJob"): ("QOSMinCpuNotSatisfied", "QOSMinMemory", "QOSMinNode", "QOSMinGRES", "QOSMinBilling"),
    ("QOS", "MaxTRESPA"): (
        "MaxCpuPerAccount",
        "MaxMemoryPerAccount",
        "MaxNodePerAccount",
        "MaxGRESPerAccount",
        "MaxBillingPerAccount",
    ),
    ("QOS", "MaxTRESPU"): (
        "QOSMaxCpuPerUserLimit",
        "QOSMaxMemoryPerUser",
        "QOSMaxNodePerUserLimit",
        "QOSMaxGRESPerUser",
        "QOSMaxBillingPerUser",
    ),
    ("Assoc", "GrpTRES"): (
        "AssocGrpCpuLimit",
        "AssocGrpMemLimit",
        "AssocGrpNodeLimit",
        "AssocGrpGRES",
        "AssocGrpBilling",
    ),
    ("Assoc", "GrpTRESMins"): (
        "AssocGrpCPUMinutesLimit",
        "AssocGrpMemMinutes",
        "AssocGrpNodeMinutes",
        "AssocGrpGRESMinutes",
        "AssocGrpBillingMinutes",
    ),
    ("Assoc", "GrpTRESRunMins"): (
        "AssocGrpCPURunMinutesLimit",
        "AssocGrpMemRunMinutes",
        "AssocGrpNodeRunMinutes",
        "AssocGrpGRESRunMinutes",
        "AssocGrpBillingRunMinutes",
    ),
    ("Assoc", "MaxTRESMinsPerJob"): (
        "AssocMaxCpuMinutesPerJobLimit",
        "AssocMaxMemMinutesPerJob",
        "AssocMaxNodeMinutesPerJob",
        "AssocMaxGRESMinutesPerJob",
        "AssocMaxBillingMinutesPerJob",
    ),
    ("Assoc", "MaxTRESPerJob"): (
        "AssocMaxCpuPerJobLimit",
        "AssocMaxMemPerJob",
        "AssocMaxNodePerJobLimit",
        "AssocMaxGRESPerJob",
        "AssocMaxBillingPerJob",
    ),
    ("Assoc", "MaxTRESPerNode"): (
        "AssocMaxCpuPerNode",
        "AssocMaxMemPerNode",
        "",
        "AssocMaxGRESPerNode",
        "AssocMaxBillingPerNode",
    ),
}
TRES = ("cpu", "mem", "node", "gres/gpu", "billing")


def word(scope: str, name: str, tres: str | None) -> str:
    return _WORD[scope, name] if tres is None else _TRES_WORD[scope, name][TRES.index(tres)]
