"""Slurm's multifactor priority of one job, the formula written out."""

from __future__ import annotations

from fractions import Fraction


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
