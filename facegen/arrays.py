"""Pictures as (H, W, 3) uint8 arrays, networks' images as (3, H, W) float32 tensors in [0, 1], and the way between."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RGB = NDArray[np.uint8]
"""A picture, (H, W, 3), or several, (N, H, W, 3)."""
Points = NDArray[np.float64]
"""Points (x, y), (N, 2), in pixels."""


def exact(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which know no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def to_tensor(rgb: RGB) -> Tensor:
    """(H, W, C) uint8 to (C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float() / 255


def to_rgb(image: Tensor) -> RGB:
    """(C, H, W) in [0, 1], clamped, to (H, W, C) uint8, rounded to nearest."""
    scaled = image.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()
    return np.asarray(scaled.cpu().numpy())
