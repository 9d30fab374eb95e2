"""Regions of a photo to leave alone, painted white in a picture of their own."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ImageError
from facegen.faces.align import HeadFrame
from facegen.media.images import read_image

Mask = NDArray[np.uint8]
"""A photo's mask, (H, W): 255 where it is left alone, 0 where it is not, between them at soft edges."""

FEATHER = 0.01
"""Width of the soft edge around what is white, as a part of the photo's shorter side."""
WHITE = 250
"""The darkest that counts as white; JPEG makes white uneven."""
GREY = 128
"""A mask without anything as light as this leaves nothing alone, and is refused."""
ASPECT = 0.02
"""Largest difference of the aspect ratios of photo and mask, as a part of them."""


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read a mask for a photo: white is left alone, black and transparent are not, and white edges become soft.

    Args:
        size: the photo's width and height; a mask of other size and the same aspect ratio is resized.
    Returns:
        (H, W).
    Raises:
        ImageError: if the file is no picture, its shape is not the photo's, or nothing in it is white.
    """
    picture = read_image(path)
    mask = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY)
    if picture.alpha is not None:
        mask = cv2.multiply(mask, picture.alpha, scale=1 / 255)
    height, width = mask.shape
    if not math.isclose(width / height, size[0] / size[1], rel_tol=ASPECT):
        raise ImageError(
            f"{path}: the mask has {width}x{height} pixels, and the photo {size[0]}x{size[1]}; paint it over a copy of "
            "the photo, so that both have the same shape."
        )
    if mask.max() < GREY:
        raise ImageError(f"{path}: nothing in this mask is white; paint white what is to be left alone.")
    shrinks = width > size[0]
    resized = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return feathered(np.asarray(resized, dtype=np.uint8))


def feathered(mask: Mask) -> Mask:
    """Surround what is white by an edge that fades along a cosine; what is darker only gets lighter."""
    width = max(FEATHER * min(mask.shape), 1)
    distance = cv2.distanceTransform((mask < WHITE).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    faded = (1 + np.cos(np.pi * np.minimum(distance / width, 1))) * 127.5
    return np.asarray(np.maximum(mask, np.rint(faded)), dtype=np.uint8)


def is_covered(mask: Mask | None, frame: HeadFrame) -> bool:
    """Return whether all of a head is left alone, so that it need not be upscaled."""
    if mask is None:
        return False
    center, right, down = np.array(frame.center), np.array(frame.right), np.array(frame.down)
    corners = np.array([center - right - down, center + right - down, center + right + down, center - right + down])
    inside = cv2.fillConvexPoly(np.zeros_like(mask), np.rint(corners).astype(np.int32), 1)
    return bool((mask[inside > 0] == 255).all())
