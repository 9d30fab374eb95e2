"""What raters decided, safe on disk: in the set's folder `labels`, one append-only file of JSON lines for each rater.

A line is {"at": UTC time, "file": the crop, "label": "keep", "drop", or "" where a label was taken back}. The latest
line of a crop counts. A line is on the disk before `LabelLog.set` returns, so that a killed process loses nothing.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import get_args

from facegen.data.manifest import Decision
from facegen.errors import ImageError, UsageError

FOLDER = "labels"
SUFFIX = ".jsonl"
RATER_PATTERN, RATER_LENGTH = r"\w+([ -]\w+)*", 32
"""Names of raters, which become file names: letters, digits and "_", with a space or "-" between, and their length."""
_PACE_OVER = 30
"""Labels over which the pace is measured."""


@dataclass(frozen=True)
class Line:
    """One line of a rater's file."""

    at: datetime
    file: str
    label: Decision


class LabelLog:
    """The labels of one rater; several threads may use it, one process at a time."""

    def __init__(self, path: Path) -> None:
        """Read what is there, and repair a last line that a crash tore: completed if whole, cut off if not.

        Raises:
            ImageError: if the file cannot be read or repaired, or a line before the last is wrong.
        """
        self._path = path
        self._lock = threading.Lock()
        self._labels: dict[str, Decision] = {}
        self._times: deque[datetime] = deque(maxlen=_PACE_OVER + 1)
        lines, whole = _read(path)
        for line in lines:
            self._take(line)
        if whole is not None:
            _repair(path, whole)

    @property
    def labels(self) -> dict[str, Decision]:
        """File -> "keep" or "drop", in the order in which they were labelled."""
        with self._lock:
            return dict(self._labels)

    @property
    def seconds_each(self) -> float | None:
        """Seconds a face takes: the median over the latest ones, so that pauses do not count; None before the third."""
        with self._lock:
            times = list(self._times)
        gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
        return median(gaps) if len(gaps) > 1 else None

    def set(self, file: str, label: Decision) -> None:
        """Label a crop, or take its label back with ""; a label that it has already adds no line.

        Raises:
            ImageError: if the label cannot be written; then it does not count, and the file is as it was.
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
    """Where the labels of a rater are.

    Raises:
        UsageError: if the name is not one for a rater.
    """
    if not _is_rater(rater):
        raise UsageError(f"rater {rater!r}: expected at most {RATER_LENGTH} letters, digits and '_', with a space or "
                         "'-' between.")  # fmt: skip
    return folder / FOLDER / (rater + SUFFIX)


def raters_of(folder: Path) -> list[str]:
    """Who has labelled the set, in order of name.

    Raises:
        ImageError: if the folder of labels cannot be listed.
    """
    labels = folder / FOLDER
    try:
        names = [path.stem for path in labels.iterdir() if path.suffix == SUFFIX] if labels.is_dir() else []
    except OSError as error:
        raise ImageError(f"{labels}: cannot be listed ({error.strerror}); change its permissions.") from None
    return sorted(filter(_is_rater, names))


def read_labels(folder: Path) -> dict[str, dict[str, Decision]]:
    """What everybody decided, of every crop that was ever labelled; a torn last line is left out, and left alone.

    Returns:
        rater -> file -> "keep", "drop", or "" where a label was taken back.
    Raises:
        ImageError: if a file cannot be read, or a line before the last is wrong.
    """
    return {rater: {line.file: line.label for line in _read(log_path(folder, rater))[0]} for rater in raters_of(folder)}


def _is_rater(name: str) -> bool:
    return len(name) <= RATER_LENGTH and re.fullmatch(RATER_PATTERN, name) is not None


def _read(path: Path) -> tuple[list[Line], int | None]:
    """The lines of a file, and, where its last line has no end, how many bytes the whole ones take (else None)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); change its permissions.") from None
    *rows, last = content.split(b"\n")
    lines = [_parse(path, number, row) for number, row in enumerate(rows, start=1)]
    if not last:
        return lines, None
    try:
        return [*lines, _parse(path, len(rows) + 1, last)], len(content)
    except ImageError:
        return lines, len(content) - len(last)


def _parse(path: Path, number: int, row: bytes) -> Line:
    try:
        values = json.loads(row)
        line = Line(datetime.fromisoformat(values["at"]), values["file"], values["label"])
        if not isinstance(line.file, str) or line.label not in get_args(Decision) or line.at.tzinfo is None:
            raise ValueError(line)
    except (ValueError, KeyError, TypeError):
        raise ImageError(
            f'{path}: line {number} is {row[:60]!r}, expected {{"at": ..., "file": ..., "label": ...}}; '
            "restore the file, or take the line out."
        ) from None
    return line


def _repair(path: Path, whole: int) -> None:
    """Cut a file behind its whole lines and end the last of them."""
    try:
        with path.open("r+b") as file:
            file.truncate(whole)
            file.seek(max(whole - 1, 0))
            if whole and file.read(1) != b"\n":
                file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from None


def _append(path: Path, line: Line) -> None:
    """Add a line and wait until it is on the disk; if that fails, the file is as it was."""
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
        if is_new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def _sync_folder(folder: Path) -> None:
    """Wait until a new file's name is on the disk too; only POSIX opens folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> ImageError:
    return ImageError(f"{path}: cannot be written ({error.strerror}); check the folder and its disk.")
