"""Backfill by predicted run times: both drivers against a naive simulator, by hand, and on a real trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.errors import PolicyError
from apportion.policy.load import from_dict, load
from apportion.sim.conventions import Conventions
from apportion.sim.replay import replay
from apportion.sim.workload import from_trace
from apportion.traces import read
from apportion.traces.clean import clean
from apportion.traces.transform import first
from driving import machine, run, submissions
from oracles.jobs import Job, Pool
from oracles.predictions import last_two, quantile
from oracles.schedule import simulate
from oracles.workloads import job_lists, random_jobs
from real_traces import find
from workloads import workload

BACKFILLS = ["easy", "easy-sjbf", "slurm"]
PREDICTORS = {
    "last-two": ({"Predictor": "last-two"}, last_two),
    "median": ({"Predictor": "quantile", "PredictorQuantile": 0.5, "PredictorJobs": 3}, quantile(0.5, 3)),
    "longest": ({"Predictor": "quantile", "PredictorQuantile": 1, "PredictorJobs": 4}, quantile(1.0, 4)),
    "shortest": ({"Predictor": "quantile", "PredictorQuantile": 0.01}, quantile(0.01, 10)),
}
MACHINES = [[Pool(4)], [Pool(4), Pool(3)], [Pool(4, mem=6, gpus=2)]]
UNIT = 20_000  # ms: three to a minute, the first step by which a prediction grows


def core_and_oracle(jobs, pools, backfill, predictor, order="fcfs", **more):
    keys, naive = PREDICTORS[predictor]
    limits = {job.id: job.limit for job in jobs}
    key = (lambda job, _now: limits[job.id]) if order == "sjf" else "fcfs"
    expected = simulate(jobs, pools, order=key, backfill=backfill, predictor=naive, **more)
    return run(jobs, pools, order, backfill, **keys, **more).starts, expected


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("predictor", sorted(PREDICTORS))
@given(data=st.data(), pools=st.sampled_from(MACHINES), order=st.sampled_from(["fcfs", "sjf"]))
def test_small_schedules(backfill, predictor, data, pools, order):
    jobs = data.draw(job_lists(pools, max_size=14, unit=UNIT, cancels=data.draw(st.booleans())))
    got, expected = core_and_oracle(jobs, pools, backfill, predictor, order)
    assert got == expected


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("predictor", sorted(PREDICTORS))
def test_longer_queues(backfill, predictor):
    for seed in range(3):
        jobs = random_jobs(seed, 120, MACHINES[seed], unit=UNIT, longest=30, cancelled=0.1 * (seed == 1))
        more = {"max_jobs_per_user": 3} if seed == 2 else {}
        got, expected = core_and_oracle(jobs, MACHINES[seed], backfill, predictor, **more)
        assert got == expected, seed


@settings(max_examples=40)
@pytest.mark.parametrize("backfill", BACKFILLS)
@given(jobs=job_lists(4, max_size=14, unit=UNIT))
def test_drivers_agree(backfill, jobs):
    policy = from_dict({"Backfill": backfill, "Predictor": "last-two", **machine([Pool(4)])})
    runs = [replay(workload(jobs, submissions(jobs, 4)), policy, engine) for engine in ("compiled", "simpy")]
    assert runs[0].decision_hash == runs[1].decision_hash
    assert runs[0].instants == runs[1].instants


def test_what_a_prediction_changes():
    """By hand, in seconds, 4 processors. User 0's two jobs took 10 each, so job 4 (limit 500) is expected to take 10 and passes job 3,
    which waits for the end of job 0 at 200. It takes 100: corrected at 30 to 70, at 90 to 370, but it delays nobody."""
    second = 1000
    rows = [  # submit, run, limit, procs, user
        (0, 200, 200, 2, 1),
        (0, 10, 500, 1, 0),
        (10, 10, 500, 1, 0),
        (20, 50, 50, 4, 1),
        (20, 100, 500, 1, 0),
    ]
    jobs = [Job(k, s * second, r * second, l * second, p, u) for k, (s, r, l, p, u) in enumerate(rows)]
    plain = run(jobs, 4, "fcfs", "easy")
    assert plain.starts == [0, 0, 10_000, 200_000, 250_000]
    assert run(jobs, 4, "fcfs", "easy", Predictor="last-two").starts == [0, 0, 10_000, 200_000, 20_000]


def test_a_job_that_outruns_its_prediction_delays_the_head():
    """As above, but job 4 takes 400: the head, promised 200, waits for it; what is promised is corrected on the way."""
    second = 1000
    rows = [(0, 200, 200, 2, 1), (0, 10, 500, 1, 0), (10, 10, 500, 1, 0), (20, 50, 50, 4, 1), (20, 400, 500, 1, 0)]
    jobs = [Job(k, s * second, r * second, l * second, p, u) for k, (s, r, l, p, u) in enumerate(rows)]
    found = run(jobs, 4, "fcfs", "easy", Predictor="last-two")
    assert found.starts == [0, 0, 10_000, 420_000, 20_000]
    # expected: 10, then 10 + 1 min, + 5 min = 370, + 15 min, which the limit of 500 cuts off
    assert found.state.jobs.expected.tolist()[4] == 500_000
    assert found.state.history.outrun.tolist() == [0, 0, 0, 0, 3]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"Backfill": "conservative"}, "Backfill"),
        ({"Backfill": "none"}, "Backfill"),
        ({"Backfill": "easy", "MaxWait": "1-0"}, "MaxWait"),
        ({"Backfill": "easy", "PredictorQuantile": 1.5}, "PredictorQuantile"),
        ({"Backfill": "easy", "PredictorJobs": 1}, "PredictorJobs"),
        ({"Backfill": "easy", "Predictor": "last-tow"}, "last-two"),
    ],
)
def test_what_cannot_be(keys, said):
    with pytest.raises(PolicyError, match=said):
        from_dict({"Predictor": "last-two", **keys})


def test_kth_is_predicted_better_than_by_limits():
    """On a real trace: drivers agree, nobody is killed but at the limit, and predictions are nearer to the run times."""
    trace, _ = clean(read(find("KTH-SP2-1996-2.1-cln.swf.gz")))
    trace = first(trace, 6_000)
    work = from_trace(trace, Conventions())
    policy = from_dict({"Backfill": "easy-sjbf", "Predictor": "last-two"})
    runs = [replay(work, policy, engine) for engine in ("compiled", "simpy")]
    assert runs[0].decision_hash == runs[1].decision_hash
    took = runs[0].end_ms - runs[0].start_ms
    assert (took == work.run_ms).all()
    jobs = runs[0].compiled.state.jobs
    assert (jobs.expected <= jobs.limit).all()
    untouched = runs[0].compiled.state.history.outrun == 0
    assert untouched.sum() > 2_000
    errors = [np.abs(column - took)[untouched].mean() for column in (jobs.expected, jobs.limit)]
    assert errors[0] < 0.8 * errors[1]
    assert replay(work, load("easy-sjbf")).decision_hash != runs[0].decision_hash
