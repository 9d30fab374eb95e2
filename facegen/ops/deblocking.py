"""Smoothing the borders of the blocks that a picture was compressed in, which show as a grid in calm places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
REACH = 12 / 255
"""A step at a border that exceeds those beside it by this much is the picture's own, and stays."""
STRENGTH = 0.9
"""Share that is spread over the pixels beside of the smallest excess; it falls to nothing at `REACH`.

With both, steps at the borders of WebP portraits are as large as others, on average, in calm and in rough places
(docs/training.md)."""


def deblock(image: Float, block: int, origin: tuple[int, int] = (0, 0)) -> Float:
    """Even out steps at block borders, as loop filters do (List et al. 2003, "Adaptive deblocking filter").

    What the step between two pixels at a border has over the mean of the steps on both sides of it is shared out among
    all three steps, so that four pixels change at most.

    Args:
        image: (H, W, C) in [0, 1].
        block: side of the blocks, at least 4: 4 in WebP's, 8 in JPEG's luma.
        origin: row and column of the image in the picture that was compressed.
    Returns:
        a new array; mean and range hardly change.
    """
    smooth = np.array(image, np.float32)
    for axis, start in enumerate(origin):
        _even_out(np.moveaxis(smooth, axis, 0), block, -start % block)
    return smooth


def _even_out(lines: Float, block: int, first: int) -> None:
    """In place, at the borders above the lines `first`, `first` + `block`, ..."""
    below = np.arange(first, len(lines) - 1, block)
    below = below[below >= 2]
    outer, above, under, last = (lines[below + step] for step in (-2, -1, 0, 1))
    excess = (under - above) - (above - outer + last - under) / 2
    moved = STRENGTH / 8 * excess * np.clip(1 - np.abs(excess) / REACH, 0, 1)
    for step, share in ((-2, 1), (-1, 3), (0, -3), (1, -1)):
        lines[below + step] += share * moved
