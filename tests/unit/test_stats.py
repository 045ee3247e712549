"""Statistics of traces against figures worked out by hand, and the page they are drawn on."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.traces import stats
from apportion.traces.stats_page import page
from apportion.traces.svg import Line, bars, heat, lines, short
from trace_cases import make_trace

HOUR_MS = 3_600_000


def week(**meta):
    """Four jobs: Monday 2024-01-01 00:30 UTC and later."""
    return make_trace(
        {
            "submit_ms": [0, 0, HOUR_MS, 24 * HOUR_MS],
            "run_ms": [3_600_000, -1, 1_800_000, 7_200_000],
            "wait_ms": [0, 5000, -1, 15_000],
            "limit_ms": [7_200_000, 7_200_000, -1, 3_600_000],
            "procs_used": [2, -1, 4, 1],
            "procs_req": [2, 8, 4, 1],
            "user": ["a", "b", "a", "c"],
            "group": ["g", "g", "h", "g"],
            "status": [1, 5, 1, 0],
        },
        origin_ms=1_704_069_000_000,
        max_procs=10,
        **meta,
    )


def test_figures_by_hand():
    figures = stats.describe(week())
    assert (figures["jobs"], figures["users"], figures["groups"], figures["queues"]) == (4, 3, 2, 0)
    assert figures["period"]["days"] == 1.0
    assert figures["period"]["first_submit"] == "2024-01-01T00:30:00+00:00"
    assert figures["arrivals"]["in_the_second_of_the_one_before"] == 1
    assert figures["arrivals"]["by_weekday"] == {"Mon": 3, "Tue": 1, "Wed": 0, "Thu": 0, "Fri": 0, "Sat": 0, "Sun": 0}
    assert figures["arrivals"]["by_hour"][:2] == [3, 1]
    assert figures["procs"]["known"] == 4
    assert figures["procs"]["mean"] == 3.75
    assert figures["run_s"]["known"] == 3
    assert figures["run_s"]["mean"] == 4200.0
    assert figures["wait_s"]["max"] == 15.0
    assert figures["estimates"]["mean_accuracy"] == 0.75  # 0.5, and 2.0 counted as 1
    assert figures["estimates"]["over_limit"] == 1
    assert figures["estimates"]["commonest_limits_s"][0] == {"limit_s": 7200.0, "share": 0.6667}
    # 2 h + 2 h + 2 h of work on 10 processors over 24 hours
    assert figures["load"] == {"work_processor_hours": 6.0, "offered_load": 0.025}
    assert figures["concentration"]["users_in_several_groups"] == 1
    assert figures["concentration"]["top_users"][0] == {"user": "a", "jobs": 2, "job_share": 0.5, "work_share": 0.6667}
    assert figures["status"] == {"FAILED": 1, "COMPLETED": 2, "CANCELLED": 1}


def test_hours_are_those_of_the_trace_s_zone():
    assert stats.describe(week(timezone="Europe/Paris"))["arrivals"]["by_hour"][1:3] == [3, 1]
    assert stats.describe(week(timezone="No/Where"))["arrivals"]["by_hour"][:2] == [3, 1]


def test_what_is_not_known_is_none():
    figures = stats.describe(make_trace({"run_ms": [-1]}))
    for key in ("procs", "run_s", "wait_s", "limit_s", "estimates", "concentration"):
        assert figures[key] is None
    assert figures["arrivals"]["by_hour"] is None
    assert figures["load"]["offered_load"] is None
    assert stats.describe(make_trace({"submit_ms": []}))["jobs"] == 0


@pytest.mark.parametrize(("amounts", "wanted"), [([1, 1, 1, 1], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)])
def test_gini_of_known_cases(amounts, wanted):
    assert stats.gini(np.array(amounts, dtype=float)) == pytest.approx(wanted)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference_of_all_pairs(amounts):
    mean_difference = sum(abs(a - b) for a in amounts for b in amounts) / len(amounts) ** 2
    assert stats.gini(np.array(amounts, dtype=float)) == pytest.approx(mean_difference / 2 / np.mean(amounts))
    shares, held = stats.lorenz(np.array(amounts, dtype=float))
    area = sum((a + b) / 2 for a, b in pairwise(held)) / len(amounts)
    assert 1 - 2 * area == pytest.approx(mean_difference / 2 / np.mean(amounts))
    assert (shares[0], shares[-1], held[0], held[-1]) == (0, 1, 0, 1)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=40), st.integers(1, 3))
def test_autocorrelation_as_the_definition_says(series, lags):
    values = np.array(series, dtype=float)
    mean = sum(series) / len(series)
    variance = sum((x - mean) ** 2 for x in series)
    wanted = [
        sum((series[i] - mean) * (series[i + k] - mean) for i in range(len(series) - k)) / variance if variance else 0.0
        for k in range(1, lags + 1)
    ]
    assert stats.autocorrelation(values, lags) == pytest.approx(wanted, abs=1e-9)


def test_bins_from_the_first_submit():
    jobs, work = stats.per_bin(week(), 24 * HOUR_MS)
    assert jobs.tolist() == [3, 1]
    assert work.tolist() == [2 * 3600 + 4 * 1800, 7200]


class Tags(HTMLParser):
    """Collect the tags, and whatever would be fetched from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def busy(count=3000):
    rng = np.random.default_rng(7)
    return make_trace(
        {
            "submit_ms": np.sort(rng.integers(0, 100 * 24 * HOUR_MS, count)),
            "run_ms": rng.integers(0, 10**8, count),
            "limit_ms": rng.integers(1, 10**8, count),
            "procs_used": rng.integers(1, 64, count),
            "user": [f"<b>{i}</b>" for i in rng.integers(0, 20, count)],
        },
        name="<script>x</script>",
        origin_ms=0,
        max_procs=64,
        notes=("a & b",),
    )


