"""The conventions of a replay: choices that simulators make silently and that change results.

Six programs that call themselves EASY differ by 58 % in mean wait on one trace, mostly because of what is settled here. Each choice
is an option, is printed with every result, and has a default with a reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from apportion.core.errors import UserError

CHOICES: Final[dict[str, dict[str, str]]] = {
    "size": {
        "allocated": "a job is as wide as what it got, else as what it asked for: that is what filled the machine",
        "requested": "a job is as wide as what it asked for, else as what it got",
    },
    "limit": {
        "requested": "the scheduler plans with the requested time; where there is none with DefaultTime or MaxTime of the partition, "
        "if the policy has them, else with the run time",
        "exact": "the scheduler knows every run time in advance",
    },
    "over_limit": {
        "kill": "a job that ran past its limit ends at the limit, as a scheduler would have it",
        "raise": "the limit of a job that ran past it is raised to its run time",
    },
    "cancelled": {
        "drop": "a job that was cancelled before it started is left out: when its user gave up depends on the old schedule",
        "replay": "a job that was cancelled before it started is submitted and, if it still waits then, cancelled at its recorded moment",
    },
    "dependencies": {
        "ignore": "jobs arrive when they were submitted, whatever the trace says of jobs that they follow",
        "honour": "a job is submitted when those it follows have ended, after the think time that the trace records; without a think time it "
        "waits in the queue from its recorded submission on, and counts as submitted when they have ended",
    },
    "feedback": {
        "none": "users submit when they did, however long they have to wait",
        "sessions": "users submit their next batch when the last has come back and they have thought as long as recorded",
    },
}
FIXED: Final = {
    "ties": "all events of an instant are applied (ends, capacity, cancellations, submissions), then one decision is made",
    "too_wide": "a job wider than its pool is rejected, with the reason",
    "processors": "processors are counted, not named, and any free ones will do, unless the policy lists nodes",
    "zero_limit": "a limit is at least one millisecond",
}


@dataclass(frozen=True)
class Conventions:
    """How a trace is read as a workload.

    Attributes
    ----------
    size, limit, over_limit, cancelled, dependencies, feedback : str
        One of the keys of ``CHOICES``; the first is the default.
    warm_up_s, cool_down_s : float
        Parts of the submit time at the beginning and end that metrics leave out. None by default, so that results agree with
        those published for whole traces; give a warm-up where the empty machine at the start would flatter a policy.
    """

    size: str = "allocated"
    limit: str = "requested"
    over_limit: str = "kill"
    cancelled: str = "drop"
    dependencies: str = "ignore"
    feedback: str = "none"
    warm_up_s: float = 0.0
    cool_down_s: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(f"convention {name} is '{value}'", f"choose {' or '.join(choices)}")
        if self.cancelled == "replay" and (self.dependencies == "honour" or self.feedback == "sessions"):
            raise UserError(
                "recorded moments of cancellation mean nothing for jobs that are submitted at other moments",
                "leave cancelled jobs out (--cancelled drop), or submit all as recorded (--dependencies ignore --feedback none)",
            )
        if self.warm_up_s < 0 or self.cool_down_s < 0:
            raise UserError("warm-up and cool-down cannot be negative or unlimited", "write a time such as 7-0")

    def to_json(self) -> dict[str, Any]:
        """Values as set, and the conventions that are not options, in words."""
        return {**asdict(self), **FIXED}

    def describe(self) -> dict[str, str]:
        """Each convention as a sentence."""
        return {name: choices[getattr(self, name)] for name, choices in CHOICES.items()} | FIXED
