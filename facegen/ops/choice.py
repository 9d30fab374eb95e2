"""Choose one candidate per tile, so that neighbours fit each other.

The choice maximises, jointly for all tiles of a picture,

    sum of the chosen scores - agreement * sum of the disagreement of neighbouring tiles.

Disagreement is the mean |difference| of the candidates of two tiles in their overlap, at half resolution. It is divided
by its spread (the root mean square deviation from the mean of each pair of tiles), so that with `agreement = 1` one
standard deviation of disagreement counts as much as one standard deviation of score, in any picture.
"""

import colorsys
from itertools import pairwise

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.errors import ShapeError, UsageError
from facegen.ops.tiling import TilePlan

OKABE_ITO = (
    (230, 159, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167),
    (240, 228, 66), (213, 94, 0), (86, 180, 233), (90, 90, 90),
)  # fmt: skip
"""Colours that colour-blind people can distinguish (Okabe & Ito 2008), in 8 bits; grey instead of black."""

ROUNDING = 1e-6
"""Difference of pixels in [0, 1] that may be float32's rounding."""
MAX_SWEEPS = 100
"""Upper limit of the sweeps of `label_grid`, which needs 2 to 5, in case rounding makes two labellings alternate."""


@step("facegen.choose")
def choose(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float = 1.0) -> Tensor:
    """Choose one candidate per tile, jointly for all tiles of each picture; deterministic.

    Args:
        candidates: (T, K, 3, h, w) in [0, 1], in plan order; of one picture, or of several with the same plan.
        scores: (T, K), higher is better; standardised, see `scoring.score`.
        plan: geometry in low-res pixels.
        agreement: weight of the neighbours relative to the scores, at least 0; at 0 each tile's best score wins.
    Returns:
        (T,) int64 candidate indices, on the device of the scores.
    Raises:
        ShapeError: if candidates, scores and plan do not fit each other.
        UsageError: if the agreement is negative or not finite.
    """
    _check(candidates, scores, plan, agreement)
    if candidates.shape[1] == 1:
        return torch.zeros(len(candidates), dtype=torch.int64, device=scores.device)
    across, down = _disagreement(candidates.detach().reshape(-1, len(plan), *candidates.shape[1:]), plan)
    grid = (-1, len(plan.rows), len(plan.columns), candidates.shape[1])
    quality = scores.detach().cpu().double().reshape(grid)  # (B, R, N, K)
    return label_grid(quality, agreement * across, agreement * down).flatten().to(scores.device)


def gather(candidates: Tensor, index: Tensor) -> Tensor:
    """Take the chosen candidate of each tile: (T, K, 3, h, w) and (T,) int64 in 0..K-1 -> (T, 3, h, w).

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
    """Paint the chosen candidates: each pixel has the hue of the candidate of the tile with the nearest centre.

    Args:
        index: (T,) int64 in 0..k-1, from `choose`.
        scale: pixels of the map per low-res pixel along an axis.
        k: number of candidates per tile, which determines the hues.
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
    """Return the colours of `choice_map`, (k, 3) in [0, 1]; colour-blind people can distinguish up to eight."""
    if k <= len(OKABE_ITO):
        return torch.tensor(OKABE_ITO[:k]) / 255
    return torch.tensor([colorsys.hsv_to_rgb(hue / k, 0.6, 0.9) for hue in range(k)])


def _disagreement(candidates: Tensor, plan: TilePlan) -> tuple[Tensor, Tensor]:
    """Compute the disagreement of candidates with the right and lower neighbours', for B pictures of R x N tiles.

    Args:
        candidates: (B, R*N, K, 3, h, w).
    Returns:
        (B, R, N-1, K, K) and (B, R-1, N, K, K), float64, on the CPU.
    """
    pictures, _, count = candidates.shape[:3]
    rows, columns = len(plan.rows), len(plan.columns)
    across, down, above = list[Tensor](), list[Tensor](), tuple[Tensor, ...]()
    for row in range(rows):
        tiles = _halved(candidates[:, row * columns : (row + 1) * columns], plan.tile).unbind(1)  # (B, K, 3, n, n)
        scale = tiles[0].shape[-1] // plan.tile
        steps = [scale * (second - first) for first, second in pairwise(plan.columns)]
        across += [_differences(*pair, 0, step) for pair, step in zip(pairwise(tiles), steps, strict=True)]
        if above:
            step = scale * (plan.rows[row] - plan.rows[row - 1])
            down += [_differences(*pair, step, 0) for pair in zip(above, tiles, strict=True)]
        above = tiles
    none = candidates.new_zeros(pictures, 0, count, count)  # a single tile has no neighbours
    links = torch.cat([none, *(link[:, None] for link in across + down)], dim=1).cpu().double()  # (B, L, K, K)
    links /= links.square().mean((1, 2, 3), keepdim=True).sqrt() + ROUNDING
    right, below = links[:, : len(across)], links[:, len(across) :]
    grid = (count, count)
    return right.reshape(pictures, rows, columns - 1, *grid), below.reshape(pictures, rows - 1, columns, *grid)


def _halved(candidates: Tensor, tile: int) -> Tensor:
    """Shrink (..., h, w) to (..., h/2, w/2) float32; keep the size if half of it is not a multiple of the tile's."""
    fine = candidates.float()
    if fine.shape[-1] // tile % 2:
        return fine
    rows = fine[..., 0::2, :] + fine[..., 1::2, :]  # a fifth of avg_pool2d's time
    return (rows[..., 0::2] + rows[..., 1::2]) / 4


