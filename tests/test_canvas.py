"""Canvases in memory and in files: filled and back-projected by blocks as if it were done at once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen import canvas as module
from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.canvas import back_project_photo, blank_canvas, enlarge, fill_background, mosaic
from facegen.errors import FileError
from facegen.media.images import resize
from facegen.ops.blending import blend
from facegen.ops.consistency import downsample_area, resample
from facegen.ops.tiling import plan_tiles, split
from facegen.pipeline import FacePipeline


def shrunk_error(result: RGB, photo: RGB) -> float:
    """Largest difference of the area-downsampled result to the photo, in 8-bit steps."""
    shrunk = downsample_area(to_tensor(result).double(), (photo.shape[0], photo.shape[1]))
    return float((shrunk * 255 - to_tensor(photo).double() * 255).abs().max())


@pytest.fixture
def photo(astronaut: RGB) -> RGB:
    """(91, 70, 3), with black and white in it."""
    part = np.ascontiguousarray(astronaut[60:151, 180:250])
    part[:20], part[40:50, 30:40] = 0, 255
    return part


@pytest.fixture(params=["memory", "file"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "file":
        monkeypatch.setattr(module, "IN_MEMORY", 0)


@pytest.mark.usefixtures("where")
def test_a_canvas_keeps_what_was_written() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    canvas = blank_canvas(300, 200, np.uint8)
    assert not canvas.any()
    canvas[:] = rgb
    np.testing.assert_array_equal(canvas, rgb)


@pytest.mark.usefixtures("where")
def test_a_large_one_on_a_full_disk_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr("facegen.canvas.IN_MEMORY", 100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileError, match=r"20x20 pixels: needs a temporary file .* set TMPDIR to a larger disk"):
            blank_canvas(20, 20, np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_enlarging_by_strips_is_enlarging(photo: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", 10)
    canvas = blank_canvas(3 * 91, 3 * 70, np.uint8)
    enlarge(canvas, photo)
    np.testing.assert_array_equal(canvas, resize(photo, (3 * 70, 3 * 91)))


def test_a_mosaic_of_a_pictures_own_blocks_is_the_picture(photo: RGB) -> None:
    large = resize(photo, (140, 182))
    canvas, plan = blank_canvas(182, 140, np.uint8), plan_tiles(91, 70, tile=32, overlap=8)
    mosaic(canvas, plan, lambda top, left: large[2 * top : 2 * top + 64, 2 * left : 2 * left + 64])
    np.testing.assert_array_equal(canvas, large)


def test_a_mosaic_is_cross_faded_as_tiles_are(photo: RGB) -> None:
    plan = plan_tiles(91, 70, tile=32, overlap=8)
    tiles = split(to_tensor(photo), plan) * torch.linspace(0.5, 1, len(plan))[:, None, None, None]
    made = dict(zip(plan.boxes, tiles, strict=True))
    canvas = blank_canvas(91, 70, np.uint8)
    mosaic(canvas, plan, lambda top, left: to_rgb(made[top, left]))
    assert np.abs(canvas.astype(int) - to_rgb(blend(tiles, plan))).max() <= 2  # each fade rounds to 8 bits


@pytest.mark.parametrize("scale", [2, 3, 5])
@pytest.mark.parametrize("block", [15, 96])
def test_a_back_projected_canvas_shrinks_to_the_photo(
    photo: RGB, scale: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    made = resize(photo, (70 * scale, 91 * scale)).astype(int) + rng.normal(12, 20, (91 * scale, 70 * scale, 3))
    canvas = made.clip(0, 255).astype(np.uint8)
    result, fit = back_project_photo(canvas, photo, fidelity=1.0)
    assert shrunk_error(result, photo) <= 1
    assert fit == pytest.approx(
        -20 * math.log10(np.sqrt(np.mean((shrunk(result, scale) - photo) ** 2)) / 255), abs=0.01
    )


def shrunk(rgb: RGB, scale: int) -> NDArray[np.float64]:
    height, width = rgb.shape[0] // scale, rgb.shape[1] // scale
    return np.asarray(rgb.reshape(height, scale, width, scale, 3).mean(axis=(1, 3)))


def test_blocks_leave_no_borders(photo: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is the same everywhere is taken away the same everywhere."""
    results = []
    for block in (15, 96):
        monkeypatch.setattr(module, "BLOCK", block)
        canvas = np.full((4 * 91, 4 * 70, 3), 100, np.uint8)
        results.append(back_project_photo(canvas, photo, fidelity=1.0)[0].astype(int))
    assert np.abs(results[0] - results[1]).max() <= 6  # where black and white are clamped, passes reach a little apart
    assert np.abs(results[0] - results[1]).mean() < 0.05


