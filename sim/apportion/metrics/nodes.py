"""What a machine of nodes wastes: pieces that nobody could use, and whole nodes of which jobs asked for a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from apportion.metrics.run import Run


def nodes(run: Run) -> dict[str, float]:
    """Metrics of a run on nodes, core-hours over the whole run.

    Returns
    -------
    dict
        ``held_core_h`` : processors of nodes that jobs held, times run time. ``unasked_core_h`` : of these, more than they had asked for.
        ``unasked_fraction`` : their quotient. ``fragmented_core_h`` : processors that stood idle while the first job in line, which asked for no
        more than these in sum, could not use them.
    """
    run_h = np.where(run.started, np.nan_to_num(run.run_s), 0.0) / 3600.0
    held = float((run.seconds("alloc_cpus") * run_h).sum())
    unasked = float((np.maximum(run.seconds("alloc_cpus") - run.procs, 0.0) * run_h).sum())
    return {
        "held_core_h": held,
        "unasked_core_h": unasked,
        "unasked_fraction": unasked / held if held else float("nan"),
        "fragmented_core_h": sum(float(pool.get("fragmented_core_h", 0.0)) for pool in run.manifest.get("pools") or []),
    }
