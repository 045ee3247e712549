"""Jobs that follow others: both drivers against a naive simulator, on cases full of ties, and on real traces."""

from __future__ import annotations

import csv
import gzip
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.core.errors import TraceError, UserError
from apportion.core.tables import NEVER
from apportion.policy.load import from_dict, load
from apportion.sim.conventions import Conventions
from apportion.sim.dependencies import SESSION_GAP_MS, critical_path, precedence
from apportion.sim.releases import Precedence
from apportion.sim.replay import replay
from apportion.sim.runfolder import jobs_table
from apportion.sim.workload import from_trace
from apportion.traces import read
from apportion.traces.clean import clean
from apportion.traces.schema import Trace, TraceMeta
from apportion.traces.transform import first
from driving import submissions
from oracles.schedule import simulate
from oracles.workloads import job_lists
from real_traces import find
from workloads import workload

BACKFILLS = ["none", "easy", "easy-sjbf", "conservative", "slurm"]
UNIT = 10_000
PROCS = 4


@st.composite
def cases(draw):
    """Jobs and who follows whom: single edges, some to jobs submitted earlier, and gates between groups."""
    jobs = draw(job_lists(PROCS, unit=UNIT))
    n = len(jobs)
    rank = draw(st.permutations(range(n)))  # who may follow whom
    delays = st.sampled_from([0, 0, UNIT, 3 * UNIT])
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), delays)
    edges = [(a, b, d) for a, b, d in draw(st.lists(pairs, max_size=n)) if rank[a] < rank[b]]
    edges = list({(a, b): (a, b, d) for a, b, d in edges}.values())
    follows: dict[int, list[tuple[int, int]]] = {}
    for a, b, d in edges:
        follows.setdefault(b, []).append((a, d))
    n_gates = draw(st.integers(0, 2))
    for gate in range(n_gates):
        cut = draw(st.integers(0, n))
        early = [a for a in range(n) if rank[a] < cut and draw(st.booleans())]
        late = [(b, draw(delays)) for b in range(n) if rank[b] >= cut and draw(st.booleans())]
        if early and late:
            edges += [(a, n + gate, 0) for a in early] + [(n + gate, b, d) for b, d in late]
            for b, d in late:
                follows.setdefault(b, []).extend((a, d) for a in early)
    not_before = [job.submit if draw(st.booleans()) else -NEVER for job in jobs]
    table = np.array(edges, np.int64).reshape(-1, 3)
    graph = Precedence(
        *(np.ascontiguousarray(table[:, k]) for k in range(3)),
        n_gates,
        np.array(not_before, np.int64),
        np.zeros(n, bool),
    )
    naive_jobs = [
        job if i not in follows or not_before[i] >= 0 else type(job)(job.id, 0, job.run, job.limit, job.procs, job.user)
        for i, job in enumerate(jobs)
    ]
    by_id = {jobs[b].id: [(jobs[a].id, d) for a, d in before] for b, before in follows.items()}
    return jobs, graph, naive_jobs, by_id


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("order", ["fcfs", "sjf", "wfp3"])
@settings(max_examples=60)
@given(case=cases())
def test_both_drivers_do_as_a_naive_simulator(backfill, order, case):
    jobs, graph, naive_jobs, follows = case
    if not follows:
        graph = None
    expected = simulate(naive_jobs, PROCS, order=order, backfill=backfill, follows=follows)
    policy = from_dict({"Order": order, "Backfill": backfill})
    runs = [replay(workload(jobs, submissions(jobs, PROCS), graph), policy, engine) for engine in ("compiled", "simpy")]
    assert [run.start_ms.tolist() for run in runs] == [expected, expected]
    assert runs[0].decision_hash == runs[1].decision_hash
    assert runs[0].instants == runs[1].instants


def test_what_is_refused_keeps_nobody_waiting():
    """The first job is wider than the machine: it is rejected at 0, and who follows it comes ten seconds later."""
    jobs = submissions_of([(0, 50, PROCS + 1), (0, 50, 1)])
    graph = chain(2, [(0, 1, 10_000)])
    for engine in ("compiled", "simpy"):
        run = replay(workload(jobs, submissions(jobs, PROCS), graph), from_dict({"Order": "fcfs"}), engine)
        assert run.start_ms.tolist() == [-1, 10_000]


def submissions_of(rows):
    from oracles.jobs import Job

    return [Job(k + 1, submit * 1000, run * 1000, run * 1000, procs) for k, (submit, run, procs) in enumerate(rows)]


