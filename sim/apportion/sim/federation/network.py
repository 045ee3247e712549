"""Routes between centers, and how long data take on them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from apportion.core.tables import Ints
    from apportion.sim.scenario import Scenario


def data_times(scenario: Scenario) -> Ints:
    """Time to bring each dataset to each center while nothing else is under way, ms: 0 where it is, -1 without a route.

    Returns
    -------
    int64[n_datasets, n_centers]
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(entry.Center for entry in scenario.centers)
    for link in scenario.links:
        ends = [(link.From, link.To), (link.To, link.From)] if link.Duplex else [(link.From, link.To)]
        for a, b in ends:
            graph.add_edge(a, b, latency=link.Latency, rate=link.Bandwidth)
    table = np.full((len(scenario.datasets), len(scenario.centers)), -1, np.int64)
    for d, dataset in enumerate(scenario.datasets):
        for c, center in enumerate(scenario.centers):
            if center.Center in dataset.Replicas:
                table[d, c] = 0
                continue
            if center.Storage is not None and dataset.Size > center.Storage:
                continue
            found = []
            for source in dataset.Replicas:
                try:
                    path = nx.shortest_path(graph, source, center.Center, weight="latency")
                except nx.NetworkXNoPath:
                    continue
                edges = [graph.edges[a, b] for a, b in pairwise(path)]
                seconds = sum(edge["latency"] for edge in edges) + dataset.Size / min(edge["rate"] for edge in edges)
                found.append(max(round(seconds * 1000), 1))
            if found:
                table[d, c] = min(found)
    return table
