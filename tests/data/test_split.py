"""What is kept out of training: by person, by a fixed rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.data.split import person_of, source_of, split, spread

FACES = [Path("studio") / f"studio_{n:05d}.png" for n in range(40)]
LONDON = [Path("london") / f"london_{n:03d}.jpg" for n in range(204)]


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("london_000.jpg", "london_0"),
        ("london_102.jpg", "london_0"),
        ("deep/london_203.png", "london_101"),
        ("london_x.png", "london_x"),
        ("london_².png", "london_²"),  # a digit to Unicode, not to int()
        ("studio_00102.png", "studio_00102"),
        ("plain.png", "plain"),
    ],
)
def test_person_of(name: str, person: str) -> None:
    assert person_of(Path(name)) == person


def test_source_of() -> None:
    assert source_of(Path("a/new_york_001.png")) == "new_york"
    assert source_of(Path("plain.png")) == "plain"


@given(held_out=st.integers(0, 220))
def test_nobody_is_on_both_sides(held_out: int) -> None:
    training, out = split(LONDON, held_out)
    assert {person_of(p) for p in training}.isdisjoint(person_of(p) for p in out)
    assert sorted(training + out) == LONDON
    assert len(out) == min(held_out + held_out % 2, 204)  # everybody is there twice


@given(files=st.permutations(FACES))
def test_order_of_the_files_does_not_matter(files: list[Path]) -> None:
    assert split(files, 7) == split(FACES, 7)


def test_counts_and_order() -> None:
    training, out = split(FACES, 7)
    assert (len(training), len(out)) == (33, 7)
    assert training == sorted(training)
    assert out == sorted(out)


def test_none_and_more_than_all() -> None:
    assert split(FACES, 0) == (FACES, [])
    assert split(FACES, 99) == ([], FACES)
    assert split([], 3) == ([], [])


def test_holding_out_more_keeps_out_those_held_out_before() -> None:
    assert set(split(FACES, 5)[1]) < set(split(FACES, 9)[1])


def test_choice_is_the_same_on_every_machine() -> None:
    assert [p.stem for p in split(FACES, 4)[1]] == [f"studio_000{n}" for n in (11, 20, 31, 38)]


def test_people_may_be_named_otherwise() -> None:
    _, out = split(FACES, 3, person=lambda path: str(int(path.stem[-2:]) % 2))
    assert len(out) == 20
    assert len({int(path.stem[-1]) % 2 for path in out}) == 1


def test_spread_is_even_and_takes_all_of_few() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(7), 3) == [0, 2, 4]
    assert spread([1, 2], 9) == [1, 2]
