"""The manifest of a training set: one CSV row for each crop, which every `facegen data` command reads and extends.

Names and words are written as text, everything else as JSON, so that spreadsheets show it and any language reads it. A
cell that a spreadsheet would run as a formula gets an apostrophe in front, which reading removes. Unknown columns are
kept. A manifest may come from a stranger: impossible values are refused, with line and column.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TextIO, get_type_hints

from pydantic import AfterValidator, TypeAdapter, ValidationError

from facegen.data.reading import Length, Name, NameBelow, Number, Pixels, open_plain
from facegen.errors import FileError
from facegen.files import replacing
from facegen.jobs import Outcome, Processes, Task, Work, run
from facegen.media.images import PICTURE_SUFFIXES

MANIFEST = "manifest.csv"
Decision = Literal["", "keep", "drop"]
DOUBT = "doubt"
"""The measure of `facegen data clean` that is 0 for a usual picture, 1 at the nearest threshold, and more beyond it."""
TWIN = "duplicate_of"
"""The column in which `facegen data clean` names the better crop that a duplicate repeats."""
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The start of a cell that a spreadsheet might run as a formula, or of one that looks escaped."""
NUMBER = re.compile(r"'*[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")
REACH = 4
"""Landmarks are at most this number of sides away from their crop."""
SAVE_EVERY = 5.0
"""Least seconds between two saves; also, saving takes at most a tenth of the time."""


def _plausible(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Return landmarks, or none; ValueError if they cannot be a face's."""
    if not points:
        return points
    if len(points) != 68:
        raise ValueError(f"{len(points)} points, expected 68 or none")
    xs, ys = zip(*points, strict=True)
    if not all(-(2**18) < value < 2**18 for value in chain(xs, ys)):
        raise ValueError("points that are not finite, or in no picture")
    if max(xs) - min(xs) < 1 or max(ys) - min(ys) < 1:
        raise ValueError("all points in one place, or on a line")
    return points


@dataclass(frozen=True)
class Entry:
    """One crop of a set."""

    file: NameBelow
    """The crop's file, below the set, with "/" between folders."""
    source: Name
    """The photo that it was cut from, below the folder of photos, with "/"; the crop itself if no photo is known."""
    source_sha256: str = ""
    """Hash of the photo's file; "" if not known."""
    face: Pixels = 1
    """Number of the face in the photo, the largest first, from 1 on."""
    frame: tuple[Number, Number, Length, Number] = (0.0, 0.0, 0.0, 0.0)
    """The crop's square in the photo: centre x and y and side in pixels, clockwise turn in degrees; or zeros."""
    landmarks: Annotated[tuple[tuple[float, float], ...], AfterValidator(_plausible)] = ()
    """dlib's 68 points (x, y) in pixels of the crop; empty if not known."""
    size: Pixels = 0
    """Side of the crop in pixels; 0 if not known."""
    sharpness: Length = 0
    """See facegen.data.cutting; 0 if not known."""
    sha256: str = ""
    """Hash of the crop's file; "" if not known."""
    decision: Decision = ""
    """The decision of `facegen data clean`; its reasons and measures follow."""
    reasons: tuple[str, ...] = ()
    measures: dict[str, Number] = field(default_factory=dict, hash=False)
    label: Decision = ""
    """The label from `facegen data curate`, which overrides the decision."""
    extra: dict[str, str] = field(default_factory=dict, hash=False)
    """Text of the columns that facegen does not know."""

    @property
    def kept(self) -> bool:
        """True if training uses the crop."""
        return (self.label or self.decision) != "drop"

    def of_bytes(self, sha256: str) -> Entry:
        """Return the entry for the file's present hash: an edited crop loses measures and decision, not its label."""
        if self.sha256 in ("", sha256):
            return self
        return replace(self, sha256=sha256, landmarks=(), size=0, sharpness=0, measures={}, decision="", reasons=())


_KNOWN = {f.name: f for f in fields(Entry) if f.name != "extra"}
_TEXTS = {name for name, hint in get_type_hints(Entry).items() if hint in (str, Decision)}
_PARSERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(hint) for name, hint in get_type_hints(Entry, include_extras=True).items() if name in _KNOWN
}
_JSON = json.JSONEncoder(separators=(",", ":"))
_REQUIRED = [name for name, f in _KNOWN.items() if f.default is MISSING and f.default_factory is MISSING]


def read_manifest(folder: Path, *, without: Collection[str] = ()) -> list[Entry]:
    """Read a set's manifest; an empty cell stands for the column's default.

    Args:
        without: columns to skip, if the entries will not be written: landmarks take a third of the time.
    """
    path = folder / MANIFEST
    try:
        with open_plain(path) as content:
            file = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
            return _read(path, csv.reader(file, strict=True), without)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; make the set with facegen data prepare.") from None


def write_manifest(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write a set's manifest, complete or not at all, and return its path."""
    entries = list(entries)
    path = folder / MANIFEST
    unknown = dict.fromkeys(name for entry in entries for name in entry.extra)
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            table = table_into(file)
            rows = ([*_cells(entry), *(entry.extra.get(name, "") for name in unknown)] for entry in entries)
            table.writerows(map(harmless, row) for row in chain([[*_KNOWN, *unknown]], rows))
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); check the folder and its disk.") from None
    return path


def entries_of(folder: Path, *, without: Collection[str] = ()) -> list[Entry]:
    """List the entries of a set's manifest; for a plain folder, make one for each picture below it, in order of name.

    The pictures of a plain folder are not read, so these entries have neither landmarks, size, sharpness nor hashes.
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
    """Do the work of every task, saving every few seconds; close the iterator to stop early.

    Args:
        take: receives each outcome before it is yielded.
        save: also called at the end, and when the iterator is closed.
    """
    jobs = min(jobs, max(len(todo), 1))
    saved, cost = time.monotonic(), 0.0
    try:
        with closing(run(todo, work, Processes(jobs))) as outcomes:
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
        columns = [_as_written(text) for text in next(table, [])]
        _check_columns(path, columns)
        for row in table:
            where = f"{path}: line {table.line_num}"
            if len(row) != len(columns):
                raise FileError(f"{where} has {len(row)} cells, expected {len(columns)}, as many as line 1.")
            entry = _entry(where, dict(zip(columns, map(_as_written, row), strict=True)), without)
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
            reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise FileError(f"{where}, column {name}: {text[:60]!r} is wrong: {reason}.") from None
    entry = Entry(**values)
    reach = (REACH + 1) * entry.size
    if entry.size and not all(-reach < value < reach for point in entry.landmarks for value in point):
        raise FileError(f"{where}, column landmarks: points far outside the crop of {entry.size} px; clear the cell.")
    return entry


def table_into(file: TextIO) -> Any:
    """Return a CSV writer whose lines end in LF, and that quotes CR as well as LF."""
    return csv.writer(SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n")))


def harmless(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet might run; numbers stay numbers."""
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _as_written(text: str) -> str:
    """Undo `harmless`; an apostrophe before any other text stays."""
    return text[1:] if text.startswith("'") and harmless(text[1:]) == text else text


def _cells(entry: Entry) -> list[str]:
    values = ((name, getattr(entry, name)) for name in _KNOWN)
    return [value if name in _TEXTS else _JSON.encode(value) for name, value in values]
