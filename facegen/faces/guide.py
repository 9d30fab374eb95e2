"""Paint the semantic guide: 68 landmarks as coloured regions, in the original's colours."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from torch.profiler import record_function as step

from facegen.arrays import RGB, Points
from facegen.errors import ShapeError, UsageError

GuideMode = Literal["rgb", "channels", "none"]

COLOURS = {
    "face": (255, 255, 255),
    "socket": (0, 255, 255),
    "eye": (0, 0, 255),
    "nose": (255, 255, 0),
    "underside": (128, 128, 128),
    "lips": (255, 0, 0),
    "mouth": (128, 0, 0),
}
"""Painted in this order on black. All but the darker mouth are measured in the original's figure."""
GUIDE_CHANNELS: dict[GuideMode, int] = {"rgb": 3, "channels": len(COLOURS), "none": 0}
FOREHEAD = 0.45
"""Height of the forehead above the brows, as a share of the distance from brows to chin."""
PARTED = 0.08
"""Gap that dlib finds between closed lips in damaged photos, as a share of the mouth's width: the 90 % quantile."""
SUPERSAMPLE = 4
_SHIFT = 4  # cv2 takes fixed-point coordinates with this many fractional bits


def regions(points: Points) -> dict[str, list[Points]]:
    """Return one or two polygons, (N, 2), for each key of `COLOURS`, from dlib's (68, 2) points x, y."""
    nose_wings = points[[31, 35]]
    return {
        "face": [np.concatenate([points[0:17], _forehead(points)])],
        "socket": [_socket(points[17:22], points[36:42]), _socket(points[22:27], points[42:48])],
        "eye": [points[36:42], points[42:48]],
        "nose": [np.stack([points[27], nose_wings[1], nose_wings[0]])],
        "underside": [np.concatenate([points[30:31], points[31:36][::-1]])],
        "lips": [points[48:60]],
        "mouth": [points[60:68]],
    }


def with_closer_lips(points: Points) -> Points:
    """Move the inner lips of (68, 2) points towards each other, by up to `PARTED`.

    If the guide shows closed lips as open, the network draws teeth; visible teeth it draws anyway.
    """
    closer = points.copy()
    upper, lower = closer[61:64], closer[67:64:-1]
    most = PARTED * np.linalg.norm(points[54] - points[48])
    gap = lower - upper
    shift = gap * np.minimum(most / np.maximum(np.linalg.norm(gap, axis=1, keepdims=True), 1e-6), 1) / 2
    upper += shift
    lower -= shift
    return closer


@step("facegen.guide")
def paint_guide(points: Points, side: int, mode: GuideMode = "rgb") -> RGB:
    """Paint the guide of one face.

    Args:
        points: (68, 2) x, y in pixels of a picture with this side; parts outside are cut off.
        side: height and width of the guide in pixels.
        mode: "rgb" paints the colours of `COLOURS` over each other; "channels" paints each region in a separate plane.
    Returns:
        (side, side, C) uint8 with C = GUIDE_CHANNELS[mode].
    Raises:
        ShapeError: if `points` is not (68, 2).
        UsageError: if the mode is unknown.
    """
    if mode not in GUIDE_CHANNELS:
        raise UsageError(f"guide: unknown mode {mode!r}, expected one of {', '.join(GUIDE_CHANNELS)}.")
    if points.shape != (68, 2):
        raise ShapeError(f"paint_guide: points have shape {points.shape}, expected (68, 2).")
    if mode == "none":
        return np.zeros((side, side, 0), np.uint8)
    big = side * SUPERSAMPLE
    polygons = {
        name: [np.round(p * (SUPERSAMPLE << _SHIFT)).astype(np.int32) - (1 << (_SHIFT - 1)) for p in group]
        for name, group in regions(points).items()
    }
    if mode == "rgb":
        canvas = np.zeros((big, big, 3), np.uint8)
        for name, group in polygons.items():
            for polygon in group:
                cv2.fillPoly(canvas, [polygon], COLOURS[name], shift=_SHIFT)
        return _shrink(canvas, side)
    planes = [np.zeros((big, big), np.uint8) for _ in polygons]
    for plane, group in zip(planes, polygons.values(), strict=True):
        cv2.fillPoly(plane, group, (255,), shift=_SHIFT)
    return np.stack([_shrink(plane, side) for plane in planes], axis=-1)


def _shrink(canvas: RGB, side: int) -> RGB:
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _forehead(points: Points) -> Points:
    """Return the forehead, where dlib has no points: half an ellipse above the line between the temples."""
    left, right, chin = points[0], points[16], points[8]
    brows = points[17:27].mean(axis=0)
    up = (brows - chin) * FOREHEAD
    angle = np.linspace(0, np.pi, 15)[1:-1, None]
    centre, half = (left + right) / 2, (right - left) / 2
    rise = up + (brows - centre)  # from the line between the temples past the brows to the top
    return np.asarray(centre + half * np.cos(angle) + rise * np.sin(angle))


def _socket(brow: Points, eye: Points) -> Points:
    """Return the region from the brow down to the lower lid."""
    corners_and_lower_lid = eye[[3, 4, 5, 0]]
    return np.concatenate([brow, corners_and_lower_lid])
