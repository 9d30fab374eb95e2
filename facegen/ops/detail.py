"""Giving a picture the fine detail that it lacks, and taking none away."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.consistency import downsample_area, enlarge_smoothly
from facegen.ops.luma import luma

CELL = 2
"""Detail is what lies below means of so many pixels squared."""
REACH = 6
"""Cells on either side over which the strength of detail is averaged."""
_FLAT = 1e-12
"""Variance added where there is no detail at all."""


def add_missing_detail(picture: Tensor, finer: Tensor) -> Tensor:
    """Add as much of another rendering's detail as a picture falls short of it.

    Detail is x - up(down(x)), with means of 2 x 2 pixels for down(), so that adding it leaves those means as they are.
    Its share is 1 - a/b, but at least 0, for a and b the deviations of the picture's own and of the other detail in the
    neighbourhood. So a blurred cheek gets pores, and one that shows pores or grain keeps them to the bit.

    Args:
        picture: (3, 2h, 2w) in [0, 1].
        finer: (3, 2h, 2w) in [0, 1], the same motif; cells in which it is the picture itself stay as they are.
    Returns:
        (3, 2h, 2w), not clamped.
    Raises:
        ShapeError: if the two differ in shape, or a side is odd.
    """
    if picture.shape != finer.shape or picture.shape[1] % CELL or picture.shape[2] % CELL:
        shapes = f"{tuple(picture.shape)} and {tuple(finer.shape)}"
        raise ShapeError(f"add_missing_detail: shapes {shapes}, expected the same (3, 2h, 2w).")
    own, other = _detail(picture), _detail(finer)
    share = 1 - (_strength(own) / (_strength(other) + _FLAT)).sqrt()  # (1, h, w)
    changed = F.max_pool2d((picture != finer).any(0, keepdim=True).to(picture), CELL)  # (1, h, w)
    cells = share.clamp(min=0) * changed
    return picture + other * F.interpolate(cells[None], scale_factor=CELL, mode="nearest")[0]


def _detail(image: Tensor) -> Tensor:
    """What lies below the means of cells: (3, 2h, 2w) -> (3, 2h, 2w)."""
    height, width = image.shape[-2:]
    return image - enlarge_smoothly(downsample_area(image, (height // CELL, width // CELL)), CELL)


def _strength(detail: Tensor) -> Tensor:
    """Mean square of luma in the neighbourhood of each cell: (3, 2h, 2w) -> (1, h, w)."""
    energy = F.avg_pool2d(luma(detail).square()[None], CELL)
    return F.avg_pool2d(energy, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)
