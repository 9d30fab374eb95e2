"""Measures of patterns: hidden eyes and mouths, noise, JPEG blocks, printed screens, drawings, rows of letters."""

from __future__ import annotations

import math
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from facegen.arrays import Points
from facegen.data.clean.face import SIDE, Grey, View

USUAL = Path(__file__).parent / "usual.npz"
"""For eyes and mouth: mean description, principal axes, and usual distance from the space of these axes."""
PATCHES = {"eyes": (128, 48), "mouth": (80, 48)}
"""Width and height in pixels, with the eyes `EYE_DISTANCE` apart."""
EYE_DISTANCE = 60
CELL, TURNS = 16, 6
"""Side of a cell in pixels; number of gradient directions."""

NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
PARTS = 32
"""Number of parts along a side, of which the flattest count."""
PERIODS = (4.0, 24.0)
"""Least and largest period in pixels: JPEG's grid of 8 px in a crop shrunk to half, or enlarged 3 times."""
PADDED = 4096
"""Samples of the spectrum in which the grid is searched for."""
STEP = 0.02
"""Second differences of luma are limited to this, so that a single edge does not outweigh a grid."""
SCREEN_FROM = 0.09
"""Least frequency of a screen, in cycles per pixel."""

FLOOR = 1e-4
"""Added to the size of detail, in luma, before its logarithm is taken."""
FLAT = 0.002
"""Gradient in luma per pixel below which a pixel is flat."""
BANDS = {"fine": (0, 1), "coarse": (1, 2), "broad": (2, 4)}
"""Detail between two sigmas in pixels."""
WEIGHTS = {
    "flat": 33.718, "fine 10": -1.017, "fine 50": 3.209, "fine 99": 5.347, "coarse 10": -0.892, "coarse 50": -0.155,
    "coarse 99": -0.957, "broad 10": 0.282, "broad 50": -0.357, "broad 99": -1.282,
}  # fmt: skip
"""Weight of each feature in a logistic regression by benchmarks/clean_models.py."""
BIAS = 6.744

STROKE, HEIGHTS = 15, (7, 64)
"""In pixels: largest width of a letter's stroke; least and largest height of a letter."""
CONTRAST = 0.12
"""Least difference in luma between a letter and its surroundings."""
MOST = 800
"""Only the largest shapes, lighter and darker, count up to this number: there may be any number of leaves or curls."""


def hidden(name: str, view: View) -> float:
    """Measure the distance of the eyes, or the mouth, from those of clean portraits, over the usual distance.

    It is the distance of their description from the space of principal components of uncovered faces.
    """
    mean, axes, usual = (_usual()[f"{name}_{part}"] for part in ("mean", "axes", "distance"))
    offset = description(view, name) - mean
    outside = float(offset @ offset - np.sum((axes @ offset) ** 2))
    return math.sqrt(max(outside, 0.0)) / float(usual)


eyes_hidden, mouth_hidden = partial(hidden, "eyes"), partial(hidden, "mouth")


def eye_light(view: View) -> float:
    """Divide the lightness around the lighter eye by that of the lighter cheek: sunglasses are darker than lids.

    The former is the 80th percentile of luma in a box of 0.44 x 0.26 eye distances around the eye; the latter is the
    median in a box of 0.2 x 0.2, halfway between the outer corners of eye and mouth.
    """
    points = view.points
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    cheeks = ((points[eye] + points[corner]) / 2 for eye, corner in ((36, 48), (45, 54)))
    cheek = max(float(np.median(_box(view.luma, centre, 0.1 * unit, 0.1 * unit))) for centre in cheeks)
    eye = max(float(np.percentile(_box(view.luma, centre, 0.22 * unit, 0.13 * unit), 80)) for centre in eyes)
    return eye / max(cheek, 0.02)


def description(view: View, name: str) -> NDArray[np.float64]:
    """Describe a patch by oriented gradients (Dalal & Triggs 2005) and lightness in cells, each normalised together."""
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


def noise(view: View) -> float:
    """Estimate the standard deviation of the grain in the flattest parts of the face, in steps of 255.

    Immerkaer's mask (1996) is averaged over parts of the luma, and the 20th percentile of the parts in the face is
    taken: so skin counts, but neither a beard nor foliage behind the head.
    """
    grain = np.abs(cv2.filter2D(view.fine_luma, -1, NOISE_MASK)) * (255 * np.sqrt(np.pi / 2) / 6)
    parts = cv2.resize(grain, (PARTS, PARTS), interpolation=cv2.INTER_AREA)
    share = cv2.resize(view.face.astype(np.float32), (PARTS, PARTS), interpolation=cv2.INTER_AREA)
    return float(np.percentile(parts[share > 0.99 * share.max()], 20))


