"""Add grain like that of its surroundings to a cleaned head, so that it does not stand out.

The grain is white noise filtered by a smooth patch of the surroundings, so that it has the patch's strength, coarseness
and colours: B. Galerne, Y. Gousseau and J.-M. Morel, "Random Phase Textures", IEEE Transactions on Image Processing 20,
2011.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from facegen.arrays import RGB
from facegen.ops.damage import Float, blur

PATCH = 16
"""Side of the patches, in pixels."""
SLOW = 4.0
"""Standard deviation in pixels of the blur that removes grain and keeps light and shadow."""
QUIET = 0.1
"""Quantile of the patches' standard deviations: lower ones are overexposed, higher ones have edges."""
IN_FACE = 0.3
"""Share of the grain in the middle of a head; its border gets all of it, so that its outline does not show."""
STRONGEST = 0.1
"""Largest standard deviation of grain, for values in [0, 1]; above it are textures such as leaves."""


def grain_patch(rgb: RGB) -> Float | None:
    """Find the grain in a smooth part of an (H, W, 3) picture.

    Returns:
        (16, 16, 3), values in [0, 1] minus their mean; None if the picture is smaller, or textured everywhere.
    """
    unit = np.asarray(np.divide(rgb, 255, dtype=np.float32))
    fine = unit - blur(unit, SLOW)
    rows, columns = (side // PATCH for side in rgb.shape[:2])
    cells = fine[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3).swapaxes(1, 2)
    patches = cells.reshape(-1, PATCH, PATCH, 3)
    if not len(patches):
        return None
    strengths = patches.std(axis=(1, 2, 3))
    patch = patches[np.argsort(strengths)[int(QUIET * len(patches))]]
    return None if patch.std() > STRONGEST else np.asarray(patch - patch.mean(axis=(0, 1)), np.float32)


def add_grain(image: Tensor, patch: Float, side: int, share: float) -> Tensor:
    """Add grain with a patch's strength, coarseness and colours to a head; deterministic.

    Args:
        image: (3, S, S) in [0, 1].
        patch: from `grain_patch`.
        side: of the head, in pixels of the patch's picture.
        share: of the grain, 0 to 1.
    Returns:
        (3, S, S) in [0, 1].
    """
    white = np.random.default_rng(0).standard_normal((side, side), np.float32)
    planes = [cv2.filter2D(white, -1, kernel) for kernel in np.moveaxis(patch, 2, 0) / PATCH]
    grain = cv2.resize(np.dstack(planes), image.shape[:0:-1], interpolation=cv2.INTER_LANCZOS4)
    ends = torch.linspace(-1, 1, image.shape[-1])
    middle = torch.cos(torch.pi / 2 * torch.hypot(ends[:, None], ends).clamp(max=1)) ** 2
    weights = share * (1 - (1 - IN_FACE) * middle)
    return (image + weights.to(image) * torch.from_numpy(grain).permute(2, 0, 1).to(image)).clamp(0, 1)
