"""The cleaning rules: what each finds, what it does about it, and why that is the default.

Rules run in the order of `RULES`: each sees what those before it mended, and only jobs still in the trace. ``no-size``
comes last so that the other counts are those of the file. The oddities are those of the public archives' own notes on
their logs, and of the logs themselves. Notations (Slurm's per-CPU bit in a memory size, ALCF's user ``0.0``) are not
oddities: the readers know them.

References
----------
The Standard Workload Format, version 2.2, field 11, https://www.cs.huji.ac.il/labs/parallel/workload/swf.html (lines
for a part of a job, and which line is for the whole).

Feitelson, Tsafrir, Krakov, "Experience with using the Parallel Workloads Archive", JPDC 74(10), 2014,
doi:10.1016/j.jpdc.2014.06.013 (why logs need cleaning, and why it must be said what was done).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from apportion.traces import oddities as odd
from apportion.traces.schema import HORIZON_MS, UNKNOWN, Status
from apportion.traces.sheet import Mask, Sheet, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

Action = Literal["keep", "flag", "mend", "drop", "sort"]


@dataclass(frozen=True)
class Rule:
    """One named rule.

    Attributes
    ----------
    name : str
        As given to ``--no-rule``.
    finds : str
        What it looks for, in words.
    action : str
        ``keep`` (on purpose), ``flag`` (say so, leave it to the replay's conventions), ``mend``, ``drop`` or ``sort``.
    why : str
        Reason of the default.
    find : callable
        Sheet to mask of rows.
    shows : tuple of str
        Columns given with the examples.
    mend : callable, optional
        Does the mending, given the sheet and the mask.
    detail : callable, optional
        One more sentence for the report, given the sheet and the mask.
    default : bool
        Whether it acts when nothing is said. A rule that is off still counts what it found.
    """

    name: str
    finds: str
    action: Action
    why: str
    find: Callable[[Sheet], Mask]
    shows: tuple[str, ...]
    mend: Callable[[Sheet, Mask], None] | None = None
    detail: Callable[[Sheet, Mask], str] | None = None
    default: bool = True


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "partial-execution",
        "a line for one stretch of a job (status 2, 3 or 4) that has a line for the whole too",
        "drop",
        "the line for the whole holds the submit time and all of the run time; with its stretches the job would run twice",
        odd.partial_execution,
        ("submit_ms", "run_ms", "status"),
    ),
    Rule(
        "no-submit",
        "submit time unknown, before the trace's origin or centuries after it",
        "drop",
        "without a submit time a job has no place in the queue, and inventing one would change its neighbours' waits",
        lambda s: (s.ints("submit_ms") < 0) | (s.ints("submit_ms") > HORIZON_MS),
        ("submit_ms",),
    ),
    Rule(
        "endless-time",
        "a wait, run or requested time of centuries",
        "mend",
        "a number that stands for 'without end' or is damaged; it becomes unknown",
        odd.endless,
        odd.LENGTHS,
        mend=odd.forget_endless,
    ),
    Rule(
        "repeated-row",
        "a row equal to an earlier one in every column, its id included",
        "drop",
        "one job written twice would be run twice",
        odd.repeated_row,
        ("submit_ms", "run_ms"),
    ),
    Rule(
        "repeated-row-without-id",
        "a row equal to an earlier one, in a format that gives jobs no id",
        "drop",
        "off: the Philly trace has 65 such pairs and 122 that differ by one second in run time, just what sweeps of "
        "short jobs give; they are most likely different jobs",
        odd.repeated_without_id,
        ("submit_ms", "run_ms"),
        default=False,
    ),
    Rule(
        "outdated-row",
        "a job that waits or runs still by this line, and has another of the same id, submit and start that tells more",
        "drop",
        "dumps of successive months each have a job that ran over the end of one; it would run twice",
        odd.outdated,
        ("submit_ms", "wait_ms", "run_ms", "status"),
    ),
    Rule(
        "repeated-id",
        "a job id that an earlier job has too",
        "flag",
        "requeued and restarted jobs keep their id in several logs; they are jobs of their own for a replay",
        odd.repeated_id,
        ("submit_ms", "run_ms"),
    ),
    Rule(
        "unsorted-submit",
        "a row submitted before the row above it",
        "sort",
        "a replay walks in submit order; the sort is stable, so jobs of one instant keep the order of the file",
        odd.steps_back,
        ("submit_ms",),
        mend=odd.want_sorted,
    ),
    Rule(
        "negative-run",
        "a run time below zero that is not the -1 of 'unknown'",
        "mend",
        "a clock was set back or a time is missing; the run time becomes unknown",
        lambda s: s.ints("run_ms") < UNKNOWN,
        ("run_ms",),
        mend=odd.set_column("run_ms", UNKNOWN),
    ),
    Rule(
        "negative-wait",
        "a wait below zero that is not the -1 of 'unknown'",
        "mend",
        "a job cannot start before it is submitted; the recorded wait becomes unknown (a replay makes its own)",
        lambda s: s.ints("wait_ms") < UNKNOWN,
        ("wait_ms",),
        mend=odd.set_column("wait_ms", UNKNOWN),
    ),
    Rule(
        "zero-run-unallocated",
        "cancelled with run time zero and nothing allocated, where the trace says what others were allocated",
        "mend",
        "some logs write 0 for a job that left the queue before it started; the run time becomes unknown",
        odd.cancelled_unallocated,
        ("run_ms", "procs_used", "status"),
        mend=odd.set_column("run_ms", UNKNOWN),
    ),
    Rule(
        "never-started",
        "no run time, and cancelled or of unknown status",
        "flag",
        "the job waited and left; whether a replay leaves it out or cancels it at its recorded moment is a convention",
        lambda s: odd.no_run(s) & odd.cancelled_or_unsaid(s),
        ("run_ms", "wait_ms", "status"),
        detail=odd.split_by_status,
    ),
    Rule(
        "no-run-time",
        "no run time, although the job is said to have run",
        "flag",
        "it stays in the trace and is counted, but a replay cannot run it",
        lambda s: odd.no_run(s) & ~odd.cancelled_or_unsaid(s),
        ("run_ms", "status"),
    ),
    Rule(
        "zero-run",
        "run time zero",
        "keep",
        "the job did start and was charged a queue slot; a replay lets it begin and end within one instant",
        lambda s: s.ints("run_ms") == 0,
        ("run_ms",),
    ),
    Rule(
        "size-differs",
        "allocated another size than it asked for",
        "flag",
        "which of the two is replayed is a convention (allocated by default)",
        odd.size_differs,
        ("procs_used", "procs_req"),
    ),
    Rule(
        "zero-limit",
        "requested time zero",
        "mend",
        "nobody asks for no time at all; the limit becomes unknown",
        lambda s: s.ints("limit_ms") == 0,
        ("limit_ms",),
        mend=odd.set_column("limit_ms", UNKNOWN),
    ),
    Rule(
        "no-limit",
        "no requested time",
        "flag",
        "backfill needs a limit; a replay takes the run time itself by default and says so",
        lambda s: s.ints("limit_ms") < 0,
        ("limit_ms",),
    ),
    Rule(
        "over-limit",
        "ran longer than the requested time",
        "flag",
        "whether a replay kills it at its limit or raises the limit is a convention (killed by default)",
        lambda s: (s.ints("limit_ms") > 0) & (s.ints("run_ms") > s.ints("limit_ms")),
        ("run_ms", "limit_ms"),
        detail=odd.worst_overrun,
    ),
    Rule(
        "exit-codes-as-status",
        "the status column holds exit codes, not the codes of the format: some are no such codes, and 0 is as frequent as 1",
        "mend",
        "0 would read as failed and 1 as completed, the wrong way round; 0 becomes COMPLETED, -1 unknown, else FAILED; where "
        "1 is the more frequent, the codes are the format's but for the odd ones, which stay unknown",
        odd.raw_exit_codes,
        ("status", "status_raw"),
        mend=odd.read_exit_codes,
    ),
    Rule(
        "unknown-status",
        "no status",
        "flag",
        "a replay does not need it; success rates leave these jobs out",
        lambda s: s.ints("status") == Status.UNKNOWN,
        ("status",),
    ),
    Rule(
        "cancelled-after-start",
        "cancelled, with a run time",
        "keep",
        "the machine was occupied for that time, so the job is replayed like any other",
        lambda s: (s.ints("status") == Status.CANCELLED) & (s.ints("run_ms") >= 0),
        ("run_ms", "status"),
    ),
    Rule(
        "no-user",
        "no user",
        "flag",
        "per-user metrics count such jobs under one nameless user; it may stand for many people",
        odd.no_user,
        ("user",),
    ),
    Rule(
        "false-dependency",
        "must follow itself, a job that is not in the trace, or every job the same one",
        "mend",
        "filled-in constants and jobs filtered away would make others wait for ever; the dependency becomes unknown",
        odd.false_dependency,
        ("after_job", "think_ms"),
        mend=odd.forget_dependency,
    ),
    Rule(
        "no-wait",
        "no recorded wait",
        "flag",
        "a replay makes its own waits; only the comparison with the recorded schedule leaves these jobs out",
        lambda s: unknown(s.ints("wait_ms")),
        ("wait_ms",),
    ),
    Rule(
        "wider-than-machine",
        "larger than the machine as the trace states it",
        "flag",
        "a replay rejects it with that reason; dropping it here would hide it",
        odd.too_wide,
        ("procs_used", "procs_req", "nodes_used"),
    ),
    Rule(
        "logged-above-capacity",
        "started when the log has more processors in use than the machine has",
        "flag",
        "the log's clock or its sizes are off, or the machine was larger then; a replay keeps to the machine's size",
        odd.above_capacity,
        ("procs_used", "wait_ms"),
        detail=odd.capacity_in_words,
    ),
    Rule(
        "fractions-of-seconds",
        "times that are not whole seconds",
        "mend",
        "off: times are kept and replayed in milliseconds; on: lengths are rounded up and submits down to seconds",
        odd.fractions,
        ("submit_ms", "run_ms"),
        mend=odd.round_up_to_seconds,
        default=False,
    ),
    Rule(
        "no-size",
        "neither processors nor nodes nor GPUs, allocated or requested, although the job ran",
        "drop",
        "a job without a size cannot be placed, and a guess of one would be charged to its user",
        lambda s: (s.size() <= 0) & ~odd.no_run(s),
        ("procs_used", "procs_req"),
    ),
)

BY_RULE: Final = {rule.name: rule for rule in RULES}
