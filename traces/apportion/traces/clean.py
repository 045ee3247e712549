"""Cleaning: every oddity of a trace handled by a named rule that says what it touched.

Nothing is dropped or changed silently. `clean` gives a new trace and a `CleaningReport`; a rule that is switched off
still counts what it found. With the default rules as many jobs stay as can mean anything: only jobs without a submit
time, without any size, and rows written twice are dropped.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.core.errors import TraceError, UserError
from apportion.traces.rules import BY_RULE, RULES, Rule
from apportion.traces.sheet import Ints, Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apportion.traces.schema import Trace

EXAMPLES: Final = 5


@dataclass(frozen=True)
class Example:
    """One job that a rule touched: its id and the cells concerned before and after (``after`` empty if unchanged)."""

    job_id: Any
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one rule found in one trace.

    ``jobs`` counts the jobs found; ``on`` says whether the rule acted on them.
    """

    rule: Rule
    on: bool
    jobs: int
    detail: str
    examples: tuple[Example, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for reports and manifests."""
        return {
            "rule": self.rule.name,
            "finds": self.rule.finds,
            "action": self.rule.action,
            "why": self.rule.why,
            "on": self.on,
            "jobs": self.jobs,
            "detail": self.detail,
            "examples": [{"job_id": e.job_id, "before": e.before, "after": e.after} for e in self.examples],
        }


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did to one trace, rule by rule in the order they ran."""

    trace: str
    jobs_before: int
    jobs_after: int
    outcomes: tuple[Outcome, ...]

    def jobs(self, rule: str) -> int:
        """Jobs that one rule found."""
        return next(outcome.jobs for outcome in self.outcomes if outcome.rule.name == rule)

    def __getitem__(self, rule: str) -> Outcome:
        """Outcome of one rule."""
        return next(outcome for outcome in self.outcomes if outcome.rule.name == rule)

    def to_json(self) -> list[dict[str, Any]]:
        """One dict a rule: rule, finds, action, why, on, jobs, detail, examples."""
        return [outcome.to_json() for outcome in self.outcomes]

    def dumps(self) -> str:
        """Write the whole report as JSON text."""
        return json.dumps(
            {
                "trace": self.trace,
                "jobs_before": self.jobs_before,
                "jobs_after": self.jobs_after,
                "rules": self.to_json(),
            },
            indent=2,
        )


def clean(
    trace: Trace, rules: Sequence[Rule] | None = None, switch: Mapping[str, bool] | None = None
) -> tuple[Trace, CleaningReport]:
    """Apply the cleaning rules to a trace.

    Parameters
    ----------
    trace : Trace
        As a reader gives it; left as it is.
    rules : sequence of Rule, optional
        In the order they shall run; `RULES` by default.
    switch : mapping of str to bool, optional
        Rules to turn on or off by name.

    Returns
    -------
    Trace, CleaningReport
        Jobs in submit order (stable: ties as in the file) unless ``unsorted-submit`` was turned off.

    Raises
    ------
    UserError
        For an unknown rule name.
    TraceError
        Where no job is left.
    """
    chosen = RULES if rules is None else tuple(rules)
    switch = {} if switch is None else switch
    check_names(switch, chosen)
    sheet = Sheet(trace)
    outcomes = tuple(_apply(sheet, rule, on=switch.get(rule.name, rule.default)) for rule in chosen)
    jobs = sheet.table()
    if len(trace) and not len(jobs):
        dropped = max((o for o in outcomes if o.rule.action == "drop"), key=lambda o: o.jobs)
        raise TraceError(
            f"no job is left after cleaning: {dropped.jobs} of {len(trace)} have {dropped.rule.finds}",
            f"look at the file, or keep them with --no-rule {dropped.rule.name}",
            path=trace.meta.path or trace.meta.name,
        )
    return trace.with_jobs(jobs), CleaningReport(trace.meta.name, len(trace), len(jobs), outcomes)


def _apply(sheet: Sheet, rule: Rule, *, on: bool) -> Outcome:
    found = rule.find(sheet) & sheet.alive
    jobs = int(np.count_nonzero(found))
    detail = rule.detail(sheet, found) if rule.detail else ""
    if not jobs:
        return Outcome(rule, on, 0, detail, ())
    rows = np.flatnonzero(found)[:EXAMPLES]
    before = [{name: sheet.value(name, int(row)) for name in rule.shows} for row in rows]
    after: list[dict[str, Any]] = [{} for _ in rows]
    if on and rule.action == "drop":
        sheet.alive &= ~found
    elif on and rule.mend is not None:
        rule.mend(sheet, found)
        if rule.action == "sort":
            before, after = _places(sheet, rows)
        else:
            after = [{name: sheet.value(name, int(row)) for name in rule.shows} for row in rows]
    examples = tuple(
        Example(sheet.value("job_id", int(row)), b, a) for row, b, a in zip(rows, before, after, strict=True)
    )
    return Outcome(rule, on, jobs, detail, examples)


def _places(sheet: Sheet, rows: Ints) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Row numbers, from 1, of some jobs before and after sorting."""
    order = sheet.order()
    place = np.empty(len(sheet), dtype=np.int64)
    place[order] = np.arange(len(order))
    return [{"row": int(row) + 1} for row in rows], [{"row": int(place[row]) + 1} for row in rows]


def check_names(names: Mapping[str, bool] | Sequence[str], rules: Sequence[Rule] = RULES) -> None:
    """Refuse names that no rule has, and suggest the nearest."""
    known = [rule.name for rule in rules]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"there is no cleaning rule '{name}'",
                f"did you mean '{near[0]}'?" if near else "'apportion traces clean --rules' lists them",
            )


def rules_table() -> list[dict[str, Any]]:
    """All rules as plain data: rule, finds, action, default, why."""
    return [
        {"rule": r.name, "finds": r.finds, "action": r.action, "default": r.default, "why": r.why}
        for r in BY_RULE.values()
    ]
