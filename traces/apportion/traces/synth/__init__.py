"""Synthetic workloads: published models, a likeness of a given trace, and two plain ones for benchmarks.

``lublin`` draws jobs from the model of Lublin and Feitelson with the estimates of Tsafrir, Etsion and Feitelson;
``like`` makes a new trace that resembles a given one and says how near it came; ``steady`` and ``burst`` are
deliberately dull.
The same seed gives the same trace, byte for byte, on the same numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apportion.traces.synth.estimates import EstimateModel
    from apportion.traces.synth.imitate import like
    from apportion.traces.synth.likeness import LikenessReport
    from apportion.traces.synth.plain import burst, steady
    from apportion.traces.synth.rigid import RigidModel, lublin

__all__ = ["EstimateModel", "LikenessReport", "RigidModel", "burst", "like", "lublin", "steady"]

_HOME = {
    "EstimateModel": "estimates",
    "LikenessReport": "likeness",
    "RigidModel": "rigid",
    "burst": "plain",
    "like": "imitate",
    "lublin": "rigid",
    "steady": "plain",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when it is first asked for, so that this package stays light."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
