"""Plan the tiles of a picture, and cut the picture into them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from facegen.errors import ShapeError, UsageError


@dataclass(frozen=True)
class TilePlan:
    """A grid of equal square tiles that covers a picture exactly; all numbers are in low-res pixels.

    Each tile overlaps its neighbours by at least `overlap`, and none reaches beyond the picture.

    Raises:
        UsageError: if a tile does not fit into the picture, or the overlap is outside 0..tile-1.
    """

    height: int
    width: int
    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.tile < 1:
            raise UsageError(f"plan_tiles: tile {self.tile} is not a size; choose at least 1 px (32 is usual).")
        if not 0 <= self.overlap < self.tile:
            raise UsageError(
                f"plan_tiles: overlap {self.overlap} is outside 0..{self.tile - 1}, the range for a {self.tile} px "
                f"tile; choose about half the tile ({self.tile // 2})."
            )
        if min(self.height, self.width) < self.tile:
            raise UsageError(
                f"plan_tiles: a {self.height} × {self.width} px picture is smaller than one {self.tile} px tile; "
                f"enlarge the picture to at least {self.tile} px, or choose a smaller tile."
            )

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Top edges of the tile rows, ascending."""
        return _starts(self.height, self.tile, self.overlap)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Left edges of the tile columns, ascending."""
        return _starts(self.width, self.tile, self.overlap)

    @cached_property
    def boxes(self) -> tuple[tuple[int, int], ...]:
        """(top, left) of every tile, row by row."""
        return tuple((top, left) for top in self.rows for left in self.columns)


def plan_tiles(height: int, width: int, tile: int = 32, overlap: int = 16) -> TilePlan:
    """Plan the fewest tiles that cover a picture with at least `overlap` between neighbours.

    They are spaced evenly, from the first edge to the last, and all are complete.

    Args:
        height, width: size of the low-res picture, at least `tile` each.
        tile: side of a tile.
        overlap: smallest overlap of neighbours, in 0..tile-1; at 0 they still overlap if the size is not a multiple.
    Raises:
        UsageError: as for `TilePlan`.

    >>> plan_tiles(96, 96).rows
    (0, 16, 32, 48, 64)
    >>> len(plan_tiles(128, 96))
    35
    """
    return TilePlan(height, width, tile, overlap)


def split(image: Tensor, plan: TilePlan) -> Tensor:
    """Cut a picture into the tiles of a plan.

    Args:
        image: (C, s*H, s*W) for a plan of H x W and any integer s.
        plan: geometry in low-res pixels.
    Returns:
        (T, C, s*tile, s*tile), in the order of `plan.boxes`.
    Raises:
        ShapeError: if the image is not an integer times as large as the plan.
    """
    scale = scale_of(image, plan, caller="split")
    side = scale * plan.tile
    corners = [(scale * top, scale * left) for top, left in plan.boxes]
    return torch.stack([image[:, top : top + side, left : left + side] for top, left in corners])


def scale_of(image: Tensor, plan: TilePlan, *, caller: str) -> int:
    """Return the integer s of an image (C, s*H, s*W) for a plan of H x W.

    Raises:
        ShapeError: if the image has another shape; names the caller.
    """
    scale = image.shape[-1] // plan.width
    if scale < 1 or image.ndim != 3 or tuple(image.shape[1:]) != (scale * plan.height, scale * plan.width):
        raise ShapeError(
            f"{caller}: image has shape {tuple(image.shape)}, expected (C, s*{plan.height}, s*{plan.width}) "
            f"for a whole s; plan the tiles for this picture's low-res size."
        )
    return scale


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Space tiles evenly along one axis, in integer arithmetic; halves are rounded up."""
    steps = -(-(length - tile) // (tile - overlap))  # = ceil((length - overlap) / (tile - overlap)) - 1
    return tuple((2 * i * (length - tile) + steps) // (2 * steps) if steps else 0 for i in range(steps + 1))