def chain(n, edges, not_before=-NEVER):
    table = np.array(edges, np.int64).reshape(-1, 3)
    return Precedence(
        *(np.ascontiguousarray(table[:, k]) for k in range(3)), 0, np.full(n, not_before), np.zeros(n, bool)
    )


def test_an_order_that_reads_the_submission_reads_the_true_one():
    """Job 3 was recorded first of all, but comes last: under F1's kind of order it must rank by when it came."""
    jobs = submissions_of([(0, 10, 4), (1, 10, 4), (2, 20, 4)])
    graph = chain(3, [(0, 1, 20_000)])  # job 2 comes at 30 s, when job 3 has just ended
    for engine in ("compiled", "simpy"):
        run = replay(
            workload(jobs, submissions(jobs, PROCS), graph),
            from_dict({"Order": "expression", "OrderExpression": "submit"}),
            engine,
        )
        assert run.start_ms.tolist() == [0, 30_000, 10_000]
        assert run.compiled.state.live.score.tolist() == [0.0, 30.0, 2.0]


# From traces


def trace_of(rows: list[dict[str, Any]], **columns: Any) -> Trace:
    table = pd.DataFrame(rows)
    defaults = {"procs_used": 1, "procs_req": 1, "limit_ms": 100_000, "wait_ms": 0, "status": 1}
    for name, value in {**defaults, **columns}.items():
        if name not in table:
            table[name] = value
    for name in {"user", "account"} & set(table):
        table[name] = table[name].astype("category")
    return Trace(table, TraceMeta("made", "swf", origin_ms=0, max_procs=PROCS))


def follow(trace, **asked):
    row = np.arange(len(trace))
    told = {"dependencies": False, "sessions": False} | asked
    return precedence(trace, row, trace.column("submit_ms"), **told)


def test_dependencies_of_a_trace():
    """Job 2 thinks 5 s after job 1; job 3 waits in the queue for job 1; job 4 follows one that is not there."""
    rows = [
        {"job_id": 1, "submit_ms": 0, "run_ms": 50_000, "after_job": -1, "think_ms": -1},
        {"job_id": 2, "submit_ms": 10_000, "run_ms": 1_000, "after_job": 1, "think_ms": 5_000},
        {"job_id": 3, "submit_ms": 20_000, "run_ms": 1_000, "after_job": 1, "think_ms": -1},
        {"job_id": 4, "submit_ms": 30_000, "run_ms": 1_000, "after_job": 99, "think_ms": 5_000},
    ]
    trace = trace_of(rows)
    ignored = replay(from_trace(trace, Conventions()), load("easy"))
    assert ignored.start_ms.tolist() == [0, 10_000, 20_000, 30_000]
    work = from_trace(trace, Conventions(dependencies="honour"))
    run = replay(work, load("easy"))
    assert run.start_ms.tolist() == [0, 55_000, 50_000, 30_000]
    table = jobs_table(work, run)
    assert table["job_id"].tolist() == [1, 4, 3, 2]
    assert table["submit_s"].tolist() == [0, 30, 50, 55]
    assert table["recorded_submit_s"].tolist() == [0, 30, 20, 10]
    assert table["wait_s"].tolist() == [0, 0, 0, 0]
    assert table["reasons"].tolist() == ["", "", "Dependency", ""]


def test_of_jobs_of_one_id_the_last_one_before_is_followed():
    """A log that counts anew: jobs 1 and 2 of the first part, jobs 1 and 2 of the second."""
    rows = [
        {"job_id": 1, "submit_ms": 0, "run_ms": 50_000, "after_job": -1, "think_ms": -1},
        {"job_id": 2, "submit_ms": 1_000, "run_ms": 1_000, "after_job": 1, "think_ms": 0},
        {"job_id": 1, "submit_ms": 60_000, "run_ms": 20_000, "after_job": -1, "think_ms": -1},
        {"job_id": 2, "submit_ms": 61_000, "run_ms": 1_000, "after_job": 1, "think_ms": 0},
        {"job_id": 3, "submit_ms": 62_000, "run_ms": 1_000, "after_job": 4, "think_ms": 0},
        {"job_id": 4, "submit_ms": 63_000, "run_ms": 7_000, "after_job": -1, "think_ms": -1},
    ]
    run = replay(from_trace(trace_of(rows), Conventions(dependencies="honour")), load("easy"))
    assert run.start_ms.tolist() == [0, 50_000, 60_000, 80_000, 70_000, 63_000]


