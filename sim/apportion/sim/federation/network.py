"""The links between centers, and datasets on their way to where jobs need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, Ints
from apportion.sim.transfers import MAX_BYTES, Network, begin_transfer, build_network, estimate_ms, finish_due

if TYPE_CHECKING:
    from apportion.core.federation_tables import Federation
    from apportion.sim.scenario import Scenario


@table
class Traffic(NamedTuple):
    """Datasets and the copies under way. The *copy* of a dataset to a center is number dataset times the number of centers plus center.

    ``size`` (n_datasets) : bytes. ``holds`` (n_datasets, n_centers) : 1 where the dataset is complete. By copy: ``source`` : center it is read
    from, ``begin``, ``end`` : ms, -1 before; ``asked`` : jobs that have waited for it; ``first`` : one that is bound to the center, and
    ``after`` (n_jobs) the next one, -1 none.
    """

    net: Network
    size: Ints
    holds: Ints
    source: Ints
    begin: Ints
    end: Ints
    asked: Ints
    first: Ints
    after: Ints


def traffic_of(scenario: Scenario, n_jobs: int) -> Traffic:
    """Lay out the network of a scenario with every dataset where it is at the beginning.

    Raises
    ------
    ScenarioError
        If a dataset is larger than can be counted.
    """
    import networkx as nx

    names = [entry.Center for entry in scenario.centers]
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    for link in scenario.links:
        ends = [(link.From, link.To), (link.To, link.From)] if link.Duplex else [(link.From, link.To)]
        for a, b in ends:
            graph.add_edge(a, b, capacity=link.Bandwidth, latency_ms=round(link.Latency * 1000))
    for d, entry in enumerate(scenario.datasets):
        if entry.Size > MAX_BYTES:
            raise scenario.fault(
                f"dataset {entry.Dataset} has {entry.Size:,} bytes, more than can be sent at once",
                f"split it into datasets of at most {MAX_BYTES // 10**12:,} TB",
                ("datasets", d, "Size"),
            )
    copies = len(scenario.datasets) * len(names)
    holds = [[int(name in entry.Replicas) for name in names] for entry in scenario.datasets]
    return Traffic(
        net=build_network(graph, names, copies),
        size=np.array([entry.Size for entry in scenario.datasets], np.int64),
        holds=np.array(holds, np.int64).reshape(-1, len(names)),
        source=np.full(copies, -1, np.int64),
        begin=np.full(copies, -1, np.int64),
        end=np.full(copies, -1, np.int64),
        asked=np.zeros(copies, np.int64),
        first=np.full(copies, -1, np.int64),
        after=np.full(n_jobs, -1, np.int64),
    )


def data_times(scenario: Scenario) -> Ints:
    """Time to bring each dataset to each center while nothing else is under way, ms: 0 where it is, -1 if it cannot be there.

    Returns
    -------
    int64[n_datasets, n_centers]
    """
    traffic = traffic_of(scenario, 0)
    times = np.where(traffic.holds == 1, 0, -1)
    for d, dataset in enumerate(scenario.datasets):
        for c, entry in enumerate(scenario.centers):
            fits = entry.Storage is None or dataset.Size <= entry.Storage
            if times[d, c] < 0 and fits:
                soonest = min(_copy_ms(traffic, d, source, c) for source in range(len(scenario.centers)))
                times[d, c] = soonest if soonest < NEVER else -1
    return times.astype(np.int64)


@kernel
def _copy_ms(t: Traffic, dataset: int, source: int, center: int) -> int:
    """Time to copy a dataset from one center to another, if it began now; NEVER if it is not there or cannot be sent."""
    if t.holds[dataset, source] == 0:
        return NEVER
    return int(estimate_ms(t.net, source * t.holds.shape[1] + center, t.size[dataset]))


@kernel
def fetch(t: Traffic, now: int, copy: int) -> None:
    """A job needs a dataset at a center: a copy that is missing is begun, from where it comes soonest, of equals the first."""
    t.asked[copy] += 1
    if t.begin[copy] >= 0:
        return
    n_centers = t.holds.shape[1]
    dataset = copy // n_centers
    center = copy % n_centers
    best = -1
    soonest = NEVER
    for source in range(n_centers):
        ms = _copy_ms(t, dataset, source, center)
        if ms < soonest:
            best = source
            soonest = ms
    begin_transfer(t.net, now, copy, best * n_centers + center, t.size[dataset])
    t.source[copy] = best
    t.begin[copy] = now


@kernel
def bring_data(t: Traffic, f: Federation, now: int, job: int) -> bool:
    """See to the data of a job that has been bound to a center; True if all are there, else the job waits for the copy."""
    dataset = f.places.dataset[job]
    center = f.places.center[job]
    if dataset < 0 or t.holds[dataset, center] == 1:
        return True
    n_centers = t.holds.shape[1]
    copy = dataset * n_centers + center
    fetch(t, now, copy)
    t.after[job] = t.first[copy]
    t.first[copy] = job
    return False


@kernel
def complete(t: Traffic, now: int) -> int:
    """Number of copies that are complete now; they are ``t.net.due[:n]``, and the jobs that waited for each are listed from ``t.first``."""
    n = finish_due(t.net, now)
    n_centers = t.holds.shape[1]
    for k in range(n):
        copy = t.net.due[k]
        t.holds[copy // n_centers, copy % n_centers] = 1
        t.end[copy] = now
    return int(n)
