"""A machine of nodes, by the definitions: lists of nodes, everything counted anew at each question.

The instant rule is that of `oracles.schedule`. A job is dealt out into slices; a node's room is how many of them would find all they need
there. Which nodes a job gets is asked one node at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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

    def copy(self) -> Machine:
        return Machine(
            self.nodes, self.placement, self.whole, self.memory, self.nodes_of, list(self.held), down=set(self.down)
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
        return sum(self.room(job, k) for k in range(len(self.nodes))) >= len(self.slices(job))

    def choose(self, job: Job) -> list[Held]:
        """What the job would hold, node by node."""
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

    def start(self, job: Job) -> None:
        self.history[job.id] = self.choose(job)
        self.held += self.history[job.id]

    def end(self, job: Job) -> None:
        self.held = [held for held in self.held if held.job != job.id]


@dataclass
class Center:
    """The state of a simulation."""

    machine: Machine
    backfill: str
    now: int = 0
    pending: list[Job] = field(default_factory=list)
    running: list[tuple[Job, int]] = field(default_factory=list)
    starts: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    stops: list[tuple[int, int, int, int]] = field(default_factory=list)

    def stop(self, job: Job, by: int = -1) -> None:
        """Take a job off its nodes and put it back into the queue."""
        start = self.starts.pop(job.id)
        self.running.remove((job, start))
        self.machine.end(job)
        self.pending.append(job)
        self.stops.append((self.now, job.id, start, by))

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
                (worth[other.user], (self.now - start) * other.procs, -other.procs, other.id, other)
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

    def start(self, job: Job) -> None:
        self.machine.start(job)
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

    def decide(self) -> dict[int, Job]:
        """One pass; the heads of the pools."""
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
) -> Center:
    """Play jobs on an empty machine. ``lost`` of the result: processors free that would have been enough for the first in line, times ms.

    ``may``, ``worth`` : which classes may preempt which, and what they are worth; a job's class is its user.
    """
    happens = sorted(
        [(fault.time, 1, k) for k, fault in enumerate(faults)] + [(fault.back, 0, k) for k, fault in enumerate(faults)]
    )
    took: dict[int, set[int]] = {}
    empty = machine.copy()
    coming = sorted((job for job in jobs if empty.fits(job)), key=lambda job: (job.submit, job.id))
    center = Center(machine, backfill)
    waste = 0
    while coming or center.running or center.pending or happens:
        times = [start + job.run for job, start in center.running] + [job.submit for job in coming[:1]]
        times += [job.cancel for job in center.pending if job.cancel is not None]
        times += [time for time, _, _ in happens[:1]]
        times += [start + SAFE_MS for _, start in center.running if may and start + SAFE_MS > center.now]
        now = min(times)
        center.lost += waste * (now - center.now)
        center.now = now
        while True:
            over = [(job, start) for job, start in center.running if start + job.run <= now]
            for job, start in over:
                center.running.remove((job, start))
                machine.end(job)
            while happens and happens[0][0] <= now:
                _, is_loss, k = happens.pop(0)
                if is_loss:
                    took[k] = center.fail(faults[k])
                else:
                    machine.down -= took[k]
            center.pending = [job for job in center.pending if job.cancel is None or job.cancel > now]
            while coming and coming[0].submit <= now:
                job = coming.pop(0)
                if job.cancel is None or job.cancel > now:
                    center.pending.append(job)
            heads = center.decide()
            while may and center.preempt(may, worth):
                heads = center.decide()
            if not any(start + job.run <= now for job, start in center.running):
                break
        waste = 0
        for pool, head in heads.items():
            asked = sum(job.procs for job, _ in center.running if job.pool == pool)
            free = sum(
                node.procs for k, node in enumerate(machine.nodes) if node.pool == pool and k not in machine.down
            )
            free -= asked
            waste += free if head.procs <= free else 0
    return center
