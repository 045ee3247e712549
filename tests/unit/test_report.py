"""Reports without a browser: numbers in words, what is escaped, what is left out, odd runs, the command."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from apportion.cli.report import report
from apportion.core.errors import RunError
from apportion.metrics.compare import compare
from apportion.metrics.report import charts, write_comparison, write_report
from apportion.metrics.report.clock import Clock
from apportion.metrics.report.figures import core_hours, count, decimal, duration, percent, points, signed
from apportion.metrics.report.stretches import choose
from apportion.metrics.run import load_run
from runs import make_run, write_run

HOSTILE = "</script><script>alert(1)</script><b onmouseover=alert(2)>'\"&"
VOID = {"meta", "link", "br", "input", "img", "path"}


class Page(HTMLParser):
    """What a browser would make of a report: text, elements, scripts, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or (tag == "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def charts(self) -> dict:
        return json.loads(next(script for script in self.scripts if script.startswith("{")))


def read(path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def table(n=60, **columns):
    rng = np.random.default_rng(3)
    submit = np.sort(rng.integers(0, 6 * 86400, n)).astype(float)
    made = {
        "submit_s": submit,
        "start_s": submit + rng.integers(0, 9000, n),
        "run_s": rng.integers(1, 30_000, n).astype(float),
        "procs": rng.integers(1, 30, n),
    }
    return pd.DataFrame(made | columns)


# Numbers in words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.0002, "under 1 ms"), (0.0162, "16.2 ms"), (0.25, "250 ms"), (0.9999, "1 s"), (2.44, "2.4 s"),
        (9.99, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3599.7, "1 h"),
        (3661, "1 h 1 min"), (86_399, "1 d"), (86_400 + 4 * 3600, "1 d 4 h"), (3 * 86_400 + 4 * 3600 + 99, "3 d 4 h"),
        (1000 * 86_400, "1,000 d"), (-90, "−1 min 30 s"), (float("nan"), "–"), (None, "–"), (float("inf"), "–"),
    ],
)  # fmt: skip
def test_durations_in_at_most_two_units(seconds, words):
    assert duration(seconds).text == words


SECONDS = {"d": 86400, "h": 3600, "min": 60, "s": 1, "ms": 0.001}


@given(st.floats(0, 1e9))
def test_a_duration_says_nearly_what_it_was(seconds):
    parts = re.findall(r"([\d,.]+) (d|h|min|ms|s)", duration(seconds).text)
    back = sum(float(number.replace(",", "")) * SECONDS[unit] for number, unit in parts)
    assert back == pytest.approx(seconds, rel=0.06, abs=0.001)
    assert all(
        float(n.replace(",", "")) < {"d": 1e6, "h": 24, "min": 60, "s": 60, "ms": 1000}[unit] for n, unit in parts
    )


def test_numbers_are_short_and_their_exact_values_are_kept():
    assert core_hours(1_234_567.89) == ("1,234,568 core-h", "1234567.89 core-h", 1_234_567.89)
    assert [decimal(v).text for v in (0, 0.1234, 1, 12.345, 99.96, 123.4, 0.00012, -2.5)] == [
        "0", "0.123", "1.00", "12.3", "100", "123", "1.2e−04", "−2.50",
    ]  # fmt: skip
    assert percent(0.8234).text == "82.3 %"
    assert percent(0.00123).text == "0.12 %"
    assert points(-0.0312).text == "−3.1 pp"
    assert points(0.0).text == "0.0 pp"
    assert signed(duration(60)).text == "+1 min"
    assert signed(decimal(-2.5, "s/core-s")).text == "−2.50 s/core-s"
    assert count(1234567).text == "1,234,567"


# Clocks


