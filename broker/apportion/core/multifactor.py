"""Slurm's multifactor priority: what never changes for a job is summed once, what changes is added at each calculation.

priority = w_age F_age + w_assoc F_assoc + w_fs F_fs + w_size F_size + w_part F_part + w_qos F_qos + sum w_tres F_tres - nice

The site factor, which a plug-in of Slurm would set, is left out.

Sums are taken in a fixed order: the static terms as they stand in `Terms`, then (age + fair-share) + static.
Source: https://slurm.schedmd.com/priority_multifactor.html and slurm.conf(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints

MAX_PRIORITY = 2**32 - 1


class Terms(NamedTuple):
    """Weighted static terms of the priority, one row a job; ``nice`` is as asked for, and subtracted."""

    assoc: Floats
    job_size: Floats
    partition: Floats
    qos: Floats
    tres: Floats
    nice: Floats


def normalized(priorities: Ints, *, raw: bool = False) -> Floats:
    """Factors of partitions, QOS or associations from their configured priorities.

    Parameters
    ----------
    priorities : int64[n]
        As configured, 0 or more.
    raw : bool
        The flag NO_NORMAL_PART, _QOS, _ASSOC or _ALL: leave them as they are.

    Returns
    -------
    float64[n]
        Priority / largest priority; zeros when none is set.
    """
    values: Floats = np.asarray(priorities, np.float64)
    largest = float(values.max(initial=0.0))
    return values if raw or largest <= 0 else values / largest


def job_size_factor(
    cpus: Ints,
    nodes: Ints | None,
    limit_ms: Ints,
    *,
    cluster_cpus: int,
    cluster_nodes: int = 0,
    favor_small: bool = False,
    relative_to_time: bool = False,
) -> Floats:
    """Job size factor of each job, 0 to 1.

    Parameters
    ----------
    cpus : int64[n_jobs]
        CPUs asked for.
    nodes : int64[n_jobs] or None
        Nodes asked for at least; None when nodes are not modelled, and CPUs alone count.
    limit_ms : int64[n_jobs]
        Time limits; 0 or less for none. Read with ``relative_to_time`` only.
    cluster_cpus, cluster_nodes : int
        What the cluster has.
    favor_small : bool
        PriorityFavorSmall.
    relative_to_time : bool
        The flag SMALL_RELATIVE_TO_TIME: size per minute of time limit.

    Returns
    -------
    float64[n_jobs]
    """
    c = np.asarray(cpus, np.float64)
    has_nodes = nodes is not None and cluster_nodes > 0
    n = np.asarray(nodes, np.float64) if has_nodes else c
    all_n = float(cluster_nodes if has_nodes else cluster_cpus)
    if cluster_cpus <= 0:
        return np.zeros(len(c))
    if relative_to_time:
        minutes = np.asarray(limit_ms, np.float64) / 60_000.0
        minutes[minutes <= 0] = np.inf
        factor = np.maximum(n * cluster_cpus / all_n, c) / minutes / cluster_cpus
        if favor_small:
            factor = 1.0 - factor
    elif favor_small:
        factor = ((all_n - n) / all_n + (cluster_cpus - c) / cluster_cpus) / 2.0
    else:
        factor = (n / all_n + c / cluster_cpus) / 2.0
    return np.clip(factor, 0.0, 1.0)


def tres_term(counts: Ints, totals: Ints, partition: Ints, weights: Floats, *, raw: bool = False) -> Floats:
    """Sum of the weighted TRES factors of each job.

    Parameters
    ----------
    counts : int64[n_jobs, n_tres]
        What each job asks for.
    totals : int64[n_partitions, n_tres]
        What each partition has; a TRES that it lacks counts nothing.
    partition : int64[n_jobs]
        Partition of each job.
    weights : float64[n_tres]
        PriorityWeightTRES.
    raw : bool
        The flag NO_NORMAL_TRES: counts instead of shares of the partition.

    Returns
    -------
    float64[n_jobs]
    """
    term = np.zeros(len(partition))
    for t, weight in enumerate(weights.tolist()):
        if weight == 0:
            continue
        factor = counts[:, t].astype(np.float64)
        if not raw:
            total = totals[partition, t]
            factor = np.divide(factor, total, out=np.zeros(len(partition)), where=total > 0)
        term += weight * factor
    return term


def static_priority(terms: Terms) -> Floats:
    """Sum of the static terms of each job, for ``Jobs.static_priority``."""
    return terms.assoc + terms.job_size + terms.partition + terms.qos + terms.tres - terms.nice


@kernel
def age_factor(now: int, since: int, max_age: int) -> float:
    """Age factor: 0 at ``since``, 1 after ``max_age``; all in ms.

    ``since`` is when the job became eligible, or with ACCRUE_ALWAYS when it was submitted. A ``max_age`` of 0 gives 1
    at once.
    """
    age = now - since
    if age >= max_age:
        return 1.0
    if age <= 0:
        return 0.0
    return age / max_age


@kernel
def priority(static: float, age_weight: float, fairshare_weight: float, age: float, fairshare: float) -> int:
    """Priority of a job, truncated to an integer from 1 to 2^32 - 1 (0 would mean held).

    Parameters
    ----------
    static : float
        Sum of its static terms.
    age_weight, fairshare_weight : float
        PriorityWeightAge and PriorityWeightFairshare.
    age, fairshare : float
        Its two factors, 0 to 1.
    """
    total = (age_weight * age + fairshare_weight * fairshare) + static
    if not total >= 1.0:
        return 1
    if total >= MAX_PRIORITY:
        return MAX_PRIORITY
    return int(total)
