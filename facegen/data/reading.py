"""Read the files of a set, which may come from a stranger: plain files of limited size, valid names and numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import AfterValidator, Field

from facegen.arrays import RGB
from facegen.errors import FileError, ImageError
from facegen.files import refuse_special
from facegen.media.images import read_image

LARGEST_FILE = 2**31
"""Most bytes of a manifest, ledger, cache or file of labels; a million crops need half of it."""
NAME_BYTES, PATH_BYTES = 255, 1024
"""Most bytes of a name, and of a path below a folder, that every system can open."""
LARGEST_NUMBER = 1e9
"""Larger than any pixel, degree or measure."""


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open one of a set's files to read its bytes.

    Raises:
        FileNotFoundError: if it does not exist; most files of a set are optional.
        FileError: if it cannot be read, is a pipe, a device or a folder, or is larger than `LARGEST_FILE`.
    """
    refuse_special(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise FileError(f"{path}: has {size:,} bytes, expected at most {LARGEST_FILE:,}; remove it.")
        yield file


def parse_json(content: bytes) -> Any:
    """Parse JSON; ValueError for anything else, including NaN, bytes that are not UTF-8, and very deep nesting."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_name(name: str) -> str:
    """Return a file's path, with "/" between folders; ValueError if no file can have it."""
    if "\0" in name:
        raise ValueError("a name has no character NUL")
    encoded = os.fsencode(name)
    if len(encoded) > PATH_BYTES or max(map(len, encoded.split(b"/"))) > NAME_BYTES:
        raise ValueError(f"a name has at most {NAME_BYTES} bytes, and a path {PATH_BYTES}")
    return name


def check_name_below(name: str) -> str:
    """Return a path below a folder; ValueError if it leads out of the folder, or no file can have it."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError("expected a path below the set, without '..'")
    return check_name(name)


def read_crop(path: Path) -> RGB:
    """Read a crop, (S, S, 3); ImageError if it is not square."""
    rgb = read_image(path).rgb
    height, width = rgb.shape[:2]
    if height != width:
        raise ImageError(f"{path}: {width}x{height} is not square; aligned head crops are expected. Omitted.")
    return rgb


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


Name = Annotated[str, AfterValidator(check_name)]
NameBelow = Annotated[str, AfterValidator(check_name_below)]
Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER, allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, le=LARGEST_NUMBER, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=0, le=2**16)]
