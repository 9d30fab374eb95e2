"""Picking one candidate per tile, so that neighbours fit each other.

The choice maximises, over the whole grid at once,

    sum of the chosen scores - agreement * sum over neighbouring tiles of their disagreement.

Disagreement is the mean |difference| of two tiles' candidates in the area they share, at half resolution. It is divided
by its own spread (the root mean square deviation from each neighbour pair's mean), so that with `agreement = 1` one
standard deviation of disagreement weighs as much as one standard deviation of score, in any picture.
"""

import colorsys
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.labelling import label_grid
from facegen.ops.tiling import TilePlan

ROUNDING = 1e-6
"""Differences of pixels in [0, 1] that float32 cannot tell apart; they are not worth a choice."""


def choose(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float = 1.0) -> Tensor:
    """Pick one candidate per tile, jointly over the grid.

    Args:
        candidates: (T, K, 3, h, w) in [0, 1], in plan order.
        scores: (T, K), higher is better; standardised, see `scoring.score`.
        plan: geometry in low-res pixels.
        agreement: weight of the neighbours against the scores, at least 0; with 0 each tile's best score wins.
    Returns:
        (T,) int64 candidate numbers, on the device of the scores; nothing about them is random.
    Raises:
        ShapeError: if candidates, scores and plan do not fit each other.
        UsageError: if the agreement is negative or not finite.
    """
    _check(candidates, scores, plan)
    if not 0 <= agreement < float("inf"):
        raise UsageError(f"choose: agreement {agreement} is not a weight; choose 0 (off) or more, 1 is usual.")
    across, down = _disagreement(candidates.detach().float(), plan)
    quality = scores.detach().double().cpu().reshape(len(plan.rows), len(plan.columns), -1)  # (R, N, K)
    return label_grid(quality, agreement * across, agreement * down).flatten().to(scores.device)


def gather(candidates: Tensor, index: Tensor) -> Tensor:
    """Take the chosen candidate of each tile.

    Args:
        candidates: (T, K, 3, h, w).
        index: (T,) int64 in 0..K-1.
    Returns:
        (T, 3, h, w).
    Raises:
        ShapeError: if there is not one index per tile.
    """
    if candidates.ndim != 5 or tuple(index.shape) != (len(candidates),):
        raise ShapeError(
            f"gather: candidates {tuple(candidates.shape)} and index {tuple(index.shape)}, "
            f"expected (T, K, 3, h, w) and (T,)."
        )
    index = index.to(candidates.device)
    return candidates[torch.arange(len(index), device=candidates.device), index]


def choice_map(index: Tensor, plan: TilePlan, scale: int, k: int) -> Tensor:
    """Paint which candidate won where: one hue per candidate, every pixel from the tile whose centre is nearest.

    Args:
        index: (T,) int64 in 0..k-1, from `choose`.
        plan: geometry in low-res pixels.
        scale: size of the picture over the plan's.
        k: number of candidates per tile; it fixes the hues.
    Returns:
        (3, s*H, s*W) float32 in [0, 1].
    Raises:
        ShapeError: if there is not one index per tile of the plan.
    """
    if tuple(index.shape) != (len(plan),):
        raise ShapeError(f"choice_map: index has shape {tuple(index.shape)}, expected ({len(plan)},), one per tile.")
    palette = torch.tensor([colorsys.hsv_to_rgb(hue / k, 0.6, 0.9) for hue in range(k)])  # (K, 3)
    rows = _nearest(plan.rows, plan.tile, plan.height)  # (H,) number of the tile row
    columns = _nearest(plan.columns, plan.tile, plan.width)  # (W,)
    grid = index.cpu().reshape(len(plan.rows), len(plan.columns))
    small = palette[grid[rows][:, columns]].permute(2, 0, 1)  # (3, H, W)
    return small.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)


def _disagreement(candidates: Tensor, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """How badly candidates fit right and lower neighbours', for R x N tiles: (R, N-1, K, K) and (R-1, N, K, K)."""
    grid, scale = _halved_grid(candidates, plan)  # (R, N, K, 3, n, n)
    rows, columns, count = grid.shape[:3]
    across = torch.zeros(rows, columns - 1, count, count, dtype=torch.float64)
    down = torch.zeros(rows - 1, columns, count, count, dtype=torch.float64)
    for row, column in product(range(rows), range(columns)):
        if column:
            step = scale * (plan.columns[column] - plan.columns[column - 1])
            across[row, column - 1] = _differences(grid[row, column - 1], grid[row, column], 0, step)
        if row:
            step = scale * (plan.rows[row] - plan.rows[row - 1])
            down[row - 1, column] = _differences(grid[row - 1, column], grid[row, column], step, 0)
    spread = torch.cat([across.flatten(), down.flatten()]).square().mean().sqrt()
    return across / (spread + ROUNDING), down / (spread + ROUNDING)


def _halved_grid(candidates: Tensor, plan: TilePlan) -> tuple[Tensor, int]:
    """(T, K, 3, h, w) -> (R, N, K, 3, h/2, w/2) and its scale; not halved if that would tear low-res pixels apart."""
    count, _, side, _ = candidates.shape[1:]
    images = candidates.flatten(0, 1)
    images = F.avg_pool2d(images, 2) if side // plan.tile % 2 == 0 else images
    grid = images.reshape(len(plan.rows), len(plan.columns), count, *images.shape[1:])
    return grid, images.shape[-1] // plan.tile


def _differences(first: Tensor, second: Tensor, down: int, right: int) -> Tensor:
    """Mean |difference| of two tiles' candidates where they overlap, less the mean over all pairs.

    Args:
        first: (K, 3, n, n).
        second: (K, 3, n, n), which lies `down` and `right` pixels from the first.
    Returns:
        (K, K); zero if the tiles only touch.
    """
    side, count = first.shape[-1], len(first)
    here = first[..., down:, right:].flatten(1)  # (K, P)
    there = second[..., : side - down, : side - right].flatten(1)  # (K, P)
    if not here.numel():
        return first.new_zeros(count, count)
    differences = torch.cdist(here, there, p=1) / here.shape[1]
    return differences - differences.mean()


def _nearest(starts: tuple[int, ...], tile: int, length: int) -> Tensor:
    """The tile along one axis whose centre is nearest to each pixel's: (length,) int64."""
    centres = torch.tensor(starts) + tile / 2
    return (torch.arange(length)[:, None] + 0.5 - centres).abs().argmin(1)


def _check(candidates: Tensor, scores: Tensor, plan: TilePlan) -> None:
    """Raise what `choose` promises about shapes."""
    shape, wanted = tuple(candidates.shape), len(plan)
    if len(shape) != 5 or shape[0] != wanted or not shape[1]:
        raise ShapeError(f"choose: candidates have shape {shape}, expected ({wanted}, K, 3, h, w), K at least 1.")
    if shape[-2] != shape[-1] or not shape[-1] or shape[-1] % plan.tile:
        raise ShapeError(f"choose: candidates are {shape[-2]} × {shape[-1]} px, expected a multiple of {plan.tile}.")
    if tuple(scores.shape) != shape[:2]:
        raise ShapeError(f"choose: scores have shape {tuple(scores.shape)}, expected {shape[:2]}, as the candidates.")
