"""Where a run came from: machine, trace, policy, conventions and versions, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from apportion.core.units import counted
from apportion.metrics.report.figures import Figure, count, duration
from apportion.metrics.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIONS: Final = {
    "drop": "left out",
    "keep": "kept as it is",
    "flag": "pointed out only",
    "mend": "mended",
    "sort": "put in order",
}
CONVENTION_WORDS: Final = {
    "size": "Size of a job",
    "limit": "Time limit planned with",
    "over_limit": "Jobs past their limit",
    "cancelled": "Jobs cancelled before their start",
    "warm_up": "Warm-up left out of the metrics",
    "cool_down": "Cool-down left out of the metrics",
    "ties": "Events of one instant",
    "too_wide": "Jobs wider than their pool",
    "processors": "Processors",
    "dependencies": "Jobs that follow others",
    "feedback": "Feedback on users",
    "zero_limit": "Limits of no length",
}


def trace_of(run: Run) -> dict[str, Any]:
    """What the manifest says of the trace."""
    trace = run.manifest.get("trace")
    return trace if isinstance(trace, dict) else {}


def thanks(runs: list[Run]) -> list[str]:
    """Acknowledgements of the traces, each once."""
    traces = [item for run in runs for item in [trace_of(run), *(run.manifest.get("inputs") or [])]]
    said = [str(item.get("acknowledgement") or "") for item in traces if isinstance(item, dict)]
    return [words for words in dict.fromkeys(said) if words]


def machine_words(run: Run) -> str:
    """Processors, where their number is from, and pools where there are several."""
    most = float(run.capacity.value.max()) if run.capacity.value.size else 0.0
    pools = [pool for pool in run.manifest.get("pools") or [] if isinstance(pool, dict)]
    if not most:
        return "a machine of unknown size"
    if len(pools) > 1:
        parts = ", ".join(f"{pool.get('name')} {count(pool.get('procs')).text}" for pool in pools[:6])
        more = f" and {len(pools) - 6} more" if len(pools) > 6 else ""
        return f"{counted(round(most), 'processor')} in {len(pools)} pools ({parts}{more})"
    source = run.manifest.get("capacity_from")
    return counted(round(most), "processor") + (f" ({source})" if source else "")


def shares_are_set(run: Run) -> bool:
    """Whether the policy, or the scenario, gives shares to anyone; without, everybody counts as promised the same."""
    policy = run.manifest.get("policy")
    return (
        "federation" in run.manifest
        or not isinstance(policy, dict)
        or bool(policy.get("accounts") or policy.get("users"))
    )


def conventions(run: Run) -> list[dict[str, Any]]:
    """Conventions as name, value and what the value means."""
    words = run.manifest.get("conventions_in_words") or {}
    rows = []
    for key, value in (run.manifest.get("conventions") or {}).items():
        name = str(key).removesuffix("_s")
        said = duration(value).text if str(key).endswith("_s") and isinstance(value, int | float) else plain(value)
        meaning = str(words.get(key) or "")
        rows.append(
            {
                "key": str(key),
                "name": CONVENTION_WORDS.get(name, name.replace("_", " ").capitalize()),
                "value": "none" if name in {"warm_up", "cool_down"} and not value else said,
                "meaning": "" if meaning == value else meaning,
                "is_choice": str(value) != meaning,
            }
        )
    return rows


def plain(value: Any) -> str:
    """One setting as short text."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value.replace("_", " ") or "not set"
    if isinstance(value, int | float):
        return f"{value:,}"
    return json.dumps(value, ensure_ascii=False)


def facts(run: Run) -> list[dict[str, Any]]:
    """Provenance as name, value and whether the value is code; what the manifest does not say is left out."""
    manifest, trace = run.manifest, trace_of(run)

    def rows() -> Iterator[tuple[str, Any, bool]]:
        yield "Command", manifest.get("command"), True
        yield "Made", manifest.get("created"), False
        yield "Version of apportion", manifest.get("apportion"), False
        yield "Trace", trace.get("name"), False
        yield "File of the trace", trace.get("path"), True
        yield "SHA-256 of the trace", trace.get("sha256"), True
        yield "Format", trace.get("format"), False
        yield "Policy", manifest.get("policy_name"), False
        yield "Hash of the policy", manifest.get("policy_hash"), True
        yield "Engine", manifest.get("engine"), False
        yield "Seed", manifest.get("seed"), False
        yield "Hash of all decisions", manifest.get("decision_hash"), True
        for item in manifest.get("inputs") or []:
            if isinstance(item, dict) and item.get("sha256") != trace.get("sha256"):
                yield "Other input", f"{item.get('path') or item.get('name')} {item.get('sha256') or ''}".strip(), True
        yield "Platform", _pairs(manifest.get("platform")), False
        yield "Size of the machine from", manifest.get("capacity_from"), False
        yield "Versions", _pairs(manifest.get("versions")), False

    return [
        {"name": name, "value": _joined(value), "code": code} for name, value, code in rows() if value not in (None, "")
    ]


def remarks(run: Run) -> list[str]:
    """Notes of the trace's reader and warnings about the policy."""
    notes = [*(trace_of(run).get("notes") or []), *(run.manifest.get("policy_warnings") or [])]
    return [str(note) for note in notes]


def timings(run: Run) -> list[tuple[str, Figure]]:
    """How long each step took."""
    table = run.manifest.get("timings_s") or {}
    return [(str(name), duration(value)) for name, value in table.items() if isinstance(value, int | float)]


def policy_text(run: Run) -> str:
    """The policy as indented JSON; empty where the manifest has none."""
    policy = run.manifest.get("policy")
    return json.dumps(policy, indent=2, ensure_ascii=False) if policy else ""


def cleaning(run: Run) -> dict[str, Any]:
    """Cleaning rules that found something, and how many found nothing."""
    rules = [rule for rule in run.manifest.get("cleaning") or [] if isinstance(rule, dict)]
    found = [
        {
            "rule": str(rule.get("rule", "")),
            "finds": _sentence(rule.get("finds")),
            "why": str(rule.get("why") or ""),
            "did": ACTIONS.get(str(rule.get("action")), str(rule.get("action")))
            if rule.get("on", True)
            else "left, as the rule is off",
            "jobs": count(rule.get("jobs")),
            "detail": str(rule.get("detail") or ""),
            "examples": [_example(item) for item in (rule.get("examples") or [])[:3]],
        }
        for rule in rules
        if rule.get("jobs")
    ]
    idle = [str(rule.get("rule", "")) for rule in rules if not rule.get("jobs")]
    return {"found": found, "idle": idle, "known": bool(rules)}


def _sentence(words: Any) -> str:
    text = str(words or "")
    return text[:1].upper() + text[1:]


def _example(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    before, after = item.get("before") or {}, item.get("after") or {}
    cells = [
        _cell(key, value) + (f" → {_cell('', after[key], key)}" if key in after else "")
        for key, value in before.items()
    ]
    return f"job {item.get('job_id')}" + (f": {', '.join(cells)}" if cells else "")


def _cell(name: str, value: Any, key: str = "") -> str:
    """Name and value of a trace's cell; milliseconds as seconds."""
    if (key or name).endswith("_ms") and isinstance(value, int | float) and value >= 0:
        value = f"{value / 1000:,.10g} s"
    return f"{name.removesuffix('_ms').replace('_', ' ')} {value}".strip()


def _pairs(table: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items()) if isinstance(table, dict) else str(table or "")


def _joined(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)
