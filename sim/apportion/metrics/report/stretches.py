"""Which stretches of a run a Gantt chart shows, and the chart itself as an SVG that needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from markupsafe import Markup, escape
from numpy import float64
from numpy.typing import NDArray

from apportion.core.units import counted
from apportion.metrics.gantt import gantt
from apportion.metrics.report.charts import HUES, hues
from apportion.metrics.report.figures import count, duration, jobs
from apportion.metrics.series import timeline
from apportion.metrics.starvation import waits_so_far

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.report.clock import Clock
    from apportion.metrics.run import Run

Floats = NDArray[float64]

HOUR_S: Final = 3600
LENGTHS_H: Final = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672)
FEW_JOBS: Final = 600  # in a stretch, for bars that can be told apart
MOST_JOBS: Final = 900
BINS: Final = 6000
WIDTH: Final = 2000  # of the drawing, which is stretched to its place
HEIGHT_PX: Final = 400  # of its place (report.css)
OUTLINED_PX: Final = 3  # height from which a bar has an outline
WAITS: Final = ((60, "under 1 min"), (600, "1 to 10 min"), (3600, "10 min to 1 h"), (21600, "1 to 6 h"),
                (86400, "6 h to 1 d"), (np.inf, "over 1 d"))  # fmt: skip
TICKS_S: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(HOUR_S * hours for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672)),
)


class Stretch(NamedTuple):
    """A stretch of time worth a look: a name, why it was chosen, and its ends in seconds from the origin."""

    name: str
    why: str
    from_s: float
    to_s: float


def choose(run: Run, asked: tuple[float, float] | None = None) -> list[Stretch]:
    """Pick the busiest stretch, the deepest queue, the most capacity lost and the end of the longest wait.

    All are of one length, at most a quarter of the measure window and the longest in which the busiest holds few enough
    jobs for bars that can be told apart; one that mostly lies within an earlier one is left out. A stretch that was asked
    for, as seconds from the origin, comes before them.
    """
    table = timeline(run, BINS)
    if table.empty or not run.started.any():
        return []
    begin, end = run.window_s
    bin_s = (end - begin) / len(table)
    used, queued = table["used_procs"].to_numpy(), table["queued_procs"].to_numpy()
    lost = np.minimum(np.maximum(table["capacity_procs"].to_numpy() - used, 0.0), queued)
    starts, stops = np.sort(run.start_s[run.started]), np.sort(run.stop_s[run.started])
    chosen: tuple[float, float] = (min(HOUR_S, end - begin), begin)
    for hours in LENGTHS_H:
        length = float(hours * HOUR_S)
        if length > (end - begin) / 4 and hours > LENGTHS_H[0]:
            break
        at = begin + bin_s * _best(used + 1e-6 * queued, max(1, round(length / bin_s)))
        if np.searchsorted(starts, at + length) - np.searchsorted(stops, at, side="right") > FEW_JOBS and hours > 1:
            break
        chosen = (min(float(length), end - begin), at)
    length, busiest = float(chosen[0]), float(chosen[1])
    bins = max(1, round(length / bin_s))
    wait = np.where(run.is_measured & run.started, waits_so_far(run), -1.0)
    slowest = run.start_s[int(np.argmax(wait))] - length * 0.75
    found = [
        Stretch("Busiest", "most processors in use on average", busiest, busiest + length),
        *([_at("Deepest queue", "most processors asked for by waiting jobs", queued, bins, bin_s, begin, length)] * bool(queued.any())),
        *([_at("Most capacity lost", "most processors idle while jobs waited for them", lost, bins, bin_s, begin, length)] * bool(lost.any())),
        *([Stretch("Longest wait", "around the start of the job that had waited longest", slowest, slowest + length)] * bool(wait.max() > 0)),
    ]  # fmt: skip
    own = [Stretch("Chosen", "as asked for", *asked)] if asked else []
    kept: list[Stretch] = []
    for stretch in found:
        low = min(max(stretch.from_s, begin), max(begin, run.horizon_s - length))
        if all(abs(low - other.from_s) > 0.6 * length for other in kept):
            kept.append(stretch._replace(from_s=low, to_s=low + length))
    return own + kept


def _at(name: str, why: str, level: Floats, bins: int, bin_s: float, begin: float, length: float) -> Stretch:
    low = begin + bin_s * _best(level, bins)
    return Stretch(name, why, low, low + length)


def _best(level: Floats, bins: int) -> int:
    """First bin of the run of ``bins`` with the largest sum."""
    total = np.concatenate([[0.0], np.cumsum(level)])
    bins = min(bins, len(level))
    return int(np.argmax(total[bins:] - total[:-bins]))


def draw(run: Run, stretch: Stretch, clock: Clock, by: str, taken: dict[str, int]) -> dict[str, Any]:
    """Draw one stretch.

    Parameters
    ----------
    run : Run
    stretch : Stretch
    clock : Clock
    by : {"account", "user"}
        What the bars are coloured by: the groups with the largest area in the stretch.
    taken : dict of str to int
        Colours that groups have in other pictures of the page.

    Returns
    -------
    dict
        What the template needs: ``svg`` (bars only; x is stretched), axis marks in percent, and words.
    """
    bars = gantt(run, stretch.from_s, stretch.to_s, MOST_JOBS)
    length = stretch.to_s - stretch.from_s
    capacity = float(run.capacity.value.max()) if run.capacity.value.size else 0.0
    top = int(max(capacity, (bars["lane"] + bars["lanes"]).max() if len(bars) else 1.0, 1.0))
    marks = [{"at": 100 * (t - stretch.from_s) / length, "text": text} for t, text in _ticks(stretch, clock)]
    steps = [v for v in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500) if top / v <= 6] or [0]
    step = steps[0] or 1000 * max(1, round(top / 5000))
    levels = [{"at": 100 * (1 - v / top), "text": f"{v:,}"} for v in range(0, top + 1, step)]
    area = bars["lanes"] * (np.minimum(bars["end_s"], stretch.to_s) - np.maximum(bars["start_s"], stretch.from_s))
    largest = area.groupby(bars[by].astype(str)).sum().sort_values(ascending=False, kind="stable")
    colour = hues([str(name) for name in largest.index[:HUES]], taken)
    left_out = int(bars.attrs["jobs_left_out"])
    return {
        "name": stretch.name,
        "why": stretch.why,
        "when": f"{clock.moment(stretch.from_s)} to {clock.moment(stretch.to_s)}",
        "jobs": jobs(bars["job_id"].nunique()),
        "left_out": count(left_out) if left_out else None,
        "svg": _svg(bars, stretch, top, by, colour),
        "marks": marks,
        "levels": levels,
        "hues": [{"name": name or "(unknown)", "hue": hue} for name, hue in colour.items()],
        "more": len(largest) > len(colour),
    }


def _ticks(stretch: Stretch, clock: Clock) -> list[tuple[float, str]]:
    length = stretch.to_s - stretch.from_s
    step = next((s for s in TICKS_S if length / s <= 8), TICKS_S[-1])
    first = clock.midnight(stretch.from_s)
    ticks = []
    t = first + step * np.ceil((stretch.from_s - first) / step)
    while t <= stretch.to_s - length * 0.02:
        is_day = step >= 86400 or abs(t - clock.midnight(t + 1)) < 1
        day = clock.date(t).rpartition(" 2")[0] or clock.date(t)
        ticks.append((float(t), day if is_day else clock.hour(t, seconds=step < 60)))
        t += step
    return ticks


def _svg(bars: pd.DataFrame, stretch: Stretch, top: int, by: str, colour: dict[str, int]) -> Markup:
    """One path a job, with its pieces as subpaths and a title that browsers show and screen readers read."""
    scale = WIDTH / (stretch.to_s - stretch.from_s)
    x0 = np.maximum((bars["start_s"].to_numpy() - stretch.from_s) * scale, 0.0)
    x1 = np.minimum((bars["end_s"].to_numpy() - stretch.from_s) * scale, float(WIDTH))
    wide = np.maximum(x1 - x0, 0.7)
    wait = np.nan_to_num((bars["start_s"] - bars["submit_s"]).to_numpy())
    shade = np.searchsorted(np.array([edge for edge, _ in WAITS]), wait, side="right")
    paths: dict[tuple[Any, float], list[str]] = {}
    head: dict[tuple[Any, float], str] = {}
    rows = zip(
        bars["job_id"], bars["user"], bars["account"], bars["procs"], bars["start_s"], bars["end_s"],
        bars["lane"], bars["lanes"], x0, wide, wait, shade, bars[by], strict=True,
    )  # fmt: skip
    tall = top * OUTLINED_PX / HEIGHT_PX
    for job, user, account, procs, start, end, lane, lanes, x, w, waited, tone, group in rows:
        key = (job, start)
        if key not in head:
            who = ", ".join(str(part) for part in (user, account) if part)
            size = f"job {job}{f' of {who}' if who else ''}: {counted(procs, 'processor')}"
            words = f"{size}, waited {duration(waited).text}, ran {duration(end - start).text}"
            outline = " o" if procs >= tall else ""
            head[key] = f'class="g{colour.get(str(group), HUES)} w{tone}{outline}"><title>{escape(words)}</title>'
            paths[key] = []
        paths[key].append(f"M{x:.1f} {top - lane - lanes}h{w:.1f}v{lanes}h-{w:.1f}z")
    drawn = "".join(f'<path d="{"".join(paths[key])}" {head[key]}</path>' for key in head)
    return Markup(  # noqa: S704  (every name in it is escaped above)
        f'<svg class="bars" viewBox="0 0 {WIDTH} {top}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
    )
