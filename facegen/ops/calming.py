"""Smoothing of differences too faint for 8 bits to hold, which in calm places are the network's noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.luma import luma

REACH = 2
"""Pixels to each side that are looked at."""


def calm(image: Tensor, step: float = 1.0) -> Tensor:
    """Move the luma of every pixel to the mean of those around it that differ by less than a step.

    A bilateral filter (Tomasi & Manduchi 1998) of 5 x 5 pixels, alike wherever they lie, weighed by 1 - (d / step)^2
    for a difference d: what differs by a step or more has no weight, so edges and all visible detail stay. The three
    channels are moved alike.

    Args:
        image: (3, H, W) in [0, 1].
        step: in 8-bit steps, of 1/255; 0 changes nothing.
    Returns:
        (3, H, W) in [0, 1].
    Raises:
        ShapeError: if the image is not (3, H, W).
        UsageError: if the step is negative.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ShapeError(f"calm: image has shape {tuple(image.shape)}, expected (3, H, W).")
    if step < 0:
        raise UsageError(f"calm: step is {step}, expected 0 (off) or more 8-bit steps.")
    if step == 0:
        return image
    here = luma(image) * (255 / step)  # (H, W), in steps
    height, width = here.shape
    around = F.pad(here[None, None], (REACH,) * 4, mode="replicate")[0, 0]
    moved, weights = torch.zeros_like(here), torch.zeros_like(here)
    for row in range(2 * REACH + 1):
        for column in range(2 * REACH + 1):
            difference = around[row : row + height, column : column + width] - here
            weight = difference.square().neg_().add_(1).clamp_(min=0)
            weights += weight
            moved.addcmul_(difference, weight)
    return (image + moved.div_(weights) * (step / 255)).clamp_(0, 1)
