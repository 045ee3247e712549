"""Comparisons of runs: pairing, intervals, and the command."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from apportion.cli.compare import compare as command
from apportion.core.errors import RunError
from apportion.metrics.bootstrap import Bootstrap, block_edges, block_of, draws
from apportion.metrics.compare import compare
from runs import make_run, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from apportion.metrics.run import Run

DAY = 86400.0


def table(waits: np.ndarray, n_days: int = 20, per_day: int = 30) -> pd.DataFrame:
    n = n_days * per_day
    submit = np.arange(n) * (DAY / per_day)
    return pd.DataFrame(
        {
            "submit_s": submit,
            "start_s": submit + waits,
            "run_s": np.full(n, 600.0),
            "procs": 1 + np.arange(n) % 3,
            "user": [f"u{i % 5}" for i in range(n)],
            "account": [f"a{i % 5 // 3}" for i in range(n)],
        }
    )


def waits(seed: int, n: int = 600) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1000.0, n).round()


def difference(runs: list[Run], key: str, **how: object) -> object:
    comparison = compare(runs, **how)  # type: ignore[arg-type]
    return next(item for item in comparison.pairs[0].differences if item.key == key)


def test_a_run_against_itself_differs_in_nothing() -> None:
    run = make_run(table(waits(1)))
    for item in compare([run, run]).pairs[0].differences:
        assert item.difference == item.low == item.high == 0.0
        assert not item.clear


def test_a_constant_change_has_no_uncertainty_when_paired() -> None:
    """Each job waits 50 s longer: pairing removes all noise, comparing unpaired keeps it."""
    before, after = waits(1), waits(1) + 50
    runs = [make_run(table(before), policy_name="a"), make_run(table(after), policy_name="b")]
    paired = difference(runs, "service.wait_s.mean")
    assert paired.difference == pytest.approx(50)
    assert paired.low == pytest.approx(50)
    assert paired.high == pytest.approx(50)
    assert paired.clear
    assert not paired.better
    loose = difference(runs, "service.wait_s.mean", paired=False)
    assert loose.difference == pytest.approx(50)
    assert loose.low < 0 < loose.high


def test_interval_agrees_with_a_plain_bootstrap_over_days() -> None:
    before, after = waits(2), waits(3)
    found = difference([make_run(table(before)), make_run(table(after))], "service.wait_s.mean")
    change = (after - before).reshape(-1, 30)
    generator = np.random.default_rng(5)
    plain = [change[generator.integers(0, len(change), len(change))].mean() for _ in range(4000)]
    low, high = np.quantile(plain, [0.025, 0.975])
    assert found.difference == pytest.approx((after - before).mean())
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Days share a level of their own, so resampling jobs would cover far too seldom."""
    hits = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        shift = np.repeat(generator.normal(0.0, 200.0, 40), 30)
        base = np.full(1200, 2000.0)
        runs = [make_run(table(base, 40)), make_run(table(base + shift, 40))]
        found = difference(runs, "service.wait_s.mean", bootstrap=Bootstrap(replicates=200))
        hits += found.low <= 0.0 <= found.high
    assert hits >= 34  # 85 % of 40; a right 95 % interval falls below with probability 0.003


def test_who_gains_and_who_loses() -> None:
    change = np.where(np.arange(600) % 5 == 0, 300.0, -100.0)
    before = waits(4) + 200
    runs = [make_run(table(before)), make_run(table(before + change))]
    users = compare(runs).pairs[0].groups["user"].set_index("group")
    assert users.index[0] == "u0"
    assert users.loc["u0", "difference_s"] == pytest.approx(300)
    assert users.loc["u1", "difference_s"] == pytest.approx(-100)
    assert users.loc["u0", "total_difference_h"] == pytest.approx(300 * 120 / 3600)
    assert users["clear"].all()
    assert users["jobs"].sum() == 600


def test_jobs_are_paired_by_id_not_by_row() -> None:
    jobs = table(waits(6)).assign(job_id=np.arange(600) + 1000)
    run = make_run(jobs)
    fewer = make_run(jobs.drop(index=range(0, 600, 10)), trace={"name": "made", "sha256": "0" * 64})
    pair = compare([run, fewer]).pairs[0]
    assert pair.jobs == 540
    assert pair.jobs_left_out == 60
    assert all(item.difference == pytest.approx(0.0) for item in pair.differences if item.key.startswith("service"))


def test_shares_are_compared_where_there_are_targets() -> None:
    runs = [make_run(table(waits(s)), shares={"a0": 0.5, "a1": 0.5}) for s in (1, 2)]
    keys = [item.key for item in compare(runs).pairs[0].differences]
    assert "fairness.account.share_error_final" in keys
    assert "fairness.user.share_error_final" not in keys


def test_runs_of_different_traces_are_refused_unless_unpaired() -> None:
    runs = [make_run(table(waits(1)), trace={"name": n, "sha256": n * 64}) for n in "ab"]
    with pytest.raises(RunError, match="--unpaired"):
        compare(runs)
    assert compare(runs, paired=False).pairs[0].groups == {}
    nameless = [make_run(table(waits(1), d, p), trace={}) for d, p in ((20, 30), (30, 20))]
    with pytest.raises(RunError, match="another trace"):
        compare(nameless)


def test_nothing_to_compare() -> None:
    run = make_run(table(waits(1)))
    with pytest.raises(RunError, match="at least two"):
        compare([run])
    idle = make_run(table(np.full(600, np.nan)))
    with pytest.raises(RunError, match="no job started"):
        compare([run, idle])


def test_blocks_cover_the_window() -> None:
    edges = block_edges((100.0, 100.0 + 2.4 * DAY), 1.0)
    assert edges.tolist() == [100.0, 100.0 + DAY, 100.0 + 2.4 * DAY]
    assert block_of(np.array([0.0, 100.0, 100.0 + DAY, 1e9]), edges).tolist() == [0, 0, 1, 1]
    assert block_edges((5.0, 5.0), 1.0).tolist() == [5.0, 5.0]
    drawn = draws(7, Bootstrap(replicates=50, seed=3))
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == draws(7, Bootstrap(replicates=50, seed=3))).all()
    assert (drawn != draws(7, Bootstrap(replicates=50, seed=3), stream=1)).any()


def test_command(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / name, table(waits(1) + extra), policy_name=name)
        for name, extra in (("one", 0), ("two", 60))
    ]
    arguments = [str(folder) for folder in folders]
    shown = CliRunner().invoke(command, arguments)
    assert shown.exit_code == 0, shown.output
    assert "two against one" in shown.output
    assert re.search(r"Mean wait .* \+1 min .*\* +\+1 min to \+1 min +worse", shown.output)
    assert "Jobs wait 1 min more on average" in shown.output
    swapped = CliRunner().invoke(command, [*arguments, "--baseline", "two", "--json"])
    assert swapped.exit_code == 0, swapped.output
    data = json.loads(swapped.output)
    assert data["baseline"] == "two"
    mean = data["comparisons"][0]["differences"][0]
    assert mean["key"] == "service.wait_s.mean"
    assert mean["difference"] == pytest.approx(-60)
    assert mean["clear"]
    assert mean["better"]
    wrong = CliRunner().invoke(command, [*arguments, "--baseline", "three"])
    assert wrong.exit_code == 2
