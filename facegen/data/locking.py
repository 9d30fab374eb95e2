"""One process at a time where two would write over each other's work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from facegen.errors import ImageError, UsageError

LOCK = ".lock"


@contextmanager
def sole_process(folder: Path, taken: str) -> Iterator[None]:
    """Keep other processes out of a folder; the system ends this with the process, however it dies.

    Args:
        folder: made if it is not there; a hidden file in it stays.
        taken: what to say if another process is in it already.
    Raises:
        UsageError: if one is.
        ImageError: if the folder cannot be written.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UsageError(taken) from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); change its permissions.") from None
    try:
        yield
    finally:
        lock.release()


def sole_writer(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from writing a set's manifest, from before it is read until it is written.

    Raises:
        UsageError: on entering, if one does.
        ImageError: on entering, if the set's folder cannot be written.
    """
    return sole_process(
        folder, f"{folder}: another facegen data command is at work on this set; wait for it, or end it first."
    )
