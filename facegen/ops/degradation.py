"""Blur, and the levels that a file has, on float arrays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def blur(image: Float, sigma: float) -> Float:
    """Gaussian blur of an (H, W, C) image; sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def in_8_bits(image: Float) -> Float:
    """Round (H, W, C) in [0, 1] to the 256 levels that a file has."""
    return (np.rint(image * 255) / 255).astype(np.float32)
