"""Labels by people: one append-only file of JSON lines for each rater, their agreement, and the export to the manifest.

The files are in the set's folder `labels`. A line is {"at": UTC time, "file": the crop, "label": "keep", "drop", or ""
if the label was removed}; the last line of a crop counts. A line is on the disk before `LabelLog.set` returns, so that
a killed process loses nothing.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import get_args

from facegen.data.manifest import MANIFEST, Decision, entries_of, write_manifest
from facegen.data.reading import check_name, open_plain, parse_json
from facegen.errors import FileError, UsageError
from facegen.files import sole_writer

FOLDER = "labels"
SUFFIX = ".jsonl"
RATER_PATTERN, RATER_LENGTH = r"\w+([ -]\w+)*", 32
"""Pattern and longest length of raters' names, which become file names: letters, digits and "_", with a space or "-"
between."""
_PACE_OVER = 30  # labels


@dataclass(frozen=True)
class Line:
    """A line of a rater's file."""

    at: datetime
    file: str
    label: Decision


class LabelLog:
    """The labels of one rater; several threads may use it, but only one process at a time."""

    def __init__(self, path: Path) -> None:
        """Read the file; a last line that a crash cut short is removed, or ended if only its end is missing."""
        self._path = path
        self._lock = threading.Lock()
        self._labels: dict[str, Decision] = {}
        self._times: deque[datetime] = deque(maxlen=_PACE_OVER + 1)
        lines, length = _read(path)
        for line in lines:
            self._take(line)
        if length is not None:
            _repair(path, length)

    @property
    def labels(self) -> dict[str, Decision]:
        """File -> "keep" or "drop", in the order of labelling."""
        with self._lock:
            return dict(self._labels)

    @property
    def seconds_each(self) -> float | None:
        """Seconds per face: the median over the latest faces, which ignores pauses; None before the third face.

        Steps back in time, of a clock that was set, are omitted.
        """
        with self._lock:
            times = list(self._times)
        gaps = [(after - before).total_seconds() for before, after in pairwise(times) if before <= after]
        return median(gaps) if len(gaps) > 1 else None

    def set(self, file: str, label: Decision) -> None:
        """Label a crop, or remove its label with ""; a label that it already has adds no line.

        Raises:
            FileError: if the label cannot be written; then nothing changes.
        """
        with self._lock:
            if self._labels.get(file, "") == label:
                return
            line = Line(datetime.now(UTC), file, label)
            _append(self._path, line)
            self._take(line)

    def _take(self, line: Line) -> None:
        self._labels.pop(line.file, None)
        if line.label:
            self._labels[line.file] = line.label
            self._times.append(line.at)


def log_path(folder: Path, rater: str) -> Path:
    """Return the file of a rater's labels; UsageError if the name is not valid."""
    if not _is_rater(rater):
        raise UsageError(f"rater {rater!r}: expected at most {RATER_LENGTH} letters, digits and '_', with a space or "
                         "'-' between.")  # fmt: skip
    return folder / FOLDER / (rater + SUFFIX)


def raters_of(folder: Path) -> list[str]:
    """List the raters who have labelled the set, in order of name."""
    labels = folder / FOLDER
    try:
        names = [path.stem for path in labels.iterdir() if path.suffix == SUFFIX] if labels.is_dir() else []
    except OSError as error:
        raise FileError(f"{labels}: cannot be listed ({error.strerror}); change its permissions.") from None
    return sorted(filter(_is_rater, names))


def read_labels(folder: Path) -> dict[str, dict[str, Decision]]:
    """Read all labels; a last line that was cut short is skipped, but not repaired.

    Returns:
        rater -> file -> "keep", "drop", or "" if the label was removed.
    """
    return {rater: {line.file: line.label for line in _read(log_path(folder, rater))[0]} for rater in raters_of(folder)}


@dataclass(frozen=True)
class Agreement:
    """The raters' agreement on the faces that all of them labelled."""

    faces: int
    same: float
    """Share of these faces with equal labels, 0..1."""


