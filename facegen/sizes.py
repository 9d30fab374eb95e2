"""Plan the size of a photo's result: as asked for, or by its largest head, within limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facegen.errors import UsageError
from facegen.faces.align import HeadFrame

HEAD_SIDE = 768
"""Side that `photo_scale` gives the largest head."""
LARGEST = 400_000_000
"""Pixels of the largest result: a photo of 100 megapixels at scale 2."""
LARGEST_FACELESS = 100_000_000
"""Pixels of the largest result at scale 4 for a photo without a face; above it, the scale is 2."""


@dataclass(frozen=True)
class Enlargement:
    """Scale and size of a photo's result."""

    times: float
    """The scale, at least 1."""
    size: tuple[int, int]
    """Width and height of the result in pixels."""

    @property
    def made(self) -> int:
        """The integer scale at which the result is made before it is shrunk to its size."""
        return math.ceil(self.times)


def photo_scale(frames: Sequence[HeadFrame], pixels: int) -> int:
    """Choose the scale of a photo: from 2 to 8, so that the largest head has 768 px; without a face 4, or 2 if large.

    Args:
        frames: the heads to upscale.
        pixels: of the photo.
    """
    if not frames:
        return 4 if 4 * 4 * pixels <= LARGEST_FACELESS else 2
    return min(max(math.ceil(HEAD_SIDE / max(frame.side for frame in frames)), 2), 8)


def plan_size(
    size: tuple[int, int], scale: float | None, width: int | None, heads: Callable[[], Sequence[HeadFrame]]
) -> Enlargement:
    """Plan the size of a photo's result.

    Args:
        size: width and height of the photo in pixels.
        scale: the enlargement, or None.
        width: the result's width in pixels, if there is no scale, or None.
        heads: finds the heads to upscale; called for `photo_scale` if neither scale nor width is given.
    Raises:
        UsageError: if the result would exceed `LARGEST` pixels where it is made, or be smaller than the photo.
    """
    if width is not None:
        if width < size[0]:
            raise UsageError(f"--width {width}: the photo is {size[0]} px wide already; choose a larger one.")
        return _checked(size, width / size[0], f"--width {width}")
    if scale is None:
        _checked(size, 1, "--scale 1")
        return _checked(size, min(photo_scale(heads(), math.prod(size)), math.isqrt(LARGEST // math.prod(size))), "")
    return _checked(size, scale, f"--scale {scale:g}")


def _checked(size: tuple[int, int], times: float, wish: str) -> Enlargement:
    plan = Enlargement(times, (round(times * size[0]), round(times * size[1])))
    made = (plan.made * size[0], plan.made * size[1])
    if math.prod(made) > LARGEST:
        would = "be" if made == plan.size else f"be made at {plan.made} times its size,"
        raise UsageError(
            f"{size[0]}x{size[1]} at {wish} would {would} {made[0]}x{made[1]}, over {LARGEST // 1_000_000} megapixels; "
            f"choose a smaller {wish.split()[0]}, or --crop for the heads alone."
        )
    return plan
