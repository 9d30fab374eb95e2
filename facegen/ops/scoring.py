"""Score the candidates of each tile by several measures; higher is better.

A scorer measures each candidate independently, so its value does not depend on the batch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import widest_float
from facegen.errors import ShapeError, UsageError, suggest
from facegen.ops.color import luma
from facegen.ops.consistency import downsample_area

GPU_TILES = 100
"""Tiles whose candidates a GPU measures at a time: 160 MB in float32 for two candidates of 256 px."""
Discriminator = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, h, w) images and the (N, C, t, t) stack they were made from -> (N,) mean logits, higher for real pictures."""


@dataclass(frozen=True)
class ScoreContext:
    """Inputs of a scorer in addition to the candidates."""

    stack: Tensor
    """(T, C, t, t) network input tiles in [0, 1], RGB first."""
    discriminator: Discriminator | None = None
    """For the scorer "discriminator"; called once per tile with all of its candidates."""


@step("facegen.score")
def score(candidates: Tensor, context: ScoreContext, weights: Mapping[str, float]) -> Tensor:
    """Score every candidate by a weighted sum of scorers.

    The values of a scorer are standardised within each tile (mean 0, standard deviation 1 over its candidates), so that
    scorers with different units can be added. Equal candidates score 0, as does a single one.

    Args:
        candidates: (T, K, 3, h, w) in [0, 1], of any floating-point type; measured as float32.
        weights: scorer name -> weight; a scorer with weight 0 is not run.
    Returns:
        (T, K) float32, higher is better.
    Raises:
        UsageError: if a scorer is unknown, its weight is not finite, or the context lacks its input.
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
    """Compute the variance of luma's 4-neighbour Laplacian, a measure of fine detail: (T, K, 3, h, w) -> (T, K)."""
    return _each(candidates, lambda _, images: _variance(_laplacian(luma(images))))


def contrast(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Compute the standard deviation of luma: (T, K, 3, h, w) -> (T, K)."""
    return _each(candidates, lambda _, images: _variance(luma(images)).sqrt())


def consistency(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Compute minus the RMS error of the area-downsampled candidate to its low-res tile: (T, K, 3, h, w) -> (T, K)."""
    low_res = context.stack[:, None, :3]  # (T, 1, 3, t, t)
    size = (low_res.shape[-2], low_res.shape[-1])

    def error(tiles: slice, images: Tensor) -> Tensor:
        shrunk = downsample_area(images.flatten(0, 1), size).reshape(*images.shape[:3], *size)  # (N, K, 3, t, t)
        return (shrunk - low_res[tiles]).square().mean((-3, -2, -1)).sqrt()

    return -_each(candidates, error)


def discriminator(candidates: Tensor, context: ScoreContext) -> Tensor:
    """Compute the mean patch logit of the discriminator that trained the network: (T, K, 3, h, w) -> (T, K).

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

    A CPU measures one tile at a time, which fits into its caches; a GPU many, as each call takes time to start.
    """
    at_a_time = 1 if candidates.device.type == "cpu" else GPU_TILES
    spans = (slice(start, start + at_a_time) for start in range(0, len(candidates), at_a_time))
    return torch.cat([measure(tiles, candidates[tiles].float()) for tiles in spans])


def _laplacian(plane: Tensor) -> Tensor:
    """Subtract four times each pixel from the sum of its four neighbours: (..., h, w) -> (..., h-2, w-2)."""
    vertical = plane[..., :-2, 1:-1] + plane[..., 2:, 1:-1]
    horizontal = plane[..., 1:-1, :-2] + plane[..., 1:-1, 2:]
    return vertical + horizontal - 4 * plane[..., 1:-1, 1:-1]


def _variance(planes: Tensor) -> Tensor:
    """Compute the variance of each plane, (..., h, w) -> (...), six times as fast as `Tensor.var`."""
    flat = planes.flatten(-2)
    return (flat - flat.mean(-1, keepdim=True)).square_().mean(-1)


def _standardise(values: Tensor) -> Tensor:
    """Scale (T, K) values to mean 0 and standard deviation 1 over the candidates of each tile; rounding becomes 0."""
    precise = values.detach().to(widest_float(values.device))
    deviation = precise - precise.mean(1, keepdim=True)
    noise = 1e-5 * precise.abs().amax(1, keepdim=True) + 1e-8  # float32's rounding
    return (deviation / (precise.std(1, correction=0, keepdim=True) + noise)).float()


def _check(candidates: Tensor, context: ScoreContext, weights: Mapping[str, float]) -> None:
    """Raise the errors of `score`."""
    shape, stack = tuple(candidates.shape), tuple(context.stack.shape)
    if len(shape) != 5 or shape[2] != 3 or not shape[0] * shape[1]:
        raise ShapeError(f"score: candidates have shape {shape}, expected (T, K, 3, h, w), T and K at least 1.")
    if len(stack) != 4 or stack[0] != shape[0] or stack[1] < 3:
        raise ShapeError(f"score: context.stack has shape {stack}, expected ({shape[0]}, C, t, t) with C >= 3.")
    for name, weight in weights.items():
        if name not in SCORERS:
            raise UsageError(f'score: unknown scorer "{name}"{suggest(name, sorted(SCORERS))}')
        if not math.isfinite(weight):
            raise UsageError(f'score: weight {weight} of scorer "{name}" is not a finite number; 0 turns it off.')
