"""A disk that is full after so many bytes, for a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"


def run_on_full_disk(code: str, size: int, *words: object) -> subprocess.CompletedProcess[str]:
    """Run Python code with `words` as sys.argv[2:], where no file can grow beyond `size` bytes."""
    command = [sys.executable, "-c", LIMITED + code, str(size), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=120)


def names(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
