"""Keep or drop: the detectors with their thresholds, and the decisions on a set.

A new detector is a function of a `View` and a line in `DETECTORS`. Thresholds were chosen on half of the people of two
sets of clean portraits (docs/data.md): unless stated otherwise, each keeps 99.5 % of these pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.data.clean import face, patterns
from facegen.data.clean.face import View
from facegen.data.manifest import DOUBT, TWIN, Entry
from facegen.errors import UsageError, suggest
from facegen.faces.identity import identity_distance

VERSION = 2
"""Version of the measures; crops with measures of another version are measured again."""


@dataclass(frozen=True)
class Detector:
    """A measure and its threshold."""

    measure: Callable[[View], float] | None
    """None if the measure needs the whole set."""
    worse: Literal["above", "below"]
    threshold: float
    usual: float
    """Median of clean portraits."""
    meaning: str
    """The measure and its unit, in a few words."""

    def severity(self, value: float) -> float:
        """Scale a measure: 0 for a usual picture, 1 at the threshold, more beyond it."""
        return (value - self.usual) / (self.threshold - self.usual)


DETECTORS = {
    "blurred": Detector(
        face.focus, "below", 1.7, 2.7, "energy of the gradients around the eyes, over that after a blur of 2 px"
    ),
    "dark": Detector(face.brightest, "below", 0.35, 0.77, "luma that 1 % of the face exceeds, 0 to 1"),
    "blown": Detector(face.clipped, "above", 0.08, 0.0, "share of the face that is overexposed"),
    "grey": Detector(face.colour, "below", 1.2, 3.9, "colour that does not follow from the lightness, in L*a*b*"),
    "tinted": Detector(face.cast, "above", 4.7, 1.15, "distance of the face's colour from skin's, in its spreads"),
    "noisy": Detector(patterns.noise, "above", 2.1, 0.55, "grain of the flattest skin, in steps of 255"),
    "blocks": Detector(patterns.blocks, "above", 17.5, 8.7, "JPEG's grid in the second differences, over chance"),
    "screened": Detector(patterns.screen, "above", 22.0, 9.0, "strongest regular pattern over its surroundings, in dB"),
    "drawn": Detector(patterns.drawn, "above", 0.8, -4.0, "log-odds of a drawing or painting"),
    "eyes": Detector(patterns.eyes_hidden, "above", 1.9, 0.9, "how unlike usual eyes they are, over the usual"),
    "sunglasses": Detector(
        patterns.eye_light, "below", 0.32, 0.75, "lightness around the eyes, over that of the cheeks"
    ),
    "mouth": Detector(patterns.mouth_hidden, "above", 1.9, 0.9, "how unlike usual mouths it is, over the usual"),
    "unsure": Detector(face.unsure, "above", 0.09, 0.054, "1 minus the face detector's confidence"),
    "misplaced": Detector(face.misplaced, "above", 0.09, 0.034, "distance of the face from its place, in sides"),
    "several": Detector(face.others, "above", 0.5, 0.0, "width of a second face, over the first's"),
    "turned": Detector(face.turned, "above", 0.34, 0.06, "how far the nose is off the middle, eyes to mouth as unit"),
    "text": Detector(patterns.letters, "above", 4.5, 1.5, "letters in the longest row"),
    "duplicate": Detector(None, "below", 48.0, 128.0, "bits of 256 by which a better picture of the same face differs"),
}
"""Name, which is also the reason in the manifest -> detector."""
DUPLICATE, PERSON = "duplicate", "person"
"""The measure that needs the whole set; the reason for crops beyond --per-person."""
PICTURE_WISE = {name: detector.measure for name, detector in DETECTORS.items() if detector.measure is not None}
"""Name -> measure, for measures of a single picture."""
BITS, NEAR = 256, 64
"""Bits of a perceptual hash; hashes are similar if fewer than `NEAR` bits differ."""
SAME_FACE = 0.12
"""Distance of embeddings above which two crops with similar hashes are different pictures. Copies that were moved,
lightened and saved again: 0.03 to 0.12; one person, neutral and smiling, in the same light: 0.11 to 0.34."""
PERSON_DISTANCE = 0.4
"""Distance of embeddings below which two faces are linked to one person; chosen by benchmarks/clean_people.py. At 0.5,
as in dlib's example of clustering, chains of similar people become one person."""
ROWS = 512
Pair = tuple[int, int, int]
"""Two indexes, the smaller first, and the number of bits that differ."""
Embeddings = Mapping[str, NDArray[np.float64]]
"""SHA-256 of a crop's file -> (128,)."""


def with_thresholds(settings: Iterable[str]) -> dict[str, Detector]:
    """Return the detectors with some thresholds changed, as in "blurred=1.4"; UsageError if a setting is wrong."""
    detectors = dict(DETECTORS)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in DETECTORS:
            raise UsageError(f"--threshold {setting}: unknown detector {name!r}" + suggest(name, DETECTORS, "'"))
        detectors[name] = replace(detectors[name], threshold=_threshold(setting, text, detectors[name]))
    return detectors