def test_a_clock_shows_the_wall_clock_of_the_machine():
    run = make_run(table(), origin_ms=1_078_605_840_000, timezone="US/Pacific")  # a trace whose header says 12:44 PST
    clock = Clock(run)
    assert clock.moment(0.0) == "6 Mar 2004, 12:44"
    summer = 60 * 86400.0  # past the change to daylight saving
    assert clock.moment(summer) == "5 May 2004, 13:44"
    assert [ms - 1_078_605_840_000 for ms in clock.axis(np.array([0.0, summer]))] == [
        -8 * 3_600_000,
        int((summer - 7 * 3600) * 1000),
    ]
    assert clock.moment(clock.midnight(summer)) == "5 May 2004, 00:00"


def test_a_clock_without_an_origin_counts_days_and_an_unknown_zone_is_utc():
    clock = Clock(make_run(table()))
    assert not clock.is_calendar
    assert clock.moment(86400 + 3660.0) == "day 2, 01:01"
    odd = Clock(make_run(table(), origin_ms=0, timezone="Nowhere/At all"))
    unnamed = Clock(make_run(table(), origin_ms=0, timezone=""))
    assert [clock.moment(60.0) for clock in (odd, unnamed)] == ["1 Jan 1970, 00:01"] * 2
    federation = Clock(make_run(table(), origin_ms=0, timezone="", federation={}))
    assert federation.zone_words == "UTC at all centers"
    assert odd.zone_words == unnamed.zone_words == "UTC, as the trace names no known time zone"
    assert odd.hour(3_723.0, seconds=True) == "01:02:03"


# What a report says


def test_numbers_stand_in_the_page_without_script(tmp_path):
    folder = write_run(tmp_path / "run", table(), 64, shares={"a1": 1.0})
    page = read(write_report(folder))
    wait = load_run(folder).wait_s
    assert duration(float(wait.mean())).text in page.text
    assert duration(float(wait.max())).text in page.text
    for words in ("Utilization", "Who waited most", "How it was made", "made under fcfs", "64 processors"):
        assert words in page.text


def test_a_headline_number_is_the_one_of_the_metrics(tmp_path):
    folder = write_run(tmp_path / "run", table(), 64)
    (folder / "metrics.json").write_text(json.dumps({"service": {"wait_s": {"mean": 12_345.0}}}))
    page = read(write_report(folder))
    assert "Mean wait 3 h 26 min Mean wait from submit to start." in page.text
    assert "Loss of capacity" not in page.text  # not among the metrics, so not told


def test_charts_hold_the_run(tmp_path):
    folder = write_run(tmp_path / "run", table(500), 64)
    charts = read(write_report(folder)).charts
    assert sum(charts["waits"]["jobs"]) == 500
    assert charts["waits"]["at_most"][-1] == 100
    assert max(charts["load"]["capacity"]) == 64
    run = load_run(folder)
    begin, end = run.window_s
    assert np.mean(charts["load"]["used"]) * (end - begin) == pytest.approx(run.core_s.sum(), rel=1e-3)


def test_what_a_trace_says_cannot_become_markup(tmp_path):
    names = np.array([HOSTILE, "ann"] * 30)
    jobs = table(user=names, account=names, qos=names, reasons=names, job_id=[f"{i}<i>" for i in range(60)])
    manifest = {
        "trace": {"name": HOSTILE, "path": HOSTILE, "acknowledgement": HOSTILE, "sha256": "0" * 64, "notes": [HOSTILE]},
        "policy_name": HOSTILE,
        "policy": {HOSTILE: HOSTILE},
        "conventions": {HOSTILE: HOSTILE},
        "command": HOSTILE,
        "cleaning": [
            {
                "rule": HOSTILE,
                "finds": HOSTILE,
                "jobs": 1,
                "examples": [{"job_id": HOSTILE, "before": {HOSTILE: HOSTILE}}],
            }
        ],
        "shares": {HOSTILE: 0.5, "ann": 0.5},
        "pools": [{"name": HOSTILE, "procs": 1}, {"name": "b", "procs": 2}],
        "timezone": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "timings_s": {HOSTILE: 1.0},
    }
    folders = [write_run(tmp_path / name, jobs, 64, **manifest) for name in ("one", "two")]
    pages = [
        read(write_report(folders[0])),
        read(write_comparison(compare([load_run(f) for f in folders]), tmp_path / "c.html")),
    ]
    plain = [
        read(write_report(write_run(tmp_path / "plain", table(), 64))),
        read(write_comparison(compare([load_run(f) for f in [tmp_path / "plain"] * 2]), tmp_path / "d.html")),
    ]
    for page, harmless in zip(pages, plain, strict=True):
        assert HOSTILE in page.text
        assert len([tag for tag, _ in page.tags if tag == "script"]) == len(
            [tag for tag, _ in harmless.tags if tag == "script"]
        )
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert HOSTILE in [group["name"] for group in pages[0].charts["shares"]["groups"]]


