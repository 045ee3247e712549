"""Transfers that compete for links: rates by max-min fairness, in whole numbers, so that every driver sees the same.

The rates are those of progressive filling (Bertsekas & Gallager, Data Networks, 2nd edition 1992, section 6.5.2): all rates
rise together until a link is full, those that use it stay as they are, the others rise on. They change whenever a transfer begins or has
sent its last byte.

Rounding: a rate is a whole number of bytes per second, rounded down, but at least 1 where all links have some capacity; what is left to send is
counted in thousandths of a byte, so that rate times milliseconds is exact; a transfer holds its rate until the end of the millisecond
in which it sends its last byte, and takes at least one millisecond. The latency of the route is added once, after the last byte.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from apportion.core.errors import UserError
from apportion.core.handle import table
from apportion.core.jit import kernel
from apportion.core.tables import NEVER, Ints
from apportion.sim import heap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

MAX_BYTES = 2**62 // 1000  # of one transfer
UNBOUNDED = 2**53  # bytes per second of a route without links
UNKNOWN = -1  # a rate that has not been settled yet


@table
class Network(NamedTuple):
    """Links, the routes between centers, and the transfers under way.

    ``capacity`` : of each link, bytes per second. A *pair* is source times the number of centers plus destination: ``latency`` : of
    its route, ms, -1 without one; ``route_link[route_first[pair]:route_first[pair + 1]]`` : its links.
    One row a transfer: ``pair``; ``left`` : thousandths of a byte; ``rate`` : bytes per second, 0 unless it sends.
    ``sending`` : transfers that send, the first ``clock[N_SENDING]``, in no order. ``landing_time``, ``landing`` : heap of those that have sent
    all, by arrival. ``due`` : what `finish_due` found. ``rest``, ``users`` (n_links), ``share`` : scratch. ``clock`` : see `NOW`.
    """

    capacity: Ints
    route_first: Ints
    route_link: Ints
    latency: Ints
    pair: Ints
    left: Ints
    rate: Ints
    sending: Ints
    landing_time: Ints
    landing: Ints
    due: Ints
    rest: Ints
    users: Ints
    share: Ints
    clock: Ints


# Rows of Network.clock: ms up to which `left` is true, entries of `sending`, entries of the heap, 1 if the rates are not those of `sending`.
NOW = 0
N_SENDING = 1
N_LANDING = 2
STALE = 3


def build_network(graph: nx.DiGraph, centers: Sequence[str], n_transfers: int) -> Network:
    """Lay out the network of a graph.

    Parameters
    ----------
    graph : networkx.DiGraph
        Edges, one for each direction of a link, with ``capacity`` (bytes per second, int) and ``latency_ms`` (int); nodes are centers
        and whatever lies between. Links are numbered in the order of ``graph.edges``.
    centers : sequence of str
        Their order numbers the pairs.
    n_transfers : int
        Transfers are 0 to ``n_transfers - 1``, each under way at most once at a time.

    Returns
    -------
    Network
        The route of a pair has the least latency, then the fewest links, then the order of the graph decides.

    Raises
    ------
    UserError
        If a link has no capacity or a negative latency, or a center is not in the graph.
    """
    import networkx as nx

    for a, b, link in graph.edges(data=True):
        if not 0 < link["capacity"] <= UNBOUNDED or link["latency_ms"] < 0:
            raise UserError(
                f"the link from {a} to {b} has {link['capacity']} bytes per second and a latency of {link['latency_ms']} ms",
                "give it a positive bandwidth and a latency of zero or more",
            )
    unknown = [center for center in centers if center not in graph]
    if unknown:
        raise UserError(f"center {unknown[0]} is not in the network", "name it in a link, or add it as a node")
    number = {edge: k for k, edge in enumerate(graph.edges)}
    n_nodes = graph.number_of_nodes()

    def by_latency_then_links(_a: str, _b: str, link: dict[str, Any]) -> int:
        return int(link["latency_ms"] * n_nodes + 1)  # no shortest route has as many links as there are nodes

    first, links, latency = [0], [], []
    for source in centers:
        paths = nx.single_source_dijkstra_path(graph, source, weight=by_latency_then_links)
        for destination in centers:
            edges = list(pairwise(paths.get(destination, [])))
            links += [number[edge] for edge in edges]
            first.append(len(links))
            total = sum(graph.edges[edge]["latency_ms"] for edge in edges)
            latency.append(total if destination in paths else -1)

    def empty(n: int) -> Ints:
        return np.zeros(n, np.int64)

    clock = empty(4)
    clock[NOW] = -NEVER
    return Network(
        capacity=np.array([link["capacity"] for _, _, link in graph.edges(data=True)], np.int64),
        route_first=np.array(first, np.int64),
        route_link=np.array(links, np.int64),
        latency=np.array(latency, np.int64),
        pair=np.full(n_transfers, -1, np.int64),
        left=empty(n_transfers),
        rate=empty(n_transfers),
        sending=empty(n_transfers),
        landing_time=empty(n_transfers),
        landing=empty(n_transfers),
        due=empty(n_transfers),
        rest=empty(len(number)),
        users=empty(len(number)),
        share=empty(n_transfers + 1),
        clock=clock,
    )


@kernel
def _pair_of(net: Network, k: int, extra: int) -> int:
    """Pair of the k-th transfer that sends; ``extra`` comes after the last."""
    return int(net.pair[net.sending[k]]) if k < net.clock[N_SENDING] else extra


@kernel
def _fill(net: Network, extra: int) -> None:
    """Fill ``net.share`` with the max-min fair rates of all that send, and of one more transfer of the pair ``extra`` unless that is -1."""
    n = net.clock[N_SENDING] + (1 if extra >= 0 else 0)
    for link in range(net.capacity.size):
        net.rest[link] = net.capacity[link]
        net.users[link] = 0
    for k in range(n):
        pair = _pair_of(net, k, extra)
        net.share[k] = _unshared(net, pair)
        if net.share[k] == UNKNOWN:
            for at in range(net.route_first[pair], net.route_first[pair + 1]):
                net.users[net.route_link[at]] += 1
    while True:
        fullest = -1
        level = 0
        for link in range(net.capacity.size):
            if net.users[link] > 0:
                fair = net.rest[link] // net.users[link]
                if fullest < 0 or fair < level:
                    fullest = link
                    level = fair
        if fullest < 0:
            return
        level = max(level, 1)
        for k in range(n):
            if net.share[k] == UNKNOWN and _uses(net, _pair_of(net, k, extra), fullest):
                pair = _pair_of(net, k, extra)
                net.share[k] = level
                for at in range(net.route_first[pair], net.route_first[pair + 1]):
                    net.rest[net.route_link[at]] -= level
                    net.users[net.route_link[at]] -= 1


@kernel
def _unshared(net: Network, pair: int) -> int:
    """Rate on a route that has no link to share or one without capacity, else UNKNOWN."""
    if net.route_first[pair + 1] == net.route_first[pair]:
        return UNBOUNDED
    for at in range(net.route_first[pair], net.route_first[pair + 1]):
        if net.capacity[net.route_link[at]] == 0:
            return 0
    return UNKNOWN


@kernel
def _uses(net: Network, pair: int, link: int) -> bool:
    for at in range(net.route_first[pair], net.route_first[pair + 1]):
        if net.route_link[at] == link:
            return True
    return False


@kernel
def _refresh(net: Network) -> None:
    """Give every transfer that sends its rate."""
    if net.clock[STALE] == 0:
        return
    _fill(net, -1)
    for k in range(net.clock[N_SENDING]):
        net.rate[net.sending[k]] = net.share[k]
    net.clock[STALE] = 0


@kernel
def _send_ms(left: int, rate: int) -> int:
    """Time to send the rest, ms, rounded up."""
    return NEVER if rate == 0 else max((left + rate - 1) // rate, 1)


@kernel
def _next_sent(net: Network) -> int:
    """When the first of those that send has sent its last byte, ms; rates must be fresh."""
    soonest = NEVER
    for k in range(net.clock[N_SENDING]):
        transfer = net.sending[k]
        soonest = min(soonest, _send_ms(net.left[transfer], net.rate[transfer]))
    return NEVER if soonest == NEVER else int(net.clock[NOW] + soonest)


@kernel
def _advance(net: Network, now: int) -> None:
    """Send until ``now``, which is not after anything that changes the rates; what is all sent goes on to land."""
    elapsed = now - net.clock[NOW]
    kept = 0
    for k in range(net.clock[N_SENDING]):
        transfer = net.sending[k]
        if _send_ms(net.left[transfer], net.rate[transfer]) > elapsed:
            net.left[transfer] -= net.rate[transfer] * elapsed
            net.sending[kept] = transfer
            kept += 1
        else:
            net.left[transfer] = 0
            net.rate[transfer] = 0
            net.clock[STALE] = 1
            arrival = now + net.latency[net.pair[transfer]]
            heap.push(net.landing_time, net.landing, net.clock[N_LANDING], arrival, transfer)
            net.clock[N_LANDING] += 1
    net.clock[N_SENDING] = kept
    net.clock[NOW] = now


@kernel
def _catch_up(net: Network, now: int) -> None:
    """Let everything happen until ``now``."""
    while net.clock[NOW] < now:
        _refresh(net)
        sent = _next_sent(net)
        _advance(net, min(sent, now))


@kernel
def begin_transfer(net: Network, now: int, transfer: int, pair: int, n_bytes: int) -> None:
    """Begin to send; the pair must have a route, and the transfer must not be under way.

    Parameters
    ----------
    now : int
        ms; never earlier than in the last call.
    transfer, pair : int
    n_bytes : int
        At most `MAX_BYTES`.
    """
    _catch_up(net, now)
    net.pair[transfer] = pair
    net.left[transfer] = n_bytes * 1000
    net.sending[net.clock[N_SENDING]] = transfer
    net.clock[N_SENDING] += 1
    net.clock[STALE] = 1


@kernel
def stop_transfer(net: Network, now: int, transfer: int) -> None:
    """Give up a transfer wherever it is; nothing happens if it is not under way."""
    _catch_up(net, now)
    for k in range(net.clock[N_SENDING]):
        if net.sending[k] == transfer:
            net.clock[N_SENDING] -= 1
            net.sending[k] = net.sending[net.clock[N_SENDING]]
            net.rate[transfer] = 0
            net.clock[STALE] = 1
            return
    kept = 0  # the first so many are a heap again, since what is pushed is never behind what is read
    for k in range(net.clock[N_LANDING]):
        time = net.landing_time[k]
        other = net.landing[k]
        if other != transfer:
            heap.push(net.landing_time, net.landing, kept, time, other)
            kept += 1
    net.clock[N_LANDING] = kept


@kernel
def change_capacity(net: Network, now: int, link: int, capacity: int) -> None:
    """Give a link another capacity, bytes per second; with 0 all that use it stand still until it has some again."""
    _catch_up(net, now)
    net.capacity[link] = capacity
    net.clock[STALE] = 1


@kernel
def next_done(net: Network) -> int:
    """When `finish_due` must be called next, ms, NEVER if nothing is under way or all stands still.

    That is when a transfer arrives, or when one has sent its last byte and the others speed up: then nothing may be due.
    """
    _refresh(net)
    sent = _next_sent(net)
    return min(sent, int(net.landing_time[0])) if net.clock[N_LANDING] > 0 else sent


@kernel
def finish_due(net: Network, now: int) -> int:
    """Number of transfers that have arrived; they are ``net.due[:n]``, by time and then by id."""
    _catch_up(net, now)
    n = 0
    while net.clock[N_LANDING] > 0 and net.landing_time[0] <= now:
        net.due[n] = net.landing[0]
        n += 1
        heap.pop(net.landing_time, net.landing, net.clock[N_LANDING])
        net.clock[N_LANDING] -= 1
    return n


@kernel
def estimate_ms(net: Network, pair: int, n_bytes: int) -> int:
    """Time a transfer would take if it began now and kept its fair share among those that send now, ms; NEVER without a route."""
    if net.latency[pair] < 0:
        return NEVER
    _fill(net, pair)
    sending = _send_ms(n_bytes * 1000, net.share[net.clock[N_SENDING]])
    return NEVER if sending == NEVER else int(sending + net.latency[pair])
