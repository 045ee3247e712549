"""Histories of jobs on a small tree of associations, and a way to charge them through the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from apportion.core.handle import handle
from apportion.core.usage import Usage, advance, charge_end, charge_start, new_usage, usage_params

PARENT = [-1, 0, 0, 1, 1, 2, 2, 0]  # root { 1 { 3, 4 }, 2 { 5, 6 }, 7 }
PERIOD = 300_000


class Event(NamedTuple):
    """A job starts, or ends."""

    time: int
    is_start: bool
    assoc: int
    billing_milli: int
    start: int


@st.composite
def histories(draw: st.DrawFn, step_ms: int = 1000) -> list[Event]:
    """Starts and ends in the order of time, starts first; many at ticks, many at once, some jobs without length."""
    moments = st.one_of(
        st.integers(0, 12).map(lambda k: k * PERIOD),
        st.integers(0, 3600).map(lambda k: k * step_ms),
    )
    events = []
    for _ in range(draw(st.integers(0, 12))):
        start, other = draw(moments), draw(moments)
        start, end = min(start, other), max(start, other)
        assoc, billing = draw(st.sampled_from([3, 4, 5, 6, 7])), draw(st.integers(1, 64_000))
        events += [Event(start, True, assoc, billing, start), Event(end, False, assoc, billing, start)]
    return sorted(events, key=lambda event: (event.time, not event.is_start))


def play(
    history: list[Event], last: int, half_life_s: float, decay: str = "slurm", asked: list[int] | None = None
) -> Usage:
    """Charge a history and bring usage forward to ``last``, asking for it at further moments on the way."""
    params = usage_params(half_life_s, PERIOD, decay=decay)
    usage = new_usage(len(PARENT), params, 0)
    handles = handle(usage), handle(params)
    parent, extra = np.array(PARENT), np.zeros(0, np.int64)
    steps: list[tuple[int, Event | None]] = [(event.time, event) for event in history]
    steps += [(time, None) for time in asked or []]
    for time, event in sorted(steps, key=lambda step: step[0]):
        advance(*handles, time)
        if event is None:
            continue
        job = (event.assoc, -1, event.billing_milli, 1, extra, event.start)
        if event.is_start:
            charge_start(*handles, parent, *job)
        else:
            charge_end(*handles, parent, *job, time)
    advance(*handles, last)
    return usage
