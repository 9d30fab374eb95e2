"""Keep or drop: measures and thresholds -> decisions of a whole set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facegen.data.clean.detectors import PERSON, PICTURE_WISE, Detector, doubt, reasons
from facegen.data.clean.same import BITS, Pair, crowding, duplicates
from facegen.data.manifest import DOUBT, TWIN, Entry

DUPLICATE = "duplicate"
"""A measure that is made here, as it needs the whole set."""
Embeddings = Mapping[str, NDArray[np.float64]]
"""SHA-256 of a crop's file -> (128,)."""


def judge(
    entries: Sequence[Entry],
    pairs: Iterable[Pair],
    embeddings: Embeddings,
    detectors: Mapping[str, Detector],
    per_person: int | None = None,
) -> list[Entry]:
    """Decide on every crop of a set.

    Of crops that show the same, and of one person's, those with the sharpest eyes stay; crops that people labelled
    "keep" come before all others then, crops that are dropped for another reason after them.

    Args:
        entries: with the measures of every detector that needs one picture alone.
        pairs: crops with near perceptual hashes, by their index among the entries.
        per_person: crops of one person to keep at most; None does not look at people.
    Returns:
        the entries in their order, with decision, reasons, the measures "duplicate" (bits) and "doubt" (the largest
        severity of all detectors), and the column "duplicate_of".
    """
    alone = [_decided(entry, BITS, "", detectors) for entry in entries]
    known = [embeddings.get(entry.sha256) for entry in entries]
    twins = duplicates(list(pairs), known, _ranks(alone))
    decided = [
        _decided(entry, twins[index][1], alone[twins[index][0]].file, detectors) if index in twins else entry
        for index, entry in enumerate(alone)
    ]
    return decided if per_person is None else _without_crowds(decided, embeddings, per_person)


def _decided(entry: Entry, bits: int, twin: str, detectors: Mapping[str, Detector]) -> Entry:
    """One crop's decision, with the bits by which it differs from a better one, and the file of that."""
    measures = {name: value for name, value in entry.measures.items() if name != DOUBT} | {DUPLICATE: float(bits)}
    found = reasons(measures, detectors)
    measures[DOUBT] = round(doubt(measures, detectors), 3)
    extra = {name: text for name, text in entry.extra.items() if name != TWIN} | ({TWIN: twin} if twin else {})
    return replace(entry, decision="drop" if found else "keep", reasons=found, measures=measures, extra=extra)


def _without_crowds(entries: list[Entry], embeddings: Embeddings, per_person: int) -> list[Entry]:
    kept = [index for index, entry in enumerate(entries) if entry.decision == "keep" and entry.sha256 in embeddings]
    faces = [embeddings[entries[index].sha256] for index in kept]
    beyond = {kept[i] for i in crowding(faces, _ranks([entries[index] for index in kept]), per_person)}
    return [
        replace(entry, decision="drop", reasons=(PERSON,)) if index in beyond else entry
        for index, entry in enumerate(entries)
    ]


def _ranks(entries: Sequence[Entry]) -> list[int]:
    """Of each crop, 0 for the best."""

    def worth(index: int) -> tuple[bool, bool, float, str]:
        entry = entries[index]
        return entry.label != "keep", entry.decision == "drop", -entry.measures["blurred"], entry.file

    ranks = [0] * len(entries)
    for rank, index in enumerate(sorted(range(len(entries)), key=worth)):
        ranks[index] = rank
    return ranks


def is_measured(entry: Entry) -> bool:
    """Whether every detector that needs this picture alone has a measure."""
    return entry.measures.keys() >= PICTURE_WISE.keys()
