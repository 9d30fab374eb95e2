"""A page served by a process of its own, to be killed and started again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "facegen", "data", "curate")


class Running:
    """The page of a set, or of another command's path, served by another process; each start takes the same port."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self.folder, self._command = folder, command
        self.address = ""
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> Running:
        """Run it until it says its address."""
        command = [*self._command, str(self.folder), "--port", self._port, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://\S+?:(\d+)/\S*", line)
        assert found, f"no address in {line!r}"
        self.address, self._port = found[0], found[1]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, or its like on Windows: nothing is written any more."""
        self.end(getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self, how: signal.Signals = signal.SIGINT) -> str:
        """Send a signal and wait; what it still printed."""
        if self._process is None:
            return ""
        process, self._process = self._process, None
        process.send_signal(how)
        return process.communicate(timeout=30)[0]
