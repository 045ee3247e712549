"""What really changes between two policies, key by key of their canonical forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apportion.policy.model import Policy


class Change(NamedTuple):
    """One effective change; ``before`` or ``after`` is None where the key is not set there."""

    key: str
    before: Any
    after: Any


# What an entry of a list is called by.
_ENTRY_NAMES = {
    "accounts": ("Account",),
    "users": ("Account", "User"),
    "qos": ("Name",),
    "partitions": ("PartitionName",),
    "reservations": ("ReservationName",),
}


def changes(before: Policy, after: Policy) -> list[Change]:
    """List the effective changes from one policy to another, sorted by key; names do not count."""
    old, new = (dict(_flat(policy.canonical())) for policy in (before, after))
    return [
        Change(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in ("Name", "Description")
    ]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        names = _ENTRY_NAMES.get(key)
        for i, item in enumerate(value, start=1):
            label = "/".join(str(item[name]) for name in names) if names else str(i)
            yield f"{key}[{label}]", "present"
            yield from _flat(
                {name: part for name, part in item.items() if name not in (names or ())}, f"{key}[{label}]"
            )
    else:
        yield key, value
