"""Small hand-made traces for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from apportion.traces.schema import BY_NAME, Trace, TraceMeta


def make_trace(columns: dict[str, Any], **meta: Any) -> Trace:
    """Build a trace from lists; ``None`` is missing text, -1 an unknown number. Ids count from 1 unless given."""
    count = len(next(iter(columns.values())))
    columns = {"job_id": list(range(1, count + 1)), "submit_ms": [0] * count, "run_ms": [1000] * count, **columns}
    table: dict[str, Any] = {}
    for name, values in columns.items():
        kind = BY_NAME[name].kind if name in BY_NAME else "int64"
        if kind == "category":
            table[name] = pd.Categorical(values)
        elif kind == "object" or (len(values) and isinstance(values[0], str | tuple)):
            cells = np.empty(count, dtype=object)
            cells[:] = values
            table[name] = cells
        else:
            table[name] = np.array(values, dtype=kind)
    return Trace(pd.DataFrame(table), TraceMeta(**{"name": "made", "format": "swf", **meta}))
