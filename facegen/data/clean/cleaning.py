"""A set on its way to being clean: measured where it is not yet, compared with itself, and saved as it goes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegen.data.clean.detectors import VERSION, Detector
from facegen.data.clean.judging import is_measured, judge
from facegen.data.clean.looks import Looks
from facegen.data.clean.measuring import CropEmbedder, CropMeasurer, Embedded, Measured
from facegen.data.clean.same import Pair, near_pairs
from facegen.data.manifest import Entry, entries_of, write_manifest
from facegen.data.saving import run_saving
from facegen.errors import FileError
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task

MEASURED = "version"
"""Key in an entry's measures of the detectors' version that made them."""


class Cleaning:
    """A set of crops, or a plain folder of them.

    Raises:
        ImageError: if there are none, or what the set remembers cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = {folder / entry.file: entry for entry in entries_of(folder)}
        self.looks = Looks(folder)

    def unmeasured(self, seen: Callable[[], None] = lambda: None) -> list[Task]:
        """Crops without measures, or with those of other bytes than their file has now.

        Args:
            seen: called after each file.
        """
        todo = []
        for path, entry in self.entries.items():
            if not self._is_measured(path, entry):
                todo.append(Task(path, path))
            seen()
        return todo

    def measure(self, todo: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
        """Measure crops; what was measured is saved every few seconds, at the end, and when the iterator is closed.

        Args:
            jobs: processes.
        Raises:
            ImageError: if the set cannot be written.
        """
        known = {task.source: self.entries[task.source].landmarks for task in todo}
        yield from run_saving(todo, CropMeasurer(known), jobs, self._take_measured, self.save)

    def near_pairs(self) -> list[Pair]:
        """Pairs of measured crops with near hashes, by their index among `measured`."""
        hashes = [self.looks.hashes[entry.sha256] for entry in self.measured()]
        return list(near_pairs(np.array(hashes, dtype=np.uint8).reshape(-1, 32)))

    def unembedded(self, pairs: Sequence[Pair], everybody: bool) -> list[Task]:
        """Crops whose embedding is needed and not known: those of the pairs, or all."""
        entries = self.measured()
        wanted = range(len(entries)) if everybody else sorted({index for pair in pairs for index in pair[:2]})
        unknown = [entries[i] for i in wanted if entries[i].sha256 not in self.looks.embeddings]
        return [Task(self.folder / entry.file, self.folder / entry.file) for entry in unknown]

    def embed(self, todo: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
        """Find out whose faces crops show; saved as `measure` does."""
        known = {task.source: self.entries[task.source].landmarks for task in todo}
        yield from run_saving(todo, CropEmbedder(known), jobs, self._take_embedded, self.save)

    def judge(self, pairs: Sequence[Pair], detectors: Mapping[str, Detector], per_person: int | None) -> list[Entry]:
        """Decide on every measured crop, and save.

        Returns:
            those crops' entries.
        """
        decided = judge(self.measured(), pairs, self.looks.embeddings, detectors, per_person)
        self.entries |= {self.folder / entry.file: entry for entry in decided}
        self.save()
        return decided

    def measured(self) -> list[Entry]:
        """Entries of the crops that could be measured, in the set's order."""
        return [e for e in self.entries.values() if is_measured(e) and e.sha256 in self.looks.hashes]

    def save(self) -> None:
        """Write the manifest, and what is remembered beside it.

        Raises:
            ImageError: if a file cannot be written.
        """
        self.looks.save()
        write_manifest(self.folder, self.entries.values())

    def _is_measured(self, path: Path, entry: Entry) -> bool:
        try:
            sha256 = sha256_of(path)
        except FileError:  # the attempt to measure it will say so
            sha256 = ""
        entry = self.entries[path] = entry.of_bytes(sha256)
        return is_measured(entry) and entry.measures.get(MEASURED) == VERSION and sha256 in self.looks.hashes

    def _take_measured(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Measured) or outcome.hashed is None:
            return  # it failed, and says why
        self.looks.hashes[outcome.sha256] = outcome.hashed
        known = self.entries[outcome.source]
        self.entries[outcome.source] = replace(
            known,
            sha256=outcome.sha256,
            size=outcome.size,
            sharpness=known.sharpness or outcome.sharpness,
            landmarks=outcome.landmarks,
            measures=outcome.measures | {MEASURED: VERSION},
        )

    def _take_embedded(self, outcome: Outcome) -> None:
        if isinstance(outcome, Embedded) and outcome.embedding is not None:
            self.looks.embeddings[self.entries[outcome.source].sha256] = outcome.embedding
