from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.metrics.compute import compute
from apportion.metrics.fair_start import fair_start_times
from apportion.metrics.fairness import gini, jain
from apportion.metrics.gantt import pack
from apportion.metrics.glossary import flatten
from apportion.metrics.occupancy import binned, present, sweep
from apportion.metrics.series import share_over_time, timeline
from apportion.metrics.utilization import utilization
from oracles import metrics as naive
from runs import make_run

if TYPE_CHECKING:
    from apportion.metrics.run import Run

PROCS = 8
FEW = settings(max_examples=40, deadline=None)


@st.composite
def schedules(draw: st.DrawFn) -> list[naive.Job]:
    """Any jobs on few moments, so that ties abound; no scheduler made them, and processors may be overbooked."""
    jobs = []
    for submit in sorted(draw(st.lists(st.integers(0, 40), min_size=1, max_size=14))):
        wait = draw(st.integers(0, 15))
        started = draw(st.integers(0, 5)) > 0
        start = submit + wait if started else None
        jobs.append(naive.Job(submit, start, draw(st.integers(0, 12)), draw(st.integers(1, PROCS)), submit + wait))
    return jobs


def as_run(jobs: list[naive.Job], **manifest: object) -> Run:
    table = pd.DataFrame(
        {
            "submit_s": [float(j.submit) for j in jobs],
            "start_s": [math.nan if j.start is None else float(j.start) for j in jobs],
            "run_s": [math.nan if j.start is None else float(j.run) for j in jobs],
            "end_s": [float(j.leave if j.start is None else j.end) for j in jobs],
            "procs": [j.procs for j in jobs],
            "state": ["CANCELLED" if j.start is None else "COMPLETED" for j in jobs],
            "account": [f"a{i % 3}" for i in range(len(jobs))],
            "user": [f"u{i % 4}" for i in range(len(jobs))],
        }
    )
    return make_run(table, PROCS, **manifest)


@FEW
@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30))
def test_jain_and_gini_against_double_loops(values: list[float]) -> None:
    assert jain(np.array(values)) == pytest.approx(naive.jain(values), rel=1e-9)
    assert gini(np.array(values)) == pytest.approx(naive.gini(values), rel=1e-6, abs=1e-9)
    assert 1 / len(values) - 1e-9 <= jain(np.array(values)) <= 1 + 1e-9


@FEW
@given(schedules(), st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True))
def test_binned_against_overlaps_job_by_job(jobs: list[naive.Job], edges: list[int]) -> None:
    ran = [j for j in jobs if j.start is not None]
    group = [i % 3 for i in range(len(ran))]
    spans = [(float(j.start), float(j.end)) for j in ran]
    at = np.array(sorted(edges), dtype=float)
    begin, end = (np.array([span[k] for span in spans], dtype=float) for k in (0, 1))
    code = np.array(group, dtype=np.int64)
    weight = np.array([float(j.procs) for j in ran])
    expected = naive.binned(group, 3, spans, weight.tolist(), at.tolist())
    np.testing.assert_allclose(binned(code, 3, begin, end, weight, at), expected, atol=1e-9)
    touched = np.array(naive.binned(group, 3, spans, [1.0] * len(ran), at.tolist())) > 0
    np.testing.assert_array_equal(present(code, 3, begin, end, at), touched)


@FEW
@given(schedules(), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12)), max_size=3))
def test_loss_of_capacity_against_a_look_at_every_stretch(
    jobs: list[naive.Job], outages: list[tuple[int, int]]
) -> None:
    steps = [(0, PROCS), *sorted(dict(outages).items())]
    run = as_run(jobs, capacity_steps=[[t, "all", procs] for t, procs in steps], measure_window_s=[0, 60])
    found = utilization(run, sweep(run))
    lost = naive.lost_capacity(jobs, steps, (0, 60))
    total = sum(
        procs * naive.overlap(t, until, 0, 60)
        for (t, procs), until in zip(steps, [*(t for t, _ in steps[1:]), 60], strict=True)
    )
    assert found["capacity_core_h"] * 3600 == pytest.approx(total)
    if total > 0:
        assert found["loss_of_capacity_fraction"] == pytest.approx(lost / total, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(schedules(), st.lists(st.tuples(st.integers(1, 50), st.integers(1, 12)), max_size=3))
def test_fair_starts_against_a_list_of_reservations(jobs: list[naive.Job], outages: list[tuple[int, int]]) -> None:
    steps = [(0, PROCS), *sorted(dict(outages).items())]
    run = as_run(jobs, capacity_steps=[[t, "all", procs] for t, procs in steps])
    for plan, backfill in (("arrival_order", False), ("conservative", True)):
        fair = fair_start_times(run, plan)
        assert list(fair.index) == [i for i, job in enumerate(jobs) if job.start is not None]
        for i, found in fair.items():
            expected = naive.fair_start(jobs, i, steps, backfill=backfill)
            assert (None if math.isnan(found) else found) == expected, (i, plan)


works = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, PROCS)), min_size=1, max_size=14)


