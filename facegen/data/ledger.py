"""What a set remembers of its photos, so that the next run does only what is new: `prepare.json`."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facegen.data.cutting import LeftOut
from facegen.errors import ImageError, UsageError
from facegen.files import replacing

LEDGER, LEFT_OUT = "prepare.json", "left-out.csv"


class Photo(BaseModel):
    """What is remembered of a photo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    """Length of its file."""
    modified: int
    """When that was written, in nanoseconds since 1970."""
    sha256: str
    duplicate_of: str = ""
    """The photo with the same bytes whose crops stand for both; "" if it is this one."""
    faces: int = 0
    """Heads found in it."""
    left_out: tuple[LeftOut, ...] = ()
    """Those of them that were not cut out."""


class Ledger(BaseModel):
    """How a set is prepared, and each photo by its name below their folder."""

    model_config = ConfigDict(extra="forbid")

    raw: str
    """Folder of the photos."""
    size: int
    suffix: str
    photos: dict[str, Photo] = Field(default_factory=dict)


def read_ledger(folder: Path) -> Ledger | None:
    """What a set remembers; None if nothing.

    Raises:
        ImageError: if the file cannot be read.
    """
    path = folder / LEDGER
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = getattr(error, "strerror", None) or "not as facegen wrote it"
        raise ImageError(f"{path}: cannot be read ({reason}); remove it to look at every photo again.") from None


def open_ledger(folder: Path, asked: Ledger) -> Ledger:
    """What a set remembers; of a new one nothing but what is asked for.

    Raises:
        UsageError: if the set was prepared from other photos or otherwise than is asked for.
        ImageError: if the file cannot be read.
    """
    known = read_ledger(folder)
    if known is None or not known.photos:
        return asked
    if (known.size, known.suffix) != (asked.size, asked.suffix):
        was = f"--size {known.size} --format {known.suffix.removeprefix('.')}"
        raise UsageError(f"{folder}: was prepared with {was}; give the same, or choose another --out.")
    if known.raw != asked.raw and Path(known.raw).is_dir():  # moved, if it is there no more
        raise UsageError(f"{folder}: was prepared from {known.raw}; add photos there, or choose another --out.")
    return asked.model_copy(update={"photos": known.photos})


def save_ledger(folder: Path, ledger: Ledger) -> None:
    """Write what a set remembers, and the list of heads that were left out; both in order of name.

    Raises:
        ImageError: if a file cannot be written.
    """
    photos = dict(sorted(ledger.photos.items()))
    content = ledger.model_copy(update={"photos": photos}).model_dump(mode="json")
    table = StringIO()
    rows = ((name, left.face, left.side, left.reason) for name, photo in photos.items() for left in photo.left_out)
    csv.writer(table, lineterminator="\n").writerows([("source", "face", "side", "reason"), *rows])
    for name, text in ((LEFT_OUT, table.getvalue()), (LEDGER, json.dumps(content, indent=0) + "\n")):
        path = folder / name
        try:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise ImageError(f"{path}: cannot be written ({error.strerror}); check the folder and its disk.") from None
