"""What the report of one run says: everything its template needs, in the order it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.core.units import counted
from apportion.metrics.borrowing import quota_use
from apportion.metrics.budgeting import budget_use
from apportion.metrics.glossary import NOTATION, meaning
from apportion.metrics.report import charts, provenance, stretches, tables
from apportion.metrics.report.clock import Clock
from apportion.metrics.report.figures import NONE, count, decimal, duration, jobs, metric, percent
from apportion.metrics.series import longest_waits, timeline

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.run import Run

# Headline: key of metrics.json, short name, keys told beneath it with their words.
HEADLINE: Final = (
    ("jobs.started", "Jobs that ran", (("jobs.timed_out", "killed at their limit"), ("jobs.rejected", "turned away"))),
    ("service.wait_s.mean", "Mean wait", (("service.wait_s.p50", "median"), ("service.wait_s.p95", "95th percentile"))),
    (
        "service.bounded_slowdown.mean",
        "Mean slowdown",
        (("service.bounded_slowdown.p50", "median"), ("service.bounded_slowdown.p95", "95th percentile")),
    ),
    ("utilization.used_fraction", "Utilization", (("utilization.used_core_h", "used"),)),
    ("utilization.loss_of_capacity_fraction", "Loss of capacity", ()),
    (
        "nodes.fragmented_core_h",
        "Lost in pieces",
        (("nodes.unasked_fraction", "of what jobs held was more than they asked for"),),
    ),
    ("service.throughput_jobs_per_h", "Throughput", (("service.queue_jobs.mean", "jobs in the queue on average"),)),
    (
        "starvation.longest_wait_s",
        "Longest wait",
        (
            ("starvation.over_1_day_jobs", "waited over a day"),
            ("starvation.still_waiting_jobs", "still waiting at the end"),
        ),
    ),
    (
        "fairness.account.share_error_mean",
        "Share error",
        (("fairness.account.share_error_demand_mean", "among those with work"),),
    ),
    ("fairness.user.jain_service", "Evenness between users", (("fairness.user.groups", "with jobs that took time"),)),
    (
        "fairness.fair_start_sample.arrival_order.unfair_fraction",
        "Started later than fair",
        (("fairness.fair_start_sample.arrival_order.mean_of_unfair_s", "late on average"),),
    ),
)
FAIRNESS: Final = (
    ("jain_service", "Evenness of service (Jain)"),
    ("gini_service", "Inequality of service (Gini)"),
    ("jain_usage_per_share", "Evenness of use per share (Jain)"),
    ("gini_usage_per_share", "Inequality of use per share (Gini)"),
    ("share_error_mean", "Share error, mean over days"),
    ("share_error_demand_mean", "Share error among those with work"),
    ("share_error_final", "Share error, whole window"),
)
FAIR_GROUPS: Final = (("user", "Users"), ("account", "Accounts"), ("qos", "QOS"), ("size_class", "Sizes"))


def page(run: Run, metrics: dict[str, Any], asked: tuple[float, float] | None = None) -> dict[str, Any]:
    """Context of ``run.html.j2``.

    Parameters
    ----------
    run : Run
    metrics : dict
        As in ``metrics.json``.
    asked : (float, float), optional
        A stretch of time to show in the Gantt chart, s from the trace's origin.
    """
    clock = Clock(run)
    load = timeline(run, charts.BINS)
    groups = tables.group_tables(run)
    by = next((name for name in ("account", "user") if name in groups and len(groups[name]) > 1), None)
    has_work = bool(look(metrics, "utilization.used_core_h"))
    promised = provenance.shares_are_set(run)
    drawn: dict[str, Any] = {}
    taken: dict[str, int] = {}
    if not load.empty:
        drawn["load"] = charts.load_chart(load, clock)
    if (run.is_measured & run.started).any():
        drawn["waits"] = charts.wait_chart(run)
    if by is not None and not load.empty and has_work:
        drawn["shares"] = charts.share_chart(run, by, clock)
        taken = {group["name"]: group["hue"] for group in drawn["shares"]["groups"]}
        errors = charts.error_chart(run, by, clock) if promised else None
        if errors is not None:
            drawn["errors"] = errors
    quotas = quota_use(run, charts.OVERLAY_BINS)
    if quotas is not None:
        drawn["quotas"] = charts.quota_chart(quotas, clock, taken if by == "account" else {})
    times, budgets = budget_use(run, charts.OVERLAY_BINS)
    if budgets:
        drawn["budgets"] = charts.budget_chart(times, budgets, clock, taken if by == "account" else {})
    trace = provenance.trace_of(run)
    name = str(trace.get("name") or run.name)
    return {
        "title": f"{name} under {run.manifest.get('policy_name') or 'an unnamed policy'}",
        "thanks": provenance.thanks([run]),
        "summary": _summary(run, clock, metrics),
        "clock": clock,
        "headline": headline(metrics, with_shares=promised),
        "ends": tables.ends(metrics),
        "stopped": tables.stop_table(run),
        "load_words": _load_words(load, clock),
        "periods": tables.period_table(load, clock) if not load.empty else None,
        "wait_words": _wait_words(metrics),
        "wait_table": _wait_table(metrics) if "waits" in drawn else None,
        "heat": tables.heat_map(run),
        "shares": tables.share_bars(groups[by], by, are_set=promised) if by and has_work else None,
        "fairness": _fairness(metrics, with_shares=promised),
        "quotas": tables.quota_rows(run, quotas) if quotas is not None else None,
        "budgets": tables.budget_rows(budgets, clock) if budgets else None,
        "longest": tables.longest_table(run, clock),
        "longest_words": _longest_words(run),
        "patient": tables.patient_table(groups),
        "groups": {group: tables.group_table(table, group) for group, table in groups.items()},
        "gantt": _gantt(run, clock, by, asked, taken),
        "piece": duration((run.window_s[1] - run.window_s[0]) / charts.BINS),
        "cleaning": provenance.cleaning(run),
        "conventions": provenance.conventions(run),
        "facts": provenance.facts(run),
        "remarks": provenance.remarks(run),
        "timings": provenance.timings(run),
        "policy": provenance.policy_text(run),
        "notation": NOTATION,
        "metric_groups": tables.metric_rows(metrics),
        "charts": drawn,
    }


def headline(metrics: dict[str, Any], *, with_shares: bool = True) -> list[dict[str, Any]]:
    """Tiles of the numbers that matter most; one that is not known in this run, or of shares nobody set, is left out."""
    tiles = []
    for key, name, notes in HEADLINE:
        value = look(metrics, key)
        if value is None or ("share_error" in key and not with_shares):
            continue
        said = meaning(key)
        beneath = []
        for note, words in notes:
            part = look(metrics, note)
            if part is not None:
                shown = metric(note, meaning(note).unit, part)
                beneath.append(
                    {
                        "text": f"{words} {shown.text}"
                        if words in {"median", "95th percentile", "among those with work", "used"}
                        else f"{shown.text if part else 'no' if words.startswith('jobs') else 'none'} {words}",
                        "exact": shown.exact,
                    }
                )
        tiles.append(
            {"name": name, "shown": metric(key, said.unit, value), "meaning": said.text, "notes": beneath, "key": key}
        )
    return tiles


def look(metrics: dict[str, Any], key: str) -> Any:
    """One value by its dotted key; None where there is none."""
    value: Any = metrics
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _summary(run: Run, clock: Clock, metrics: dict[str, Any]) -> list[dict[str, str]]:
    begin, end = run.window_s
    trace = provenance.trace_of(run)
    in_trace, replayed = trace.get("jobs"), int(trace.get("replayed") or len(run.jobs))
    size = counted(int(in_trace or replayed), "job")
    if in_trace and in_trace != replayed:
        size += f", {count(replayed).text} of them replayed"
    measured = int(run.is_measured.sum())
    which = "all jobs" if measured == len(run.jobs) else f"the {counted(measured, 'job')} submitted in it"
    rows = [
        ("Trace", f"{trace.get('name') or run.name}: {size}"),
        ("Policy", str(run.manifest.get("policy_name") or "unnamed")),
        ("Machine", provenance.machine_words(run)),
        ("Engine", str(run.manifest.get("engine") or "unknown")),
        ("Measured", f"{clock.date(begin)} to {clock.date(end)} ({duration(end - begin).text}), {which}"),
    ]
    rejected = look(metrics, "jobs.rejected")
    if rejected:
        rows.append(("Turned away", f"{count(rejected).text} of these jobs, such as ones wider than the machine"))
    return [{"name": name, "text": words} for name, words in rows]


def _load_words(load: pd.DataFrame, clock: Clock) -> str:
    if load.empty:
        return "There is no measured time in this run."
    room = float(load["capacity_procs"].sum())
    used = percent(float(load["used_procs"].sum()) / room if room > 0 else None).text
    queue = decimal(load["queued_jobs"].mean()).text
    if not load["queued_jobs"].any():
        return f"On average {used} of the processors were in use, and no job waited."
    peak = load.iloc[int(load["queued_jobs"].argmax())]
    return (
        f"On average {used} of the processors were in use and {queue} jobs waited; the queue was longest "
        f"around {clock.moment(float(peak['t_s']))}, with {jobs(np.ceil(peak['queued_jobs']))}."
    )


def _longest_words(run: Run) -> str:
    table = longest_waits(run, tables.TOP)
    if table.empty:
        return "No job of this run waited: each that ran started when it was submitted."
    most = table["user"].astype(str).value_counts()
    whose = ""
    if len(most) > 1 and len(table) > 2 and most.iloc[0] > 1 and most.index[0]:
        whose = f" They are of {len(most)} users; {most.iloc[0]} of them are of user {most.index[0]}."
    elif len(most) == 1 and len(table) > 1 and most.index[0]:
        whose = f" All are of user {most.index[0]}."
    return (
        "The measured jobs with the longest waits; those that were still waiting count with what they had waited."
        + whose
    )


def _wait_words(metrics: dict[str, Any]) -> str:
    wait = (metrics.get("service") or {}).get("wait_s") or {}
    if wait.get("p50") is None:
        return "No measured job started."
    parts = (("Half of the jobs", "p50"), ("nine of ten", "p90"), ("99 of 100", "p99"))
    said = [f"{who} waited {f'under {duration(wait[p]).text}' if wait[p] else 'not at all'}" for who, p in parts]
    return f"{said[0]}, {said[1]}, and {said[2]}."


def _wait_table(metrics: dict[str, Any]) -> dict[str, Any]:
    service = metrics.get("service") or {}
    families = {
        "wait_s": "Wait",
        "response_s": "Response",
        "bounded_slowdown": "Slowdown",
        "per_processor_bounded_slowdown": "Slowdown per processor",
    }
    known = {key: words for key, words in families.items() if service.get(key)}
    names = {
        "mean": "Mean",
        "area_weighted_mean": "Mean, weighted by area",
        "p50": "Median",
        "p90": "90th percentile",
        "p95": "95th percentile",
        "p99": "99th percentile",
        "max": "Largest",
    }
    rows = [
        [
            tables.text(words),
            *(
                metric(f"service.{key}.{name}", "s" if key.endswith("_s") else "", service[key].get(name))
                for key in known
            ),
        ]
        for name, words in names.items()
    ]
    return {"head": ["", *known.values()], "left": 1, "rows": rows, "note": ""}


def _fairness(metrics: dict[str, Any], *, with_shares: bool) -> dict[str, Any]:
    fair = metrics.get("fairness") or {}
    compared = [(by, words) for by, words in FAIR_GROUPS if ((fair.get(by) or {}).get("groups") or 0) > 1]
    rows = []
    for leaf, words in FAIRNESS:
        if leaf.startswith("share_error") and not with_shares:
            continue
        values = [(fair.get(by) or {}).get(leaf) for by, _ in compared]
        if any(value is not None for value in values):
            said = meaning(f"fairness.{'account' if 'share' in leaf else 'user'}.{leaf}")
            cells = [
                metric(f"fairness.{by}.{leaf}", said.unit, value)
                for (by, _), value in zip(compared, values, strict=True)
            ]
            rows.append([tables.text(words)._replace(exact=said.text), *cells])
    has_gaps = any(cell.text == NONE for row in rows for cell in row[1:])
    return {"head": ["", *(words for _, words in compared)], "left": 1, "rows": rows, "note": "", "has_gaps": has_gaps}


def _gantt(
    run: Run, clock: Clock, by: str | None, asked: tuple[float, float] | None, taken: dict[str, int]
) -> dict[str, Any] | None:
    found = stretches.choose(run, asked)
    if not found:
        return None
    by = by or "account"
    return {
        "panes": [stretches.draw(run, stretch, clock, by, taken) for stretch in found],
        "by": by,
        "others": charts.HUES,
        "on_nodes": "node_list" in run.jobs.columns,
        "waits": [words for _, words in stretches.WAITS],
    }