@FEW
@given(works)
def test_nobody_is_treated_unfairly_by_the_schedules_that_define_fair(work: list[tuple[int, int, int]]) -> None:
    clock = np.cumsum([gap for gap, _, _ in work]).tolist()
    jobs = [(submit, run, procs) for submit, (_, run, procs) in zip(clock, work, strict=True)]
    for schedule, plan in ((naive.fcfs, "arrival_order"), (naive.conservative, "conservative")):
        starts = schedule(jobs, PROCS)
        made = [naive.Job(s, t, r, p, t) for (s, r, p), t in zip(jobs, starts, strict=True)]
        assert fair_start_times(as_run(made), plan).tolist() == starts


UNIT_S = 4 * 3600.0  # of time, so that windows hold several days


@st.composite
def measured_runs(draw: st.DrawFn) -> tuple[list[naive.Entry], naive.Setting]:
    """Runs of every kind of job, on several days, with a warm-up and a cool-down, outages and shares."""
    jobs = []
    for submit in sorted(draw(st.lists(st.integers(0, 30), min_size=1, max_size=12))):
        wait, length = draw(st.integers(0, 12)), draw(st.integers(0, 10))
        kind = draw(st.sampled_from(["ran", "ran", "ran", "ran", "runs", "waits", "gone", "REJECTED", "DROPPED"]))
        start = submit + wait if kind in ("ran", "runs") else None
        end = submit + wait + length if kind == "ran" else submit + wait if kind == "gone" else None
        states = {"ran": ["COMPLETED", "TIMEOUT", "FAILED", "CANCELLED"], "runs": ["RUNNING"], "waits": ["PENDING"]}
        jobs.append(
            naive.Entry(
                UNIT_S * submit,
                None if start is None else UNIT_S * start,
                None if end is None else UNIT_S * end,
                draw(st.sampled_from([1, 2, 5, PROCS])),
                draw(st.sampled_from(["u0", "u1", "u2"])),
                draw(st.sampled_from(["a0", "a1", ""])),
                draw(st.sampled_from(["low", "high"])),
                draw(st.sampled_from(states.get(kind, ["CANCELLED" if kind == "gone" else kind]))),
                draw(st.booleans()),
            )
        )
    begin = draw(st.integers(0, 8))
    outages = draw(st.dictionaries(st.integers(1, 40), st.integers(0, 12), max_size=3))
    shares = draw(st.sampled_from([{}, {"a0": 0.5, "a1": 0.2, "a9": 0.3}, {"a9": 1.0}]))
    people = draw(st.sampled_from([{}, {"a0/u0": 0.4, "a1/u0": 0.2, "a0/u1": 0.3, "a9/u9": 0.1}]))
    setting = naive.Setting(
        (UNIT_S * begin, UNIT_S * (begin + draw(st.integers(1, 40)))),
        UNIT_S,
        [(0.0, PROCS), *((UNIT_S * t, procs) for t, procs in sorted(outages.items()))],
        shares,
        people,
        draw(st.sampled_from([{}, {"low": 2 * UNIT_S}])),
    )
    return jobs, setting


