"""Who may take resources from whom, at what price."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apportion.core.handle import table

if TYPE_CHECKING:
    from apportion.core.tables import Ints

# Cells of Preemption.clock
DAY = 0  # UTC day that `lost` and `caused` are of
HOUR = 1  # hour since the epoch that COUNT is of
COUNT = 2  # jobs preempted in it
WAKE = 3  # when the next try may succeed though nothing happens, ms
LEAVING = 4  # rows of `leaving`
CLAIMS = 5  # rows of `claimants`
SUSPENDED = 6  # rows of `suspended`
CELLS = 7


@table
class Preemption(NamedTuple):
    """Preemption in numbers; empty where the policy has none.

    ``job_class``, ``account`` (n_jobs) : of each job; a class is a QOS, or a partition. ``may`` (n_classes, n_classes) : 1 if
    jobs of the first may preempt those of the second. ``worth``, ``mode``, ``exempt`` (n_classes) : lowest goes first; a MODE
    code, 0 for jobs that are never stopped; ms for which a job cannot be preempted after its start, above 0.
    ``last`` (n_jobs) : when each job was last preempted, ms.
    ``lost``, ``caused`` (n_accounts) : processor-ms lost today, and lost today by others to its jobs. ``seen`` (n_pools), ``trial``
    (n_accounts), ``short`` (1 + n_extra), ``victims`` (n_jobs) : scratch. ``clock`` : see DAY and the names after it.
    ``youngest_first`` : 1 if of a class the job that started last goes first. ``min_wait`` : ms. ``again`` : ms after
    a preemption in which a job is not preempted once more. ``refund`` : thousandths of what it lost that are given back.
    ``min_gain`` : thousandths. ``rate_limit`` : jobs
    an hour, ``lost_budget``, ``caused_budget`` : processor-ms a day and account; NEVER for none.

    Empty where no job has grace, or can be suspended, of each job: ``grace`` : ms it keeps its resources after it was
    preempted. ``until`` : end of its grace, -1 none; ``by``, ``reason`` : whom it leaves for, and why (a code of stops).
    ``leaving``, ``claimants``, ``suspended`` : jobs in grace, jobs that wait for such, suspended jobs, each in order of time.
    ``is_claimant`` : 1 for the second; ``held`` (n_jobs, 1 + n_extra) : what it keeps from others.
    ``memory`` : which of the further resources suspended jobs keep, -1 none.
    """

    job_class: Ints
    account: Ints
    may: Ints
    worth: Ints
    mode: Ints
    exempt: Ints
    last: Ints
    lost: Ints
    caused: Ints
    seen: Ints
    trial: Ints
    short: Ints
    victims: Ints
    clock: Ints
    grace: Ints
    until: Ints
    by: Ints
    reason: Ints
    leaving: Ints
    claimants: Ints
    suspended: Ints
    is_claimant: Ints
    held: Ints
    memory: int
    youngest_first: int
    min_wait: int
    again: int
    refund: int
    min_gain: int
    rate_limit: int
    lost_budget: int
    caused_budget: int


def no_preemption() -> Preemption:
    """Nobody takes anything from anybody."""
    none = np.zeros(0, np.int64)
    square = np.zeros((0, 0), np.int64)
    clock = np.zeros(CELLS, np.int64)
    return Preemption(
        *(none, none, square, none, none, none, none, none, none, none, none, none, none, clock),
        *(none, none, none, none, none, none, none, none, square),
        *(-1, 0, 0, 0, 0, 0, 0, 0, 0),
    )
