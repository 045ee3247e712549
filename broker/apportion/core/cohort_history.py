"""Admission fair sharing: what an account used of late, and what a start adds to it at once.

Usage is averaged exponentially at samples. So that a burst of starts cannot slip in between two samples, each start adds the part of
its request that the next sample would add.

Source: Kueue, "Admission Fair Sharing" (kueue.sigs.k8s.io/docs/concepts/admission_fair_sharing) and its design note, KEP 4136.
"""

from __future__ import annotations

from apportion.core.jit import kernel


@kernel
def weight_of_sample(elapsed: float, half_life: float) -> float:
    """Weight of the newest sample after ``elapsed`` of the unit of ``half_life``; 1 where nothing is remembered."""
    return 1.0 - 0.5 ** (elapsed / half_life) if half_life > 0.0 else 1.0


@kernel
def averaged(old: float, current: float, elapsed: float, half_life: float) -> float:
    """Average usage after a sample at which ``current`` is in use."""
    part = weight_of_sample(elapsed, half_life)
    return (1.0 - part) * old + part * current


@kernel
def entry_penalty(request: float, interval: float, half_life: float) -> float:
    """What the start of a job adds to the average of its account; ``interval`` : between samples."""
    return weight_of_sample(interval, half_life) * request
