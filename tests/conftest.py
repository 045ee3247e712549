"""What all tests share."""

from __future__ import annotations

import logging

from hypothesis import settings

# The first call of a kernel compiles it, and a shared machine stalls: neither says anything about the code.
settings.register_profile("apportion", deadline=None, print_blob=True)
settings.load_profile("apportion")

logging.getLogger("apportion.core.jit").disabled = True  # which test is the first to compile something is chance
