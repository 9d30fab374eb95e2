"""Files that are complete or not there at all, and what they are told apart by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facegen.errors import ImageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, which becomes `path` at the end, or goes if the body raises.

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
