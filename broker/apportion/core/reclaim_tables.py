"""What accounts may take back of what they lend, in whose jobs, and room to work it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from apportion.core.handle import table

if TYPE_CHECKING:
    from apportion.core.tables import Ints

# withinClusterQueue and reclaimWithinCohort
NEVER_PREEMPT: Final = 0
LOWER_PRIORITY: Final = 1
LOWER_OR_NEWER_EQUAL: Final = 2  # within the account only
ANY: Final = 3  # of other accounts only

# Fair sharing strategies, tried in this order; 0 is Kueue's classic preemption.
FINAL_SHARE: Final = 1
INITIAL_SHARE: Final = 2
OWN_QUOTA: Final = 3  # no strategy of Kueue: by it nobody borrows

# What a job has been through: it has stopped others, and after that it had to give way to another account.
HAS_TAKEN: Final = 1
HAS_LOST: Final = 2

NO_THRESHOLD: Final = -(2**62)  # nobody is below it: the account never borrows by preemption


@table
class Reclaim(NamedTuple):
    """Empty where the policy lets nobody take anything back.

    ``priority`` (jobs) : that of the QOS; larger ones go later.
    ``within``, ``reclaim`` (nodes) : whose jobs an account may stop, its own and others', codes above. ``borrow_below`` : it may borrow what
    jobs of less than this, and less than its own, priority have; NO_THRESHOLD.
    ``past`` (jobs) : what each has been through, 0 or a code above.
    ``first``, ``second`` : rules of fair sharing; with ``first`` 0 none, and ``borrow_below`` counts.
    ``short``, ``incoming`` (cells), ``running``, ``flavors`` (jobs) : scratch. ``round`` : int64[1]. ``tried`` (nodes x pools) :
    last round in which jobs of an account were tried in a pool in vain; ``narrowest``, ``highest`` : fewest processors and highest priority of them.
    """

    priority: Ints
    within: Ints
    reclaim: Ints
    borrow_below: Ints
    past: Ints
    first: int
    second: int
    short: Ints
    incoming: Ints
    running: Ints
    flavors: Ints
    round: Ints
    tried: Ints
    narrowest: Ints
    highest: Ints


def new_reclaim(
    priority: Ints,
    within: Ints,
    reclaim: Ints,
    borrow_below: Ints,
    *,
    strategies: tuple[int, int],
    n_cells: int,
    n_pools: int,
) -> Reclaim:
    """Rules, and scratch for them; arguments as in `Reclaim`."""
    n_jobs, n_nodes = len(priority), len(within)
    return Reclaim(
        priority=priority,
        within=within,
        reclaim=reclaim,
        borrow_below=borrow_below,
        past=np.zeros(n_jobs, np.int64),
        first=strategies[0],
        second=strategies[1],
        short=np.zeros(n_cells, np.int64),
        incoming=np.zeros(n_cells, np.int64),
        running=np.zeros(n_jobs, np.int64),
        flavors=np.zeros(n_jobs, np.int64),
        round=np.zeros(1, np.int64),
        tried=np.zeros(n_nodes * n_pools, np.int64),
        narrowest=np.zeros(n_nodes * n_pools, np.int64),
        highest=np.zeros(n_nodes * n_pools, np.int64),
    )


def no_reclaim() -> Reclaim:
    """What is lent comes back as jobs end."""
    none = np.zeros(0, np.int64)
    return new_reclaim(none, none.copy(), none.copy(), none.copy(), strategies=(0, 0), n_cells=0, n_pools=0)