def test_who_follows_a_job_that_never_ends():
    """Job 1 waits for ever (its user may run nothing): job 2 is in the queue with a reason, job 3 was never submitted."""
    rows = [
        {"job_id": 1, "submit_ms": 0, "run_ms": 5_000, "after_job": -1, "think_ms": -1, "user": "a"},
        {"job_id": 2, "submit_ms": 1_000, "run_ms": 5_000, "after_job": 1, "think_ms": -1, "user": "b"},
        {"job_id": 3, "submit_ms": 1_000, "run_ms": 5_000, "after_job": 1, "think_ms": 0, "user": "b"},
    ]
    trace = trace_of(rows, account="x")
    policy = from_dict({"users": [{"User": "a", "MaxJobs": 0, "Account": "x"}], "accounts": [{"Account": "x"}]})
    work = from_trace(trace, Conventions(dependencies="honour"))
    for engine in ("compiled", "simpy"):
        table = jobs_table(work, replay(work, policy, engine))
        assert table["state"].tolist() == ["PENDING", "PENDING", "DROPPED"]
        assert table["reasons"].tolist() == ["AssocMaxJobsLimit", "Dependency", ""]


def test_a_circle_is_named():
    rows = [
        {"job_id": 11, "submit_ms": 0, "run_ms": 1_000, "dependencies": (13,)},
        {"job_id": 12, "submit_ms": 0, "run_ms": 1_000, "dependencies": (11,)},
        {"job_id": 13, "submit_ms": 0, "run_ms": 1_000, "dependencies": (12,)},
        {"job_id": 14, "submit_ms": 0, "run_ms": 1_000, "dependencies": (12,)},
    ]
    with pytest.raises(TraceError, match="circle") as caught:
        from_trace(trace_of(rows), Conventions(dependencies="honour"))
    assert {"11", "12", "13"} == set(caught.value.problem.split(": ")[1].split(", "))


def test_conventions_that_do_not_go_together():
    for asked in ({"dependencies": "honour"}, {"feedback": "sessions"}):
        with pytest.raises(UserError, match="cancellation"):
            Conventions(cancelled="replay", **asked)


def test_batches_of_a_user():
    """By hand, in seconds: 1 and 2 overlap; 3 comes 5 s after both are back; 4, more than an hour on, while 3 still runs, follows 1 and 2 too."""
    late = SESSION_GAP_MS // 1000 + 200
    rows = [
        {"job_id": 1, "submit_ms": 0, "wait_ms": 10_000, "run_ms": 50_000, "user": "a"},  # back at 60
        {"job_id": 2, "submit_ms": 20_000, "wait_ms": 0, "run_ms": 70_000, "user": "a"},  # back at 90
        {"job_id": 3, "submit_ms": 95_000, "wait_ms": 0, "run_ms": 9_000_000, "user": "a"},
        {"job_id": 4, "submit_ms": late * 1000, "wait_ms": 0, "run_ms": 1_000, "user": "a"},
        {"job_id": 5, "submit_ms": late * 1000, "wait_ms": 0, "run_ms": 1_000, "user": "b"},
    ]
    graph = follow(trace_of(rows), sessions=True)
    edges = sorted(zip(graph.before.tolist(), graph.after.tolist(), graph.delay_ms.tolist(), strict=True))
    assert edges == [(0, 5, 0), (1, 5, 0), (5, 2, 5_000), (5, 3, (late - 90) * 1000)]
    assert graph.not_before_ms[[2, 3]].tolist() == [-NEVER, -NEVER]
    assert graph.follows.tolist() == [False, False, True, True, False]


def test_sessions_need_recorded_waits():
    rows = [{"job_id": 1, "submit_ms": 0, "run_ms": 1_000, "wait_ms": -1, "user": "a"}]
    with pytest.raises(TraceError, match="no waits"):
        from_trace(trace_of(rows), Conventions(feedback="sessions"))


@given(jobs=job_lists(PROCS, unit=UNIT, max_size=20), backfill=st.sampled_from(BACKFILLS))
def test_a_schedule_that_is_the_recorded_one_changes_nothing(jobs, backfill):
    """Sessions read from a schedule, replayed by the policy that made it, submit and start everything as before."""
    starts = simulate(jobs, PROCS, backfill=backfill)
    rows = [
        {
            "job_id": job.id,
            "submit_ms": job.submit,
            "wait_ms": start - job.submit,
            "run_ms": job.run,
            "limit_ms": job.limit,
            "procs_used": job.procs,
            "user": f"u{job.user}",
        }
        for job, start in zip(jobs, starts, strict=True)
    ]
    work = from_trace(trace_of(rows), Conventions(feedback="sessions"))
    run = replay(work, from_dict({"Order": "fcfs", "Backfill": backfill}))
    assert run.start_ms.tolist() == starts
    assert run.compiled.state.jobs.submit.tolist() == [job.submit for job in jobs]


