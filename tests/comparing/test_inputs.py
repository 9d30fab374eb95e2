"""Which pictures are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.comparing.inputs import LARGEST, Sides, kept_out_portraits, name_below, read_small
from facegen.comparing.upscaler import Upscaler
from facegen.errors import ImageError, TrainingError, UsageError
from facegen.evaluation.measuring import read_portrait
from facegen.media.images import read_image, resize, write_image


def model(*folders: Path) -> Upscaler:
    """One with weights from these folders."""
    return Upscaler("some", 2, lambda x: x, "", folders)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Names of twelve pictures, which nobody reads."""
    for number in range(12):
        path = tmp_path / "people" / ("a" if number % 2 else "b") / f"me_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "people"


def test_sides_are_whole_multiples() -> None:
    assert (Sides(96, 768).scale, str(Sides(48, 96))) == (8, "48 px by area mean, 8 bits, upscaled to 96 px")
    with pytest.raises(UsageError, match="--size 700: expected a multiple of --low 96, at least twice it: 672 for"):
        Sides(96, 700)
    with pytest.raises(UsageError, match="--size 96: expected a multiple of --low 96, at least twice it: 192 for"):
        Sides(96, 96)


def test_without_weights_all_are_compared(people: Path) -> None:
    files, text = kept_out_portraits(people, [model()], 60, None, ())
    assert len(files) == 12
    assert text == "all of *; no model says what it was trained on"
    files, _ = kept_out_portraits(people, [model()], 3, None, ("a/*",))
    assert [file.name for file in files] == ["me_01.png", "me_05.png", "me_09.png"]


def test_weights_say_what_was_kept_out(people: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "recipe.toml").write_text("[data]\nheld_out = 4\n")
    files, text = kept_out_portraits(people, [model(), model(weights), model(weights)], 60, None, ())
    assert len(files) == 4
    assert "4 held out by person of * (stated by the weights' recipe)" in text
    stated, _ = kept_out_portraits(people, [model()], 60, 4, ())
    assert stated == files


def test_weights_that_say_nothing_are_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say it yourself: --held-out 60"):
        kept_out_portraits(people, [model(tmp_path)], 60, None, ())
    with pytest.raises(TrainingError, match="no such folder"):
        kept_out_portraits(people / "none", [model()], 60, None, ())


def test_portraits_are_brought_to_the_side(portraits: Path) -> None:
    np.testing.assert_array_equal(read_portrait(portraits / "a_1.png", 256), read_image(portraits / "a_1.png").rgb)
    assert read_portrait(portraits / "b/a_1.png", 256).shape == (256, 256, 3)
    for name, size in (("c_small", "192x192"), ("d_wide", "256x200")):
        with pytest.raises(ImageError, match=f"{name}.png: {size}, expected an aligned square head of at least 256 px"):
            read_portrait(portraits / f"{name}.png", 256)


def test_own_pictures_have_any_shape_but_not_any_size(tmp_path: Path, head: NDArray[np.uint8]) -> None:
    small = write_image(tmp_path / "small.png", resize(head, (LARGEST, 20)))
    assert read_small(small).shape == (20, LARGEST, 3)
    large = write_image(tmp_path / "large.png", resize(head, (LARGEST + 1, 20)))
    with pytest.raises(ImageError, match=r"large.png: 513x20, expected at most 512 px a side; left out.*facegen upres"):
        read_small(large)


def test_names_follow_the_folders(tmp_path: Path) -> None:
    assert name_below(tmp_path / "a" / "b.c.png", tmp_path) == "a-b.c"
