"""The bicubic base that a super-resolution network adds to."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.models.jnet import RESIDUAL_GAIN

Base = Literal["bicubic", "none"]


def enlarge(low_res: Tensor, scale: int) -> Tensor:
    """(B, C, h, w) to (B, C, scale*h, scale*w) float32 by bicubic interpolation; it may leave [0, 1] a little."""
    return F.interpolate(low_res.float(), scale_factor=scale, mode="bicubic", align_corners=False)


def on_base(out: Tensor, low_res: Tensor, base: Base) -> Tensor:
    """Turn a network's last map into a picture.

    Args:
        out: (B, 3, s*h, s*w), any values.
        low_res: (B, 3, h, w) in [0, 1], the picture that was upscaled.
        base: "bicubic" adds the map to the enlarged picture; "none" takes (tanh + 1) / 2 of it.
    Returns:
        (B, 3, s*h, s*w) float32, near [0, 1]; within it for "none".
    """
    if base == "none":
        return torch.tanh(out.float()).add(1).div(2)
    return enlarge(low_res, out.shape[-1] // low_res.shape[-1]) + RESIDUAL_GAIN * out.float()
