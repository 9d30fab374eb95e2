"""What lies around the heads: upscaled in blocks that do not show, enlarged, or kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from facegen import background
from facegen.arrays import to_picture, to_tensor
from facegen.background import fill_background, upscale_background
from facegen.canvas import Canvas
from facegen.media.images import resize
from facegen.ops.consistency import resample
from facegen.pipeline import FacePipeline
from tests import tiny

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> FacePipeline:
    recipe: Path = tiny.save_all(tmp_path_factory.mktemp("weights"))
    return FacePipeline.load(recipe, ["candidates.variants=[]"])


@pytest.fixture(scope="module")
def cat() -> Picture:
    """(150, 101, 3): a picture without a human face."""
    whole = np.asarray(skimage.data.chelsea(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(whole[:150, :101])


def filled(pipeline: FacePipeline, photo: Picture, scale: int, how: str) -> Picture:
    canvas = Canvas(scale * photo.shape[0], scale * photo.shape[1])
    fill_background(canvas, pipeline, photo, how)
    return canvas.rgb


def test_lanczos_is_lanczos(pipeline: FacePipeline, cat: Picture) -> None:
    np.testing.assert_array_equal(filled(pipeline, cat, 3, "lanczos"), resize(cat, (303, 450)))


@pytest.mark.parametrize("how", ["tiles", "lanczos", "keep"])
def test_at_its_own_size_a_photo_is_kept(pipeline: FacePipeline, cat: Picture, how: str) -> None:
    np.testing.assert_array_equal(filled(pipeline, cat, 1, how), cat)


def test_tiles_are_the_networks(pipeline: FacePipeline, cat: Picture) -> None:
    upscaled, plain = filled(pipeline, cat, 4, "tiles").astype(int), resize(cat, (404, 600))
    assert 0.5 < np.abs(upscaled - plain).mean() < 20


def test_blocks_do_not_show(pipeline: FacePipeline, cat: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filled(pipeline, cat, 4, "tiles").astype(int)
    monkeypatch.setattr(background, "BLOCK", 48)
    assert np.abs(filled(pipeline, cat, 4, "tiles") - whole).mean() < 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (70, 9)], ids=str)
def test_less_than_a_tile(pipeline: FacePipeline, shape: tuple[int, int]) -> None:
    """The rest of the tile is the photo's edge repeated: a plain photo stays plain."""
    canvas = Canvas(2 * shape[0], 2 * shape[1])
    upscale_background(canvas, pipeline, np.full((*shape, 3), 128, np.uint8))
    assert np.abs(canvas.rgb.astype(int) - 128).mean() < 25


def test_every_block_is_told(pipeline: FacePipeline, cat: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BLOCK", 72)
    told: list[tuple[int, int]] = []
    canvas = Canvas(2 * cat.shape[0], 2 * cat.shape[1])
    upscale_background(canvas, pipeline, cat, lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]  # 3 rows of 2
    told.clear()
    fill_background(canvas, pipeline, cat, "lanczos", lambda done, of: told.append((done, of)))
    assert told == []


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_tiles_are_raised_at_the_photos_own_resolution(pipeline: FacePipeline, cat: Picture, scale: int) -> None:
    """What is shrunk to the canvas is the network's picture of the photo as it is."""
    photo = np.ascontiguousarray(cat[:40, :40])
    upscaled = pipeline.upscale_plain(to_tensor(photo))
    assert upscaled.shape == (3, 320, 320)
    expected = to_picture(resample(upscaled, (40 * scale, 40 * scale)))
    np.testing.assert_array_equal(filled(pipeline, photo, scale, "tiles"), expected)
