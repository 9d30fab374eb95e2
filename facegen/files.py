"""Write a file completely or not at all; hash it; lock a folder; find the files that facegen ships."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from facegen.errors import FacegenError, FileError, UsageError

MARK = ".facegen-"
"""Start of the names of temporary files, which facegen may delete."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file to write to; it becomes `path` at the end, or is removed if the body raises.

    Its content is on the disk before it gets its name, so that a power cut leaves no half file either. The next process
    overwrites what a killed one left; one that writes the same file at the same time waits.
    """
    temporary = temporary_of(path)
    claim = _claim(temporary)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        if claim is not None:
            os.close(claim)


def temporary_of(path: Path) -> Path:
    """Return the name under which `replacing` writes a file: hidden, of one length, never one of the user's."""
    digest = hashlib.blake2s(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f"{MARK}{digest}.tmp")


if sys.platform == "win32":

    def _claim(path: Path) -> int | None:
        """Do nothing: Windows renames no file that is open."""

else:
    import fcntl

    def _claim(path: Path) -> int | None:
        """Make a file and lock it as soon as no other process has; closing it unlocks it."""
        while True:
            if path.is_symlink():
                path.unlink()
            claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            with suppress(OSError):  # a network drive without locks
                fcntl.flock(claim, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(claim), path.stat()):
                    return claim
            os.close(claim)  # the other process gave that file its name meanwhile


def check_folder(folder: Path) -> None:
    """Make a folder if it is missing; an OSError if no files can be made in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(prefix=MARK, dir=folder):
        pass


def is_there(path: Path) -> bool:
    """Return whether a file or link is there; a FileError if none can be, as the name is too long, or the like."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); choose another name or folder.") from None
    return True


def is_plain(path: Path) -> bool:
    """Return whether a path leads to a plain file; False, never an error, where it leads nowhere."""
    try:
        return path.is_file()
    except OSError:  # a loop of links, a name too long, a folder that may not be read
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False, never an error, where it leads nowhere."""
    try:
        return path.is_dir()
    except OSError:  # as above
        return False


def resolved(path: Path) -> Path:
    """Return an absolute path without links; one in a loop of links stays as it is there."""
    return Path(os.path.realpath(path))


def refuse_special(path: Path, error: type[FacegenError] = FileError) -> None:
    """Refuse a pipe, socket or device, whose content may never come or never end; leave the rest to the reader."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise error(f"{path}: is a pipe, a socket or a device, expected a plain file; save it as one first.")


def sha256_of(path: Path) -> str:
    """Hash a file's bytes."""
    refuse_special(path)
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
        folder: made if missing, and checked for room to write; a hidden lock file stays in it.
        taken: the message of the UsageError if another process has locked it.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        check_folder(folder)
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
