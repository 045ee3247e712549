"""What the report of a comparison says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.metrics.glossary import GLOSSARY, meaning
from apportion.metrics.report import charts, provenance
from apportion.metrics.report.clock import Clock
from apportion.metrics.report.figures import (
    MINUS,
    Figure,
    count,
    decimal,
    duration,
    jobs,
    metric,
    percent,
    points,
    signed,
)
from apportion.metrics.report.run_page import look
from apportion.metrics.report.tables import UNKNOWN

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.compare import Comparison, Difference, Pair
    from apportion.metrics.run import Run

SHOWN_GROUPS: Final = 8
REACH: Final = 48  # percent of a strip on either side of its middle
NAMES: Final = {
    "service.wait_s.mean": "Mean wait",
    "service.wait_s.area_weighted_mean": "Mean wait weighted by area",
    "service.response_s.mean": "Mean response",
    "service.bounded_slowdown.mean": "Mean slowdown",
    "utilization.used_fraction": "Utilization",
    "fairness.user.jain_service": "Evenness between users (Jain)",
    "fairness.nuwt.std": "Spread of users' wait per use",
    "fairness.account.share_error_final": "Share error of accounts",
    "fairness.user.share_error_final": "Share error of users",
}
ALONE: Final = (
    "jobs.measured", "jobs.started", "jobs.timed_out", "jobs.rejected", "service.wait_s.mean", "service.wait_s.p50",
    "service.wait_s.p95", "service.wait_s.p99", "starvation.longest_wait_s", "starvation.over_1_day_jobs",
    "starvation.still_waiting_jobs", "service.bounded_slowdown.mean", "service.bounded_slowdown.p50",
    "utilization.used_fraction", "utilization.loss_of_capacity_fraction", "service.backfilled_fraction",
    "service.makespan_s", "fairness.account.share_error_mean", "fairness.user.gini_service",
    "fairness.fair_start_sample.arrival_order.unfair_fraction",
)  # fmt: skip


def page(comparison: Comparison) -> dict[str, Any]:
    """Context of ``comparison.html.j2``."""
    base = comparison.runs[comparison.baseline]
    clock = Clock(base)
    labels = comparison.labels
    traces = sorted({str(provenance.trace_of(run).get("name") or run.name) for run in comparison.runs})
    drawn = {
        "overlay": charts.overlay_chart(comparison.runs, labels, clock),
        "waits_of_runs": charts.waits_chart(comparison.runs, labels),
    }
    return {
        "title": f"{' and '.join(traces)}: {', '.join(labels)}",
        "base": labels[comparison.baseline],
        "labels": labels,
        "paired": comparison.paired,
        "confidence": f"{100 * comparison.bootstrap.confidence:g} %",
        "bootstrap": comparison.bootstrap,
        "piece": duration((base.window_s[1] - base.window_s[0]) / charts.OVERLAY_BINS),
        "notes": comparison.notes,
        "pairs": [_pair(pair, comparison) for pair in comparison.pairs],
        "alone": _alone(comparison),
        "clock": clock,
        "thanks": provenance.thanks(comparison.runs),
        "conventions": _side_by_side([{row["name"]: row["value"] for row in provenance.conventions(run)} for run in comparison.runs]),
        "policies": _side_by_side([_flat(run.manifest.get("policy")) for run in comparison.runs], only_different=True),
        "runs": [_run(run, label, clock) for run, label in zip(comparison.runs, labels, strict=True)],
        "charts": drawn,
    }  # fmt: skip


def _pair(pair: Pair, comparison: Comparison) -> dict[str, Any]:
    # A number has one scale in all tables of the page.
    widest: dict[str, float] = {}
    for item in (item for other in comparison.pairs for item in told(comparison, other)):
        known = [abs(value) for value in (item.low, item.high, item.difference) if np.isfinite(value)]
        widest[item.key] = max([widest.get(item.key, 0.0), *known])
    rows = [difference(item) | _picture(item, widest[item.key]) for item in told(comparison, pair)]
    return {
        "run": pair.run,
        "jobs": jobs(pair.jobs),
        "rows": rows,
        "words": in_words(comparison, pair),
        "groups": [groups(by, table) for by, table in pair.groups.items() if len(table) > 1],
    }


def told(comparison: Comparison, pair: Pair) -> list[Difference]:
    """Differences that say something: those of shares only where somebody has set shares."""
    with_shares = any(provenance.shares_are_set(run) for run in comparison.runs)
    return [item for item in pair.differences if with_shares or "share_error" not in item.key]


def in_words(comparison: Comparison, pair: Pair, who: str = "") -> str:
    """What a pair comes to: the change of the mean wait, and what is clearly better or worse; ``who`` stands for its run."""
    base, run = comparison.labels[comparison.baseline], who or pair.run
    shown = [difference(item) for item in told(comparison, pair)]
    better = [_lower(row["name"]) for row in shown if row["is_clear"] and row["better"]]
    worse = [_lower(row["name"]) for row in shown if row["is_clear"] and not row["better"]]
    parts = [f"{words} in {listed(names)}" for words, names in (("better", better), ("worse", worse)) if names]
    verdict = (
        f"Against {base}, {run} is clearly {', and clearly '.join(parts)}."
        if parts
        else f"No number of {run} differs clearly from {base}."
    )
    wait = next(row for row in shown if row["key"] == "service.wait_s.mean")
    if not wait["is_clear"]:
        return verdict
    length = wait["difference"].text.lstrip(f"+{MINUS}")
    change = f"{wait['baseline'].text} → {wait['value'].text}" + (f", {wait['relative']}" if wait["relative"] else "")
    return f"{verdict} Jobs wait {length} {'less' if wait['better'] else 'more'} on average ({change})."


def _picture(item: Difference, widest: float) -> dict[str, Any]:
    """Ends of the interval and the difference itself in percent of a strip with no difference in its middle."""
    ends = [item.low, item.high, item.difference]
    if widest <= 0 or not all(np.isfinite(value) for value in ends):
        return {"picture": None}
    low, high, at = (50 + REACH * value / widest for value in ends)
    return {"picture": {"low": low, "width": high - low, "at": at}}


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def listed(names: list[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def difference(item: Difference) -> dict[str, Any]:
    """One compared number as figures and words."""

    def shown(value: float, *, change: bool = False) -> Figure:
        figure = metric(item.key, item.unit, value)
        if not change:
            return figure
        return points(value) if figure.text.endswith("%") else signed(figure)

    relative = item.difference / item.baseline if item.baseline else float("nan")
    verdict = ("better" if item.better else "worse") if item.clear else "no clear difference"
    return {
        "name": NAMES.get(item.key, item.key),
        "key": item.key,
        "meaning": GLOSSARY[item.key].text,
        "baseline": shown(item.baseline),
        "value": shown(item.value),
        "difference": shown(item.difference, change=True),
        "relative": signed(percent(relative)).text if np.isfinite(relative) else "",
        "low": shown(item.low, change=True),
        "high": shown(item.high, change=True),
        "is_clear": item.clear,
        "better": item.better,
        "verdict": verdict,
    }


def groups(by: str, table: pd.DataFrame, half: int = SHOWN_GROUPS) -> dict[str, Any]:
    """Those who gain and those who lose most waiting time, at most ``half`` of each."""
    losers = table[table["total_difference_h"] > 0].head(half)
    winners = table[table["total_difference_h"] < 0].iloc[::-1].head(half)
    scale = max(float(np.abs(shown["total_difference_h"]).max()) if len(shown) else 0.0 for shown in (losers, winners))
    n_worse, n_better = int((table["total_difference_h"] > 0).sum()), int((table["total_difference_h"] < 0).sum())
    return {
        "by": by,
        "winners": [_group(row, scale) for row in winners.to_dict("records")],
        "losers": [_group(row, scale) for row in losers.to_dict("records")],
        "words": f"Of {len(table):,} {by}s {_number(n_better)} wait less and {_number(n_worse)} wait more.",
    }


def _number(n: int) -> str:
    return f"{n:,}" if n else "none"


def _group(row: dict[Any, Any], scale: float) -> dict[str, Any]:
    clear = bool(row["clear"])
    verdict = ("waits less" if row["difference_s"] < 0 else "waits more") if clear else "not clear"
    return {
        "name": str(row["group"]) or UNKNOWN,
        "jobs": count(row["jobs"]),
        "jobs_in_words": jobs(row["jobs"]),
        "core_h": decimal(row["core_h"], "core-h"),
        "before": duration(row["baseline_wait_s"]),
        "after": duration(row["wait_s"]),
        "difference": signed(duration(row["difference_s"])),
        "interval": (signed(duration(row["low_s"])).text, signed(duration(row["high_s"])).text),
        "total": signed(decimal(row["total_difference_h"], "h")),
        "width": 100 * abs(row["total_difference_h"]) / scale if scale > 0 else 0.0,
        "verdict": verdict,
        "is_clear": clear,
    }


def _alone(comparison: Comparison) -> list[dict[str, Any]]:
    """Numbers of each run by itself, from their folders; none where a folder has no metrics."""
    known = []
    for run in comparison.runs:
        try:
            known.append(json.loads((run.folder / "metrics.json").read_bytes()))
        except (OSError, ValueError):
            return []
    rows = []
    with_shares = any(provenance.shares_are_set(run) for run in comparison.runs)
    for key in ALONE:
        if "share_error" in key and not with_shares:
            continue
        values = [look(table, key) for table in known]
        if any(value is not None for value in values):
            said = meaning(key)
            rows.append({"key": key, "text": said.text, "values": [metric(key, said.unit, v) for v in values]})
    return rows


def _flat(policy: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(policy, dict):
        return {}
    flat: dict[str, str] = {}
    for key, value in policy.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = provenance.plain(value)
    return flat


def _side_by_side(tables: list[dict[str, str]], *, only_different: bool = False) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys(key for table in tables for key in table))
    rows = []
    for key in keys:
        values = [table.get(key, "not said") for table in tables]
        different = len(set(values)) > 1
        if different or not only_different:
            rows.append({"name": key, "values": values, "different": different})
    return rows


def _run(run: Run, label: str, clock: Clock) -> dict[str, Any]:
    begin, end = run.window_s
    return {
        "label": label,
        "machine": provenance.machine_words(run),
        "window": f"{clock.date(begin)} to {clock.date(end)}",
        "jobs": jobs(len(run.jobs)),
        "facts": provenance.facts(run),
        "timings": provenance.timings(run),
    }
