"""Grain like that of a picture's surroundings, for what was cleaned and would stick out.

The grain is white noise filtered by a quiet patch of the surroundings, whose strength, coarseness and colours it takes:
B. Galerne, Y. Gousseau and J.-M. Morel, "Random Phase Textures", IEEE Transactions on Image Processing 20, 2011.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from facegen.arrays import RGB
from facegen.ops.degradation import Float, blur

PATCH = 16
"""Side of the squares that are compared, in pixels."""
SLOW = 4.0
"""Standard deviation in pixels of the blur that leaves light and shadow, and no grain."""
QUIET = 0.1
"""Quantile of the squares, by their strength: below are burnt-out ones, above those with edges."""
IN_FACE = 0.3
"""Share of the grain that the middle of a head gets: at its border it gets all, so that no clean square shows."""
STRONGEST = 0.1
"""Standard deviation, of values in [0, 1], above which it is a texture such as leaves rather than grain."""


def grain_patch(rgb: RGB) -> Float | None:
    """The grain in a quiet place of an (H, W, 3) picture.

    Returns:
        (16, 16, 3), of values in [0, 1] less their average; None if the picture is smaller, or all of it has texture.
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
    """Add grain of a patch's strength, coarseness and colours to a head, the same each time.

    Args:
        image: (3, S, S) in [0, 1].
        patch: as from `grain_patch`.
        side: the head's in pixels of the picture that the patch is from.
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
