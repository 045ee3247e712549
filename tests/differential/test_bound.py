"""The offline bound: equal to trying everything where that is possible, and never above what any placement reaches."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core.codes import ENDED
from apportion.core.errors import UserError
from apportion.sim.federation.bound import bound
from apportion.sim.federation.compile import compile_federation
from apportion.sim.federation.moves import moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.workload import merge
from apportion.sim.scenario import scenario_from_dict
from federations import Job, part, play

pytest.importorskip("ortools")

SETTINGS = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
PLACEMENTS = ("home", "balanced", "urgent", "least-loaded", "round-robin", "redundant")


def federation(procs, placement="balanced"):
    return {
        "broker": {"Policy": "fcfs", "Placement": placement},
        "centers": [
            {"Center": name, "Mode": "managed", "Policy": "easy", "Procs": n}
            for name, n in zip("AB", procs, strict=True)
        ],
        "moves": [{"Fraction": 1}],
    }


def solved(data, jobs, seconds=30.0):
    scenario = scenario_from_dict(data)
    workload = merge(list("AB"), [part(jobs[name], n["Procs"]) for name, n in zip("AB", data["centers"], strict=True)])
    moves = moves_of(scenario, workload, data_times(scenario))
    return workload, bound(workload, compile_federation(scenario, workload, moves), seconds)


def least_wait_s(jobs, procs):
    """Sum of waits of the best schedule: every job at every center, in every order, as early as it fits. For a sum of starts one of these is best."""
    best = None
    for order in permutations(range(len(jobs))):
        for where in product(range(len(procs)), repeat=len(jobs)):
            if any(jobs[k].procs > procs[where[k]] for k in order):
                continue
            placed = []
            for k in order:
                job, center = jobs[k], where[k]
                moments = sorted({job.submit, *(end for _, end, _, _ in placed if end > job.submit)})
                start = next(t for t in moments if fits(placed, center, t, job, procs[center]))
                placed.append((start, start + min(job.run, job.limit), center, job.procs))
            wait = sum(start - jobs[k].submit for k, (start, *_) in zip(order, placed, strict=True))
            best = wait if best is None else min(best, wait)
    return best


def fits(placed, center, start, job, procs):
    end = start + min(job.run, job.limit)
    for moment in {start, *(begin for begin, _, _, _ in placed if start < begin < end)}:
        used = sum(n for begin, until, at, n in placed if at == center and begin <= moment < until)
        if start < end and used + job.procs > procs:
            return False
    return True


JOB = st.builds(
    Job,
    submit=st.integers(0, 4),
    procs=st.integers(1, 3),
    run=st.integers(1, 6),
    limit=st.integers(4, 8),
    user=st.just("u"),
    account=st.just("a"),
    cancel=st.none(),
)


@given(st.lists(JOB, min_size=1, max_size=2), st.lists(JOB, min_size=1, max_size=2), st.sampled_from([(3, 3), (3, 4)]))
@SETTINGS
def test_it_is_what_trying_everything_finds(mine, theirs, procs):
    workload, found = solved(federation(procs), {"A": mine, "B": theirs})
    assert found.is_optimal
    assert found.best_wait_s == found.least_wait_s == least_wait_s(mine + theirs, procs)
    for center, there in enumerate(procs):
        here = found.target == center
        starts = np.flatnonzero(here)
        for k in starts:
            now = found.start_s[k]
            runs = here & (found.start_s <= now) & (now < found.start_s + workload.run_ms // 1000)
            assert workload.jobs.procs[runs].sum() <= there


@given(st.lists(JOB, min_size=2, max_size=8), st.lists(JOB, min_size=1, max_size=8), st.sampled_from(PLACEMENTS))
@SETTINGS
def test_no_placement_waits_less(mine, theirs, placement):
    data = federation((3, 5), placement)
    _, found = solved(data, {"A": mine, "B": theirs}, seconds=0.2)
    schedule = play(data, {"A": mine, "B": theirs}).schedule
    assert (schedule.state == ENDED).all()
    assert (schedule.start_ms - schedule.submit_ms).sum() / 1000 >= found.least_wait_s


def test_data_come_no_sooner_than_the_link_carries_them():
    data = federation((1, 1))
    data["links"] = [{"From": "A", "To": "B", "Bandwidth": "1GB/s"}]
    data["datasets"] = [{"Dataset": "d", "Size": "100GB", "Replicas": ["A"], "Match": {"User": ["u"]}}]
    data["moves"] = [{"Match": {"User": ["u"]}}]
    jobs = {"A": [Job(0, 1, 300, 300, user="v"), Job(150, 1, 10, 300)], "B": [Job(0, 1, 10, 300, user="v")]}
    _, found = solved(data, jobs)
    # At B after the copy; at A it would be 150 s after the long one, or 160 s for the long one after it.
    assert found.best_wait_s == 100


def test_too_many_jobs_are_refused():
    jobs = {"A": [Job(0, 1, 1, 1)] * 400, "B": [Job(0, 1, 1, 1)] * 400}
    with pytest.raises(UserError, match="too many"):
        solved(federation((3, 3)), jobs)
