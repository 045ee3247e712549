"""Tables of a report as plain rows of figures."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from apportion.core.units import counted
from apportion.metrics.borrowing import QuotaUse, quota_table
from apportion.metrics.glossary import WHY, flatten, meaning
from apportion.metrics.report.charts import budget_name
from apportion.metrics.report.figures import (
    Figure,
    core_hours,
    count,
    decimal,
    duration,
    metric,
    percent,
    points,
)
from apportion.metrics.run import run_class_names, size_class_names
from apportion.metrics.series import longest_waits, per_group, slowdown_heatmap
from apportion.metrics.stops import stops_by_kind

if TYPE_CHECKING:
    from apportion.metrics.budgeting import BudgetUse
    from apportion.metrics.report.clock import Clock
    from apportion.metrics.run import Run

Row = list[Figure]
Table = dict[str, Any]

TOP: Final = 20
HALF: Final = 10
TOP_SHARES: Final = 12
UNKNOWN: Final = "(unknown)"
HEAT_EDGES: Final = (1.5, 3, 10, 30, 100, 300)  # slowdowns at which the colour changes
FEW: Final = 10  # jobs under which a mean says little
STOP_WORDS: Final = {
    "NODE_FAIL": "lost its node or its center",
    "CANCEL": "preempted and cancelled",
    "REQUEUE": "preempted and queued again",
    "CHECKPOINT": "preempted after a checkpoint",
    "SUSPEND": "suspended",
}
REASON_WORDS: Final = {
    "Preempt": "by a higher class",
    "InClusterQueue": "within an account's quota",
    "InCohortReclamation": "for quota that was lent",
}
GROUP_WORDS: Final = {"user": "users", "account": "accounts", "qos": "QOS"}


def text(value: Any) -> Figure:
    """Text as a table cell."""
    words = str(value) or UNKNOWN
    return Figure(words, "", words)


def group_table(table: pd.DataFrame, by: str) -> Table:
    """Table of the groups of `series.per_group` that used most, and the rest in words."""
    promised = bool(table["target_share"].notna().any())
    head = [by.upper() if by == "qos" else by.capitalize(), "Jobs", "Core-hours", "Mean wait", "95 % waited under"]
    head += ["Mean slowdown", "Received"] + (["Target", "Target minus received"] if promised else [])
    rows: list[Row] = []
    row: Any  # pandas does not type the fields of its rows
    for row in table.head(TOP).itertuples(index=False):
        cells = [text(row.group), count(row.jobs), decimal(row.core_h), duration(row.mean_wait_s)]
        cells += [duration(row.p95_wait_s), decimal(row.mean_bounded_slowdown), percent(row.received_share)]
        rows.append(cells + ([percent(row.target_share), points(row.share_error)] if promised else []))
    rest = table.iloc[TOP:]
    words = ""
    if len(rest):
        part = percent(float(rest["received_share"].sum())).text
        words = f"The {TOP} that used most of {len(table):,}; the others used {part} together."
    return {"head": head, "left": 1, "rows": rows, "note": words, "groups": len(table)}


def group_tables(run: Run) -> dict[str, pd.DataFrame]:
    """`series.per_group` of users, accounts and QOS that the run tells apart."""
    tables = {by: per_group(run, by) for by in GROUP_WORDS}
    return {by: table for by, table in tables.items() if len(table) > 1 or (len(table) and table["group"].iloc[0])}


def stop_table(run: Run) -> Table | None:
    """What was stopped before its end and what that cost, by center and kind; None if nothing was."""
    table = stops_by_kind(run)
    if table.empty:
        return None
    places = ["Center"] if "center" in table.columns else []
    head = [*places, "What happened", "Times", "Core-hours until then", "Lost of them", "Given back to accounts"]
    rows: list[Row] = []
    for row in table.to_dict("records"):
        words = [STOP_WORDS.get(row["mode"], row["mode"]), REASON_WORDS.get(row.get("reason", ""), "")]
        cells = [text(row["center"])] if places else []
        cells += [text(" ".join(filter(None, words))), count(row["stops"])]
        rows.append(cells + [decimal(row[name]) for name in ("occupied_core_h", "lost_core_h", "refunded_core_h")])
    return {"head": head, "left": len(places) + 1, "rows": rows, "note": ""}


def quota_rows(run: Run, use: QuotaUse) -> Table:
    """Who has how much quota, and used, borrowed and lent how much of it; those that used most first."""
    table = quota_table(run, use).sort_values(["used_core_h", "lent_core_h"], ascending=False, kind="stable")
    rows: list[Row] = [
        [
            text(row["node"]),
            count(row["nominal_procs"]),
            decimal(row["used_procs"]),
            *(core_hours(row[f"{name}_core_h"]) for name in ("used", "borrowed", "lent")),
        ]
        for row in table.to_dict("records")
    ]
    head = ["Account or cohort", "Quota", "In use, mean", "Used", "Borrowed of it", "Lent to others"]
    return {
        "head": head,
        "left": 1,
        "rows": rows[:TOP],
        "note": _rest(len(rows)),
        "piece": duration(float(use.edges_s[1] - use.edges_s[0])),
    }


def budget_rows(budgets: list[BudgetUse], clock: Clock) -> Table:
    """Whose budget was how large, how much of it was used, and when it was fullest; the fullest first."""
    rows: list[tuple[float, Row]] = []
    for one in budgets:
        parts = [period.used / period.given if period.given > 0 else np.nan for period in one.periods]
        known = [part for part in parts if part == part]  # noqa: PLR0124  (NaN)
        most = parts.index(max(known)) if known else 0
        fullest = one.periods[most]
        unit = "core-h" if one.tres == "cpu" else f"{one.tres} h"
        cells = [
            text(budget_name(one)),
            decimal(one.amount, unit),
            count(len(one.periods)),
            decimal(sum(period.used for period in one.periods), unit),
            text(f"{clock.date(fullest.begin_s)} to {clock.date(fullest.end_s)}"),
            decimal(fullest.given, unit),
            percent(parts[most]),
            count(one.held_jobs),
        ]
        rows.append((max(known, default=0.0), cells))
    rows.sort(key=lambda row: -row[0])
    head = [
        "Account",
        "Budget",
        "Periods",
        "Used in them",
        "Fullest period",
        "It had",
        "Used of it",
        "Jobs held by a budget",
    ]
    return {"head": head, "left": 1, "rows": [cells for _, cells in rows[:TOP]], "note": _fullest(len(rows))}


def _fullest(n: int) -> str:
    return f"The {TOP} fullest of {n}." if n > TOP else ""


def _rest(n: int) -> str:
    return f"The {TOP} that used most of {n}." if n > TOP else ""


def longest_table(run: Run, clock: Clock) -> Table:
    """The jobs that waited longest."""
    table = longest_waits(run, TOP)
    with_reasons = "reasons" in table.columns and bool((table["reasons"].astype(str) != "").any())
    head = ["Job", "User", "Account", "QOS", "Waited", "Submitted", "Processors", "Ran", "Limit", "State"]
    rows: list[Row] = []
    for row in table.to_dict("records"):
        cells = [text(row["job_id"]), text(row["user"]), text(row["account"]), text(row["qos"])]
        submit = float(row["submit_s"])
        cells += [duration(row["wait_s"]), Figure(clock.moment(submit), f"{submit:,.10g} s from the origin", submit)]
        cells += [count(row["procs"]), duration(row["run_s"]), duration(row["limit_s"])]
        cells.append(text(row["state"]))
        if with_reasons:
            cells.append(text(str(row["reasons"]).replace(",", ", ") or "–"))
        rows.append(cells)
    head += ["Waited for"] * with_reasons
    told = [
        i
        for i, name in enumerate(head)
        if name not in {"User", "Account", "QOS"} or any(r[i].text != UNKNOWN for r in rows)
    ]
    words = dict.fromkeys(word for row in table.to_dict("records") for word in str(row.get("reasons", "")).split(","))
    return {
        "head": [head[i] for i in told],
        "left": len([i for i in told if i < 4]),
        "rows": [[row[i] for i in told] for row in rows],
        "note": " ".join(f"{word}: {WHY[word]}." for word in words if word in WHY),
    }


def patient_table(groups: dict[str, pd.DataFrame]) -> Table | None:
    """Users (else accounts) by the mean wait of their jobs; those with few jobs are left out, as theirs may be chance."""
    by = next((name for name in ("user", "account") if name in groups and len(groups[name]) > 1), None)
    if by is None:
        return None
    table = groups[by]
    many = table[(table["jobs"] >= FEW) & (table["mean_wait_s"] > 0)]
    shown = many.sort_values("mean_wait_s", ascending=False, kind="stable").head(HALF)
    each: Any = shown.itertuples(index=False)  # pandas does not type the fields of its rows
    rows = [
        [text(row.group), duration(row.mean_wait_s), duration(row.p95_wait_s), decimal(row.mean_bounded_slowdown),
         count(row.jobs), decimal(row.core_h)]
        for row in each
    ]  # fmt: skip
    head = [by.capitalize(), "Mean wait", "95 % waited under", "Mean slowdown", "Jobs", "Core-hours"]
    return {"head": head, "left": 1, "rows": rows, "note": "", "by": by, "few": FEW} if rows else None


def heat_map(run: Run) -> dict[str, Any] | None:
    """Mean bounded slowdown by size and length, as a grid of coloured cells."""
    table = slowdown_heatmap(run)
    if table.empty:
        return None
    cells = {(row.size_class, row.run_class): row for row in table.itertuples(index=False)}
    sizes = [name for name in size_class_names() if any(key[0] == name for key in cells)]
    lengths = [name for name in run_class_names() if any(key[1] == name for key in cells)]
    rows = []
    for size in reversed(sizes):
        line: list[dict[str, Any] | None] = []
        for length in lengths:
            row: Any = cells.get((size, length))
            if row is None:
                line.append(None)
                continue
            slow = float(row.mean_bounded_slowdown)
            exact = (
                f"{size} processor{'' if size == '1' else 's'}, {length.replace('<', 'under').replace('>=', 'at least')}: "
                f"{counted(row.jobs, 'job')}, "
                f"mean slowdown {slow:.4g}, median {row.median_bounded_slowdown:.4g}, "
                f"mean wait {duration(row.mean_wait_s).text}"
            )
            line.append(
                {
                    "text": decimal(slow).text if slow < 9999.5 else f"{slow / 1000:,.0f}k",
                    "jobs": count(row.jobs).text,
                    "exact": exact,
                    "heat": int(np.searchsorted(HEAT_EDGES, slow, side="right")),
                    "few": row.jobs < FEW,
                }
            )
        rows.append({"name": size, "cells": line})
    steps = [f"under {HEAT_EDGES[0]:g}", *(f"{edge:g}" for edge in HEAT_EDGES)]
    return {
        "lengths": [_length(name) for name in lengths],
        "rows": rows,
        "steps": steps,
        "few": FEW,
    }


def _length(name: str) -> str:
    """Name of a class of run times, with breaks between the words only where they do no harm."""
    return name.replace(" - ", "|").replace(" ", "\N{NO-BREAK SPACE}").replace("|", " to ").replace(">=", "≥")


def share_bars(table: pd.DataFrame, by: str, *, are_set: bool = True) -> dict[str, Any]:
    """Share received by each group beside its target, as bars on one scale.

    ``are_set``: whether the policy sets the shares; if not, all are promised the same.
    """
    promised = bool(table["target_share"].notna().any())
    size = table["received_share"].fillna(0.0) + table["target_share"].fillna(0.0)
    shown = table.loc[size.sort_values(ascending=False, kind="stable").index[:TOP_SHARES]]
    rest = table.drop(shown.index)
    each: Any = shown.itertuples()  # pandas does not type the fields of its rows
    rows = [_bar(str(row.group) or UNKNOWN, row.received_share, row.target_share) for row in each]
    note = ""
    if len(rest):
        note = f"The other {len(rest):,} received {percent(float(rest['received_share'].sum())).text}"
        note += f" and were promised {percent(float(rest['target_share'].sum())).text}." if promised else "."
    scale = max([row["received"] for row in rows] + [row["target"] or 0.0 for row in rows] + [1e-9])
    for row in rows:
        row["width"] = 100 * row["received"] / scale
        row["mark"] = None if row["target"] is None else 100 * row["target"] / scale
    return {"rows": rows, "promised": promised, "are_set": are_set, "by": by, "note": note}


def _bar(name: str, received: float, target: float) -> dict[str, Any]:
    known = bool(np.isfinite(target))
    off = received - target if known else 0.0
    if not known:
        words = ""
    elif abs(off) < 0.0005:
        words = "as promised:"
    else:
        words = f"{points(abs(off)).text.lstrip('+')} {'over' if off > 0 else 'under'} its"
    return {
        "name": name,
        "received": float(received),
        "target": float(target) if known else None,
        "received_shown": percent(received),
        "target_shown": percent(target),
        "words": words,
        "over": off > 0,
    }


def metric_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Every value of ``metrics.json`` with its meaning, in groups."""
    groups: list[dict[str, Any]] = []
    for key, value in flatten(metrics).items():
        head = key.partition(".")[0]
        if not groups or groups[-1]["name"] != head:
            groups.append({"name": head, "rows": []})
        try:
            said = meaning(key)
        except KeyError:
            continue
        shown = metric(key, said.unit, value)
        groups[-1]["rows"].append(
            {"key": key, "shown": shown, "text": said.text, "formula": said.formula, "source": said.source},
        )
    return groups


