"""A set on its way to being clean: measured where it is not yet, compared with itself, and saved as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegen.batch.run import Outcome, Task, Work, run
from facegen.data.cleaning.detectors import VERSION, Detector
from facegen.data.cleaning.judging import is_measured, judge
from facegen.data.cleaning.looks import Looks
from facegen.data.cleaning.measuring import CropEmbedder, CropMeasurer, Embedded, Measured
from facegen.data.cleaning.same import Pair, near_pairs
from facegen.data.manifest import Entry, entries_of, write_manifest
from facegen.errors import ImageError
from facegen.files import sha256_of

SAVE_EVERY = 10.0
"""Seconds between two savings, at least; and saving takes at most a tenth of the time."""
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
        self._saved, self._cost = time.monotonic(), 0.0

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
        yield from self._run(todo, CropMeasurer(known), jobs, self._take_measured)

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
        yield from self._run(todo, CropEmbedder(known), jobs, self._take_embedded)

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
        started = time.monotonic()
        self.looks.save()
        write_manifest(self.folder, self.entries.values())
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def _is_measured(self, path: Path, entry: Entry) -> bool:
        try:
            sha256 = sha256_of(path)
        except ImageError:  # the attempt to measure it will say so
            sha256 = ""
        if entry.sha256 not in ("", sha256):  # landmarks and measures are of another picture
            self.entries[path] = replace(entry, landmarks=(), measures={}, sha256=sha256, decision="", reasons=())
            return False
        return is_measured(entry) and entry.measures.get(MEASURED) == VERSION and sha256 in self.looks.hashes

    def _run(
        self, todo: Sequence[Task], work: Work, jobs: int, take: Callable[[Outcome], None]
    ) -> Generator[Outcome, None, None]:
        try:
            with closing(run(todo, work, min(jobs, max(len(todo), 1)))) as outcomes:
                for outcome in outcomes:
                    take(outcome)
                    if time.monotonic() - self._saved > max(SAVE_EVERY, 10 * self._cost):
                        self.save()
                    yield outcome
        finally:
            self.save()

    def _take_measured(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Measured) or outcome.hashed is None:
            return  # it failed, and says why
        self.looks.hashes[outcome.sha256] = outcome.hashed
        self.entries[outcome.source] = replace(
            self.entries[outcome.source],
            sha256=outcome.sha256,
            size=outcome.size,
            landmarks=outcome.landmarks,
            measures=outcome.measures | {MEASURED: VERSION},
        )

    def _take_embedded(self, outcome: Outcome) -> None:
        if isinstance(outcome, Embedded) and outcome.embedding is not None:
            self.looks.embeddings[self.entries[outcome.source].sha256] = outcome.embedding
