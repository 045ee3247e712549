"""How long backfill expects a job to run, other than by its limit: from what its user's last jobs took.

After Tsafrir, Etsion & Feitelson, "Backfilling using system-generated predictions rather than user runtime estimates", TPDS 18(6), 2007,
doi:10.1109/TPDS.2007.70606. A prediction is made when a job is submitted, from jobs of its user that have ended, two at least, and never
exceeds the limit, at which the job is still killed. A job that outruns its prediction gets a longer one, by steps that grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core import queue, running
from apportion.core.codes import PREDICT_MEAN
from apportion.core.jit import apart, kernel
from apportion.core.tables import NEVER, ROW_END, ROW_JOB

if TYPE_CHECKING:
    from apportion.core.tables import Ints, State

MINUTE_MS = 60_000
# What is added to a prediction that was outrun for the first time, the second, ...; the last holds for all further times.
STEPS_MS = tuple(minutes * MINUTE_MS for minutes in (1, 5, 15, 30, 60, 120, 300, 600, 1200, 3000, 6000))


@apart
def note_end(s: State, now: int, job: int) -> None:
    """Remember the run time of a job that has ended."""
    user = s.jobs.user[job]
    if user > 0:
        kept = s.history.ran.shape[1]
        s.history.ran[user, s.history.ended[user] % kept] = now - s.live.start[job]
        s.history.ended[user] += 1


@apart
def note_submit(s: State, job: int) -> None:
    """Predict the run time of a job that comes into the queue."""
    limit = s.jobs.limit[job]
    s.jobs.expected[job] = limit
    user = s.jobs.user[job]
    n = min(s.history.ended[user], s.history.ran.shape[1])
    if user == 0 or n < 2:
        return
    work = s.history.work
    for i in range(n):
        work[i] = s.history.ran[user, i]
    value = _mean(work, n) if s.rules.predictor == PREDICT_MEAN else _quantile(work, n, s.rules.predictor_quantile)
    s.jobs.expected[job] = min(max(value, 1), limit)


@kernel
def _mean(values: Ints, n: int) -> int:
    total = 0
    for i in range(n):
        total += values[i]
    return total // n


@kernel
def _quantile(values: Ints, n: int, thousandths: int) -> int:
    """The smallest of the values that so large a part of them does not exceed; they are sorted by it."""
    for i in range(1, n):
        value = values[i]
        k = i
        while k > 0 and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value
    return int(values[max((thousandths * n + 999) // 1000, 1) - 1])


@apart
def correct(s: State, now: int) -> None:
    """Expect running jobs that have outrun their prediction to run on."""
    run = s.running
    corrected = False
    for pool in range(run.count.size):
        running.settle(run, s.live.state, pool)
        first = run.first[pool]
        while run.count[pool] > 0 and run.row[first, ROW_END] <= now:
            job = run.row[first, ROW_JOB]
            running.remove(run, pool, run.row[first, ROW_END], job)
            _expect_more(s, now, job)
            running.add(run, s.live.state, pool, s.live.start[job] + s.jobs.expected[job], s.jobs.procs[job], job)
            running.settle(run, s.live.state, pool)
            corrected = True

    if corrected:
        s.clock.stale[0] = 1
        s.clock.happened[0] = 1
        queue.sweep(s.short_queue, s.live.state)  # it is sorted by what was expected of those that have left it, too


@kernel
def _expect_more(s: State, now: int, job: int) -> None:
    ran = now - s.live.start[job]
    expected = s.jobs.expected[job]
    while expected <= ran:
        step = min(s.history.outrun[job], len(STEPS_MS) - 1)
        expected += STEPS_MS[step]
        s.history.outrun[job] += 1
    # A job that is told to end may be at its limit; it is gone in a moment.
    s.jobs.expected[job] = max(min(expected, s.jobs.limit[job]), ran + 1)


@kernel
def next_correction(s: State) -> int:
    """When the next running job reaches its prediction, ms."""
    time = NEVER
    for pool in range(s.running.count.size):
        running.settle(s.running, s.live.state, pool)
        if s.running.count[pool] > 0:
            time = min(time, s.running.row[s.running.first[pool], ROW_END])
    return time
