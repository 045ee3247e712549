"""Reports: a run, or several side by side, as one page that reads offline, without script, on paper and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apportion.metrics.report.build import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]


def __getattr__(name: str) -> Any:
    """Import the templates and pandas only when a report is written."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.build"), name)