def test_asks_nothing_of_the_network(tmp_path):
    page = read(write_report(write_run(tmp_path / "run", table(), 64)))
    links = [
        value for _, attrs in page.tags for name, value in attrs.items() if name in {"src", "href", "action", "srcset"}
    ]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_is_the_same_twice(tmp_path):
    folder = write_run(tmp_path / "run", table(300, user=["a", "b", "c"] * 100), 64, shares={"a1": 1.0})
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_stays_small_and_quick_with_many_jobs(tmp_path):
    n = 200_000
    rng = np.random.default_rng(0)
    submit = np.sort(rng.uniform(0, 300 * 86400, n)).round()
    jobs = pd.DataFrame(
        {
            "submit_s": submit,
            "start_s": submit + rng.exponential(5000, n).round(),
            "run_s": rng.exponential(6000, n).round() + 1,
            "procs": 2 ** rng.integers(0, 8, n),
            "user": rng.choice([f"user{i}" for i in range(800)], n),
            "account": rng.choice([f"project{i}" for i in range(150)], n),
        }
    )
    run = make_run(jobs, 3000, shares={f"project{i}": 1.0 for i in range(150)})
    metrics = {"service": {"wait_s": {"mean": 1.0}}}
    write_report(run, tmp_path / "cold.html", metrics=metrics)
    fresh = make_run(jobs, 3000, shares={f"project{i}": 1.0 for i in range(150)})
    begin = time.process_time()
    path = write_report(fresh, tmp_path / "warm.html", metrics=metrics)
    assert time.process_time() - begin < 4  # a second on a quiet machine
    assert path.stat().st_size < 3_000_000