def test_the_page_is_whole_and_fetches_nothing():
    text = page(busy(), acknowledge="Thanks to <nobody>")
    tags = Tags(text)
    assert not tags.open
    assert not tags.sources
    assert "script" not in tags.tags
    assert text.count("<b>") == 6  # the tiles; no user's name got through
    assert tags.tags.count("svg") == 9
    assert "prefers-color-scheme:dark" in text
    assert "Thanks to &lt;nobody&gt;" in text
    assert len(text) < 200_000


def test_a_page_of_almost_nothing():
    text = page(make_trace({"run_ms": [-1], "submit_ms": [0]}))
    assert Tags(text).tags.count("svg") == 0
    assert "users not known" in text


@pytest.mark.parametrize(
    "drawing",
    [
        bars(["a", "b"], [[1, 2], [0, 4]], ["one", "two"], axis="x"),
        bars([], [[]]),
        heat(["r"], ["c", "d"], [[0, 0]]),
        lines([Line([0, 1], [0, 5], "s1", "<up>")], x_ticks=[(0, "0"), (1, "1")], rule=3),
        lines([], x_ticks=[]),
    ],
)
def test_drawings_are_well_formed(drawing):
    assert ET.fromstring(drawing).tag == "svg"


def test_the_highest_bar_fits_and_heights_are_in_proportion():
    drawn = ET.fromstring(bars(["a", "b", "c"], [[0, 1, 3]]))
    heights = [float(bar.get("height")) for bar in drawn.iter("rect")]
    assert heights[0] == 0
    assert heights[2] == pytest.approx(3 * heights[1], abs=0.2)
    tops = [float(bar.get("y")) for bar in drawn.iter("rect")]
    assert min(tops) >= 0


@given(st.floats(1e-6, 1e9))
def test_numbers_beside_an_axis_are_exact_and_the_axis_holds_the_highest_bar(most):
    drawn = ET.fromstring(bars(["a"], [[most]]))
    scale = {"k": 1e3, "M": 1e6, "G": 1e9}
    written = [text.text for text in drawn.iter("text")][:5]
    levels = [float(text.rstrip("kMG")) * scale.get(text[-1], 1) for text in written]
    assert levels == pytest.approx(np.linspace(0, levels[-1], 5))
    assert most * 0.998 <= levels[-1] < 2 * most


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (12_345, "12.3k"), (2.5e6, "2.5M"), (0.25, "0.25")]
)
def test_short_numbers(value, text):
    assert short(value) == text


def test_a_submit_time_of_another_age_costs_neither_time_nor_memory():
    trace = make_trace({"submit_ms": [0, 3600_000, 3 * 10**18], "procs_used": [1, 1, 1]}, origin_ms=0)
    figures = stats.describe(trace)
    assert figures["period"]["days"] == round(1 / 24, 3)
