"""Pending jobs in rank order.

An array rather than a heap: every pass walks the jobs in order, arrivals mostly belong at the end, and a job that
leaves is only marked (by its state) and swept out when the marks have become many, so that each step costs O(1) amortised.
The order is total: (score, submit, job index).

What a pass asks of each entry, processors and limit, stands beside it, so that a long queue is looked through at the speed of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.codes import PENDING
from apportion.core.handle import move
from apportion.core.jit import apart, kernel
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from apportion.core.tables import Bytes, Floats, Ints, Jobs, Queue

BLOCK = 64  # entries looked at together


@kernel
def ranks_before(key: Floats | Ints, submit: Ints, a: int, b: int) -> bool:
    """Whether job ``a`` ranks before job ``b``."""
    if key[a] != key[b]:
        return key[a] < key[b]
    if submit[a] != submit[b]:
        return submit[a] < submit[b]
    return a < b


@kernel
def put(queue: Queue, jobs: Jobs, i: int, job: int) -> None:
    """Let ``job`` be entry ``i``."""
    queue.order[i] = job
    queue.procs[i] = jobs.procs[job]
    queue.limit[i] = jobs.expected[job]


@apart
def sweep(queue: Queue, state: Bytes) -> None:
    """Move the entries that are still pending to the front of the array."""
    n = 0
    for i in range(queue.head[0], queue.tail[0]):
        job = queue.order[i]
        if state[job] == PENDING:
            queue.order[n] = job
            queue.procs[n] = queue.procs[i]
            queue.limit[n] = queue.limit[i]
            n += 1
    queue.head[0] = 0
    queue.tail[0] = n
    queue.dead[0] = 0


@kernel
def sweep_if_worn(queue: Queue, state: Bytes) -> None:
    """Sweep when more than half of the entries are dead."""
    if queue.dead[0] * 2 > queue.tail[0] - queue.head[0] + 64:
        sweep(queue, state)


@kernel
def bury(queue: Queue, i: int) -> None:
    """Let entry ``i``, whose job is no longer pending, never seem to fit again."""
    queue.procs[i] = NEVER


@kernel
def remove(queue: Queue, i: int) -> None:
    """Take out entry ``i``, whose job has just left, or mark it, where it is neither the first nor the last."""
    if i == queue.head[0]:
        queue.head[0] = i + 1
        queue.dead[0] -= 1
    elif i == queue.tail[0] - 1:
        queue.tail[0] = i
        queue.dead[0] -= 1
    else:
        bury(queue, i)


@kernel
def skip_dead(queue: Queue, state: Bytes) -> None:
    """Let the queue begin with a pending job."""
    i = queue.head[0]
    tail = queue.tail[0]
    while i < tail and state[queue.order[i]] != PENDING:
        i += 1
    queue.dead[0] -= i - queue.head[0]
    queue.head[0] = i


@kernel
def is_last(queue: Queue, submit: Ints, job: int) -> bool:
    """Whether ``job`` was submitted after all in a queue by (submit, job); it was not if others, in the same instant, came before it."""
    if queue.tail[0] == queue.head[0]:
        return True
    other = queue.order[queue.tail[0] - 1]
    return submit[other] < submit[job] or (submit[other] == submit[job] and other < job)


@kernel
def append(queue: Queue, jobs: Jobs, state: Bytes, job: int) -> None:
    """Put ``job`` at the end (its rank is known to be last)."""
    if queue.tail[0] == queue.order.size:
        sweep(queue, state)
    put(queue, jobs, queue.tail[0], job)
    queue.tail[0] += 1


@apart
def insert(queue: Queue, jobs: Jobs, state: Bytes, key: Floats | Ints, job: int) -> None:
    """Put ``job`` where its rank is. Entries keep their key after they leave, so the array stays sorted."""
    order = queue.order
    if queue.tail[0] == order.size:
        sweep(queue, state)
    head = queue.head[0]
    tail = queue.tail[0]
    low = head
    high = tail
    while low < high:
        middle = (low + high) >> 1
        if ranks_before(key, jobs.submit, order[middle], job):
            low = middle + 1
        else:
            high = middle
    if head > 0 and low - head < tail - low:
        _move(queue, head - 1, head, low - head)
        put(queue, jobs, low - 1, job)
        queue.head[0] = head - 1
    else:
        _move(queue, low + 1, low, tail - low)
        put(queue, jobs, low, job)
        queue.tail[0] = tail + 1


@kernel
def _move(queue: Queue, to: int, start: int, n: int) -> None:
    """Move ``n`` entries from ``start`` on."""
    move(queue.order, to, start, n)
    move(queue.procs, to, start, n)
    move(queue.limit, to, start, n)


@kernel
def next_small(queue: Queue, i: int, procs: int, limit: int, any_limit_procs: int) -> int:
    """Next entry from ``i`` on that asks for at most ``any_limit_procs``, or for at most ``procs`` and ``limit``; else the tail."""
    tail = queue.tail[0]
    while i + BLOCK <= tail:
        found = False
        for k in range(BLOCK):  # without a branch, so that several are compared at once
            at = i + k
            need = queue.procs[at]
            found |= (need <= any_limit_procs) | ((need <= procs) & (queue.limit[at] <= limit))
        if found:
            break
        i += BLOCK
    while i < tail:
        need = queue.procs[i]
        if need <= any_limit_procs or (need <= procs and queue.limit[i] <= limit):
            break
        i += 1
    return i


@kernel
def sort(queue: Queue, jobs: Jobs, state: Bytes, key: Floats | Ints, work: Ints) -> bool:
    """Restore the order after keys have changed; True if it was not as it had to be.

    Nearly sorted input costs O(n); any input O(n log n). ``work`` : as long as the queue.
    """
    sweep(queue, state)
    order = queue.order
    n = queue.tail[0]
    budget = 8 * n
    moves = 0
    i = 1
    while i < n and moves <= budget:
        job = order[i]
        k = i
        while k > 0 and ranks_before(key, jobs.submit, job, order[k - 1]):
            order[k] = order[k - 1]
            k -= 1
        order[k] = job
        moves += i - k
        i += 1
    if i < n:
        _merge_sort(order, key, jobs.submit, work, n)
    if moves == 0:
        return False
    for k in range(n):
        put(queue, jobs, k, order[k])
    return True


@kernel
def _merge_sort(order: Ints, key: Floats | Ints, submit: Ints, work: Ints, n: int) -> None:
    width = 1
    while width < n:
        for low in range(0, n, 2 * width):
            middle = min(low + width, n)
            high = min(low + 2 * width, n)
            a = low
            b = middle
            for k in range(low, high):
                if a < middle and (b >= high or not ranks_before(key, submit, order[b], order[a])):
                    work[k] = order[a]
                    a += 1
                else:
                    work[k] = order[b]
                    b += 1
        for k in range(n):  # slices would bring in text, and seconds of compile time
            order[k] = work[k]
        width *= 2
