"""A page served by another process, which can be killed and started again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "facegen", "data", "curate")


class Running:
    """A page served by another process, of a set or of another command's path; each start uses the same port."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self.folder, self._command = folder, command
        self.address = ""
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> Running:
        """Start the process and wait for its address."""
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
        """End the process at once, so that it writes nothing more."""
        self.end(getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self, how: signal.Signals = signal.SIGINT) -> str:
        """Send a signal, wait, and return the rest of the output."""
        if self._process is None:
            return ""
        process, self._process = self._process, None
        process.send_signal(how)
        return process.communicate(timeout=120)[0]
