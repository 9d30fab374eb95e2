"""Captions and watermarks: rows of letters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from facegen.data.clean.view import SIDE, Grey, View

STROKE = 15
"""Pixels that no stroke of a letter is wider than."""
CONTRAST = 0.12
"""Luma by which a letter is lighter, or darker, than what is around it."""
HEIGHTS = (7, 64)
MOST = 800
"""Shapes of one polarity that are looked at, the largest first: leaves and curls can be any number."""


def letters(view: View) -> float:
    """How many letter-like shapes stand in the longest row.

    Shapes are connected strokes lighter (or darker) than their surroundings. A row has equal heights, one line to stand
    on, and gaps of less than a letter. The mouth is passed over, as teeth are such a row. Finds captions and plain
    watermarks; handwriting, logos without letters and letters that touch stay unseen.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE, STROKE))
    kinds = (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
    mouth = _mouth(view)
    longest = 0
    for kind in kinds:
        strokes = np.asarray(cv2.morphologyEx(view.fine_luma, kind, kernel), dtype=np.float32)
        strokes[mouth] = 0
        longest = max(longest, _longest_row(_shapes(strokes)))
    return float(longest)


def _mouth(view: View) -> tuple[slice, slice]:
    """Rows and columns of the mouth in the fine picture."""
    points = view.points[48:68] * (len(view.fine) / SIDE)
    (left, top), (right, bottom) = points.min(axis=0).clip(0), points.max(axis=0).clip(0)
    return slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)


def _shapes(strokes: Grey) -> NDArray[np.int32]:
    """(N, 4): left, top, width and height of the strokes that could be letters."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((strokes > CONTRAST).astype(np.uint8), connectivity=8)
    _, _, width, height, area = stats.T
    filled = area / (width * height)
    shaped = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1]) & (width <= 1.6 * height) & (width >= 0.12 * height)
    found = stats[shaped & (filled > 0.2) & (filled < 0.95)]
    return np.asarray(found[np.argsort(-found[:, 4], kind="stable")][:MOST, :4], dtype=np.int32)


def _longest_row(shapes: NDArray[np.int32]) -> int:
    """Shapes in the longest chain of neighbours that stand in a row."""
    if not len(shapes):
        return 0
    left, top, width, height = shapes.T.astype(np.float64)
    tall = np.maximum(height[:, None], height)
    level = np.abs((top + height)[:, None] - (top + height)) < 0.15 * tall
    alike = np.abs(height[:, None] - height) < 0.25 * tall
    gap = left[None, :] - (left + width)[:, None]
    near = (gap > -0.1 * tall) & (gap < 0.6 * tall)
    _, rows = connected_components(csr_array(level & alike & near), directed=False)
    return int(np.bincount(rows).max())
