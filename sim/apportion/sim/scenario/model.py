"""The scenario: frozen models of centers, links, datasets and the broker between them.

Values are ready to use: times in seconds, sizes in bytes, bandwidth in bytes per second, power in watts per processor, prices in money per
processor hour, carbon in grams per kWh by local hour. Policies are resolved by `apportion.sim.scenario.load`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr

from apportion.core.errors import ScenarioError
from apportion.policy.fields import (
    Count,
    Label,
    Labels,
    Number,
    OneOf,
    OptionalCount,
    OptionalLabel,
    OptionalSeconds,
    OptionalWhen,
    Switch,
    Text,
)
from apportion.policy.model import Policy
from apportion.policy.nodes import processors
from apportion.policy.sections import PartitionEntry, Section
from apportion.sim.scenario.fields import ByHour, Bytes, DurationS, OptionalBytes, Rate, SignedSeconds, ZoneName

PLACEMENTS = (
    "balanced",
    "urgent",
    "economy",
    "green",
    "home",
    "random",
    "round-robin",
    "least-loaded",
    "redundant",
)
Part = Annotated[Number, Field(le=1)]
Reference = Any  # a policy by name or file, or written out
Locate = Callable[[tuple[str | int, ...]], int | None]  # line of a place in a file


class Weights(Section):
    """What one unit of each term of a score counts, in seconds of waiting; the preset's value when absent."""

    start: Number | None = Field(default=None, description="a second until the expected start")
    data: Number | None = Field(default=None, description="a second that the data come later than that")
    run: Number | None = Field(default=None, description="a second of expected run time there")
    cost: Number | None = Field(default=None, description="a unit of money")
    energy: Number | None = Field(default=None, description="a kWh")
    carbon: Number | None = Field(default=None, description="a kg of carbon dioxide")
    failure: Number | None = Field(default=None, description="the certainty of a failure")
    affinity: Number | None = Field(default=None, description="leaving home")


class BrokerEntry(Section):
    """How the broker ranks and places the jobs that may move."""

    Policy: Reference = Field(
        default="multifactor",
        description="policy over all centers: its order ranks the broker's queue, its accounts are the federation's",
    )
    Placement: Annotated[str, OneOf(*PLACEMENTS)] = Field(
        default="balanced", description="how a center is chosen: by score (the first four), or a baseline"
    )
    weights: Weights = Field(default=Weights(), description="weights of the terms of a score")
    LookAhead: Count = Field(default=64, ge=1, le=2**31, description="jobs of the broker that may wait at one center")
    Depth: Count = Field(
        default=100, ge=1, le=2**31, description="jobs of its queue that the broker looks at in a pass"
    )
    ReplaceAfter: Number = Field(
        default=2.0, le=1000, description="multiple of the predicted wait after which a job is looked at anew; 0: never"
    )
    ReplaceMinWait: DurationS = Field(default=3600.0, description="and at least this long, seconds")
    Hysteresis: Part = Field(default=0.2, description="part by which the new place must be better")


class CenterEntry(Section):
    """A center: machine, users, local scheduler and rules."""

    Center: Label = Field(description="name")
    Mode: Annotated[str, OneOf("managed", "autonomous")] = Field(
        default="autonomous",
        description="managed: the broker's order and limits rule here; autonomous: a local scheduler with its own policy",
    )
    Policy: Reference = Field(default="easy", description="local policy; of a managed center its backfill counts")
    Trace: Text = Field(
        default="",
        description="trace of its own users: a name, a file, or synthetic; it only takes what is sent to it when absent",
    )
    Shift: SignedSeconds = Field(default=0, description="time added to the times of its trace")
    Procs: OptionalCount = Field(default=None, description="processors; what the trace or the catalog says when absent")
    partitions: tuple[PartitionEntry, ...] = Field(default=(), description="partitions, instead of the policy's")
    TimeZone: ZoneName = Field(default="UTC", description="its local time, for carbon by hour")
    Speed: Number = Field(default=1.0, gt=0, le=1000, description="speed of a processor, relative to others")
    ExchangeRate: Number = Field(default=1.0, le=1e6, description="billing units of the federation for one of its own")
    Price: Number = Field(default=0.0, description="money per processor hour")
    PowerBusy: Number = Field(default=0.0, description="watts of a busy processor")
    PowerIdle: Number = Field(default=0.0, description="watts of an idle processor")
    Carbon: ByHour = Field(
        default=(0.0,) * 24, description="grams of carbon dioxide per kWh: one number, or 24 by local hour"
    )
    FailureRate: Part = Field(default=0.0, description="probability that a failure stops a job within a day")
    PollInterval: DurationS = Field(
        default=30.0, description="seconds between two looks of the broker; autonomous only"
    )
    Latency: DurationS = Field(default=1.0, description="seconds from the broker to its queue; autonomous only")
    Storage: OptionalBytes = Field(default=None, description="room for datasets; enough when absent")
    Accounts: Labels = Field(default=(), description="accounts of other centers that may run here; all when absent")
    Veto: Labels = Field(default=(), description="accounts that may not be placed here")
    Drain: Switch = Field(default=False, description="takes no job of the broker")


