"""Photo restoration: find the faces, align each, raise it, paste it back with a soft mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facegen.align import HeadFrame, crop_head, head_frame, paste_head, soft_mask
from facegen.errors import UsageError
from facegen.images import resize
from facegen.landmarks import faces_in_photo
from facegen.ops.blending import blend
from facegen.ops.consistency import back_project
from facegen.ops.tiling import plan_tiles, split
from facegen.pipeline import FacePipeline, resample
from facegen.tensors import to_picture, to_tensor

Picture = NDArray[np.uint8]

HEAD_SIDE = 768
"""`photo_scale` brings the largest head to this side."""
HEAD_LOW_RES = (32, 128)
"""Smallest and largest low-res side of a head in a photo; beyond it a tile shows too little of the face."""
BLOCK, BLOCK_OVERLAP = 128, 16
"""A photo without a face is raised in blocks of at most so many low-res pixels, to bound the memory."""
LARGEST = 100_000_000
"""Pixels of the largest picture made."""


@dataclass(frozen=True)
class Restored:
    """A raised photo and what happened to its faces."""

    rgb: Picture
    """(scale*H, scale*W, 3)."""
    scale: int
    raised: int
    """Heads raised and pasted back."""
    left: int
    """Heads left as they are: already larger than what the upscaler makes."""


def photo_scale(frames: list[HeadFrame]) -> int:
    """Enlargement that brings the largest head to 768 px, from 2 to 8; 4 without a face."""
    if not frames:
        return 4
    return min(max(math.ceil(HEAD_SIDE / max(frame.side for frame in frames)), 2), 8)


def restore(pipeline: FacePipeline, rgb: Picture, scale: int | None = None) -> Restored:
    """Raise a photo: its heads by the pipeline, the rest by Lanczos; without a face, all of it by the pipeline.

    Args:
        rgb: (H, W, 3) photo, any size.
        scale: enlargement of the photo, at least 1; None takes `photo_scale`.
    Raises:
        UsageError: if the scale is below 1, or the result would exceed `LARGEST` pixels.
    """
    if scale is not None and scale < 1:
        raise UsageError(f"scale is {scale}, expected at least 1, or None for the largest head's.")
    faces = faces_in_photo(rgb)
    frames = [head_frame(face.points) for face in faces]
    scale = photo_scale(frames) if scale is None else scale
    _check_size(rgb, scale)
    if not faces:
        return Restored(raise_whole(pipeline, rgb, scale), scale, raised=0, left=0)
    photo = resize(rgb, (rgb.shape[1] * scale, rgb.shape[0] * scale))
    raised = 0
    for frame in reversed(frames):  # the largest last, on top
        head = raise_head(pipeline, rgb, frame, scale)
        if head is not None:
            photo = paste_head(photo, head, _scaled(frame, scale), soft_mask(head.shape[0]))
            raised += 1
    return Restored(photo, scale, raised=raised, left=len(faces) - raised)


def raise_head(pipeline: FacePipeline, rgb: Picture, frame: HeadFrame, scale: int) -> Picture | None:
    """One head of a photo, aligned and raised: (S, S, 3), S near `scale` times its side in the photo.

    None if the photo shows more of it than the upscaler could make.
    """
    side = round(frame.side)
    low = min(max(pipeline.low_res_side(side * scale), HEAD_LOW_RES[0]), HEAD_LOW_RES[1])
    if side >= low * pipeline.scale:
        return None
    head = to_tensor(crop_head(rgb, frame, side))
    return to_picture(_held(pipeline, pipeline(head, low * pipeline.scale).image, head, scale))


def crop_heads(pipeline: FacePipeline, rgb: Picture, size: int = HEAD_SIDE) -> list[Picture]:
    """Every head of a photo, aligned, raised and alone: (size, size, 3) each, the largest first."""
    frames = [head_frame(face.points) for face in faces_in_photo(rgb)]
    return [raise_aligned(pipeline, crop_head(rgb, frame, round(frame.side)), size) for frame in frames]


def raise_aligned(pipeline: FacePipeline, head: Picture, size: int = HEAD_SIDE) -> Picture:
    """A picture that is an aligned head crop already: (S, S, 3) to (size, size, 3)."""
    picture = to_tensor(head)
    image = _held(pipeline, pipeline(picture, size).image, picture, math.ceil(size / head.shape[0]))
    raised = to_picture(image)
    return raised if raised.shape[0] == size else resize(raised, (size, size))


def _held(pipeline: FacePipeline, image: Tensor, picture: Tensor, scale: int) -> Tensor:
    """Bring a raised image to `scale` times the picture it shows and hold it to that, so that no detail of it is lost.

    The pipeline alone knows the picture at the low-res size, which is often less than what a photo has.
    """
    size = (picture.shape[-2] * scale, picture.shape[-1] * scale)
    return back_project(resample(image, size), picture.to(image.device), pipeline.recipe.fidelity)


def raise_whole(pipeline: FacePipeline, rgb: Picture, scale: int) -> Picture:
    """A picture without a face, raised with an empty guide, block by block: (H, W, 3) to (scale*H, scale*W, 3).

    A block is a whole number of low-res pixels and of the photo's own, so that it can be held to both.
    """
    height, width = rgb.shape[:2]
    step = pipeline.scale  # photo pixels that make `scale` low-res pixels
    least = step * math.ceil(pipeline.config.tile / scale)
    larger = ((0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0))
    photo = np.pad(rgb, larger, mode="edge")
    block = max(min(step * (BLOCK // scale), min(photo.shape[:2]) // step * step), least)
    plan = plan_tiles(
        photo.shape[0], photo.shape[1], tile=block, overlap=min(step * BLOCK_OVERLAP // scale, block // 2)
    )
    low = block * scale // step
    parts = split(to_tensor(photo), plan)
    blocks = [_held(pipeline, pipeline.raise_picture(part, (low, low), None).image, part, scale) for part in parts]
    return to_picture(blend(blocks, plan))[: scale * height, : scale * width]


def _scaled(frame: HeadFrame, scale: int) -> HeadFrame:
    def grow(vector: tuple[float, float]) -> tuple[float, float]:
        return (vector[0] * scale, vector[1] * scale)

    return HeadFrame(grow(frame.center), grow(frame.right), grow(frame.down))


def _check_size(rgb: Picture, scale: int) -> None:
    height, width = rgb.shape[0] * scale, rgb.shape[1] * scale
    if height * width > LARGEST:
        raise UsageError(
            f"{rgb.shape[1]}x{rgb.shape[0]} at --scale {scale} would be {width}x{height}, over "
            f"{LARGEST // 1_000_000} megapixels; choose a smaller --scale, or --crop for the heads alone."
        )