ODD = {
    "no jobs": (table(0), {"measure_window_s": [0, 0]}),
    "nothing started": (table(5, start_s=np.nan, run_s=np.nan), {}),
    "one job of no length": (pd.DataFrame({"submit_s": [5.0], "start_s": [5.0], "run_s": [0.0]}), {}),
    "one second": (pd.DataFrame({"submit_s": [0.0, 0.0], "start_s": [0.0, 1.0], "run_s": [1.0, 1.0]}), {}),
    "a window before all jobs": (table(5), {"measure_window_s": [-20.0, -10.0]}),
    "no machine": (table(5), {"capacity_steps": []}),
    "nobody named": (table(5, user="", account="", qos=""), {}),
    "nothing said": (table(5), {"trace": None, "policy_name": None, "pools": None, "conventions": None, "inputs": None}),
    "a job that never ends": (table(5).assign(run_s=np.nan), {}),
    "text ids": (table(5, job_id=["a.1", "a.2", "b[3]", "c", "d"]), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_runs_have_reports(tmp_path, name):
    jobs, manifest = ODD[name]
    page = read(write_report(write_run(tmp_path / "run", jobs, 64, **manifest)))
    assert "How it was made" in page.text
    assert not re.search(r"\b(nan|NaN|None|inf)\b", page.text.partition("Every metric")[0])


def test_a_run_in_which_nothing_waits_says_so_in_words(tmp_path):
    jobs = table().assign(start_s=lambda t: t["submit_s"])
    page = read(write_report(write_run(tmp_path / "run", jobs, 2000)))
    assert "and no job waited" in page.text
    assert "No job of this run waited" in page.text
    assert "nine of ten waited not at all" in page.text
    assert "Jobs that waited longest" not in page.text  # no table of twenty zeros


def test_a_run_in_which_all_is_turned_away_has_no_empty_charts(tmp_path):
    jobs = table(8, start_s=np.nan, run_s=np.nan, state="REJECTED", user=list("abcdefgh"), account=list("aabbccdd"))
    page = read(write_report(write_run(tmp_path / "run", jobs, 64, shares=dict.fromkeys("abcd", 0.25))))
    assert list(page.charts) == ["load"]
    assert re.search(r"none killed at their limit ?, 8 turned away", page.text)
    assert "No measured job started." in page.text
    assert "Who got what" not in page.text


def test_shares_that_nobody_set_are_not_called_promises(tmp_path):
    jobs = table(60, account=["a", "b", "c"] * 20)
    policy = {"accounts": [{"Account": "a", "Fairshare": 1}]}
    shares = dict.fromkeys("abc", 1 / 3)
    told = {
        name: read(write_report(write_run(tmp_path / name, jobs, 64, shares=shares, policy=policy)))
        for name, policy in (("set", policy), ("unset", {"accounts": []}))
    }
    assert "The policy sets no shares" in told["unset"].text
    assert "The policy sets no shares" not in told["set"].text
    tiles = {name: [attrs for tag, attrs in page.tags if attrs.get("class") == "tile"] for name, page in told.items()}
    assert len(tiles["set"]) == len(tiles["unset"]) + 1  # a share error of shares nobody set is no headline
    assert "errors" in told["set"].charts
    assert "errors" not in told["unset"].charts
    assert "Share error, whole window" in told["set"].text
    assert "Share error, whole window" not in told["unset"].text


@given(
    st.permutations(list("abcdefghijkl")), st.permutations(list("abcdefghijkl")), st.integers(0, 8), st.integers(0, 8)
)
def test_who_has_a_colour_keeps_it_and_no_two_share_one(first, second, m, n):
    taken = charts.hues(first[:m], {})
    found = charts.hues(second[:n], taken)
    assert list(found) == second[:n]
    assert len(set(found.values())) == n
    assert all(0 <= hue < charts.HUES for hue in found.values())
    assert all(found[name] == hue for name, hue in taken.items() if name in found)
    new = [hue for name, hue in found.items() if name not in taken]
    unused = set(range(charts.HUES)) - set(taken.values())
    assert len(unused & set(new)) == min(len(unused), len(new))  # a colour that nobody has comes first


def test_an_account_has_one_colour_in_all_pictures(tmp_path):
    jobs = table(400, account=["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] * 40)
    page = read(write_report(write_run(tmp_path / "run", jobs, 64, shares=dict.fromkeys("abcdefghij", 0.1))))
    lines = {group["name"]: group["hue"] for group in page.charts["shares"]["groups"]}
    assert list(lines.values()) == list(range(len(lines)))
    legends = re.findall(r'<i class="g(\d)"></i>([a-j])</li>', (tmp_path / "run" / "report.html").read_text())
    assert len(legends) > 6
    assert all(int(hue) == lines[name] for hue, name in legends if name in lines)


def test_steps_of_the_share_error_last_to_the_end_of_the_window(tmp_path):
    jobs = table(60, account=["a", "b", "c"] * 20)
    run = make_run(jobs, 64, shares={"a": 0.5, "b": 0.3, "c": 0.2})
    chart = read(write_report(run, tmp_path / "r.html")).charts["errors"]
    begin, end = run.window_s
    assert (chart["t"][0], chart["t"][-1]) == (round(begin * 1000), round(end * 1000))
    assert len(chart["t"]) == int(np.ceil((end - begin) / 86400)) + 1
    assert chart["plain"][-1] == chart["plain"][-2]


def test_says_in_plain_words_what_the_longest_waited_for(tmp_path):
    jobs = table(60, reasons=["Resources,Priority", "QuotaCohort", ""] * 20)
    text = read(write_report(write_run(tmp_path / "run", jobs, 64))).text
    for words in ("Resources: not enough processors were free.", "QuotaCohort: the quota of all accounts that lend"):
        assert words in text
    assert "QuotaBudget:" not in text


def test_users_that_waited_most_on_average(tmp_path):
    jobs = table(40, user=["often"] * 20 + ["seldom"] * 5 + ["never"] * 15).sort_values("submit_s")
    wait = jobs["user"].map({"often": 600.0, "seldom": 90_000.0, "never": 0.0})
    text = read(write_report(write_run(tmp_path / "run", jobs.assign(start_s=jobs["submit_s"] + wait), 64))).text
    table_of_users = text.partition("Users with the longest mean wait")[2].partition("Those with under 10 jobs")[0]
    assert "often 10 min" in table_of_users
    assert "seldom" not in table_of_users
    assert "never" not in table_of_users
    assert "5 of them are of user seldom" in text or "15 of them are of user often" in text


# Stretches for the Gantt chart


def test_says_what_was_stopped_and_what_that_cost(tmp_path):
    jobs = pd.DataFrame({"submit_s": 0.0, "start_s": [0.0, 7200.0], "run_s": [3600.0, 10800.0], "procs": [2, 10]})
    folder = write_run(tmp_path / "run", jobs)
    assert "stopped before" not in read(write_report(folder)).text
    stops = pd.DataFrame(
        {
            "job_id": [2, 2, 1],
            "time_s": [1800.0, 5400.0, 3000.0],
            "start_s": [0.0, 3600.0, 1200.0],
            "mode": ["REQUEUE", "REQUEUE", "NODE_FAIL"],
            "reason": ["InCohortReclamation", "InCohortReclamation", ""],
            "lost_core_s": [18000.0, 9000.0, 3600.0],
            "refunded_core_s": [0.0, 4500.0, 0.0],
        }
    )
    stops.to_parquet(folder / "preemptions.parquet")
    words = read(write_report(folder)).text
    assert "preempted and queued again for quota that was lent 2 10.0 7.50 1.25" in words  # 10 x (0.5 + 0.5) h
    assert "lost its node or its center 1 1.00 1.00 0" in words  # 2 x 0.5 h


def test_stretches_are_where_they_say():
    base = pd.DataFrame({"submit_s": np.arange(200) * 3600.0, "start_s": np.arange(200) * 3600.0, "run_s": 600.0})
    busy = pd.DataFrame({"submit_s": [400_000.0], "start_s": [400_000.0], "run_s": [20_000.0], "procs": [90]})
    blocked = pd.DataFrame({"submit_s": [600_000.0], "start_s": [650_000.0], "run_s": [60.0], "procs": [50]})
    run = make_run(pd.concat([base.assign(procs=1), busy, blocked]).sort_values("submit_s", kind="stable"), 100)
    found = {stretch.name: stretch for stretch in choose(run)}
    assert found["Busiest"].from_s < 420_000
    assert found["Busiest"].to_s > 400_000
    assert found["Deepest queue"].from_s < 650_000
    assert found["Deepest queue"].to_s > 600_000
    lengths = {round(stretch.to_s - stretch.from_s) for stretch in found.values()}
    assert len(lengths) == 1
    assert "Most capacity lost" not in found  # the same time as the deepest queue


# Comparisons


def test_a_comparison_says_better_and_worse_in_words(tmp_path):
    slow = table(400)
    quick = slow.assign(start_s=slow["submit_s"])
    runs = [
        load_run(write_run(tmp_path / name, jobs, 64, policy_name=name))
        for name, jobs in (("slow", slow), ("quick", quick))
    ]
    text = read(write_comparison(compare(runs), tmp_path / "a.html")).text
    assert re.search(r"Against slow, quick is clearly better in mean wait", text)
    back = read(write_comparison(compare(runs, baseline=1), tmp_path / "b.html")).text
    assert re.search(r"Against quick, slow is clearly worse in mean wait", back)
    same = read(write_comparison(compare([runs[0], load_run(tmp_path / "slow")]), tmp_path / "c.html")).text
    assert "differs clearly" in same


def test_pictures_of_differences_are_where_the_numbers_are(tmp_path):
    slow = table(400)
    quick = slow.assign(start_s=slow["submit_s"])
    half = slow.assign(start_s=(slow["submit_s"] + slow["start_s"]) / 2)
    runs = [
        load_run(write_run(tmp_path / name, jobs, 64, policy_name=name))
        for name, jobs in (("slow", slow), ("half", half), ("quick", quick))
    ]
    made = compare(runs)
    found = re.findall(
        r'<i style="left:([\d.-]+)%;width:([\d.]+)%"></i><b style="left:([\d.]+)%">',
        write_comparison(made, tmp_path / "c.html").read_text(),
    )
    kinds = len(made.pairs[0].differences)
    half_wait, quick_wait = made.pairs[0].differences[0], made.pairs[1].differences[0]
    widest = max(abs(v) for item in (half_wait, quick_wait) for v in (item.low, item.high))
    for item, (left, width, mark) in ((half_wait, found[0]), (quick_wait, found[kinds])):
        ends = [50 + 48 * value / widest for value in (item.low, item.high, item.difference)]
        assert [float(left), float(left) + float(width), float(mark)] == pytest.approx(ends, abs=0.02)
    assert all(0 <= float(left) <= float(mark) <= float(left) + float(width) <= 100 for left, width, mark in found)


def test_jobs_that_started_in_neither_run_are_not_missed(tmp_path):
    jobs = table(40)
    jobs.loc[jobs.index[:5], ["start_s", "run_s"]] = np.nan  # such as those cancelled before their start
    other = jobs.copy()
    other.loc[other.index[5:8], ["start_s", "run_s"]] = np.nan
    runs = [
        load_run(write_run(tmp_path / name, each, 64, policy_name=name))
        for name, each in (("a", jobs), ("same", jobs), ("fewer", other))
    ]
    assert [pair.jobs_left_out for pair in compare(runs).pairs] == [0, 3]


def test_a_comparison_marks_conventions_that_differ(tmp_path):
    runs = [
        load_run(
            write_run(
                tmp_path / over, table(), 64, policy_name=over, conventions={"over_limit": over, "size": "allocated"}
            )
        )
        for over in ("kill", "raise")
    ]
    path = write_comparison(compare(runs), tmp_path / "c.html")
    marked = re.findall(r'<tr class="differs"><th scope="row">([^<]*)', path.read_text())
    assert marked == ["Jobs past their limit"]
    assert "allocated (all runs)" in read(path).text


def test_a_comparison_leaves_out_share_errors_of_shares_that_nobody_set(tmp_path):
    for name, policy, told in (("set", {"accounts": [{"Account": "a"}]}, True), ("unset", {"accounts": []}, False)):
        folders = [tmp_path / f"{name}{k}" for k in range(2)]
        runs = [
            load_run(write_run(folder, table(), 64, policy_name=folder.name, policy=policy, shares={"a": 1.0}))
            for folder in folders
        ]
        text = read(write_comparison(compare(runs), tmp_path / f"{name}.html")).text
        assert ("Share error" in text) == told


def test_three_runs_side_by_side(tmp_path):
    runs = [load_run(write_run(tmp_path / name, table(), 64, policy_name=name)) for name in ("a", "b", "c")]
    page = read(write_comparison(compare(runs), tmp_path / "c.html"))
    assert [line["name"] for line in page.charts["overlay"]["lines"]] == ["a", "b", "c"]
    assert page.text.count("each compared with itself") == 2


# Files and the command


def test_leaves_nothing_half_written(tmp_path):
    folder = write_run(tmp_path / "run", table(), 64)
    with pytest.raises(RunError, match="cannot be written"):
        write_report(folder, tmp_path / "no such folder" / "r.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_report(folder, tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "taken"]


def test_damaged_metrics_are_a_users_error(tmp_path):
    folder = write_run(tmp_path / "run", table(), 64)
    (folder / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="damaged metrics"):
        write_report(folder)


def test_the_command_writes_where_it_says(tmp_path):
    folder = write_run(tmp_path / "run", table(), 64)
    done = CliRunner().invoke(report, [str(folder)])
    assert done.exit_code == 0
    assert done.output == f"Written: {folder / 'report.html'}\n"
    out = tmp_path / "else.html"
    assert CliRunner().invoke(report, [str(folder), "--out", str(out)]).exit_code == 0
    assert out.read_bytes() == (folder / "report.html").read_bytes()


def test_the_command_shows_the_stretch_that_was_asked_for(tmp_path):
    jobs = pd.DataFrame({"submit_s": np.arange(240) * 3600.0, "start_s": np.arange(240) * 3600.0, "run_s": 1800.0})
    dated = write_run(tmp_path / "dated", jobs, 4, origin_ms=1_078_605_840_000, timezone="US/Pacific")  # 6 Mar, 12:44
    words = ["--from", "2004-03-08T12:44", "--to", "2004-03-08T17:44"]
    assert CliRunner().invoke(report, [str(dated), *words]).exit_code == 0
    chosen = "Chosen: as asked for. {}, 5 jobs."  # the hourly jobs 48 to 52
    assert chosen.format("8 Mar 2004, 12:44 to 8 Mar 2004, 17:44") in read(dated / "report.html").text
    plain = write_run(tmp_path / "plain", jobs, 4)
    assert CliRunner().invoke(report, [str(plain), "--from", "2-00:00:00", "--to", "2-05:00:00"]).exit_code == 0
    assert chosen.format("day 3, 00:00 to day 3, 05:00") in read(plain / "report.html").text
    for wrong, said in (
        (["--from", "2004-03-08", "--to", "2004-03-09"], "no dates"),
        (["--from", "1-0"], "go together"),
        (["--from", "soon", "--to", "1-0"], "neither a date"),
        (["--from", "2-0", "--to", "1-0"], "no time of this run"),
        (["--from", "900-0", "--to", "901-0"], "no time of this run"),
    ):
        done = CliRunner().invoke(report, [str(plain), *wrong])
        assert done.exit_code == 2
        assert said in " ".join(done.output.replace("│", "").split())


def test_the_command_refuses_what_is_no_run(tmp_path):
    done = CliRunner().invoke(report, [str(tmp_path / "nothing")])
    assert isinstance(done.exception, RunError)


def test_says_how_much_of_a_budget_was_used_and_when_it_was_fullest(tmp_path):
    jobs = pd.DataFrame(
        {"submit_s": 0.0, "start_s": [0.0, 86400.0, 0.0], "run_s": 3600.0, "procs": [5, 8, 1], "account": [*"aab"]}
    )
    accounts = [{"Account": name, "Budget": f"cpu={n}", "BudgetDays": 1} for name, n in (("a", 10), ("b", 4))]
    folder = write_run(tmp_path / "run", jobs, policy={"accounts": accounts}, measure_window_s=[0.0, 2 * 86400.0])
    words = read(write_report(folder)).text
    assert "a 10.0 core-h 2 13.0 core-h day 2 to day 3 10.0 core-h 80.0 % 0" in words
    assert "b 4.00 core-h 2 1.00 core-h day 1 to day 2 4.00 core-h 25.0 % 0" in words
    assert "held by a budget" not in read(write_report(write_run(tmp_path / "none", jobs))).text
