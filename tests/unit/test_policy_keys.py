"""A key that is accepted acts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import apportion.policy
from apportion.core import limit_build
from apportion.policy.keys import ALIASES, NOT_SIMULATED
from apportion.policy.model import Policy
from apportion.policy.sections import (
    AccountEntry,
    AssignMatch,
    AssignTarget,
    PartitionEntry,
    PreemptOptions,
    QosEntry,
    ReservationEntry,
    SchedulerOptions,
    ShareOptions,
    UserEntry,
)

MODELS = (
    Policy,
    SchedulerOptions,
    PreemptOptions,
    ShareOptions,
    AccountEntry,
    UserEntry,
    QosEntry,
    PartitionEntry,
    ReservationEntry,
    AssignMatch,
    AssignTarget,
)
# Modules that read, write and question a policy; all others act on it.
WRITING = {"model", "fields", "keys", "structure", "canonical", "lint", "load", "diff", "source"}
# Keys that act through a property of the model, or on the reading itself.
THROUGH = {
    "Name": "Description",
    "Description": "Description",
    "AllowZeroShares": "Description",
    "ShareEngine": "share_engine",
    "PriorityFlags": "PriorityFlags",
    "AccountingStorageEnforce": "enforce",
    "Pool": "pool",
    "Procs": "capacity",
    "Nodes": "capacity",
    "TRES": "capacity",
    "Match": "labels",
    "CoreCnt": "capacity",
    "NodeCnt": "capacity",
    "EndTime": "duration",
    "Duration": "duration",
}


def acting_source() -> str:
    (folder,) = (Path(place) for place in apportion.policy.__path__)
    files = sorted(path for path in folder.glob("*.py") if path.stem not in WRITING)
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_read(model):
    source = acting_source()
    limits = {*limit_build.ASSOCIATION_LIMITS, *limit_build.QOS_LIMITS}
    for key in model.model_fields:
        if key in limits or THROUGH.get(key) == "Description":
            continue
        name = THROUGH.get(key, key)
        assert re.search(rf"\.{name}\b|[\"']{name}[\"']", source), f"nothing reads {key}"


def test_tables_of_spellings_name_real_keys():
    for model, aliases in ALIASES.items():
        for alias, name in aliases.items():
            assert alias == alias.lower()
            assert name in model.model_fields
    for model, keys in NOT_SIMULATED.items():
        assert not {name.lower() for name in model.model_fields} & set(keys)
