"""How usage ages.

- ``slurm``: d = 1 - 0.693 / half-life for each second; a job that ran for t seconds of a slice adds t * d^t at its end,
  as if all of it had been used t seconds ago. One half-life leaves a little more than a half.
- ``exact``: d = 0.5^(1 / half-life), and each second of the slice is aged by the time from it to the slice's end.

Powers come from tables that are made once, by repeated multiplication; kernels only look them up.
Source: PriorityDecayHalfLife in slurm.conf(5) and https://slurm.schedmd.com/priority_multifactor.html.
"""

from __future__ import annotations

import math
from itertools import accumulate, repeat
from typing import TYPE_CHECKING

import numpy as np

from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats

DECAY_SLURM = 0
DECAY_EXACT = 1
DECAY_NONE = 2
DECAYS = {"slurm": DECAY_SLURM, "exact": DECAY_EXACT}

SMALLEST = float(np.finfo(np.float64).tiny)  # below it numbers are denormals: slow, and soon zero


def decay_tables(rule: int, half_life_s: float, seconds: int) -> tuple[Floats, Floats]:
    """Ageing of 0 to ``seconds`` seconds.

    Returns
    -------
    age : float64[seconds + 1]
        d^k, never below the smallest normal number.
    integral : float64[seconds + 1]
        Ms that are left of the last k seconds, each aged by the time since it (exact decay only).
    """
    second, fade = 1.0, 0.0
    if rule == DECAY_SLURM:
        second = 1.0 - 0.693 / half_life_s
    elif rule == DECAY_EXACT:
        second, fade = 0.5 ** (1.0 / half_life_s), math.log(2.0) / half_life_s

    # What is left of the newest second is the series of (1 - e^-fade) / fade; each older one is aged by d once more.
    newest, term = 0.0, 1000.0
    for n in range(2, 40):
        newest += term
        term *= -fade / n

    age = np.maximum(np.cumprod([1.0, *repeat(second, seconds)]), SMALLEST)
    each = repeat(newest, seconds)
    integral = np.array(list(accumulate(each, lambda total, more: total * second + more, initial=0.0)))
    return age, integral


@kernel
def left(age: Floats, integral: Floats, rule: int, begin: int, end: int, tick: int) -> float:
    """Ms that running from ``begin`` to ``end``, both within the slice before ``tick``, add at that tick."""
    if rule == DECAY_NONE:
        return float(end - begin)
    if rule == DECAY_EXACT:
        return _interpolate(integral, tick - begin) - _interpolate(integral, tick - end)
    # Slurm knows whole seconds only, so ageing goes by them; what is aged is exact.
    return float((end - begin) * age[(end - begin) // 1000])


@kernel
def _interpolate(integral: Floats, span: int) -> float:
    """`integral` at ``span`` ms, straight between whole seconds: off by an eighth of a second's ageing at most."""
    k = span // 1000
    rest = span - 1000 * k
    if rest == 0:
        return float(integral[k])
    return float(integral[k] + (integral[k + 1] - integral[k]) * (rest / 1000.0))
