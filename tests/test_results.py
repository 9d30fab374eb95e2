"""What is done already is known by its record: the same picture, options, recipe and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import RGB
from facegen.errors import RecipeError
from facegen.jobs import Task
from facegen.media.images import picture_text, read_image, write_image
from facegen.photo import PhotoOptions
from facegen.photo_files import FileUpscaler
from facegen.results import DoneBefore, UpresOptions
from tests import tiny


@pytest.fixture
def options(tmp_path: Path) -> UpresOptions:
    recipe = tiny.save_all(tmp_path, extra="candidates.variants = []")
    return UpresOptions("tiny", recipe, photo=PhotoOptions(scale=2, background="lanczos"))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A picture without a face."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Task(write_image(tmp_path / "a.png", picture), tmp_path / "out" / "a")


@pytest.fixture
def upscaled(options: UpresOptions, task: Task) -> Path:
    """Its result."""
    return FileUpscaler(options, ())(task).written[-1]


def test_the_same_again_is_done(options: UpresOptions, task: Task) -> None:
    assert DoneBefore(options)(task) is None
    written = FileUpscaler(options, ())(task).written
    done = DoneBefore(options)(task)
    assert done is not None
    assert done.done_already
    assert done.written == written
    assert DoneBefore(replace(options, overwrite=True))(task) is None


CHANGES: dict[str, Callable[[UpresOptions], UpresOptions]] = {
    "recipe": lambda o: replace(o, overrides=("tiles.overlap=8",)),
    "photo options": lambda o: replace(o, photo=replace(o.photo, faces="largest")),
    "scale left open": lambda o: replace(o, photo=replace(o.photo, scale=None)),
    "format": lambda o: replace(o, suffix=".jpg"),
    "EXIF": lambda o: replace(o, strip=True),
    "a sheet with it": lambda o: replace(o, before_after=True),
    "kind": lambda o: replace(o, kind="aligned"),
}


@pytest.mark.usefixtures("upscaled")
@pytest.mark.parametrize("change", CHANGES)
def test_asked_for_otherwise_it_is_not_done(options: UpresOptions, task: Task, change: str) -> None:
    assert DoneBefore(CHANGES[change](options))(task) is None


@pytest.mark.usefixtures("upscaled")
def test_another_picture_of_that_name_is_not_done(options: UpresOptions, task: Task) -> None:
    write_image(task.source, read_image(task.source).rgb[::-1].copy())
    assert DoneBefore(options)(task) is None


@pytest.mark.usefixtures("upscaled")
def test_other_weights_of_that_name_are_not_those(options: UpresOptions, task: Task, tmp_path: Path) -> None:
    upscaler = tiny.upscaler()
    torch.nn.init.zeros_(upscaler.to_rgb.weight)
    tiny.save(tmp_path, upscaler, "rgb")
    assert DoneBefore(options)(task) is None


def test_what_others_saved_in_its_place_is_not_it(options: UpresOptions, task: Task, upscaled: Path) -> None:
    text = {"facegen": picture_text(upscaled)["facegen"]}
    for change in (text, text | {"facegen-record": "{}"}):
        write_image(upscaled, read_image(upscaled).rgb, text=change)
        assert DoneBefore(options)(task) is None
    upscaled.write_bytes(b"no picture")
    assert DoneBefore(options)(task) is None


def test_the_first_head_and_every_vote_map_count(
    options: UpresOptions, tmp_path: Path, astronaut: RGB
) -> None:
    task = Task(write_image(tmp_path / "face.png", astronaut[:200, 100:340]), tmp_path / "out" / "face")
    for asked in (replace(options, kind="crop", size=256), replace(options, explain=True)):
        written = FileUpscaler(asked, ())(task).written
        assert DoneBefore(asked)(task) is not None
        written[0].unlink()
        assert DoneBefore(asked)(task) is None


def test_a_wrong_recipe_is_told_before_any_work(options: UpresOptions) -> None:
    with pytest.raises(RecipeError, match="fidelity"):
        DoneBefore(replace(options, overrides=("fidelity=2",)))
