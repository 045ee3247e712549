"""A machine of nodes, by the definitions: lists of nodes, everything counted anew at each question.

The instant rule is that of `oracles.schedule`. A job is dealt out into slices; a node's room is how many of them would find all they need
there. Which nodes a job gets is asked one node at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oracles.jobs import Job
    from oracles.stops import Fault

SAFE_MS = 1000  # after its start nobody preempts a job for so long
NEVER = 10**18
PLACEMENTS = ("FirstFit", "BestFit", "CR_LLN", "LeastFragmentation")


@dataclass(frozen=True)
class Node:
    """A node; memory in MiB."""

    procs: int
    mem: int = 0
    gpus: int = 0
    weight: int = 1
    pool: int = 0


@dataclass(frozen=True)
class Held:
    """What a job holds of a node."""

    job: int
    node: int
    procs: int
    mem: int
    gpus: int


@dataclass
class Machine:
    """Nodes of all pools, in the order in which the policy lists them, and what jobs hold of them.

    ``nodes_of`` : number of nodes that some jobs ask for, by id. ``whole`` : jobs get whole nodes. ``memory`` : memory counts.
    """

    nodes: Sequence[Node]
    placement: str
    whole: bool = False
    memory: bool = False
    nodes_of: Mapping[int, int] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    history: dict[int, list[Held]] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    kept: dict[int, list[Held]] = field(default_factory=dict)  # of jobs that are suspended

    def copy(self) -> Machine:
        return replace(self, held=list(self.held), history={}, down=set(self.down))

    def fits_again(self, job: Job) -> bool:
        """Whether a suspended job finds on its nodes what it had there."""
        return all(
            held.node not in self.down
            and not (self.whole and self.is_used(held.node))
            and all(a <= b for a, b in zip((held.procs, held.mem, held.gpus), self.free(held.node), strict=True))
            for held in self.kept[job.id]
        )

    def free(self, k: int) -> tuple[int, int, int]:
        node, here = self.nodes[k], [held for held in self.held if held.node == k]
        return (
            node.procs - sum(held.procs for held in here),
            node.mem - sum(held.mem for held in here),
            node.gpus - sum(held.gpus for held in here),
        )

    def is_used(self, k: int) -> bool:
        return any(held.node == k for held in self.held)

    def slices(self, job: Job) -> list[tuple[int, int, int]]:
        """What each slice gets: processors, memory, GPUs dealt out one by one."""
        nodes = self.nodes_of.get(job.id, 0)
        n = nodes or job.gpus or job.procs
        parts = []
        for amount in (max(job.procs, nodes), job.mem if self.memory else 0, job.gpus):
            hands = [0] * n
            for unit in range(amount):
                hands[unit % n] += 1
            parts.append(hands)
        return list(zip(*parts, strict=True))

    def room(self, job: Job, k: int) -> int:
        if self.nodes[k].pool != job.pool or k in self.down or (self.whole and self.is_used(k)):
            return 0
        slices = self.slices(job)
        need = [max(part[i] for part in slices) for i in range(3)]
        need[0] = max(need[0], 1)
        free = self.free(k)
        most = 1 if self.nodes_of.get(job.id, 0) else len(slices)
        n = 0
        while n < most and all((n + 1) * a <= b for a, b in zip(need, free, strict=True)):
            n += 1
        return n

    def fits(self, job: Job) -> bool:
        if job.id in self.kept:
            return self.fits_again(job)
        return sum(self.room(job, k) for k in range(len(self.nodes))) >= len(self.slices(job))

    def choose(self, job: Job) -> list[Held]:
        """What the job would hold, node by node."""
        if job.id in self.kept:
            return self.kept[job.id]
        room = {k: self.room(job, k) for k in range(len(self.nodes))}
        hands, chosen, run = self.slices(job), [], []
        while hands:
            run = [k for k in run if room.get(k)] or [k for k in self.next_nodes(job, room, len(hands)) if room[k]]
            k = run[0]
            n = min(room.pop(k), len(hands))
            given, hands = hands[:n], hands[n:]
            amounts = self.free(k) if self.whole else tuple(sum(hand[i] for hand in given) for i in range(3))
            chosen.append(Held(job.id, k, *amounts))
        return chosen

    def next_nodes(self, job: Job, room: dict[int, int], wanted: int) -> list[int]:
        """The nodes that are taken next, of those that are not taken yet."""
        weight = min(self.nodes[k].weight for k, n in room.items() if n)
        able = [k for k, n in room.items() if n and self.nodes[k].weight == weight]
        if self.placement == "FirstFit":
            return [min(able)]
        if self.placement == "CR_LLN":
            return [min(able, key=lambda k: (-self.free(k)[0], k))]
        if self.placement == "BestFit":
            enough = [k for k in able if room[k] >= wanted]
            if enough:
                return [min(enough, key=lambda k: (self.free(k)[0], k))]
            return [min(able, key=lambda k: (-room[k], k))]
        used = [k for k in able if self.is_used(k)]
        if used:
            return [min(used, key=lambda k: (self.free(k)[0], k))]
        runs: list[list[int]] = [[]]
        for k, node in enumerate(self.nodes):
            if node.pool == job.pool and node.weight == weight:
                if self.is_used(k) or k in self.down:
                    runs.append([])
                else:
                    runs[-1].append(k)
        runs = [run for run in runs if sum(room.get(k, 0) for k in run)]
        enough_runs = [run for run in runs if sum(room.get(k, 0) for k in run) >= wanted]
        best = min(enough_runs or runs, key=lambda run: (sum(room.get(k, 0) for k in run), run[0]))
        return [k for k in best if k in room]

    def start(self, job: Job, held: Sequence[Held] = ()) -> None:
        """On nodes that were chosen before, or the best now."""
        self.history[job.id] = list(held) or self.choose(job)
        self.kept.pop(job.id, None)
        self.held += self.history[job.id]

    def end(self, job: Job) -> None:
        self.held = [held for held in self.held if held.job != job.id]


@dataclass
class Stretch(Machine):
    """A machine as it is for a job that stays from the first to the last of some moments: a node has what it has at all of them.

    ``counted`` : processors of each moment that nobody asked for, in the pool of the job.
    """

    moments: Sequence[Machine] = ()
    counted: Sequence[int] = ()

    def free(self, k: int) -> tuple[int, int, int]:
        procs, mem, gpus = zip(*(machine.free(k) for machine in self.moments), strict=True)
        return max(min(procs), 0), max(min(mem), 0), max(min(gpus), 0)

    def is_used(self, k: int) -> bool:
        return any(machine.is_used(k) for machine in self.moments)

    def fits(self, job: Job) -> bool:
        return job.procs <= min(self.counted) and super().fits(job)


@dataclass(frozen=True)
class Slurm:
    """SchedulerParameters; times in ms, no bounds where 0."""

    bf_interval: int = 30_000
    bf_window: int = 1_440 * 60_000
    bf_resolution: int = 60_000
    bf_max_job_test: int = 500
    default_queue_depth: int = 100
    sched_interval: int = 60_000


@dataclass(frozen=True)
class Place:
    """A job on its nodes, from ``begin`` to ``end``."""

    job: Job
    begin: int
    end: int
    held: Sequence[Held]


@dataclass
class Plan:
    """Timelines of all nodes: the jobs that run, until they reach their limits, and those that are planned."""

    machine: Machine
    now: int
    places: list[Place]

    def at(self, time: int) -> Machine:
        held = [held for place in self.places if place.begin <= time < place.end for held in place.held]
        return replace(self.machine, held=held)

    def counted(self, time: int, pool: int) -> int:
        up = [
            node.procs for k, node in enumerate(self.machine.nodes) if node.pool == pool and k not in self.machine.down
        ]
        here = [p for p in self.places if p.job.pool == pool and p.begin <= time < p.end]
        return sum(up) - sum(place.job.procs for place in here)

    def stretch(self, job: Job, begin: int) -> Stretch:
        edges = {time for place in self.places for time in (place.begin, place.end)}
        times = [begin, *(time for time in edges if begin < time < begin + job.limit)]
        moments, counted = [self.at(time) for time in times], [self.counted(time, job.pool) for time in times]
        return Stretch(**vars(self.machine), moments=moments, counted=counted)  # all else is as it is now

    def earliest(self, job: Job) -> Place | None:
        """The first time from which the nodes have room for the job up to its limit, and those it gets."""
        for begin in sorted({self.now, *(place.end for place in self.places if place.end > self.now)}):
            there = self.stretch(job, begin)
            if there.fits(job):
                return Place(job, begin, begin + job.limit, there.choose(job))
        return None


@dataclass
class Center:
    """The state of a simulation."""

    machine: Machine
    backfill: str
    slurm: Slurm = Slurm()
    suspends: bool = False
    now: int = 0
    pending: list[Job] = field(default_factory=list)
    running: list[tuple[Job, int]] = field(default_factory=list)
    starts: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    stops: list[tuple[int, int, int, int]] = field(default_factory=list)
    plans: dict[int, Place] = field(default_factory=dict)
    suspended: list[int] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)  # processors that went with each failure
    early: bool = False
    changed: bool = False
    full: bool = False
    heads: dict[int, Job] = field(default_factory=dict)

    def stop(self, job: Job, by: int = -1) -> None:
        """Take a job off its nodes and put it back into the queue."""
        start = self.starts.pop(job.id)
        self.running.remove((job, start))
        if by >= 0 and self.suspends:
            self.machine.kept[job.id] = [held for held in self.machine.held if held.job == job.id]
            self.suspended.append(job.id)
            job = replace(job, run=job.run - (self.now - start), limit=job.limit - (self.now - start))
        self.machine.end(job)
        self.pending.append(job)
        self.stops.append((self.now, job.id, start, by))

    def resume(self) -> bool:
        """Let suspended jobs that fit go on, the first first; whether any does."""
        waiting = {job.id: job for job in self.pending}
        again = []
        for id_ in list(self.suspended):
            if id_ not in waiting:
                self.suspended.remove(id_)
            elif self.machine.fits(waiting[id_]):
                self.start(waiting[id_])
                self.suspended.remove(id_)
                again.append(id_)
        if again:
            self.plans.clear()
        return bool(again)

    def fail(self, fault: Fault) -> set[int]:
        """Nodes that go down, with their jobs, in the order of expected ends."""
        up = [k for k, node in enumerate(self.machine.nodes) if node.pool == fault.pool and k not in self.machine.down]
        side_by_side = [k for k in self.ranked(up) for _ in range(self.machine.nodes[k].procs)]
        begin = fault.position * (max(len(side_by_side) - fault.procs, 0) + 1) // 2**32
        hit = set(side_by_side[begin : begin + fault.procs])
        losers = {held.job for held in self.machine.held if held.node in hit}
        for job, _ in sorted(self.running, key=lambda pair: pair[0].limit + pair[1]):
            if job.id in losers:
                self.stop(job)
        self.machine.down |= hit
        return hit

    def ranked(self, nodes: list[int]) -> list[int]:
        """Nodes in the order in which they are used up."""
        return sorted(nodes, key=lambda k: (self.machine.nodes[k].weight, k))

    def preempt(self, may: frozenset[tuple[int, int]], worth: Sequence[int]) -> bool:
        """Let one job take the nodes of others of lower classes (its user is its class), and start."""
        tried = set()
        for job in sorted(self.pending, key=lambda job: (job.submit, job.id)):
            if job.pool in tried or not any(mine == job.user for mine, _ in may):
                continue
            tried.add(job.pool)
            if self.machine.fits(job):
                continue

            def fits_without(others: list[Job], job: Job = job) -> bool:
                then = self.machine.copy()
                for other in others:
                    then.end(other)
                return then.fits(job)

            able = [
                (
                    worth[other.user],
                    0 if self.suspends else (self.now - start) * other.procs,
                    -other.procs,
                    other.id,
                    other,
                )
                for other, start in self.running
                if other.pool == job.pool and (job.user, other.user) in may and self.now >= start + SAFE_MS
            ]
            victims: list[Job] = []
            for *_, other in sorted(able, key=lambda row: row[:4]):
                if not fits_without(victims):
                    victims.append(other)
            if not fits_without(victims):
                continue
            for other in victims[::-1]:
                if fits_without([one for one in victims if one is not other]):
                    victims.remove(other)
            for other in victims:
                self.stop(other, job.id)
            self.start(job)
            return True
        return False

    def start(self, job: Job, held: Sequence[Held] = ()) -> None:
        self.machine.start(job, held)
        self.pending.remove(job)
        self.running.append((job, self.now))
        self.starts[job.id] = self.now

    def shadow(self, head: Job) -> tuple[int, Machine]:
        """When the head can start if all take their whole limit, and the machine as it is then."""
        then = self.machine.copy()
        for time in sorted({start + job.limit for job, start in self.running if job.pool == head.pool}):
            then = self.machine.copy()
            for job, start in self.running:
                if start + job.limit <= time:
                    then.end(job)
            if then.fits(head):
                return time, then
        return NEVER, then

    def queue(self) -> list[Job]:
        return sorted(self.pending, key=lambda job: (job.submit, job.id))

    def plan(self) -> Plan:
        """The timelines without those that wait."""
        places = [
            Place(job, start, max(start + job.limit, self.now + 1), [h for h in self.machine.held if h.job == job.id])
            for job, start in self.running
        ]
        return Plan(self.machine, self.now, places)

    def decide(self, *, happened: bool = True, first_round: bool = False) -> None:
        """One pass."""
        if self.backfill == "conservative":
            self.conservative()
        elif self.backfill == "slurm":
            self.main_and_backfill(happened=happened, first_round=first_round)
        else:
            self.heads = self.easy()

    def conservative(self) -> None:
        """Every job has a place in the plan, that only ever moves forward."""
        waiting = {job.id for job in self.pending}
        self.early |= any(id_ not in waiting for id_ in self.plans)
        self.plans = {id_: place for id_, place in self.plans.items() if id_ in waiting}
        plan = self.plan()
        plan.places += self.plans.values()
        for job in self.queue() if self.early else []:
            if job.id in self.plans:
                before = self.plans[job.id]
                plan.places.remove(before)
                found = plan.earliest(job)
                assert found is not None
                self.plans[job.id] = found if found.begin < before.begin else before
                assert self.plans[job.id].begin <= before.begin
                plan.places.append(self.plans[job.id])
        self.early = False
        for job in self.queue():
            if job.id not in self.plans and (place := plan.earliest(job)):
                self.plans[job.id] = place
                plan.places.append(place)
        for job in self.queue():
            if job.id in self.plans and self.plans[job.id].begin == self.now:
                self.start(job, self.plans.pop(job.id).held)
        self.heads = {job.pool: job for job in self.queue()[::-1]}

    def main_and_backfill(self, *, happened: bool, first_round: bool) -> None:
        """Slurm's passes, as in `oracles.backfill.SlurmBackfill`."""
        self.changed |= happened
        self.full |= happened
        full = first_round and self.full and self.now % self.slurm.sched_interval == 0
        if happened or full:
            self.heads = {}
            tested = 0
            for job in self.queue():
                if job.pool in self.heads:
                    continue
                if not full and tested == self.slurm.default_queue_depth > 0:
                    break
                tested += 1
                if self.machine.fits(job):
                    self.start(job)
                else:
                    self.heads[job.pool] = job
        self.full &= not full
        if first_round and self.changed and self.pending and self.now % self.slurm.bf_interval == 0:
            self.changed = self.backfill_pass()

    def backfill_pass(self) -> bool:
        """Plan jobs in order, start those whose place is now; whether any did."""
        plan, grid = self.plan(), self.slurm.bf_resolution
        before = len(self.running)
        for job in self.queue()[: self.slurm.bf_max_job_test or None]:
            place = plan.earliest(job)
            if place is None or place.begin > self.now + self.slurm.bf_window:
                continue
            if place.begin == self.now:
                plan.places.append(place)
                self.start(job, place.held)
            else:
                plan.places.append(Place(job, place.begin // grid * grid, -(-place.end // grid) * grid, place.held))
        return len(self.running) > before

    def easy(self) -> dict[int, Job]:
        """One pass without plans but for the heads of the pools, which it gives."""
        heads: dict[int, Job] = {}
        plans: dict[int, tuple[int, Machine]] = {}
        later = []
        for job in sorted(self.pending, key=lambda job: (job.submit, job.id)):
            if job.pool not in heads:
                if self.machine.fits(job):
                    self.start(job)
                else:
                    heads[job.pool] = job
                    if self.backfill != "none":
                        plans[job.pool] = self.shadow(job)
            elif self.backfill == "easy":
                self.start_behind(heads[job.pool], plans, job)
            elif self.backfill == "easy-sjbf":
                later.append(job)
        for job in sorted(later, key=lambda job: (job.limit, job.submit, job.id)):
            self.start_behind(heads[job.pool], plans, job)
        return heads

    def start_behind(self, head: Job, plans: dict[int, tuple[int, Machine]], job: Job) -> None:
        if not self.machine.fits(job):
            return
        shadow, then = plans[job.pool]
        if self.now + job.limit > shadow:
            with_job = then.copy()
            with_job.held += self.machine.choose(job)
            if not with_job.fits(head):
                return
            plans[job.pool] = shadow, with_job
        self.start(job)


def simulate(
    jobs: Sequence[Job],
    machine: Machine,
    backfill: str = "none",
    faults: Sequence[Fault] = (),
    may: frozenset[tuple[int, int]] = frozenset(),
    worth: Sequence[int] = (0, 0, 0),
    slurm: Slurm = Slurm(),
    suspends: bool = False,
) -> Center:
    """Play jobs on an empty machine. ``lost`` of the result: processors free that would have been enough for the first in line, times ms.

    ``may``, ``worth`` : which classes may preempt which, and what they are worth; a job's class is its user.
    """
    happens = sorted(
        [(fault.time, 1, k) for k, fault in enumerate(faults)] + [(fault.back, 0, k) for k, fault in enumerate(faults)]
    )
    took: dict[int, set[int]] = {}
    empty = machine.copy()
    coming = sorted(jobs, key=lambda job: (job.submit, job.id))
    center = Center(machine, backfill, slurm, suspends)
    waste = 0
    while coming or center.running or center.pending or happens:
        times = [start + job.run for job, start in center.running] + [job.submit for job in coming[:1]]
        times += [job.cancel for job in center.pending if job.cancel is not None]
        times += [time for time, _, _ in happens[:1]]
        times += [start + SAFE_MS for _, start in center.running if may and start + SAFE_MS > center.now]
        times += [place.begin for place in center.plans.values() if place.begin > center.now]
        due = [slurm.bf_interval] * center.changed + [slurm.sched_interval] * center.full
        times += [(center.now // every + 1) * every for every in due if center.pending]
        now = min(times)
        center.lost += waste * (now - center.now)
        center.now = now
        first_round = True
        while True:
            over = [(job, start) for job, start in center.running if start + job.run <= now]
            for job, start in over:
                center.running.remove((job, start))
                machine.end(job)
                center.early |= job.run < job.limit
            news = bool(over)
            while happens and happens[0][0] <= now:
                _, is_loss, k = happens.pop(0)
                if is_loss:
                    took[k] = center.fail(faults[k])
                    center.failed[k] = sum(machine.nodes[node].procs for node in took[k])
                else:
                    machine.down -= took[k]
                center.plans.clear()
                news = True
            stay = [job for job in center.pending if job.cancel is None or job.cancel > now]
            news |= len(stay) < len(center.pending)
            center.pending = stay
            while coming and coming[0].submit <= now:
                job = coming.pop(0)
                if (job.cancel is None or job.cancel > now) and empty.fits(job):
                    center.pending.append(job)
                news = True
            news |= center.resume()
            center.decide(happened=news, first_round=first_round)
            while may and (center.preempt(may, worth) or center.resume()):
                center.plans.clear()
                center.decide()
            first_round = False
            if not any(start + job.run <= now for job, start in center.running):
                break
        waste = 0
        for pool, head in center.heads.items():
            asked = sum(job.procs for job, _ in center.running if job.pool == pool)
            free = sum(
                node.procs for k, node in enumerate(machine.nodes) if node.pool == pool and k not in machine.down
            )
            free -= asked
            waste += free if head.procs <= free else 0
    return center
