"""Pending jobs in rank order.

An array rather than a heap: every pass walks the jobs in order, arrivals mostly belong at the end, and a job that
leaves is only marked (by its state) and swept out when the marks have become many, so that each step costs O(1) amortised.
The order is total: (score, submit, job index).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.codes import PENDING
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Bytes, Floats, Ints, Queue


@kernel
def ranks_before(key: Floats | Ints, submit: Ints, a: int, b: int) -> bool:
    """Whether job ``a`` ranks before job ``b``."""
    if key[a] != key[b]:
        return key[a] < key[b]
    if submit[a] != submit[b]:
        return submit[a] < submit[b]
    return a < b


@kernel
def sweep(queue: Queue, state: Bytes) -> None:
    """Move the entries that are still pending to the front of the array."""
    order = queue.order
    n = 0
    for i in range(queue.head[0], queue.tail[0]):
        job = order[i]
        if state[job] == PENDING:
            order[n] = job
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
def append(queue: Queue, state: Bytes, job: int) -> None:
    """Put ``job`` at the end (its rank is known to be last)."""
    if queue.tail[0] == queue.order.size:
        sweep(queue, state)
    queue.order[queue.tail[0]] = job
    queue.tail[0] += 1


@kernel
def insert(queue: Queue, state: Bytes, key: Floats | Ints, submit: Ints, job: int) -> None:
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
        if ranks_before(key, submit, order[middle], job):
            low = middle + 1
        else:
            high = middle
    if head > 0 and low - head < tail - low:
        for i in range(head, low):
            order[i - 1] = order[i]
        order[low - 1] = job
        queue.head[0] = head - 1
    else:
        for i in range(tail, low, -1):
            order[i] = order[i - 1]
        order[low] = job
        queue.tail[0] = tail + 1


@kernel
def sort(queue: Queue, state: Bytes, key: Floats, submit: Ints, work: Ints) -> bool:
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
        while k > 0 and ranks_before(key, submit, job, order[k - 1]):
            order[k] = order[k - 1]
            k -= 1
        order[k] = job
        moves += i - k
        i += 1
    if i < n:
        _merge_sort(order, key, submit, work, n)
    return moves > 0


@kernel
def _merge_sort(order: Ints, key: Floats, submit: Ints, work: Ints, n: int) -> None:
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
