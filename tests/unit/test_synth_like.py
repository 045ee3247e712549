"""The measures of likeness against independent ones, and the likeness of real traces where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from apportion.core.errors import TraceError
from apportion.traces.synth import like, lublin
from apportion.traces.synth.likeness import (
    Jobs,
    autocorrelation,
    comparable,
    hourly_load,
    ks_distance,
    measure,
    rank_correlation,
    repeats,
)
from apportion.traces.synth.population import zipf_exponent
from oracles.synthetic import load_by_hour

FOLDERS = [Path(folder) for folder in os.environ.get("APPORTION_TRACES", "").split(os.pathsep) if folder]


def real(name):
    found = [path for folder in FOLDERS for path in sorted(folder.glob(f"{name}*.swf.gz"))]
    if not found:
        pytest.skip(f"{name} is not in APPORTION_TRACES")
    from apportion.traces import read

    return read(found[0])


@pytest.fixture(scope="module")
def source():
    return lublin(8000, 1, load=0.7, session_jobs=6, users=40, accounts=5)


def test_ks_distance_is_scipys():
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.integers(0, 30, rng.integers(1, 80)), rng.integers(3, 40, rng.integers(1, 80))
        assert ks_distance(one, other) == pytest.approx(stats.ks_2samp(one, other).statistic)
    assert np.isnan(ks_distance(one, one[:0]))


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 9, 200), rng.integers(0, 9, 200)
    assert rank_correlation(one, one * 2 + other) == pytest.approx(stats.spearmanr(one, one * 2 + other).statistic)


def test_autocorrelation_of_known_series():
    wave = np.sin(np.arange(24 * 50) * 2 * np.pi / 24)
    assert autocorrelation(wave, 24) == pytest.approx(1 - 1 / 50, abs=1e-6)
    assert autocorrelation(wave, 12) == pytest.approx(-(1 - 0.5 / 50), abs=1e-6)
    assert np.isnan(autocorrelation(wave[:30], 24))
    assert np.isnan(autocorrelation(np.ones(100), 1))


def test_hourly_load_is_the_naive_sum():
    rng = np.random.default_rng(2)
    submit = np.sort(rng.integers(5_000_000, 90_000_000, 60))
    run, procs = rng.integers(0, 30_000_000, 60), rng.integers(1, 9, 60)
    jobs = Jobs(submit, run, procs, run, procs)
    expected = load_by_hour(list(zip(submit.tolist(), run.tolist(), procs.tolist(), strict=True)))
    np.testing.assert_allclose(hourly_load(jobs), expected, atol=1e-9)


def test_repeats_counts_a_users_own_neighbours():
    user, procs, limit = np.array([0, 1, 0, 1, 0, 1]), np.array([4, 4, 4, 8, 2, 8]), np.array([5, 5, 5, 5, 5, 5])
    assert repeats(Jobs(user, user, procs, limit, user)) == pytest.approx(2 / 4)


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.7])
def test_zipf_exponent_is_found_again(exponent):
    ranks = np.arange(1, 101, dtype=float)
    counts = np.rint(1e7 * ranks**-exponent / (ranks**-exponent).sum()).astype(int)
    assert zipf_exponent(np.random.default_rng(1).permutation(counts)) == pytest.approx(exponent, abs=0.01)
    assert np.isnan(zipf_exponent(np.array([5])))


def test_a_trace_is_like_itself(source):
    report = measure(source, source)
    assert set(report.ks.values()) == {0.0}
    assert report.offered_load.source == pytest.approx(0.7, rel=0.001)
    assert report.offered_load.source == report.offered_load.synthetic


def test_the_report_is_plain_data_and_a_table(source):
    synthetic, report = like(source, None, 3)
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["jobs"] == {"source": 8000, "synthetic": 8000}
    assert set(plain["load_autocorrelation"]) == {"1h", "6h", "1d", "1w"}
    table = report.table()
    assert "load autocorrelation 1w" in table
    assert max(len(line) for line in table.splitlines()) <= 80
    assert json.loads(json.dumps(measure(source, synthetic).to_json())) == plain


def test_it_is_another_trace_with_new_names(source):
    synthetic, _ = like(source, None, 3)
    assert set(synthetic.jobs["user"].cat.categories) <= {f"u{number:02d}" for number in range(1, 41)}
    assert synthetic.jobs["user"].value_counts().is_monotonic_decreasing  # names follow activity
    rows = ["submit_ms", "run_ms", "procs_req", "limit_ms"]
    shared = source.jobs[rows].merge(synthetic.jobs[rows].drop_duplicates(), on=rows)
    assert len(shared) < 0.01 * len(source)
    assert (synthetic.jobs["run_ms"] <= synthetic.jobs["limit_ms"]).all()
    assert set(synthetic.jobs["limit_ms"]) <= set(source.jobs["limit_ms"])
    other, _ = like(source, None, 4)
    assert not other.jobs["submit_ms"].equals(synthetic.jobs["submit_ms"])


@pytest.mark.parametrize("n_jobs", [10, 3000, 8001, 50_000])
def test_any_number_of_jobs_at_the_same_load(source, n_jobs):
    synthetic, report = like(source, n_jobs, 2)
    assert len(synthetic) == n_jobs
    assert synthetic.jobs["submit_ms"].is_monotonic_increasing
    if n_jobs > 8000:
        assert report.offered_load.synthetic == pytest.approx(0.7, rel=0.1)
        # gaps come from users who meet; in this source they were drawn over the heads of the users
        assert report.ks.pop("gap") < 0.1
        assert max(report.ks.values()) < 0.05


def test_a_source_that_knows_little(source):
    bare = source.with_jobs(source.jobs[["job_id", "submit_ms", "run_ms", "procs_req"]])
    synthetic, report = like(bare, None, 1)
    assert "user" not in synthetic.jobs
    assert "limit_ms" not in synthetic.jobs
    assert np.isnan(report.ks["limit"])
    assert report.ks["run"] < 0.05


def test_jobs_that_never_ran_are_left_out(source):
    jobs = source.jobs.copy()
    jobs.loc[jobs.index[:100], "run_ms"] = -1
    synthetic, report = like(source.with_jobs(jobs), None, 1)
    assert len(synthetic) == 7900
    assert report.left_out == 100
    jobs["run_ms"] = -1
    with pytest.raises(TraceError, match="run time"):
        like(source.with_jobs(jobs), None, 1)


def test_the_shortest_sources():
    source = lublin(3, 1, load=50.0, procs=4)
    for count in (1, 3):
        synthetic, report = like(source.with_jobs(source.jobs.head(count)), None, 1)
        assert len(synthetic) == count
        json.dumps(report.to_json(), allow_nan=False)
    with pytest.raises(TraceError, match="at least one"):
        like(source, 0, 1)


@pytest.mark.parametrize("name", ["KTH", "HPC2N", "SDSC-DS"])
def test_real_traces_come_near(name):
    trace = real(name)
    synthetic, report = like(trace, None, 1)
    for what in ("size", "run", "limit", "gap", "accuracy", "hour_of_week"):
        assert report.ks[what] < 0.05, what
    assert report.offered_load.synthetic == pytest.approx(report.offered_load.source, rel=0.05)
    for pairs in (report.load_autocorrelation, report.arrivals_autocorrelation):
        for lag, pair in pairs.items():
            assert pair.synthetic == pytest.approx(pair.source, abs=0.15), lag
    assert report.top_user_share.synthetic == pytest.approx(report.top_user_share.source, abs=0.01)
    assert report.repeat.synthetic == pytest.approx(report.repeat.source, abs=0.1)
    jobs, _ = comparable(trace)
    both = np.rec.fromarrays([jobs.submit, jobs.run, jobs.procs])
    other, _ = comparable(synthetic)
    assert np.isin(np.rec.fromarrays([other.submit, other.run, other.procs]), both).mean() < 0.01
