"""What a scenario must fulfil beyond the types of its keys; each fault names the place and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from pydantic_core import PydanticCustomError

from apportion.core.errors import ScenarioError
from apportion.policy.fields import nearest

if TYPE_CHECKING:
    from apportion.sim.scenario.model import DatasetEntry, Scenario


def _fault(problem: str, remedy: str, *at: str | int) -> NoReturn:
    raise PydanticCustomError("structure", "{problem}", {"problem": problem, "remedy": remedy, "at": at})


def check(scenario: Scenario) -> None:
    """Check that all parts of a scenario fit together."""
    names = [entry.Center for entry in scenario.centers]
    for i, name in enumerate(names):
        if name in names[:i]:
            _fault(f"there are two centers named {name}", "name one of them otherwise", "centers", i, "Center")
        if "/" in name:
            _fault(
                f"the name {name} holds a slash, which stands between center and account", "leave it out", "centers", i
            )
    _window(scenario)
    _links(scenario, names)
    for i, rule in enumerate(scenario.moves):
        _known(rule.Match.Center, names, "moves", i, "Match")
    for i, failure in enumerate(scenario.failures):
        _known([failure.Center] if failure.Center else [], names, "failures", i, "Center")
        if failure.MTBF == 0 and not failure.Log:
            _fault("a failure without MTBF or Log never happens", "give one of them", "failures", i)
    taken: set[str] = set()
    for i, dataset in enumerate(scenario.datasets):
        if dataset.Dataset in taken:
            _fault(
                f"there are two datasets named {dataset.Dataset}",
                "name one of them otherwise",
                "datasets",
                i,
                "Dataset",
            )
        taken.add(dataset.Dataset)
        _dataset(scenario, dataset, i, names)


def _window(scenario: Scenario) -> None:
    begin, end = scenario.Start, scenario.End
    for key, moment in (("Start", begin), ("End", end)):
        if moment is not None and moment.from_origin:
            _fault(f"{key} counts from the origin of a trace", "give a date: centers share one calendar", key)
    if begin is not None and end is not None and end.seconds <= begin.seconds:
        _fault("End is not after Start", "exchange or correct them", "End")


def _known(found: Iterable[str], names: list[str], *at: str | int) -> None:
    for name in found:
        if name not in names:
            near = nearest(name, names)
            _fault(
                f"there is no center {name}",
                f"did you mean {near}?" if near else f"centers are {', '.join(names)}",
                *at,
            )


def _links(scenario: Scenario, names: list[str]) -> None:
    ends = [end for link in scenario.links for end in (link.From, link.To)]
    for i, link in enumerate(scenario.links):
        if link.From == link.To:
            _fault(f"a link leads from {link.From} to itself", "give two ends", "links", i)
        for end in (link.From, link.To):
            if end not in names and ends.count(end) == 1:
                near = nearest(end, names)
                _fault(
                    f"a link leads to {end}, which is neither a center nor a waypoint of another link",
                    f"did you mean {near}?" if near else f"centers are {', '.join(names)}",
                    "links",
                    i,
                )


def _dataset(scenario: Scenario, dataset: DatasetEntry, i: int, names: list[str]) -> None:
    at = ("datasets", i)
    _known(dataset.Match.Center, names, *at, "Match")
    _known(dataset.Replicas, names, *at, "Replicas")
    _known(dataset.Residency, names, *at, "Residency")
    allowed = dataset.Residency or tuple(names)
    outside = [name for name in dataset.Replicas if name not in allowed]
    if outside and len(outside) == len(dataset.Replicas):
        _fault(
            f"the residency rule of {dataset.Dataset} excludes every center that has it",
            "name one of its replicas",
            *at,
            "Residency",
        )
    if outside:
        _fault(f"{dataset.Dataset} is at {outside[0]}, where it may not be", "correct Residency or Replicas", *at)
    open_centers = [entry.Center for entry in scenario.centers if entry.Center in allowed and not entry.Drain]
    if not open_centers:
        _fault(
            f"the residency rule of {dataset.Dataset} excludes every center that takes jobs",
            "name one that is not drained",
            *at,
            "Residency",
        )
    storage = {entry.Center: entry.Storage for entry in scenario.centers}
    for name in dataset.Replicas:
        room = storage[name]
        if room is not None and dataset.Size > room:
            _fault(
                f"{dataset.Dataset} is larger than the storage of {name}, where it is", "correct Size or Storage", *at
            )


def check_overlap(scenario: Scenario, spans: dict[str, tuple[int, int]]) -> None:
    """Check that the traces meet in the scenario's window.

    Parameters
    ----------
    spans : dict
        First and last submission of each center that has a trace, in ms, shifted.

    Raises
    ------
    ScenarioError
        If a trace has no job in the window, or two traces never run side by side.
    """
    begin = -(2**62) if scenario.Start is None else scenario.Start.seconds * 1000
    end = 2**62 if scenario.End is None else scenario.End.seconds * 1000
    for name, (first, last) in spans.items():
        if last < begin or first >= end:
            raise ScenarioError(
                f"the trace of {name} runs from {_day(first)} to {_day(last)}, outside of the scenario",
                "correct Start and End, or shift the trace (Shift)",
            )
    if spans:
        late = max(spans, key=lambda name: spans[name][0])
        early = min(spans, key=lambda name: spans[name][1])
        if spans[late][0] > spans[early][1]:
            raise ScenarioError(
                f"the traces do not overlap: that of {early} ends on {_day(spans[early][1])}, that of {late} begins on "
                f"{_day(spans[late][0])}",
                "shift one of them (Shift)",
            )


def _day(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
