"""Label a set: its faces in order, their pictures for the page, and the raters' labels."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from facegen.data.curate.labels import FOLDER, Agreement, LabelLog, agreement, log_path, raters_of
from facegen.data.manifest import DOUBT, TWIN, Decision, Entry, entries_of
from facegen.errors import ImageError, UsageError
from facegen.files import sole_process
from facegen.media.decoding import opened, split_alpha, to_srgb, upright

SIDES = (384, 512, 768, 1024, 1536, 2048)
"""Sides, in pixels, of the pictures that are sent."""
CACHED = 128
"""Pictures kept in memory: about 60 MB in the largest size, 10 MB at 768 px."""


@dataclass(frozen=True)
class Face:
    """A crop on the page."""

    key: str
    """The crop's name in addresses."""
    name: str
    """The crop's file below the set, as printable text."""
    position: int
    """Position in the order of showing, from 0 on."""
    decision: Decision
    reasons: tuple[str, ...]
    """The reasons of `facegen data clean` for its decision."""
    label: Decision = ""
    """The label by the rater who asks."""


@dataclass(frozen=True)
class Progress:
    """A rater's progress."""

    total: int
    keep: int
    drop: int
    seconds_each: float | None
    """Present seconds per face; None if not known yet."""


@dataclass(frozen=True)
class Summary:
    """Counts of all labels."""

    total: int
    raters: dict[str, Progress]
    agreement: Agreement | None
    disputed: int
    """Number of faces that one rater keeps and another drops."""


class Pictures:
    """Small JPEG versions of a set's crops, the latest kept in memory; several threads may use it."""

    def __init__(self, folder: Path, entries: Iterable[Entry]) -> None:
        self._folder = folder.resolve()
        self._files = {face_key(self._folder, entry.file): entry.file for entry in entries}
        self._made = lru_cache(CACHED)(self._make)

    def file_of(self, key: str) -> str | None:
        """Return the file of a crop as the manifest names it; None if the key is not in this set."""
        return self._files.get(key)

    def jpeg(self, key: str, side: int) -> bytes:
        """Encode a crop as JPEG, its longer side at most `side` pixels, never enlarged.

        Raises:
            ImageError: if the key is unknown, or the file is gone, damaged, or outside the set.
        """
        return self._made(key, side)

    def _make(self, key: str, side: int) -> bytes:
        path = self._path(key)
        with opened(path) as file:
            file.draft(None, (side, side))  # decodes a JPEG at a half, a quarter or an eighth if that is enough
            colour, _ = split_alpha(upright(path, file, None)[0])
            picture, _ = to_srgb(colour, file.info.get("icc_profile"), keep_profile=False)
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            content = BytesIO()
            picture.save(content, "JPEG", quality=88)
        return content.getvalue()

    def _path(self, key: str) -> Path:
        file = self._files.get(key)
        if file is None:
            raise ImageError(f"face {key!r}: is not in this set; reload the page.")
        try:
            path = (self._folder / file).resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
            raise ImageError(f"{file}: no such file in the set; run facegen data prepare again.") from None
        if not path.is_relative_to(self._folder):
            raise ImageError(f"{file}: leads out of the set; copy the picture into it.")
        return path


