"""Every real trace under every main policy: both drivers give the same decisions and the same table."""

from __future__ import annotations

import hashlib

import pytest

from apportion.policy.load import load
from apportion.sim.conventions import Conventions
from apportion.sim.replay import replay
from apportion.sim.runfolder import jobs_table
from apportion.sim.workload import from_trace
from apportion.traces import read
from apportion.traces.clean import clean
from apportion.traces.transform import first
from real_traces import find, manifest

JOBS = 4_000  # of each trace: the whole ones are replayed by the benchmarks
POLICIES = ("fcfs", "easy", "conservative", "sjf", "multifactor", "slurm")


@pytest.mark.parametrize("name", [name for name, _ in manifest()])
def test_drivers_agree(name, tmp_path):
    trace, _ = clean(read(find(name)))
    trace = first(trace, JOBS)
    for policy in POLICIES:
        tables = []
        hashes = []
        for engine in ("compiled", "simpy"):
            workload = from_trace(trace, Conventions())
            schedule = replay(workload, load(policy), engine)
            path = tmp_path / f"{engine}.parquet"
            jobs_table(workload, schedule).to_parquet(path, index=False)
            tables.append(hashlib.sha256(path.read_bytes()).hexdigest())
            hashes.append(schedule.decision_hash)
        assert hashes[0] == hashes[1], policy
        assert tables[0] == tables[1], policy
