"""Crops that show the same: near-duplicates, and one person too often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facegen.faces.identity import identity_distance

BITS = 256
"""Of a perceptual hash."""
NEAR = 64
"""Bits from which two crops are not compared any further."""
SAME_FACE = 0.12
"""Distance of embeddings above which two crops with near hashes are different pictures. Copies that were moved,
lightened and saved anew: 0.03 to 0.12; one person, neutral and smiling, in the same light: 0.11 to 0.34."""
PERSON_DISTANCE = 0.4
"""Distance of embeddings below which two faces are linked to one person; chosen by benchmarks/clean_people.py. At 0.5,
which dlib's example of clustering takes, chains of people who look alike fall into one."""
ROWS = 512
Pair = tuple[int, int, int]
"""Two indexes, the smaller first, and the bits that differ."""


def near_pairs(hashes: NDArray[np.uint8], bits: int = NEAR) -> Iterator[Pair]:
    """Pairs of crops whose perceptual hashes differ by less than `bits` bits, in order.

    Args:
        hashes: (N, 32), packed bits.
    """
    words = np.ascontiguousarray(hashes).view(np.uint64)  # (N, 4)
    for start in range(0, len(words), ROWS):
        rows = words[start : start + ROWS]
        apart = sum(np.bitwise_count(rows[:, None, i] ^ words[None, :, i]).astype(np.uint16) for i in range(4))
        for row, column in zip(*np.nonzero(apart < bits), strict=True):
            if start + row < column:
                yield int(start + row), int(column), int(apart[row, column])


def duplicates(
    pairs: Sequence[Pair], embeddings: Sequence[NDArray[np.float64] | None], ranks: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Of each crop that repeats a better one, that one and the bits by which they differ.

    Args:
        pairs: of `near_pairs`.
        embeddings: of every crop that is in a pair; None of one that could not be read.
        ranks: 0 is the best crop; of two that show the same the better one stays.
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
    embeddings: Sequence[NDArray[np.float64]],
    ranks: Sequence[int],
    per_person: int,
    distance: float = PERSON_DISTANCE,
) -> list[int]:
    """Indexes of crops beyond the best `per_person` of each person.

    People are clusters of embeddings (Chinese whispers, Biemann 2006), as dlib makes them: two people who look alike
    can fall into one, and one person at very different ages into two.

    Args:
        ranks: 0 is the best crop.
        distance: of embeddings, below which two faces are linked.
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
