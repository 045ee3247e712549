"""The budgets of a policy's accounts, as a table of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core.budget import HOUR_MS, NO_CAP, Budgets
from apportion.core.calendar import DAY_MS, RESET_MONTHLY, RESET_QUARTERLY, RESET_YEARLY, next_reset
from apportion.core.errors import PolicyError

if TYPE_CHECKING:
    from apportion.core.tables import Ints
    from apportion.policy.associations import Tree
    from apportion.policy.model import Policy
    from apportion.policy.sections import AccountEntry

KEYS = ("Budget", "BudgetPeriod", "BudgetDays", "BudgetStart", "BudgetCarryOver", "BudgetCarryCap", "BudgetEnd")
MOST = 2**60  # TRES x ms that are counted without overflow
COLUMNS = ("tres", "amount", "cap", "carry", "hard", "reset", "length", "begin", "end")
PERIODS = {"month": RESET_MONTHLY, "quarter": RESET_QUARTERLY, "year": RESET_YEARLY}


def has_budgets(policy: Policy) -> bool:
    """Whether any account has a budget."""
    return any(entry.Budget for entry in policy.accounts)


def budgets_mention(policy: Policy) -> set[str]:
    """Names of the TRES that some budget is of."""
    return {name for entry in policy.accounts for name in entry.Budget}


def build_budgets(
    policy: Policy, tree: Tree, tres: tuple[str, ...], *, n_jobs: int, origin_ms: int, largest: Ints, longest_ms: int
) -> Budgets:
    """Fill in the table.

    Parameters
    ----------
    tres : tuple of str
        TRES of the core in order: cpu, the extra ones, billing.
    largest : int64[n_tres]
        Most of each TRES that may run at a time.
    longest_ms : int
        Longest time limit of a job.

    Raises
    ------
    PolicyError
        If a budget, or what running jobs may be promised, is too large to be counted in whole numbers.
    """
    rows: list[tuple[int, ...]] = []
    following: list[int] = []
    accounts = {tree.index[entry.Account, ""]: entry for entry in policy.accounts if entry.Budget}
    first = np.full(len(tree.account_name), -1, np.int64)
    for assoc, above in enumerate(tree.accounts.parent.tolist()):
        first[assoc] = first[above] if above >= 0 else -1
        if assoc not in accounts:
            continue
        entry = accounts[assoc]
        for name, hours in entry.Budget.items():
            scale = HOUR_MS * (1000 if name == "billing" else 1)
            cap = entry.BudgetCarryCap.get(name)
            if max(hours, cap or 0) * scale > MOST or int(largest[tres.index(name)]) * longest_ms > MOST:
                raise PolicyError(
                    f"the budget of {entry.Account} cannot be counted exactly: {name} x hours are too many",
                    "lower the Budget, or the time limits of the jobs",
                )
            begin, end, length = first_period(entry, origin_ms)
            rows.append(
                (
                    tres.index(name),
                    hours * scale,
                    NO_CAP if cap is None else cap * scale,
                    round(entry.BudgetCarryOver * 1000),
                    int(entry.BudgetEnd == "hard"),
                    PERIODS[entry.BudgetPeriod],
                    length,
                    begin,
                    end,
                )
            )
            following.append(int(first[assoc]))
            first[assoc] = len(rows) - 1
    columns = dict(zip(COLUMNS, np.array(rows, np.int64).T.copy(), strict=True))
    zeros = np.zeros(len(rows), np.int64)
    return Budgets(
        first=first,
        following=np.array(following, np.int64),
        **columns,
        left=columns["amount"].copy(),
        rate=zeros,
        promised=zeros.copy(),
        reserved=zeros.copy(),
        turn=columns["end"].min(keepdims=True),
        until=np.full(n_jobs, -1, np.int64),
        held=np.zeros(n_jobs, np.int64),
    )


def first_period(entry: AccountEntry, origin_ms: int) -> tuple[int, int, int]:
    """Begin and end of the period that holds the origin, and its length if that is always the same; ms."""
    if entry.BudgetDays is None:
        return origin_ms, next_reset(PERIODS[entry.BudgetPeriod], origin_ms), 0
    length = entry.BudgetDays * DAY_MS
    start = origin_ms
    if entry.BudgetStart is not None:
        start = entry.BudgetStart.seconds * 1000 + (origin_ms if entry.BudgetStart.from_origin else 0)
    begin = origin_ms - (origin_ms - start) % length
    return begin, begin + length, length
