"""What a command of facegen takes, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What one command took, loading included."""

    seconds: float
    processor_seconds: float
    """Of all cores, the kernel's work for it included."""
    peak: float
    """Largest resident memory of the whole process as the kernel counts it (Linux), networks included; MiB.

    Never below what the process that starts the command held then: the kernel counts that into it."""


def run(words: Sequence[str], show: bool = False) -> Usage:
    """Run `facegen` with these words; what it prints on stdout is dropped, or shown.

    Raises:
        CalledProcessError: if it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "facegen", *words], stdout=None if show else subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, ["facegen", *words])
    return Usage(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
