"""Picking one candidate per tile, so that neighbours fit each other.

The choice maximises, over the whole grid at once,

    sum of the chosen scores - agreement * sum over neighbouring tiles of their disagreement.

Disagreement is the mean |difference| of two tiles' candidates in the area they share, at half resolution. It is divided
by its own spread (the root mean square deviation from each neighbour pair's mean), so that with `agreement = 1` one
standard deviation of disagreement weighs as much as one standard deviation of score, in any picture.
"""

import colorsys
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.labelling import label_grid
from facegen.ops.tiling import TilePlan

ROUNDING = 1e-6
"""Differences of pixels in [0, 1] that float32 cannot tell apart; they are not worth a choice."""


Strategy = Literal["joint", "independent", "first", "random", "mean"]


def pick(
    candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float = 1.0, strategy: Strategy = "joint"
) -> Tensor:
    """Pick one candidate per tile.

    Args:
        candidates, scores, plan, agreement: see `choose`.
        strategy: "joint" is `choose`; "independent" takes each tile's best score; "first" takes the first candidate;
            "random" draws evenly, the same for every picture of so many tiles and candidates; "mean" takes the first,
            for its candidates were averaged into one before, see `average`.
    Returns:
        (T,) int64 candidate numbers, on the device of the scores.
    Raises:
        ShapeError, UsageError: as `choose`.
    """
    _check(candidates, scores, plan, agreement)
    return STRATEGIES[strategy](candidates, scores, plan, agreement)


def average(candidates: Tensor) -> Tensor:
    """Mean of each tile's candidates, as its only one: (T, K, 3, h, w) -> (T, 1, 3, h, w) of the same type."""
    return torch.stack([tile.float().mean(0, keepdim=True) for tile in candidates]).to(candidates.dtype)


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
    _check(candidates, scores, plan, agreement)
    across, down = _disagreement(candidates.detach(), plan)
    quality = scores.detach().double().cpu().reshape(len(plan.rows), len(plan.columns), -1)  # (R, N, K)
    return label_grid(quality, agreement * across, agreement * down).flatten().to(scores.device)


def _independent(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float) -> Tensor:
    return scores.argmax(1)


def _first(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float) -> Tensor:
    return torch.zeros(len(scores), dtype=torch.int64, device=scores.device)


def _random(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(scores.shape[1], (len(scores),), generator=rng).to(scores.device)


STRATEGIES: dict[Strategy, Callable[[Tensor, Tensor, TilePlan, float], Tensor]] = {
    "joint": choose,
    "independent": _independent,
    "first": _first,
    "random": _random,
    "mean": _first,
}
"""The ways to pick; all take candidates, scores, plan and agreement."""


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
    rows = _nearest(plan.rows, plan.tile, plan.height)  # (H,) number of the tile row
    columns = _nearest(plan.columns, plan.tile, plan.width)  # (W,)
    grid = index.cpu().reshape(len(plan.rows), len(plan.columns))
    small = hues(k)[grid[rows][:, columns]].permute(2, 0, 1)  # (3, H, W)
    return small.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)


def hues(k: int) -> Tensor:
    """The colours of `choice_map`: (k, 3) in [0, 1]."""
    return torch.tensor([colorsys.hsv_to_rgb(hue / k, 0.6, 0.9) for hue in range(k)])


def _disagreement(candidates: Tensor, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """How badly candidates fit right and lower neighbours', for R x N tiles: (R, N-1, K, K) and (R-1, N, K, K)."""
    rows, columns, count = len(plan.rows), len(plan.columns), candidates.shape[1]
    across = torch.zeros(rows, columns - 1, count, count, dtype=torch.float64)
    down = torch.zeros(rows - 1, columns, count, count, dtype=torch.float64)
    above: list[Tensor] = []
    for row in range(rows):
        tiles = [_halved(tile, plan.tile) for tile in candidates[row * columns : (row + 1) * columns]]  # (K, 3, n, n)
        scale = tiles[0].shape[-1] // plan.tile
        for column in range(1, columns):
            step = scale * (plan.columns[column] - plan.columns[column - 1])
            across[row, column - 1] = _differences(tiles[column - 1], tiles[column], 0, step)
        for column, upper in enumerate(above):
            step = scale * (plan.rows[row] - plan.rows[row - 1])
            down[row - 1, column] = _differences(upper, tiles[column], step, 0)
        above = tiles
    spread = torch.cat([across.flatten(), down.flatten()]).square().mean().sqrt()
    return across / (spread + ROUNDING), down / (spread + ROUNDING)


def _halved(candidates: Tensor, tile: int) -> Tensor:
    """(K, 3, h, w) -> (K, 3, h/2, w/2) float32; not halved if that would tear low-res pixels apart."""
    return F.avg_pool2d(candidates.float(), 2) if candidates.shape[-1] // tile % 2 == 0 else candidates.float()


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


def _check(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float) -> None:
    """Upscale what `choose` promises."""
    shape, wanted = tuple(candidates.shape), len(plan)
    if len(shape) != 5 or shape[0] != wanted or not shape[1]:
        raise ShapeError(f"choose: candidates have shape {shape}, expected ({wanted}, K, 3, h, w), K at least 1.")
    if shape[-2] != shape[-1] or not shape[-1] or shape[-1] % plan.tile:
        raise ShapeError(f"choose: candidates are {shape[-2]} × {shape[-1]} px, expected a multiple of {plan.tile}.")
    if tuple(scores.shape) != shape[:2]:
        raise ShapeError(f"choose: scores have shape {tuple(scores.shape)}, expected {shape[:2]}, as the candidates.")
    if not 0 <= agreement < float("inf"):
        raise UsageError(f"choose: agreement {agreement} is not a weight; choose 0 (off) or more, 1 is usual.")
