"""Slurm's multifactor priority: the formula written out, and as the order of a whole schedule."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from oracles import fairshare

if TYPE_CHECKING:
    from oracles.jobs import Job
    from oracles.world import World


def priority(terms: list[tuple[Fraction | int, Fraction | int]], nice: int = 0, site: int = 0) -> int:
    """Sum of weight x factor in exact fractions, truncated, 1 to 2^32 - 1."""
    total = sum((Fraction(weight) * Fraction(factor) for weight, factor in terms), Fraction(site - nice))
    return min(max(int(total), 1), 2**32 - 1)


def size_factor(
    cpus: int,
    nodes: int,
    limit_minutes: Fraction | int,
    all_cpus: int,
    all_nodes: int,
    favor_small: bool,
    relative_to_time: bool,
) -> Fraction:
    if relative_to_time:
        factor = max(Fraction(nodes * all_cpus, all_nodes), Fraction(cpus)) / limit_minutes / all_cpus
        if favor_small:
            factor = 1 - factor
    elif favor_small:
        factor = (Fraction(all_nodes - nodes, all_nodes) + Fraction(all_cpus - cpus, all_cpus)) / 2
    else:
        factor = (Fraction(nodes, all_nodes) + Fraction(cpus, all_cpus)) / 2
    return min(max(factor, Fraction(0)), Fraction(1))


@dataclass
class Multifactor:
    """The order by priority as of the last calculation, worked out anew from all that has run, for every question.

    Usage does not decay and is billed by processors. Each user is an association of its own account; fair-share by Fair
    Tree. ``constant`` : what never changes of each job's priority, by id. Times in ms.
    """

    shares: dict[str, int]  # of accounts
    account_of: dict[int, str]  # of users, who all have one share
    constant: dict[int, Fraction]
    age_weight: int
    fairshare_weight: int
    max_age: int
    period: int
    tier_of: dict[int, int]  # of pools
    incr_only: bool = False
    world: World | None = None  # set by whoever plays it

    def __post_init__(self) -> None:
        self.cache: dict[int, dict[int, Fraction]] = {}
        self.jobs: dict[int, Job] = {}

    def tick(self, now: int) -> int:
        return now // self.period * self.period

    def fairshare(self, tick: int) -> dict[int, Fraction]:
        if tick not in self.cache:
            assert self.world is not None
            used = dict.fromkeys(self.account_of, 0)
            for id_, start in self.world.starts.items():
                job = self.jobs[id_]
                used[job.user] += job.procs * max(0, min(start + job.run, tick) - start)
            root = fairshare.account(
                "root",
                1,
                *(
                    fairshare.account(
                        name,
                        shares,
                        *(
                            fairshare.user(f"u{u}", 1, used[u] / 1000)
                            for u, of in self.account_of.items()
                            if of == name
                        ),
                    )
                    for name, shares in self.shares.items()
                ),
            )
            factors = fairshare.fair_tree(root)
            self.cache[tick] = {user: Fraction(factors[f"u{user}"]) for user in self.account_of}
        return self.cache[tick]

    def at(self, job: Job, tick: int) -> int:
        age = min(Fraction(1), Fraction(max(tick, job.submit) - job.submit, self.max_age))
        factors = [(self.age_weight, age), (self.fairshare_weight, self.fairshare(tick)[job.user])]
        return priority([*factors, (1, self.constant[job.id])])

    def __call__(self, job: Job, now: int) -> float:
        first = self.tick(job.submit) if self.incr_only else self.tick(now)
        value = max(self.at(job, tick) for tick in range(first, self.tick(now) + 1, self.period))
        return -(self.tier_of[job.pool] * 2**33 + value)
