"""Whether the eyes are sharp: out of focus, or blurred by motion in any direction."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from facegen.data.clean.view import SIDE, Grey, View

COARSE = 2.0
"""Sigma in pixels of the blur that the eyes are compared with."""


def sharpness(view: View) -> float:
    """How much the gradients around eyes and brows lose by a blur of sigma 2 px, in the direction that loses least.

    The ratio of the energy of gradients before and after, 1 (nothing lost: as blurred as that already) and up. Only the
    region of eyes and brows is looked at, as skin is smooth and backgrounds are out of focus in good pictures. The
    energy is a structure tensor (Foerstner & Gulch 1987), so that the least ratio over all directions is the smallest
    generalised eigenvalue of the two tensors; motion blur shows in its own direction alone.
    """
    region = _eyes(view)
    before = _structure(region)
    after = _structure(np.asarray(cv2.GaussianBlur(region, (0, 0), COARSE), dtype=np.float32))
    return float(eigh(before, after + 1e-6 * np.eye(2), eigvals_only=True)[0])


def _eyes(view: View) -> Grey:
    """Eyes and brows, with a margin, at the fine size."""
    low, high = view.points[17:48].min(axis=0), view.points[17:48].max(axis=0)
    left, top = np.clip(low - 6, 0, SIDE - 32)
    right, bottom = np.clip(high + 6, (left + 32, top + 32), SIDE)
    scale = len(view.fine) / SIDE
    return view.fine_luma[int(top * scale) : int(bottom * scale), int(left * scale) : int(right * scale)]


def _structure(luma: Grey) -> NDArray[np.float64]:
    """(2, 2): the sums of products of the horizontal and vertical derivative."""
    gradient = np.stack([cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)]).reshape(2, -1)
    return np.asarray(gradient @ gradient.T, dtype=np.float64) / gradient.shape[1]
