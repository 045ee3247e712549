"""Plans on nodes: when a job has room on nodes that stay free for its whole limit, and which of them it gets.

What a node has free for a job is the least that it has at any time of the job, of each resource; it is in use if it is at any. Among nodes the
machine's own choice decides (`apportion.core.node_choice`), once, when the job is planned: the plan names its nodes, nobody else is planned
there, and the job starts on them. So no plan waits for room that will be in pieces elsewhere.

Slurm's backfill does the same with bitmaps of nodes: those of all time slots that a job would touch are intersected, and nodes are selected from what
is left (src/plugins/sched/backfill; slurm.conf(5), SchedulerParameters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import node_choice, node_room, node_sets, nodes, profile
from apportion.core.jit import kernel
from apportion.core.node_tables import LEAST_FRAGMENTATION, POOLED

if TYPE_CHECKING:
    from apportion.core.tables import State

STEPS = 8  # between two questions whether there is still room
OPEN = -2  # sets of nodes do not say whether there is


@kernel
def _asks_who_is_there(s: State, job: int) -> bool:
    """Whether it matters for a job which nodes are in use, beside what they have free."""
    return bool(s.nodes.shapes.whole[job] == 1 or s.rules.placement == LEAST_FRAGMENTATION)


@kernel
def _look(s: State, pool: int, job: int, k: int) -> None:
    """Begin a window with step ``k``. What was planned in rounded times may leave less than nothing: nobody fits there."""
    rows, window = s.nodes.rows, s.nodes.window
    row = s.profile.row[k]
    low = s.nodes.first[pool]
    n = s.nodes.first[pool + 1] - low
    for i in range(n):
        window.procs[low + i] = max(rows.procs[row, i], 0)
    if _asks_who_is_there(s, job):
        for i in range(n):
            window.jobs[low + i] = rows.jobs[row, i]
    for i in range(min(n, rows.mem.shape[1])):
        window.mem[low + i] = max(rows.mem[row, i], 0)
    for i in range(min(n, rows.gpus.shape[1])):
        window.gpus[low + i] = max(rows.gpus[row, i], 0)


@kernel
def _narrow(s: State, pool: int, job: int, k: int) -> None:
    """Leave in the window what step ``k`` has too."""
    rows, window = s.nodes.rows, s.nodes.window
    row = s.profile.row[k]
    low = s.nodes.first[pool]
    n = s.nodes.first[pool + 1] - low
    for i in range(n):
        window.procs[low + i] = min(window.procs[low + i], max(rows.procs[row, i], 0))
    if _asks_who_is_there(s, job):
        for i in range(n):
            window.jobs[low + i] = max(window.jobs[low + i], rows.jobs[row, i])
    for i in range(min(n, rows.mem.shape[1])):
        window.mem[low + i] = min(window.mem[low + i], max(rows.mem[row, i], 0))
    for i in range(min(n, rows.gpus.shape[1])):
        window.gpus[low + i] = min(window.gpus[low + i], max(rows.gpus[row, i], 0))


@kernel
def _lend(s: State, job: int, sign: int) -> None:
    """Count what the plan of a job holds as free in the window (sign 1), or no longer (-1)."""
    held, window = s.nodes.held, s.nodes.window
    cell = held.first[job]
    while cell >= 0:
        node = held.node[cell]
        window.procs[node] += sign * held.procs[cell]
        window.mem[node] += sign * held.mem[cell]
        window.gpus[node] += sign * held.gpus[cell]
        window.jobs[node] -= sign
        cell = held.next[cell]


@kernel
def _has_room(s: State, pool: int, job: int) -> bool:
    """Whether the job fits what the window leaves."""
    if node_room.is_suspended(s.nodes, job):
        return node_room.fits_again(s.nodes, s.nodes.window, job)
    table, window, shape = s.nodes, s.nodes.window, s.nodes.shapes
    wanted, procs = shape.slices[job], shape.procs[job]
    for kind in range(table.kinds[pool], table.kinds[pool + 1]):
        each = node_room.room_when_idle(table, job, kind)
        if each == 0:
            continue
        first, end = table.first_of[kind], table.first_of[kind + 1]
        if shape.whole[job] == 1:
            for node in range(first, end):
                wanted -= each if window.jobs[node] == 0 else 0
        elif not node_room.by_procs(table, job):
            for node in range(first, end):
                wanted -= node_room.room(table, window, job, node)
        elif shape.apart[job] == 1:
            for node in range(first, end):
                wanted -= 1 if window.procs[node] >= procs else 0
        else:  # a slice is a processor
            for node in range(first, end):
                wanted -= window.procs[node]
        if wanted <= 0:
            return True
    return False


@kernel
def _has_sets(s: State) -> bool:
    """Whether steps have sets of nodes: where jobs mostly ask in vain (conservative backfill), or have whole nodes."""
    return bool(s.nodes.sets.some.size > 0)


@kernel
def _bounds(s: State, pool: int, job: int) -> tuple[int, int]:
    """How many slices of the job the window's sets leave room for, at least and at most."""
    table, sets, shape = s.nodes, s.nodes.sets, s.nodes.shapes
    procs = shape.procs[job]
    least, most = 0, 0
    for kind in range(table.kinds[pool], table.kinds[pool + 1]):
        each = node_room.room_when_idle(table, job, kind)
        if each == 0:
            continue
        low, high = table.first_of[kind] - table.first[pool], table.first_of[kind + 1] - table.first[pool]
        sure, likely = node_sets.count(sets.sure, low, high), node_sets.count(sets.likely, low, high)
        least += each * sure
        most += each * likely
        if shape.whole[job] == 0:
            some = node_sets.count(sets.some, low, high)
            in_use = each  # where there is a job it has a processor, unless it came for GPUs alone
            if table.rows.gpus.shape[1] == 0:
                in_use = min(each, (table.size.procs[table.first_of[kind]] - 1) // procs)
            most += in_use * (some - likely)
            if procs == 1 and node_room.by_procs(table, job):
                least += some - sure
    return least, most


@kernel
def _intersect(s: State, k: int, lent: int, lent_whole: int) -> None:
    """Leave in the window's sets what step ``k`` has too, and the nodes of the job's own plan if they are ``lent`` (-1, else 0)."""
    rows, sets = s.nodes.rows, s.nodes.sets
    row = s.profile.row[k]
    for w in range(sets.some.size):
        sets.some[w] &= rows.some[row, w] | (sets.own[w] & lent)
        sets.sure[w] &= rows.idle[row, w] | (sets.own[w] & lent_whole)
        sets.likely[w] &= rows.idle[row, w] | (sets.own[w] & lent)


@kernel
def _lack_by_sets(s: State, job: int, k: int, at: int, own: int) -> int:
    """As `_lack`, from the last step ``at`` back, of sets alone; `OPEN` if they do not say."""
    table, sets, p = s.nodes, s.nodes.sets, s.profile
    pool = s.jobs.pool[job]
    wanted = table.shapes.slices[job]
    node_sets.fill(sets.some, True)
    node_sets.fill(sets.sure, True)
    node_sets.fill(sets.likely, True)
    if own >= 0 and p.time[at] >= own:
        node_sets.fill(sets.own, False)
        cell = table.held.first[job]
        while cell >= 0:
            node_sets.include(sets.own, table.held.node[cell] - table.first[pool])
            cell = table.held.next[cell]
    while True:
        lent = -1 if own >= 0 and p.time[at] >= own else 0
        _intersect(s, at, lent, lent if table.shapes.whole[job] == 1 else 0)
        if at == k or at % STEPS == 0:
            least, most = _bounds(s, pool, job)
            if most < wanted:
                return at
            if at == k:
                return -1 if least >= wanted else OPEN
        at -= 1


@kernel
def _lack(s: State, job: int, k: int, own: int) -> int:
    """The last step from which on, up to the end that a start at step ``k`` has, there is no room; -1 if there is.

    Without sets the window shows it then.

    Steps are put together from the last one back. Those of the plan that the job has, from ``own`` on, have what it holds beside.
    """
    p = s.profile
    pool = s.jobs.pool[job]
    at = profile.find(s, pool, p.time[k] + profile.length(s, job) - 1)
    if _has_sets(s) and not node_room.is_suspended(s.nodes, job):
        lack = _lack_by_sets(s, job, k, at, own)
        if lack != OPEN:
            return lack
    planned = own >= 0 and p.time[at] >= own
    _look(s, pool, job, at)
    while True:
        if planned and (at == k or p.time[at - 1] < own):
            _lend(s, job, 1)
            planned = False
        if at == k or at % STEPS == 0:
            if planned:
                _lend(s, job, 1)
            has_room = _has_room(s, pool, job)
            if planned:
                _lend(s, job, -1)
            if not has_room:
                return at
            if at == k:
                return -1
        at -= 1
        _narrow(s, pool, job, at)


@kernel
def earliest(s: State, job: int, before: int, own: int) -> int:
    """Earliest start of the job, on nodes if there are any; arguments and result as of `profile.earliest`.

    On nodes counts are asked first. If there is no room from some step up to the end of a job, there is none for later ends either, and the
    search goes on behind that step.
    """
    if s.rules.placement == POOLED:
        return int(profile.earliest(s, job, before, own))
    p = s.profile
    pool = s.jobs.pool[job]
    k = p.first[pool]
    last = k + p.count[pool]
    while True:
        k = profile.next_slot(s, job, k, before, own)
        if k == last:
            return before
        lack = _lack(s, job, k, own)
        if lack < 0:
            return int(p.time[k])
        k = lack + 1


@kernel
def reserve(s: State, job: int, start: int) -> None:
    """Give the job, for which there is room from ``start`` on, its nodes, if there are any."""
    if s.rules.placement == POOLED:
        return
    table = s.nodes
    window, pool = table.window, s.jobs.pool[job]
    if _has_sets(s):  # which may have answered without the window
        first_step = profile.find(s, pool, start)
        _look(s, pool, job, first_step)
        for k in range(first_step + 1, profile.find(s, pool, start + profile.length(s, job) - 1) + 1):
            _narrow(s, pool, job, k)
    told = _asks_who_is_there(s, job)
    for kind in range(table.kinds[pool], table.kinds[pool + 1]):
        first, idle = table.states[kind], table.states[kind + 1] - 1
        for state in range(first, idle + 1):
            window.alike[state] = 0
        for node in range(table.first_of[kind], table.first_of[kind + 1]):
            if not told:
                window.jobs[node] = 0 if window.procs[node] == table.size.procs[node] else 1
            window.state[node] = idle if window.jobs[node] == 0 else first + window.procs[node]
            window.alike[window.state[node]] += 1
    nodes.forget(table, job)
    nodes.assign(table, job, node_choice.choose_of(s, window, job))


@kernel
def give_up(s: State, job: int) -> None:
    """Let a job that is not going to start as planned have no nodes."""
    if s.rules.placement != POOLED:
        nodes.forget(s.nodes, job)
