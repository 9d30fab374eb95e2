"""Between pictures, (H, W, 3) uint8 arrays, and tensors, (3, H, W) float32 in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """(H, W, C) uint8 to (C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float() / 255


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """(C, H, W) in [0, 1], clamped, to (H, W, C) uint8, rounded to nearest."""
    scaled = image.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()
    return np.asarray(scaled.cpu().numpy())
