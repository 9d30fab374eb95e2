"""Brightness of an RGB picture, as one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.errors import ShapeError

if TYPE_CHECKING:  # whoever needs the weights alone need not wait for torch
    from torch import Tensor

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
    weights = images.new_tensor(WEIGHTS)
    return (images * weights[:, None, None]).sum(-3)
