"""A job's story in plain English, from `apportion.sim.why.facts`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from apportion.core.units import counted
from apportion.metrics.glossary import WHY

REFUSED: Final = {
    "NoAccess": "its account has no access there",
    "SiteVeto": "the site refuses its account",
    "DataResidency": "its data may not be there",
    "NoDataRoute": "its data cannot be brought there",
    "GpuType": "there is no such GPU",
    "Drained": "the center is drained",
    "Quota": "its account's quota there is used up",
    "PartitionNodeLimit": "it is too wide for it",
    "PartitionTimeLimit": "its limit is too long for it",
    "PartitionConfig": "it asks for more than there is",
    "Unreachable": "the center was out of reach",
}
ENDS: Final = {
    "COMPLETED": "completed",
    "TIMEOUT": "was stopped at its limit",
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "PREEMPTED": "was preempted and did not come back",
    "NODE_FAIL": "was lost with its node",
}
HOW_STOPPED: Final = {
    "SUSPEND": "was suspended",
    "CHECKPOINT": "was stopped after it had written a checkpoint",
}
STOPPED_FOR: Final = {
    "Preempt": ", which is of a higher class",
    "InClusterQueue": ", which goes before it in their account's quota",
    "InCohortReclamation": ", whose account took back quota that this job's account had borrowed",
}
Event = tuple[float, list[str]]  # when, and the lines that tell it
MOST_LINES: Final = 6  # of a history


def tell(facts: dict[str, Any]) -> list[str]:
    """The story as lines: a heading, what happened in order of time, who was ahead, and what would have helped."""
    clock = _clock(facts)
    events = [*_broker(facts, clock), *_stops(facts, clock), *_history(facts, clock)]
    lines = [_heading(facts), *_submission(facts, clock)]
    for _, told in sorted(events, key=lambda event: event[0]):
        lines += told
    return lines + _meanwhile(facts, clock) + _end(facts, clock) + _changes(facts, clock)


def _clock(facts: dict[str, Any]) -> Callable[[float], str]:
    """How moments are written: as dates (UTC) where the trace has a calendar, else as times from its start."""
    origin = facts.get("origin_ms")

    def say(seconds: float) -> str:
        if origin is None:
            return f"t = {span(seconds)}"
        moment = datetime.fromtimestamp(origin / 1000 + seconds, UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S")

    return say


def span(seconds: float) -> str:
    """A length of time in words: the two largest units that count."""
    whole = round(seconds)
    if whole == 0:
        return "0 s"
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        n, whole = divmod(whole, size)
        if n:
            parts.append(f"{n} {unit}")
    return " ".join(parts[:2])


def _heading(facts: dict[str, Any]) -> str:
    account = f" of account {facts['account']}" if facts.get("account") else ""
    name = f"Job {facts['job_id']}"
    if facts.get("own_id"):
        name += f" ({facts['home']}/{facts['own_id']})"
    size = f": {counted(facts['procs'], 'processor')}" if facts["procs"] > 0 else ""
    limit = f" for at most {span(facts['limit_s'])}" if size and facts["limit_s"] is not None else ""
    return f"{name}, user {facts['user'] or 'unknown'}{account}{size}{limit}."


def _submission(facts: dict[str, Any], clock: Callable[[float], str]) -> list[str]:
    where = f" at {facts['home']}" if facts.get("home") else ""
    line = f"{clock(facts['submit_s'])}  submitted{where}"
    if "history" not in facts:
        return [line + f"; it was not replayed ({facts['state']})."]
    if not facts["history"]:
        if facts["start_s"] is None:
            return [
                f"{line}; it ended there: {facts['state']}" + (f" ({facts['reasons']})." if facts["reasons"] else ".")
            ]
        return [f"{line} and started at once."]
    ahead = facts["ahead"]
    if ahead["pending"] > 1:
        line += f"; it ranked {_ordinal(ahead['rank'])} of {ahead['pending']:,} jobs that waited"
    elif ahead["pending"] == 1:
        line += "; nobody else waited"
    lines = [line + "."]
    ran = ahead["ran_at_submit"]
    if ran["jobs"]:
        at = f" at {facts['center']}" if facts.get("home") else ""
        lines.append(
            f"    Then {counted(ran['jobs'], 'job')} ran{at} on {counted(ran['procs'], 'processor')}, the widest of them {_jobs(ran['largest'])}."
        )
    return lines


def _history(facts: dict[str, Any], clock: Callable[[float], str]) -> list[Event]:
    history = facts.get("history") or []
    return [
        (part["from_s"], [f"{clock(part['from_s'])}  {_where(part, facts)} ({length})."])
        for part, length in _parts(history)
    ]


def _meanwhile(facts: dict[str, Any], clock: Callable[[float], str]) -> list[str]:
    """What was planned, and who started while the job waited."""
    lines = []
    plans = facts.get("plans") or []
    if plans:
        first, last = plans[0], plans[-1]
        line = f"    Planned start: {clock(first['start_s'])}, known at {clock(first['at_s'])}"
        if len(plans) > 1:
            times = "once" if len(plans) == 2 else f"{len(plans) - 1} times"
            line += f"; changed {times}, in the end {clock(last['start_s'])}"
        lines.append(line + ".")
    if facts.get("history"):
        ahead = facts["ahead"]
        earlier, later = ahead["started_submitted_earlier"], ahead["started_submitted_later"]
        if earlier["jobs"]:
            lines.append(
                f"    While it waited, {counted(earlier['jobs'], 'job')} that had come before it started ({earlier['core_h']:,.1f} core-hours), "
                f"the widest {_jobs(earlier['largest'])}."
            )
        if later["jobs"]:
            lines.append(
                f"    {counted(later['jobs'], 'job')} that came after it started before it ({later['core_h']:,.1f} core-hours), "
                f"the widest {_jobs(later['largest'])}."
            )
    return lines


def _parts(history: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """Stretches of waiting, each with its length in words; where they alternate often, those of one kind together, by their first."""
    if len(history) <= MOST_LINES:
        return [(part, _length(part)) for part in history]
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    stops = 0  # what was before a stop and what came after it are told apart
    for part in history:
        stops += part["where"] == "run"
        kind = (stops, part["where"], part["center"], *part["reasons"], part["first_in_line"])
        kinds.setdefault(kind, []).append(part)
    found = []
    for parts in kinds.values():
        ended = sum(part["to_s"] - part["from_s"] for part in parts if part["to_s"] is not None)
        times = "" if len(parts) == 1 else f" in {len(parts)} stretches"
        still = " and to the end of the run" if parts[-1]["to_s"] is None else ""
        found.append((parts[0], f"{span(ended)}{times}{still}"))
    return found


def _length(part: dict[str, Any]) -> str:
    return "to the end of the run" if part["to_s"] is None else span(part["to_s"] - part["from_s"])


def _where(part: dict[str, Any], facts: dict[str, Any]) -> str:
    if part["where"] == "run":
        return "started" + (f" at {part['center']}" if part["center"] else "") + ", and ran until it was stopped"
    if part["where"] == "broker":
        held = " because " + _because(part["reasons"]) if part["reasons"] else " until the best center had room for it"
        return f"waited in the queue of the broker{held}"
    if part["where"] == "travel":
        data = f", and waited for its data ({facts['dataset']})" if facts.get("transfers") else ""
        if not part["center"]:  # a redundant request
            return "was sent to every center that may have it, and waited for its data"
        return f"was bound to {part['center']}, on its way{data}"
    if part["where"] == "door":
        return f"stood at the door of {part['center']}, which was cut off"
    at = f" at {part['center']}" if part["center"] else ""
    line = "first in line" if part["first_in_line"] else "in the queue"
    return f"waited {line}{at} because {_because(part['reasons'])}"


def _because(words: list[str]) -> str:
    return (
        " and ".join(f"{WHY[word]} ({word})" if word in WHY else f"of the limit {word}" for word in words)
        or "of its rank"
    )


def _broker(facts: dict[str, Any], clock: Callable[[float], str]) -> list[Event]:
    events = []
    for placed in facts.get("placements") or []:
        lines = [f"{clock(placed['time_s'])}  the broker chose {placed['center']}:"]
        options = sorted(placed["options"], key=lambda o: (o["score"] is None, o["score"] or 0.0, o["partition"]))
        events.append((placed["time_s"], lines + [f"      {_option(option)}" for option in options]))
    for copy in facts.get("transfers") or []:
        done = f"complete at {clock(copy['end_s'])}" if copy["end_s"] is not None else "not complete"
        what = f"{copy['bytes'] / 1e9:,.1f} GB of {copy['dataset']}"
        way = f"from {copy['source']} to {copy['center']}"
        events.append((copy["begin_s"], [f"{clock(copy['begin_s'])}  {what} set out {way}, {done}."]))
    return events


def _option(option: dict[str, Any]) -> str:
    """What the broker made of one partition."""
    name = option["partition"] or option["center"]
    if option["refused"]:
        why = REFUSED.get(option["refused"], option["refused"])
        return f"{name}: out of the question, {why} ({option['refused']})"
    said = [f"start in {span(option['start_s'])}", f"run {span(option['run_s'])}", f"cost {option['cost']:,.2f}"]
    if option["data_s"] >= 1:
        said.insert(1, f"{span(option['data_s'])} more for the data")
    if option["away"]:
        said.append("away from home")
    chosen = "  <- chosen" if option["chosen"] else ""
    return f"{name}: score {option['score']:,.0f} ({', '.join(said)}){chosen}"


def _stops(facts: dict[str, Any], clock: Callable[[float], str]) -> list[Event]:
    events = []
    for stop in facts.get("preemptions") or []:
        by = f" by job {stop['preemptor']}" if stop.get("preemptor") not in (None, -1) else ""
        why = STOPPED_FOR.get(stop.get("reason") or "", "")
        how = HOW_STOPPED.get(stop["mode"], "was stopped")
        grace = f", after {span(stop['grace_s'])} of grace" if stop.get("grace_s") else ""
        told = f"{clock(stop['time_s'])}  {how}{by}{why} ({stop['mode']}){grace}; {stop['lost_core_s'] / 3600:,.2f} core-hours were lost."
        lines = [told]
        if stop.get("refunded_core_s"):
            lines.append(f"    {stop['refunded_core_s'] / 3600:,.2f} of them were given back to its account.")
        events.append((stop["time_s"], lines))
    return events


def _end(facts: dict[str, Any], clock: Callable[[float], str]) -> list[str]:
    if facts["start_s"] is None:
        if facts.get("end_s") is None or not facts.get("history"):
            return []
        how = ENDS.get(facts["state"], facts["state"])
        return [f"{clock(facts['end_s'])}  {how} after {span(facts['end_s'] - facts['submit_s'])} of waiting."]
    moved = f", away from {facts['home']}" if facts.get("moved") else ""
    where = f" at {facts['center']}{moved}" if facts.get("home") else ""
    lines = [f"{clock(facts['start_s'])}  started{where} after {span(facts['wait_s'])} of waiting."]
    if facts.get("end_s") is not None and facts.get("run_s") is not None:
        how = ENDS.get(facts["state"], facts["state"])
        restarts = int(facts.get("restarts") or 0)
        again = f", after {counted(restarts, 'restart')}" if restarts else ""
        lines.append(f"{clock(facts['end_s'])}  {how} after {span(facts['run_s'])} of running{again}.")
    return lines


def _changes(facts: dict[str, Any], clock: Callable[[float], str]) -> list[str]:
    asked = facts.get("changes") or []
    if not asked:
        return []
    lines = ["What would have let it start sooner (each was replayed):"]
    for change in asked:
        lines.append("    " + _change(change, clock))
    return lines


def _change(change: dict[str, Any], clock: Callable[[float], str]) -> str:
    kind = change["kind"]
    if kind == "center":
        if not change["possible"]:
            return f"{change['to']}: it could not have run there."
        if change["start_s"] is None:
            return f"{change['to']}: it would not have started sooner there."
        return f"{change['to']}: it would have started at {clock(change['start_s'])}{_gain(change)}."
    what = {
        "limit_s": ("A limit", span(change["to"]), f"even a limit of {span(change['to'])}, which its run needs"),
        "procs": (
            "With",
            counted(change["to"], "processor"),
            f"even with {counted(change['to'], 'processor')}",
        ),
    }[kind]
    if change["start_s"] is None:
        return f"{what[2][0].upper()}{what[2][1:]}: no."
    of = " of " if kind == "limit_s" else " "
    then = f"it would have started at {clock(change['start_s'])}{_gain(change)}."
    old = span(change["from"]) if kind == "limit_s" else str(change["from"])
    return f"{what[0]}{of}{what[1]} instead of {old}: {then}"


def _gain(change: dict[str, Any]) -> str:
    return f", {span(change['sooner_s'])} sooner" if change["sooner_s"] is not None else ""


def _jobs(ids: list[Any]) -> str:
    return ", ".join(str(one) for one in ids)


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"
