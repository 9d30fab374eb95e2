"""How visible the borders of tiles are in a blended picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from facegen.errors import ShapeError
from facegen.ops.tiling import TilePlan, scale_of

REACH = 12
"""Lines on either side, in high-res pixels, that a border line is compared with."""
_FLAT = 1e-6
"""Gradient added to both sides of the ratio, so that a flat picture measures 1."""


@dataclass(frozen=True)
class SeamGauge:
    """Gradient across the tile borders over that of the lines beside them; 1.0 is no seam."""

    mean: float
    max: float


def seam_gauge(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> SeamGauge:
    """Measure every tile border that lies inside the picture.

    For each such line: the mean |gradient| across it, over the median of the mean |gradient| across the lines up to
    `REACH` pixels beside it.

    Args:
        image: (C, s*H, s*W).
        plan: geometry in low-res pixels.
        plain: the same picture made without tiles, as large; what it measures at a line by itself is divided out, so
            that a roof that lies on a line of a photo is no seam.
    Returns:
        Mean and maximum over the lines; 1.0 if there are none.
    Raises:
        ShapeError: if an image is not the plan's size times a whole number, or `plain` is not as large as the image.
    """
    return _gauge(image, plan, plain, border_lines)


def content_gauge(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> SeamGauge:
    """Measure as many lines on which no tile begins or ends: what hairs and edges alone make of the seam gauge.

    It is the yardstick for `seam_gauge` of the same picture: borders show only where they measure more than this.

    Args:
        image, plan, plain: as for `seam_gauge`.
    Raises:
        ShapeError: as `seam_gauge`.
    """
    return _gauge(image, plan, plain, _lines_between)


def border_lines(starts: tuple[int, ...], tile: int, length: int) -> list[int]:
    """List the tile borders along one axis, the picture's own left out: the first low-res pixel after each."""
    return sorted({*starts, *(start + tile for start in starts)} - {0, length})


def over_all(gauges: Sequence[SeamGauge]) -> SeamGauge:
    """Mean and maximum over the gauges of several pictures, at least one."""
    return SeamGauge(sum(gauge.mean for gauge in gauges) / len(gauges), max(gauge.max for gauge in gauges))


Lines = Callable[[tuple[int, ...], int, int], list[int]]
"""Starts of the tiles along one axis, their side and the axis's length to the lines that are measured, in low-res
pixels: each is the first pixel after the step."""


def _gauge(image: Tensor, plan: TilePlan, plain: Tensor | None, lines: Lines) -> SeamGauge:
    ratios = _ratios(image, plan, lines)
    if plain is not None:
        if plain.shape != image.shape:
            raise ShapeError(f"seam_gauge: plain has shape {tuple(plain.shape)}, expected {tuple(image.shape)}.")
        ratios = [ratio / usual for ratio, usual in zip(ratios, _ratios(plain, plan, lines), strict=True)]
    return SeamGauge(sum(ratios) / len(ratios), max(ratios)) if ratios else SeamGauge(1.0, 1.0)


def _ratios(image: Tensor, plan: TilePlan, lines: Lines) -> list[float]:
    """The step across each line over the median of those beside it; rows first."""
    scale = scale_of(image, plan, caller="seam_gauge")
    down = image.diff(dim=1).abs().mean((0, 2)).double()  # (s*H - 1,): entry i is the step from line i to i + 1
    right = image.diff(dim=2).abs().mean((0, 1)).double()  # (s*W - 1,)
    ratios = [_ratio(down, scale * line) for line in lines(plan.rows, plan.tile, plan.height)]
    return ratios + [_ratio(right, scale * line) for line in lines(plan.columns, plan.tile, plan.width)]


def _lines_between(starts: tuple[int, ...], tile: int, length: int) -> list[int]:
    """Before each border a line a quarter of the way back to the one before it, if that is another line."""
    before_and_border = pairwise([0, *border_lines(starts, tile, length)])
    return [border - (border - before) // 4 for before, border in before_and_border if border - before >= 4]


def _ratio(steps: Tensor, line: int) -> float:
    """The step across one border line over the median of those beside it."""
    here = line - 1
    beside = torch.cat([steps[max(here - REACH, 0) : here], steps[here + 1 : here + 1 + REACH]])
    usual = beside.quantile(0.5) if len(beside) else steps[here]
    return float((steps[here] + _FLAT) / (usual + _FLAT))
