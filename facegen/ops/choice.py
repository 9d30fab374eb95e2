"""Picking one candidate per tile, so that neighbours fit each other.

The choice maximises, over the whole grid at once,

    sum of the chosen scores - agreement * sum over neighbouring tiles of their disagreement.

Disagreement is the mean |difference| of two tiles' candidates in the area they share, at half resolution. It is divided
by its own spread (the root mean square deviation from each neighbour pair's mean), so that with `agreement = 1` one
standard deviation of disagreement weighs as much as one standard deviation of score, in any picture.
"""

import colorsys

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.tiling import TilePlan

MAX_SWEEPS = 100
"""Far more than the search needs (about 5); bounds it if rounding ever made two choices alternate."""


def choose(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float = 1.0) -> Tensor:
    """Pick one candidate per tile, jointly over the grid.

    Iterated conditional modes (J. Besag, 1986) from K + 1 starts: every tile's best score, and each candidate
    everywhere. The best end wins; no random numbers are used.

    Args:
        candidates: (T, K, 3, h, w) in plan order.
        scores: (T, K), higher is better; standardised, see `scoring.score`.
        plan: geometry in low-res pixels.
        agreement: weight of the neighbours against the scores, at least 0; with 0 each tile's best score wins.
    Returns:
        (T,) int64 candidate numbers, on the device of the scores.
    Raises:
        ShapeError: if candidates, scores and plan do not fit each other.
        UsageError: if the agreement is negative or not finite.
    """
    _check(candidates, scores, plan)
    if not 0 <= agreement < float("inf"):
        raise UsageError(f"choose: agreement {agreement} is not a weight; choose 0 (off) or more, 1 is usual.")
    quality = scores.detach().double().cpu()
    pairs = _neighbours(plan)
    tables = agreement * _disagreement(candidates.detach(), pairs, plan).double().cpu()
    edges = torch.tensor([pair[:2] for pair in pairs], dtype=torch.int64).reshape(-1, 2)
    constant = torch.arange(scores.shape[1])[:, None].expand(-1, len(plan))
    labels = torch.cat([quality.argmax(1)[None], constant])  # (S, T), S = K + 1 starts
    labels = _improve(labels, quality, edges, tables, _odd(plan))
    return labels[_value(labels, quality, edges, tables).argmax()].to(scores.device)


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


def _neighbours(plan: TilePlan) -> list[tuple[int, int, int, int]]:
    """(tile, next tile, px down, px right) for each two tiles that share a side of the grid and some area."""
    across = len(plan.columns)
    pairs = []
    for first, (top, left) in enumerate(plan.boxes):
        right, below = first + 1, first + across
        if right % across:
            pairs.append((first, right, 0, plan.boxes[right][1] - left))
        if below < len(plan):
            pairs.append((first, below, plan.boxes[below][0] - top, 0))
    return [pair for pair in pairs if max(pair[2:]) < plan.tile]


def _disagreement(candidates: Tensor, pairs: list[tuple[int, int, int, int]], plan: TilePlan) -> Tensor:
    """How badly each candidate of a tile fits each of its neighbour's, in units of its spread: (E, K, K)."""
    halved = _halve(candidates.float(), candidates.shape[-1] // plan.tile)  # (T, K, 3, n, n)
    side, count = halved.shape[-1], candidates.shape[1]
    scale = side // plan.tile
    tables = halved.new_zeros(len(pairs), count, count, dtype=torch.float64)
    for table, (first, second, down, right) in zip(tables, pairs, strict=True):
        here = halved[first, ..., scale * down :, scale * right :].flatten(1)  # (K, P)
        there = halved[second, ..., : side - scale * down, : side - scale * right].flatten(1)  # (K, P)
        table.copy_(torch.cdist(here, there, p=1) / here.shape[1])
    deviation = tables - tables.mean((1, 2), keepdim=True)
    noise = 1e-5 * tables.mean() + 1e-12  # what float32 cannot tell apart
    return deviation / (deviation.square().mean().sqrt() + noise)


def _halve(candidates: Tensor, scale: int) -> Tensor:
    """Halve the resolution, (T, K, 3, h, w) -> (T, K, 3, h/2, w/2), if that keeps low-res pixels on the grid."""
    if scale % 2:
        return candidates
    halved: Tensor = F.avg_pool2d(candidates.flatten(0, 1), 2)
    return halved.reshape(*candidates.shape[:3], *halved.shape[-2:])


def _improve(labels: Tensor, quality: Tensor, edges: Tensor, tables: Tensor, odd: Tensor) -> Tensor:
    """Move every tile to its best candidate, given its neighbours, until none moves: (S, T) -> (S, T).

    Tiles of one colour of the chessboard have no neighbours among themselves, so they move at once.
    """
    for _ in range(MAX_SWEEPS):
        before = labels
        for colour in (odd, ~odd):
            best = (quality - _penalty(labels, edges, tables)).argmax(-1)  # (S, T)
            labels = torch.where(colour, best, labels)
        if torch.equal(before, labels):
            break
    return labels


def _penalty(labels: Tensor, edges: Tensor, tables: Tensor) -> Tensor:
    """What each candidate of each tile costs beside its neighbours' labels: (S, T) -> (S, T, K)."""
    first, second = edges.unbind(1)  # (E,)
    number = torch.arange(len(edges))
    penalty = tables.new_zeros(*labels.shape, tables.shape[-1])
    penalty.index_add_(1, first, tables.mT[number, labels[:, second]])
    return penalty.index_add_(1, second, tables[number, labels[:, first]])


def _value(labels: Tensor, quality: Tensor, edges: Tensor, tables: Tensor) -> Tensor:
    """The objective of each start: (S, T) -> (S,). Each edge stands in two tiles' penalties, hence the half."""
    worth = quality - _penalty(labels, edges, tables) / 2  # (S, T, K)
    return worth.gather(2, labels[..., None]).sum((1, 2))


def _odd(plan: TilePlan) -> Tensor:
    """The black squares of the chessboard of tiles: (T,) bool."""
    row, column = torch.arange(len(plan.rows))[:, None], torch.arange(len(plan.columns))
    return ((row + column) % 2 == 1).flatten()


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
