"""Metrics worked out by hand on small runs, and measured by other simulators on a real trace."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from apportion.core.errors import RunError
from apportion.metrics.compute import compute
from apportion.metrics.fair_start import fair_start, fair_start_times
from apportion.metrics.fairness import nuwt, service_rate, share_error, usage_per_share
from apportion.metrics.gantt import gantt
from apportion.metrics.glossary import GLOSSARY, flatten, meaning
from apportion.metrics.occupancy import sweep
from apportion.metrics.run import Run, load_run, run_class_names, size_class_names
from apportion.metrics.series import (
    longest_waits,
    per_group,
    share_over_time,
    slowdown_heatmap,
    timeline,
    wait_histogram,
)
from apportion.metrics.service import bounded_slowdown, per_processor_bounded_slowdown, per_processor_slowdown, slowdown
from apportion.metrics.starvation import starvation
from runs import make_run, oracle_run, write_run

H = 3600.0
DAY = 86400.0


@pytest.fixture
def small() -> Run:
    """Ten processors: a and b run, c waits for both, d is backfilled, e is cancelled waiting, f still waits."""
    return make_run(
        pd.DataFrame(
            {
                "user": ["ann", "bob", "ann", "bob", "cyd", "cyd"],
                "account": ["x", "y", "x", "y", "z", "z"],
                "qos": ["normal", "normal", "normal", "debug", "normal", "debug"],
                "submit_s": [0.0, 0.0, 100.0, 100.0, 200.0, 900.0],
                "start_s": [0.0, 0.0, 400.0, 100.0, np.nan, np.nan],
                "run_s": [400.0, 300.0, 600.0, 200.0, np.nan, np.nan],
                "end_s": [400.0, 300.0, 1000.0, 300.0, 600.0, np.nan],
                "procs": [4, 4, 10, 2, 1, 5],
                "state": ["COMPLETED", "TIMEOUT", "COMPLETED", "FAILED", "CANCELLED", "PENDING"],
                "backfilled": [False, False, False, True, False, False],
            }
        ),
        procs=10,
        measure_window_s=[0, 1000],
        shares={"x": 0.5, "y": 0.25, "z": 0.25},
        user_shares={"x/ann": 0.5, "y/bob": 0.25, "z/cyd": 0.25},
        wait_bounds_s={"debug": 50, "normal": 299},
    )


def test_slowdowns_by_hand() -> None:
    wait, run, procs = np.array([90.0, 0.0, 30.0]), np.array([10.0, 0.0, 5.0]), np.array([4.0, 1.0, 1.0])
    assert slowdown(wait, run).tolist()[::2] == [10.0, 7.0]
    assert math.isnan(slowdown(wait, run)[1])
    assert bounded_slowdown(wait, run).tolist() == [10.0, 1.0, 3.5]
    assert per_processor_slowdown(wait, run, procs).tolist()[::2] == [2.5, 7.0]
    assert per_processor_bounded_slowdown(wait, run, procs).tolist() == [2.5, 1.0, 3.5]


def test_service_by_hand(small: Run) -> None:
    found = compute(small)["service"]
    assert found["wait_s"]["mean"] == 75.0  # 0, 0, 300, 0
    assert found["wait_s"]["max"] == 300.0
    assert found["wait_s"]["area_weighted_mean"] == pytest.approx(300 * 6000 / (1600 + 1200 + 6000 + 400))
    assert found["wait_s"]["std"] == pytest.approx(math.sqrt(3 * 75**2 + 225**2) / 2)
    assert found["response_s"]["mean"] == pytest.approx((400 + 300 + 900 + 200) / 4)
    # in the queue: c 300 s, e 400 s, f from 900 to the window's end
    assert found["queue_jobs"] == {"mean": pytest.approx(0.8), "max": 2.0}
    assert found["queue_procs"] == {"mean": pytest.approx((10 * 300 + 400 + 5 * 100) / 1000), "max": 11.0}
    assert found["throughput_jobs_per_h"] == pytest.approx(4 * 3.6)
    assert found["makespan_s"] == 1000.0
    assert found["backfilled_fraction"] == 0.25


def test_utilization_by_hand(small: Run) -> None:
    found = compute(small)["utilization"]
    assert found["capacity_core_h"] == pytest.approx(10_000 / H)
    assert found["used_fraction"] == pytest.approx(0.92)
    # idle 2 from 0 to 100 with nobody waiting; 0 to 300; 6 from 300 to 400 while 11 wait; 0 after
    assert found["loss_of_capacity_fraction"] == pytest.approx(600 / 10_000)
    assert found["useful_core_h"] == pytest.approx(7600 / H)
    assert found["killed_core_h"] == pytest.approx(1200 / H)
    assert found["lost_core_h"] == pytest.approx(400 / H)
    assert found["unfinished_core_h"] == 0.0


def test_capacity_counts_what_was_really_there(small: Run) -> None:
    manifest = small.manifest | {"capacity_steps": [[0, "p", 10], [500, "p", 5], [750, "p", 10]]}
    found = compute(Run(small.jobs, manifest, small.folder))["utilization"]
    assert found["capacity_core_h"] == pytest.approx((10_000 - 5 * 250) / H)
    assert found["used_fraction"] == pytest.approx(9200 / 8750)


def test_each_pool_loses_its_own_capacity() -> None:
    """Idle processors of one pool are no loss while only jobs of the other wait."""
    jobs = pd.DataFrame(
        {
            "submit_s": [0.0, 0.0],
            "start_s": [0.0, 100.0],
            "run_s": [100.0, 100.0],
            "procs": [4, 4],
            "partition": ["p", "p"],
        }
    )
    steps = [[0, "p", 4], [0, "q", 4]]
    apart = make_run(jobs, capacity_steps=steps)
    assert compute(apart)["utilization"]["loss_of_capacity_fraction"] == 0.0
    together = make_run(jobs, capacity_steps=[[0, "all", 8]])
    assert compute(together)["utilization"]["loss_of_capacity_fraction"] == pytest.approx(400 / 1600)


def test_service_rate_and_nuwt_by_hand(small: Run) -> None:
    rate, names = service_rate(small, "user")
    assert names == ["ann", "bob"]
    assert rate.tolist() == pytest.approx([7600 / (7600 + 10 * 300), 1.0])
    assert nuwt(small).tolist() == pytest.approx([300 / 7600, 0.0])
    found = compute(small)["fairness"]["nuwt"]
    spread = 300 / 7600 / 2
    assert found["sum_of_squares"] == pytest.approx(2 * spread**2)


def test_share_error_by_hand(small: Run) -> None:
    usage = usage_per_share(small, "account")
    assert usage is not None
    assert usage.tolist() == pytest.approx([7600 / 0.5, 1600 / 0.25, 0.0])  # z asked but got nothing
    received = np.array([7600, 1600, 0]) / 9200
    error = np.abs(np.array([0.5, 0.25, 0.25]) - received).sum() / 2
    found = share_error(small, "account")
    assert found == pytest.approx(dict.fromkeys(found, error))  # one day, all had demand


def test_share_error_sees_days_and_demand() -> None:
    """Two accounts take a day each: right on the whole, wrong every day, not to blame where one asks for nothing."""
    jobs = pd.DataFrame(
        {"account": ["x", "y"], "submit_s": [0.0, DAY], "start_s": [0.0, DAY], "run_s": [DAY, DAY], "procs": [5, 5]}
    )
    found = share_error(make_run(jobs, 5, shares={"x": 1, "y": 1}, measure_window_s=[0, 2 * DAY]), "account")
    assert found["share_error_mean"] == pytest.approx(0.5)
    assert found["share_error_demand_mean"] == pytest.approx(0.0)
    assert found["share_error_final"] == pytest.approx(0.0)


def test_starvation_counts_those_still_waiting(small: Run) -> None:
    found = starvation(small)
    assert found["longest_wait_s"] == 300.0
    assert found["longest_wait_job"] == 3
    assert found["still_waiting_jobs"] == 1
    assert found["over_wait_bound_jobs"] == 2  # c waited 300 s under a bound of 299, f waits 100 s under one of 50
    assert found["qos"]["debug"] == {"jobs": 2, "longest_wait_s": 100.0, "wait_p99_s": pytest.approx(99.0)}


def test_fair_start_by_hand() -> None:
    """A narrow late job passes a wide early one and delays it by 50 s."""
    jobs = pd.DataFrame(
        {
            "submit_s": [0.0, 10.0, 20.0],
            "start_s": [0.0, 150.0, 20.0],
            "run_s": [100.0, 100.0, 130.0],
            "procs": [6, 10, 4],
        }
    )
    run = make_run(jobs, 10)
    found = fair_start(run)
    for plan in ("arrival_order", "conservative"):
        assert fair_start_times(run, plan).tolist() == [0.0, 100.0, 200.0]
        assert found[plan]["sampled_fraction"] == 1.0
        assert found[plan]["unfair_fraction"] == pytest.approx(1 / 3)
        assert found[plan]["mean_unfairness_s"] == pytest.approx(50 / 3)
        assert found[plan]["mean_of_unfair_s"] == 50.0


def test_fair_start_sample_is_bounded_and_repeats() -> None:
    n = 2000
    jobs = pd.DataFrame(
        {
            "submit_s": np.zeros(n),
            "start_s": np.arange(n, dtype=float),
            "run_s": np.ones(n),
            "procs": np.ones(n, dtype=int),
        }
    )
    run = make_run(jobs, 1)
    for plan, budget in (("arrival_order", 1_000_000), ("conservative", 100_000_000)):
        first = fair_start_times(run, plan, seed=7, budget=budget)
        assert 20 <= len(first) < n
        pd.testing.assert_series_equal(first, fair_start_times(run, plan, seed=7, budget=budget))
        assert (first.to_numpy() == run.start_s[first.index]).all()
        other = fair_start_times(run, plan, seed=8, budget=budget)
        assert list(other.index) != list(first.index)
    nothing = fair_start(run, budget=10_000)["conservative"]
    assert nothing["sampled_jobs"] == 0
    assert math.isnan(nothing["unfair_fraction"])


def test_warm_up_and_cool_down_are_left_out(small: Run) -> None:
    run = Run(small.jobs, small.manifest | {"measure_window_s": [50, 500]}, small.folder)
    found = compute(run)
    assert found["jobs"]["measured"] == 3  # c, d and e
    assert found["service"]["wait_s"]["mean"] == 150.0
    used = 8 * 50 + 10 * 200 + 4 * 100 + 10 * 100
    assert found["utilization"]["used_fraction"] == pytest.approx(used / 4500)


def test_a_run_without_jobs_has_metrics_of_none() -> None:
    found = compute(make_run(pd.DataFrame({"submit_s": [], "start_s": [], "run_s": [], "procs": []})))
    assert found["jobs"]["total"] == 0
    assert found["service"]["wait_s"]["mean"] is None
    assert found["utilization"]["used_fraction"] is None
    assert found["starvation"]["longest_wait_job"] is None


def test_every_key_has_a_meaning_and_every_meaning_a_key(small: Run) -> None:
    keys = list(flatten(compute(small)))
    for key in keys:
        said = meaning(key)
        assert said.text.endswith(".")
        assert len(said.text.split()) > 3, key
        assert said.formula, key
    units = {"_s": "s", "_core_h": "core-h", "_jobs": "jobs", "_per_h": "jobs/h"}
    for key in keys:
        for ending, unit in units.items():
            if key.endswith(ending) or (ending == "_s" and "_s." in key):
                assert meaning(key).unit == unit, key
    always = {key for key in GLOSSARY if not key.startswith("stops.")}  # those are there where jobs may be stopped
    patterns = {key for key in always if "*" not in key}
    assert patterns == {key for key in keys if key in GLOSSARY}
    for pattern in always - patterns:
        head, tail = pattern.split("*")
        assert any(key.startswith(head) and key.endswith(tail) for key in keys)
    with pytest.raises(KeyError):
        meaning("service.wait_s.mode")


def test_metrics_survive_json(small: Run) -> None:
    metrics = compute(small)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_timeline_by_hand(small: Run) -> None:
    table = timeline(small, bins=4)
    assert table["t_s"].tolist() == [0.0, 250.0, 500.0, 750.0]
    assert table["capacity_procs"].tolist() == [10.0] * 4
    assert table["used_procs"].tolist() == pytest.approx(
        [(8 * 250 + 2 * 150) / 250, (500 + 400 + 1000) / 250, 10.0, 10.0]
    )
    assert table["queued_jobs"].tolist() == pytest.approx([(150 + 50) / 250, (150 + 250) / 250, 100 / 250, 100 / 250])


def test_wait_histogram_counts_each_job_once(small: Run) -> None:
    table = wait_histogram(small)
    assert table["jobs"].sum() == 4
    assert table.loc[0, "jobs"] == 3
    last = table.iloc[-1]
    assert last["from_s"] <= 300 < last["to_s"]
    assert last["jobs"] == 1
    assert table["core_h"].sum() == pytest.approx(9200 / H)


def test_heatmap_and_classes(small: Run) -> None:
    table = slowdown_heatmap(small)
    assert table["jobs"].sum() == 4
    row = table[(table["size_class"] == "5-16") & (table["run_class"] == "10 min - 1 h")].iloc[0]
    assert row["mean_bounded_slowdown"] == pytest.approx(900 / 600)
    assert size_class_names()[:3] == ["1", "2-4", "5-16"]
    assert run_class_names()[0] == "< 1 min"
    assert small.codes("size_class")[1] == ["1", "2-4", "5-16"]


def test_per_group_and_share_over_time(small: Run) -> None:
    table = per_group(small, "account").set_index("group")
    assert list(table.index) == ["x", "y", "z"]
    assert table.loc["x", "received_share"] == pytest.approx(7600 / 9200)
    assert table.loc["x", "share_error"] == pytest.approx(0.5 - 7600 / 9200)
    assert table.loc["x", "mean_wait_s"] == 150.0
    assert table.loc["z", "jobs"] == 2
    assert math.isnan(table.loc["z", "mean_wait_s"])
    shares = share_over_time(small, "account", bins=10, top=1)
    assert shares["group"].unique().tolist() == ["x", "(others)"]
    last = shares[shares["group"] == "x"].iloc[-1]
    assert last["received_so_far"] == pytest.approx(7600 / 9200)
    assert last["target"] == 0.5
    assert last["entitled"] == pytest.approx(0.5 / 0.75)  # only x runs and z waits in the last tenth


def test_longest_waits(small: Run) -> None:
    table = longest_waits(small, n=2)
    assert table["job_id"].tolist() == [3, 6]
    assert table["wait_s"].tolist() == [300.0, 100.0]


def test_gantt_cuts_a_window_and_says_what_is_missing(small: Run) -> None:
    table = gantt(small, 0, 350, limit=2)
    assert table.attrs["jobs_left_out"] == 1
    assert table["job_id"].tolist() == [1, 2]
    assert table[["lane", "lanes"]].to_numpy().tolist() == [[0, 4], [4, 4]]
    assert gantt(small, 2000, 3000).empty


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "manifest.json").unlink(), "not a run folder: there is no manifest.json"),
        (lambda f: (f / "jobs.parquet").unlink(), "there is no jobs.parquet"),
        (lambda f: (f / "manifest.json").write_text('{"a":\n}'), "damaged manifest"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda f: (f / "manifest.json").write_text("[]"), "not a JSON object"),
        (lambda f: (f / "manifest.json").write_text('{"measure_window_s": [2, 1]}'), "measure_window_s"),
        (lambda f: (f / "manifest.json").write_text('{"capacity_steps": [[0, 5]]}'), "capacity_steps"),
        (lambda f: (f / "manifest.json").write_text('{"shares": {"a": "b"}}'), "shares"),
        (lambda f: (f / "jobs.parquet").write_bytes(b"PAR1 not really"), "damaged jobs table"),
        (lambda f: (f / "jobs.parquet").write_bytes((f / "jobs.parquet").read_bytes()[:-500]), "damaged jobs table"),
        (lambda f: _without(f, "wait_s"), "no column wait_s"),
        (lambda f: _as_text(f, "procs"), "column procs holds no numbers"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(tmp_path: Path, small: Run, break_it: object, words: str) -> None:
    folder = write_run(tmp_path / "run", small.jobs)
    assert len(load_run(folder).jobs) == 6
    break_it(folder)  # type: ignore[operator]
    with pytest.raises(RunError, match=words) as error:
        load_run(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        load_run(tmp_path / "nowhere")


def _without(folder: Path, column: str) -> None:
    pd.read_parquet(folder / "jobs.parquet").drop(columns=column).to_parquet(folder / "jobs.parquet")


def _as_text(folder: Path, column: str) -> None:
    table = pd.read_parquet(folder / "jobs.parquet")
    table.assign(**{column: table[column].astype(str)}).to_parquet(folder / "jobs.parquet")


def oracles() -> Path:
    first = os.environ.get("APPORTION_TRACES", "").split(os.pathsep)[0]
    folder = Path(first).parent / "oracles"
    if not first or not folder.is_dir():
        pytest.skip("known schedules are not at hand (APPORTION_TRACES)")
    return folder


@pytest.mark.parametrize(
    ("schedule", "wait", "slow", "used"),
    [("kth.fcfs", 354_002.3, 6_818.59, 0.6870), ("kth.easy-batch", 6_887.7, 92.79, 0.6874)],
)
def test_what_other_simulators_measured_on_kth(
    tmp_path: Path, schedule: str, wait: float, slow: float, used: float
) -> None:
    """Mean wait, bounded slowdown and utilization as several simulators and a C program agree on them."""
    run = load_run(oracle_run(tmp_path / "run", oracles() / f"{schedule}.csv.gz"))
    found = compute(run)
    assert round(found["service"]["wait_s"]["mean"], 1) == wait
    assert round(found["service"]["bounded_slowdown"]["mean"], 2) == slow
    assert round(found["utilization"]["used_fraction"], 4) == used
    if schedule == "kth.fcfs":
        assert found["fairness"]["fair_start_sample"]["arrival_order"]["unfair_fraction"] == 0.0
    states = sweep(run)
    # by Little's law the mean queue is the arrival rate times the mean wait
    little = found["service"]["wait_s"]["mean"] * len(run.jobs) / (run.window_s[1] - run.window_s[0])
    assert found["service"]["queue_jobs"]["mean"] == pytest.approx(little)
    assert states.used_procs.max() <= 100
