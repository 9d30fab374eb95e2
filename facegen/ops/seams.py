"""Measure how visible the borders of tiles are in a blended picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.tiling import TilePlan, scale_of

REACH = 12
"""Number of lines on either side, in high-res pixels, with which a border line is compared."""
_FLAT = 1e-6
"""Added to both gradients of a ratio, so that a flat picture measures 1."""


@dataclass(frozen=True)
class SeamGauge:
    """Ratio of the gradients across tile borders to those across lines near them; 1.0 is no seam."""

    mean: float
    max: float


def seam_gauge(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> SeamGauge:
    """Measure the tile borders inside a picture.

    The measure of a line is the mean |gradient| across it, divided by the median of that of the lines up to `REACH`
    pixels away.

    Args:
        image: (C, s*H, s*W).
        plan: geometry in low-res pixels.
        plain: the same picture without tiles, of the same size; the ratios are divided by its ratios, so that an edge
            of the motif at a tile border does not count as a seam.
    Returns:
        Mean and maximum over the lines; 1.0 if there are none.
    Raises:
        ShapeError: if the image is not an integer times as large as the plan, or `plain` has another size.
    """
    ratios = _ratios(image, plan, plain, _at_borders)
    return SeamGauge(sum(ratios) / len(ratios), max(ratios)) if ratios else SeamGauge(1.0, 1.0)


def content_ratios(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> list[float]:
    """Measure lines away from tile borders and edges as `seam_gauge` measures borders, with the same arguments.

    They are between two low-res pixels, like tile borders, where enlargement itself changes the gradient.
    """
    return _ratios(image, plan, plain, _away_from_borders)


def content_gauge(ratios: Sequence[float], lines: int) -> SeamGauge:
    """Return the seam gauge to expect from the content, such as hairs and edges, at a number of lines without seams.

    The maximum is the median of the largest of `lines` random `content_ratios`: their quantile 0.5^(1/lines). Both are
    1.0 if there are no lines.
    """
    if not ratios or not lines:
        return SeamGauge(1.0, 1.0)
    values = torch.tensor(ratios, dtype=torch.float64)
    return SeamGauge(values.mean().item(), values.quantile(0.5 ** (1 / lines)).item())


def border_count(plan: TilePlan) -> int:
    """Return the number of lines that `seam_gauge` measures."""
    return len(border_lines(plan.rows, plan.tile, plan.height)) + len(border_lines(plan.columns, plan.tile, plan.width))


def over_all(gauges: Sequence[SeamGauge]) -> SeamGauge:
    """Return the mean and maximum over the gauges of several pictures, at least one."""
    return SeamGauge(sum(gauge.mean for gauge in gauges) / len(gauges), max(gauge.max for gauge in gauges))


def border_lines(starts: tuple[int, ...], tile: int, length: int) -> list[int]:
    """List the tile borders along one axis, without the picture's: the first low-res pixel after each border."""
    return sorted({*starts, *(start + tile for start in starts)} - {0, length})


Lines = Callable[[list[int], int, int], list[int]]
"""High-res tile borders along an axis, its length and the scale -> lines to measure: the first pixel after each."""


def _at_borders(borders: list[int], length: int, scale: int) -> list[int]:
    return borders


def _away_from_borders(borders: list[int], length: int, scale: int) -> list[int]:
    edges = [0, *borders, length]
    return [line for line in range(0, length, scale) if all(abs(line - edge) > REACH for edge in edges)]


def _ratios(image: Tensor, plan: TilePlan, plain: Tensor | None, lines: Lines) -> list[float]:
    """Compute the ratio of each line, divided by that in `plain`; rows first."""
    ratios = _ratios_of(image, plan, lines)
    if plain is None:
        return ratios
    if plain.shape != image.shape:
        raise ShapeError(f"seam_gauge: plain has shape {tuple(plain.shape)}, expected {tuple(image.shape)}.")
    return [ratio / other for ratio, other in zip(ratios, _ratios_of(plain, plan, lines), strict=True)]


def _ratios_of(image: Tensor, plan: TilePlan, lines: Lines) -> list[float]:
    scale = scale_of(image, plan, caller="seam_gauge")
    down = image.diff(dim=1).abs().mean((0, 2)).tolist()  # (s*H - 1,): entry i is the step from line i to i + 1
    right = image.diff(dim=2).abs().mean((0, 1)).tolist()  # (s*W - 1,)
    ratios: list[float] = []
    for steps, starts, length in ((down, plan.rows, plan.height), (right, plan.columns, plan.width)):
        borders = [scale * border for border in border_lines(starts, plan.tile, length)]
        ratios += [_ratio(steps, line) for line in lines(borders, scale * length, scale)]
    return ratios


def _ratio(steps: list[float], line: int) -> float:
    """Divide the step across a line by the median of the steps near it."""
    here = line - 1
    near = [*steps[max(here - REACH, 0) : here], *steps[here + 1 : here + 1 + REACH]]
    return (steps[here] + _FLAT) / ((median(near) if near else steps[here]) + _FLAT)
