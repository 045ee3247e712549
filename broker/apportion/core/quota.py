"""Whether a limit of an association or QOS holds a pending job."""

from __future__ import annotations

from apportion.core.jit import kernel
from apportion.core.tables import State


@kernel
def held(s: State, now: int, job: int) -> bool:
    """True if the job may not start now although resources might be free."""
    return False
