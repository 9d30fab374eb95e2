"""Decisions on a set by measures, duplicates and people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.data.clean import judge
from facegen.data.clean.judge import DETECTORS, PICTURE_WISE, crowding, decide, duplicates, near_pairs, with_thresholds
from facegen.data.manifest import DOUBT, TWIN, Entry

GOOD = {name: DETECTORS[name].usual for name in PICTURE_WISE}
FACES = {"1": np.zeros(128), "2": np.full(128, 0.001), "3": np.full(128, 1.0)}


def entry(number: int, **measures: float) -> Entry:
    return Entry(f"{number}.png", "", sha256=str(number), measures=GOOD | measures)


def test_measures_decide() -> None:
    good, dark = decide([entry(1), entry(2, dark=0.1)], [], {}, DETECTORS)
    assert (good.decision, good.reasons, good.measures[DOUBT]) == ("keep", (), 0)
    assert (dark.decision, dark.reasons) == ("drop", ("dark",))
    assert dark.measures[DOUBT] > 1


def test_the_sharper_of_two_duplicates_stays_and_is_named() -> None:
    dull, sharp, other = decide([entry(1), entry(2, blurred=4.0), entry(3)], [(0, 1, 12), (1, 2, 9)], FACES, DETECTORS)
    assert (dull.decision, dull.reasons, dull.extra) == ("drop", ("duplicate",), {TWIN: "2.png"})
    assert dull.measures["duplicate"] == 12
    assert [sharp.decision, other.decision] == ["keep", "keep"]


def test_a_label_outweighs_sharpness_and_a_drop_outweighs_both() -> None:
    labelled = replace(entry(1), label="keep")
    first, second = decide([labelled, entry(2, blurred=4.0)], [(0, 1, 12)], FACES, DETECTORS)
    assert (first.decision, second.decision) == ("keep", "drop")
    first, second = decide([entry(1), entry(2, blurred=4.0, noisy=9.0)], [(0, 1, 12)], FACES, DETECTORS)
    assert (first.decision, second.reasons) == ("keep", ("noisy", "duplicate"))


def test_a_new_decision_does_not_depend_on_the_old_one() -> None:
    pairs = [(0, 1, 12)]
    once = decide([entry(1), entry(2, dark=0.1)], pairs, FACES, DETECTORS)
    assert decide(once, pairs, FACES, DETECTORS) == once
    eased = decide(once, [], {}, with_thresholds(["dark=0.01"]))
    assert [e.decision for e in eased] == ["keep", "keep"]
    assert eased[1].extra == {}


def test_no_more_crops_of_a_person_are_kept_than_allowed() -> None:
    entries = [entry(1), entry(2, blurred=4.0), entry(3)]
    assert [e.reasons for e in decide(entries, [], FACES, DETECTORS, per_person=1)] == [("person",), (), ()]
    assert all(e.decision == "keep" for e in decide(entries, [], FACES, DETECTORS, per_person=2))


def embedding(position: float) -> NDArray[np.float64]:
    """Faces on a line: their distances are the differences of their positions."""
    return np.asarray(np.eye(128)[0] * position)


def test_near_pairs_are_all_pairs_that_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "ROWS", 7)
    rng = np.random.default_rng(1)
    hashes = np.repeat(rng.integers(0, 256, (6, 32), dtype=np.uint8), 5, axis=0)
    hashes ^= rng.integers(0, 256, hashes.shape, dtype=np.uint8) & rng.integers(0, 2, hashes.shape, dtype=np.uint8)
    expected = []
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = int(np.unpackbits(hashes[i] ^ hashes[j]).sum())
            expected += [(i, j, bits)] if bits < judge.NEAR else []
    assert len(expected) > 20
    assert list(near_pairs(hashes)) == expected
    assert list(near_pairs(np.zeros((0, 32), np.uint8))) == []


def test_the_better_of_two_stays() -> None:
    faces = [embedding(0), embedding(0.05), embedding(0.1)]
    pairs = [(0, 1, 20), (0, 2, 10), (1, 2, 30)]
    assert duplicates(pairs, faces, ranks=[1, 0, 2]) == {0: (1, 20), 2: (0, 10)}


def test_similar_hashes_of_different_faces_are_not_duplicates() -> None:
    assert duplicates([(0, 1, 5)], [embedding(0), embedding(0.3)], ranks=[0, 1]) == {}
    assert duplicates([(0, 1, 5)], [embedding(0), None], ranks=[0, 1]) == {}


def test_the_best_crops_of_each_person_stay() -> None:
    faces = [embedding(position) for position in (0, 0.1, 0.2, 5, 5.1, 0.15)]
    assert crowding(faces, ranks=[3, 0, 1, 2, 4, 5], per_person=2) == [0, 5]
    assert crowding(faces, ranks=[3, 0, 1, 2, 4, 5], per_person=4) == []
    assert crowding([], [], per_person=1) == []
