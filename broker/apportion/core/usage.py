"""Usage of associations and QOS: charged as jobs run, aged slice by slice.

Time is cut into slices of PriorityCalcPeriod that end at multiples of it since the epoch (ticks). At each tick the
usage so far is aged first and then what ran in the slice is added (aged as `apportion.core.decay` says), to the
association, to every account above it and to the job's QOS.

A whole slice of all running jobs is one multiplication, because ``rate`` knows how much runs. What jobs that start or
end inside a slice add is kept apart, in ``pending``, as an integer count of millionths: adding and taking away again
leaves nothing behind and the order of events within a slice cannot matter.

Sources: the manual pages slurm.conf(5) (PriorityDecayHalfLife, PriorityUsageResetPeriod, PriorityCalcPeriod) and
sacctmgr(1) (UsageFactor, NoDecay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.calendar import DAY_MS, RESET_NONE, next_reset
from apportion.core.daily import charge_days
from apportion.core.decay import DECAY_NONE, DECAYS, SMALLEST, decay_tables, left
from apportion.core.handle import table
from apportion.core.jit import kernel

if TYPE_CHECKING:
    from apportion.core.tables import Floats, Ints

WALL = -1  # a meter that counts the seconds of running jobs, for GrpWall

# Cells of Usage.clock
LAST_TICK = 0  # ms
NEXT_RESET = 1  # ms
TICKS = 2  # ticks done; usage can change only when it grows
RUNNING = 3  # jobs being charged
TOUCHED = 4  # rows in which `pending` or `fresh` hold something
IN_USE = 5  # 0 when all usage is zero and nothing runs
LAST_DAY = 6  # newest day of the daily bins


@table
class UsageParams(NamedTuple):
    """How usage is charged and aged; made by `usage_params` when a policy is compiled.

    ``period`` : PriorityCalcPeriod in ms. ``rule`` : DECAY_* code. ``factor`` : what one tick multiplies old usage
    with.
    ``whole``, ``whole_undecayed`` : seconds that a thousandth of a running unit adds in a whole slice.
    ``age`` (seconds of a period + 1) : d^k. ``integral`` (the same) : ms of usage left, at a tick, of the last k
    seconds.
    ``reset`` : RESET_* code. ``usage_factor`` (n_qos) : thousandths. ``rule_of_qos`` (n_qos) : ``rule``, or DECAY_NONE
    for a QOS with the flag NoDecay.
    ``meters`` : what each row of `Usage.value` counts: a number of a TRES (tables.py) or WALL; the first is billing.
    """

    period: int
    rule: int
    factor: float
    whole: float
    whole_undecayed: float
    age: Floats
    integral: Floats
    reset: int
    usage_factor: Ints
    rule_of_qos: Ints
    meters: Ints


@table
class Usage(NamedTuple):
    """What has been used. Rows of the columns: the associations, then the QOS.

    ``value`` (n_meters, n_rows) : aged usage at the last tick, in units x seconds (row 0: billing-seconds).
    ``rate`` (same) : thousandths of units of the jobs that ran at the last tick and still run, with all below an
    account.
    ``fresh`` (same) : thousandths of units of the jobs that started since. ``pending`` (same) : millionths of
    unit-seconds to add at the next tick. ``touched`` (n_rows) : the rows of associations in which they hold something, ``is_touched``
    (n_rows) : 1 for these; ``aged`` (n_rows) : scratch.
    ``daily`` (n_days, n_assoc) : a ring of UTC days; billing x UsageFactor in thousandths x seconds of the jobs that
    ended, under the day in which they ran, never aged, of user associations only. Day ``d`` since the epoch is in row
    ``d % n_days``.
    ``clock`` : see LAST_TICK and the names after it.
    """

    value: Floats
    rate: Floats
    fresh: Ints
    pending: Ints
    touched: Ints
    is_touched: Ints
    aged: Floats
    daily: Ints
    clock: Ints


def usage_params(
    half_life_s: float,
    period_ms: int,
    *,
    decay: str = "slurm",
    reset: int = RESET_NONE,
    usage_factor: Ints | None = None,
    no_decay: Ints | None = None,
    billing_tres: int = 1,
    meters: tuple[int, ...] = (),
) -> UsageParams:
    """Compile the rules of usage.

    Parameters
    ----------
    half_life_s : float
        PriorityDecayHalfLife in seconds; 0 for no decay, otherwise at least 1.
    period_ms : int
        PriorityCalcPeriod in ms: whole seconds, at least one.
    decay : {"slurm", "exact"}
        Rule of ageing.
    reset : int
        RESET_* code of PriorityUsageResetPeriod. RESET_NOW needs nothing here, as a new `Usage` is empty.
    usage_factor : int64[n_qos], optional
        UsageFactor of each QOS x 1000. None: no QOS.
    no_decay : int64[n_qos], optional
        1 for a QOS with NoDecay.
    billing_tres : int
        Number of billing among the TRES: n_extra + 1.
    meters : tuple of int
        What else to count beside billing: numbers of TRES, or WALL. Only what limits need; each costs as much as
        billing.

    Returns
    -------
    UsageParams

    Raises
    ------
    ValueError
        If the half-life or the period is out of range.
    """
    if period_ms % 1000 != 0 or period_ms < 1000:
        raise ValueError("the calculation period must be whole seconds")
    if half_life_s != 0 and not half_life_s >= 1:
        raise ValueError("the half-life must be 0 or at least 1 s")
    seconds = period_ms // 1000
    rule = DECAY_NONE if half_life_s == 0 else DECAYS[decay]
    age, integral = decay_tables(rule, half_life_s, seconds)
    whole = left(age, integral, rule, 0, period_ms, period_ms)
    rule_of_qos = np.full(0 if usage_factor is None else len(usage_factor), rule)
    if no_decay is not None:
        rule_of_qos[np.asarray(no_decay) != 0] = DECAY_NONE
    return UsageParams(
        period=period_ms,
        rule=rule,
        factor=float(age[seconds]),
        whole=whole * 1e-6,
        whole_undecayed=period_ms * 1e-6,
        age=age,
        integral=integral,
        reset=reset,
        usage_factor=np.zeros(0, np.int64) if usage_factor is None else np.ascontiguousarray(usage_factor, np.int64),
        rule_of_qos=rule_of_qos,
        meters=np.array((billing_tres, *meters), np.int64),
    )


def new_usage(n_assoc: int, params: UsageParams, start_ms: int, n_days: int = 0) -> Usage:
    """Allocate usage of nothing.

    Parameters
    ----------
    n_assoc : int
        Associations, users and accounts.
    params : UsageParams
        The rules; they say which meters and how many QOS.
    start_ms : int
        ms since the epoch; the last tick is the newest one not after it.
    n_days : int
        Days that the ring of daily bins keeps; 0 for none.

    Returns
    -------
    Usage
    """
    shape = (len(params.meters), n_assoc + len(params.usage_factor))
    clock = np.zeros(7, np.int64)
    clock[LAST_TICK] = start_ms // params.period * params.period
    clock[NEXT_RESET] = next_reset(params.reset, int(clock[LAST_TICK]))
    clock[LAST_DAY] = start_ms // DAY_MS
    return Usage(
        value=np.zeros(shape),
        rate=np.zeros(shape),
        fresh=np.zeros(shape, np.int64),
        pending=np.zeros(shape, np.int64),
        touched=np.zeros(n_assoc, np.int64),
        is_touched=np.zeros(n_assoc, np.int64),
        aged=np.zeros(n_assoc),
        daily=np.zeros((n_days, n_assoc), np.int64),
        clock=clock,
    )


@kernel
def _amount(tres: int, usage_factor: int, billing: int, procs: int, extra: Ints) -> int:
    """Thousandths of units that a job uses of what a meter counts; UsageFactor bears on TRES, not on wall time."""
    if tres == WALL:
        return 1000
    if tres == 0:
        return procs * usage_factor
    if tres <= extra.shape[0]:
        return int(extra[tres - 1] * usage_factor)
    return billing * usage_factor // 1000


@kernel
def _touch(usage: Usage, parent: Ints, assoc: int) -> None:
    """Note that something is to be added to an association, and so to the accounts above, at the next tick."""
    row = assoc
    while row >= 0 and usage.is_touched[row] == 0:
        usage.is_touched[row] = 1
        usage.touched[usage.clock[TOUCHED]] = row
        usage.clock[TOUCHED] += 1
        row = parent[row]


@kernel
def charge_start(
    usage: Usage,
    params: UsageParams,
    parent: Ints,
    assoc: int,
    qos: int,
    billing: int,
    procs: int,
    extra: Ints,
    start: int,
) -> None:
    """Begin to charge a job. O(depth of its association).

    ``usage`` must stand at the newest tick not after ``start`` (call `advance` first).

    Parameters
    ----------
    parent : int64[n_assoc]
        `Accounts.parent`.
    assoc, qos : int
        Indices; -1 for no QOS.
    billing : int
        Thousandths of billing units per second, before UsageFactor.
    procs : int
        Processors, for a meter that counts them.
    extra : int64[n_extra]
        The job's further resources (a row of `Jobs.extra`), likewise.
    start : int
        ms since the epoch.
    """
    clock, fresh, pending = usage.clock, usage.fresh, usage.pending
    age, integral, meters = params.age, params.integral, params.meters
    clock[RUNNING] += 1
    clock[IN_USE] = 1
    _touch(usage, parent, assoc)
    tick = clock[LAST_TICK] + params.period
    ms = left(age, integral, params.rule, start, tick, tick)
    usage_factor = params.usage_factor[qos] if qos >= 0 else 1000
    rule = params.rule_of_qos[qos] if qos >= 0 else 0
    for m in range(meters.shape[0]):
        amount = _amount(meters[m], usage_factor, billing, procs, extra)
        added = int(amount * ms)
        row = assoc
        while row >= 0:
            fresh[m, row] += amount
            pending[m, row] += added
            row = parent[row]
        if qos >= 0:
            row = parent.shape[0] + qos
            fresh[m, row] += amount
            pending[m, row] += int(amount * left(age, integral, rule, start, tick, tick))


@kernel
def charge_end(
    usage: Usage,
    params: UsageParams,
    parent: Ints,
    assoc: int,
    qos: int,
    billing: int,
    procs: int,
    extra: Ints,
    start: int,
    end: int,
) -> None:
    """Stop charging a job that ended or lost its resources. O(depth), and O(days it ran) for the daily bins.

    Arguments as for `charge_start`, with the same ``start``; ``usage`` must stand at the newest tick not after ``end``.
    """
    clock, pending = usage.clock, usage.pending
    age, integral, meters = params.age, params.integral, params.meters
    clock[RUNNING] -= 1
    _touch(usage, parent, assoc)
    last = clock[LAST_TICK]
    tick = last + params.period
    is_fresh = start >= last
    begin = start if is_fresh else last
    ms = left(age, integral, params.rule, begin, end, tick)
    promised = left(age, integral, params.rule, start, tick, tick) if is_fresh else 0.0
    usage_factor = params.usage_factor[qos] if qos >= 0 else 1000
    rule = params.rule_of_qos[qos] if qos >= 0 else 0
    for m in range(meters.shape[0]):
        amount = _amount(meters[m], usage_factor, billing, procs, extra)
        added = int(amount * ms) - int(amount * promised)
        row = assoc
        while row >= 0:
            pending[m, row] += added
            row = parent[row]
        if qos >= 0:
            added = int(amount * left(age, integral, rule, begin, end, tick))
            if is_fresh:
                added -= int(amount * left(age, integral, rule, start, tick, tick))
            pending[m, parent.shape[0] + qos] += added
        if is_fresh:
            _stop(usage.fresh, parent, m, assoc, qos, amount)
        else:
            _stop(usage.rate, parent, m, assoc, qos, amount)
    if usage.daily.shape[0] > 0:
        amount = _amount(meters[0], usage_factor, billing, procs, extra)
        clock[LAST_DAY] = charge_days(usage.daily, clock[LAST_DAY], assoc, amount, start, end)


@kernel
def refund(
    usage: Usage,
    params: UsageParams,
    parent: Ints,
    assoc: int,
    qos: int,
    billing: int,
    procs: int,
    extra: Ints,
    begin: int,
    end: int,
) -> None:
    """Take back what is left of what a job was charged from ``begin`` to ``end``, after `charge_end`. O(depth), and O(ticks and days between).

    Other arguments as for `charge_start`. Usage does not fall below zero, should it have been reset meanwhile.
    """
    clock = usage.clock
    clock[IN_USE] = 1
    _touch(usage, parent, assoc)
    last = clock[LAST_TICK]
    usage_factor = params.usage_factor[qos] if qos >= 0 else 1000
    own_rule = params.rule_of_qos[qos] if qos >= 0 else params.rule
    now_ms, past_ms = _left_of(params, params.rule, params.factor, begin, end, last)
    own_factor = 1.0 if own_rule == DECAY_NONE else params.factor
    own_now_ms, own_past_ms = _left_of(params, own_rule, own_factor, begin, end, last)
    for m in range(params.meters.shape[0]):
        amount = _amount(params.meters[m], usage_factor, billing, procs, extra)
        row = assoc
        while row >= 0:
            usage.pending[m, row] -= int(amount * now_ms)
            usage.value[m, row] = max(usage.value[m, row] - amount * past_ms * 1e-6, 0.0)
            row = parent[row]
        if qos >= 0:
            row = parent.shape[0] + qos
            usage.pending[m, row] -= int(amount * own_now_ms)
            usage.value[m, row] = max(usage.value[m, row] - amount * own_past_ms * 1e-6, 0.0)
    if usage.daily.shape[0] > 0:
        amount = _amount(params.meters[0], usage_factor, billing, procs, extra)
        clock[LAST_DAY] = charge_days(usage.daily, clock[LAST_DAY], assoc, -amount, begin, end)


@kernel
def _left_of(params: UsageParams, rule: int, factor: float, begin: int, end: int, last: int) -> tuple[float, float]:
    """Ms of usage from ``begin`` to ``end`` that the next tick is still to add, and that are left of those added up to the ``last``."""
    age, integral, tick = params.age, params.integral, last + params.period
    present = left(age, integral, rule, max(begin, last), end, tick) if end > last else 0.0
    past, weight, tick = 0.0, 1.0, last
    while tick > begin and weight > 1e-9:
        since = tick - params.period
        if end > since:
            past += weight * left(age, integral, rule, max(begin, since), min(end, tick), tick)
        weight *= factor
        tick = since
    return present, past


@kernel
def _stop(running: Ints | Floats, parent: Ints, meter: int, assoc: int, qos: int, amount: int) -> None:
    row = assoc
    while row >= 0:
        running[meter, row] -= amount
        row = parent[row]
    if qos >= 0:
        running[meter, parent.shape[0] + qos] -= amount


@kernel
def _decayed(old: float, factor: float) -> float:
    aged = old * factor
    return SMALLEST if (aged < SMALLEST) & (old > 0.0) else aged


@kernel
def _with_slice(usage: Usage, meter: int, row: int, factor: float, whole: float) -> float:
    """Usage of a row aged by one slice, and what the slice holds."""
    of_slice = usage.rate[meter, row] * whole + usage.pending[meter, row] * 1e-6
    return _decayed(usage.value[meter, row], factor) + of_slice


@kernel
def _settle(usage: Usage, meter: int, row: int, value: float) -> None:
    """Begin a new slice with a value."""
    usage.value[meter, row] = value
    usage.rate[meter, row] += usage.fresh[meter, row]
    usage.fresh[meter, row] = 0
    usage.pending[meter, row] = 0


@kernel
def _age(usage: Usage, meter: int, n_assoc: int, factor: float, whole: float) -> None:
    """Age all associations by one slice, then add what the slice holds: to most of them only what ran all the time."""
    value, rate, touched, aged = usage.value, usage.rate, usage.touched, usage.aged
    n_touched = usage.clock[TOUCHED]
    for k in range(n_touched):
        aged[k] = _with_slice(usage, meter, touched[k], factor, whole)
    for i in range(n_assoc):  # without a branch or a look-up, so that several are aged at once
        value[meter, i] = _decayed(value[meter, i], factor) + rate[meter, i] * whole
    for k in range(n_touched):
        _settle(usage, meter, touched[k], aged[k])


@kernel
def advance(usage: Usage, params: UsageParams, now: int) -> int:
    """Bring usage forward to the newest tick not after ``now``, tick by tick.

    To be called before the events of an instant are applied. How often it is called changes nothing.

    Parameters
    ----------
    now : int
        ms since the epoch.

    Returns
    -------
    int
        Ticks that have passed; usage is as it was when 0.
    """
    clock = usage.clock
    due = int((now - clock[LAST_TICK]) // params.period)
    if due <= 0:
        return 0
    if clock[IN_USE] == 0:
        clock[LAST_TICK] += due * params.period
        clock[TICKS] += due
        if clock[LAST_TICK] >= clock[NEXT_RESET]:
            clock[NEXT_RESET] = next_reset(params.reset, clock[LAST_TICK])
        return due
    value = usage.value
    rule_of_qos = params.rule_of_qos
    n_rows = value.shape[1]
    n_assoc = n_rows - rule_of_qos.shape[0]
    for _ in range(due):
        clock[LAST_TICK] += params.period
        clock[TICKS] += 1
        if clock[LAST_TICK] >= clock[NEXT_RESET]:  # before the slice is added, which belongs to the new period
            value[:, :] = 0.0
            clock[NEXT_RESET] = next_reset(params.reset, clock[LAST_TICK])
        for m in range(value.shape[0]):
            _age(usage, m, n_assoc, params.factor, params.whole)
            for row in range(n_assoc, n_rows):
                kept = rule_of_qos[row - n_assoc] == DECAY_NONE
                factor = 1.0 if kept else params.factor
                whole = params.whole_undecayed if kept else params.whole
                _settle(usage, m, row, _with_slice(usage, m, row, factor, whole))
        for k in range(clock[TOUCHED]):
            usage.is_touched[usage.touched[k]] = 0
        clock[TOUCHED] = 0
    return due
