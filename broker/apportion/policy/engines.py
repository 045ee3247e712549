"""From the keys of a share engine that is not Slurm's to the history that it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.calendar import DAY_MS
from apportion.core.engines.condor import FLOOR
from apportion.core.engines.history import History, new_history
from apportion.policy.structure import KAI_WINDOWS

if TYPE_CHECKING:
    from apportion.policy.model import Policy


def history_of(policy: Policy, n_assoc: int, start_ms: int, capacity: tuple[int, ...]) -> History | None:
    """Make the history of the policy's engine, None for one that needs none.

    Parameters
    ----------
    n_assoc : int
        Associations.
    start_ms : int
        ms since the epoch: when the first job comes.
    capacity : tuple of int
        Processors and further TRES of the whole machine, 0 for those without a limit.
    """
    given = policy.ShareParameters
    period_ms = policy.PriorityCalcPeriod * 1000

    def history(**keys: object) -> History:
        return new_history(n_assoc, period_ms, start_ms, **keys)  # type: ignore[arg-type]

    match policy.share_engine:
        case "condor":
            beta = 0.5 ** (policy.PriorityCalcPeriod / given.PRIORITY_HALFLIFE)
            return history(decay=beta, factors=(given.DEFAULT_PRIO_FACTOR,), aged=FLOOR)
        case "drf":
            return history(capacity=capacity)
        case "flux":
            return history(interval_ms=policy.PriorityDecayHalfLife * 1000, n_windows=given.UsageBins)
        case "kai":
            interval = given.WindowSize * 1000 // KAI_WINDOWS
            return history(interval_ms=interval, n_windows=KAI_WINDOWS, factors=(given.KValue,), capacity=capacity[:1])
        case "karma":
            return history(
                interval_ms=given.Quantum * 1000,
                n_windows=1,
                factors=(given.Alpha, given.InitialCredits),
                capacity=capacity[:1],
            )
        case "lsf":
            tenth = 0.1 ** (policy.PriorityCalcPeriod / (3600 * given.HIST_HOURS))
            factors = (
                given.CPU_TIME_FACTOR,
                given.RUN_TIME_FACTOR,
                given.COMMITTED_RUN_TIME_FACTOR,
                given.RUN_JOB_FACTOR,
                float(given.ENABLE_HIST_RUN_TIME),
            )
            return history(decay=tenth, factors=factors)
        case "moab":
            return history(
                interval_ms=given.FSINTERVAL * 1000,
                n_windows=given.FSDEPTH,
                decay=given.FSDECAY,
                factors=(given.FSUSERWEIGHT, given.FSACCOUNTWEIGHT),
            )
        case "oar":
            return history(
                interval_ms=DAY_MS,
                n_windows=-(-given.SCHEDULER_FAIRSHARING_WINDOW_SIZE * 1000 // DAY_MS),
                factors=(
                    given.SCHEDULER_FAIRSHARING_COEF_PROJECT,
                    given.SCHEDULER_FAIRSHARING_COEF_USER,
                    given.SCHEDULER_FAIRSHARING_COEF_USER_ASK,
                ),
                asks=True,
            )
        case _:
            return None
