"""The manifest of a training set: one CSV row for each crop, which every step of the work on the set reads and adds to.

Names and words are written as they are, everything else as JSON, so that a spreadsheet shows it and any language reads
it. Unknown columns are kept.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

from facegen.errors import FileError
from facegen.files import replacing
from facegen.jobs import Outcome, Task, Work, run
from facegen.media.images import PICTURE_SUFFIXES

MANIFEST = "manifest.csv"
Decision = Literal["", "keep", "drop"]
DOUBT = "doubt"
"""The measure of `facegen data clean` that is 0 for a usual picture, 1 at the nearest threshold, and more past it."""
TWIN = "duplicate_of"
"""The column in which it names a better crop of the same."""
SAVE_EVERY = 5.0
"""Seconds between two savings, at least; and saving takes at most a tenth of the time."""


@dataclass(frozen=True)
class Entry:
    """One crop of a set."""

    file: str
    """The crop's file, below the set, with "/" between folders."""
    source: str
    """The photo it was cut from, below the folder of photos, with "/"; the crop itself where no photo is known."""
    source_sha256: str = ""
    """Hash of the photo's file; "" if not known."""
    face: int = 1
    """Number of the face in the photo, the largest first, from 1 on."""
    frame: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """The crop's square in the photo: centre x and y and side in pixels, clockwise turn in degrees; or zeros."""
    landmarks: tuple[tuple[float, float], ...] = ()
    """dlib's 68 points (x, y) in pixels of the crop; empty if not known."""
    size: int = 0
    """Side of the crop in pixels; 0 if not known."""
    sharpness: float = 0
    """See facegen.data.cutting; 0 if not known."""
    sha256: str = ""
    """Hash of the crop's file; "" if not known."""
    decision: Decision = ""
    """The decision of `facegen data clean`, for these reasons and by these measures."""
    reasons: tuple[str, ...] = ()
    measures: dict[str, float] = field(default_factory=dict, hash=False)
    label: Decision = ""
    """The label that people gave in `facegen data curate`; it wins over the decision."""
    extra: dict[str, str] = field(default_factory=dict, hash=False)
    """Text of the manifest's columns that facegen does not know."""

    @property
    def kept(self) -> bool:
        """True if training uses it."""
        return (self.label or self.decision) != "drop"

    def of_bytes(self, sha256: str) -> Entry:
        """The entry for a crop whose file has this hash now: if it was retouched, all but people's label is cleared."""
        if self.sha256 in ("", sha256):
            return self
        return replace(self, sha256=sha256, landmarks=(), size=0, sharpness=0, measures={}, decision="", reasons=())


_KNOWN = {f.name: f for f in fields(Entry) if f.name != "extra"}
_HINTS = get_type_hints(Entry)
_TEXTS = {name for name in _KNOWN if _HINTS[name] in (str, Decision)}
_PARSERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(_HINTS[name]) for name in _KNOWN}
_JSON = json.JSONEncoder(separators=(",", ":"))
_REQUIRED = [name for name, f in _KNOWN.items() if f.default is MISSING and f.default_factory is MISSING]


def read_manifest(folder: Path, *, without: Collection[str] = ()) -> list[Entry]:
    """Read a set's manifest; an empty cell stands for the column's default.

    Args:
        without: columns to skip, for callers that do not write the entries: landmarks take a third of the time.
    """
    path = folder / MANIFEST
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _read(path, csv.reader(file, strict=True), without)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; make the set with facegen data prepare.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); change its permissions.") from None


def write_manifest(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write a set's manifest, complete or not at all; returns its path."""
    entries = list(entries)
    path = folder / MANIFEST
    others = dict.fromkeys(name for entry in entries for name in entry.extra)
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*_KNOWN, *others])
            table.writerows([*_cells(entry), *(entry.extra.get(name, "") for name in others)] for entry in entries)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); check the folder and its disk.") from None
    return path


def entries_of(folder: Path, *, without: Collection[str] = ()) -> list[Entry]:
    """The entries of a set's manifest, or, in a plain folder, one for each picture file below it, in order of name.

    No picture of a plain folder is read: its entries have neither landmarks nor size, sharpness and hashes.
    """
    if (folder / MANIFEST).is_file():
        return read_manifest(folder, without=without)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise FileError(f"{folder}: neither a {MANIFEST} nor a picture in it; name a set or a folder of face crops.")
    return [Entry(name, name) for name in names]


def run_saving(
    todo: Sequence[Task], work: Work, jobs: int, take: Callable[[Outcome], None], save: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Do the work of every task, saving as it goes; close the iterator to stop early.

    Args:
        take: receives each outcome before it is yielded.
        save: called every few seconds, at the end, and when the iterator is closed.
    """
    jobs = min(jobs, max(len(todo), 1))
    saved, cost = time.monotonic(), 0.0
    try:
        with closing(run(todo, work, jobs)) as outcomes:
            for outcome in outcomes:
                take(outcome)
                started = time.monotonic()
                if started - saved > max(SAVE_EVERY, 10 * cost):
                    save()
                    saved = time.monotonic()
                    cost = saved - started
                yield outcome
    finally:
        save()


def _read(path: Path, table: Any, without: Collection[str]) -> list[Entry]:
    entries: dict[str, Entry] = {}
    try:
        columns: list[str] = next(table, [])
        _check_columns(path, columns)
        for row in table:
            where = f"{path}: line {table.line_num}"
            if len(row) != len(columns):
                raise FileError(f"{where} has {len(row)} cells, expected {len(columns)}, as many as line 1.")
            entry = _entry(where, dict(zip(columns, row, strict=True)), without)
            if entry.file in entries:
                raise FileError(f"{where}, column file: {entry.file!r} is there twice; remove one row.")
            entries[entry.file] = entry
    except csv.Error as error:
        raise FileError(f"{path}: line {table.line_num}: not CSV ({error}); restore the file.") from None
    return list(entries.values())


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing or len(set(columns)) != len(columns):
        wrong = f"no column {missing[0]!r}" if missing else "a column twice"
        raise FileError(f"{path}: line 1 has {wrong}; expected {', '.join(_KNOWN)}.")


def _entry(where: str, cells: Mapping[str, str], without: Collection[str]) -> Entry:
    values: dict[str, Any] = {"extra": {name: text for name, text in cells.items() if name not in _KNOWN}}
    for name in _KNOWN:
        text = cells.get(name, "")
        if name in without or (not text and name not in _REQUIRED):
            continue
        try:
            parser = _PARSERS[name]
            values[name] = parser.validate_python(text) if name in _TEXTS else parser.validate_json(text)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise FileError(f"{where}, column {name}: {text[:60]!r} is wrong: {reason}.") from None
    if any(part in ("", ".", "..") for part in values["file"].split("/")):
        text = values["file"]
        raise FileError(f"{where}, column file: {text!r} is wrong: expected a path below the set, without '..'.")
    return Entry(**values)


def _cells(entry: Entry) -> list[str]:
    values = ((name, getattr(entry, name)) for name in _KNOWN)
    return [value if name in _TEXTS else _JSON.encode(value) for name, value in values]
