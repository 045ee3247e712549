"""Traces of jobs: readers, writers, cleaning, statistics, synthetic workloads, and a catalog of public ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apportion.traces.formats import detect, read
    from apportion.traces.parquet import read as read_parquet
    from apportion.traces.parquet import write as write_parquet
    from apportion.traces.schema import Trace, TraceMeta
    from apportion.traces.swf_writer import write as write_swf

__all__ = ["Trace", "TraceMeta", "detect", "read", "read_parquet", "write_parquet", "write_swf"]

_WHERE = {
    "Trace": ("schema", "Trace"),
    "TraceMeta": ("schema", "TraceMeta"),
    "detect": ("formats", "detect"),
    "read": ("formats", "read"),
    "read_parquet": ("parquet", "read"),
    "write_parquet": ("parquet", "write"),
    "write_swf": ("swf_writer", "write"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, so that importing the package stays light."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
