"""A command on a terminal of its own (a pseudo-terminal), for tests of what people see and of what their keys do."""

from __future__ import annotations

import os
import pty
import select
import sys
import time


class Terminal:
    """A command of ``apportion`` that was started on a terminal; ``seen`` holds what it showed so far."""

    def __init__(self, *words: object, timeout_s: float = 120.0) -> None:
        self.until = time.monotonic() + timeout_s
        self.seen = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            command = [sys.executable, "-m", "apportion.cli.main", *(str(word) for word in words)]
            os.execve(sys.executable, command, os.environ | {"TERM": "xterm", "COLUMNS": "100"})

    def read(self) -> bool:
        """Read what comes next; false once the command has closed the terminal."""
        if not select.select([self.terminal], [], [], max(0.0, self.until - time.monotonic()))[0]:
            raise TimeoutError(self.seen)
        try:
            part = os.read(self.terminal, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)

    def wait_for(self, words: str) -> None:
        while words not in self.seen:
            assert self.read(), self.seen

    def press(self, key: bytes) -> None:
        os.write(self.terminal, key)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self.read():
            pass
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
