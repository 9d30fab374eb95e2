"""Which pictures are measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.data.split import spread
from facegen.errors import RecipeError, TrainingError, UsageError
from facegen.evaluation.pictures import RECIPE, read_split, shared_split
from facegen.training.datasets import DataConfig, training_files
from facegen.training.start import RESOLVED


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
    assert found.training == training_files(data, DataConfig(include=("studio/*",), held_out=16))
    assert found.kept_out
    assert {path.parent.name for path in found.kept_out} == {"studio"}
    assert not set(found.training) & set(found.kept_out)
    assert found.text == "16 held out by person of studio/* (stated by the weights' recipe)"


def test_the_recipe_is_what_trainings_leave() -> None:
    assert RECIPE == RESOLVED  # not imported there: training needs packages that measuring does not


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


def test_spread_takes_even_steps() -> None:
    files = [Path(str(number)) for number in range(10)]
    assert [int(path.name) for path in spread(files, 4)] == [0, 2, 5, 7]
    assert spread(files, 10) == files
    assert spread(files, 50) == files
