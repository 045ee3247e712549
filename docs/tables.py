"""Tables of the documentation that the program itself knows best: a page asks for one with ``<!-- table: NAME ... -->``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from apportion.metrics.glossary import GLOSSARY
from apportion.metrics.report.federation_page import WORDS as REFUSAL_WORDS
from apportion.policy import keys, model, sections
from apportion.policy.fields import OneOf
from apportion.policy.load import load, preset_names
from apportion.policy.orders import EXPRESSIONS
from apportion.sim.conventions import CHOICES, FIXED
from apportion.sim.federation.compile import TERMS, WEIGHTS
from apportion.sim.federation.runfolder import REFUSALS
from apportion.sim.scenario import model as scenario
from apportion.traces.catalog import entries
from apportion.traces.clean import rules_table
from apportion.traces.schema import COLUMNS

DIRECTIVE = re.compile(r"^<!-- table: (\S+)((?: \S+)*) -->$", re.MULTILINE)


def expand(text: str) -> str:
    """Put the tables of a page in their places."""
    return DIRECTIVE.sub(lambda found: TABLES[found[1]](*found[2].split()), text)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Text as code; nothing for nothing."""
    return f"`{text}`" if text not in (None, "") else ""


def conventions() -> str:
    """Options of a replay: their values, the default first."""
    rows = [
        (code(f"--{name.replace('_', '-')}") if i == 0 else "", code(value) + (" (default)" if i == 0 else ""), meaning)
        for name, values in CHOICES.items()
        for i, (value, meaning) in enumerate(values.items())
    ]
    return table(("option", "value", "meaning"), rows)


def fixed_conventions() -> str:
    """Conventions that are not options."""
    return table(("of", "what holds"), [(name.replace("_", " "), text) for name, text in FIXED.items()])


def columns() -> str:
    """Columns of the schema of traces."""
    return table(("column", "type", "unit", "meaning"), [(code(c.name), c.kind, c.unit, c.meaning) for c in COLUMNS])


def cleaning_rules() -> str:
    """Rules in the order in which they run."""
    rows = [
        (code(r["rule"]), r["finds"], r["action"] + ("" if r["default"] else " (off)"), r["why"]) for r in rules_table()
    ]
    return table(("rule", "finds", "does", "why"), rows)


def catalog() -> str:
    """Public traces."""
    rows = [(code(e.name), e.machine, f"{e.procs:,}" if e.procs > 0 else "", e.acknowledge) for e in entries()]
    return table(("name", "machine", "processors", "thanks to"), rows)


def presets() -> str:
    """Policies that come along."""
    rows = [(code(p.Name), code(p.Order), code(p.Backfill), p.Description) for p in map(load, preset_names())]
    return table(("preset", "`Order`", "`Backfill`", "in words"), rows)


def orders() -> str:
    """Orders as expressions."""
    return table(("`Order`", "score, smallest first"), [(code(name), code(text)) for name, text in EXPRESSIONS.items()])


def policy_keys(section: str, *patterns: str) -> str:
    """Keys of one section of a policy whose names match a pattern (all when there is none)."""
    return _keys(getattr(sections, section, None) or getattr(model, section), *patterns)


def scenario_keys(section: str) -> str:
    """Keys of one section of a scenario."""
    return _keys(getattr(scenario, section))


def _keys(kind: type[BaseModel], *patterns: str) -> str:
    defaults = kind.model_construct().model_dump(mode="json")
    rows = []
    for name, field in kind.model_fields.items():
        if patterns and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        words = [word for part in field.metadata if isinstance(part, OneOf) for word in part.choices]
        meaning = str(field.description) + (f"; {', '.join(map(code, words))}" if words else "")
        rows.append((code(name), meaning, "(needed)" if field.is_required() else _default(defaults[name])))
    return table(("key", "meaning", "default"), rows)


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return code("YES" if value else "NO")
    if isinstance(value, list):
        return code(",".join(map(str, value)))
    return "" if isinstance(value, dict) else code(value)


def share_engines() -> str:
    """Share engines and the keys that each reads."""
    rows = [(code(name), ", ".join(map(code, words))) for name, words in sections.ENGINE_KEYS.items()]
    return table(("`ShareEngine`", "keys of `ShareParameters` that it reads"), rows)


def placement_weights() -> str:
    """Terms of a score and what a unit of each is worth, by preset."""
    words = [str(field.description) for field in scenario.Weights.model_fields.values()]
    rows = [
        (code(term), word, *(f"{WEIGHTS[name][k]:g}" for name in WEIGHTS))
        for k, (term, word) in enumerate(zip(TERMS, words, strict=True))
    ]
    return table(("term", "its unit", *map(code, WEIGHTS)), rows)


def refusals() -> str:
    """Why a target is out of the question."""
    return table(
        ("`refused`", "why"), [(code(word), REFUSAL_WORDS[word]) for word in REFUSALS.values() if word in REFUSAL_WORDS]
    )


def not_simulated() -> str:
    """Keys that Slurm knows and nothing acts on yet."""
    rows = [(section.__name__, ", ".join(map(code, words))) for section, words in keys.NOT_SIMULATED.items()]
    return table(("section", "keys and flags that change nothing"), rows)


def metrics(prefix: str) -> str:
    """Keys of ``metrics.json`` below a prefix."""
    rows = [
        (code(key), m.text + (f" ({m.source})" if m.source else ""), m.unit)
        for key, m in GLOSSARY.items()
        if key.startswith(prefix)
    ]
    return table(("key", "meaning", "unit"), rows)


TABLES: dict[str, Callable[..., str]] = {
    "catalog": catalog,
    "cleaning-rules": cleaning_rules,
    "columns": columns,
    "conventions": conventions,
    "fixed-conventions": fixed_conventions,
    "keys": policy_keys,
    "metrics": metrics,
    "not-simulated": not_simulated,
    "orders": orders,
    "placement-weights": placement_weights,
    "presets": presets,
    "refusals": refusals,
    "scenario-keys": scenario_keys,
    "share-engines": share_engines,
}