def blocks(view: View) -> float:
    """Measure a grid of equal period in both directions in the second differences of luma.

    The mean |second difference| of every column (row) is a line whose spectrum has peaks at multiples of 1 / period.
    The period is unknown, as crops are resized, so the best of all counts, with its first three multiples. The unit is
    the median of the spectrum.
    """
    spectra = [_grid_spectrum(view.fine_luma), _grid_spectrum(view.fine_luma.T)]
    frequencies = np.arange(PADDED // PERIODS[1], PADDED / PERIODS[0]).astype(int)
    combs = [np.mean([spectrum[frequencies * k % PADDED] for k in (1, 2, 3)], axis=0) for spectrum in spectra]
    return float(np.minimum(*combs).max())


def screen(view: View) -> float:
    """Measure the strongest regular pattern in the face over its neighbours in the spectrum, in decibels.

    Half-tone dots, scan lines and moire are peaks; skin, hair and edges are not.
    """
    side = len(view.fine)
    face = view.fine_luma[side * 3 // 8 : side * 7 // 8, side // 4 : -side // 4]
    window = np.hanning(face.shape[0])[:, None] * np.hanning(face.shape[1])
    power = np.fft.fftshift(np.abs(np.fft.fft2((face - face.mean()) * window)) ** 2)
    level = (10 * np.log10(cv2.blur(power, (3, 3)) + 1e-9)).astype(np.float32)
    around = cv2.blur(cv2.medianBlur(cv2.blur(level, (5, 5)), 5), (21, 21))
    y, x = (np.fft.fftshift(np.fft.fftfreq(length)) for length in face.shape)
    return float((level - around)[np.hypot(y[:, None], x) > SCREEN_FROM].max())


def drawn(view: View) -> float:
    """Compute the log-odds of a drawing or painting, by a logistic regression on `drawing_features`."""
    found = drawing_features(view)
    return BIAS + sum(weight * found[name] for name, weight in WEIGHTS.items())


def drawing_features(view: View) -> dict[str, float]:
    """Measure features by which drawings and photos differ, in the face only: photos too may have flat backgrounds.

    Returns:
        for each band, as in "fine 50": log of the 50th percentile of the detail's size; "flat": share of flat pixels.
    """
    luma = view.fine_luma
    face = cv2.resize(view.face.astype(np.uint8), luma.shape, interpolation=cv2.INTER_NEAREST).astype(bool)
    gradient = cv2.magnitude(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)) / 8
    found = {"flat": float(np.mean(gradient[face] < FLAT))}
    blurred = {sigma: cv2.GaussianBlur(luma, (0, 0), sigma) if sigma else luma for sigma in (0, 1, 2, 4)}
    for name, (low, high) in BANDS.items():
        detail = cv2.absdiff(blurred[low], blurred[high])[face]
        for percent, value in zip((10, 50, 99), np.percentile(detail, (10, 50, 99)), strict=True):
            found[f"{name} {percent}"] = float(np.log(value + FLOOR))
    return found


def letters(view: View) -> float:
    """Count the letter-like shapes in the longest row.

    Shapes are connected strokes lighter (or darker) than their surroundings. A row has equal heights, one base line,
    and gaps narrower than a letter. The mouth is skipped, as teeth form such a row. Captions and plain watermarks are
    found; handwriting, logos without letters and touching letters are not.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE, STROKE))
    mouth = _mouth(view)
    longest = 0
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        strokes = np.asarray(cv2.morphologyEx(view.fine_luma, kind, kernel), dtype=np.float32)
        strokes[mouth] = 0
        longest = max(longest, _longest_row(_shapes(strokes)))
    return float(longest)


def _box(luma: Grey, centre: Points, reach_x: float, reach_y: float) -> Grey:
    x, y = centre.clip(0, SIDE - 1)
    rows = slice(int(max(y - reach_y, 0)), int(y + reach_y) + 1)
    return luma[rows, int(max(x - reach_x, 0)) : int(x + reach_x) + 1]


def _patch(view: View, name: str) -> NDArray[np.float32]:
    """Cut out eyes or mouth, the line of the eyes level; (h, w, 3) in [0, 1]."""
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


def _grid_spectrum(luma: Grey) -> NDArray[np.float64]:
    """Compute the amplitudes of the columns' mean second difference, over their median: (PADDED,)."""
    second = np.abs(np.diff(luma, n=2, axis=1)).clip(0, STEP).mean(axis=0).astype(np.float64)
    line = second - cv2.blur(second[None], (31, 1))[0]
    amplitudes = np.abs(np.fft.fft(line * np.hanning(len(line)), PADDED))
    return np.asarray(amplitudes / (np.median(amplitudes) + 1e-12))


def _mouth(view: View) -> tuple[slice, slice]:
    points = view.points[48:68] * (len(view.fine) / SIDE)
    (left, top), (right, bottom) = points.min(axis=0).clip(0), points.max(axis=0).clip(0)
    return slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)


def _shapes(strokes: Grey) -> NDArray[np.int32]:
    """Find the strokes that could be letters: (N, 4) with left, top, width and height."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((strokes > CONTRAST).astype(np.uint8), connectivity=8)
    _, _, width, height, area = stats.T
    filled = area / (width * height)
    shaped = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1]) & (width <= 1.6 * height) & (width >= 0.12 * height)
    found = stats[shaped & (filled > 0.2) & (filled < 0.95)]
    return np.asarray(found[np.argsort(-found[:, 4], kind="stable")][:MOST, :4], dtype=np.int32)


def _longest_row(shapes: NDArray[np.int32]) -> int:
    """Count the shapes in the longest chain of neighbours that form a row."""
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
