"""Redundant requests: data come to every center that may have a job, and the broker's books are even when all is over; in both drivers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core.codes import CANCELLED, ENDED, REJECTED
from federations import Job, play

ENGINES = ("compiled", "simpy")
NAMES = ("A", "B", "C")
MODES = (["managed", "managed"], ["autonomous", "autonomous"], ["managed", "autonomous"])


def scenario(modes, policy="fcfs", **keys):
    centers = [
        {"Center": name, "Mode": mode, "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": 0}
        for name, mode in zip(NAMES, modes, strict=False)
    ]
    links = [{"From": name, "To": "hub", "Bandwidth": "1GB/s"} for name in NAMES[: len(modes)]]
    broker = {"Policy": policy, "Placement": "redundant"}
    return {"broker": broker, "centers": centers, "links": links, "moves": [{}], **keys}


def dataset(*replicas, size="10GB"):
    return [{"Dataset": "d", "Size": size, "Replicas": list(replicas), "Match": {"User": ["needs"]}}]


def starts(played):
    return (played.schedule.start_ms // 1000).tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
def test_a_copy_of_the_job_follows_its_data(engine, modes):
    """A has the data and is full until 100. They are at B at 10 (10 GB at 1 GB/s), and there the job starts."""
    data = scenario(modes, datasets=dataset("A"))
    data["moves"] = [{"Match": {"User": ["needs"]}}]
    played = play(data, {"A": [Job(0, 4, 100, 100), Job(1, 2, 20, 20, user="needs")], "B": []}, engine)
    assert starts(played) == [0, 11]
    assert played.schedule.center.tolist() == [0, 1]
    traffic = played.schedule.traffic
    assert traffic.begin.tolist() == [-1, 1000]
    assert traffic.end.tolist() == [-1, 11000]
    assert traffic.asked.tolist() == [0, 1]
    places = played.schedule.compiled.federation.places
    assert (int(places.bound[1]), int(places.travel[1])) == (1000, 10_000)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
def test_no_copy_follows_once_the_job_has_started(engine, modes):
    data = scenario(modes, datasets=dataset("A"))
    data["moves"] = [{"Match": {"User": ["needs"]}}]
    played = play(data, {"A": [Job(0, 4, 5, 5), Job(1, 2, 50, 50, user="needs")], "B": [Job(20, 4, 10, 10)]}, engine)
    assert starts(played) == [0, 5, 20]
    assert played.schedule.center.tolist() == [0, 0, 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
def test_data_that_nobody_has_come_to_all(engine, modes):
    """Only C, which takes no jobs, has the data. Two copies share its link: both are there at 20, and A is the first center."""
    data = scenario([*modes, "autonomous"], datasets=dataset("C"))
    data["centers"][2]["Drain"] = True
    played = play(data, {"A": [Job(0, 2, 50, 50, user="needs")], "B": [], "C": []}, engine)
    assert starts(played) == [20]
    assert played.schedule.center.tolist() == [0]
    assert sorted(played.schedule.traffic.end.tolist()) == [-1, 20_000, 20_000]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
def test_a_job_can_be_cancelled_while_its_data_are_under_way(engine, modes):
    quota = {"Account": "A/a", "NominalQuota": "cpu=8", "QueueingStrategy": "StrictFIFO", "MaxSubmitJobs": 1}
    policy = {"Order": "fcfs", "accounts": [quota], "AccountingStorageEnforce": ["limits"]}
    data = scenario([*modes, "autonomous"], policy, datasets=dataset("C"))
    data["centers"][2]["Drain"] = True
    jobs = {"A": [Job(0, 2, 50, 50, user="needs", cancel=7), Job(8, 2, 5, 5)], "B": [], "C": []}
    played = play(data, jobs, engine)
    assert played.schedule.state.tolist() == [CANCELLED, ENDED]
    assert starts(played) == [-1, 8]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
def test_a_job_that_may_run_nowhere_is_off_the_books(engine, modes):
    quota = {"Account": "A/a", "NominalQuota": "cpu=8", "QueueingStrategy": "StrictFIFO", "MaxSubmitJobs": 1}
    policy = {"Order": "fcfs", "accounts": [quota], "AccountingStorageEnforce": ["limits"]}
    for placement in ("redundant", "urgent"):
        data = scenario(modes, policy)
        data["broker"]["Placement"] = placement
        played = play(data, {"A": [Job(0, 5, 50, 50), Job(8, 2, 5, 5)], "B": []}, engine)
        assert played.schedule.state.tolist() == [REJECTED, ENDED]


JOB = st.builds(
    Job,
    submit=st.integers(0, 60),
    procs=st.integers(1, 5),
    run=st.integers(0, 60),
    limit=st.integers(1, 60),
    user=st.sampled_from(["u", "v", "needs"]),
    account=st.sampled_from(["a", "b"]),
    cancel=st.none(),
)


@st.composite
def cases(draw):
    modes = draw(st.lists(st.sampled_from(["managed", "autonomous"]), min_size=2, max_size=3))
    limits = st.fixed_dictionaries(
        {},
        optional={
            "GrpTRES": st.sampled_from(["cpu=3", "cpu=6"]),
            "MaxSubmitJobs": st.integers(1, 3),
            "MaxJobs": st.integers(1, 2),
            "NominalQuota": st.sampled_from(["cpu=3", "cpu=6"]),
            "QueueingStrategy": st.just("StrictFIFO"),
        },
    )
    accounts = [{"Account": f"{center}/{name}", **draw(limits)} for center in "AB" for name in "ab"]
    policy = {"Order": "fcfs", "accounts": accounts, "AccountingStorageEnforce": ["limits"]}
    data = scenario(modes, policy, Seed=draw(st.integers(0, 9)))
    data["moves"] = [{"Fraction": draw(st.sampled_from([0.5, 1]))}]
    for entry in data["centers"]:
        entry["Policy"] = draw(st.sampled_from(["fcfs", "easy", "conservative", "slurm"]))
    if draw(st.booleans()):
        names = NAMES[: len(modes)]
        data["datasets"] = dataset(draw(st.sampled_from(names)), size=draw(st.sampled_from(["5GB", "50GB"])))
        if draw(st.booleans()):
            data["centers"][names.index(data["datasets"][0]["Replicas"][0])]["Drain"] = True
    if draw(st.booleans()):
        cut = {"Kind": "network", "Center": draw(st.sampled_from("AB")), "MTBF": 40, "Repair": 10}
        fails = {"Kind": "node", "Center": draw(st.sampled_from("AB")), "MTBF": 60, "Repair": 10, "Procs": 2}
        data["failures"] = draw(st.lists(st.sampled_from([cut, fails]), min_size=1, max_size=2))
    jobs = {}
    for name in NAMES[: len(modes)]:
        mine = draw(st.lists(JOB, min_size=1, max_size=8))
        late = st.one_of(st.none(), st.integers(0, 40))
        jobs[name] = [job._replace(cancel=None if (d := draw(late)) is None else job.submit + d) for job in mine]
    return data, jobs


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases())
def test_drivers_agree_and_the_books_are_even_in_the_end(case):
    data, jobs = case
    played = {engine: play(data, jobs, engine) for engine in ENGINES}
    assert len({p.schedule.decision_hash for p in played.values()}) == 1
    one = played["compiled"].schedule
    f = one.compiled.federation
    waits = ~np.isin(one.state, (ENDED, CANCELLED, REJECTED))
    assert (one.start_ms[~waits & (one.state == ENDED)] >= 0).all()
    assert f.broker.quotas.usage.sum() == 0
    assert int(f.broker.quotas.waiting.sum()) <= int(waits.sum())
    if not waits.any():
        assert not f.broker.quotas.waiting.any()
        assert not f.broker.counters.totals.any()
        assert not f.broker.counters.owner.any()
        assert not f.seen.owed.any()
        assert int(f.broker.clock.pending[0]) == 0
    arrived = [k for k in range(len(one.state)) if one.start_ms[k] >= 0 and f.places.dataset[k] >= 0]
    for k in arrived:  # nobody runs where its data are not
        copy = int(f.places.dataset[k]) * len(f.cores) + int(one.center[k])
        if f.places.where[k] != 0:
            came = int(one.traffic.end[copy])
            assert one.traffic.holds.ravel()[copy] == 1
            assert came <= one.start_ms[k]