def _differences(first: Tensor, second: Tensor, down: int, right: int) -> Tensor:
    """Compute the mean |difference| of the candidates of two tiles in their overlap, minus its mean over all pairs.

    Args:
        first: (B, K, 3, n, n).
        second: (B, K, 3, n, n), `down` and `right` pixels from the first.
    Returns:
        (B, K, K); zero if the tiles only touch.
    """
    side, (pictures, count) = first.shape[-1], first.shape[:2]
    here = first[..., down:, right:].flatten(2)  # (B, K, P)
    there = second[..., : side - down, : side - right].flatten(2)  # (B, K, P)
    if not here.numel():
        return first.new_zeros(pictures, count, count)
    differences = torch.cdist(here, there, p=1) / here.shape[2]
    return differences - differences.mean((1, 2), keepdim=True)


def _nearest(starts: tuple[int, ...], tile: int, length: int) -> Tensor:
    """Return the index of the tile along one axis whose centre is nearest to each pixel: (length,) int64."""
    centres = torch.tensor(starts) + tile / 2
    return (torch.arange(length)[:, None] + 0.5 - centres).abs().argmin(1)


def _check(candidates: Tensor, scores: Tensor, plan: TilePlan, agreement: float) -> None:
    """Raise the errors of `choose`."""
    shape, wanted = tuple(candidates.shape), len(plan)
    if len(shape) != 5 or shape[0] % wanted or not shape[0] or not shape[1]:
        raise ShapeError(f"choose: candidates have shape {shape}, expected ({wanted}, K, 3, h, w), K at least 1.")
    if shape[-2] != shape[-1] or not shape[-1] or shape[-1] % plan.tile:
        raise ShapeError(f"choose: candidates are {shape[-2]} × {shape[-1]} px, expected a multiple of {plan.tile}.")
    if tuple(scores.shape) != shape[:2]:
        raise ShapeError(f"choose: scores have shape {tuple(scores.shape)}, expected {shape[:2]}, as the candidates.")
    if not 0 <= agreement < float("inf"):
        raise UsageError(f"choose: agreement {agreement} is not a weight; choose 0 (off) or more, 1 is usual.")


def label_grid(quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Find a good labelling of each of B grids from K + 1 starts: the best label of each node, and K constant ones.

    The result is deterministic, usually optimal, and at least as good as every start.

    Args:
        quality: (B, R, N, K) value of each label, for R rows of N nodes.
        across: (B, R, N-1, K, K) cost of a label (fourth axis) next to the right neighbour's label (fifth axis).
        down: (B, R-1, N, K, K) cost of a label above the lower neighbour's label.
    Returns:
        (B, R, N) int64 labels.
    """
    grids, rows, columns, count = quality.shape
    constant = torch.arange(count)[:, None, None, None].expand(-1, grids, rows, columns)
    labels = torch.cat([quality.argmax(-1)[None], constant])  # (S, B, R, N), S = K + 1 starts
    for _ in range(MAX_SWEEPS):
        before = labels
        labels = _solve_rows(labels, quality, across, down)
        labels = _solve_rows(labels.mT, quality.transpose(1, 2), down.transpose(1, 2), across.transpose(1, 2)).mT
        if torch.equal(before, labels):
            break
    return labels[grid_value(labels, quality, across, down).argmax(0), torch.arange(grids)]


def grid_value(labels: Tensor, quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Compute the value that `label_grid` maximises.

    Args:
        labels: (S, B, R, N) int64, any number of labellings of each grid.
        quality, across, down: see `label_grid`.
    Returns:
        (S, B) values, higher is better.
    """
    costs = _row_costs(labels, down) + _row_costs(labels.mT, across.transpose(1, 2)).transpose(2, 3)  # (S, B, R, N, K)
    worth = quality - costs / 2  # each cost is counted at both nodes
    return worth.gather(-1, labels[..., None]).sum((2, 3, 4))


def _solve_rows(labels: Tensor, quality: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Solve the even rows given the odd ones, then the odd rows given the even ones: (S, B, R, N) -> (S, B, R, N)."""
    odd = (torch.arange(quality.shape[1]) % 2 == 1)[:, None]  # (R, 1)
    for chosen in (~odd, odd):
        labels = torch.where(chosen, _best_rows(quality - _row_costs(labels, down), across), labels)
    return labels


def _row_costs(labels: Tensor, down: Tensor) -> Tensor:
    """Compute the cost of each label given the labels above and below: (S, B, R, N) -> (S, B, R, N, K)."""
    grids, rows, columns = torch.meshgrid(*map(torch.arange, down.shape[:3]), indexing="ij")  # (B, R-1, N)
    costs = down.new_zeros(*labels.shape, down.shape[-1])
    costs[:, :, 1:] += down[grids, rows, columns, labels[:, :, :-1]]
    costs[:, :, :-1] += down.mT[grids, rows, columns, labels[:, :, 1:]]
    return costs


def _best_rows(worth: Tensor, across: Tensor) -> Tensor:
    """Find the optimal labels of each row by dynamic programming: worth (S, B, R, N, K) -> (S, B, R, N)."""
    best = worth[..., 0, :]  # (S, B, R, K): value of the row so far if it ends in this label
    origins = []
    for column, links in enumerate(across.unbind(2), start=1):
        best, origin = (best[..., None] - links).max(-2)
        best = best + worth[..., column, :]
        origins.append(origin)
    labels = [best.argmax(-1, keepdim=True)]  # (S, B, R, 1), from the last column back
    for origin in reversed(origins):
        labels.append(origin.gather(-1, labels[-1]))
    return torch.cat(labels[::-1], dim=-1)