class LinkEntry(Section):
    """A link between two centers, or between a center and a waypoint."""

    From: Label = Field(description="center or waypoint")
    To: Label = Field(description="center or waypoint")
    Bandwidth: Rate = Field(description="bytes per second, or as 10Gbit/s; shared by the transfers that use it")
    Latency: DurationS = Field(default=0.0, description="seconds")
    Duplex: Switch = Field(default=True, description="as much each way; else only from From to To")


class JobMatch(Section):
    """Which jobs a rule is for; all that is given must hold. Names count with or without ``CENTER/`` before them."""

    Center: Labels = Field(default=(), description="centers that jobs are submitted at")
    User: Labels = Field(default=(), description="users")
    Account: Labels = Field(default=(), description="accounts")
    QOS: Labels = Field(default=(), description="qualities of service")
    ProcsMin: OptionalCount = Field(default=None, description="fewest processors")
    ProcsMax: OptionalCount = Field(default=None, description="most processors")
    LimitMin: OptionalSeconds = Field(default=None, description="shortest time limit")
    LimitMax: OptionalSeconds = Field(default=None, description="longest time limit")


class DatasetEntry(Section):
    """Data that jobs need, where they are, and where they may be."""

    Dataset: Label = Field(description="name")
    Size: Bytes = Field(description="bytes, or as 2TB")
    Replicas: Labels = Field(description="centers that have it at the beginning")
    Residency: Labels = Field(default=(), description="centers where it may be; anywhere when absent")
    Match: JobMatch = Field(description="which jobs need it; of several datasets the first counts")


class MoveRule(Section):
    """Which jobs may move. The first rule that matches decides; a job that none matches stays at home."""

    Match: JobMatch = Field(default=JobMatch(), description="which jobs; all when absent")
    Fraction: Part = Field(default=1.0, description="part of them that may, drawn by the seed")
    By: Annotated[str, OneOf("user", "job")] = Field(default="user", description="what is drawn: users or single jobs")


class FailureEntry(Section):
    """Failures at a center."""

    Center: OptionalLabel = Field(default="", description="where; every center when absent")
    Kind: Annotated[str, OneOf("node", "center", "network")] = Field(
        default="node", description="a part of the machine is lost, all of it, or the broker cannot reach it"
    )
    Distribution: Annotated[str, OneOf("exponential", "weibull")] = Field(
        default="exponential", description="of the time between failures"
    )
    MTBF: DurationS = Field(default=0.0, description="mean time between failures of the center, seconds")
    Shape: Number = Field(default=1.0, gt=0, le=100, description="shape of a Weibull distribution")
    Repair: DurationS = Field(default=3600.0, description="mean time to repair, seconds; exponential")
    Procs: Count = Field(default=1, ge=1, description="processors that a node failure takes")
    Log: Text = Field(default="", description="recorded failures instead: a csv file with time_s,procs,repair_s")


