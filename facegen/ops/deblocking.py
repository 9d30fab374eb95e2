"""Smoothing the borders of the blocks that a picture was compressed in, which show as a grid in calm places."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
REACH = 12 / 255
"""A step at a border that exceeds those beside it by this much is the picture's own, and stays."""
STRENGTH = 0.9
"""Share that is spread over the pixels beside of the smallest excess; it falls to nothing at `REACH`.

With both, steps at the borders of WebP portraits are nearly as large as others, in calm and in rough places
(docs/training.md)."""


def deblock(image: Float, block: int, origin: tuple[int, int] = (0, 0)) -> Float:
    """Even out steps at block borders, as loop filters do (List et al. 2003, "Adaptive deblocking filter").

    What the step between two pixels at a border has over the mean of the steps on both sides of it is shared out among
    all three steps, so that four pixels change at most.

    Args:
        image: (H, W, 3) in [0, 1].
        block: side of the blocks, at least 4: 4 in WebP's, 8 in JPEG's luma.
        origin: row and column of the image in the picture that was compressed.
    Returns:
        a new array; mean and range hardly change.
    """
    smooth = np.array(image, np.float32)
    for start in origin:
        _even_out(smooth, block, -start % block)
        smooth = np.asarray(cv2.transpose(smooth), np.float32)  # quicker than to go across the lines
    return smooth


def _even_out(lines: Float, block: int, first: int) -> None:
    """In place, at the borders above the lines `first`, `first` + `block`, ..."""
    first += block if first < 2 else 0
    count = len(range(first, len(lines) - 1, block))
    outer, above, under, last = (lines[first + step :: block][:count] for step in (-2, -1, 0, 1))
    excess = 1.5 * (under - above) - 0.5 * (last - outer)  # the step less the mean of those beside
    moved = STRENGTH / 8 * excess * np.maximum(1 - np.abs(excess) / REACH, 0)
    outer += moved
    above += 3 * moved
    under -= 3 * moved
    last -= moved
