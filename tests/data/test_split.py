"""Pictures are kept out of training by person, by a fixed rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.data.split import DataConfig, person_of, read_split, shared_split, source_of, split, split_files, spread
from facegen.errors import RecipeError, TrainingError, UsageError

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


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty files, half of them below studio/; their content is never read."""
    for number in range(40):
        path = tmp_path / "data" / ("studio" if number % 2 else "varied") / f"me_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def write_recipe(weights: Path, text: str) -> None:
    (weights / "recipe.toml").write_text(f'kind = "dcgan"\n[data]\n{text}\n', encoding="utf-8")


def test_the_split_is_the_trainings(data: Path, weights: Path) -> None:
    write_recipe(weights, 'include = ["studio/*"]\nheld_out = 16')
    found = read_split(data, weights, None, ())
    assert found.training == split_files(data, DataConfig(include=("studio/*",), held_out=16))[0]
    assert found.kept_out
    assert {path.parent.name for path in found.kept_out} == {"studio"}
    assert not set(found.training) & set(found.kept_out)
    assert found.text == "16 held out by person of studio/* (stated by the weights' recipe)"


def test_options_override_the_recipe(data: Path, weights: Path) -> None:
    write_recipe(weights, 'include = ["studio/*"]\nheld_out = 16\nlimit = 3')
    found = read_split(data, weights, 10, ("*",))
    assert (len(found.kept_out), len(found.training)) == (10, 30)
    assert found.text == "10 held out by person of * (stated by options)"


def test_options_do_without_a_recipe(data: Path, weights: Path) -> None:
    assert len(read_split(data, weights, 10, ()).kept_out) == 10
    with pytest.raises(UsageError, match=r"has no recipe.toml .* say it yourself: --held-out 60"):
        read_split(data, weights, None, ("studio/*",))


def test_weights_that_saw_everything_are_refused(data: Path, weights: Path) -> None:
    write_recipe(weights, "held_out = 0")
    with pytest.raises(UsageError, match=r"kept no picture out, .* --set data.held_out=60, or name a number"):
        read_split(data, weights, None, ())


def test_wrong_tables_and_folders_are_named(data: Path, weights: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: no such folder"):
        read_split(data / "nowhere", weights, 4, ())
    write_recipe(weights, "heldout = 4")
    with pytest.raises(RecipeError, match=r'recipe.toml \[data\]: unknown key "heldout"; did you mean "held_out"'):
        read_split(data, weights, None, ())


def test_several_weights_share_a_split_or_are_refused(data: Path, weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_recipe(weights, "held_out = 16")
    write_recipe(other, "held_out = 16")
    assert shared_split(data, [weights, other], None, ()) == read_split(data, weights, None, ())
    write_recipe(other, "held_out = 8")
    with pytest.raises(UsageError, match=r"weights and .*other were trained on different pictures; state what neither"):
        shared_split(data, [weights, other], None, ())
    assert len(shared_split(data, [weights, other], 8, ()).kept_out) == 8


def test_without_weights_all_are_kept_out_or_as_many_as_stated(data: Path, weights: Path) -> None:
    found = shared_split(data, [], None, ())
    assert (len(found.kept_out), len(found.training)) == (40, 0)
    assert found.text == "all of *; no model says what it was trained on"
    assert len(shared_split(data, [], None, ("studio/*",)).kept_out) == 20
    assert shared_split(data, [], 4, ()) == shared_split(data, [weights], 4, ())
    with pytest.raises(TrainingError, match="no such folder"):
        shared_split(data / "none", [], None, ())
