"""Errors a person can mend: what is wrong, where, and what to do about it.

``UserError``
  ├── ``TraceError``    a trace file cannot be read or makes no sense
  ├── ``PolicyError``   a policy cannot be loaded or compiled
  ├── ``ScenarioError`` a federation cannot be loaded or makes no sense
  └── ``RunError``      a run folder cannot be written, read or compared

The command line prints one as a single line on stderr and exits with ``exit_code``; none of them ever
shows a traceback.
"""

from __future__ import annotations

import os
from typing import ClassVar


class UserError(Exception):
    """A mistake in what the user gave, said in one line.

    Parameters
    ----------
    problem : str
        What is wrong, in plain words.
    remedy : str
        What the user can do about it; may be empty.
    path : str or os.PathLike, optional
        The file at fault.
    line : int, optional
        Line of the file, counted from 1.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        *,
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
    ) -> None:
        self.problem = problem
        self.remedy = remedy
        self.path = None if path is None else os.fspath(path)
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        where = "" if self.path is None else self.path + ("" if self.line is None else f":{self.line}") + ": "
        remedy = f" ({self.remedy})" if self.remedy else ""
        return " ".join(f"{where}{self.problem}{remedy}".split())


class TraceError(UserError):
    """A trace file cannot be read or makes no sense."""


class PolicyError(UserError):
    """A policy cannot be loaded or compiled."""


class ScenarioError(UserError):
    """A federation cannot be loaded or makes no sense."""


class RunError(UserError):
    """A run folder cannot be written, read or compared."""
