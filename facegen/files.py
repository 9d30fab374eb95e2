"""Files that are complete or not there at all, and what they are told apart by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from facegen.errors import ImageError, UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, which becomes `path` at the end, or goes if the body upscales.

    The name is `path` with ".tmp" added, so that what a killed process left is written over by the next.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes.

    Raises:
        ImageError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path.") from None


_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    bundled = _PACKAGE / "_bundled" / name  # looked for first: site-packages may hold a stranger's "weights"
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


PIPELINES = _shipped("pipelines")
WEIGHTS = _shipped("weights")


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
