"""A few small charts as inline SVG: no script, no fonts, colours from the page's CSS for light and dark."""

from __future__ import annotations

from html import escape
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT: Final = 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 34


class Line(NamedTuple):
    """One line of a chart: points in data units, the CSS class that colours it, and its name in the legend."""

    xs: Sequence[float]
    ys: Sequence[float]
    css: str
    name: str = ""


def bars(
    labels: Sequence[str],
    series: Sequence[Sequence[float]],
    names: Sequence[str] = (),
    *,
    axis: str = "",
    width: int = 480,
) -> str:
    """Upright bars, one group a label, with up to two series side by side.

    Parameters
    ----------
    labels : sequence of str
        One a group; every n-th is written where they would not fit.
    series : sequence of sequence of float
        Heights, not negative.
    names : sequence of str
        Names of the series, for the legend.
    axis : str
        What the groups are.
    """
    top = _nice(max((max(values, default=0) for values in series), default=0))
    plot_w, plot_h = width - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    step = plot_w / max(len(labels), 1)
    thick = step * 0.8 / max(len(series), 1)
    every = max(1, ceil((max(len(str(label)) for label in labels) * 6.3 + 3) / step)) if labels else 1
    parts = _frame(width, top)
    for k, values in enumerate(series):
        for i, value in enumerate(values):
            high = plot_h * value / top
            x = _LEFT + i * step + step * 0.1 + k * thick
            name = f"{names[k]}, " if names else ""
            parts.append(
                f'<rect class="s{k + 1}" x="{x:.1f}" y="{_TOP + plot_h - high:.1f}" '
                f'width="{max(thick - 0.6, 0.5):.1f}" '
                f'height="{high:.1f}"><title>{escape(f"{name}{labels[i]}: {short(value)}")}</title></rect>'
            )
    for i in range(0, len(labels), every):
        parts.append(_text(_LEFT + (i + 0.5) * step, HEIGHT - _BOTTOM + 13, str(labels[i]), "middle"))
    return _whole(parts, width, axis, [(f"s{k + 1}", name) for k, name in enumerate(names)])


def lines(
    curves: Sequence[Line],
    *,
    x_ticks: Sequence[tuple[float, str]],
    y_max: float | None = None,
    axis: str = "",
    width: int = 480,
    rule: float | None = None,
) -> str:
    """Lines over a common x axis, whose ticks the caller places; ``rule`` draws one level line."""
    xs = [x for curve in curves for x in curve.xs] + [x for x, _ in x_ticks]
    low, high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    top = y_max or _nice(max((y for curve in curves for y in curve.ys), default=1))
    plot_w, plot_h = width - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + plot_w * (x - low) / ((high - low) or 1), _TOP + plot_h * (1 - min(y, top) / top)

    parts = _frame(width, top)
    for x, label in x_ticks:
        px = at(x, 0)[0]
        anchor = "start" if px < _LEFT + 5 else "end" if px > width - _RIGHT - 5 * len(label) / 2 else "middle"
        parts.append(_text(px, HEIGHT - _BOTTOM + 13, label, anchor))
    if rule is not None and rule <= top:
        y = at(low, rule)[1]
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for curve in curves:
        placed = [at(x, y) for x, y in zip(curve.xs, curve.ys, strict=True)]
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
        parts.append(
            f'<polyline class="line {curve.css}" points="{points}"><title>{escape(curve.name)}</title></polyline>'
        )
    return _whole(parts, width, axis, [(curve.css, curve.name) for curve in curves if curve.name])


def heat(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[float]], *, width: int = 480) -> str:
    """Draw a table of squares, darker for more."""
    most = max((max(row, default=0) for row in cells), default=0) or 1
    plot_w, plot_h = width - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    w, h = plot_w / len(columns), plot_h / len(rows)
    parts: list[str] = []
    for i, row in enumerate(cells):
        parts.append(_text(_LEFT - 8, _TOP + (i + 0.5) * h + 4, rows[i], "end"))
        for j, value in enumerate(row):
            said = escape(f"{rows[i]} {columns[j]}: {short(value)}")
            parts.append(
                f'<rect class="s1" x="{_LEFT + j * w:.1f}" y="{_TOP + i * h:.1f}" width="{w - 1:.1f}" '
                f'height="{h - 1:.1f}" '
                f'fill-opacity="{0.06 + 0.94 * value / most:.3f}"><title>{said}</title></rect>'
            )
    for j in range(0, len(columns), 3):
        parts.append(_text(_LEFT + (j + 0.5) * w, HEIGHT - _BOTTOM + 13, columns[j], "middle"))
    return _whole(parts, width, "hour of day", [])


def short(value: float) -> str:
    """Write a number in few characters: 12,345 is 12.3k."""
    for scale, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{mark}"
    return f"{value:.3g}"


def _nice(most: float) -> float:
    """Find the least round number not below ``most`` whose quarters, which are written beside the axis, are round too."""
    if most <= 0:
        return 1.0
    power = 1.0
    while power > most:
        power /= 10
    while power * 10 <= most:
        power *= 10
    return next(power * step for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 6, 8, 10) if power * step >= most * 0.999)


def _frame(width: int, top: float) -> list[str]:
    plot_h = HEIGHT - _TOP - _BOTTOM
    parts = []
    for k in range(5):
        y = _TOP + plot_h * (1 - k / 4)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, short(top * k / 4), "end"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _whole(parts: list[str], width: int, axis: str, legend: Sequence[tuple[str, str]]) -> str:
    if axis:
        parts.append(
            f'<text class="axis" x="{width - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{escape(axis)}</text>'
        )
    x = float(_LEFT)
    for css, name in legend:
        parts.append(f'<rect class="{css} key" x="{x:.0f}" y="{HEIGHT - 14}" width="10" height="10"/>')
        parts.append(_text(x + 14, HEIGHT - 5, name, "start"))
        x += 26 + 6.3 * len(name)
    return f'<svg viewBox="0 0 {width} {HEIGHT}" role="img">{"".join(parts)}</svg>'
