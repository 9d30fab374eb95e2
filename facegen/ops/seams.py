"""How visible the borders of tiles are in a blended picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

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
    """Gradient across the tile borders over that of the lines next to them; 1.0 is no seam."""

    mean: float
    max: float


def seam_gauge(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> SeamGauge:
    """Measure every tile border that lies inside the picture.

    For each such line: the mean |gradient| across it, over the median of the mean |gradient| across the lines up to
    `REACH` pixels away.

    Args:
        image: (C, s*H, s*W).
        plan: geometry in low-res pixels.
        plain: the same picture made without tiles, as large; its own measure at a line is divided out, so that
            a roof on a line of a photo is no seam.
    Returns:
        Mean and maximum over the lines; 1.0 if there are none.
    Raises:
        ShapeError: if an image is not the plan's size times a whole number, or `plain` is not as large as the image.
    """
    ratios = _ratios(image, plan, plain, _at_borders)
    return SeamGauge(sum(ratios) / len(ratios), max(ratios)) if ratios else SeamGauge(1.0, 1.0)


def content_ratios(image: Tensor, plan: TilePlan, plain: Tensor | None = None) -> list[float]:
    """Measure lines away from borders and edges as `seam_gauge`, with the same arguments, measures borders.

    They lie between two low-res pixels, as borders do: enlarging alone makes steps there differ from those within one.
    """
    return _ratios(image, plan, plain, _away_from_borders)


def content_gauge(ratios: Sequence[float], lines: int) -> SeamGauge:
    """Give the seam gauge that hairs and edges alone would have: borders show only where they measure more.

    The maximum is what the worst of so many of the `content_ratios` exceeds in half of all draws: the quantile
    0.5^(1/lines). 1.0 if there are no lines.
    """
    if not ratios or not lines:
        return SeamGauge(1.0, 1.0)
    values = torch.tensor(ratios, dtype=torch.float64)
    return SeamGauge(values.mean().item(), values.quantile(0.5 ** (1 / lines)).item())


def border_count(plan: TilePlan) -> int:
    """How many lines `seam_gauge` measures."""
    return len(border_lines(plan.rows, plan.tile, plan.height)) + len(border_lines(plan.columns, plan.tile, plan.width))


def over_all(gauges: Sequence[SeamGauge]) -> SeamGauge:
    """Mean and maximum over the gauges of several pictures, at least one."""
    return SeamGauge(sum(gauge.mean for gauge in gauges) / len(gauges), max(gauge.max for gauge in gauges))


def border_lines(starts: tuple[int, ...], tile: int, length: int) -> list[int]:
    """List the tile borders along one axis, the picture's own left out: the first low-res pixel after each."""
    return sorted({*starts, *(start + tile for start in starts)} - {0, length})


Lines = Callable[[list[int], int, int], list[int]]
"""High-res borders along an axis, its length and the scale -> lines to measure: the first pixel after each step."""


def _at_borders(borders: list[int], length: int, scale: int) -> list[int]:
    return borders


def _away_from_borders(borders: list[int], length: int, scale: int) -> list[int]:
    edges = [0, *borders, length]
    return [line for line in range(0, length, scale) if all(abs(line - edge) > REACH for edge in edges)]


def _ratios(image: Tensor, plan: TilePlan, plain: Tensor | None, lines: Lines) -> list[float]:
    """The step across each line over the median of its neighbours', over the same in `plain`; rows first."""
    ratios = _ratios_of(image, plan, lines)
    if plain is None:
        return ratios
    if plain.shape != image.shape:
        raise ShapeError(f"seam_gauge: plain has shape {tuple(plain.shape)}, expected {tuple(image.shape)}.")
    return [ratio / usual for ratio, usual in zip(ratios, _ratios_of(plain, plan, lines), strict=True)]


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
    """The step across one border line over the median of its neighbours'."""
    here = line - 1
    near = [*steps[max(here - REACH, 0) : here], *steps[here + 1 : here + 1 + REACH]]
    usual = median(near) if near else steps[here]
    return (steps[here] + _FLAT) / (usual + _FLAT)
