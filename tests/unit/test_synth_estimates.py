"""Estimates of Tsafrir, Etsion and Feitelson: the shape of the histogram, and how it is dealt."""

from __future__ import annotations

import random

import numpy as np
import pytest

from apportion.core.errors import TraceError
from apportion.traces.synth import EstimateModel, lublin
from apportion.traces.synth.estimates import HOUR, apportion_whole, assign, estimate, histogram, popular_times
from oracles.synthetic import deal_estimates

DAY = 24 * HOUR


@pytest.mark.parametrize("max_estimate_s", [4 * HOUR, 18 * HOUR, 36 * HOUR, 400 * HOUR])
def test_twenty_round_values_hold_89_percent(max_estimate_s):
    times, jobs = histogram(100_000, max_estimate_s, np.random.default_rng(1), EstimateModel())
    popular = popular_times(max_estimate_s)
    assert len(popular) == 20
    assert jobs.sum() == 100_000
    assert jobs[np.isin(times, popular)].sum() == pytest.approx(89_000, abs=20)
    assert np.sort(jobs)[::-1][:20].sum() == pytest.approx(89_000, abs=20)
    assert np.all(np.diff(times) > 0)
    # the largest is the most popular: what 14.0491 exp(-0.177531 x) + 0.462513 leaves of 89 % for ranks 2 to 20
    rest = sum(14.0491 * np.exp(-0.177531 * rank) + 0.462513 for rank in range(2, 21))
    assert times[np.argmax(jobs)] == max_estimate_s
    assert jobs.max() == pytest.approx(1000 * (89 - rest), abs=2)


def test_how_many_different_values_there_are():
    for n_jobs, bins in ((200, 20), (1000, 35), (10_000, 90), (70_000, 340), (250_000, 565), (2_000_000, 565)):
        times, _ = histogram(n_jobs, 18 * HOUR, np.random.default_rng(1), EstimateModel())
        assert bins * 0.85 <= len(times) <= max(bins, 20)  # crowded minutes make it a little fewer


def test_popular_values_are_the_round_ones():
    popular = popular_times(18 * HOUR)
    for minutes in (5, 10, 15, 20, 30, 60, 120, 240, 480, 720, 1080):
        assert minutes * 60 in popular
    assert popular_times(90 * 60)[-1] == 90 * 60
    with pytest.raises(TraceError, match="an hour"):
        histogram(10, 1800, np.random.default_rng(1), EstimateModel())


def test_the_share_of_the_largest_can_be_given():
    times, jobs = histogram(10_000, 4 * HOUR, np.random.default_rng(1), EstimateModel(max_share=0.5))
    assert jobs[times == 4 * HOUR][0] == 5000
    assert jobs[np.isin(times, popular_times(4 * HOUR))].sum() == pytest.approx(8900, abs=20)


def test_dealing_uses_the_histogram_up_and_covers_every_run():
    rng = np.random.default_rng(4)
    run = np.minimum(np.exp(rng.normal(5, 2, 20_000)), 17 * HOUR).astype(np.int64)
    times, jobs = histogram(len(run), 18 * HOUR, rng, EstimateModel())
    limit = assign(run, times, jobs, rng)
    assert (limit >= run).all()
    np.testing.assert_array_equal(np.unique(limit, return_counts=True)[1], jobs[jobs > 0])


def test_dealing_is_the_naive_dealing_in_the_mean():
    run = [0, 1, 5, 5, 9, 10, 11, 18, 20, 30]
    times, jobs = [10, 20, 30, 40], [3, 3, 2, 2]
    rounds = 6000
    rng, naive_rng = np.random.default_rng(5), random.Random(5)
    arrays = np.array(run), np.array(times), np.array(jobs)
    counts = np.zeros((len(run), 41))
    naive = np.zeros_like(counts)
    for _ in range(rounds):
        counts[np.arange(len(run)), assign(*arrays, rng)] += 1
        dealt = deal_estimates(run, list(zip(times, jobs, strict=True)), naive_rng)
        naive[np.arange(len(run)), dealt] += 1
    # jobs between the same two estimates are alike, whatever their order
    for group in ([0, 1, 2, 3, 4, 5], [6, 7, 8], [9]):
        np.testing.assert_allclose(
            counts[group].mean(axis=0) / rounds, naive[group].mean(axis=0) / rounds, atol=4 * 0.5 / np.sqrt(rounds)
        )


def test_too_few_long_estimates_bend_the_histogram_not_the_rule():
    run = np.full(1000, 17 * HOUR)
    limit = estimate(run, np.random.default_rng(1), EstimateModel())
    assert (limit >= run).all()
    assert limit.max() == 18 * HOUR
    with pytest.raises(TraceError, match="largest estimate"):
        estimate(run, np.random.default_rng(1), EstimateModel(max_estimate_s=4 * HOUR))


def test_without_a_largest_estimate_every_job_fits():
    run = np.array([10, 100 * HOUR])
    assert estimate(run, np.random.default_rng(1), EstimateModel(max_estimate_s=None))[1] == 120 * HOUR
    assert (
        estimate(np.array([3000 * HOUR + 1]), np.random.default_rng(1), EstimateModel(max_estimate_s=None))[0]
        == 3001 * HOUR
    )


def test_a_workload_is_cut_at_its_largest_estimate():
    free = lublin(20_000, 3, estimates=False).jobs
    cut = lublin(20_000, 3, estimates=EstimateModel(max_estimate_s=4 * HOUR)).jobs
    np.testing.assert_array_equal(cut["run_ms"], np.minimum(free["run_ms"], 4 * HOUR * 1000))
    assert cut["limit_ms"].max() == 4 * HOUR * 1000


def test_largest_remainders():
    assert apportion_whole(np.array([1.0, 1.0, 1.0]), 10).tolist() == [4, 3, 3]
    assert apportion_whole(np.array([0.5, 0.3, 0.2]), 7).tolist() == [4, 2, 1]
