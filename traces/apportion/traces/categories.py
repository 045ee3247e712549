"""Columns of the schema from arrays: categories of ids and of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from apportion.traces.schema import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints = NDArray[np.int64]


def of_ids(ids: Ints) -> pd.Categorical:
    """Category of numbers as text, in the numbers' order; -1 is missing."""
    if ids.size == 0:
        return of_codes(np.zeros(0, dtype=np.int64), [])
    low, high = int(ids.min()), int(ids.max())
    if low >= UNKNOWN and high < 4 * ids.size + 1024:
        present = np.zeros(high + 2, dtype=np.bool_)
        present[ids] = True  # -1 marks the last place
        present[-1] = False
        names = np.flatnonzero(present)
        place = np.cumsum(present) - 1
        place[-1] = UNKNOWN
        codes = place[ids]
    else:
        names, codes = np.unique(ids, return_inverse=True)
        at = np.searchsorted(names, UNKNOWN)
        if at < names.size and names[at] == UNKNOWN:
            names = np.delete(names, at)
            codes = np.where(codes == at, UNKNOWN, codes - (codes > at))
    return of_codes(codes, [str(name) for name in names.tolist()])


def of_codes(codes: NDArray[Any], labels: Sequence[str]) -> pd.Categorical:
    """Category from codes (-1 is missing) and labels, which must differ."""
    size = len(labels)
    small = np.int8 if size < 2**7 else np.int16 if size < 2**15 else np.int32
    return pd.Categorical.from_codes(
        codes.astype(small), categories=pd.Index(list(labels), dtype="str"), validate=False
    )
