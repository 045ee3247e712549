"""TRES billing: what a second of a job costs, from its resources and TRESBillingWeights.

Source: https://slurm.schedmd.com/tres.html and the flags MAX_TRES and MAX_TRES_GRES in slurm.conf(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints


NODE = 0  # a resource of nodes: cpu, mem, node
GRES = 1  # a generic resource of nodes, as GPUs
GLOBAL = 2  # a resource of the cluster: licences, burst buffer

SUM = 0
MAX_TRES = 1
MAX_TRES_GRES = 2
MODES = {"SUM": SUM, "MAX_TRES": MAX_TRES, "MAX_TRES_GRES": MAX_TRES_GRES}


def billing_milli(counts: Ints, weights: Floats, kinds: Ints, mode: int = SUM) -> Ints:
    """Billing rate of each job in thousandths, rounded to the nearest (halves up).

    Parameters
    ----------
    counts : int64[n_jobs, n_tres]
        Resources of each job; column 0 is CPUs, memory in MiB.
    weights : float64[n_tres]
        Billing units per unit of each; of memory, per MiB. Empty for no weights: billing is then the CPUs.
    kinds : int64[n_tres]
        NODE, GRES or GLOBAL.
    mode : int
        SUM of all; MAX_TRES: the largest among those of nodes, plus the global ones; MAX_TRES_GRES: the
        largest among those of nodes that are not generic, plus the generic and the global ones.

    Returns
    -------
    int64[n_jobs]

    Raises
    ------
    ValueError
        If the mode is unknown.
    """
    if mode not in MODES.values():
        raise ValueError(f"no billing mode has the code {mode}")
    if len(weights) == 0:
        return np.asarray(counts[:, 0] * 1000, np.int64)
    largest = np.zeros(len(counts))
    added = np.zeros(len(counts))
    for t, weight in enumerate(weights.tolist()):
        billed = counts[:, t] * weight
        on_nodes = kinds[t] == NODE or (kinds[t] == GRES and mode == MAX_TRES)
        if mode != SUM and on_nodes:
            largest = np.maximum(largest, billed)
        else:
            added = added + billed
    return np.floor((largest + added) * 1000.0 + 0.5).astype(np.int64)
