"""Time and memory that a command of facegen takes, in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What one command took, including loading."""

    seconds: float
    processor_seconds: float
    """Of all cores, including the kernel's work for the command."""
    peak: float
    """Largest resident memory of the whole process as the kernel counts it (Linux); MiB.

    It is never below the memory of the process that started the command, which the kernel counts too."""


def run(words: Sequence[str]) -> Usage:
    """Run `facegen` with these words, and discard what it prints on stdout.

    Raises:
        CalledProcessError: if it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "facegen", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, ["facegen", *words])
    return Usage(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
