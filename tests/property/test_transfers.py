"""Transfers: what must hold of every sharing of links, and the kernels against their naive twins."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.errors import UserError
from apportion.core.handle import handle
from apportion.core.tables import NEVER
from apportion.sim.transfers import (
    begin_transfer,
    build_network,
    change_capacity,
    estimate_ms,
    finish_due,
    next_done,
    stop_transfer,
)
from oracles.network import Flow, max_min, play, whole_rates

CENTERS = ["a", "b", "c", "d"]
EDGES = [("a", "r"), ("r", "b"), ("r", "c"), ("a", "b"), ("c", "d"), ("b", "r"), ("d", "c"), ("c", "r"), ("r", "a")]


def network(capacities, latencies=None, n_transfers=12, edges=EDGES, centers=CENTERS):
    graph = nx.DiGraph()
    graph.add_nodes_from(centers)
    latencies = latencies or [1] * len(edges)
    for (a, b), room, delay in zip(edges, capacities, latencies, strict=True):
        graph.add_edge(a, b, capacity=room, latency_ms=delay)
    table = build_network(graph, centers, n_transfers)
    # networkx lists edges by node: our numbers are those of the table
    number = {edge: k for k, edge in enumerate(graph.edges)}
    return table, handle(table), number


def route(table, pair):
    return table.route_link[table.route_first[pair] : table.route_first[pair + 1]].tolist()


def pairs(table):
    """Pairs of two different centers with a route between them."""
    return [p for p in range(16) if p // 4 != p % 4 and table.latency[p] >= 0]


def test_the_textbook_example():
    """Three links of 1 in a row; one flow over all, two more on the first, one on the second (section 6.5.2)."""
    edges = [("a", "b"), ("b", "c"), ("c", "d")]
    table, net, _ = network([900, 900, 900], edges=edges)
    for transfer, (source, destination) in enumerate([("a", "d"), ("a", "b"), ("a", "b"), ("b", "c"), ("c", "d")]):
        pair = CENTERS.index(source) * 4 + CENTERS.index(destination)
        begin_transfer(net, 0, transfer, pair, 10**6)
    next_done(net)
    assert table.rate[:5].tolist() == [300, 300, 300, 600, 600]


def test_a_transfer_alone_and_one_that_speeds_up():
    """By hand: 1000 B/s. A of 2000 B begins at 0; B of 500 B at 1 s. Both have 500 B/s until B is sent at 2 s; A has 500 B left."""
    table, net, _ = network([1000], [40], edges=[("a", "b")])
    begin_transfer(net, 0, 0, 1, 2000)
    assert next_done(net) == 2000
    assert estimate_ms(net, 1, 500) == 1000 + 40
    begin_transfer(net, 1000, 1, 1, 500)
    assert next_done(net) == 2000
    assert finish_due(net, 2000) == 0  # sent, but not arrived
    assert next_done(net) == 2040
    assert (finish_due(net, 2040), table.due[0]) == (1, 1)
    assert next_done(net) == 2500
    assert finish_due(net, 2500) == 0
    assert next_done(net) == 2540
    assert (finish_due(net, 2540), table.due[0]) == (1, 0)
    assert next_done(net) == NEVER


def test_routes_have_the_least_latency_then_the_fewest_links():
    edges = [("a", "r"), ("r", "b"), ("a", "b"), ("b", "c"), ("a", "c")]
    table, net, number = network([10] * 5, [2, 3, 5, 1, 7], edges=edges)
    assert route(table, 1) == [number["a", "b"]]  # 5 ms either way
    assert route(table, 2) == [number["a", "b"], number["b", "c"]]  # 6 ms against 7
    assert table.latency[[1, 2, 3, 4, 5]].tolist() == [5, 6, -1, -1, 0]
    assert estimate_ms(net, 3, 1) == NEVER
    assert route(table, 5) == []


@pytest.mark.parametrize(("room", "delay", "named"), [(0, 1, "from a to b"), (-5, 1, "-5"), (5, -1, "-1 ms")])
def test_links_that_cannot_be(room, delay, named):
    with pytest.raises(UserError, match=named):
        network([room], [delay], edges=[("a", "b")])


def test_a_center_that_no_link_names():
    with pytest.raises(UserError, match="center z"):
        build_network(nx.DiGraph(), ["z"], 1)


def test_a_dead_link_stops_who_uses_it_and_no_one_else():
    """Two links in a row; the second is cut. Who needs both stands still, who needs the first has all of it, more users than bytes or not."""
    edges = [("a", "b"), ("b", "c")]
    table, net, number = network([1, 1], edges=edges)
    for transfer, pair in enumerate([2, 2, 2, 1, 1]):
        begin_transfer(net, 0, transfer, pair, 10)
    change_capacity(net, 0, number["b", "c"], 0)
    next_done(net)
    assert table.rate[:5].tolist() == [0, 0, 0, 1, 1]
    assert estimate_ms(net, 2, 1) == NEVER
    change_capacity(net, 1000, number["a", "b"], 0)
    assert next_done(net) == NEVER
    assert table.left[:5].tolist() == [10_000, 10_000, 10_000, 9_000, 9_000]
    change_capacity(net, 5000, number["a", "b"], 20)
    assert table.left[:5].tolist() == [10_000, 10_000, 10_000, 9_000, 9_000]
    assert next_done(net) == 5900  # ten bytes a second each


@given(
    capacities=st.lists(st.integers(1, 60), min_size=len(EDGES), max_size=len(EDGES)),
    chosen=st.lists(st.integers(0, 11), min_size=1, max_size=6),
    exact=st.booleans(),
)
def test_rates_are_max_min_fair(capacities, chosen, exact):
    unit = 60**6 if exact else 1  # divisible by every number of users in every round
    table, net, _ = network([room * unit for room in capacities])
    known = pairs(table)
    chosen = [known[k % len(known)] for k in chosen]
    for transfer, pair in enumerate(chosen):
        begin_transfer(net, 0, transfer, pair, 10**12)
    next_done(net)
    rooms = table.capacity.tolist()
    routes = [route(table, pair) for pair in chosen]
    rates = table.rate[: len(chosen)].tolist()
    assert rates == whole_rates(rooms, routes)
    if exact:
        assert rates == max_min(rooms, routes)
    for link, room in enumerate(rooms):
        users = [rate for rate, way in zip(rates, routes, strict=True) if link in way]
        if room >= len(chosen):  # else the least rate of 1 may be too much
            assert sum(users) <= room
    if min(rooms) >= len(chosen):
        for rate, way in zip(rates, routes, strict=True):
            bottlenecks = []
            for link in way:
                users = [r for r, w in zip(rates, routes, strict=True) if link in w]
                bottlenecks.append(rooms[link] - sum(users) < len(users) and rate == max(users))
            assert any(bottlenecks)
    for pair in known:  # what an estimate promises is the rate of one more transfer
        expected = whole_rates(rooms, [*routes, route(table, pair)])[-1]
        assert estimate_ms(net, pair, 7_000_000) == -(-7_000_000_000 // expected) + table.latency[pair]
    assert table.rate[: len(chosen)].tolist() == rates  # and asking changes nothing


@st.composite
def histories(draw):
    flows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 40),
                st.integers(0, 11),
                st.integers(0, 9),
                st.one_of(st.none(), st.none(), st.integers(1, 120)),
            ),
            min_size=1,
            max_size=6,
        )
    )
    changes = draw(st.dictionaries(st.integers(1, 80), st.tuples(st.integers(0, len(EDGES) - 1), st.just(0))))
    for time in sorted(changes):  # what goes away comes back
        changes[time] = (changes[time][0], draw(st.sampled_from([0, 100, 2000])))
    for k, edge in enumerate(EDGES):
        del edge
        changes[90 + k] = (k, 500)
    capacities = draw(st.lists(st.sampled_from([1, 3, 100, 250, 1000]), min_size=len(EDGES), max_size=len(EDGES)))
    latencies = draw(st.lists(st.sampled_from([0, 1, 30]), min_size=len(EDGES), max_size=len(EDGES)))
    return flows, changes, capacities, latencies


@settings(max_examples=150)
@given(history=histories(), lazy=st.booleans())
def test_arrivals_are_those_of_a_clock_that_ticks(history, lazy):
    """Begin, stop and change as they come; the network is looked at when it says so, or (``lazy``) at the end only."""
    drawn, changes, capacities, latencies = history
    table, net, _ = network(capacities, latencies)
    known = pairs(table)
    flows = []
    for begin, number, size, after in drawn:
        pair = known[number % len(known)]
        stop = None if after is None or lazy else begin + after
        flows.append((pair, Flow(begin, size, route(table, pair), int(table.latency[pair]), stop)))
    until = 1000
    play(table.capacity.tolist(), [flow for _, flow in flows], changes, until)
    happens = [(time, 0, link, room) for time, (link, room) in changes.items()]
    happens += [(flow.stop, 1, k, 0) for k, (_, flow) in enumerate(flows) if flow.stop is not None]
    happens += [(flow.begin, 2, k, 0) for k, (_, flow) in enumerate(flows)]
    arrived: dict[int, int] = {}

    def look(now):
        n = finish_due(net, now)
        found = table.due[:n].tolist()
        assert lazy or found == sorted(found)
        for k in found:
            assert k not in arrived
            arrived[k] = now

    for time, what, k, room in [*sorted(happens), (until, 3, 0, 0)]:
        while not lazy and next_done(net) <= time:
            now = next_done(net)
            look(now)
            assert next_done(net) > now
        if what == 0:
            change_capacity(net, time, k, room)
        elif what == 1:
            if k not in arrived:
                stop_transfer(net, time, k)
        elif what == 2:
            begin_transfer(net, time, k, flows[k][0], flows[k][1].size)
    look(until)
    expected = {k: flow.arrival for k, (_, flow) in enumerate(flows) if flow.arrival is not None}
    if lazy:
        assert arrived.keys() == expected.keys()
    else:
        assert arrived == expected


@given(
    sizes=st.lists(st.integers(1, 10**15), min_size=1, max_size=12),
    room=st.integers(12, 10**12),
    start=st.integers(-(10**12), 10**12),
)
def test_bytes_are_conserved(sizes, room, start):
    """One link that is never idle until all is sent: it sends all bytes, at its capacity but for rounding."""
    table, net, _ = network([room], [0], edges=[("a", "b")])
    for transfer, size in enumerate(sizes):
        begin_transfer(net, start, transfer, 1, size)
    last, done, looks = start, 0, 0
    while (now := next_done(net)) != NEVER:
        sending = table.sending[: table.clock[1]].copy()
        before = table.left[sending].copy()
        rates = table.rate[sending].copy()
        done += finish_due(net, now)
        assert np.array_equal(before - table.left[sending], np.minimum(before, rates * (now - last)))
        last, looks = now, looks + 1
    assert done == len(sizes)
    assert looks <= len(sizes)
    assert last - start >= sum(sizes) * 1000 // room
    if room >= 10**6:
        assert last - start <= sum(sizes) * 1000 / (room - len(sizes)) + looks
