"""The reports in a real browser: everything drawn, nothing complained of, nothing fetched, nothing run that a trace says."""

from __future__ import annotations

import json
import re
from importlib import resources

import numpy as np
import pandas as pd
import pytest

import chromium
from apportion.cli.main import main
from apportion.metrics.compare import compare
from apportion.metrics.report import write_comparison, write_report
from apportion.metrics.run import load_run
from apportion.traces import stats_page
from apportion.traces.synth import lublin
from runs import write_run

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium")

HOSTILE = "</script><script>window.hacked=1</script><img src=http://example.invalid/x onerror=window.hacked=1>"


def jobs(delay: float) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 400
    submit = np.sort(rng.integers(0, 20 * 86400, n)).astype(float)
    return pd.DataFrame(
        {
            "submit_s": submit,
            "start_s": submit + rng.exponential(delay, n).round() * (rng.random(n) < 0.7),
            "run_s": rng.integers(1, 40_000, n).astype(float),
            "procs": rng.integers(1, 40, n),
            "user": rng.choice(["ann", "ben", HOSTILE], n),
            "account": rng.choice(["a&b", HOSTILE, "x"], n),
        }
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    root = tmp_path_factory.mktemp("reports")
    shares = {"a&b": 0.5, HOSTILE: 0.2, "x": 0.3}
    runs = [
        load_run(write_run(root / name, jobs(delay), 400, policy_name=name, shares=shares, origin_ms=1_078_605_840_000))
        for name, delay in (("slow", 20_000.0), ("quick", 900.0))
    ]
    write_comparison(compare(runs), root / "comparison.html")
    return {"run": write_report(runs[0]), "comparison": root / "comparison.html"}


@pytest.fixture
def page(tmp_path):
    made = chromium.Page(tmp_path / "profile")
    yield made
    made.close()


CHARTS = {"run": ["errors", "load", "shares", "waits"], "comparison": ["overlay", "waits_of_runs"]}


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_draws_everything_without_a_word_and_without_the_network(page, reports, kind):
    page.load(reports[kind])
    drawn = page.run(
        "Object.fromEntries([...document.querySelectorAll('[data-chart]')].map(el =>"
        " [el.dataset.chart, [...el.querySelectorAll('svg path')].filter(p => (p.getAttribute('d') || '').length > 200).length]))"
    )
    assert sorted(drawn) == CHARTS[kind]
    assert min(drawn.values()) > 0
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.run("window.hacked === undefined && document.querySelectorAll('img').length === 0")
    assert page.told("Runtime.exceptionThrown") == []
    assert page.told("Runtime.consoleAPICalled") == []
    assert page.told("Log.entryAdded") == []
    asked = {event["request"]["url"] for event in page.told("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {reports[kind].as_uri()}


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """The small preset with a quota and an ample budget for the users of each center."""
    root = tmp_path_factory.mktemp("federation")
    text = resources.files("apportion.sim.scenario.presets").joinpath("three-small.toml").read_text()
    quotas = "".join(
        f'[[broker.Policy.accounts]]\nAccount = "{name}"\nCohort = "all"\nNominalQuota = "cpu={procs}"\nBudget = "cpu=1000000"\n'
        for name, procs in (("West", 160), ("North", 48), ("South", 96))
    )
    whole = text.replace('Policy = "multifactor"\n', "") + f'\n[broker.Policy]\nOrder = "multifactor"\n\n{quotas}'
    (root / "quotas.toml").write_text(whole)
    with pytest.raises(SystemExit) as stopped:
        main(["replay", "--scenario", str(root / "quotas.toml"), "--out", str(root / "run")])
    assert stopped.value.code == 0
    return root / "run" / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_federation_is_drawn_whole_in_one_colour_for_a_center(page, federation, width):
    page.load(federation, width=width)
    assert page.told("Runtime.exceptionThrown") == page.told("Log.entryAdded") == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    cut = "[...document.querySelectorAll('.scroll')].filter(el => el.scrollWidth > el.clientWidth + 1).map(el => el.ariaLabel)"
    assert page.run(cut) == [] or width < 1280
    drawn = page.run(
        "Object.fromEntries([...document.querySelectorAll('[data-chart]')].map(el => [el.dataset.chart, [...new Set("
        "[...el.querySelectorAll('svg path')].map(p => p.getAttribute('stroke')).filter(s => s && s.startsWith('rgb')))]]))"
    )
    assert sorted(drawn) == ["balance", "budgets", "centers", "overlay", "quotas", "shares", "waits_of_runs"]
    told = json.loads(page.run("document.getElementById('charts').textContent"))
    order = [line["name"] for line in told["centers"]["lines"]]
    for chart in ("quotas", "budgets"):
        assert {line["name"]: line["hue"] for line in told[chart]["lines"]} == {name: i for i, name in enumerate(order)}
    hues = set(
        page.run(
            "[0, 1, 2].map(i => { const el = document.body.appendChild(document.createElement('i'));"
            " el.style.color = `var(--c${i})`; const found = getComputedStyle(el).color; el.remove(); return found; })"
        )
    )
    assert len(hues) == 3
    assert all(hues <= set(drawn[name]) for name in ("balance", "budgets", "centers", "quotas"))


def few(n, **columns):
    made = {"submit_s": np.arange(n) * 900.0, "start_s": np.arange(n) * 900.0, "run_s": 600.0, "procs": 2}
    made |= {"user": [f"u{i % 2}" for i in range(n)], "account": [f"a{i % 2}" for i in range(n)]}
    return pd.DataFrame(made | columns)


ODD = {
    "three jobs": few(3),
    "nothing waits": few(200),
    "all turned away": few(30, start_s=np.nan, run_s=np.nan, state="REJECTED"),
}


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", ODD)
def test_odd_runs_are_drawn_without_overflow_and_with_times_that_can_be_read(page, tmp_path, name, width):
    folder = write_run(tmp_path / "run", ODD[name], 8, shares={"a0": 0.5, "a1": 0.5})
    page.load(write_report(folder), width=width)
    assert page.told("Runtime.exceptionThrown") == page.told("Log.entryAdded") == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    labels = page.run("[...document.querySelectorAll('[data-chart=load] text')].map(text => text.textContent)")
    times = [label for label in labels if "day" in label or ":" in label]
    assert len(times) > 1
    assert all(re.fullmatch(r"day \d+|\d\d:\d\d(:\d\d)?", time) for time in times)
    empty = "[...document.querySelectorAll('[data-chart]')].filter(el => !el.querySelector('svg path')).length"
    assert page.run(empty) == 0


def test_turns_dark_and_light_again(page, reports):
    page.load(reports["run"])
    look = "[getComputedStyle(document.body).backgroundColor, document.querySelector('[data-chart=load]').innerHTML]"
    before = page.run(look)
    page.run("document.getElementById('theme').click()")
    dark = page.run(look)
    assert before[0] != dark[0]
    assert before[1] != dark[1]  # the charts are drawn again in the other colours
    assert page.run("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    page.run("document.getElementById('theme').click()")
    assert page.run(look)[0] == before[0]


def test_sorts_a_table_by_a_column(page, reports):
    page.load(reports["run"])
    column = "[...document.querySelector('#longest table').tBodies[0].rows].map(row => +row.cells[0].dataset.v)"
    page.run("document.querySelector('#longest th button').click()")
    falling = page.run(column)
    assert falling == sorted(falling, reverse=True)
    page.run("document.querySelector('#longest th button').click()")
    assert page.run(column) == falling[::-1]


def test_shows_another_stretch_of_the_schedule(page, reports):
    page.load(reports["run"])
    shown = "[...document.querySelectorAll('.pane')].map(el => getComputedStyle(el).display !== 'none')"
    assert page.run(shown)[:2] == [True, False]
    page.run("document.querySelector('label[for=pane1]').click()")
    assert page.run(shown)[:2] == [False, True]


def test_a_run_has_the_colour_of_its_lines_wherever_it_is_named(page, reports):
    page.load(reports["comparison"])
    named = page.run(
        "[...document.querySelectorAll('.run')].map(el => [el.textContent, getComputedStyle(el).borderBottomColor])"
    )
    colours = {name: {shown for other, shown in named if other == name} for name in ("slow", "quick")}
    assert [len(each) for each in colours.values()] == [1, 1]
    legend = page.run(
        "Object.fromEntries([...document.querySelectorAll('[data-chart=overlay] svg path')].map(el =>"
        " [getComputedStyle(el).stroke, true]))"
    )
    assert len(set.union(*colours.values())) == 2
    assert set.union(*colours.values()) <= set(legend)


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_no_table_is_cut_off_on_a_wide_screen(page, reports, kind):
    page.load(reports[kind], width=1280)
    page.run("document.querySelectorAll('details').forEach(el => { el.open = true; })")
    cut = (
        "[...document.querySelectorAll('.scroll')].filter(el => !el.closest('#longest')"  # it has two of the longest names in a row
        " && el.scrollWidth > el.clientWidth + 1).map(el => el.ariaLabel)"
    )
    assert page.run(cut) == []


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_fits_a_phone(page, reports, kind):
    page.load(reports[kind], width=390)
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_the_statistics_of_a_trace_fit_a_phone_whatever_address_is_thanked(page, tmp_path):
    made = lublin(300, 1, procs=64, load=1.0, users=5, accounts=2)
    target = tmp_path / "stats.html"
    target.write_text(stats_page.page(made, acknowledge=f"https://example.invalid/{'workload/' * 12}index.html"))
    page.load(target, width=390)
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_reads_without_script(page, reports):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.load(reports["run"])
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    seen = page.run("document.body.innerText")
    assert "Mean wait" in seen
    assert "Who waited most" in seen
    assert page.run("document.querySelector('.chart').offsetHeight") == 0
    assert page.run("document.querySelector('.pane0 svg.bars').getBoundingClientRect().height") > 100
