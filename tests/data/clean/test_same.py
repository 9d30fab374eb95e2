"""Near-duplicates and people."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.data.clean import same
from facegen.data.clean.same import crowding, duplicates, near_pairs


def embedding(place: float) -> NDArray[np.float64]:
    """Faces on a line: distances are differences of places."""
    return np.asarray(np.eye(128)[0] * place)


def test_near_pairs_are_all_pairs_that_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same, "ROWS", 7)
    rng = np.random.default_rng(1)
    hashes = np.repeat(rng.integers(0, 256, (6, 32), dtype=np.uint8), 5, axis=0)
    hashes ^= rng.integers(0, 256, hashes.shape, dtype=np.uint8) & rng.integers(0, 2, hashes.shape, dtype=np.uint8)
    expected = []
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = int(np.unpackbits(hashes[i] ^ hashes[j]).sum())
            expected += [(i, j, bits)] if bits < same.NEAR else []
    assert len(expected) > 20
    assert list(near_pairs(hashes)) == expected
    assert list(near_pairs(np.zeros((0, 32), np.uint8))) == []


def test_the_better_of_two_stays() -> None:
    faces = [embedding(0), embedding(0.05), embedding(0.1)]
    pairs = [(0, 1, 20), (0, 2, 10), (1, 2, 30)]
    assert duplicates(pairs, faces, ranks=[1, 0, 2]) == {0: (1, 20), 2: (0, 10)}


def test_near_hashes_of_other_faces_are_no_duplicates() -> None:
    assert duplicates([(0, 1, 5)], [embedding(0), embedding(0.3)], ranks=[0, 1]) == {}
    assert duplicates([(0, 1, 5)], [embedding(0), None], ranks=[0, 1]) == {}


def test_of_each_person_the_best_stay() -> None:
    faces = [embedding(place) for place in (0, 0.1, 0.2, 5, 5.1, 0.15)]
    assert crowding(faces, ranks=[3, 0, 1, 2, 4, 5], per_person=2) == [0, 5]
    assert crowding(faces, ranks=[3, 0, 1, 2, 4, 5], per_person=4) == []
    assert crowding([], [], per_person=1) == []
