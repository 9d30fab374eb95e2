"""Merge overlapping tiles into one picture without seams."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import widest_float
from facegen.errors import ShapeError
from facegen.ops.tiling import TilePlan

CPU = torch.device("cpu")


@step("facegen.blend")
def blend(tiles: Tensor | Sequence[Tensor], plan: TilePlan) -> Tensor:
    """Merge overlapping tiles into one image with feathered weights.

    The sum is in float64 (on Apple's GPUs in float32), so the result does not depend on the order of the tiles.

    Args:
        tiles: one (..., C, s*tile, s*tile) tensor per box of `plan`, in plan order, for any integer s. Half precision
            is blended as float32.
        plan: geometry in low-res pixels.
    Returns:
        (..., C, s*H, s*W) image, float32 at least; each pixel is a convex combination of the tiles that cover it.
    Raises:
        ShapeError: if the number of tiles or a tile's shape does not fit the plan.
    """
    stack = _stack(tiles, plan)  # (T, ..., C, n, n)
    side = stack.shape[-1]
    scale = side // plan.tile
    dtype = torch.promote_types(stack.dtype, torch.float32)
    shape = (*stack.shape[1:-2], scale * plan.height, scale * plan.width)
    canvas = stack.new_zeros(shape, dtype=widest_float(stack.device))
    for (top, left), tile, weight in zip(plan.boxes, stack, _weights(plan, scale, stack.device), strict=True):
        part = tile.to(dtype) * weight.to(dtype)
        canvas[..., scale * top : scale * top + side, scale * left : scale * left + side] += part
    return canvas.to(dtype)


def feather(plan: TilePlan, scale: int) -> Tensor:
    """Compute the weights of every pixel of every tile: cosine ramps over the overlaps, and 1 elsewhere.

    A ramp is as long as the actual overlap with that neighbour, and there is none at the picture's border. It is
    sampled at pixel centres, so that all weights are positive. The weights of all tiles at a pixel sum to one.

    Args:
        plan: geometry in low-res pixels.
        scale: pixels of a tile per low-res pixel along an axis, at least 1.
    Returns:
        (T, s*tile, s*tile) in (0, 1], in the order of `plan.boxes`.
    """
    return torch.stack(list(_weights(plan, scale)))


def ramp(length: int) -> Tensor:
    """Return a cosine ramp from 0 to 1, sampled at pixel centres: (length,); 1 - ramp is its mirror image."""
    centres = torch.arange(length, dtype=torch.float64) + 0.5
    return 0.5 - 0.5 * torch.cos(math.pi * centres / length)


def _weights(plan: TilePlan, scale: int, device: torch.device = CPU) -> Iterator[Tensor]:
    """Yield the weights of each tile, see `feather`; all at once would need too much memory for large pictures."""
    rows = _profiles(plan.rows, plan.tile, scale, device)
    columns = _profiles(plan.columns, plan.tile, scale, device)
    return (torch.outer(rows[top], columns[left]).float() for top, left in plan.boxes)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _profiles(starts: tuple[int, ...], tile: int, scale: int, device: torch.device) -> dict[int, Tensor]:
    """Compute the weights of tiles along one axis, {start: (s*tile,)}; they sum to one at every pixel."""
    side = scale * tile
    profiles = torch.ones(len(starts), side, dtype=torch.float64)
    for index, (first, second) in enumerate(pairwise(starts)):
        shared = scale * max(first + tile - second, 0)
        rise = ramp(shared)
        profiles[index, side - shared :] *= rise.flip(0)
        profiles[index + 1, :shared] *= rise
    total = torch.zeros(scale * starts[-1] + side, dtype=torch.float64)
    for start, profile in zip(starts, profiles, strict=True):
        total[scale * start : scale * start + side] += profile
    shares = {start: profiles[i] / total[scale * start : scale * start + side] for i, start in enumerate(starts)}
    return {start: share.to(device, widest_float(device)) for start, share in shares.items()}


def _stack(tiles: Tensor | Sequence[Tensor], plan: TilePlan) -> Tensor:
    """Stack the tiles to (T, ..., C, n, n); raise a ShapeError that names a tile that does not fit."""
    if len(tiles) != len(plan):
        raise ShapeError(f"blend: got {len(tiles)} tiles, expected {len(plan)}, one per box of the plan.")
    expected = _tile_shape(tiles[0], plan)
    for index, tile in enumerate(tiles):
        if tuple(tile.shape) != expected:
            raise ShapeError(
                f"blend: tile {index} has shape {tuple(tile.shape)}, expected {expected} "
                f"= box ({plan.tile}, {plan.tile}) x scale {expected[-1] // plan.tile}, like tile 0."
            )
    return tiles if isinstance(tiles, Tensor) else torch.stack(tuple(tiles))


def _tile_shape(tile: Tensor, plan: TilePlan) -> tuple[int, ...]:
    """Return the shape of the first tile, (..., C, s*tile, s*tile), which all tiles must have."""
    shape = tuple(tile.shape)
    if len(shape) < 3 or shape[-2] != shape[-1] or not shape[-1] or shape[-1] % plan.tile:
        raise ShapeError(f"blend: tile 0 has shape {shape}, expected (C, s*{plan.tile}, s*{plan.tile}) for a whole s.")
    return shape
