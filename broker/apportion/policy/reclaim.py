"""Which accounts may take back by preemption what they lend, as a table of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core import reclaim_tables as rt
from apportion.core.tables import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apportion.core.tables import Ints
    from apportion.policy.model import Policy
    from apportion.policy.sections import AccountEntry, CohortEntry

KEYS = ("WithinClusterQueue", "ReclaimWithinCohort", "BorrowWithinCohort", "MaxPriorityThreshold")
CODES = {
    "Never": rt.NEVER_PREEMPT,
    "LowerPriority": rt.LOWER_PRIORITY,
    "LowerOrNewerEqualPriority": rt.LOWER_OR_NEWER_EQUAL,
    "Any": rt.ANY,
}
STRATEGIES = {"LessThanOrEqualToFinalShare": rt.FINAL_SHARE, "LessThanInitialShare": rt.INITIAL_SHARE}


def has_reclaim(policy: Policy) -> bool:
    """Whether jobs of any account may stop others for its quota."""
    return any((e.WithinClusterQueue, e.ReclaimWithinCohort) != ("Never", "Never") for e in policy.accounts)


def build_reclaim(
    policy: Policy,
    nodes: Sequence[AccountEntry | CohortEntry | None],
    qos: Ints,
    *,
    n_cells: int,
    n_pools: int,
) -> rt.Reclaim:
    """Fill in the table; ``nodes`` : entries of the forest of quotas, ``qos`` : index of each job's."""

    def column(key: str) -> Ints:
        return np.array([CODES[getattr(entry, key, "Never")] for entry in nodes], np.int64)

    first, second = sorted([*map(STRATEGIES.__getitem__, policy.PreemptionStrategies), 0, 0], key=lambda k: k or NEVER)[
        :2
    ]
    return rt.new_reclaim(
        np.array([*(entry.Priority for entry in policy.qos), 0], np.int64)[qos],
        column("WithinClusterQueue"),
        column("ReclaimWithinCohort"),
        np.array([_borrow_below(entry) for entry in nodes], np.int64),
        strategies=(first, second),
        n_cells=n_cells,
        n_pools=n_pools,
    )


def _borrow_below(entry: AccountEntry | CohortEntry | None) -> int:
    if getattr(entry, "BorrowWithinCohort", "Never") == "Never":
        return rt.NO_THRESHOLD
    threshold = getattr(entry, "MaxPriorityThreshold", None)
    return NEVER if threshold is None else threshold + 1
