"""Clean a set: measure its crops, compare them with each other, decide, and save while doing so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.data.clean.face import view_crop
from facegen.data.clean.judge import PICTURE_WISE, VERSION, Detector, Pair, decide, is_measured, near_pairs
from facegen.data.cutting import sharpness
from facegen.data.manifest import Entry, entries_of, run_saving, write_manifest
from facegen.data.reading import open_plain, read_crop
from facegen.errors import FileError, one_line
from facegen.faces.identity import identity
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.files import replacing, sha256_of
from facegen.jobs import Outcome, Task
from facegen.media.images import to_pillow

MEASURED = "version"
"""Key of the version in an entry's measures."""
FINGERPRINTS = "clean.npz"
"""File in the set's folder; if it is deleted, it is made again."""


@dataclass(frozen=True)
class Measured(Outcome):
    """The measures of a crop."""

    entry: Entry | None = None
    hashed: RGB | None = None
    """(32,): the signs of the lowest 16 x 16 cosine components of the luma, packed."""


@dataclass(frozen=True)
class Embedded(Outcome):
    """The identity of the face in a crop."""

    embedding: NDArray[np.float64] | None = None
    """(128,); see facegen.faces.identity."""


def measure_crop(entries: Mapping[Path, Entry], task: Task) -> Measured:
    """Read and measure a crop; landmarks in its entry are used."""
    known = entries[task.source]
    rgb = read_crop(task.source)
    points = _points(rgb, known)
    view = view_crop(rgb, points)
    entry = replace(
        known,
        sha256=sha256_of(task.source),
        size=len(rgb),
        sharpness=known.sharpness or sharpness(rgb),
        landmarks=tuple((round(x, 2), round(y, 2)) for x, y in points.tolist()),
        measures={name: float(f"{measure(view):.5g}") for name, measure in PICTURE_WISE.items()} | {MEASURED: VERSION},
    )
    hashed = np.packbits(imagehash.phash(to_pillow(view.rgb), hash_size=16).hash)
    return Measured(task.source, entry=entry, hashed=hashed)


def embed_crop(entries: Mapping[Path, Entry], task: Task) -> Embedded:
    """Read a crop and embed its face; landmarks in its entry are used."""
    rgb = read_crop(task.source)
    view = view_crop(rgb, _points(rgb, entries[task.source]))
    return Embedded(task.source, embedding=identity(view.rgb, Landmarks(view.points, True)))


