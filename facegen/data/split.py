"""Which pictures are kept out of training: chosen by person, by a fixed rule, from the file names alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
LONDON_PEOPLE = 102
"""The London set numbers its neutral pictures 0-101 and the same people, smiling, 102-203."""


def source_of(path: Path) -> str:
    """The source a picture came from: the part of its file stem before the last underscore."""
    return path.stem.rpartition("_")[0] or path.stem


def person_of(path: Path) -> str:
    """The person a picture shows: its file stem, but for the London set, which shows everybody twice."""
    source, _, number = path.stem.rpartition("_")
    if source == "london" and number.isdecimal():
        return f"london_{int(number) % LONDON_PEOPLE}"
    return path.stem


def split(
    paths: Iterable[Path], held_out: int, person: Callable[[Path], str] = person_of
) -> tuple[list[Path], list[Path]]:
    """Split pictures into those trained on and those kept out, never parting one person's.

    People are taken in the order of the SHA-256 of their names until at least `held_out` pictures are kept out, so the
    choice depends neither on the order of the files nor on a random seed.

    Args:
        paths: picture files.
        held_out: how many pictures to keep out; 0 keeps none.
        person: names the person that a picture shows.
    Returns:
        (training, held out), each sorted.
    """
    people: dict[str, list[Path]] = {}
    for path in sorted(paths):
        people.setdefault(person(path), []).append(path)
    training: list[Path] = []
    out: list[Path] = []
    for name in sorted(people, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        (out if len(out) < held_out else training).extend(people[name])
    return sorted(training), sorted(out)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at even distances, so that every source has its share; all if there are fewer."""
    step = max(len(items) / count, 1)
    return [items[int(i * step)] for i in range(min(count, len(items)))]
