"""How much of their budgets accounts used over time, from the jobs of a run and the budgets of its policy.

A job counts from its start to its end, as does what a stopped job used before, for its account and all above it, less what was refunded. A
period begins with what the policy gives and what was carried over, by the rules of `apportion.core.budget`. What running jobs are promised is not
looked at. Budgets of billing are left out: a run does not say what a job is billed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.core.calendar import next_reset
from apportion.metrics.borrowing import is_counted, parents, stretches

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Floats = NDArray[float64]
Bools = NDArray[np.bool_]

COLUMNS: Final = {"cpu": "procs", "node": "nodes", "mem": "mem_mib", "gres/gpu": "gpus"}  # of a run, by TRES
HELD: Final = "QuotaBudget"


class Period(NamedTuple):
    """One period of a budget: its begin and end (s), and what there was and what was used of it, TRES hours."""

    begin_s: float
    end_s: float
    given: float
    used: float


@dataclass(frozen=True)
class BudgetUse:
    """One budget: whose, of what, its amount and the periods that the measure window meets.

    ``held_jobs`` : of its jobs those that waited for a budget, this one or another above or below.
    ``percent`` : used so far of what the present period had, at each of the common times of `budget_use`.
    """

    account: str
    tres: str
    amount: float
    periods: list[Period]
    held_jobs: int
    percent: Floats


def budget_use(run: Run, bins: int = 240) -> tuple[Floats, list[BudgetUse]]:
    """Follow the budgets over the measure window.

    Returns
    -------
    times_s : float64 array
        Edges of the bins, and the ends of all periods, each twice: before and after.
    budgets : list of BudgetUse
        In the order of the policy; empty where it has none, or no time was measured.
    """
    begin, end = run.window_s
    entries = [entry for entry in (run.manifest.get("policy") or {}).get("accounts", []) if entry.get("Budget")]
    if not entries or end <= begin:
        return np.zeros(0), []
    from apportion.policy.sections import AccountEntry

    given = [AccountEntry.model_validate(entry) for entry in entries]
    turns = [_turns(entry, int(run.manifest.get("origin_ms") or 0), end) for entry in given]
    inner = np.unique(np.concatenate([np.array(turn) for turn in turns]))
    inner = inner[(inner > begin) & (inner < end)]
    grid = np.linspace(begin, end, bins + 1)
    times = np.sort(np.concatenate([grid[~np.isin(grid, inner)], inner, inner]))
    after = np.append(times[1:] == times[:-1], [False])
    after = np.append([False], after[:-1])  # the second of two
    found = []
    for entry, turn in zip(given, turns, strict=True):
        mine = _is_charged(run, entry.Account)
        held = int((mine & _is_held(run)).sum())
        for tres, amount in entry.Budget.items():
            if COLUMNS.get(tres) not in run.jobs.columns:
                continue
            ledger = _Ledger(run, mine, COLUMNS[tres], np.array(turn))
            cap = entry.BudgetCarryCap.get(tres, np.inf)
            periods = ledger.periods(float(amount), entry.BudgetCarryOver, cap)
            percent = ledger.percent(periods, times, after)
            kept = [period for period in periods if period.end_s > begin and period.begin_s < end]
            found.append(BudgetUse(entry.Account, tres, float(amount), kept, held, percent))
    return times, found


def _turns(entry: Any, origin_ms: int, until_s: float) -> list[float]:
    """Begin of the first period and the ends of all up to the first that is not before ``until_s``; s from the origin."""
    from apportion.policy.budgets import PERIODS, first_period

    begin, end, length = first_period(entry, origin_ms)
    turns = [begin, end]
    while turns[-1] - origin_ms < until_s * 1000:
        turns.append(turns[-1] + length if length else next_reset(PERIODS[entry.BudgetPeriod], turns[-1]))
    return [(turn - origin_ms) / 1000.0 for turn in turns]


def _is_charged(run: Run, account: str) -> Bools:
    """Which jobs are charged to the budget of an account: its own, and those of accounts below it."""
    codes, names = run.codes("account")
    parent_of = parents(run)

    def is_below(name: str) -> bool:
        while name and name != account:
            name = parent_of(name)
        return name == account

    return np.array([is_below(name) for name in names], bool)[codes] & is_counted(run)


def _is_held(run: Run) -> Bools:
    """Which jobs waited for a budget."""
    codes, names = run.codes("reasons")
    return np.array([HELD in name.split(",") for name in names], bool)[codes]


class _Ledger:
    """What some jobs used of one TRES, in TRES seconds."""

    def __init__(self, run: Run, mine: Bools, column: str, turns: Floats) -> None:
        row, start, stop, _ = stretches(run)
        amount = run.seconds(column)
        charged = mine[row]
        row, start, stop = row[charged], start[charged], stop[charged]
        ends = np.isfinite(stop)
        time = np.concatenate([start, stop[ends]])
        change = np.concatenate([amount[row], -amount[row][ends]])
        order = np.argsort(time, kind="stable")
        time = np.append(time[order], max(float(turns[-1]), float(time.max(initial=0.0))))
        rate = np.append(np.cumsum(change[order]), 0.0)
        self.time = time
        self.used = np.append(0.0, np.cumsum(rate[:-1] * np.diff(time)))
        self.turns = turns
        self.refund_s, self.refunded = _refunds(run, mine, amount, turns)

    def until(self, time_s: Floats) -> Floats:
        """Used up to each time, what was refunded up to then taken off."""
        back = np.append(0.0, np.cumsum(self.refunded))[np.searchsorted(self.refund_s, time_s, side="right")]
        spent: Floats = np.interp(time_s, self.time, self.used, left=0.0) - back
        return spent

    def periods(self, amount: float, carry: float, cap: float) -> list[Period]:
        """All periods, each with what was left of the one before."""
        used = np.diff(self.until(self.turns)) / 3600.0
        periods, given = [], amount
        for begin, end, spent in zip(self.turns[:-1].tolist(), self.turns[1:].tolist(), used.tolist(), strict=True):
            periods.append(Period(begin, end, given, spent))
            given = amount + min(cap, carry * max(0.0, given - spent))
        return periods

    def percent(self, periods: list[Period], times: Floats, after: Bools) -> Floats:
        """Used so far of what the period has; a time that ends one belongs to it, unless it is marked as ``after`` it."""
        before = np.searchsorted(self.turns, times, side="left") - 1
        beyond = np.searchsorted(self.turns, times, side="right") - 1
        at = np.clip(np.where(after, beyond, before), 0, len(periods) - 1)
        given = np.array([period.given for period in periods])[at]
        used = (self.until(times) - self.until(self.turns[at])) / 3600.0
        percent: Floats = np.divide(100.0 * used, given, out=np.full(len(times), np.nan), where=given > 0)
        return percent


def _refunds(run: Run, mine: Bools, amount: Floats, turns: Floats) -> tuple[Floats, Floats]:
    """Times of refunds and TRES seconds given back, no more than the period at that time has paid."""
    path = run.folder / "preemptions.parquet"
    if not path.is_file():
        return np.zeros(0), np.zeros(0)
    stops = pd.read_parquet(path).sort_values("time_s", kind="stable")
    place = pd.Series(np.arange(len(run.jobs)), index=run.jobs["job_id"])
    row = place.reindex(stops["job_id"]).to_numpy(dtype=float64)
    known = ~np.isnan(row)
    known[known] = mine[row[known].astype(int64)]
    job, time = row[known].astype(int64), stops["time_s"].to_numpy()[known]
    seconds = stops["refunded_core_s"].to_numpy()[known] / np.maximum(run.procs[job], 1.0)
    begin = turns[np.clip(np.searchsorted(turns, time, side="right") - 1, 0, len(turns) - 1)]
    return time, amount[job] * np.minimum(seconds, time - begin)
