"""KAI's fair share: what a queue deserves first, then a part of what is over, by priority and by weight.

With a memory, a queue's weight W among those that still ask becomes max(0, W + k (W - U)), where U is the part of the capacity that it used in
the window: who had more than its share gets less now.

Source: the documentation of NVIDIA's KAI scheduler, https://github.com/kai-scheduler/KAI-Scheduler/tree/main/docs/fairness.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.engines.history import BILLED, WINDOW
from apportion.core.engines.windows import weighted
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

UNLIMITED = -1


@kernel
def over_quota_weight(share: float, used: float, k: float) -> float:
    """Weight with memory.

    Parameters
    ----------
    share : float
        Weight / weights of those it competes with.
    used : float
        Part of the capacity that was used in the window.
    k : float
        How much the past counts; 0 or less for nothing.
    """
    return max(0.0, share + k * (share - used)) if k > 0.0 else share


@kernel
def fair_share(
    capacity: int,
    deserved: Ints,
    limit: Ints,
    request: Ints,
    weight: Floats,
    priority: Ints,
    used: Floats,
    k: float,
    share: Ints,
    fraction: Floats,
) -> int:
    """Fair share of each queue, in whole units of one resource.

    Queues of the highest priority that ask for more are served first. Within one priority what is left is divided by weight and rounded
    down; what is more than a queue asks for is divided again. Once no queue leaves any, the last units go by the largest fraction that was cut
    off, of equals to the first queue. If all that ask have used so much that no weight is left, the plain weights count.

    Parameters
    ----------
    capacity : int
    deserved, limit : int64[n]
        UNLIMITED, or units.
    request : int64[n]
        Units run and waited for.
    weight : float64[n]
        Over-quota weight, 0 or more.
    priority : int64[n]
    used : float64[n]
        Part of the capacity used in the window.
    k : float
        See `over_quota_weight`.
    share : int64[n]
        Written.
    fraction : float64[n]
        Scratch.

    Returns
    -------
    int
        Units that nobody asks for. Below 0 if more is deserved than there is.
    """
    n = deserved.shape[0]
    left = capacity
    for i in range(n):
        share[i] = _wanted(request, limit, i)
        if deserved[i] != UNLIMITED:
            share[i] = min(share[i], deserved[i])
        left -= share[i]
    while left > 0:
        top = 0
        asking = False
        for i in range(n):
            if share[i] < _wanted(request, limit, i) and weight[i] > 0.0 and (not asking or priority[i] > top):
                top = priority[i]
                asking = True
        if not asking:
            break
        left = _divide(left, top, limit, request, weight, priority, used, k, share, fraction)
    return left


@kernel
def _wanted(request: Ints, limit: Ints, i: int) -> int:
    return request[i] if limit[i] == UNLIMITED else min(request[i], limit[i])


@kernel
def _divide(
    left: int,
    top: int,
    limit: Ints,
    request: Ints,
    weight: Floats,
    priority: Ints,
    used: Floats,
    k: float,
    share: Ints,
    fraction: Floats,
) -> int:
    """One round among those of priority ``top`` that ask for more; return what is left."""
    n = share.shape[0]
    plain = 0.0
    for i in range(n):
        fraction[i] = -1.0
        if priority[i] == top and weight[i] > 0.0 and share[i] < _wanted(request, limit, i):
            fraction[i] = weight[i]
            plain += weight[i]
    total = 0.0
    for i in range(n):
        if fraction[i] >= 0.0:
            total += over_quota_weight(fraction[i] / plain, used[i], k)
    remembers = k > 0.0 and total > 0.0
    given = 0
    cut = False
    for i in range(n):
        if fraction[i] < 0.0:
            continue
        part = left * (over_quota_weight(fraction[i] / plain, used[i], k) if remembers else fraction[i])
        part /= total if remembers else plain
        units = int(part)
        fraction[i] = part - units if part > 0.0 else -1.0
        room = _wanted(request, limit, i) - share[i]
        cut = cut or units >= room
        share[i] += min(units, room)
        given += min(units, room)
    left -= given
    while not cut and left > 0:  # nobody left anything: these are the fractions
        best = 0
        for i in range(n):
            if fraction[i] > fraction[best]:
                best = i
        share[best] += 1
        left -= 1
        fraction[best] = -1.0
    return left


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Weight with memory over what is allocated: whoever is furthest below its fair share comes first.

    All is over-quota here, and nobody's fair share is cut for want of demand: among those that wait that makes no difference to the order.
    """
    history = state.history
    used = history.recent[0]
    weighted(history.windows, history.clock[WINDOW], 1.0, used)
    machine = 1000.0 * history.capacity[0]
    window = machine * (history.windows.shape[0] * history.interval / 1000.0)
    for i in range(accounts.parent.shape[0]):
        state.norm_usage[i] = used[i] / window if window > 0.0 else 0.0
        state.effective_usage[i] = history.held[BILLED, i] / machine if machine > 0.0 else 0.0
        weight = over_quota_weight(state.ratio[i], state.norm_usage[i], history.factors[0])
        if weight == 0.0:
            state.level_fs[i] = 0.0
        else:
            state.level_fs[i] = weight / state.effective_usage[i] if state.effective_usage[i] > 0.0 else math.inf
