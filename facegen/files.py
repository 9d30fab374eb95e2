"""Write a file completely or not at all; hash it; lock a folder; find the files that facegen ships."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from facegen.errors import FileError, UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; it becomes `path` at the end, or is removed if the body raises.

    The name is `path` with ".tmp" added, so that the next process overwrites what a killed one left.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def sha256_of(path: Path) -> str:
    """Hash a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path.") from None


_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    bundled = _PACKAGE / "_bundled" / name  # first: site-packages may hold another package's "weights"
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


PIPELINES = _shipped("pipelines")
WEIGHTS = _shipped("weights")
DOCS = _shipped("docs")
LOCK = ".lock"


@contextmanager
def sole_process(folder: Path, taken: str) -> Iterator[None]:
    """Lock a folder against other processes; the system unlocks it when this one ends, however it dies.

    Args:
        folder: made if missing; a hidden lock file stays in it.
        taken: the message of the UsageError if another process has locked it.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UsageError(taken) from None
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); change its permissions.") from None
    try:
        yield
    finally:
        lock.release()


def sole_writer(folder: Path) -> AbstractContextManager[None]:
    """Lock a training set, from before its manifest is read until it is written."""
    taken = f"{folder}: another facegen data command is at work on this set; wait for it, or end it first."
    return sole_process(folder, taken)
