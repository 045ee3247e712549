"""Properties of every synthetic workload."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.traces.synth import EstimateModel, burst, like, lublin, steady
from apportion.traces.synth.estimates import assign, histogram
from apportion.traces.synth.imitate import smooth
from apportion.traces.synth.likeness import ks_distance

seeds = st.integers(0, 2**40)


def equal(one, other):
    assert one.meta == other.meta
    assert one.jobs.columns.tolist() == other.jobs.columns.tolist()
    for name in one.jobs.columns:
        assert one.jobs[name].equals(other.jobs[name]), name


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    n_jobs=st.integers(1, 400),
    procs=st.integers(1, 3000),
    load=st.one_of(st.none(), st.floats(0.05, 3)),
    users=st.integers(1, 30),
    kind=st.sampled_from(["all", "batch", "interactive", "mix"]),
    session_jobs=st.sampled_from([1.0, 1.5, 20.0]),
)
def test_lublin(*, seed, n_jobs, procs, load, users, kind, session_jobs):
    def draw():
        return lublin(
            n_jobs, seed, procs=procs, load=load, users=users, accounts=1, kind=kind, session_jobs=session_jobs
        )

    trace = draw()
    jobs = trace.jobs
    assert len(jobs) == n_jobs
    assert jobs["submit_ms"].is_monotonic_increasing
    assert jobs["submit_ms"].iloc[0] >= 0
    assert jobs["procs_req"].between(1, procs).all()
    assert (jobs["run_ms"] >= 1000).all()
    assert (jobs["limit_ms"] >= jobs["run_ms"]).all()
    assert not jobs.isna().any().any()
    for name in ("submit_ms", "run_ms", "limit_ms"):
        assert (jobs[name] % 1000 == 0).all()
    span = jobs["submit_ms"].iloc[-1] - jobs["submit_ms"].iloc[0]
    if load is not None and n_jobs > 1:
        wanted = (jobs["procs_req"] * jobs["run_ms"]).sum() / (procs * load)
        assert span == pytest.approx(wanted, rel=0.01, abs=2000)
    equal(trace, draw())


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n_jobs=st.integers(2, 300), load=st.floats(0.1, 2))
def test_plain_ones(seed, n_jobs, load):
    equal(steady(n_jobs, seed, 64, load), steady(n_jobs, seed, 64, load))
    equal(burst(n_jobs, procs=64, seed=seed), burst(n_jobs, procs=64, seed=seed))
    assert steady(n_jobs, seed, 64, load).jobs["submit_ms"].is_monotonic_increasing


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    run=st.lists(st.integers(0, 18 * 3600), min_size=1, max_size=200),
    largest=st.integers(18 * 3600, 10**6),
    share=st.one_of(st.none(), st.floats(0.01, 0.99)),
)
def test_estimates(seed, run, largest, share):
    rng = np.random.default_rng(seed)
    times, jobs = histogram(len(run), largest, rng, EstimateModel(max_share=share))
    assert jobs.sum() == len(run)
    assert (jobs >= 0).all()
    limit = assign(np.array(run), times, jobs, rng)
    assert (limit >= run).all()
    assert np.isin(limit, times).all()
    ranked_run, ranked = np.sort(run)[::-1], np.sort(np.repeat(times, jobs))[::-1]
    if (ranked >= ranked_run).all():  # the histogram can be dealt, and so it is
        np.testing.assert_array_equal(np.sort(limit)[::-1], ranked)


@settings(max_examples=100, deadline=None)
@given(
    seed=seeds,
    rows=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3)), min_size=1, max_size=100),
)
def test_smoothing(seed, rows):
    values, group = (np.array(column) for column in zip(*rows, strict=True))
    new = smooth(values, group, np.random.default_rng(seed))
    assert (new >= 0).all()
    for each in np.unique(group):
        before, after = values[group == each], new[group == each]
        repeated, counts = np.unique(before, return_counts=True)
        for habit in repeated[counts > 1]:
            assert (after[before == habit] == habit).all()
        # nobody moves past the middle between two values, except outwards at the ends
        assert ks_distance(before, after) <= 1 / len(before) + 1e-9
        inner = np.sort(before)[1:-1]
        if len(inner):
            assert after.min() >= before.min() - (np.sort(before)[1] - before.min()) / 2 - 1


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n_jobs=st.integers(1, 200), span=st.sampled_from([0.5, 0.01, 30.0]), more=st.integers(1, 600))
def test_like(seed, n_jobs, span, more):
    source = lublin(n_jobs, 1, load=span, users=5, accounts=2, session_jobs=3)
    days = (source.jobs["submit_ms"].iloc[-1] - source.jobs["submit_ms"].iloc[0]) / 86_400_000
    wanted = more if days > 3 else min(more, n_jobs)
    synthetic, _ = like(source, wanted, seed)
    assert len(synthetic) == wanted
    assert synthetic.jobs["submit_ms"].is_monotonic_increasing
    assert (synthetic.jobs["submit_ms"] >= source.jobs["submit_ms"].iloc[0]).all()
    assert synthetic.jobs["procs_req"].isin(source.jobs["procs_req"]).all()
    assert (synthetic.jobs["run_ms"] <= synthetic.jobs["limit_ms"]).all()
    equal(synthetic, like(source, wanted, seed)[0])