def naive_path(k, limits, edges):
    return limits[k] + max((d + naive_path(b, limits, edges) for a, b, d in edges if a == k), default=0)


@given(case=cases())
def test_critical_paths(case):
    jobs, graph, _, _ = case
    edges = list(zip(graph.before.tolist(), graph.after.tolist(), graph.delay_ms.tolist(), strict=True))
    limits = [job.limit for job in jobs] + [0] * graph.n_gates
    expected = [naive_path(k, limits, edges) for k in range(len(jobs))]
    assert critical_path(graph, np.array([job.limit for job in jobs])).tolist() == expected


def test_the_critical_path_goes_first():
    """Four processors, all jobs take them whole. Job 2 is followed by a long one, so it passes job 1 and the end is nearer."""
    rows = [
        {"job_id": 1, "submit_ms": 0, "run_ms": 50_000, "dependencies": ()},
        {"job_id": 2, "submit_ms": 0, "run_ms": 10_000, "dependencies": ()},
        {"job_id": 3, "submit_ms": 0, "run_ms": 90_000, "dependencies": (2,)},
    ]
    work = from_trace(trace_of(rows, procs_used=4), Conventions(dependencies="honour", limit="exact"))
    policy = from_dict({"Order": "expression", "OrderExpression": "-critical_path"})
    assert replay(work, policy).start_ms.tolist() == [100_000, 0, 10_000]


def test_workflows_of_a_real_trace():
    """No task starts before those it depends on have ended, by the list in the file itself."""
    path = find("opendc-workflows.gwf.gz")
    trace, _ = clean(read(path))
    with gzip.open(path, "rt") as text:
        lines = list(csv.reader(text, skipinitialspace=True))
    head = [name.strip() for name in lines[0]]
    task, needs = head.index("JobID"), head.index("Dependencies")
    stated = {int(line[task]): [int(n) for n in line[needs].split() if n != "-1"] for line in lines[1:] if line}
    work = from_trace(trace, Conventions(dependencies="honour"), procs=512)
    runs = [replay(work, load("easy"), engine) for engine in ("compiled", "simpy")]
    assert runs[0].decision_hash == runs[1].decision_hash
    tables = [jobs_table(work, run) for run in runs]
    assert tables[0].equals(tables[1])
    assert tables[0]["reasons"].str.contains("Dependency").sum() > 1_000
    table = tables[0].set_index("job_id")
    end = table["end_s"].to_dict()
    checked = 0
    for job, start in table["start_s"].items():
        for other in stated[job]:
            if other in end:
                checked += 1
                assert start >= end[other]
    assert checked > 40_000


def test_users_of_a_real_trace():
    """KTH: nobody submits before what they waited for has come back, by the batches of plain loops over the log."""
    trace, _ = clean(read(find("KTH-SP2-1996-2.1-cln.swf.gz")))
    trace = first(trace, 5_000)
    runs = []
    for engine in ("compiled", "simpy"):
        work = from_trace(trace, Conventions(feedback="sessions"))
        runs.append(replay(work, load("easy"), engine))
    assert runs[0].decision_hash == runs[1].decision_hash
    submit, end = runs[0].compiled.state.jobs.submit, runs[0].end_ms
    recorded = work.jobs.submit_ms
    rows = trace.jobs.iloc[work.row]
    back = recorded + rows["wait_ms"].clip(lower=0).to_numpy() + rows["run_ms"].clip(lower=0).to_numpy()
    users = rows["user"].astype(str).to_numpy()
    moved = 0
    for user in np.unique(users):
        batches: list[list[int]] = []
        for job in np.flatnonzero(users == user).tolist():
            now = recorded[job]
            if batches and now <= max(back[batches[-1]]) and now - recorded[batches[-1][-1]] <= SESSION_GAP_MS:
                batches[-1].append(job)
            else:
                batches.append([job])
        for batch in batches:
            came = recorded[batch[0]]
            earlier = [(max(back[other]), k) for k, other in enumerate(batches) if max(back[other]) < came]
            last = batches[max(earlier)[1]] if earlier else []
            shift = max(end[last]) - max(back[last]) if last else 0
            assert submit[batch].tolist() == (recorded[batch] + shift).tolist()
            moved += len(batch) * int(shift != 0)
    assert moved > 1_000
