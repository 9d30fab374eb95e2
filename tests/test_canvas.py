"""Canvases in memory and in files; work on them by blocks gives what work on the whole gives."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen import canvas as module
from facegen.arrays import to_picture, to_tensor
from facegen.canvas import Canvas, enlarge, hold, mosaic, set_aside
from facegen.media.images import resize
from facegen.ops.blending import blend
from facegen.ops.consistency import downsample_area
from facegen.ops.tiling import plan_tiles, split

Picture = NDArray[np.uint8]


def canvas_of(rgb: Picture) -> Canvas:
    canvas = Canvas(*rgb.shape[:2])
    canvas.rgb[:] = rgb
    return canvas


def error(result: Picture, photo: Picture) -> float:
    """Largest difference of the area-downsampled result to the photo, in 8-bit steps."""
    shrunk = downsample_area(to_tensor(result).double(), (photo.shape[0], photo.shape[1]))
    return float((shrunk * 255 - to_tensor(photo).double() * 255).abs().max())


@pytest.fixture
def photo(astronaut: Picture) -> Picture:
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
    canvas = canvas_of(rgb)
    canvas.release()
    np.testing.assert_array_equal(canvas.rgb, rgb)


def in_memory() -> int:
    """Bytes of this process that are resident."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux'")
def test_what_is_set_aside_is_out_of_memory_and_unchanged() -> None:
    values = torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(0))
    before = in_memory()
    copies = [set_aside(values) for _ in range(20)]  # 60 MiB
    assert in_memory() - before < 20 * 2**20
    wanted = values.clone()
    values.zero_()
    assert all(torch.equal(copy, wanted) for copy in copies)


@pytest.mark.usefixtures("where")
def test_enlarging_by_strips_is_enlarging(photo: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", 10)
    canvas = Canvas(3 * 91, 3 * 70)
    enlarge(canvas, photo)
    np.testing.assert_array_equal(canvas.rgb, resize(photo, (3 * 70, 3 * 91)))


def test_a_mosaic_of_a_pictures_own_blocks_is_the_picture(photo: Picture) -> None:
    large = resize(photo, (140, 182))
    canvas, plan = Canvas(182, 140), plan_tiles(91, 70, tile=32, overlap=8)
    mosaic(canvas, plan, lambda top, left: large[2 * top : 2 * top + 64, 2 * left : 2 * left + 64])
    np.testing.assert_array_equal(canvas.rgb, large)


def test_a_mosaic_is_cross_faded_as_tiles_are(photo: Picture) -> None:
    plan = plan_tiles(91, 70, tile=32, overlap=8)
    tiles = split(to_tensor(photo), plan) * torch.linspace(0.5, 1, len(plan))[:, None, None, None]
    made = dict(zip(plan.boxes, tiles, strict=True))
    canvas = Canvas(91, 70)
    mosaic(canvas, plan, lambda top, left: to_picture(made[top, left]))
    assert np.abs(canvas.rgb.astype(int) - to_picture(blend(tiles, plan))).max() <= 2  # each fade rounds to 8 bits


@pytest.mark.parametrize("scale", [2, 3, 5])
@pytest.mark.parametrize("block", [15, 96])
def test_a_held_canvas_shrinks_to_the_photo(
    photo: Picture, scale: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    made = resize(photo, (70 * scale, 91 * scale)).astype(int) + rng.normal(12, 20, (91 * scale, 70 * scale, 3))
    canvas = canvas_of(made.clip(0, 255).astype(np.uint8))
    fit = hold(canvas, photo, fidelity=1.0)
    assert error(canvas.rgb, photo) <= 1
    assert fit == pytest.approx(
        -20 * math.log10(np.sqrt(np.mean((shrunk(canvas.rgb, scale) - photo) ** 2)) / 255), abs=0.01
    )


def shrunk(rgb: Picture, scale: int) -> NDArray[np.float64]:
    height, width = rgb.shape[0] // scale, rgb.shape[1] // scale
    return np.asarray(rgb.reshape(height, scale, width, scale, 3).mean(axis=(1, 3)))


def test_blocks_leave_no_borders(photo: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is the same everywhere is taken away the same everywhere."""
    results = []
    for block in (15, 96):
        monkeypatch.setattr(module, "BLOCK", block)
        canvas = canvas_of(np.full((4 * 91, 4 * 70, 3), 100, np.uint8))
        hold(canvas, photo, fidelity=1.0)
        results.append(canvas.rgb.astype(int))
    assert np.abs(results[0] - results[1]).max() <= 6  # where black and white are clamped, passes reach a little apart
    assert np.abs(results[0] - results[1]).mean() < 0.05


def test_without_fidelity_nothing_changes(photo: Picture) -> None:
    canvas = canvas_of(np.full((182, 140, 3), 100, np.uint8))
    assert hold(canvas, photo, fidelity=0.0) < 20
    assert (canvas.rgb == 100).all()


def test_at_the_photos_own_size_means_of_four_are_held(photo: Picture) -> None:
    noise = np.random.default_rng(0).integers(-30, 30, photo.shape)
    noise[:50] = 0
    canvas = canvas_of((photo.astype(int) + noise).clip(0, 255).astype(np.uint8))
    hold(canvas, photo, fidelity=1.0)
    assert np.abs(shrunk(canvas.rgb[:90], 2) - shrunk(photo[:90], 2)).max() <= 1
    np.testing.assert_array_equal(canvas.rgb[:40], photo[:40])
    assert np.abs(canvas.rgb[60:].astype(int) - photo[60:]).mean() > 3


def test_an_equal_canvas_stays(photo: Picture) -> None:
    canvas = canvas_of(photo)
    assert hold(canvas, photo, fidelity=1.0) == math.inf
    np.testing.assert_array_equal(canvas.rgb, photo)
    assert hold(Canvas(1, 1), np.zeros((1, 1, 3), np.uint8), 1.0) == math.inf
