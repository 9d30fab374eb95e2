"""The benchmarks of cleaning count what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clean_people import chosen, counts
from benchmarks.spoil import kind_of, source_name, spoil
from facegen.arrays import RGB
from facegen.media.images import write_image


def face(person: int, smile: float = 0.0) -> NDArray[np.float64]:
    """An embedding, far from other people's."""
    embedding = np.zeros(128)
    embedding[person], embedding[-1] = 1.0, smile
    return embedding


def test_second_pictures_are_counted_and_lost_people() -> None:
    pairs = {Path(f"london_{person}.webp"): face(person) for person in range(3)}
    pairs |= {Path(f"london_{person + 102}.webp"): face(person, 0.2) for person in range(3)}
    others = {Path("tpdne_1.webp"): face(3), Path("tpdne_2.webp"): face(3, 0.1)}
    assert counts(pairs | others, 0.5) == {"people": 5, "second pictures": 3, "of these dropped": 3, "people lost": 1}
    assert counts(pairs | others, 0.05)["of these dropped"] == 0


def test_as_many_others_as_of_people_shown_twice() -> None:
    files = [Path(f"london_{number}.webp") for number in range(4)] + [
        Path(f"tpdne_{number}.webp") for number in range(9)
    ]
    found = chosen(files)
    assert len(found) == 8
    assert set(files[:4]) < set(found)


def test_a_spoiled_picture_is_named_after_its_kind_and_source(tmp_path: Path, head: RGB) -> None:
    (name,) = spoil([write_image(tmp_path / "an-n.png", head)], tmp_path)
    assert (tmp_path / name).is_file()
    assert (kind_of(name), source_name(name)) == ("focus", "an-n.png")
    assert kind_of("an-n.png") == ""
