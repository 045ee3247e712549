"""Share engines of other schedulers by the book: unit by unit and job by job, in plain Python with exact fractions where it matters."""

from __future__ import annotations

import math
from fractions import Fraction


def fill_one_by_one(level: list[int], room: list[int], units: int) -> list[int]:
    """Each unit to the lowest that has room, of equals to the first."""
    out = [0] * len(level)
    for _ in range(units):
        open_ = [i for i in range(len(level)) if out[i] < room[i]]
        if not open_:
            break
        out[min(open_, key=lambda i: (level[i] + out[i], i))] += 1
    return out


def karma_round(
    demand: list[int], guaranteed: list[int], free: list[int], capacity: int, credits_: list[int]
) -> tuple[list[int], list[int]]:
    """Allocation and credits after one round, one slice at a time."""
    n = len(demand)
    credits_ = [old + new for old, new in zip(credits_, free, strict=True)]
    allocation = [min(demand[i], guaranteed[i]) for i in range(n)]
    to_lend = [guaranteed[i] - allocation[i] for i in range(n)]
    pool = capacity - sum(guaranteed)
    wealth = list(credits_)  # credits that decide who borrows
    earned = [0] * n
    while True:
        borrowers = [i for i in range(n) if allocation[i] < demand[i] and wealth[i] > 0]
        if not borrowers or pool + sum(to_lend) == 0:
            break
        richest = max(borrowers, key=lambda i: (wealth[i], -i))
        wealth[richest] -= 1
        allocation[richest] += 1
        donors = [i for i in range(n) if to_lend[i] > 0]
        if donors:
            poorest = min(donors, key=lambda i: (credits_[i] + earned[i], i))
            to_lend[poorest] -= 1
            earned[poorest] += 1
        else:
            pool -= 1
    return allocation, [wealth[i] + earned[i] for i in range(n)]


def drf_tasks(capacity: list[int], need: list[list[int]], weight: list[float]) -> list[int]:
    """Tasks of each user; ``need[i][r]``."""
    tasks = [0] * len(need)

    def dominant(i: int) -> Fraction:
        return max(Fraction(tasks[i] * n, c) for n, c in zip(need[i], capacity, strict=True) if c)

    def fits(i: int) -> bool:
        return all(
            sum(t * other[r] for t, other in zip(tasks, need, strict=True)) + need[i][r] <= capacity[r]
            for r in range(len(capacity))
        )

    while can := [i for i in range(len(need)) if fits(i)]:
        tasks[min(can, key=lambda i: (dominant(i) / Fraction(weight[i]), i))] += 1
    return tasks


def kai_shares(
    capacity: int,
    deserved: list[int],
    limit: list[int],
    request: list[int],
    weight: list[float],
    priority: list[int],
    used: list[float],
    k: float,
) -> list[int]:
    """Fair shares in exact fractions (of the floats that are given)."""
    n = len(request)
    wanted = [r if top < 0 else min(r, top) for r, top in zip(request, limit, strict=True)]
    share = [w if d < 0 else min(w, d) for w, d in zip(wanted, deserved, strict=True)]
    left = capacity - sum(share)
    while left > 0:
        asking = [i for i in range(n) if share[i] < wanted[i] and weight[i] > 0]
        if not asking:
            break
        asking = [i for i in asking if priority[i] == max(priority[j] for j in asking)]
        plain = {i: Fraction(weight[i]) / sum(Fraction(weight[j]) for j in asking) for i in asking}
        memory = {i: max(Fraction(0), plain[i] + Fraction(k) * (plain[i] - Fraction(used[i]))) for i in asking}
        parts = memory if k > 0 and any(memory.values()) else plain
        exact = {i: left * parts[i] / sum(parts.values()) for i in asking}
        units = {i: min(math.floor(exact[i]), wanted[i] - share[i]) for i in asking}
        for i in asking:
            share[i] += units[i]
        left -= sum(units.values())
        if not any(math.floor(exact[i]) >= wanted[i] - share[i] + units[i] for i in asking):
            order = sorted((i for i in asking if parts[i] > 0), key=lambda i: (math.floor(exact[i]) - exact[i], i))
            for i in order[:left]:
                share[i] += 1
            left -= min(left, len(order))
    return share


def condor_quotas(
    parent: list[int], static: list[float], dynamic: list[float], pool: float
) -> tuple[list[float], list[float]]:
    """Quota of each group with all below it, and what is left for its own jobs."""
    subtree = [0.0] * len(parent)
    own = [0.0] * len(parent)

    def give(node: int, quota: float) -> None:
        subtree[node] = quota
        below = [i for i in range(len(parent)) if parent[i] == node]
        fixed = [i for i in below if static[i] >= 0]
        asked = sum(static[i] for i in fixed)
        for i in fixed:
            give(i, static[i] * (min(quota / asked, 1.0) if asked else 1.0))
        remains = quota - sum(subtree[i] for i in fixed)
        fractions = max(sum(dynamic[i] for i in below if i not in fixed), 1.0)
        for i in below:
            if i not in fixed:
                give(i, remains * dynamic[i] / fractions)
        own[node] = quota - sum(subtree[i] for i in below)

    give(0, pool)
    return subtree, own


def condor_allocations(
    parent: list[int], subtree: list[float], own: list[float], accepts: list[int], demand: list[float]
) -> list[float]:
    """Slots of each group by recursion, as the accounting of HTCondor is described."""
    n = len(parent)
    allocated = [min(demand[i], own[i]) for i in range(n)]

    def children(node: int) -> list[int]:
        return [i for i in range(n) if parent[i] == node]

    def missing(i: int) -> float:
        return max(demand[i] - allocated[i], 0.0)

    def wanted(node: int) -> float:
        return missing(node) + sum(wanted(i) for i in children(node) if accepts[i])

    def pour(node: int, amount: float) -> float:
        """Divide among the group and its children; return what nobody takes."""
        members = [(node, own[node], missing(node))]
        members += [(i, subtree[i], wanted(i)) for i in children(node) if accepts[i]]
        got = dict.fromkeys((m for m, _, _ in members), 0.0)
        for with_quota in (True, False):
            while amount > 1e-9:
                open_ = [(m, q, w) for m, q, w in members if w - got[m] > 1e-9 and (q > 0) == with_quota]
                if not open_:
                    break
                total = sum(q if with_quota else 1.0 for _, q, _ in open_)
                before = amount
                for m, q, w in open_:
                    part = min(before * (q if with_quota else 1.0) / total, w - got[m])
                    got[m] += part
                    amount -= part
        allocated[node] += got.pop(node)
        return amount + sum(pour(i, part) for i, part in got.items() if part > 1e-9)

    def settle(node: int) -> float:
        """Allocate below and at a group; return its surplus."""
        surplus = own[node] - allocated[node] + sum(settle(i) for i in children(node))
        return pour(node, surplus)

    settle(0)
    return allocated


def water_level(weight: list[float], demand: list[float]) -> list[float]:
    """Exact max-min fair shares of one unit, by demand / weight in ascending order."""
    share = [0.0] * len(weight)
    left, open_weight = 1.0, sum(weight)
    for i in sorted(range(len(weight)), key=lambda i: demand[i] / weight[i]):
        share[i] = min(demand[i], left * weight[i] / open_weight)
        left -= share[i]
        open_weight -= weight[i]
    return share
