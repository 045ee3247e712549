"""What operators write: policies as data, with Slurm's own key names. Start with ``load`` and ``Policy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apportion.policy.load import load
    from apportion.policy.model import Policy

__all__ = ["Policy", "load"]


def __getattr__(name: str) -> Any:
    """Import pydantic only when a policy is really used."""
    if name == "load":
        from apportion.policy.load import load

        return load
    if name == "Policy":
        from apportion.policy.model import Policy

        return Policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