class Fingerprints:
    """Perceptual hashes (32,) and embeddings (128,) of crops, by the file's SHA-256; stored in the set's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FINGERPRINTS
        self.hashes: dict[str, RGB] = {}
        self.embeddings: dict[str, NDArray[np.float64]] = {}
        if self.path.is_file():
            self._read()

    def save(self) -> None:
        """Write the file, complete or not at all."""
        arrays = {
            "hashed": np.array(list(self.hashes), dtype="U64"),
            "hashes": np.array(list(self.hashes.values()), dtype=np.uint8).reshape(-1, 32),
            "embedded": np.array(list(self.embeddings), dtype="U64"),
            "embeddings": np.array(list(self.embeddings.values()), dtype=np.float64).reshape(-1, 128),
        }
        try:
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written ({error.strerror}); check the folder.") from None

    def _read(self) -> None:
        with open_plain(self.path) as opened:
            try:
                with np.load(opened) as file:
                    self.hashes = _by_name(file["hashed"], file["hashes"], np.uint8, 32)
                    self.embeddings = _by_name(file["embedded"], file["embeddings"], np.float64, 128)
            except Exception as error:  # NumPy raises almost anything for a damaged file
                reason = one_line(error)
                raise FileError(f"{self.path}: cannot be read ({reason}); delete it, it will be made again.") from None


def _by_name(names: NDArray[Any], rows: NDArray[Any], kind: type[np.generic], length: int) -> dict[str, NDArray[Any]]:
    """Map names to rows of finite numbers; ValueError if they are anything else."""
    if names.dtype.kind != "U" or rows.dtype != kind or rows.shape != (*names.shape, length):
        raise ValueError(f"{rows.dtype} of shape {rows.shape}, expected {np.dtype(kind)} of shape (N, {length})")
    if not np.isfinite(rows).all():
        raise ValueError("numbers that are not finite")
    return dict(zip(names.tolist(), rows, strict=True))


class Cleaning:
    """Cleans a set, or a plain folder of crops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = {folder / entry.file: entry for entry in entries_of(folder)}
        self.fingerprints = Fingerprints(folder)

    def unmeasured(self, seen: Callable[[], None] = lambda: None) -> list[Task]:
        """List the crops without measures, or whose file has changed since; `seen` is called after each crop."""
        todo = []
        for path, entry in self.entries.items():
            if not self._is_measured(path, entry):
                todo.append(Task(path, path))
            seen()
        return todo

    def measure(self, todo: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
        """Measure crops, saving as `run_saving` does."""
        known = {task.source: self.entries[task.source] for task in todo}
        return run_saving(todo, partial(measure_crop, known), jobs, self._take_measured, self.save)

    def near_pairs(self) -> list[Pair]:
        """List the pairs of measured crops with similar hashes, by their index in `measured`."""
        hashes = [self.fingerprints.hashes[entry.sha256] for entry in self.measured()]
        return list(near_pairs(np.array(hashes, dtype=np.uint8).reshape(-1, 32)))

    def unembedded(self, pairs: Sequence[Pair], everybody: bool) -> list[Task]:
        """List the crops in the pairs, or all measured crops with `everybody`, that have no embedding."""
        entries = self.measured()
        wanted = range(len(entries)) if everybody else sorted({index for pair in pairs for index in pair[:2]})
        paths = [self.folder / entries[i].file for i in wanted if entries[i].sha256 not in self.fingerprints.embeddings]
        return [Task(path, path) for path in paths]

    def embed(self, todo: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
        """Embed the faces of crops, saving as `run_saving` does."""
        known = {task.source: self.entries[task.source] for task in todo}
        return run_saving(todo, partial(embed_crop, known), jobs, self._take_embedded, self.save)

    def decide(self, pairs: Sequence[Pair], detectors: Mapping[str, Detector], per_person: int | None) -> list[Entry]:
        """Decide on every measured crop, save, and return their entries."""
        decided = decide(self.measured(), pairs, self.fingerprints.embeddings, detectors, per_person)
        self.entries |= {self.folder / entry.file: entry for entry in decided}
        self.save()
        return decided

    def measured(self) -> list[Entry]:
        """List the entries of the crops that could be measured, in the set's order."""
        return [e for e in self.entries.values() if is_measured(e) and e.sha256 in self.fingerprints.hashes]

    def save(self) -> None:
        """Write the manifest and the fingerprints."""
        self.fingerprints.save()
        write_manifest(self.folder, self.entries.values())

    def _is_measured(self, path: Path, entry: Entry) -> bool:
        try:
            sha256 = sha256_of(path)
        except FileError:  # measuring the crop will report it
            sha256 = ""
        entry = self.entries[path] = entry.of_bytes(sha256)
        return is_measured(entry) and entry.measures.get(MEASURED) == VERSION and sha256 in self.fingerprints.hashes

    def _take_measured(self, outcome: Outcome) -> None:
        if isinstance(outcome, Measured) and outcome.entry and outcome.hashed is not None:
            self.entries[outcome.source] = outcome.entry
            self.fingerprints.hashes[outcome.entry.sha256] = outcome.hashed

    def _take_embedded(self, outcome: Outcome) -> None:
        if isinstance(outcome, Embedded) and outcome.embedding is not None:
            self.fingerprints.embeddings[self.entries[outcome.source].sha256] = outcome.embedding


def _points(rgb: RGB, entry: Entry) -> NDArray[np.float64]:
    return np.array(entry.landmarks) if len(entry.landmarks) == 68 else landmarks_in_head(rgb).points
