"""Real traces for tests, found through APPORTION_TRACES (a path list); tests that need one skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDERS = [Path(folder) for folder in os.environ.get("APPORTION_TRACES", "").split(os.pathsep) if folder]


def find(name: str) -> Path:
    """Path of a trace by its file name."""
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"{name} is not in APPORTION_TRACES")


def manifest() -> list[tuple[str, int]]:
    """Name and count of jobs of every trace that a MANIFEST.tsv lists."""
    entries = []
    for folder in FOLDERS:
        path = folder / "MANIFEST.tsv"
        if path.is_file():
            head, *rows = [line.split("\t") for line in path.read_text().splitlines() if line]
            entries += [(row[head.index("file")], int(row[head.index("jobs")])) for row in rows]
    return entries