def test_without_fidelity_nothing_changes(photo: RGB) -> None:
    canvas = np.full((182, 140, 3), 100, np.uint8)
    result, fit = back_project_photo(canvas, photo, fidelity=0.0)
    assert fit < 20
    assert (result == 100).all()


def test_at_the_photos_own_size_means_of_four_are_held(photo: RGB) -> None:
    noise = np.random.default_rng(0).integers(-30, 30, photo.shape)
    noise[:50] = 0
    canvas = (photo.astype(int) + noise).clip(0, 255).astype(np.uint8)
    result, _ = back_project_photo(canvas, photo, fidelity=1.0)
    assert np.abs(shrunk(result[:90], 2) - shrunk(photo[:90], 2)).max() <= 1
    np.testing.assert_array_equal(result[:40], photo[:40])
    assert np.abs(result[60:].astype(int) - photo[60:]).mean() > 3


@pytest.mark.usefixtures("where")
def test_an_equal_canvas_stays(photo: RGB) -> None:
    result, fit = back_project_photo(photo, photo, fidelity=1.0)
    assert fit == math.inf
    np.testing.assert_array_equal(result, photo)
    assert back_project_photo(blank_canvas(1, 1, np.uint8), np.zeros((1, 1, 3), np.uint8), 1.0)[1] == math.inf


# --- the background


@pytest.fixture(scope="module")
def pipeline(recipe: Path) -> FacePipeline:
    return FacePipeline.load(recipe, ["candidates.variants=[]"])


def filled(pipeline: FacePipeline, photo: RGB, scale: int, how: str) -> RGB:
    canvas = blank_canvas(scale * photo.shape[0], scale * photo.shape[1], np.uint8)
    fill_background(canvas, pipeline, photo, how)
    return canvas


@pytest.mark.parametrize("how", ["tiles", "lanczos", "keep"])
def test_at_its_own_size_a_photo_is_kept(pipeline: FacePipeline, cat: RGB, how: str) -> None:
    np.testing.assert_array_equal(filled(pipeline, cat, 1, how), cat)


def test_tiles_are_the_networks(pipeline: FacePipeline, cat: RGB) -> None:
    upscaled, plain = filled(pipeline, cat, 4, "tiles").astype(int), resize(cat, (404, 600))
    assert 0.5 < np.abs(upscaled - plain).mean() < 20


def test_blocks_do_not_show(pipeline: FacePipeline, cat: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filled(pipeline, cat, 4, "tiles").astype(int)
    monkeypatch.setattr(module, "UPSCALED_BLOCK", 48)
    assert np.abs(filled(pipeline, cat, 4, "tiles") - whole).mean() < 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (70, 9)], ids=str)
def test_less_than_a_tile(pipeline: FacePipeline, shape: tuple[int, int]) -> None:
    """The rest of the tile is the photo's edge repeated: a plain photo stays plain."""
    canvas = filled(pipeline, np.full((*shape, 3), 128, np.uint8), 2, "tiles")
    assert np.abs(canvas.astype(int) - 128).mean() < 25


def test_every_block_is_told(pipeline: FacePipeline, cat: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPSCALED_BLOCK", 72)
    told: list[tuple[int, int]] = []
    canvas = blank_canvas(2 * cat.shape[0], 2 * cat.shape[1], np.uint8)
    fill_background(canvas, pipeline, cat, "tiles", lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]  # 3 rows of 2
    told.clear()
    fill_background(canvas, pipeline, cat, "lanczos", lambda done, of: told.append((done, of)))
    assert told == []


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_tiles_are_raised_at_the_photos_own_resolution(pipeline: FacePipeline, cat: RGB, scale: int) -> None:
    """What is shrunk to the canvas is the network's picture of the photo as it is."""
    photo = np.ascontiguousarray(cat[:40, :40])
    upscaled = pipeline.upscale_plain(to_tensor(photo))
    assert upscaled.shape == (3, 320, 320)
    expected = to_rgb(resample(upscaled, (40 * scale, 40 * scale)))
    np.testing.assert_array_equal(filled(pipeline, photo, scale, "tiles"), expected)
