"""Share engines of other schedulers rank the jobs of a replay, in both drivers, by what the schedule says was used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apportion.core import share
from apportion.core.handle import handle
from apportion.policy.compile import Compiled
from apportion.policy.load import from_dict
from apportion.sim.conventions import Conventions
from apportion.sim.replay import replay
from apportion.sim.workload import Workload, from_trace
from apportion.traces.synth import lublin
from driving import run
from oracles import engines_over_time as oracle
from oracles.engines_over_time import Ran, World
from oracles.fairshare import Node
from oracles.jobs import Job

HOUR = 3_600_000
PROCS = 64
RULES: dict[str, Any] = {
    "Order": "multifactor",
    "Backfill": "easy",
    "PriorityWeightFairshare": 100_000,
    "PriorityWeightAge": 10,
    "PriorityCalcPeriod": "01:00:00",
}
LSF = {"HIST_HOURS": 10, "COMMITTED_RUN_TIME_FACTOR": 0.5, "ENABLE_HIST_RUN_TIME": "YES"}
OAR = {"SCHEDULER_FAIRSHARING_WINDOW_SIZE": "2-0", "SCHEDULER_FAIRSHARING_COEF_PROJECT": 3}
CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    # keys of the policy, and what the oracle is told
    "condor": ({"PRIORITY_HALFLIFE": "12:00:00"}, (43_200, 1000.0)),
    "drf": ({}, ((PROCS,),)),
    "flux": ({"UsageBins": 3}, (86_400_000, 3)),
    "kai": ({"WindowSize": "1-0", "KValue": 2}, (86_400_000 // 7, 7, 2.0, PROCS)),
    "karma": ({"Quantum": "02:00:00", "Alpha": 0.25, "InitialCredits": 5}, (2 * HOUR, 0.25, 5.0, PROCS)),
    "lsf": (LSF, (10, (0.7, 0.7, 0.5, 3.0), True)),
    "moab": ({"FSINTERVAL": "06:00:00", "FSDEPTH": 4, "FSDECAY": 0.5, "FSUSERWEIGHT": 3}, (6 * HOUR, 4, 0.5, (3, 1))),
    "oar": (OAR, (24 * HOUR, 2, (3, 2, 1))),
}


def tree_of(compiled: Compiled) -> list[Node]:
    """The association tree as nested nodes, by row, each named for it."""
    assert compiled.tree is not None
    accounts = compiled.tree.accounts
    nodes = [
        Node(str(i), int(accounts.shares[i]), is_user=bool(accounts.is_user[i])) for i in range(len(accounts.parent))
    ]
    for i, node in enumerate(nodes[1:], start=1):
        nodes[accounts.parent[i]].children.append(node)
    return nodes


def jobs_of(workload: Workload, compiled: Compiled, end_ms: np.ndarray) -> list[Ran]:
    state = compiled.state
    return [
        Ran(
            user=str(state.jobs.assoc[k]),
            start=int(state.live.start[k]),
            end=int(end_ms[k]),
            limit=int(state.jobs.limit[k]),
            units=1000 * int(state.jobs.procs[k]),
            tres=(int(state.jobs.procs[k]),),
        )
        for k in range(len(workload))
    ]


@pytest.mark.parametrize("name", CASES)
def test_drivers_agree_and_factors_follow_from_the_schedule(name: str):
    """Half of the machine is asked for more than it has, so that ranks decide; limits are as users gave them."""
    keys, told = CASES[name]
    workload = from_trace(lublin(150, 5, procs=PROCS, load=1.3, users=8, accounts=3), Conventions())
    half_life = {"PriorityDecayHalfLife": "1-0"}
    policy = from_dict(RULES | half_life | {"ShareEngine": name, "ShareParameters": keys})
    done = [replay(workload, policy, engine) for engine in ("compiled", "simpy")]
    assert done[0].decision_hash == done[1].decision_hash
    unweighed = policy.model_copy(update={"PriorityWeightFairshare": 0})
    assert replay(workload, unweighed).decision_hash != done[0].decision_hash

    compiled = done[0].compiled
    state = compiled.state.share
    first = int(workload.jobs.submit_ms[0])
    last = int(done[0].end_ms.max()) + HOUR
    share.advance(handle(compiled.state.accounts), handle(state), last)
    share.fairshare_factors(handle(compiled.state.accounts), compiled.state.usage.value[0], handle(state))
    rows = tree_of(compiled)
    want = oracle.BY_NAME[name](
        World(rows[0], rows, jobs_of(workload, compiled, done[0].end_ms), first, last, HOUR), *told
    )
    assert {row: state.fairshare[int(row)] for row in want} == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_who_has_used_nothing_passes_who_holds_half_of_the_machine(name: str):
    """User 1 has two of four processors all the time; user 2 comes last and goes first when the other two come free."""
    jobs = [
        Job(id=1, submit=0, run=40 * HOUR, limit=40 * HOUR, procs=2, user=1),
        Job(id=2, submit=0, run=20 * HOUR, limit=20 * HOUR, procs=2, user=3),
        Job(id=3, submit=1 * HOUR, run=5 * HOUR, limit=5 * HOUR, procs=2, user=1),
        Job(id=4, submit=2 * HOUR, run=5 * HOUR, limit=5 * HOUR, procs=2, user=2),
    ]
    keys = {key: value for key, value in RULES.items() if key not in ("Order", "Backfill")}
    names = {"names": {"account": lambda job: f"a{job.user}"}}
    starts = run(
        jobs, 4, "multifactor", "easy", **names, **keys, ShareEngine=name, ShareParameters=CASES[name][0]
    ).starts
    assert starts == [0, 0, 25 * HOUR, 20 * HOUR]
    without = keys | {"PriorityWeightFairshare": 0, "PriorityWeightAge": 100_000}
    assert run(jobs, 4, "multifactor", "easy", **names, **without, ShareEngine=name).starts == [
        0,
        0,
        20 * HOUR,
        25 * HOUR,
    ]


def test_more_shares_go_first_whatever_the_engine():
    """Equal usage until 20 h; then the account with nine times the shares goes first, though it comes last."""
    jobs = [
        Job(id=1, submit=0, run=20 * HOUR, limit=20 * HOUR, procs=2, user=1),
        Job(id=2, submit=0, run=20 * HOUR, limit=20 * HOUR, procs=2, user=2),
        Job(id=3, submit=1 * HOUR, run=5 * HOUR, limit=5 * HOUR, procs=4, user=1),
        Job(id=4, submit=2 * HOUR, run=5 * HOUR, limit=5 * HOUR, procs=4, user=2),
    ]
    keys = {key: value for key, value in RULES.items() if key not in ("Order", "Backfill")}
    accounts = [{"Account": "a1", "Fairshare": 1}, {"Account": "a2", "Fairshare": 9}]
    for name in CASES:
        done = run(
            jobs,
            4,
            "multifactor",
            names={"account": lambda job: f"a{job.user}"},
            **keys,
            ShareEngine=name,
            ShareParameters=CASES[name][0],
            accounts=accounts,
        )
        assert done.starts == [0, 0, 25 * HOUR, 20 * HOUR], name
