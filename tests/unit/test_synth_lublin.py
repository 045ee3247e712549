"""The model of Lublin and Feitelson against its published moments and a naive walk."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from apportion.core.errors import TraceError
from apportion.traces.schema import BY_NAME
from apportion.traces.synth import RigidModel, burst, lublin, steady
from apportion.traces.synth.arrivals import DayCurve
from apportion.traces.synth.rigid import BATCH, INTERACTIVE
from oracles.synthetic import slot_weights, walk_arrivals

N = 100_000


@pytest.fixture(scope="module")
def plain():
    return lublin(N, 7, estimates=False)


def offered_load(trace):
    jobs = trace.jobs
    work = int((jobs["procs_req"] * (jobs["run_ms"] // 1000)).sum())
    return work / (trace.meta.max_procs * (jobs["submit_ms"].iloc[-1] - jobs["submit_ms"].iloc[0]) / 1000)


def test_a_quarter_is_serial_and_most_others_are_powers_of_two(plain):
    procs = plain.jobs["procs_req"].to_numpy()
    assert (procs == 1).mean() == pytest.approx(0.244, abs=0.005)
    # 57.6 % are made a power of two; of the other 18 % those count whose rounded log-uniform size happens to be one:
    # two-stage uniform of the exponent, 86 % from 0.8 to 4.5, the rest from 4.5 to 7
    happen = 0.0
    for exponent in range(8):
        low, high = math.log2(max(2**exponent - 0.5, 1.0)), math.log2(2**exponent + 0.5)
        for a, b, chance in ((0.8, 4.5, 0.86), (4.5, 7.0, 0.14)):
            happen += chance * max(0.0, min(high, b) - max(low, a)) / (b - a)
    parallel = ((procs & (procs - 1)) == 0) & (procs > 1)
    assert parallel.mean() == pytest.approx(0.576 + 0.18 * happen, abs=0.005)
    assert procs.min() == 1
    assert procs.max() == 128


def test_the_stages_of_the_size(plain):
    procs = plain.jobs["procs_req"].to_numpy()
    exponents = np.log2(procs[procs > 1])
    # mean of the two-stage uniform; rounding to whole exponents keeps it nearly
    assert exponents.mean() == pytest.approx(0.86 * (0.8 + 4.5) / 2 + 0.14 * (4.5 + 7) / 2, abs=0.05)
    assert (procs > 32).mean() == pytest.approx(0.756 * 0.14 * (7 - 5.5) / 2.5, abs=0.02)


@pytest.mark.parametrize("size", [1, 8, 64])
def test_the_logarithm_of_the_run_time_is_hyper_gamma(plain, size):
    jobs = plain.jobs[plain.jobs["procs_req"] == size]
    # the middle of the second a run time was cut to
    logs = np.log(jobs["run_ms"].to_numpy() / 1000 + 0.5)
    p = -0.0054 * size + 0.78
    long = stats.gamma(312, scale=0.03)
    short = stats.gamma(4.2, scale=0.94)

    def cut(dist, power):
        mass = dist.cdf(12)
        return integrate.quad(lambda x: x**power * dist.pdf(x), 0, 12, limit=200)[0] / mass

    mean = p * cut(short, 1) + (1 - p) * cut(long, 1)
    square = p * cut(short, 2) + (1 - p) * cut(long, 2)
    assert logs.mean() == pytest.approx(mean, rel=0.02)
    assert logs.std() == pytest.approx(math.sqrt(square - mean**2), rel=0.03)


def test_larger_jobs_run_longer(plain):
    run, procs = plain.jobs["run_ms"], plain.jobs["procs_req"]
    assert run[procs >= 64].mean() > 1.5 * run[procs == 1].mean()
    assert run.max() <= math.exp(12) * 1000
    assert run.min() >= 1000
    # mean over all jobs: each size has its own mixture of the two cut gammas
    p = np.clip(-0.0054 * procs.to_numpy() + 0.78, 0, 1).mean()
    means = []
    for dist in (stats.gamma(4.2, scale=0.94), stats.gamma(312, scale=0.03)):
        means.append(integrate.quad(lambda x, d=dist: math.exp(x) * d.pdf(x), 0, 12, limit=200)[0] / dist.cdf(12))
    assert run.mean() / 1000 == pytest.approx(p * means[0] + (1 - p) * means[1], rel=0.03)


def test_arrivals_follow_the_day_and_their_mean_gap(plain):
    submit = plain.jobs["submit_ms"].to_numpy() / 1000
    gamma = stats.gamma(10.2303 * 1.0225, scale=0.4871)
    gap, square = (
        integrate.quad(lambda x, k=k: math.exp(k * x) * gamma.pdf(x), 0, 13, limit=200)[0] / gamma.cdf(13)
        for k in (1, 2)
    )
    error = math.sqrt((square - gap**2) / N)  # the tail is heavy: two percent
    assert np.diff(submit).mean() == pytest.approx(gap, abs=3 * error)
    weights = np.array(slot_weights(8.1737, 3.9631, lambda x, a, b: stats.gamma.cdf(x, a, scale=b)))
    seen = np.bincount((submit % 86400 // 1800).astype(int), minlength=48) / N
    np.testing.assert_allclose(seen, weights / 48, atol=0.004)
    assert seen[22:36].sum() > 0.45  # 11:00 to 18:00, the working day


def test_the_day_curve_is_the_naive_walk():
    rng = np.random.default_rng(3)
    gaps = np.exp(rng.gamma(10.46, 0.4871, size=2000))
    weights = slot_weights(8.1737, 3.9631, lambda x, a, b: stats.gamma.cdf(x, a, scale=b))
    curve = DayCurve.from_gamma(8.1737, 3.9631)
    times = curve.times(np.cumsum(gaps))
    np.testing.assert_allclose(times, walk_arrivals(gaps, weights), rtol=1e-9)
    np.testing.assert_allclose(curve.points(times), np.cumsum(gaps), rtol=1e-9)


def test_the_day_stays_in_place_at_any_load_and_any_start():
    weights = np.array(slot_weights(8.1737, 3.9631, lambda x, a, b: stats.gamma.cdf(x, a, scale=b)))
    for load, start in ((0.2, "2024-01-01"), (1.4, "2024-03-01T17:00")):
        trace = lublin(50_000, 1, load=load, start=start, estimates=False)
        clock = (trace.meta.origin_ms + trace.jobs["submit_ms"].to_numpy()) % 86_400_000 // 1_800_000
        seen = np.bincount(clock, minlength=48) / len(trace)
        np.testing.assert_allclose(seen, weights / 48, atol=0.006)
        assert offered_load(trace) == pytest.approx(load, rel=1e-5)


def test_users_follow_zipf_and_belong_to_one_account():
    trace = lublin(N, 5, users=50, accounts=7, zipf=1.2, estimates=False)
    shares = trace.jobs["user"].value_counts(normalize=True, sort=False).sort_index().to_numpy()
    weights = np.arange(1, 51) ** -1.2
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.005)
    assert (trace.jobs.groupby("user", observed=True)["account"].nunique() == 1).all()
    assert trace.jobs["account"].nunique() == 7


def test_parts_have_generators_of_their_own():
    one = lublin(5000, 11, users=10, accounts=2, estimates=False)
    other = lublin(5000, 11, users=300, accounts=30, zipf=0.5)
    np.testing.assert_array_equal(one.jobs["submit_ms"], other.jobs["submit_ms"])
    np.testing.assert_array_equal(one.jobs["procs_req"], other.jobs["procs_req"])


def test_a_mix_has_two_queues_with_their_own_models():
    trace = lublin(60_000, 2, kind="mix", load=0.6, estimates=False)
    procs, queue = trace.jobs["procs_req"].to_numpy(), trace.jobs["queue"].astype(str).to_numpy()
    for name, model in (("batch", BATCH), ("interactive", INTERACTIVE)):
        assert (procs[queue == name] == 1).mean() == pytest.approx(model.serial, abs=0.01)
    assert procs[queue == "interactive"].max() <= 46  # 2 ** 5.5
    run = trace.jobs["run_ms"].to_numpy()
    assert run[queue == "batch"].mean() > 5 * run[queue == "interactive"].mean()
    assert trace.jobs["submit_ms"].is_monotonic_increasing
    assert offered_load(trace) == pytest.approx(0.6, rel=1e-4)


def test_sessions_repeat_a_users_jobs_and_leave_arrivals_alone():
    alone, woven = (lublin(40_000, 9, session_jobs=mean, users=400, accounts=4) for mean in (1.0, 8.0))
    np.testing.assert_array_equal(alone.jobs["submit_ms"], woven.jobs["submit_ms"])

    def same(trace):
        jobs = trace.jobs.sort_values(["user", "submit_ms"], kind="stable")
        pairs = jobs["user"].to_numpy()[1:] == jobs["user"].to_numpy()[:-1]
        equal = pairs.copy()
        for name in ("procs_req", "limit_ms"):
            equal &= jobs[name].to_numpy()[1:] == jobs[name].to_numpy()[:-1]
        return equal.sum() / pairs.sum()

    assert same(alone) < 0.15
    assert same(woven) > 0.6
    assert (woven.jobs["run_ms"] <= woven.jobs["limit_ms"]).all()
    assert (woven.jobs["procs_req"] == 1).mean() == pytest.approx(0.244, abs=0.03)


def test_columns_are_of_the_schema_and_the_header_says_how(plain):
    trace = lublin(300, 4, procs=64, load=0.5)
    for name in trace.jobs.columns:
        assert str(trace.jobs[name].dtype) == BY_NAME[name].kind
    assert trace.meta.format == "synthetic"
    assert trace.meta.max_procs == 64
    assert trace.meta.timezone == "UTC"
    assert "; MaxProcs: 64" in trace.meta.header
    assert "; UnixStartTime: 1704067200" in trace.meta.header
    assert any('"seed": 4' in note for note in trace.meta.notes)
    assert "limit_ms" not in plain.jobs


def test_written_as_swf_and_read_back(tmp_path):
    from apportion.traces import read, write_swf

    trace = lublin(500, 4, load=0.5)
    write_swf(trace, tmp_path / "synthetic.swf")
    back = read(tmp_path / "synthetic.swf")
    for name in ("submit_ms", "run_ms", "procs_req", "limit_ms", "status"):
        np.testing.assert_array_equal(back.column(name), trace.column(name))
    assert back.meta.max_procs == trace.meta.max_procs
    assert back.meta.origin_ms == trace.meta.origin_ms


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"n_jobs": 0}, "job"),
        ({"procs": 0}, "processor"),
        ({"load": 0}, "load"),
        ({"accounts": 5, "users": 4}, "accounts"),
        ({"kind": "grid"}, "grid"),
        ({"start": "monday"}, "monday"),
        ({"seed": -1}, "seed"),
        ({"session_jobs": 0.5}, "session"),
    ],
)
def test_mistakes_are_said_in_a_line(change, word):
    with pytest.raises(TraceError, match=word) as mistake:
        lublin(**{"n_jobs": 10, "seed": 1, **change})
    assert "\n" not in str(mistake.value)


def test_one_job_and_one_processor():
    for trace in (lublin(1, 1, load=0.5), lublin(200, 1, procs=1), lublin(200, 1, procs=2), lublin(200, 1, procs=100)):
        procs = trace.jobs["procs_req"]
        assert procs.between(1, trace.meta.max_procs).all()


def test_a_model_of_ones_own():
    trace = lublin(
        20_000, 1, model=RigidModel(serial=0.9, power_of_two=0.1, pb=1.0, pa=0.0, a1=400, b1=0.02), estimates=False
    )
    assert (trace.jobs["procs_req"] == 1).mean() == pytest.approx(0.9, abs=0.01)
    assert np.log(trace.jobs["run_ms"] / 1000).mean() == pytest.approx(8, abs=0.02)


def test_steady_is_poisson_at_its_load():
    trace = steady(50_000, 3, procs=256, load=0.8)
    assert offered_load(trace) == pytest.approx(0.8, rel=1e-4)
    gaps = np.diff(trace.jobs["submit_ms"].to_numpy()) / 1000
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)
    counts = np.bincount((trace.jobs["submit_ms"] // (50_000_000)).to_numpy())[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.4)
    assert (trace.jobs["limit_ms"] >= trace.jobs["run_ms"]).all()
    assert trace.jobs["procs_req"].max() <= 64


def test_burst_is_one_second():
    trace = burst(5000, procs=64, seed=2)
    assert (trace.jobs["submit_ms"] == 0).all()
    assert trace.jobs["procs_req"].max() <= 16
    assert trace.jobs["job_id"].is_unique
