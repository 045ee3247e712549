"""Which nodes a job gets: whole ones or parts of them, by first fit, best fit, least loaded or least fragmentation.

A job is a number of equal slices (`apportion.core.node_tables.Shapes`); the *room* of a node is how many of them it could take. Nodes of a
lower weight are used up before any of a higher one (Slurm's ``Weight``). Among nodes of equal weight:

first fit
    the lowest index.
best fit
    if one node has room for all slices that are left, of these the one with the fewest free processors; else the one with most room. So a job
    gets few nodes, and they are packed (Slurm's default for ``select/cons_tres``, slurm.conf(5), *SelectTypeParameters*).
least loaded
    the most free processors (``CR_LLN``, as there).
least fragmentation
    nodes in use first, the fullest first; then nodes without jobs. Those form *runs*, nodes whose indices follow one another: the run with least
    room of those that have room for all that is left, else the run with least room; so the longest runs stay whole. Within a run, the lowest index.

All ties go to the lowest index. A pool's counts are kept beside (what jobs ask for, not what they hold), and are asked first: they are never
less than what nodes have free.

References
----------
Slurm's slurm.conf(5): SelectType, SelectTypeParameters, NodeName; Feitelson, "Packing schemes for gang scheduling", JSSPP 1996,
doi:10.1007/BFb0022289, for the trade-off between best fit and what it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_room
from apportion.core.jit import kernel
from apportion.core.node_tables import BEST_FIT, FIRST_FIT, LEAST_LOADED
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.node_tables import NodeCounts, Nodes
    from apportion.core.tables import State


@kernel
def choose(s: State, job: int) -> int:
    """Choose nodes for a job that fits what is free now; their number. What they give stands in ``s.nodes`` until something changes."""
    nodes = s.nodes
    if nodes.choice[0] == job:
        return int(nodes.choice[1])
    n = choose_of(s, nodes.free, job)
    nodes.choice[0] = job
    nodes.choice[1] = n
    return n


@kernel
def choose_of(s: State, there: NodeCounts, job: int) -> int:
    """Choose nodes for a job that fits what is ``there``; their number, and what they give stands in ``s.nodes`` until the next choice."""
    nodes = s.nodes
    nodes.choice[0] = -1
    if node_room.is_suspended(nodes, job):
        return int(_those_it_had(nodes, job))
    pool = s.jobs.pool[job]
    low = nodes.kinds[pool]
    last = nodes.kinds[pool + 1]
    wanted = nodes.shapes.slices[job]
    n = 0
    while wanted > 0 and low < last:
        high = low + 1
        while high < last and nodes.weight[high] == nodes.weight[low]:
            high += 1
        before = n
        if s.rules.placement == FIRST_FIT:
            n = _first_fit(nodes, there, job, low, high, wanted, n)
        elif s.rules.placement == BEST_FIT:
            n = _best_fit(nodes, there, job, low, high, wanted, n)
        elif s.rules.placement == LEAST_LOADED:
            n = _least_loaded(nodes, there, job, low, high, wanted, n)
        else:
            n = _least_fragmentation(nodes, there, job, low, high, wanted, n)
        for k in range(before, n):
            wanted -= nodes.share[k]
        low = high
    share_out(nodes, there, job, n)
    return n


@kernel
def _those_it_had(nodes: Nodes, job: int) -> int:
    """Choose the nodes of a suspended job; their number."""
    held = nodes.held
    n = 0
    cell = held.kept[job]
    while cell >= 0:
        _add(nodes, n, held.node[cell], held.share[cell])
        nodes.procs[n] = held.procs[cell]
        nodes.mem[n] = held.mem[cell]
        nodes.gpus[n] = held.gpus[cell]
        n += 1
        cell = held.next[cell]
    return n


@kernel
def _add(nodes: Nodes, n: int, node: int, slices: int) -> None:
    nodes.chosen[n] = node
    nodes.share[n] = slices


@kernel
def _first_fit(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    procs = nodes.shapes.procs[job]
    for node in range(nodes.first_of[low], nodes.first_of[high]):
        if there.procs[node] < procs:
            continue
        slices = min(wanted, node_room.room(nodes, there, job, node))
        if slices > 0:
            _add(nodes, n, node, slices)
            n += 1
            wanted -= slices
            if wanted == 0:
                break
    return n


@kernel
def _measure(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int) -> int:
    """Write the room of nodes in each state to ``fit``, as far as processors say; the largest of those that there are."""
    whole = nodes.shapes.whole[job] == 1
    procs = nodes.shapes.procs[job]
    largest = 0
    for kind in range(low, high):
        first = nodes.states[kind]
        idle = nodes.states[kind + 1] - 1
        each = node_room.room_when_idle(nodes, job, kind)
        nodes.fit[idle] = each
        if there.alike[idle] > 0:
            largest = max(largest, each)
        for state in range(first, idle):
            nodes.fit[state] = 0
            if each > 0 and not whole and there.alike[state] > 0:
                nodes.fit[state] = min(each, (state - first) // procs)
                largest = max(largest, nodes.fit[state])
    return largest


@kernel
def _write_rooms(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int) -> int:
    """Write the room of each node to ``room``, after `_measure`; the largest."""
    exact = node_room.by_procs(nodes, job)
    largest = 0
    for node in range(nodes.first_of[low], nodes.first_of[high]):
        n = nodes.fit[there.state[node]]
        if n > 0 and not exact:
            n = node_room.room(nodes, there, job, node)
        nodes.room[node] = n
        largest = max(largest, n)
    return largest


@kernel
def _sort(nodes: Nodes, low: int, high: int, largest: int) -> int:
    """Write the nodes from ``low`` to ``high`` that have ``room`` (up to ``largest``) to ``order``, most first, of equals the lowest index.

    How many there are.
    """
    bucket = nodes.bucket
    for i in range(largest + 2):
        bucket[i] = 0
    for node in range(low, high):
        bucket[nodes.room[node]] += 1
    place = 0
    for i in range(largest, 0, -1):
        here = bucket[i]
        bucket[i] = place
        place += here
    for node in range(low, high):
        if nodes.room[node] > 0:
            nodes.order[bucket[nodes.room[node]]] = node
            bucket[nodes.room[node]] += 1
    return place


@kernel
def _alike(nodes: Nodes, there: NodeCounts, low: int, high: int, rooms: int) -> int:
    """How many nodes of some kinds have exactly so much room, after `_measure`, by processors alone."""
    n = 0
    for state in range(nodes.states[low], nodes.states[high]):
        if nodes.fit[state] == rooms:
            n += there.alike[state]
    return n


@kernel
def _tightest(nodes: Nodes, there: NodeCounts, low: int, high: int, wanted: int, largest: int, after: int) -> int:
    """Of the nodes with room for so many slices the one with the fewest free processors, after `_measure`, by processors alone.

    Nodes with the ``largest`` room count from ``after`` on; some do.
    """
    fewest = NEVER
    for kind in range(low, high):
        first = nodes.states[kind]
        idle = nodes.states[kind + 1] - 1
        for state in range(first, idle + 1):
            if there.alike[state] > 0 and nodes.fit[state] >= wanted:
                fewest = min(fewest, state - first - (state == idle))
                break
    best = -1
    for node in range(nodes.first_of[low], nodes.first_of[high]):
        fit = nodes.fit[there.state[node]]
        if fit < wanted or (fit == largest and node < after):
            continue
        if there.procs[node] == fewest:
            return node
        if best < 0 or there.procs[node] < there.procs[best]:
            best = node
    return best


@kernel
def _roomiest(nodes: Nodes, there: NodeCounts, low: int, high: int, wanted: int, largest: int, n: int) -> int:
    """Take as many nodes with the ``largest`` room as are filled, and the tightest for what is left; after `_measure`, by processors alone."""
    node = nodes.first_of[low]
    while wanted > largest:
        if nodes.fit[there.state[node]] == largest:
            _add(nodes, n, node, largest)
            n += 1
            wanted -= largest
        node += 1
    _add(nodes, n, _tightest(nodes, there, low, high, wanted, largest, node), wanted)
    return n + 1


@kernel
def _best_fit(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    largest = _measure(nodes, there, job, low, high)
    if largest == 0:
        return n
    if node_room.by_procs(nodes, job) and largest * _alike(nodes, there, low, high, largest) >= wanted:
        return _roomiest(nodes, there, low, high, wanted, largest, n)
    begin = nodes.first_of[low]
    end = nodes.first_of[high]
    largest = _write_rooms(nodes, there, job, low, high)
    left = _sort(nodes, begin, end, largest) if largest < wanted else 1
    i = 0
    while wanted > 0 and i < left:
        if largest >= wanted:  # one of those that are left suffices
            best = -1
            for node in range(begin, end):
                if nodes.room[node] >= wanted and (best < 0 or there.procs[node] < there.procs[best]):
                    best = node
            _add(nodes, n, best, wanted)
            return n + 1
        node = nodes.order[i]
        _add(nodes, n, node, nodes.room[node])
        n += 1
        wanted -= nodes.room[node]
        nodes.room[node] = 0
        i += 1
        largest = nodes.room[nodes.order[i]] if i < left else 0
    return n


@kernel
def _least_loaded(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    _measure(nodes, there, job, low, high)
    _write_rooms(nodes, there, job, low, high)
    begin = nodes.first_of[low]
    end = nodes.first_of[high]
    largest = 0
    for node in range(begin, end):
        if nodes.room[node] > 0:
            nodes.room[node] = there.procs[node]
            largest = max(largest, nodes.room[node])
    left = _sort(nodes, begin, end, largest)
    for i in range(left):
        if wanted == 0:
            break
        node = nodes.order[i]
        slices = min(wanted, node_room.room(nodes, there, job, node))
        _add(nodes, n, node, slices)
        n += 1
        wanted -= slices
    return n


@kernel
def _sort_used(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int) -> int:
    """Write the nodes in use that have room to ``order``, the fullest first; how many, after `_measure`."""
    _write_rooms(nodes, there, job, low, high)
    begin = nodes.first_of[low]
    end = nodes.first_of[high]
    largest = 0
    for node in range(begin, end):
        if there.jobs[node] == 0:
            nodes.room[node] = 0
        elif nodes.room[node] > 0:
            largest = max(largest, there.procs[node])
    for node in range(begin, end):
        if nodes.room[node] > 0:
            nodes.room[node] = largest + 1 - there.procs[node]
    return _sort(nodes, begin, end, largest)


@kernel
def _least_fragmentation(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    begin = nodes.first_of[low]
    end = nodes.first_of[high]
    if _measure(nodes, there, job, low, high) == 0:
        return n
    for i in range(_sort_used(nodes, there, job, low, high)):
        node = nodes.order[i]
        slices = min(wanted, node_room.room(nodes, there, job, node))
        _add(nodes, n, node, slices)
        n += 1
        wanted -= slices
        if wanted == 0:
            return n
    _write_rooms(nodes, there, job, low, high)
    for node in range(begin, end):
        if there.jobs[node] > 0:
            nodes.room[node] = 0
    while wanted > 0:
        run = _shortest_run(nodes, there, begin, end, wanted)
        if run < 0:
            break
        node = run
        while node < end and there.jobs[node] == 0 and wanted > 0:
            slices = min(wanted, nodes.room[node])
            if slices > 0:
                _add(nodes, n, node, slices)
                n += 1
                wanted -= slices
            nodes.room[node] = 0
            node += 1
    return n


@kernel
def _shortest_run(nodes: Nodes, there: NodeCounts, low: int, high: int, wanted: int) -> int:
    """First node of the run without jobs that has least room of those with room for all, else least room; -1 if none has any."""
    best = -1
    best_sum = 0
    node = low
    while node < high:
        begin = node
        total = 0
        while node < high and there.jobs[node] == 0:
            total += nodes.room[node]
            node += 1
        if total > 0:
            enough = total >= wanted
            is_better = best < 0 or (enough and best_sum < wanted)
            if is_better or (enough == (best_sum >= wanted) and total < best_sum):
                best = begin
                best_sum = total
        node += 1
    return best


@kernel
def share_out(nodes: Nodes, there: NodeCounts, job: int, n: int) -> None:
    """Work out what each chosen node gives: what the job asks for is dealt out to its slices one by one."""
    shape = nodes.shapes
    slices = shape.slices[job]
    procs, more_procs = shape.all_procs[job] // slices, shape.all_procs[job] % slices
    mem, more_mem = shape.all_mem[job] // slices, shape.all_mem[job] % slices
    gpus, more_gpus = shape.all_gpus[job] // slices, shape.all_gpus[job] % slices
    for k in range(n):
        node = nodes.chosen[k]
        if shape.whole[job] == 1:
            nodes.procs[k] = there.procs[node]
            nodes.mem[k] = there.mem[node]
            nodes.gpus[k] = there.gpus[node]
        else:
            share = nodes.share[k]
            nodes.procs[k] = share * procs + min(share, more_procs)
            nodes.mem[k] = share * mem + min(share, more_mem)
            nodes.gpus[k] = share * gpus + min(share, more_gpus)
            more_procs -= min(share, more_procs)
            more_mem -= min(share, more_mem)
            more_gpus -= min(share, more_gpus)
