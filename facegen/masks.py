"""Read masks: pictures whose white parts mark what is left alone in a photo."""

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
"""The mask of a photo, (H, W): 255 where it is left alone, 0 where it is not, and values between at soft edges."""

FEATHER = 0.01
"""Width of the soft edge around white parts, as a share of the photo's shorter side."""
WHITE = 250
"""Smallest value that counts as white, as JPEG makes white uneven."""
GREY = 128
"""A mask without a value as high as this is refused."""
ASPECT = 0.02
"""Largest relative difference between the aspect ratios of photo and mask."""


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read the mask of a photo: white parts, whose edges become soft, are left alone; black and transparent are not.

    Args:
        size: width and height of the photo; a mask of another size, but the same aspect ratio, is resized.
    Returns:
        (H, W).
    Raises:
        ImageError: if the file is not a picture, has another aspect ratio, or nothing in it is white.
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
    """Add an edge with a cosine fade around white parts; darker values never decrease."""
    width = max(FEATHER * min(mask.shape), 1)
    distance = cv2.distanceTransform((mask < WHITE).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    faded = (1 + np.cos(np.pi * np.minimum(distance / width, 1))) * 127.5
    return np.asarray(np.maximum(mask, np.rint(faded)), dtype=np.uint8)


def is_covered(mask: Mask | None, frame: HeadFrame) -> bool:
    """Return True if a mask covers the whole head, so that it need not be upscaled."""
    if mask is None:
        return False
    inside = cv2.fillConvexPoly(np.zeros_like(mask), np.rint(frame.corners).astype(np.int32), 1)
    return bool((mask[inside > 0] == 255).all())