@settings(max_examples=120, deadline=None)
@given(measured_runs())
def test_every_metric_against_its_definition(made: tuple[list[naive.Entry], naive.Setting]) -> None:
    jobs, setting = made
    unknown = {None: math.nan}
    table = pd.DataFrame(
        {
            "submit_s": [job.submit for job in jobs],
            "start_s": [unknown.get(job.start, job.start) for job in jobs],
            "end_s": [unknown.get(job.end, job.end) for job in jobs],
            "run_s": [math.nan if None in (job.start, job.end) else job.end - job.start for job in jobs],
            "procs": [job.procs for job in jobs],
            "user": [job.user for job in jobs],
            "account": [job.account for job in jobs],
            "qos": [job.qos for job in jobs],
            "state": [job.state for job in jobs],
            "backfilled": [job.passed for job in jobs],
        }
    )
    run = make_run(
        table,
        PROCS,
        capacity_steps=[[t, "all", procs] for t, procs in setting.capacity],
        measure_window_s=list(setting.window),
        shares=setting.account_shares,
        user_shares=setting.user_shares,
        wait_bounds_s=setting.bounds,
    )
    found = flatten(compute(run))
    expected = naive.everything(jobs, setting)
    fair = {key: value for key, value in found.items() if ".fair_start_sample." in key}
    assert set(found) - set(fair) == set(expected)
    for key, value in expected.items():
        assert found[key] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)), key
    if any(job.start is not None and job.end is None for job in jobs):
        return  # the twin of fair start times knows no job without an end
    begin, end = setting.window
    plain = [
        naive.Job(
            job.submit,
            job.start,
            0 if job.start is None else job.end - job.start,
            job.procs,
            job.submit if job.start is None else job.start,
        )
        for job in jobs
    ]
    mine = [i for i, job in enumerate(jobs) if job.start is not None and begin <= job.submit <= end]
    for plan, backfill in (("arrival_order", False), ("conservative", True)):
        starts = {i: naive.fair_start(plain, i, setting.capacity, backfill=backfill) for i in mine}
        late = [max(0.0, plain[i].start - start) for i, start in starts.items() if start is not None]
        for key, value in naive.fair_start_numbers(late, len(mine)).items():
            shown = found[f"fairness.fair_start_sample.{plan}.{key}"]
            assert shown == (value if value is None else pytest.approx(value)), (plan, key)


@FEW
@given(schedules())
def test_metrics_are_finite_or_none_and_within_their_bounds(jobs: list[naive.Job]) -> None:
    metrics = compute(as_run(jobs, shares={"a0": 0.5, "a9": 0.5}, user_shares={"a0/u0": 1.0}))
    for by in ("user", "account"):
        group = metrics["fairness"][by]
        for key in ("jain_service", "gini_service", "share_error_mean", "share_error_demand_mean", "share_error_final"):
            assert group[key] is None or -1e-9 <= group[key] <= 1 + 1e-9
    wait = metrics["service"]["wait_s"]
    if wait["mean"] is not None:
        assert wait["min"] <= wait["p50"] <= wait["p90"] <= wait["p95"] <= wait["p99"] <= wait["max"]
        assert wait["min"] <= wait["mean"] <= wait["max"] + 1e-9


@FEW
@given(schedules(), st.integers(1, 40))
def test_timeline_keeps_the_integrals(jobs: list[naive.Job], bins: int) -> None:
    run = as_run(jobs)
    begin, end = run.window_s
    table = timeline(run, bins)
    if end == begin:
        assert table.empty
        return
    width = (end - begin) / bins
    used = sum(j.procs * j.run for j in jobs if j.start is not None)
    queued = sum(j.leave - j.submit for j in jobs)
    assert table["used_procs"].sum() * width == pytest.approx(used, abs=1e-6)
    assert table["queued_jobs"].sum() * width == pytest.approx(queued, abs=1e-6)
    shares = share_over_time(run, "account", bins=bins, top=2)
    per_bin = shares.groupby("t_s")["received"].sum()
    busy = table["used_procs"].to_numpy() > 1e-9
    np.testing.assert_allclose(per_bin.to_numpy()[busy], 1.0, atol=1e-6)


@FEW
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20), st.integers(1, 6)), max_size=25))
def test_gantt_bars_stack(bars: list[tuple[int, int, int]]) -> None:
    bars = sorted(bars)
    start = [float(a) for a, _, _ in bars]
    stop = [float(a + run) for a, run, _ in bars]
    pieces = pack(start, stop, [p for _, _, p in bars])
    lanes = [0] * len(bars)
    for job, low, high in pieces:
        lanes[job] += high - low
        for other, a, b in pieces:
            if other < job and start[job] < stop[other] and start[other] < stop[job]:
                assert b <= low or high <= a
    assert lanes == [p for _, _, p in bars]
    busiest = max((sum(p for a, run, p in bars if a <= t < a + run) for t, _, _ in bars), default=0)
    assert max((high for _, _, high in pieces), default=0) == busiest
