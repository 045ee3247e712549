"""What a scenario describes, as rows for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from apportion.core.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apportion.policy.fields import Moment
    from apportion.sim.scenario.model import CenterEntry, JobMatch, Scenario


class Rows(NamedTuple):
    """A table: name of what is in its rows, heads of its columns, which of them are numbers, rows."""

    name: str
    columns: tuple[str, ...]
    right: tuple[str, ...]
    rows: list[tuple[str, ...]]


def span(scenario: Scenario) -> str:
    """The window that submissions are taken from, in words."""
    begin, end = _day(scenario.Start), _day(scenario.End)
    if begin and end:
        return f"{begin} to {end}"
    if begin or end:
        return f"from {begin} on" if begin else f"before {end}"
    return "whole traces"


def tables(scenario: Scenario) -> list[Rows]:
    """Centers, links and datasets; those that there are."""
    heads = ("CENTER", "MODE", "PROCS", "POLICY", "TRACE", "SPEED", "PRICE", "WATTS", "CARBON", "STORAGE", "TAKES JOBS")
    found = [
        Rows("centers", heads, ("PROCS", "SPEED", "PRICE", "WATTS", "STORAGE"), [_center(scenario, e) for e in scenario.centers]),
        Rows(
            "links",
            ("FROM", "TO", "BANDWIDTH", "LATENCY", "WAYS"),
            ("BANDWIDTH", "LATENCY"),
            [
                (link.From, link.To, f"{_size(8 * link.Bandwidth)}bit/s", f"{link.Latency:g} s", "both" if link.Duplex else "one")
                for link in scenario.links
            ],
        ),
        Rows(
            "datasets",
            ("DATASET", "SIZE", "IS AT", "MAY BE AT", "NEEDED BY"),
            ("SIZE",),
            [
                (d.Dataset, f"{_size(d.Size)}B", ",".join(d.Replicas), ",".join(d.Residency) or "anywhere", _match(d.Match))
                for d in scenario.datasets
            ],
        ),
    ]  # fmt: skip
    return [table for table in found if table.rows]


def sentences(scenario: Scenario) -> list[str]:
    """What is no table: when, how the broker places, who may move, what goes wrong."""
    broker = scenario.broker
    lines = [f"submissions: {span(scenario)}; seed {scenario.Seed}"]
    lines.append(f"broker: placement {broker.Placement}, policy {scenario.broker_policy.Name or 'written out'}")
    moves = [f"{100 * rule.Fraction:g} % of {_match(rule.Match)}, drawn by {rule.By}" for rule in scenario.moves]
    lines.append("may move: " + ("; of the rest ".join(moves) if moves else "no job"))
    for failure in scenario.failures:
        how = f"listed in {failure.Log}" if failure.Log else f"every {failure.MTBF:g} s on average"
        lines.append(f"failures: {failure.Kind} of {failure.Center or 'each center'}, {how}")
    return lines


def _center(scenario: Scenario, entry: CenterEntry) -> tuple[str, ...]:
    carbon = f"{entry.Carbon[0]:g}" if len(set(entry.Carbon)) == 1 else f"{min(entry.Carbon):g}-{max(entry.Carbon):g}"
    watts = f"{entry.PowerBusy:g}" + (f"/{entry.PowerIdle:g}" if entry.PowerIdle else "")
    takes = "no" if entry.Drain else "of some accounts" if entry.Accounts or entry.Veto else "yes"
    policy = scenario.policy_of(entry.Center).Name or "written out"
    storage = "" if entry.Storage is None else f"{_size(entry.Storage)}B"
    procs = processors(scenario, entry)
    return (
        entry.Center, entry.Mode, "" if procs is None else str(procs), policy, entry.Trace, f"{entry.Speed:g}", f"{entry.Price:g}",
        watts, carbon, storage, takes,
    )  # fmt: skip


def processors(scenario: Scenario, entry: CenterEntry) -> int | None:
    """Processors of a center; None where only its trace tells."""
    own = entry.partitions or scenario.policy_of(entry.Center).partitions
    by_pool = {partition.pool: partition.capacity["cpu"] for partition in own if "cpu" in partition.capacity}
    if by_pool:
        return sum(by_pool.values())
    procs = scenario.procs_of(entry)
    if procs is not None:
        return procs
    from apportion.traces.catalog import find

    try:
        known = find(entry.Trace).procs
    except TraceError:
        return None
    return known if known > 0 else None


def _match(match: JobMatch) -> str:
    words = [f"{key} {_words(value)}" for key, value in match.model_dump(mode="json", exclude_defaults=True).items()]
    return "jobs with " + ", ".join(words) if words else "all jobs"


def _words(value: Any) -> str:
    found: Iterable[Any] = value if isinstance(value, (list, tuple)) else [value]
    return " or ".join(map(str, found))


def _size(number: int) -> str:
    for factor, prefix in ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {prefix}"
    return f"{number} "


def _day(moment: Moment | None) -> str:
    if moment is None:
        return ""
    when = datetime.fromtimestamp(moment.seconds, UTC)
    return when.strftime("%Y-%m-%d" if moment.seconds % 86_400 == 0 else "%Y-%m-%dT%H:%M:%SZ")
