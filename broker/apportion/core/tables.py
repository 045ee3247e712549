"""Tables of the core: NamedTuples of contiguous columns, int64 or float64, never strings.

Units: times are int64 milliseconds since the Unix epoch, memory MiB, billing thousandths of a billing unit. ``-1`` means
"not set" and for a limit "unlimited".

TRES are numbered: 0 is cpu (processors); 1 to n_extra are the columns of ``Jobs.extra`` in the order of the policy (memory, nodes,
GPUs, licences, whichever are in use); the last, n_extra + 1, is billing.
"""

from __future__ import annotations

from typing import NamedTuple

from numpy import float64, int64
from numpy.typing import NDArray

Ints = NDArray[int64]
Floats = NDArray[float64]

NEVER = 2**62  # later than any time, and still safe to add a time limit to
SHARES_PARENT = -1  # Slurm's FairShare=parent


class Jobs(NamedTuple):
    """What the core may know of the jobs, one row a job; filled by the driver, only read by the core.

    ``submit``, ``limit`` : ms. ``procs`` : processors. ``extra`` : (n_jobs, n_extra) further resources.
    ``pool`` : index of the pool of resources that the job runs in. ``partition``, ``qos``, ``assoc`` : indices.
    ``key`` : score of a static order, ascending (empty when the order is not static).
    ``static_priority`` : the multifactor terms that never change (empty without multifactor).
    ``billing`` : billed units per second x 1000.
    """

    submit: Ints
    limit: Ints
    procs: Ints
    extra: Ints
    pool: Ints
    partition: Ints
    assoc: Ints
    qos: Ints
    key: Floats
    static_priority: Floats
    billing: Ints


class Accounts(NamedTuple):
    """The association tree in topological order: row 0 is root and ``parent[i] < i``; root's parent is -1.

    ``is_user`` : 1 for a user association (always a leaf), 0 for an account.
    ``shares`` : raw shares, or SHARES_PARENT.
    ``child_start`` (n + 1), ``child`` : children of i are ``child[child_start[i]:child_start[i + 1]]``, ascending.
    """

    parent: Ints
    is_user: Ints
    shares: Ints
    child_start: Ints
    child: Ints
