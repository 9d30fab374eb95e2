"""Drawings, paintings and cartoons: flat areas, hard edges, no grain."""

from __future__ import annotations

import cv2
import numpy as np

from facegen.data.clean.view import View

FLOOR = 1e-4
"""Luma that is added to the size of detail before logarithms are taken."""
FLAT = 0.002
"""Gradient in luma per pixel below which a pixel is flat."""
BANDS = {"fine": (0, 1), "coarse": (1, 2), "broad": (2, 4)}
"""Detail between two sigmas in pixels."""
WEIGHTS = {
    "flat": 33.718, "fine 10": -1.017, "fine 50": 3.209, "fine 99": 5.347, "coarse 10": -0.892, "coarse 50": -0.155,
    "coarse 99": -0.957, "broad 10": 0.282, "broad 50": -0.357, "broad 99": -1.282,
}  # fmt: skip
"""Of each feature; a logistic regression by benchmarks/clean_models.py."""
BIAS = 6.744


def drawn(view: View) -> float:
    """Log-odds that the picture is drawn or painted, by a logistic regression on `features`."""
    found = features(view)
    return BIAS + sum(weight * found[name] for name, weight in WEIGHTS.items())


def features(view: View) -> dict[str, float]:
    """What drawings and photos differ in, inside the face: backgrounds can be flat in photos, too.

    Returns:
        for each band, "fine p": log of the p-th percentile of the detail's size; "flat": share of flat pixels.
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