def period_table(load: pd.DataFrame, clock: Clock, parts: int = 12) -> Table:
    """Machine and queue in a dozen equal pieces: the chart in numbers."""
    rows: list[Row] = []
    edges = np.linspace(0, len(load), min(parts, len(load)) + 1).astype(int)
    for low, high in itertools.pairwise(edges):
        part = load.iloc[low:high]
        room = float(part["capacity_procs"].sum())
        used = float(part["used_procs"].sum())
        rows.append(
            [
                Figure(clock.moment(float(part["t_s"].iloc[0])), "", float(part["t_s"].iloc[0])),
                percent(used / room if room > 0 else None),
                decimal(part["queued_jobs"].mean()),
                decimal(part["queued_jobs"].max()),
                decimal(part["running_jobs"].mean()),
            ]
        )
    head = ["From", "Utilization", "Jobs waiting, mean", "Jobs waiting, most", "Jobs running, mean"]
    return {"head": head, "left": 1, "rows": rows, "note": ""}


def ends(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Core-hours of the measured jobs by how they ended, as parts of one bar."""
    names = {
        "useful_core_h": "ran to their end",
        "killed_core_h": "killed at their limit",
        "lost_core_h": "failed, cancelled or lost",
        "unfinished_core_h": "still running at the end",
    }
    table = metrics.get("utilization") or {}
    total = sum(table.get(key) or 0.0 for key in names)
    return [
        {"name": words, "shown": core_hours(table[key]), "part": percent(table[key] / total), "width": 100 * table[key] / total}
        for key, words in names.items()
        if total > 0 and table.get(key)
    ]  # fmt: skip