def agreement(raters: Iterable[Mapping[str, Decision]]) -> Agreement | None:
    """Compare the labels of raters, file -> label; "" is no label, and raters without labels do not count.

    None if there are fewer than two raters, or no face was labelled by all.
    """
    given = [{file: label for file, label in labels.items() if label} for labels in raters]
    given = [labels for labels in given if labels]
    shared = set.intersection(*map(set, given)) if len(given) > 1 else set()
    if not shared:
        return None
    same = sum(len({labels[file] for labels in given}) == 1 for file in shared)
    return Agreement(len(shared), same / len(shared))


def majority(labels: Sequence[Decision]) -> Decision:
    """Return the label given by most raters; "" if both are equally frequent."""
    counts = Counter(labels)
    if counts["keep"] == counts["drop"]:
        return ""
    return "keep" if counts["keep"] > counts["drop"] else "drop"


@dataclass(frozen=True)
class Exported:
    """Counts of the faces in an export to the manifest."""

    manifest: str
    keep: int
    drop: int
    ties: int
    """Faces labelled keep and drop equally often; the decision of `facegen data clean` applies."""
    unlabelled: int
    """Faces that nobody labelled; the manifest's label stays."""


def export(folder: Path) -> Exported:
    """Write the majority's labels into the manifest; a plain folder gets a manifest."""
    if not (folder / MANIFEST).is_file():
        entries_of(folder)  # refuses a folder without pictures before anything is written into it
    counts = Counter[str]()
    labelled = []
    with sole_writer(folder):
        entries, raters = entries_of(folder), read_labels(folder).values()
        for entry in entries:
            given = [labels[entry.file] for labels in raters if entry.file in labels]
            label = majority(given) if given else entry.label
            counts[label if any(given) else "none"] += 1
            labelled.append(replace(entry, label=label))
        write_manifest(folder, labelled)
    return Exported(MANIFEST, counts["keep"], counts["drop"], counts[""], counts["none"])


def _is_rater(name: str) -> bool:
    return len(name) <= RATER_LENGTH and re.fullmatch(RATER_PATTERN, name) is not None


def _read(path: Path) -> tuple[list[Line], int | None]:
    """Read the lines of a file; if the last one has no end, also return the length in bytes of the valid lines."""
    try:
        with open_plain(path) as file:
            content = file.read()
    except FileNotFoundError:
        return [], None
    *rows, last = content.split(b"\n")
    lines = [_parse(path, number, row) for number, row in enumerate(rows, start=1)]
    if not last:
        return lines, None
    try:
        return [*lines, _parse(path, len(rows) + 1, last)], len(content)
    except FileError:
        return lines, len(content) - len(last)


def _parse(path: Path, number: int, row: bytes) -> Line:
    try:
        values = parse_json(row)
        line = Line(datetime.fromisoformat(values["at"]), check_name(values["file"]), values["label"])
        if line.label not in get_args(Decision) or line.at.tzinfo is None:
            raise ValueError(line)
    except (ValueError, KeyError, TypeError):
        raise FileError(
            f'{path}: line {number} is {row[:60]!r}, expected {{"at": ..., "file": ..., "label": ...}}; '
            "restore the file, or remove the line."
        ) from None
    return line


def _repair(path: Path, length: int) -> None:
    """Cut a file to this length, and end its last line."""
    try:
        with path.open("r+b") as file:
            file.truncate(length)
            file.seek(max(length - 1, 0))
            if length and file.read(1) != b"\n":
                file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from None


def _append(path: Path, line: Line) -> None:
    """Append a line and wait until it is on the disk; if that fails, the file is unchanged."""
    values = {"at": line.at.isoformat(timespec="milliseconds"), "file": line.file, "label": line.label}
    try:
        path.parent.mkdir(exist_ok=True)
        is_new = not path.exists()
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                file.write(json.dumps(values).encode() + b"\n")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        if is_new and os.name == "posix":  # other systems cannot open folders
            _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def _sync_folder(folder: Path) -> None:
    """Wait until a new file's name is on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(f"{path}: cannot be written ({error.strerror}); check the folder and its disk.")
