"""Scenarios: several centers with their traces, what may move between them, and the broker that moves it."""

from apportion.sim.scenario.load import load_scenario, preset_names, scenario_from_dict, schema
from apportion.sim.scenario.model import (
    BrokerEntry,
    CenterEntry,
    DatasetEntry,
    FailureEntry,
    JobMatch,
    LinkEntry,
    MoveRule,
    Scenario,
)

__all__ = [
    "BrokerEntry",
    "CenterEntry",
    "DatasetEntry",
    "FailureEntry",
    "JobMatch",
    "LinkEntry",
    "MoveRule",
    "Scenario",
    "load_scenario",
    "preset_names",
    "scenario_from_dict",
    "schema",
]
