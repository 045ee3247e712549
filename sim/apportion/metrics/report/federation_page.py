"""What the report of a federation says: center by center, with the broker and without, then the comparison as a whole."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Any, Final

from apportion.core.units import counted
from apportion.metrics import federation
from apportion.metrics.borrowing import quota_use
from apportion.metrics.budgeting import budget_use
from apportion.metrics.compare import compare
from apportion.metrics.report import charts, compare_page, tables
from apportion.metrics.report.clock import Clock
from apportion.metrics.report.figures import core_hours, count, decimal, duration, percent, points, signed

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.run import Run

RADIUS: Final = 34  # of a center in the picture, for the largest machine
MOST_TRANSFERS: Final = 20  # rows that are shown
TOTALS: Final = (
    ("cost", "Cost of what ran, in the money of the scenario's prices", ""),
    ("energy_kwh", "Energy of busy processors", "kWh"),
    ("carbon_kg", "Carbon dioxide of that energy", "kg"),
)
WORDS: Final = {
    "NoAccess": "no access",
    "SiteVeto": "the site refuses the account",
    "DataResidency": "the data may not be there",
    "NoDataRoute": "the data cannot be brought there",
    "GpuType": "no GPU of the type that the job asks for",
    "Drained": "drained",
    "Quota": "its quota there is used up",
    "PartitionNodeLimit": "too wide",
    "PartitionTimeLimit": "too long",
    "PartitionConfig": "not enough of a resource",
    "Unreachable": "out of reach at the time",
}


def page(run: Run, baseline: Run) -> dict[str, Any]:
    """Context of ``federation.html.j2``."""
    clock = Clock(run)
    comparison = compare([baseline, run], labels=["home only", "with the broker"])
    table, before = federation.centers(run), federation.centers(baseline)
    names = table["center"].tolist()
    facts = run.manifest["federation"]
    context = compare_page.page(comparison)
    context["charts"]["centers"] = charts.overlay_chart(
        [federation.at_center(run, name) for name in names], names, clock
    )
    context["charts"]["shares"] = charts.share_chart(run, "account", clock)
    if any(row["moved_out"] for row in table.to_dict("records")):
        context["charts"]["balance"] = _balance_chart(run, clock)
    quotas = quota_use(run, charts.OVERLAY_BINS)
    if quotas is not None:
        context["charts"]["quotas"] = charts.quota_chart(quotas, clock, {str(name): i for i, name in enumerate(names)})
    times, budgets = budget_use(run, charts.OVERLAY_BINS)
    if budgets:
        context["charts"]["budgets"] = charts.budget_chart(
            times, budgets, clock, {str(name): i for i, name in enumerate(names)}
        )
    context["pairs"][0]["words"] = compare_page.in_words(comparison, comparison.pairs[0], who="the broker")
    context |= {
        "title": str(run.manifest.get("scenario_name") or run.name),
        "summary": _summary(run, table, before, facts),
        "centers": [
            _center(row, old) for row, old in zip(table.to_dict("records"), before.to_dict("records"), strict=True)
        ],
        "flow": _flow(run, table),
        "transfers": _transfers(run, clock),
        "predictions": _predictions(run),
        "refusals": _refusals(run),
        "quotas": tables.quota_rows(run, quotas) if quotas is not None else None,
        "budgets": tables.budget_rows(budgets, clock) if budgets else None,
        "received": _received(run),
        "stopped": tables.stop_table(run),
        "totals": _totals(table, before),
        "placement": facts["placement"],
    }
    return context


def _summary(run: Run, table: pd.DataFrame, before: pd.DataFrame, facts: dict[str, Any]) -> list[str]:
    moved = int(table["moved_out"].sum())
    what = f"{counted(len(run.jobs), 'job')} of {counted(len(table), 'center')}; {facts['movable']:,} of them may move"
    lines = [f"{what}, and {moved:,} ran away from home ({facts['placement']} placement)."]
    for word, sign in (("less", -1), ("longer", 1)):
        names = [
            str(row["center"])
            for row, old in zip(table.to_dict("records"), before.to_dict("records"), strict=True)
            if sign * (row["wait_s"] - old["wait_s"]) > 0
        ]
        if names:
            who = "every center" if len(names) == (table["own_jobs"] > 0).sum() else compare_page.listed(names)
            lines.append(f"Users of {who} wait {word} on average than without a broker.")
    return lines


def _center(row: dict[Any, Any], old: dict[Any, Any]) -> dict[str, Any]:
    return {
        "name": row["center"],
        "mode": row["mode"],
        "procs": count(row["procs"]),
        "jobs": count(row["own_jobs"]),
        "moved_out": count(row["moved_out"]),
        "moved_in": count(row["moved_in"]),
        "core_h_out": core_hours(row["core_h_out"]),
        "core_h_in": core_hours(row["core_h_in"]),
        "wait": (duration(old["wait_s"]), duration(row["wait_s"])),
        "wait_change": signed(duration(row["wait_s"] - old["wait_s"])),
        "better": row["wait_s"] < old["wait_s"],
        "slowdown": (decimal(old["slowdown"]), decimal(row["slowdown"])),
        "used": (percent(old["used_fraction"]), percent(row["used_fraction"])),
        "used_change": points(row["used_fraction"] - old["used_fraction"]),
    }


def _totals(table: pd.DataFrame, before: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for key, name, unit in TOTALS:
        old, new = float(before[key].sum()), float(table[key].sum())
        if old or new:
            change = "" if old == 0 else f"{100 * (new / old - 1):+.1f} %".replace("-", "\N{MINUS SIGN}")
            rows.append({"name": name, "before": decimal(old, unit), "after": decimal(new, unit), "change": change})
    return rows


def _received(run: Run) -> dict[str, Any]:
    """What the users of each center received of the whole federation, and of each center, beside what they are due of the whole."""
    table = federation.received(run)
    names = table["home"].tolist()
    columns = [name for name in table.columns if name not in ("home", "target")]
    rows = [
        {"name": row["home"], "target": percent(row["target"]), "parts": [percent(row[name]) for name in columns]}
        for row in table.to_dict("records")
    ]
    return {"head": ["all centers", *names], "rows": rows}


def _balance_chart(run: Run, clock: Clock) -> dict[str, Any]:
    table = federation.balance(run)
    names = [str(name) for name in table.columns[1:]]
    lines = [{"name": name, "core_h": charts.column(table[name])} for name in names]
    return {**charts.time_axis(clock, table["t_s"].to_numpy()), "lines": lines}


def _transfers(run: Run, clock: Clock) -> list[dict[str, Any]]:
    rows = federation.transfers(run).to_dict("records")
    return [
        {
            "dataset": row["dataset"],
            "way": f"{row['source']} → {row['center']}",
            "size": f"{row['bytes'] / 1e9:,.1f} GB",
            "begin": clock.moment(row["begin_s"]),
            "took": duration(row["end_s"] - row["begin_s"]),
            "jobs": count(row["jobs"]),
        }
        for row in rows[:MOST_TRANSFERS]
    ]


def _predictions(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "center": row["center"],
            "jobs": count(row["jobs"]),
            "median": duration(row["median_error_s"]),
            "p90": duration(row["p90_error_s"]),
            "late": percent(row["late_fraction"]),
        }
        for row in federation.predictions(run).to_dict("records")
    ]


def _refusals(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "center": row["center"],
            "why": WORDS.get(row["refused"], row["refused"]),
            "word": row["refused"],
            "decisions": count(row["decisions"]),
        }
        for row in federation.refusals(run).to_dict("records")
    ]


def _flow(run: Run, table: pd.DataFrame) -> dict[str, Any]:
    """Centers on a circle, as large as their machines, and an arrow for the work that went from one to another."""
    names = table["center"].tolist()
    largest = max(float(table["procs"].max()), 1.0)
    wide = 640.0
    ring, middle = 120.0 + 6 * len(names), 190.0 + 6 * len(names)
    place = {}
    for k, (name, procs) in enumerate(zip(names, table["procs"].tolist(), strict=True)):
        angle = 2 * pi * k / len(names) - pi / 2 if len(names) > 2 else pi * k + pi
        place[name] = (
            wide / 2 + 1.6 * ring * cos(angle),
            middle + ring * sin(angle),
            max(RADIUS * (procs / largest) ** 0.5, 9.0),
        )
    arrows = []
    found = federation.flows(run)
    most = float(found["core_h"].max()) if len(found) else 1.0
    for row in found.to_dict("records"):
        (x0, y0, r0), (x1, y1, r1) = place[row["home"]], place[row["center"]]
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1.0)
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        side = 9.0  # both directions of a pair stand side by side
        width = max(12.0 * (row["core_h"] / most) ** 0.5, 1.0)
        a = (x0 + ux * (r0 + 4) - uy * side, y0 + uy * (r0 + 4) + ux * side)
        b = (x1 - ux * (r1 + 6 + width) - uy * side, y1 - uy * (r1 + 6 + width) + ux * side)
        head = width * 0.9 + 4
        tip = (b[0] + ux * (width + 4), b[1] + uy * (width + 4))
        arrows.append(
            {
                "line": [round(v, 1) for v in (*a, *b)],
                "width": round(width, 1),
                "head": " ".join(
                    f"{x:.1f},{y:.1f}"
                    for x, y in (tip, (b[0] - uy * head, b[1] + ux * head), (b[0] + uy * head, b[1] - ux * head))
                ),
                "words": f"{row['home']} to {row['center']}: {counted(row['jobs'], 'job')}, {row['core_h']:,.0f} core-hours",
            }
        )
    nodes = [
        {
            "name": name,
            "x": round(x, 1),
            "y": round(y, 1),
            "r": round(r, 1),
            "below": round(y + r + 20 if y >= middle else y - r - 24, 1),  # on the side where no arrow ends
            "procs": counted(procs, "processor"),
        }
        for (name, (x, y, r)), procs in zip(place.items(), table["procs"].tolist(), strict=True)
    ]
    return {
        "width": wide,
        "height": round(max([node["below"] for node in nodes] + [y + r for _, y, r in place.values()]) + 28),
        "nodes": nodes,
        "arrows": arrows,
    }
