"""The statistics of a trace as one small page: self-contained, readable offline, without script, in light and dark."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from apportion.core.units import counted, format_duration
from apportion.traces import stats
from apportion.traces.svg import Line, bars, heat, lines

if TYPE_CHECKING:
    from apportion.traces.schema import Trace

_LENGTHS: Final = (
    (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (6 * 3600, "6 h"),
    (86_400, "1 d"), (7 * 86_400, "1 w"), (30 * 86_400, "30 d"),
)  # fmt: skip
_POINTS: Final = 200
_DAILY_UP_TO_DAYS: Final = 120


def page(trace: Trace, figures: dict[str, Any] | None = None, *, acknowledge: str = "") -> str:
    """Build the page.

    Parameters
    ----------
    trace : Trace
        Cleaned, or as read.
    figures : dict, optional
        What `stats.describe` gave for it.
    acknowledge : str
        Whom to thank, and the terms of the data; written at the foot.
    """
    figures = figures or stats.describe(trace)
    cards = [
        *_arrival_cards(figures),
        _load_card(trace, figures),
        _size_card(trace),
        _length_card(trace),
        _accuracy_card(trace, figures),
        *_user_cards(trace, figures),
        _cycle_card(trace),
        _memory_card(trace),
    ]
    period = figures["period"]
    dates = f"{period['first_submit'][:10]} to {period['last_submit'][:10]}, " if period["first_submit"] else ""
    zone = f"times in {period['timezone']}" if dates else "relative times"
    notes = "".join(f"<li>{escape(note)}</li>" for note in trace.meta.notes)
    foot = f"<p>{escape(acknowledge)}</p>" if acknowledge else ""
    name = escape(trace.meta.name)
    css = files("apportion.traces").joinpath("stats_page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{name}</title><style>{css}</style></head><body><main><h1>{name}</h1>"
        f'<p class="soft">{dates}{_days(period["days"])}, {escape(zone)}</p>'
        f'<div class="tiles">{_tiles(figures)}</div><div class="cards">{"".join(card for card in cards if card)}</div>'
        f"<footer>{foot}{f'<ul>{notes}</ul>' if notes else ''}</footer></main></body></html>\n"
    )


def _days(days: float | None) -> str:
    if days is None:
        return "no submit times"
    return f"{days:,.1f} days" if days >= 1 else f"{days * 24:,.1f} hours"


def _tiles(figures: dict[str, Any]) -> str:
    load = figures["load"]["offered_load"]
    run, estimates, procs = figures["run_s"], figures["estimates"], figures["machine"]["procs"]
    shown = [
        (f"{figures['jobs']:,}", "jobs"),
        (f"{figures['users']:,}", "users") if figures["users"] else ("-", "users not known"),
        (f"{procs:,}", "processors") if procs else ("-", "machine not known"),
        (f"{load:.0%}", "offered load, of the machine's capacity") if load else ("-", "offered load not known"),
        (format_duration(round(run["median"]) * 1000), "median run time") if run else ("-", "run times not known"),
        (f"{estimates['median_accuracy']:.0%}", "of the requested time used (median)")
        if estimates
        else ("-", "no limits"),
    ]
    return "".join(f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>' for value, what in shown)


def _card(title: str, words: str, body: str, *, wide: bool = False) -> str:
    css = "card wide" if wide else "card"
    return f'<section class="{css}"><h2>{escape(title)}</h2><p>{escape(words)}</p>{body}</section>'


def _arrival_cards(figures: dict[str, Any]) -> list[str]:
    arrivals = figures["arrivals"]
    if not arrivals["by_hour"]:
        return []
    hours = [f"{hour:02d}" for hour in range(24)]
    by_hour = arrivals["by_hour"]
    busiest, quiet = by_hour.index(max(by_hour)), by_hour.index(min(by_hour))
    words = f"Busiest at {busiest:02d} h, quietest at {quiet:02d} h; {arrivals['per_day']:,.0f} jobs a day."
    grid = arrivals["by_weekday_and_hour"]
    ends = figures["arrivals"]["by_weekday"]
    week_end = (ends["Sat"] + ends["Sun"]) / max(sum(ends.values()), 1)
    return [
        _card("Jobs submitted by hour of day", words, bars(hours, [by_hour], axis="hour of day")),
        _card(
            "Jobs submitted by weekday and hour",
            f"{week_end:.0%} come at week-ends (an even spread would be 29%).",
            heat(stats.WEEKDAYS, hours, grid),
        ),
    ]


def _load_card(trace: Trace, figures: dict[str, Any]) -> str:
    days = figures["period"]["days"]
    if not days:
        return ""
    bin_days = 1 if days <= _DAILY_UP_TO_DAYS else 7
    _, work = stats.per_bin(trace, bin_days * stats.DAY_MS)
    if len(work) > 2 and days % bin_days:
        work = work[:-1]  # the last bin is not a whole one
    procs = trace.meta.max_procs
    per_bin_s = bin_days * 86_400
    values = work / per_bin_s / (procs if procs > 0 else 1)
    unit = "of the machine's capacity" if procs > 0 else "processors on average"
    words = f"Work submitted per {'day' if bin_days == 1 else 'week'} (size times run time), {unit}."
    words += " The dashed line is all of it." if procs > 0 else ""
    if len(values) < 3:
        return ""
    xs = np.arange(len(values)) * bin_days
    every = max(1, round(len(values) / 9))
    ticks = [(float(xs[i]), _date(trace, float(xs[i]))) for i in range(0, len(values), every)]
    chart = lines(
        [Line(xs.tolist(), values.tolist(), "s1")], x_ticks=ticks, width=1000, rule=1.0 if procs > 0 else None
    )
    return _card("Offered load over time", words, chart, wide=True)


def _date(trace: Trace, day: float) -> str:
    times = stats.local_times(trace)
    if times is None:
        return f"day {day:.0f}"
    import pandas as pd

    return str((times.min() + pd.Timedelta(days=day)).date())


def _size_card(trace: Trace) -> str:
    size, work = stats.size(trace), stats.work_s(trace)
    known = size > 0
    if not known.any():
        return ""
    place = np.ceil(np.log2(size[known])).astype(np.int64)
    labels = [_power(k) for k in range(int(place.max()) + 1)]
    jobs = np.bincount(place) / known.sum() * 100
    hours = np.bincount(place, weights=work[known])
    hours = hours / max(hours.sum(), 1e-9) * 100
    serial = float((size[known] == 1).mean())
    even = float((np.log2(size[known]) % 1 == 0).mean())
    words = (
        f"{serial:.0%} of the jobs are serial, {even:.0%} have a power of two. Bars: % of jobs and of processor-hours."
    )
    body = bars(labels, [jobs.tolist(), hours.tolist()], ["jobs", "processor-hours"], axis="processors, up to")
    return _card("Sizes", words, body)


def _power(k: int) -> str:
    return str(2**k) if k < 14 else f"{2 ** (k - 10)}k"


def _length_card(trace: Trace) -> str:
    curves = []
    for column, name, css in (("run_ms", "run time", "s1"), ("limit_ms", "requested time", "s2")):
        values = trace.column(column)
        values = values[values > 0] / 1000
        if len(values):
            shares = np.linspace(0, 100, _POINTS)
            at = np.log10(np.maximum(np.percentile(values, shares), 1))
            curves.append(Line(at.tolist(), shares.tolist(), css, name))
    if not curves:
        return ""
    longest = max(curve.xs[-1] for curve in curves)
    ticks = [(float(np.log10(s)), label) for s, label in _LENGTHS if np.log10(s) <= longest + 0.15]
    words = "Share of jobs (%) that run, or ask for, no longer than the time below; logarithmic."
    return _card("Lengths", words, lines(curves, x_ticks=ticks, y_max=100))


def _accuracy_card(trace: Trace, figures: dict[str, Any]) -> str:
    used = stats.accuracy(trace)
    if not len(used):
        return ""
    counts = np.histogram(np.minimum(used, 1.05), bins=np.arange(0, 1.101, 0.05))[0] / len(used) * 100
    labels = [f"{5 * k}" for k in range(21)] + [">100"]
    estimates = figures["estimates"]
    common = sum(limit["share"] for limit in estimates["commonest_limits_s"])
    words = (
        f"Run time as % of requested time. {estimates['distinct_limits']:,} different requests, the five commonest "
        f"make {common:.0%}. {counted(estimates['over_limit'], 'job')} ran over."
    )
    return _card(
        "Accuracy of estimates", words, bars(labels[: len(counts)], [counts.tolist()], axis="% of requested time")
    )


def _user_cards(trace: Trace, figures: dict[str, Any]) -> list[str]:
    found = figures["concentration"]
    if not found:
        return []
    _, jobs, work = stats.by_user(trace)
    curves = []
    for values, name, css in ((jobs.astype(np.float64), "jobs", "s1"), (work, "processor-hours", "s2")):
        xs, ys = stats.lorenz(values)
        curves.append(Line((xs * 100).tolist(), (ys * 100).tolist(), css, name))
    ticks = [(float(k), f"{k} %") for k in (0, 25, 50, 75, 100)]
    of_jobs, of_work = found["gini_jobs"] or 0, found["gini_work"] or 0
    words = f"Gini of jobs {of_jobs:.2f}, of processor-hours {of_work:.2f} (0 all alike, 1 one has all)."
    rows = "".join(
        f'<tr><td>{escape(str(top["user"]))}</td><td class="n">{top["jobs"]:,}</td>'
        f'<td class="n">{top["job_share"]:.1%}</td><td class="n">{top["work_share"]:.1%}</td></tr>'
        for top in found["top_users"]
    )
    table = (
        '<table><tr><th>user</th><th class="n">jobs</th><th class="n">of all jobs</th>'
        '<th class="n">of processor-hours</th></tr>'
        f"{rows}</table>"
    )
    in_several = found["users_in_several_groups"]
    return [
        _card("Concentration", words, lines(curves, x_ticks=ticks, y_max=100, axis="least active users")),
        _card(
            "Most active users",
            f"{counted(figures['users'], 'user')}, {in_several:,} of them in several groups.",
            table,
        ),
    ]


def _cycle_card(trace: Trace) -> str:
    hourly, _ = stats.per_bin(trace, stats.HOUR_MS)
    if len(hourly) < 3 * 168:
        return ""
    values = stats.autocorrelation(hourly.astype(np.float64), 168)
    ticks = [(float(24 * day), f"{day} d") for day in range(8)]
    curve = Line(list(range(1, 169)), np.maximum(values, 0).tolist(), "s1")
    words = "How alike the jobs of an hour are to those some time later (0: not at all, or the opposite). Peaks at whole days: a daily cycle."
    return _card("Cycles of arrivals", words, lines([curve], x_ticks=ticks))


def _memory_card(trace: Trace) -> str:
    _, work = stats.per_bin(trace, stats.DAY_MS)
    if len(work) < 3 * 28:
        return ""
    values = np.maximum(stats.autocorrelation(work, 28), 0)
    words = "How alike the work submitted a day is to that some days later (0: not at all, or the opposite): what is left of a burst."
    return _card(
        "Memory of the load", words, bars([str(k) for k in range(1, 29)], [values.tolist()], axis="days later")
    )
