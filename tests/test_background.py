"""What lies around the heads: raised in blocks that do not show, enlarged, or kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from facegen import background
from facegen.background import fill_background, raise_background
from facegen.canvas import Canvas
from facegen.images import resize
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
    raised, plain = filled(pipeline, cat, 4, "tiles").astype(int), resize(cat, (404, 600))
    assert 0.5 < np.abs(raised - plain).mean() < 20


def test_blocks_do_not_show(pipeline: FacePipeline, cat: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filled(pipeline, cat, 4, "tiles").astype(int)
    monkeypatch.setattr(background, "BLOCK", 48)
    assert np.abs(filled(pipeline, cat, 4, "tiles") - whole).mean() < 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (70, 9)], ids=str)
def test_less_than_a_tile(pipeline: FacePipeline, shape: tuple[int, int]) -> None:
    """The rest of the tile is the photo's edge repeated: a plain photo stays plain."""
    canvas = Canvas(2 * shape[0], 2 * shape[1])
    raise_background(canvas, pipeline, np.full((*shape, 3), 128, np.uint8))
    assert np.abs(canvas.rgb.astype(int) - 128).mean() < 25
