"""How good each candidate of each tile is, by several measures; higher is better.

A scorer measures one candidate at a time, so its value never depends on what else is in the batch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import widest_float
from facegen.errors import ShapeError, UsageError, did_you_mean
from facegen.ops.color import luma
from facegen.ops.consistency import downsample_area

GPU_TILES = 100
"""Tiles whose candidates a GPU measures at a time: 160 MB as float32 of two candidates of 256 px."""
Discriminator = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, h, w) images and the (N, C, t, t) stack they came from -> (N,) mean logit, higher for a real picture."""


@dataclass(frozen=True)
class ScoreContext:
    """Inputs of a scorer besides the candidates."""

    stack: Tensor
    """(T, C, t, t) network input tiles in [0, 1], RGB first."""
    discriminator: Discriminator | None = None
    """For the "discriminator" scorer; called once per tile, with all of its candidates."""


@step("facegen.score")
def score(candidates: Tensor, context: ScoreContext, weights: Mapping[str, float]) -> Tensor:
    """Rate every candidate by a weighted sum of scorers.

    Each scorer's values are standardised within a tile (mean 0, deviation 1 over its candidates), so that weights
    compare scorers of different units. Candidates that are alike score 0; so does a single one.

    Args:
        candidates: (T, K, 3, h, w) in [0, 1], of any floating type; measured as float32.
        context: what the scorers may use.
        weights: scorer name -> weight; a scorer of weight 0 is not run.
    Returns:
        (T, K) float32, higher is better.
    Raises:
        UsageError: if a scorer is unknown, its weight is not finite, or what it needs is missing from the context.
        ShapeError: if candidates and stack do not fit each other.
    """
    _check(candidates, context, weights)
    total = torch.zeros(candidates.shape[:2], device=candidates.device)  # (T, K)
    if candidates.shape[1] == 1:
        return total
    for name, weight in weights.items():
        if weight:
            total += weight * _standardise(SCORERS[name](candidates, context))
    return total


def laplacian(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Variance of luma's 4-neighbour Laplacian: how much fine detail there is. (T, K, 3, h, w) -> (T, K)."""
    return _each(candidates, lambda _, images: _variance(_laplacian(luma(images))))


def contrast(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Standard deviation of luma. (T, K, 3, h, w) -> (T, K)."""
    return _each(candidates, lambda _, images: _variance(luma(images)).sqrt())


def consistency(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Minus the RMS difference of the area-downsampled candidate to its low-res tile. (T, K, 3, h, w) -> (T, K)."""
    low_res = context.stack[:, None, :3]  # (T, 1, 3, t, t)
    size = (low_res.shape[-2], low_res.shape[-1])

    def error(tiles: slice, images: Tensor) -> Tensor:
        shrunk = downsample_area(images.flatten(0, 1), size).reshape(*images.shape[:3], *size)  # (N, K, 3, t, t)
        return (shrunk - low_res[tiles]).square().mean((-3, -2, -1)).sqrt()

    return -_each(candidates, error)


def discriminator(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Mean patch logit of the discriminator that trained the network. (T, K, 3, h, w) -> (T, K).

    Raises:
        UsageError: if the context has no discriminator.
    """
    network = context.discriminator
    if network is None:
        raise UsageError(
            'score: scorer "discriminator" needs a discriminator, and none is loaded; use weights that come with one, '
            'or remove "discriminator" from the score weights.'
        )
    pairs = zip(candidates, context.stack, strict=True)  # of (K, 3, h, w), (C, t, t)
    return torch.stack([network(tile.float(), stack.expand(len(tile), *stack.shape)) for tile, stack in pairs])


Scorer = Callable[[Tensor, ScoreContext], Tensor]
"""(T, K, 3, h, w) candidates and their context -> (T, K) values, higher is better."""

SCORERS: dict[str, Scorer] = {
    "laplacian": laplacian,
    "contrast": contrast,
    "consistency": consistency,
    "discriminator": discriminator,
}


def _each(candidates: Tensor, measure: Callable[[slice, Tensor], Tensor]) -> Tensor:
    """Apply measure(tiles, their candidates (N, K, 3, h, w)) -> (N, K) to all: (T, K).

    A processor measures a tile at a time, which its caches hold; a GPU many, as every call has its cost.
    """
    at_a_time = 1 if candidates.device.type == "cpu" else GPU_TILES
    spans = (slice(start, start + at_a_time) for start in range(0, len(candidates), at_a_time))
    return torch.cat([measure(tiles, candidates[tiles].float()) for tiles in spans])


def _laplacian(plane: Tensor) -> Tensor:
    """Sum of the four neighbours minus four times the pixel: (..., h, w) -> (..., h-2, w-2)."""
    vertical = plane[..., :-2, 1:-1] + plane[..., 2:, 1:-1]
    horizontal = plane[..., 1:-1, :-2] + plane[..., 1:-1, 2:]
    return vertical + horizontal - 4 * plane[..., 1:-1, 1:-1]


def _variance(planes: Tensor) -> Tensor:
    """Variance of each plane, (..., h, w) -> (...), in a sixth of the time of `Tensor.var`."""
    flat = planes.flatten(-2)
    return (flat - flat.mean(-1, keepdim=True)).square_().mean(-1)


def _standardise(values: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the candidates of each tile; rounding noise becomes 0. (T, K) -> (T, K)."""
    precise = values.detach().to(widest_float(values.device))
    deviation = precise - precise.mean(1, keepdim=True)
    noise = 1e-5 * precise.abs().amax(1, keepdim=True) + 1e-8  # what float32 cannot tell apart
    return (deviation / (precise.std(1, correction=0, keepdim=True) + noise)).float()


def _check(candidates: Tensor, context: ScoreContext, weights: Mapping[str, float]) -> None:
    """Check what `score` promises before any work is done."""
    shape, stack = tuple(candidates.shape), tuple(context.stack.shape)
    if len(shape) != 5 or shape[2] != 3 or not shape[0] * shape[1]:
        raise ShapeError(f"score: candidates have shape {shape}, expected (T, K, 3, h, w), T and K at least 1.")
    if len(stack) != 4 or stack[0] != shape[0] or stack[1] < 3:
        raise ShapeError(f"score: context.stack has shape {stack}, expected ({shape[0]}, C, t, t) with C >= 3.")
    for name, weight in weights.items():
        if name not in SCORERS:
            hint = did_you_mean(name, SCORERS, quote='"')
            raise UsageError(f'score: unknown scorer "{name}"{hint} Known: {", ".join(sorted(SCORERS))}.')
        if not math.isfinite(weight):
            raise UsageError(f'score: weight {weight} of scorer "{name}" is not a finite number; 0 turns it off.')
