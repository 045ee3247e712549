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

from typing import TYPE_CHECKING, Final

from apportion.core.jit import kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.node_tables import NodeCounts, Nodes
    from apportion.core.tables import State

# Rules.placement
POOLED: Final = 0  # pools count, there are no nodes
FIRST_FIT: Final = 1
BEST_FIT: Final = 2
LEAST_LOADED: Final = 3
LEAST_FRAGMENTATION: Final = 4


@kernel
def room(nodes: Nodes, there: NodeCounts, job: int, node: int) -> int:
    """How many slices of the job ``node`` could take of what is ``there``."""
    shape = nodes.shapes
    if (shape.kinds[job] >> nodes.kind[node]) & 1 == 0 or (shape.whole[job] == 1 and there.jobs[node] > 0):
        return 0
    n = min(1 if shape.apart[job] == 1 else shape.slices[job], there.procs[node] // shape.procs[job])
    if shape.mem[job] > 0:
        n = min(n, there.mem[node] // shape.mem[job])
    if shape.gpus[job] > 0:
        n = min(n, there.gpus[node] // shape.gpus[job])
    return n


@kernel
def fits(nodes: Nodes, there: NodeCounts, pool: int, job: int) -> bool:
    """Whether the nodes of a pool have room for all slices of the job in what is ``there``."""
    wanted = nodes.shapes.slices[job]
    for node in range(nodes.first[pool], nodes.first[pool + 1]):
        wanted -= room(nodes, there, job, node)
        if wanted <= 0:
            return True
    return False


@kernel
def fits_now(s: State, job: int) -> bool:
    """Whether the nodes that the job needs are free at this instant; the pool's counts have been asked."""
    pool = s.jobs.pool[job]
    if s.nodes.shapes.whole[job] == 1 and s.nodes.idle[pool] == 0:
        return False
    return fits(s.nodes, s.nodes.free, pool, job)


@kernel
def choose(s: State, there: NodeCounts, job: int) -> int:
    """Choose nodes for a job that fits what is ``there``; their number. What they give stands in ``s.nodes``."""
    nodes = s.nodes
    pool = s.jobs.pool[job]
    last = nodes.first[pool + 1]
    low = nodes.first[pool]
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
    _share_out(nodes, there, job, n)
    return n


@kernel
def _add(nodes: Nodes, n: int, node: int, slices: int) -> None:
    nodes.chosen[n] = node
    nodes.share[n] = slices


@kernel
def _first_fit(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    for node in range(low, high):
        slices = min(wanted, room(nodes, there, job, node))
        if slices > 0:
            _add(nodes, n, node, slices)
            n += 1
            wanted -= slices
            if wanted == 0:
                break
    return n


@kernel
def _sort(nodes: Nodes, low: int, high: int, largest: int) -> None:
    """Write the nodes ``low`` to ``high`` to ``order`` by descending ``room`` (0 to ``largest``), of equals the lowest index first."""
    bucket = nodes.bucket
    for i in range(largest + 2):
        bucket[i] = 0
    for node in range(low, high):
        bucket[nodes.room[node]] += 1
    place = 0
    for i in range(largest, -1, -1):
        here = bucket[i]
        bucket[i] = place
        place += here
    for node in range(low, high):
        nodes.order[bucket[nodes.room[node]]] = node
        bucket[nodes.room[node]] += 1


@kernel
def _best_fit(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    largest = 0
    for node in range(low, high):
        nodes.room[node] = room(nodes, there, job, node)
        largest = max(largest, nodes.room[node])
    if largest == 0:
        return n
    if largest < wanted:
        _sort(nodes, low, high, largest)
    i = 0
    while wanted > 0 and i < high - low:
        if largest >= wanted:  # one of those that are left suffices
            best = -1
            for node in range(low, high):
                enough = nodes.room[node] >= wanted
                if enough and (best < 0 or there.procs[node] < there.procs[best]):
                    best = node
            _add(nodes, n, best, wanted)
            return n + 1
        node = nodes.order[i]
        if nodes.room[node] == 0:
            break
        _add(nodes, n, node, nodes.room[node])
        n += 1
        wanted -= nodes.room[node]
        nodes.room[node] = 0
        i += 1
        largest = nodes.room[nodes.order[i]] if i < high - low else 0
    return n


@kernel
def _least_loaded(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    largest = 0
    for node in range(low, high):
        nodes.room[node] = there.procs[node] if room(nodes, there, job, node) > 0 else 0
        largest = max(largest, nodes.room[node])
    _sort(nodes, low, high, largest)
    for i in range(high - low):
        node = nodes.order[i]
        if wanted == 0 or nodes.room[node] == 0:
            break
        slices = min(wanted, room(nodes, there, job, node))
        _add(nodes, n, node, slices)
        n += 1
        wanted -= slices
    return n


@kernel
def _least_fragmentation(nodes: Nodes, there: NodeCounts, job: int, low: int, high: int, wanted: int, n: int) -> int:
    largest = 0
    for node in range(low, high):
        used = there.jobs[node] > 0 and room(nodes, there, job, node) > 0
        nodes.room[node] = there.procs[node] if used else 0
        largest = max(largest, nodes.room[node])
    _sort(nodes, low, high, largest)
    i = high - low - 1
    while i >= 0 and nodes.room[nodes.order[i]] == 0:
        i -= 1
    while i >= 0 and wanted > 0:  # from few free processors to many
        first = i
        while first > 0 and nodes.room[nodes.order[first - 1]] == nodes.room[nodes.order[i]]:
            first -= 1
        for k in range(first, i + 1):
            slices = min(wanted, room(nodes, there, job, nodes.order[k]))
            if slices > 0:
                _add(nodes, n, nodes.order[k], slices)
                n += 1
                wanted -= slices
        i = first - 1
    for node in range(low, high):
        nodes.room[node] = room(nodes, there, job, node) if there.jobs[node] == 0 else 0
    while wanted > 0:
        run = _shortest_run(nodes, there, low, high, wanted)
        if run < 0:
            break
        node = run
        while node < high and there.jobs[node] == 0 and wanted > 0:
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
def _deal(amount: int, slices: int, n: int) -> int:
    """What the first ``n`` of so many slices get of an amount that is dealt out one by one."""
    return n * (amount // slices) + min(n, amount % slices)


@kernel
def _share_out(nodes: Nodes, there: NodeCounts, job: int, n: int) -> None:
    """Work out what each chosen node gives."""
    shape = nodes.shapes
    procs = shape.all_procs[job]
    mem = shape.all_mem[job]
    gpus = shape.all_gpus[job]
    left = shape.slices[job]
    for k in range(n):
        node = nodes.chosen[k]
        if shape.whole[job] == 1:
            nodes.procs[k] = there.procs[node]
            nodes.mem[k] = there.mem[node]
            nodes.gpus[k] = there.gpus[node]
        else:
            nodes.procs[k] = _deal(procs, left, nodes.share[k])
            nodes.mem[k] = _deal(mem, left, nodes.share[k])
            nodes.gpus[k] = _deal(gpus, left, nodes.share[k])
            procs -= nodes.procs[k]
            mem -= nodes.mem[k]
            gpus -= nodes.gpus[k]
            left -= nodes.share[k]


@kernel
def take(nodes: Nodes, there: NodeCounts, n: int, sign: int) -> None:
    """Take what was chosen out of what is ``there`` (``sign`` 1), or put it back (-1)."""
    for k in range(n):
        node = nodes.chosen[k]
        there.procs[node] -= sign * nodes.procs[k]
        there.mem[node] -= sign * nodes.mem[k]
        there.gpus[node] -= sign * nodes.gpus[k]
        there.jobs[node] += sign


@kernel
def _note(nodes: Nodes, event: int) -> None:
    """Add a start or an end to the log; it has room for one of each for every job, and counts on when it is full."""
    if nodes.logged[0] < nodes.log.size:
        nodes.log[nodes.logged[0]] = event
    nodes.logged[0] += 1


@kernel
def allocate(s: State, job: int) -> None:
    """Give a job that starts its nodes."""
    nodes = s.nodes
    held = nodes.held
    n = choose(s, nodes.free, job)
    take(nodes, nodes.free, n, 1)
    for k in range(n - 1, -1, -1):
        cell = held.vacant[0]
        held.vacant[0] = held.next[cell]
        held.node[cell] = nodes.chosen[k]
        held.procs[cell] = nodes.procs[k]
        held.mem[cell] = nodes.mem[k]
        held.gpus[cell] = nodes.gpus[k]
        held.next[cell] = held.first[job]
        held.first[job] = cell
        if nodes.free.jobs[nodes.chosen[k]] == 1:
            nodes.idle[s.jobs.pool[job]] -= 1
    _note(nodes, job)


@kernel
def give_back(nodes: Nodes, there: NodeCounts, job: int) -> None:
    """Put what the job holds back to what is ``there``."""
    held = nodes.held
    cell = held.first[job]
    while cell >= 0:
        node = held.node[cell]
        there.procs[node] += held.procs[cell]
        there.mem[node] += held.mem[cell]
        there.gpus[node] += held.gpus[cell]
        there.jobs[node] -= 1
        cell = held.next[cell]


@kernel
def release(s: State, job: int) -> None:
    """Take the nodes of a job that has ended back."""
    nodes = s.nodes
    held = nodes.held
    give_back(nodes, nodes.free, job)
    cell = held.first[job]
    while cell >= 0:
        if nodes.free.jobs[held.node[cell]] == 0:
            nodes.idle[s.jobs.pool[job]] += 1
        after = held.next[cell]
        held.next[cell] = held.vacant[0]
        held.vacant[0] = cell
        cell = after
    held.first[job] = -1
    _note(nodes, -1 - job)


@kernel
def note_blocked(s: State, now: int) -> None:
    """Note which processors are free, and enough for the first job in line, and of no use to it; count them until now."""
    nodes = s.nodes
    for pool in range(nodes.blocked.size):
        nodes.lost[pool] += nodes.blocked[pool] * (now - nodes.since[0])
        head = s.pools.head[pool]
        waits = head >= 0 and s.jobs.procs[head] <= s.pools.free[pool]
        nodes.blocked[pool] = s.pools.free[pool] if waits else 0
    nodes.since[0] = now


@kernel
def _fits_later(s: State, pool: int, job: int) -> bool:
    """Whether a job fits what will be free when the head of its pool is expected to start."""
    nodes = s.nodes
    if s.jobs.procs[job] > nodes.later_procs[pool]:
        return False
    for e in range(s.pools.extra.shape[1]):
        if s.jobs.extra[job, e] > nodes.later_extra[pool, e]:
            return False
    return fits(nodes, nodes.later, pool, job)


@kernel
def _count_later(s: State, pool: int, job: int, sign: int) -> None:
    s.nodes.later_procs[pool] += sign * s.jobs.procs[job]
    for e in range(s.pools.extra.shape[1]):
        s.nodes.later_extra[pool, e] += sign * s.jobs.extra[job, e]


@kernel
def look_ahead(s: State, pool: int, head: int) -> int:
    """When the running jobs will have left room for ``head`` if all take as long as expected (ms); what is free then stands in ``later``."""
    nodes = s.nodes
    free = nodes.free
    later = nodes.later
    for node in range(nodes.first[pool], nodes.first[pool + 1]):
        later.procs[node] = free.procs[node]
        later.mem[node] = free.mem[node]
        later.gpus[node] = free.gpus[node]
        later.jobs[node] = free.jobs[node]
    nodes.later_procs[pool] = s.pools.free[pool]
    for e in range(s.pools.extra.shape[1]):
        nodes.later_extra[pool, e] = s.pools.extra_free[pool, e]
    run = s.running
    i = run.first[pool]
    last = i + run.count[pool]
    while i < last:
        end = run.end[i]
        while i < last and run.end[i] == end:
            give_back(nodes, later, run.job[i])
            _count_later(s, pool, run.job[i], 1)
            i += 1
        if _fits_later(s, pool, head):
            return end
    return NEVER


@kernel
def keeps_head(s: State, pool: int, head: int, job: int) -> bool:
    """Take ``job``, which fits now and will still run then, out of ``later``; False, and nothing is taken, if ``head`` would be late."""
    nodes = s.nodes
    n = choose(s, nodes.free, job)
    take(nodes, nodes.later, n, 1)
    _count_later(s, pool, job, -1)
    if _fits_later(s, pool, head):
        return True
    take(nodes, nodes.later, n, -1)
    _count_later(s, pool, job, 1)
    return False
