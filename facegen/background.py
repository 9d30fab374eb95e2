"""What lies around the heads of a photo, enlarged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from facegen.arrays import to_picture, to_tensor
from facegen.canvas import Canvas, enlarge, mosaic
from facegen.ops.consistency import resample
from facegen.ops.tiling import plan_tiles
from facegen.pipeline import FacePipeline

Picture = NDArray[np.uint8]

BLOCK, OVERLAP = 128, 8
"""Photo pixels upscaled at a time, to bound the memory, and shared with the next block."""
Progress = Callable[[int, int], object]
"""Told how many blocks are done, and of how many."""


def upscale_background(
    canvas: Canvas, pipeline: FacePipeline, photo: Picture, progress: Progress = lambda _done, _all: None
) -> None:
    """Upscale a photo with an empty guide, block by block, at its own resolution, and shrink that to the canvas.

    Upscaled from a shrunk photo, detail would lie where that has it, and not where the photo does.

    Args:
        canvas: (s*H, s*W, 3) to fill, for any whole s.
        photo: (H, W, 3), any size; what is less than one tile is upscaled with its edge repeated.
    """
    height, width = photo.shape[:2]
    scale, tile = canvas.rgb.shape[0] // height, pipeline.config.tile
    if min(height, width) < tile:
        larger = ((0, max(tile - height, 0)), (0, max(tile - width, 0)), (0, 0))
        padded = np.pad(photo, larger, mode="edge")
        around = Canvas(scale * padded.shape[0], scale * padded.shape[1])
        upscale_background(around, pipeline, padded, progress)
        canvas.rgb[:] = around.rgb[: scale * height, : scale * width]
        return
    block = max(min(BLOCK, height, width), tile)
    plan = plan_tiles(height, width, tile=block, overlap=min(OVERLAP, block // 2))
    done = count(1)

    def make(top: int, left: int) -> Picture:
        upscaled = pipeline.upscale_plain(to_tensor(photo[top : top + block, left : left + block]))
        progress(next(done), len(plan))
        return to_picture(resample(upscaled, (scale * block, scale * block)))

    mosaic(canvas, plan, make)


def fill_background(
    canvas: Canvas,
    pipeline: FacePipeline,
    photo: Picture,
    background: str,
    progress: Progress = lambda _done, _all: None,
) -> None:
    """Fill a canvas with the photo, as `facegen.photo.PhotoOptions.background` says; at the photo's size, unchanged."""
    if canvas.rgb.shape == photo.shape:
        canvas.rgb[:] = photo
    elif background == "tiles":
        upscale_background(canvas, pipeline, photo, progress)
    else:
        enlarge(canvas, photo)