def severities(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> dict[str, float]:
    """Compute the severity of each measure that has a detector."""
    return {name: detector.severity(measures[name]) for name, detector in detectors.items() if name in measures}


def reasons(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> tuple[str, ...]:
    """Name the detectors whose threshold is passed, the most severe first."""
    passed = {name: severity for name, severity in severities(measures, detectors).items() if severity > 1}
    return tuple(sorted(passed, key=lambda name: -passed[name]))


def doubt(measures: Mapping[str, float], detectors: Mapping[str, Detector]) -> float:
    """Return the largest severity, 0 without a measure; people should look at pictures near 1."""
    return max(severities(measures, detectors).values(), default=0.0)


def is_measured(entry: Entry) -> bool:
    """Return whether an entry has all measures of a single picture."""
    return entry.measures.keys() >= PICTURE_WISE.keys()


def decide(
    entries: Sequence[Entry],
    pairs: Iterable[Pair],
    embeddings: Embeddings,
    detectors: Mapping[str, Detector],
    per_person: int | None = None,
) -> list[Entry]:
    """Decide on every crop of a set.

    Of duplicates, and of one person's crops, those with the sharpest eyes stay; crops that people labelled "keep" rank
    before all others, crops that are dropped for another reason after them.

    Args:
        entries: with the measures of `PICTURE_WISE`.
        pairs: crops with similar perceptual hashes, by their index in `entries`.
        per_person: most crops of one person to keep; None keeps all.
    Returns:
        the entries in their order, with decision, reasons, the measures "duplicate" (bits) and "doubt" (the largest
        severity), and the column "duplicate_of".
    """
    alone = [_decided(entry, BITS, "", detectors) for entry in entries]
    faces = [embeddings.get(entry.sha256) for entry in entries]
    twins = duplicates(list(pairs), faces, _ranks(alone))
    decided = [
        _decided(entry, twins[index][1], alone[twins[index][0]].file, detectors) if index in twins else entry
        for index, entry in enumerate(alone)
    ]
    return decided if per_person is None else _without_crowds(decided, embeddings, per_person)


def near_pairs(hashes: RGB) -> Iterator[Pair]:
    """Yield the pairs of crops whose perceptual hashes, (N, 32) packed, differ in fewer than `NEAR` bits, in order."""
    words = np.ascontiguousarray(hashes).view(np.uint64)  # (N, 4)
    for start in range(0, len(words), ROWS):
        rows = words[start : start + ROWS]
        apart = sum(np.bitwise_count(rows[:, None, i] ^ words[None, :, i]).astype(np.uint16) for i in range(4))
        for row, column in zip(*np.nonzero(apart < NEAR), strict=True):
            if start + row < column:
                yield int(start + row), int(column), int(apart[row, column])


def duplicates(
    pairs: Sequence[Pair], embeddings: Sequence[NDArray[np.float64] | None], ranks: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Find the crops that repeat a better one: index -> the better crop's index and the number of differing bits.

    Args:
        embeddings: one for each crop; None if it is in no pair, or could not be read.
        ranks: one for each crop; 0 is the best.
    """
    found: dict[int, tuple[int, int]] = {}
    for one, other, bits in pairs:
        a, b = embeddings[one], embeddings[other]
        if a is None or b is None or identity_distance(a, b) > SAME_FACE:
            continue
        worse, better = (one, other) if ranks[one] > ranks[other] else (other, one)
        if worse not in found or bits < found[worse][1]:
            found[worse] = (better, bits)
    return found


def crowding(
    embeddings: Sequence[NDArray[np.float64]], ranks: Sequence[int], per_person: int, distance: float = PERSON_DISTANCE
) -> list[int]:
    """List the indexes of crops beyond the best `per_person` of each person.

    People are clusters of embeddings (Chinese whispers, Biemann 2006), made by dlib: two similar people may become one,
    and one person at very different ages two.
    """
    import dlib

    people = dlib.chinese_whispers_clustering([dlib.vector(e.tolist()) for e in embeddings], distance)
    taken: dict[int, int] = {}
    beyond = []
    for index in sorted(range(len(embeddings)), key=lambda i: ranks[i]):
        taken[people[index]] = taken.get(people[index], 0) + 1
        if taken[people[index]] > per_person:
            beyond.append(index)
    return sorted(beyond)


def _threshold(setting: str, text: str, detector: Detector) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    side = value > detector.usual if detector.worse == "above" else value < detector.usual
    if not side or not math.isfinite(value):
        raise UsageError(
            f"--threshold {setting}: expected a number {detector.worse} {detector.usual:g}, the usual value; "
            f"crops {detector.worse} it are dropped ({detector.meaning})."
        )
    return value


def _decided(entry: Entry, bits: int, twin: str, detectors: Mapping[str, Detector]) -> Entry:
    """Decide on one crop, which differs from the better crop `twin`, or "", by this number of bits."""
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
    """Rank crops, 0 for the best."""

    def key(index: int) -> tuple[bool, bool, float, str]:
        entry = entries[index]
        return entry.label != "keep", entry.decision == "drop", -entry.measures["blurred"], entry.file

    return [int(rank) for rank in np.argsort(sorted(range(len(entries)), key=key))]
