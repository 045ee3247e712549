"""The canonical form of a policy: equal meaning, equal text, equal hash."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apportion.policy.model import Policy

SHORT = 10  # keys of a table that stands on one line
_LABELS = ("Name", "Description")  # what people call it decides nothing


def canonical(policy: Policy) -> dict[str, Any]:
    """Policy as plain data that loads again as the same policy.

    Keys are sorted; defaults are filled in; what is derived (share engine, enforcement, capacity, hash of a plug-in's
    source) is written out; limits that are not set are left out, and so are parameters of share engines that do not
    run, and the keys of quotas, reclaim and budgets of accounts that have none; units are those that Slurm prints. Entries keep their order:
    rules are tried in it, and sums over siblings are made in it.
    """
    from apportion.policy import budgets, reclaim, turns
    from apportion.policy.quotas import KEYS, has_quota
    from apportion.policy.sections import ENGINE_KEYS

    plain = policy.model_dump(mode="json", exclude_none=True)
    plain["ShareEngine"] = policy.share_engine
    read = ENGINE_KEYS[policy.share_engine]
    plain["ShareParameters"] = {key: value for key, value in plain["ShareParameters"].items() if key in read}
    plain["PriorityFlags"] = [flag for flag in policy.PriorityFlags if flag not in ("FAIR_TREE", "NO_FAIR_TREE")]
    plain["AccountingStorageEnforce"] = sorted(policy.enforce) or ["none"]
    if not policy.FairSharing:
        plain.pop("FairSharing")
    if not turns.goes_by_usage(policy):
        for entry in (plain, *plain["users"]):
            for key in turns.KEYS:
                entry.pop(key, None)
    for entry, account in zip(plain["accounts"], policy.accounts, strict=True):
        for key in () if has_quota(account) else KEYS:
            entry.pop(key, None)
        for key in ("AdmissionMode", *reclaim.KEYS):
            if getattr(account, key) == type(account).model_fields[key].default:
                entry.pop(key, None)
        for key in () if account.Budget else budgets.KEYS:
            entry.pop(key, None)
    for entry, model in zip(plain["partitions"], policy.partitions, strict=True):
        _fold(entry, model.capacity, "Procs", "Nodes")
    for entry, reservation in zip(plain["reservations"], policy.reservations, strict=True):
        _fold(entry, reservation.capacity, "CoreCnt", "NodeCnt")
    if policy.OrderExpression:
        from apportion.policy.expression import parse

        plain["OrderExpression"] = parse(policy.OrderExpression).text
    if policy.OrderPlugin:
        from apportion.policy.plugins import source_hash

        plain["OrderPluginSha256"] = source_hash(policy)
    result: dict[str, Any] = _tidy(plain)
    return result


def digest(policy: Policy) -> str:
    """SHA-256 (hex) of the canonical form, without names and without the folder of a plug-in."""
    plain = canonical(policy)
    for key in _LABELS:
        plain.pop(key, None)
    if "OrderPlugin" in plain:
        plain["OrderPlugin"] = plain["OrderPlugin"].rpartition("/")[2]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _fold(entry: dict[str, Any], capacity: dict[str, int], *shorthands: str) -> None:
    from apportion.core.tres import format_tres

    for key in shorthands:
        entry.pop(key, None)
    entry["TRES"] = format_tres(capacity)


def _tidy(value: Any) -> Any:
    """Sort keys and leave out what is empty."""
    if isinstance(value, dict):
        tidied = {key: _tidy(value[key]) for key in sorted(value)}
        return {key: item for key, item in tidied.items() if item not in ("", [], {})}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value


def to_toml(plain: dict[str, Any], at: str = "") -> str:
    """Canonical form as a TOML text that loads again as the same policy or scenario; ``at`` : heading that it stands under, with a dot behind.

    Below the top, small tables stand on one line; those that hold others, or have more than ten keys, get headings of their own.
    """
    large = {key: value for key, value in plain.items() if (_is_large(value) if at else _is_section(value))}
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items() if key not in large]
    for key, value in large.items():
        for entry in value if isinstance(value, list) else [value]:
            heading = f"[[{at}{key}]]" if isinstance(value, list) else f"[{at}{key}]"
            lines += ["", heading, to_toml(entry, f"{at}{key}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _is_large(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) > SHORT or any(_is_section(item) for item in value.values())
    return _is_section(value)


def _toml(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # an empty table looks alike in both
