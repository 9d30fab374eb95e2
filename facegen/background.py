"""What lies around the heads of a photo, enlarged."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facegen.canvas import Canvas, enlarge, mosaic
from facegen.ops.tiling import plan_tiles
from facegen.pipeline import FacePipeline
from facegen.tensors import to_picture, to_tensor

Picture = NDArray[np.uint8]

BLOCK, OVERLAP = 96, 16
"""Low-res pixels raised at a time, to bound the memory, and shared with the next block."""


def raise_background(canvas: Canvas, pipeline: FacePipeline, photo: Picture) -> None:
    """Raise a photo with an empty guide, block by block.

    A block is a whole number of low-res pixels and of the photo's own.

    Args:
        canvas: (s*H, s*W, 3) to fill, for any whole s.
        photo: (H, W, 3), any size; what is less than one tile is raised with its edge repeated.
    """
    height, width = photo.shape[:2]
    scale = canvas.rgb.shape[0] // height
    step = pipeline.scale  # photo pixels that make `scale` low-res pixels
    least = step * math.ceil(pipeline.config.tile / scale)
    if min(height, width) < least:
        larger = ((0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0))
        padded = np.pad(photo, larger, mode="edge")
        around = Canvas(scale * padded.shape[0], scale * padded.shape[1])
        raise_background(around, pipeline, padded)
        canvas.rgb[:] = around.rgb[: scale * height, : scale * width]
        return
    block = max(min(step * (BLOCK // scale), min(height, width) // step * step), least)
    overlap = min(step * OVERLAP // scale, block // 2)
    low = block * scale // step

    def make(top: int, left: int) -> Picture:
        part = to_tensor(photo[top : top + block, left : left + block])
        return to_picture(pipeline.raise_picture(part, (low, low), None).image)

    mosaic(canvas, plan_tiles(height, width, tile=block, overlap=overlap), make)


def fill_background(canvas: Canvas, pipeline: FacePipeline, photo: Picture, background: str) -> None:
    """Fill a canvas with the photo, as `facegen.photo.PhotoOptions.background` says; at the photo's size, unchanged."""
    if canvas.rgb.shape == photo.shape:
        canvas.rgb[:] = photo
    elif background == "tiles":
        raise_background(canvas, pipeline, photo)
    else:
        enlarge(canvas, photo)
