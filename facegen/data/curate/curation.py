"""A set being labelled: its faces in order, who said what, and the way back into the manifest."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from facegen.data.curate.agreement import Agreement, agreement, majority
from facegen.data.curate.labels import LabelLog, log_path, raters_of, read_labels
from facegen.data.curate.order import doubtful_first
from facegen.data.curate.pictures import Pictures, face_key
from facegen.data.manifest import MANIFEST, TWIN, Decision, Entry, entries_of, write_manifest
from facegen.errors import UsageError
from facegen.files import sole_writer


@dataclass(frozen=True)
class Face:
    """What the page knows of a crop."""

    key: str
    """Stands for the crop in addresses."""
    name: str
    """Its file below the set, for people to read."""
    position: int
    """In the order of showing, from 0 on."""
    decision: Decision
    """Of `facegen data clean`."""
    reasons: tuple[str, ...]
    """Why it decided so."""
    label: Decision = ""
    """Of the rater who asks."""


@dataclass(frozen=True)
class Progress:
    """How far a rater is."""

    total: int
    """Faces in the set."""
    keep: int
    drop: int
    seconds_each: float | None
    """Seconds that a face takes at the moment; None if not known yet."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote into the manifest, in faces."""

    manifest: str
    """The file written."""
    keep: int
    drop: int
    ties: int
    """Labelled by as many raters the one way as the other: clean's decision stands."""
    unlabelled: int
    """Of which nobody said anything: what the manifest had before stands."""


@dataclass(frozen=True)
class Summary:
    """What was said so far."""

    total: int
    raters: dict[str, Progress]
    agreement: Agreement | None
    disputed: int
    """Faces that one rater keeps and another drops."""


class Curation:
    """One set and its raters' labels; several threads may use it, and one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Read the set and all its labels.

        Raises:
            ImageError: as `entries_of` and `LabelLog`.
        """
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
        """The next faces that a rater has not labelled, from a position on.

        Raises:
            UsageError: if the name is not one for a rater.
        """
        labels = self._log(rater).labels
        found = (face for face in self._faces[start:] if self._files[face.position] not in labels)
        return [face for face, _ in zip(found, range(count), strict=False)]

    def latest(self, rater: str, count: int) -> list[Face]:
        """The faces that a rater labelled last, in that order.

        Raises:
            UsageError: if the name is not one for a rater.
        """
        labels = list(self._labels(rater))[-count:]
        return [replace(self._faces[self._positions[file]], label=label) for file, label in labels]

    def disputed(self, rater: str) -> list[Face]:
        """The faces that one rater keeps and another drops, with the label of the one who asks.

        Raises:
            UsageError: if the name is not one for a rater.
        """
        own = self._log(rater).labels
        return [replace(face, label=own.get(self._files[face.position], "")) for face in self._disputed()]

    def progress(self, rater: str) -> Progress:
        """How far a rater is.

        Raises:
            UsageError: if the name is not one for a rater.
        """
        labels = [label for _, label in self._labels(rater)]
        return Progress(
            len(self._faces), labels.count("keep"), labels.count("drop"), self._log(rater).seconds_each
        )  # fmt: skip

    def label(self, rater: str, key: str, label: Decision) -> Progress:
        """Label a face, or take its label back with ""; it is on the disk when this returns.

        Raises:
            UsageError: if the name is not one for a rater, or the face is not of this set.
            ImageError: if it cannot be written.
        """
        file = self.pictures.file_of(key)
        if file is None:
            raise UsageError(f"face {key!r}: is not in this set; reload the page.")
        self._log(rater).set(file, label)
        return self.progress(rater)

    def summary(self) -> Summary:
        """Everybody's counts, and how far they agree."""
        with self._lock:
            raters = sorted(self._logs)
        labels = {rater: dict(self._labels(rater)) for rater in raters}
        given = [rater for rater in raters if labels[rater]]
        return Summary(
            len(self._faces),
            {rater: self.progress(rater) for rater in given},
            agreement(labels[rater] for rater in given),
            len(self._disputed()),
        )

    def _disputed(self) -> list[Face]:
        with self._lock:
            everybody = [log.labels for log in self._logs.values()]
        said = ({labels.get(file, "") for labels in everybody} for file in self._files)
        return [face for face, labels in zip(self._faces, said, strict=True) if labels >= {"keep", "drop"}]

    def _labels(self, rater: str) -> Iterator[tuple[str, Decision]]:
        """What a rater said of the faces that are in the set now."""
        return ((file, label) for file, label in self._log(rater).labels.items() if file in self._positions)

    def _log(self, rater: str) -> LabelLog:
        path = log_path(self.folder, rater)
        with self._lock:
            if rater not in self._logs:
                self._logs[rater] = LabelLog(path)
            return self._logs[rater]


def export(folder: Path) -> Exported:
    """Write what most raters say into the manifest, as it is on the disk now; a plain folder gets one.

    Raises:
        ImageError: as `entries_of`, `read_labels` and `write_manifest`.
        UsageError: if another process writes the manifest at the moment.
    """
    if not (folder / MANIFEST).is_file():
        entries_of(folder)  # nothing is written into a folder without pictures
    with sole_writer(folder):
        return _export(folder)


def _export(folder: Path) -> Exported:
    entries = entries_of(folder)
    raters = list(read_labels(folder).values())
    counts: dict[Decision | Literal["none"], int] = {"keep": 0, "drop": 0, "": 0, "none": 0}
    labelled = []
    for entry in entries:
        said = [labels[entry.file] for labels in raters if entry.file in labels]
        label = majority(said) if said else entry.label
        counts[label if any(said) else "none"] += 1
        labelled.append(replace(entry, label=label))
    write_manifest(folder, labelled)
    return Exported(MANIFEST, counts["keep"], counts["drop"], counts[""], counts["none"])


def _reasons(entry: Entry) -> tuple[str, ...]:
    """Why `clean` decided so; of a duplicate, of what."""
    twin = entry.extra.get(TWIN, "")
    return tuple(
        f"{reason} of {_shown(twin)}" if reason == "duplicate" and twin else reason for reason in entry.reasons
    )


def _shown(file: str) -> str:
    """A file's name as text: bytes that are none are replaced."""
    return os.fsencode(file).decode(errors="replace")