class Scenario(Section):
    """A federation and what happens in it."""

    Name: Text = Field(default="", description="what people call it; does not enter the hash")
    Description: Text = Field(default="", description="a sentence about it; does not enter the hash")
    Start: OptionalWhen = Field(
        default=None, description="first moment of submission that counts; the traces' own when absent"
    )
    End: OptionalWhen = Field(default=None, description="submissions from then on are left out")
    Seed: Count = Field(default=1, le=2**53, description="of all that is drawn")
    broker: BrokerEntry = Field(default=BrokerEntry(), description="the broker")
    centers: tuple[CenterEntry, ...] = Field(min_length=1, description="the centers")
    links: tuple[LinkEntry, ...] = Field(default=(), description="the network between them")
    datasets: tuple[DatasetEntry, ...] = Field(default=(), description="data that jobs need")
    moves: tuple[MoveRule, ...] = Field(default=(), description="which jobs may move")
    failures: tuple[FailureEntry, ...] = Field(default=(), description="what goes wrong")

    _policies: dict[str, Policy] = PrivateAttr({})
    _path: Path | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())
    _locate: Locate | None = PrivateAttr(None)

    def path_of(self, name: str) -> Path:
        """A file that the scenario names: beside it, else from where we are."""
        beside = self._folder / name
        return beside if beside.is_file() else Path(name)

    def fault(self, problem: str, remedy: str, at: tuple[str | int, ...]) -> ScenarioError:
        """An error that names the file and the line of a place in this scenario."""
        line = None if self._locate is None else self._locate(at)
        return ScenarioError(problem, remedy, path=self._path, line=line)

    @property
    def broker_policy(self) -> Policy:
        """The policy of the federation."""
        return self._policies[""]

    def policy_of(self, center: str) -> Policy:
        """Local policy of a center."""
        return self._policies[center]

    def procs_of(self, entry: CenterEntry) -> int | None:
        """Processors that the scenario or the nodes of the policy state; None where its trace tells."""
        on_nodes = processors(self.policy_of(entry.Center))
        return entry.Procs if on_nodes is None else on_nodes

    def with_broker(self, **keys: Any) -> Scenario:
        """Make the same scenario with other keys of the broker, but for its policy."""
        other = self.model_copy(update={"broker": self.broker.model_copy(update=keys)})
        other.__dict__.pop("hash", None)  # it was worked out for other keys
        return other

    def carbon_by_utc_hour(self, center: CenterEntry) -> list[float]:
        """Grams per kWh by hour of the UTC day; the offset of the time zone is that of the scenario's start."""
        moment = self.Start.seconds if self.Start is not None and not self.Start.from_origin else 0
        offset = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(center.TimeZone)).utcoffset()
        hours = round(offset.total_seconds() / 3600) if offset is not None else 0
        return [center.Carbon[(hour + hours) % 24] for hour in range(24)]

    def canonical(self) -> dict[str, Any]:
        """Write this scenario in one way: defaults filled in, policies written out."""
        plain = self.model_dump(mode="json", exclude_none=True)
        plain["broker"]["Policy"] = self.broker_policy.canonical()
        for entry in plain["centers"]:
            entry["Policy"] = self.policy_of(entry["Center"]).canonical()
        return plain

    def readable(self) -> dict[str, Any]:
        """Write this scenario for people: defaults filled in, policies by name where they are presets; it loads as the same."""
        from apportion.policy.load import preset_names

        plain = self.model_dump(mode="json", exclude_none=True)
        for entry, policy in [(plain["broker"], self.broker_policy)] + [
            (entry, self.policy_of(entry["Center"])) for entry in plain["centers"]
        ]:
            named = entry["Policy"]
            if not (isinstance(named, str) and named.lower().partition("+")[0] in preset_names()):
                entry["Policy"] = policy.canonical()
        return {key: _without_empty(value) for key, value in plain.items() if value not in ("", [])}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it and its policies have that is not simulated yet, a line each."""
        lines = [line for policy in self._policies.values() for line in policy.warnings]
        return tuple(dict.fromkeys(lines))

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical form without names; scenarios of equal meaning have equal hashes."""
        plain = {key: value for key, value in self.canonical().items() if key not in ("Name", "Description")}
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _without_empty(value: Any) -> Any:
    """Leave out what is empty; a rule that matches everything stays."""
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if k == "Match" or v not in ("", [], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
