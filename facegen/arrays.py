"""Convert pictures, (H, W, 3) integer arrays, to images, (3, H, W) float32 tensors in [0, 1], and back."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.errors import ShapeError

RGB = NDArray[np.uint8]
"""A picture, (H, W, 3), or several, (N, H, W, 3)."""
Pixels = NDArray[np.uint8 | np.uint16]
"""A picture of 8 or of 16 bits a sample, (H, W, 3)."""
Sample = TypeVar("Sample", bound=np.uint8 | np.uint16)
"""The type of a picture's samples, where a function returns the type it takes."""
Points = NDArray[np.float64]
"""Points (x, y), (N, 2), in pixels."""


def widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on Apple's GPUs, which have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def to_tensor(rgb: Pixels) -> Tensor:
    """Convert (H, W, C) uint8 or uint16 to (C, H, W) float32 in [0, 1]."""
    samples = rgb if rgb.dtype == np.uint8 else rgb.astype(np.int32)  # PyTorch cannot compute with uint16
    return torch.from_numpy(np.ascontiguousarray(samples)).permute(2, 0, 1).float() / np.iinfo(rgb.dtype).max


def to_rgb(image: Tensor) -> RGB:
    """Convert (..., C, H, W) in [0, 1], clamped, to (..., H, W, C) uint8, rounded to nearest."""
    return to_samples(image, np.uint8)


def to_samples(image: Tensor, depth: type[Sample]) -> NDArray[Sample]:
    """Convert (..., C, H, W) in [0, 1], clamped, to (..., H, W, C) of 8 or 16 bits a sample, rounded to nearest."""
    scaled = image.clamp(0, 1).mul(np.iinfo(depth).max).round()
    samples = scaled.to(torch.uint8 if depth is np.uint8 else torch.int32).movedim(-3, -1).contiguous()
    return samples.cpu().numpy().astype(depth, copy=False)


def eight_bits(pixels: Pixels) -> RGB:
    """Round a picture of any shape from 16 bits a sample to 8; one of 8 bits is returned without a copy."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257), dtype=np.uint8).reshape(pixels.shape)


def check_picture(name: str, rgb: object) -> None:
    """Raise a ShapeError, which calls the picture `name`, unless it is (H, W, 3) uint8 or uint16, and not empty."""
    if not isinstance(rgb, np.ndarray):
        raise ShapeError(f"{name} is a {type(rgb).__name__}, expected a NumPy array, uint8 or uint16 (H, W, 3).")
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ShapeError(f"{name} is {rgb.dtype} of shape {rgb.shape}, expected uint8 or uint16 (H, W, 3).")
