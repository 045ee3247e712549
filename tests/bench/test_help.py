"""``apportion --help`` answers at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

TARGET_S = 0.3


@pytest.mark.parametrize("words", [("--help",), ("replay", "--help")], ids=" ".join)
def test_help_is_quick(benchmark, words):
    command = [f"{sys.prefix}/bin/apportion", *words]
    benchmark.pedantic(subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=15, warmup_rounds=2)
    benchmark.extra_info["target_s"] = TARGET_S
    if benchmark.enabled:
        assert benchmark.stats.stats.median < TARGET_S
