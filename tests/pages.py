"""The pages of the documentation, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    """Text of a page as it is written."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Blocks of code: language, name of the file it stands for (or ""), text."""
    return [(language, name or "", code) for language, name, code in FENCE.findall(text)]


def files(name: str) -> dict[str, str]:
    """Files that a page shows, by name."""
    return {file: code for _, file, code in blocks(read(name)) if file}


def commands(text: str, language: str = "sh") -> list[str]:
    """Commands of the blocks of a page, one a line, continued lines joined."""
    shown = "".join(code for kind, _, code in blocks(text) if kind == language)
    return [line.strip() for line in shown.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]
