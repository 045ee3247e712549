"""Budgets and refunds over several centers: one book, whichever center runs a job, in both drivers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apportion.core import reasons
from apportion.core.codes import ENDED
from federations import Job, play

ENGINES = ("compiled", "simpy")
MODES = (["managed", "managed"], ["autonomous", "autonomous"], ["managed", "autonomous"])
HOUR = 3600
DAY = 24 * HOUR


def scenario(modes, accounts, placement="urgent", latency=0, **policy):
    centers = [
        {"Center": name, "Mode": mode, "Policy": "easy", "Procs": 4, "PollInterval": 1, "Latency": latency}
        for name, mode in zip("AB", modes, strict=True)
    ]
    broker = {"Policy": {"Order": "fcfs", "accounts": accounts, **policy}, "Placement": placement, "ReplaceAfter": 0}
    return {"broker": broker, "centers": centers, "moves": [{}]}


def hours(played):
    return (played.schedule.start_ms / 1000 / HOUR).tolist()


def job(submit_h, procs, run_h, limit_h, **keys):
    return Job(int(submit_h * HOUR), procs, int(run_h * HOUR), int(limit_h * HOUR), **keys)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("placement", ["urgent", "redundant", "round-robin"])
@pytest.mark.parametrize("modes", MODES)
def test_a_hard_budget_keeps_a_job_in_the_brokers_queue(engine, modes, placement):
    """Of 10 hours 6 and 4 are promised. At 1 h both jobs have used 1 and give back 5 and 3."""
    accounts = [{"Account": "A/a", "Budget": "cpu=10", "BudgetDays": 30}]
    jobs = {"A": [job(0, 1, 1, 6), job(0, 1, 1, 4), job(0, 1, 1, 4), job(0, 1, 1, 1, account="b")], "B": []}
    played = play(scenario(modes, accounts, placement), jobs, engine)
    assert hours(played) == [0, 0, 1, 0]
    broker = played.schedule.compiled.federation.broker
    assert "QuotaBudget" in reasons.words(int(played.schedule.reasons[2]), broker.limits.bit_code)
    assert broker.budgets.left.tolist() == [7 * HOUR * 1000]
    assert not any(column.any() for column in (broker.budgets.rate, broker.budgets.promised, broker.budgets.reserved))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_bound_to_an_autonomous_center_has_its_limit_reserved(engine):
    """It takes half an hour to get there: without that, all three would have been bound at once, and 14 hours promised."""
    accounts = [{"Account": "A/a", "Budget": "cpu=10", "BudgetDays": 30}]
    jobs = {"A": [job(0, 1, 1, 6), job(0, 1, 1, 4), job(0, 1, 1, 4)], "B": []}
    data = scenario(["autonomous", "autonomous"], accounts, latency=HOUR / 2)
    assert hours(play(data, jobs, engine)) == [0.5, 0.5, 2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize(("carry", "second"), [({}, -1), ({"BudgetCarryOver": 1}, 24), ({"BudgetCarryOver": 0.3}, 48)])
def test_what_is_left_is_carried_over_whichever_center_used_the_rest(engine, modes, carry, second):
    """10 hours a day: A uses 5, so that 12 fit at B once 2 are carried: of 5, or of 1.5 and then 0.3 x 11.5."""
    accounts = [{"Account": "A/a", "Budget": "cpu=10", "BudgetDays": 1, **carry}]
    jobs = {"A": [job(0, 1, 5, 6), job(6, 1, 1, 12)], "B": []}
    played = play(scenario(modes, accounts, "round-robin"), jobs, engine)
    assert [hour if hour >= 0 else -1 for hour in hours(played)] == [0, second]
    assert played.schedule.center.tolist() == [0, 1 if second >= 0 else -1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("refund", [0, 0.5, 1])
def test_a_refund_reaches_the_books_of_the_federation(engine, refund):
    """At 2 h a short job stops a long one, whose 2 x 4 processor hours are lost; books of a managed center are those of the federation."""
    classes = {
        "PreemptType": "qos",
        "PreemptMode": "REQUEUE",
        "PreemptParameters": {"refund": refund},
        "qos": [{"Name": "short", "Priority": 10, "Preempt": ["long"]}, {"Name": "long", "Priority": 1}],
        "assign": [{"Match": {"LimitMax": "01:00:00"}, "Set": {"QOS": "short"}}, {"Set": {"QOS": "long"}}],
    }
    accounts = [{"Account": "A/a", "Budget": "cpu=100", "BudgetDays": 30}, {"Account": "A/b"}]
    found = []
    for mode in ("managed", "autonomous"):
        data = scenario([mode, mode], accounts, Order="multifactor", **classes)
        data["centers"][0]["ExchangeRate"] = 1.5
        data["centers"][1]["Drain"] = True
        for entry in data["centers"]:
            entry["Policy"] = {"Order": "fcfs", "Backfill": "easy", **classes}
        played = play(data, {"A": [job(0, 4, 5, 8), job(2, 1, 1, 1, account="b")], "B": []}, engine)
        assert hours(played) == [3, 2]
        broker = played.schedule.compiled.federation.broker
        assert broker.budgets.left.tolist() == [(100 - 4 * 5 - 8 * (1 - refund)) * HOUR * 1000]
        found.append(broker.usage.value.copy())
    assert found[0].max() > 0
    assert found[1] == pytest.approx(found[0], rel=1e-9)


JOB = st.builds(
    job,
    submit_h=st.integers(0, 30),
    procs=st.integers(1, 4),
    run_h=st.integers(0, 8),
    limit_h=st.integers(1, 8),
    account=st.sampled_from(["a", "b"]),
)


@st.composite
def cases(draw):
    modes = draw(st.sampled_from(MODES))
    accounts = [
        {
            "Account": f"A/{name}",
            "Budget": f"cpu={draw(st.integers(8, 30))}",
            "BudgetDays": 1,
            **draw(st.sampled_from([{}, {}, {"BudgetCarryOver": 0.5}, {"BudgetEnd": "soft"}])),
        }
        for name in "ab"
    ]
    placement = draw(st.sampled_from(["urgent", "round-robin", "least-loaded", "redundant"]))
    data = scenario(modes, accounts, placement, draw(st.sampled_from([0, 900])))
    data["broker"]["ReplaceAfter"] = draw(st.sampled_from([0, 1]))
    mine = draw(st.lists(JOB, min_size=1, max_size=12))
    wait = st.one_of(st.none(), st.none(), st.integers(0, 10 * HOUR))
    late = [draw(wait) for _ in mine]
    return data, [j if d is None else j._replace(cancel=j.submit + d) for j, d in zip(mine, late, strict=True)]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(cases())
def test_no_day_uses_more_than_its_hard_budget(case):
    data, mine = case
    played = {engine: play(data, {"A": mine, "B": []}, engine) for engine in ENGINES}
    assert len({p.schedule.decision_hash for p in played.values()}) == 1
    one = played["compiled"]
    books = one.schedule.compiled.federation.broker.budgets
    assert not any(column.any() for column in (books.rate, books.promised, books.reserved, books.held))
    names = [one.workload.jobs.account.names[code] for code in one.workload.jobs.account.codes]
    ran = np.flatnonzero(one.schedule.state == ENDED)
    for entry in data["broker"]["Policy"]["accounts"]:
        if "BudgetCarryOver" in entry or "BudgetEnd" in entry:
            continue
        for day in range(6):
            low, high = day * DAY * 1000, (day + 1) * DAY * 1000
            used = sum(
                int(one.workload.jobs.procs[k])
                * max(0, min(int(one.schedule.end_ms[k]), high) - max(int(one.schedule.start_ms[k]), low))
                for k in ran
                if names[k] == entry["Account"]
            )
            assert used <= int(entry["Budget"][4:]) * HOUR * 1000, (entry, day)
