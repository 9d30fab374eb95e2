"""Write a file completely or not at all, hash files, lock folders, and find the files that facegen ships."""

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

from facegen.errors import FacegenError, FileError, RecipeError, UsageError, suggest

MARK = ".facegen-"
"""Prefix of the names of temporary files, which facegen may delete."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write to; it is renamed to `path` at the end, or removed if the body raises.

    Its content is flushed to the disk before it is renamed, so that a power cut leaves no half-written file. A process
    that writes the same file waits for this one, and overwrites the temporary file that a killed process left.
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


def write_text(path: Path, text: str) -> Path:
    """Write text as UTF-8, complete or not at all; file names that are not Unicode are written with backslashes."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); choose another --out.") from None
    return path


def temporary_of(path: Path) -> Path:
    """Return the temporary file that `replacing` writes: hidden, with a short name that no user's file has."""
    digest = hashlib.blake2s(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f"{MARK}{digest}.tmp")


if sys.platform == "win32":

    def _claim(path: Path) -> int | None:
        """Do nothing: Windows renames no file that is open."""

else:
    import fcntl

    def _claim(path: Path) -> int | None:
        """Create a file and wait for its lock, which ends when it is closed."""
        while True:
            if path.is_symlink():
                path.unlink()
            claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            with suppress(OSError):  # some network drives have no locks
                fcntl.flock(claim, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(claim), path.stat()):
                    return claim
            os.close(claim)  # another process has renamed this file meanwhile


def check_folder(folder: Path) -> None:
    """Create a folder if it is missing; raise an OSError if no files can be created in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(prefix=MARK, dir=folder):
        pass


def exists(path: Path) -> bool:
    """Return True if a file, folder or link exists; raise a FileError if the path is impossible, such as too long."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); choose another name or folder.") from None
    return True


def is_plain(path: Path) -> bool:
    """Return True if a path leads to a regular file; a path that cannot be followed gives False, not an error."""
    try:
        return path.is_file()
    except OSError:  # a loop of links, a name too long, a folder that may not be read
        return False


def is_folder(path: Path) -> bool:
    """Return True if a path leads to a folder; a path that cannot be followed gives False, not an error."""
    try:
        return path.is_dir()
    except OSError:  # as above
        return False


def resolved(path: Path) -> Path:
    """Return an absolute path without links; a loop of links is not an error."""
    return Path(os.path.realpath(path))


def refuse_special(path: Path, error: type[FacegenError] = FileError) -> None:
    """Raise an error for a pipe, socket or device, whose content may never come or never end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise error(f"{path}: is a pipe, a socket or a device, expected a plain file; save it as one first.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; raise a FileError if it cannot be read."""
    refuse_special(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path.") from None


_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    bundled = _PACKAGE / "_bundled" / name  # comes first: another package may have a folder "weights" next to ours
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


PIPELINES = _shipped("pipelines")
WEIGHTS = _shipped("weights")
DOCS = _shipped("docs")
LOCK = ".lock"


@contextmanager
def sole_process(folder: Path, taken: str) -> Iterator[None]:
    """Lock a folder against other processes; the system unlocks it even if this process is killed.

    Args:
        folder: created if missing; a hidden lock file stays in it.
        taken: message of the UsageError if another process has locked it.
    Raises:
        FileError: if no files can be written in the folder.
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
    """Lock a training set while its manifest is read, changed and written."""
    taken = f"{folder}: another facegen data command is at work on this set; wait for it, or end it first."
    return sole_process(folder, taken)


def shipped_recipes() -> list[str]:
    """Return the names of the shipped pipeline recipes, the presets."""
    return sorted(path.stem for path in PIPELINES.glob("*.toml"))


def find_recipe(recipe: str | Path) -> Path:
    """Find a shipped recipe by its name, such as "fast", or any recipe by its path.

    Raises:
        RecipeError: if it is neither.
    """
    shipped = PIPELINES / f"{recipe}.toml"
    if is_plain(shipped):
        return shipped
    if str(recipe).endswith(".toml"):
        return Path(recipe)
    hint = suggest(str(recipe), shipped_recipes(), "'")
    raise RecipeError(f"recipe {str(recipe)!r}: neither a .toml file nor a shipped recipe{hint}")
