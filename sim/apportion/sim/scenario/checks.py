"""What a scenario must fulfil beyond the types of its keys; each fault names the place and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from apportion.policy.fields import nearest

if TYPE_CHECKING:
    from apportion.core.errors import ScenarioError
    from apportion.sim.scenario.model import DatasetEntry, Scenario

Place = tuple[str | int, ...]


class Fault(NamedTuple):
    """What is wrong, what to do about it, and where in the scenario it stands."""

    problem: str
    remedy: str
    at: Place


def faults(scenario: Scenario) -> Iterator[Fault]:
    """Everything in which parts of a scenario do not fit together."""
    names = [entry.Center for entry in scenario.centers]
    yield from _names(names)
    yield from _window(scenario)
    yield from _links(scenario, names)
    for i, rule in enumerate(scenario.moves):
        yield from _unknown(rule.Match.Center, names, "moves", i, "Match", "Center")
    for i, failure in enumerate(scenario.failures):
        yield from _unknown([failure.Center] if failure.Center else [], names, "failures", i, "Center")
        if failure.MTBF == 0 and not failure.Log:
            yield Fault("a failure without MTBF or Log never happens", "give one of them", ("failures", i))
    taken: set[str] = set()
    for i, dataset in enumerate(scenario.datasets):
        if dataset.Dataset in taken:
            at = ("datasets", i, "Dataset")
            yield Fault(f"there are two datasets named {dataset.Dataset}", "name one of them otherwise", at)
        taken.add(dataset.Dataset)
        yield from _dataset(scenario, dataset, i, names)


def _names(names: list[str]) -> Iterator[Fault]:
    for i, name in enumerate(names):
        at = ("centers", i, "Center")
        if name in names[:i]:
            yield Fault(f"there are two centers named {name}", "name one of them otherwise", at)
        if "/" in name:
            problem = f"the name {name} holds a slash, which stands between center and account"
            yield Fault(problem, "leave it out", at)


def _window(scenario: Scenario) -> Iterator[Fault]:
    begin, end = scenario.Start, scenario.End
    for key, moment in (("Start", begin), ("End", end)):
        if moment is not None and moment.from_origin:
            problem = f"{key} counts from the origin of a trace"
            yield Fault(problem, "give a date: centers share one calendar", (key,))
            return
    if begin is not None and end is not None and end.seconds <= begin.seconds:
        yield Fault("End is not after Start", "exchange or correct them", ("End",))


def _unknown(found: Iterable[str], names: list[str], *at: str | int) -> Iterator[Fault]:
    for name in found:
        if name not in names:
            yield Fault(f"there is no center {name}", _nearest_center(name, names), at)


def _nearest_center(name: str, names: list[str]) -> str:
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"centers are {', '.join(dict.fromkeys(names))}"


def _links(scenario: Scenario, names: list[str]) -> Iterator[Fault]:
    ends = [end for link in scenario.links for end in (link.From, link.To)]
    for i, link in enumerate(scenario.links):
        if link.From == link.To:
            yield Fault(f"a link leads from {link.From} to itself", "give two ends", ("links", i, "To"))
        for key, end in (("From", link.From), ("To", link.To)):
            if end not in names and ends.count(end) == 1:
                problem = f"a link leads to {end}, which is neither a center nor a waypoint of another link"
                yield Fault(problem, _nearest_center(end, names), ("links", i, key))


def _dataset(scenario: Scenario, dataset: DatasetEntry, i: int, names: list[str]) -> Iterator[Fault]:
    at = ("datasets", i)
    yield from _unknown(dataset.Match.Center, names, *at, "Match", "Center")
    yield from _unknown(dataset.Replicas, names, *at, "Replicas")
    yield from _unknown(dataset.Residency, names, *at, "Residency")
    if not dataset.Replicas:
        yield Fault(f"{dataset.Dataset} is nowhere", "name the centers that have it", (*at, "Replicas"))
    allowed = [name for name in names if name in dataset.Residency] if dataset.Residency else names
    has_it = [name for name in dataset.Replicas if name in names]
    outside = [name for name in has_it if name not in allowed]
    is_open = {entry.Center: not entry.Drain for entry in scenario.centers}
    if not allowed:
        yield Fault(
            f"the residency rule of {dataset.Dataset} excludes every center",
            f"name one of {', '.join(names)}, or leave Residency out",
            (*at, "Residency"),
        )
    elif outside and len(outside) == len(has_it):
        yield Fault(
            f"the residency rule of {dataset.Dataset} excludes every center that has it",
            f"name one of {', '.join(has_it)}",
            (*at, "Residency"),
        )
    elif outside:
        problem = f"{dataset.Dataset} is at {outside[0]}, where it may not be"
        yield Fault(problem, "correct Residency or Replicas", (*at, "Replicas"))
    elif not any(is_open[name] for name in allowed):
        yield Fault(
            f"the residency rule of {dataset.Dataset} excludes every center that takes jobs",
            "name one that is not drained",
            (*at, "Residency"),
        )
    room = {entry.Center: entry.Storage for entry in scenario.centers}
    small = [name for name in has_it if _is_too_small(room[name], dataset.Size)]
    if all(_is_too_small(bytes_, dataset.Size) for bytes_ in room.values()):
        problem = f"{dataset.Dataset} is larger than the storage of every center"
        yield Fault(problem, "correct its Size, or Storage of the centers", (*at, "Size"))
    elif small:
        problem = f"{dataset.Dataset} is larger than the storage of {small[0]}, where it is"
        yield Fault(problem, "correct its Size, or Storage of the center", (*at, "Size"))


def _is_too_small(storage: int | None, size: int) -> bool:
    return storage is not None and storage < size


def check_overlap(scenario: Scenario, spans: dict[str, tuple[int, int]]) -> None:
    """Check that the traces meet in the scenario's window.

    Parameters
    ----------
    spans : dict
        First and last submission of each center that has a trace, in ms, shifted.

    Raises
    ------
    ScenarioError
        If there is no trace, one has no job in the window, or two never run side by side.
    """
    for error in overlap_faults(scenario, spans):
        raise error


def overlap_faults(scenario: Scenario, spans: dict[str, tuple[int, int]]) -> Iterator[ScenarioError]:
    """Traces of a scenario that do not meet in its window, as `check_overlap`."""
    begin = -(2**62) if scenario.Start is None else scenario.Start.seconds * 1000
    end = 2**62 if scenario.End is None else scenario.End.seconds * 1000
    index = {entry.Center: k for k, entry in enumerate(scenario.centers)}
    for name, (first, last) in spans.items():
        if last < begin or first >= end:
            yield scenario.fault(
                f"the trace of {name} runs from {_day(first)} to {_day(last)}, outside of the scenario",
                "correct Start and End, or shift the trace (Shift)",
                ("centers", index[name], "Trace"),
            )
    if not spans:
        yield scenario.fault(
            "no center has a Trace, so nobody submits jobs",
            'give one to a center, or Trace = "synthetic"',
            ("centers", 0, "Center"),
        )
    else:
        late = max(spans, key=lambda name: spans[name][0])
        early = min(spans, key=lambda name: spans[name][1])
        if spans[late][0] > spans[early][1]:
            yield scenario.fault(
                f"the traces do not overlap: that of {early} ends on {_day(spans[early][1])}, that of {late} begins on "
                f"{_day(spans[late][0])}",
                "shift one of them (Shift)",
                ("centers", index[late], "Trace"),
            )


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
