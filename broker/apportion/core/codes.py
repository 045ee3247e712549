"""Integer codes of the core. Their order is part of the contract: events of one instant are applied in the order of their code."""

from __future__ import annotations

from typing import Final

# Events, in the order in which they are applied within one instant.
END: Final = 0
FAIL: Final = 1  # a running job loses its node
RETURN: Final = 2  # processors that failed are back
LOSS: Final = 3  # processors fail that nobody knew would
CAPACITY: Final = 4
CANCEL: Final = 5
SUBMIT: Final = 6
TIMER: Final = 7

# What the core knows of a job.
UNSEEN: Final = 0
PENDING: Final = 1
RUNNING: Final = 2
ENDED: Final = 3
REJECTED: Final = 4
CANCELLED: Final = 5
KILLED: Final = 6  # told to end; holds its resources until it has
NODE_FAIL: Final = 7  # its node failed, and it may not be requeued
PREEMPTED: Final = 8  # another job took its resources, and it may not be requeued

# A decision that is no state: the job is PENDING again.
REQUEUED: Final = 10

# What becomes of a job that is stopped before its end.
FAILURE: Final = 0
CANCEL_MODE: Final = 1
REQUEUE_MODE: Final = 2
CHECKPOINT_MODE: Final = 3
SUSPEND_MODE: Final = 4

# Why it is: its node fails; a higher class needs its resources, or its own account, or another one, its quota.
BY_FAILURE: Final = 0
BY_CLASS: Final = 1
IN_CLUSTER_QUEUE: Final = 2
IN_COHORT: Final = 3

# How pending jobs are ranked: as they came, by a score fixed at submit, by a score that moves with time, by Slurm's formula.
ORDER_ARRIVAL: Final = 0
ORDER_FIXED: Final = 1
ORDER_MOVING: Final = 2
ORDER_MULTIFACTOR: Final = 3

BACKFILL_NONE: Final = 0
BACKFILL_EASY: Final = 1
BACKFILL_EASY_SJBF: Final = 2
BACKFILL_CONSERVATIVE: Final = 3
BACKFILL_SLURM: Final = 4

# What backfill takes a job's run time to be: its limit, or by what its user's last jobs took.
PREDICT_LIMIT: Final = 0
PREDICT_MEAN: Final = 1
PREDICT_QUANTILE: Final = 2

# Values of Pools.head beside a job index.
HEAD_NONE: Final = -1  # no job of this pool is blocked
HEAD_UNKNOWN: Final = -2  # jobs wait, but the last pass did not have to look at them
HEAD_CLOSED: Final = -3  # a held job keeps all behind it from starting (assoc_limit_stop)
