"""Reader of the ALCF job tables (Theta, ThetaGPU) as published with the Lumos study.

Columns used: job, user, project, node_num, gpu_num, submit_time (Unix), wait_time, run_time, wall_time (requested),
new_status. Further ones (row number, cpu_num, node_hour) follow from these.

Conventions
-----------
- A size is a count of nodes: ``procs`` is ``node_num``. Where ``gpu_num`` is given too (ThetaGPU) it equals
  ``node_num`` in every row, and which of the two was counted depends on the queue, which the file does not hold.
  ``procs`` and ``gpus`` then have that number and ``nodes`` stays unknown.
- Ids are written as floats; their ``.0`` is left out. The id 0 stands for an unknown user or project.
- ``Killed`` is `Status.CANCELLED`: the file does not say whether by its owner or by the limit.

References
----------
Li et al., "Lumos: workload characterization of HPC, data center and cloud systems"; Argonne
Leadership Computing Facility public data.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.files import stem
from apportion.traces.schema import Status, Trace, TraceMeta
from apportion.traces.texts import csv_names, first_line, read_table

_NEEDED: Final = ("job", "node_num", "submit_time", "run_time")
_STATUS: Final = {"Pass": Status.COMPLETED, "Failed": Status.FAILED, "Killed": Status.CANCELLED}


def read(path: str) -> Trace:
    """Read an ALCF job table.

    Raises
    ------
    TraceError
        With the file, the line and what to do.
    """
    header = csv_names(first_line(path))
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise TraceError(f"the header line has no {lacking[0]}", "is this an ALCF job table?", path=path, line=1)
    table = read_table(path, header, separator=",", quote='"', skip_lines=1)
    nodes = table.numbers("node_num")
    jobs: dict[str, Any] = {
        "job_id": table.numbers("job"),
        "submit_ms": table.times("submit_time"),
        "run_ms": table.times("run_time"),
        "procs_used": nodes,
        "procs_req": nodes,
    }
    notes = ["sizes are counted in nodes"]
    if "wait_time" in table:
        jobs["wait_ms"] = table.times("wait_time")
    if "wall_time" in table:
        jobs["limit_ms"] = table.times("wall_time")
    gpus = table.numbers("gpu_num") if "gpu_num" in table else np.zeros(len(table), dtype=np.int64)
    if (gpus > 0).any():
        jobs["gpus_used"] = jobs["gpus_req"] = gpus
        notes = ["sizes are counted in GPUs or in nodes, depending on a queue that the file does not name"]
    else:
        jobs["nodes_used"] = jobs["nodes_req"] = nodes
    for source, name in (("user", "user"), ("project", "account")):
        if source in table:
            jobs[name] = table[source].category(missing=("", "0", "0.0"), rename=lambda text: text.removesuffix(".0"))
            unknown = int(np.asarray(jobs[name].codes < 0).sum())
            if unknown:
                notes.append(f"{counted(unknown, 'job has', 'jobs have')} the {source} 0, which means unknown")
    if "new_status" in table:
        jobs["status"] = table.each("new_status", lambda text: _STATUS.get(text, Status.UNKNOWN)).astype(np.int8)
        jobs["status_raw"] = table["new_status"].category()
    meta = TraceMeta(name=stem(path), format="alcf", path=path, sha256=table.sha256, origin_ms=0, notes=tuple(notes))
    return Trace(pd.DataFrame(jobs, copy=False), meta)
