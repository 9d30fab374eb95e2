"""Brightness of an RGB picture, as one plane."""

import torch
from torch import Tensor

from facegen.errors import ShapeError

WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601, which JPEG uses too; they sum to one, so a grey picture is its own luma."""


def luma(images: Tensor) -> Tensor:
    """Weigh red, green and blue into one brightness plane.

    Args:
        images: (..., 3, H, W), any range.
    Returns:
        (..., H, W), in the same range.
    Raises:
        ShapeError: if the third axis from the end is not 3 long.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ShapeError(f"luma: images have shape {tuple(images.shape)}, expected (..., 3, H, W).")
    weights = torch.tensor(WEIGHTS, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(-3)