class Curation:
    """A set and its raters' labels; several threads may use it, but only one process at a time.

    Methods with a rater raise UsageError if the name is not valid.
    """

    def __init__(self, folder: Path) -> None:
        entries = doubtful_first(entries_of(folder, without=("landmarks", "frame")))
        self.folder = folder = folder.resolve()
        self.pictures = Pictures(folder, entries)
        self._faces = [
            Face(face_key(folder, entry.file), _shown(entry.file), position, entry.decision, _reasons(entry))
            for position, entry in enumerate(entries)
        ]
        self._files = [entry.file for entry in entries]
        self._positions = {file: position for position, file in enumerate(self._files)}
        self._lock = threading.Lock()
        self._logs = {rater: LabelLog(log_path(folder, rater)) for rater in raters_of(folder)}

    def waiting(self, rater: str, start: int, count: int) -> list[Face]:
        """List the next faces, from a position on, that a rater has not labelled."""
        labels = self._log(rater).labels
        found = (face for face in self._faces[start:] if self._files[face.position] not in labels)
        return [face for face, _ in zip(found, range(count), strict=False)]

    def latest(self, rater: str, count: int) -> list[Face]:
        """List the faces that a rater labelled last, in the order of labelling."""
        labels = list(self._labels(rater))[-count:]
        return [replace(self._faces[self._positions[file]], label=label) for file, label in labels]

    def disputed(self, rater: str) -> list[Face]:
        """List the faces that one rater keeps and another drops, with the labels by `rater`."""
        labels = self._log(rater).labels
        return [replace(face, label=labels.get(self._files[face.position], "")) for face in self._disputed()]

    def progress(self, rater: str) -> Progress:
        """Count a rater's labels."""
        labels = [label for _, label in self._labels(rater)]
        keep, drop = labels.count("keep"), labels.count("drop")
        return Progress(len(self._faces), keep, drop, self._log(rater).seconds_each)

    def label(self, rater: str, key: str, label: Decision) -> Progress:
        """Label a face, or remove its label with ""; the change is on the disk when this returns."""
        file = self.pictures.file_of(key)
        if file is None:
            raise UsageError(f"face {key!r}: is not in this set; reload the page.")
        self._log(rater).set(file, label)
        return self.progress(rater)

    def summary(self) -> Summary:
        """Count the labels of all raters, and measure their agreement."""
        with self._lock:
            raters = sorted(self._logs)
        labels = {rater: found for rater in raters if (found := dict(self._labels(rater)))}
        return Summary(
            len(self._faces),
            {rater: self.progress(rater) for rater in labels},
            agreement(labels.values()),
            len(self._disputed()),
        )

    def _disputed(self) -> list[Face]:
        with self._lock:
            everybody = [log.labels for log in self._logs.values()]
        given = ({labels.get(file, "") for labels in everybody} for file in self._files)
        return [face for face, labels in zip(self._faces, given, strict=True) if labels >= {"keep", "drop"}]

    def _labels(self, rater: str) -> Iterator[tuple[str, Decision]]:
        """Yield a rater's labels of the faces that are still in the set."""
        return ((file, label) for file, label in self._log(rater).labels.items() if file in self._positions)

    def _log(self, rater: str) -> LabelLog:
        path = log_path(self.folder, rater)
        with self._lock:
            if rater not in self._logs:
                self._logs[rater] = LabelLog(path)
            return self._logs[rater]


@contextmanager
def opened_set(folder: Path) -> Iterator[Curation]:
    """Open a set to label it; UsageError if another process has opened it."""
    curation = Curation(folder)
    taken = f"{folder}: facegen data curate or studio runs on it already; use its page, or end it first."
    with sole_process(folder / FOLDER, taken):
        yield curation


def doubtful_first(entries: Sequence[Entry]) -> list[Entry]:
    """Sort by `margin`; if `facegen data clean` has not run, by sharpness. Ties are sorted by sharpness, then name."""
    is_cleaned = any(DOUBT in entry.measures for entry in entries)

    def key(entry: Entry) -> tuple[float, float, str]:
        return margin(entry) if is_cleaned else 0, entry.sharpness, entry.file

    return sorted(entries, key=key)


def margin(entry: Entry) -> float:
    """Compute the distance of an entry's doubt from the opposite decision; 0 if nothing was decided.

    It is infinite if the entry is dropped without a measure, as for a person with enough crops.
    """
    doubt = entry.measures.get(DOUBT)
    if doubt is None or not entry.decision:
        return 0
    is_measured = (doubt >= 1) == (entry.decision == "drop")
    return abs(doubt - 1) if is_measured else math.inf


def face_key(folder: Path, file: str) -> str:
    """Hash a crop's place to 20 hex digits, the same in every run; the folder has to be resolved."""
    return hashlib.sha256(f"{folder}\0{file}".encode(errors="surrogateescape")).hexdigest()[:20]


def _reasons(entry: Entry) -> tuple[str, ...]:
    """Return the reasons of `facegen data clean`; a duplicate's reason names the crop that it repeats."""
    twin = entry.extra.get(TWIN, "")
    named = {"duplicate": f"duplicate of {_shown(twin)}"} if twin else {}
    return tuple(named.get(reason, reason) for reason in entry.reasons)


def _shown(file: str) -> str:
    """Replace bytes of a file's name that are not UTF-8."""
    return os.fsencode(file).decode(errors="replace")
