"""Whether eyes and mouth can be seen: how unlike those of clean portraits their places look."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.data.clean.view import SIDE, Grey, Points, View

USUAL = Path(__file__).parent / "usual.npz"
"""Of eyes and mouth: mean description, the axes of its usual changes, and its usual distance from them."""
PATCHES = {"eyes": (128, 48), "mouth": (80, 48)}
"""Width and height in pixels, at 60 px from eye to eye."""
EYE_DISTANCE = 60
CELL, TURNS = 16, 6
"""Side of a cell in pixels; directions that gradients are sorted into."""


def eyes_hidden(view: View) -> float:
    """How unlike the eyes of clean portraits these look; see `strangeness`."""
    return strangeness("eyes", description(view, "eyes"))


def mouth_hidden(view: View) -> float:
    """The same of the mouth."""
    return strangeness("mouth", description(view, "mouth"))


def eye_light(view: View) -> float:
    """Lightness around the lighter eye, over that of the lighter cheek: sunglasses are dark where lids should be.

    The 80th percentile of luma in a box of 0.44 x 0.26 eye distances around the eye, and the median of one of 0.2 x 0.2
    halfway from the eye's outer corner to the mouth's.
    """
    points = view.points
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    cheeks = ((points[eye] + points[corner]) / 2 for eye, corner in ((36, 48), (45, 54)))
    cheek = max(float(np.median(_box(view.luma, centre, 0.1 * unit, 0.1 * unit))) for centre in cheeks)
    eye = max(float(np.percentile(_box(view.luma, centre, 0.22 * unit, 0.13 * unit), 80)) for centre in eyes)
    return eye / max(cheek, 0.02)


def strangeness(name: str, described: NDArray[np.float64]) -> float:
    """Distance of a description from the space of usual ones (principal components), over the usual distance.

    Made without a single covered face: whatever hides eyes or mouth makes their place look unlike them.
    """
    mean, axes, usual = (_usual()[f"{name}_{part}"] for part in ("mean", "axes", "distance"))
    offset = described - mean
    outside = float(offset @ offset - np.sum((axes @ offset) ** 2))
    return math.sqrt(max(outside, 0.0)) / float(usual)


def description(view: View, name: str) -> NDArray[np.float64]:
    """A patch as cells of oriented gradients (Dalal & Triggs 2005), normalised together, and the lightness of each."""
    luma = cv2.cvtColor(_patch(view, name), cv2.COLOR_RGB2GRAY)
    dx, dy = cv2.Sobel(luma, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(luma, cv2.CV_32F, 0, 1) / 8
    size, turn = cv2.magnitude(dx, dy), np.arctan2(dy, dx) % np.pi
    bins = np.minimum((turn * (TURNS / np.pi)).astype(int), TURNS - 1)
    shape = (luma.shape[1] // CELL, luma.shape[0] // CELL)
    planes = [np.where(bins == i, size, 0).astype(np.float32) for i in range(TURNS)]
    cells = np.stack([cv2.resize(plane, shape, interpolation=cv2.INTER_AREA) for plane in planes])
    cells = np.sqrt(cells / (cells.sum(axis=0).mean() + 0.02))
    light = cv2.resize(luma, shape, interpolation=cv2.INTER_AREA)
    light = (light - light.mean()) / (luma.std() + 0.03)
    return np.concatenate([cells.ravel(), light.ravel()]).astype(np.float64)


def _box(luma: Grey, centre: Points, reach_x: float, reach_y: float) -> Grey:
    """The part of a picture around a point, one pixel at least."""
    x, y = centre.clip(0, SIDE - 1)
    rows = slice(int(max(y - reach_y, 0)), int(y + reach_y) + 1)
    return luma[rows, int(max(x - reach_x, 0)) : int(x + reach_x) + 1]


def _patch(view: View, name: str) -> NDArray[np.float32]:
    """Eyes or mouth, the line of the eyes level; (h, w, 3) in [0, 1]."""
    points, (width, height) = view.points, PATCHES[name]
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    centre = (left + right) / 2 if name == "eyes" else points[48:68].mean(axis=0)
    dx, dy = (right - left) * (EYE_DISTANCE / max(float(np.sum((right - left) ** 2)), 1.0))
    linear = np.array([[dx, dy], [-dy, dx]])
    matrix = np.column_stack([linear, np.array([width, height]) / 2 - linear @ centre])
    cut = cv2.warpAffine(view.rgb, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.float32) * np.float32(1 / 255)


@cache
def _usual() -> dict[str, NDArray[np.float64]]:
    with np.load(USUAL) as file:
        return {name: file[name].astype(np.float64) for name in file.files}
