"""Files written aside and renamed, so that they are whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from apportion.core.errors import TraceError


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file.

    Raises
    ------
    TraceError
        Where it cannot be written.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(target)
    except OSError as error:
        raise TraceError(
            f"cannot be written: {(error.strerror or str(error)).lower()}", "choose another place", path=target
        ) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
