"""Cleaning any trace: nothing goes missing unsaid, and a plain-Python reading of the rules counts the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.errors import TraceError
from apportion.traces.clean import clean
from apportion.traces.rules import RULES
from trace_cases import make_trace

SECONDS = st.sampled_from([-3000, -1, 0, 1000, 1500, 2000, 60_000])
SIZES = st.sampled_from([-1, 0, 1, 2, 5])
JOB = st.fixed_dictionaries(
    {
        "job_id": st.integers(0, 6),
        "submit_ms": SECONDS,
        "wait_ms": SECONDS,
        "run_ms": SECONDS,
        "limit_ms": SECONDS,
        "procs_used": SIZES,
        "procs_req": SIZES,
        "status": st.sampled_from([-1, 0, 1, 2, 4, 5, 10, 11]),
        "user": st.sampled_from([None, "ann", "bob"]),
    }
)
MACHINE = st.sampled_from([-1, 4, 6])


def trace_of(jobs, procs=-1):
    return make_trace({name: [job[name] for job in jobs] for name in jobs[0]}, max_procs=procs)


def try_clean(trace, **how):
    try:
        return clean(trace, **how)
    except TraceError:
        return None, None


def tells_less(job, before, behind):
    """Whether a job that waits (11) or runs (10) is told further by another line, or as far by one behind."""
    if job["status"] not in (10, 11):
        return False
    same = ("job_id", "submit_ms") if job["status"] == 11 else ("job_id", "submit_ms", "wait_ms")
    further = (10, 11) if job["status"] == 10 else (11,)  # these do not tell more than that
    return any(
        all(other[name] == job[name] for name in same)
        and (other["status"] not in further or (other in behind and other["status"] == job["status"]))
        for other in [*before, *behind]
    )


def by_hand(jobs, procs):
    """Count jobs per rule, one job at a time, as a person would read the rules."""
    counts = dict.fromkeys((rule.name for rule in RULES), 0)
    left, seen_rows, seen_ids = [], [], set()
    whole = {job["job_id"] for job in jobs if job["status"] not in (2, 3, 4) and job["submit_ms"] >= 0}
    for job in jobs:
        if job["status"] in (2, 3, 4) and job["job_id"] in whole:
            counts["partial-execution"] += 1
            continue
        if job["submit_ms"] < 0:
            counts["no-submit"] += 1
            if job not in seen_rows:
                seen_rows.append(job)
            continue
        if job in seen_rows:
            counts["repeated-row"] += 1
            continue
        seen_rows.append(job)
        left.append(dict(job))
    outdated = [tells_less(job, left[:k], left[k + 1 :]) for k, job in enumerate(left)]
    counts["outdated-row"] = sum(outdated)
    left = [job for job, gone in zip(left, outdated, strict=True) if not gone]
    for job in left:
        counts["repeated-id"] += job["job_id"] in seen_ids
        seen_ids.add(job["job_id"])
    allocations_known = any(job["procs_used"] > 0 for job in left)
    counts["unsorted-submit"] = sum(b["submit_ms"] < a["submit_ms"] for a, b in pairwise(left))
    for job in left:
        for name, rule in (("run_ms", "negative-run"), ("wait_ms", "negative-wait")):
            if job[name] < -1:
                counts[rule] += 1
                job[name] = -1
        if job["status"] == 5 and job["run_ms"] == 0 and job["procs_used"] <= 0 and allocations_known:
            counts["zero-run-unallocated"] += 1
            job["run_ms"] = -1
        if job["run_ms"] == -1:
            counts["never-started" if job["status"] in (5, -1, 11) else "no-run-time"] += 1
        size = job["procs_used"] if job["procs_used"] > 0 else job["procs_req"]
        counts["no-size"] += size <= 0 and job["run_ms"] != -1
        counts["zero-run"] += job["run_ms"] == 0
        counts["size-differs"] += 0 < job["procs_used"] != job["procs_req"] > 0
        if job["limit_ms"] == 0:
            counts["zero-limit"] += 1
            job["limit_ms"] = -1
        counts["no-limit"] += job["limit_ms"] < 0
        counts["over-limit"] += 0 < job["limit_ms"] < job["run_ms"]
        counts["unknown-status"] += job["status"] == -1
        counts["cancelled-after-start"] += job["status"] == 5 and job["run_ms"] >= 0
        counts["no-user"] += job["user"] is None
        counts["no-wait"] += job["wait_ms"] == -1
        counts["wider-than-machine"] += procs > 0 and max(job["procs_used"], job["procs_req"]) > procs
        times = [job[name] for name in ("submit_ms", "wait_ms", "run_ms", "limit_ms")]
        counts["fractions-of-seconds"] += any(ms != -1 and ms % 1000 != 0 for ms in times)
        ran = job["wait_ms"] >= 0 and job["run_ms"] > 0 and size > 0
        job["span"] = (job["submit_ms"] + job["wait_ms"], job["submit_ms"] + job["wait_ms"] + job["run_ms"], size)
        job["ran"] = ran
    spans = [job["span"] for job in left if job["ran"]]
    for start, _, _ in spans:
        in_use = sum(size for begin, end, size in spans if begin <= start < end)
        counts["logged-above-capacity"] += procs > 0 and in_use > procs
    return counts


@given(st.lists(JOB, min_size=1, max_size=8), MACHINE)
@settings(max_examples=150, deadline=None)
def test_every_rule_counts_as_a_person_would(jobs, procs):
    _, report = try_clean(trace_of(jobs, procs))
    if report is not None:
        assert {outcome.rule.name: outcome.jobs for outcome in report.outcomes} == by_hand(jobs, procs)


@given(st.lists(JOB, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_nothing_is_dropped_silently_and_the_trace_given_is_left_alone(jobs):
    trace = trace_of(jobs)
    before = trace.jobs.copy(deep=True)
    cleaned, report = try_clean(trace)
    assert trace.jobs.equals(before)
    if report is None:
        return
    dropped = sum(outcome.jobs for outcome in report.outcomes if outcome.on and outcome.rule.action == "drop")
    assert len(jobs) - dropped == len(cleaned) == report.jobs_after
    assert (np.diff(cleaned.column("submit_ms")) >= 0).all()
    for outcome in report.outcomes:
        assert len(outcome.examples) == min(outcome.jobs, 5)


@given(st.lists(JOB, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_what_is_clean_stays_as_it_is(jobs):
    # Ids of their own: mending can make two rows of one id equal that the file wrote differently.
    once, _ = try_clean(trace_of([{**job, "job_id": i} for i, job in enumerate(jobs)]))
    if once is None:
        return
    again, report = clean(once)
    assert again.jobs.equals(once.jobs)
    assert all(
        outcome.jobs == 0
        for outcome in report.outcomes
        if outcome.rule.action in {"drop", "mend", "sort"} and outcome.on
    )


@given(st.lists(JOB, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_with_all_rules_off_nothing_changes(jobs):
    trace = trace_of(jobs)
    same, report = clean(trace, switch={rule.name: False for rule in RULES})
    assert same.jobs.equals(trace.jobs)
    assert report.jobs_after == len(jobs)
