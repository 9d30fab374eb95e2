"""Pictures as (H, W, 3) uint8 arrays, networks' images as (3, H, W) float32 tensors in [0, 1], and the way between."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RGB = NDArray[np.uint8]
"""A picture, (H, W, 3), or several, (N, H, W, 3)."""
Pixels = NDArray[np.uint8 | np.uint16]
"""A picture of 8 or of 16 bits a sample, (H, W, 3)."""
Sample = TypeVar("Sample", bound=np.uint8 | np.uint16)
"""The samples of a picture, where a function returns what it is given."""
Points = NDArray[np.float64]
"""Points (x, y), (N, 2), in pixels."""


def exact(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which know no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def to_tensor(rgb: Pixels) -> Tensor:
    """(H, W, C) uint8 or uint16 to (C, H, W) float32 in [0, 1]."""
    plain = rgb if rgb.dtype == np.uint8 else rgb.astype(np.int32)  # PyTorch computes with no uint16
    return torch.from_numpy(np.ascontiguousarray(plain)).permute(2, 0, 1).float() / np.iinfo(rgb.dtype).max


def to_rgb(image: Tensor) -> RGB:
    """(..., C, H, W) in [0, 1], clamped, to (..., H, W, C) uint8, rounded to nearest."""
    return to_samples(image, np.uint8)


def to_samples(image: Tensor, depth: type[Sample]) -> NDArray[Sample]:
    """(..., C, H, W) in [0, 1], clamped, to (..., H, W, C) of 8 or 16 bits a sample, rounded to nearest."""
    scaled = image.clamp(0, 1).mul(np.iinfo(depth).max).round()
    whole = scaled.to(torch.uint8 if depth is np.uint8 else torch.int32).movedim(-3, -1).contiguous()
    return whole.cpu().numpy().astype(depth, copy=False)


def eight_bits(pixels: Pixels) -> RGB:
    """Round 16 bits a sample to 8; 8 stay as they are, without a copy. Any shape."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257), dtype=np.uint8).reshape(pixels.shape)
