"""Dominant resource fairness, and the fair shares of queues whose demand may be small.

The dominant share of a user is the largest part that the user holds of any resource. Sources: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011,
https://www.usenix.org/legacy/events/nsdi11/tech/full_papers/Ghodsi.pdf; the fair shares follow the scheduler of Armada, https://armadaproject.io/scheduler.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats, Ints

ROUNDS = 10
UNASSIGNED = 0.01  # fair shares are done when less than this part of the whole is left


@kernel
def dominant_share(amount: Ints, capacity: Ints, row: int) -> float:
    """Largest part of any resource in column ``row`` of ``amount``.

    Parameters
    ----------
    amount : int64[n_resources, n]
        What each holds.
    capacity : int64[n_resources]
        What there is. A resource of which there is none counts nothing, unless there is nothing at all: then the share is infinite.
    """
    share = 0.0
    nothing = True
    for r in range(capacity.shape[0]):
        if capacity[r] > 0:
            nothing = False
            share = max(share, amount[r, row] / capacity[r])
    return math.inf if nothing else share


@kernel
def progressive_filling(capacity: Ints, need: Ints, weight: Floats, tasks: Ints, used: Ints) -> None:
    """Start tasks one by one, each of the user with the smallest dominant share for its weight, while one fits.

    Parameters
    ----------
    capacity : int64[n_resources]
    need : int64[n_resources, n]
        What one task of each user needs: at least one unit of something that is limited.
    weight : float64[n]
    tasks : int64[n]
        Written: tasks of each user.
    used : int64[n_resources]
        Written: what they use together.
    """
    n = need.shape[1]
    tasks[:] = 0
    used[:] = 0
    while True:
        best = -1
        smallest = math.inf
        for i in range(n):
            fits = True
            for r in range(capacity.shape[0]):
                fits = fits and used[r] + need[r, i] <= capacity[r]
            share = tasks[i] * dominant_share(need, capacity, i) / weight[i]
            if fits and share < smallest:
                smallest = share
                best = i
        if best < 0:
            return
        tasks[best] += 1
        for r in range(capacity.shape[0]):
            used[r] += need[r, best]


@kernel
def fair_shares(weight: Floats, demand: Floats, capped: Floats, uncapped: Floats, spare: Floats) -> None:
    """Part of the whole that each queue is due, by water-filling.

    What queues do not ask for is shared out among those that ask for more, in rounds, until less than a hundredth is left.

    Parameters
    ----------
    weight : float64[n]
        Above 0.
    demand : float64[n]
        Dominant share of all that each queue runs and waits for; infinite for no end of it.
    capped : float64[n]
        Written: fair share, no more than the demand. They sum to 1 at most.
    uncapped : float64[n]
        Written: what the queue would be due if it asked for more and all others for the same. What it left to others in
        a round does not come back to it.
    spare : float64[n]
        Scratch.
    """
    n = weight.shape[0]
    capped[:] = 0.0
    uncapped[:] = 0.0
    spare[:] = 0.0
    left = 1.0
    for _ in range(ROUNDS):
        asking = 0.0
        for i in range(n):
            if capped[i] < demand[i]:
                asking += weight[i]
        for i in range(n):
            if capped[i] < demand[i]:
                part = left * weight[i] / asking
                capped[i] += part
                uncapped[i] += part
            else:
                uncapped[i] += max(left - spare[i], 0.0) * weight[i] / (asking + weight[i])
        left = 0.0
        for i in range(n):
            spare[i] = max(capped[i] - demand[i], 0.0)
            capped[i] -= spare[i]
            left += spare[i]
        if left < UNASSIGNED:
            return


@kernel
def levels(accounts: Accounts, state: ShareState) -> None:
    """Shares among siblings over the dominant share of what runs: the smallest share for its weight comes first."""
    history = state.history
    for i in range(accounts.parent.shape[0]):
        state.effective_usage[i] = dominant_share(history.held[1:], history.capacity, i)
        if state.ratio[i] == 0.0:
            state.level_fs[i] = 0.0
        else:
            state.level_fs[i] = (
                state.ratio[i] / state.effective_usage[i] if state.effective_usage[i] > 0.0 else math.inf
            )
