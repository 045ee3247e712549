"""A running hash of all decisions: two runs that decided the same have the same digest.

Two polynomial hashes modulo the Mersenne prime 2^31 - 1, with all products below 2^63, so that it is the same number with and
without the JIT. It tells runs apart; it does not resist an adversary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Ints

PRIME = 2147483647
LANE_0 = 1103515245
LANE_1 = 1597334677


@kernel
def _fold(x: int) -> int:
    """A smaller number that is the same modulo PRIME, below 2^31 + x / 2^31."""
    return (x & PRIME) + (x >> 31)


@kernel
def record(digest: Ints, now: int, job: int, what: int) -> None:
    """Add one decision. ``digest`` : int64[2]; ``now`` in ms; ``what`` a job state code, or REQUEUED."""
    first = (now & PRIME) * 8 + (what & 7)  # below 2^35
    second = (now >> 31) * 1000003 + (what >> 3) * 500000003 + job  # below 2^52
    # A lane is at most 2^31 + 1, once folded below 2^32, and so no product reaches 2^63.
    digest[0] = _fold(_fold(_fold(digest[0] * LANE_0 + first) * LANE_0 + second))
    digest[1] = _fold(_fold(_fold(digest[1] * LANE_1 + first) * LANE_1 + second))


def text(digest: Ints) -> str:
    """The digest as 16 hexadecimal digits."""
    return f"{int(digest[0]) % PRIME:08x}{int(digest[1]) % PRIME:08x}"
