"""A crop prepared for the detectors, and measures of its face: place and pose, light and colour, focus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from facegen.arrays import RGB, Points
from facegen.errors import ImageError, ShapeError
from facegen.faces.detect import yunet_faces

LEAST = 32
"""Smallest side, in pixels, of a crop that is measured."""
SIDE, FINE = 256, 512
"""Sides in pixels for measures of the picture as a whole, and, at most, for measures of single pixels (blur, noise)."""
FACE_SCORE = 0.5
"""YuNet's least confidence in a face."""
CANONICAL = np.array([[0.385, 0.475], [0.615, 0.475], [0.5, 0.6], [0.41, 0.72], [0.59, 0.72]])
"""YuNet's five points in the FFHQ frame, in sides: the medians of 494 clean portraits."""
FAR = 1.0
"""Distance of a crop without a face, in sides."""
SKIN = np.array([15.3, 16.2])
"""Mean a* and b* of the faces of 749 clean pictures, of all skin colours."""
TO_SPREADS = np.array([[0.311, -0.151], [0.0, 0.190]])
"""Matrix from a* and b* to standard deviations of these faces: the root of the inverse covariance."""
CLIPPED = 252
"""Value, of 255, from which a channel counts as overexposed."""
COARSE = 2.0
"""Sigma, in pixels, of the blur with which the eyes are compared."""
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """A face found by YuNet, in pixels of the 256 px picture."""

    points: Points
    """(5, 2): the eye on the left of the picture, the other eye, nose, mouth corners."""
    width: float
    score: float
    """Confidence, 0..1."""


@dataclass(frozen=True)
class View:
    """A head crop, prepared once for all detectors."""

    fine: RGB
    """(F, F, 3); F is 512, or the crop's side if that is less."""
    points: Points
    """(68, 2): dlib's landmarks in pixels of `rgb`."""

    @cached_property
    def rgb(self) -> RGB:
        """(256, 256, 3)."""
        return _resized(self.fine, SIDE)

    @cached_property
    def luma(self) -> Grey:
        """(256, 256) in [0, 1]."""
        return _luma(self.rgb)

    @cached_property
    def fine_luma(self) -> Grey:
        """(F, F) in [0, 1]."""
        return _luma(self.fine)

    @cached_property
    def lab(self) -> Grey:
        """(256, 256, 3): CIE L*a*b*, L in 0..100."""
        return np.asarray(cv2.cvtColor(self.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), dtype=np.float32)

    @cached_property
    def face(self) -> NDArray[np.bool_]:
        """(256, 256): inside the hull of the landmarks; the middle of the crop if that is empty."""
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(self.points).astype(np.int32)), 1)
        if mask.sum() < SIDE:
            mask[SIDE // 3 : -SIDE // 6, SIDE // 4 : -SIDE // 4] = 1
        return mask.astype(bool)

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """All faces, the widest first."""
        rows = yunet_faces(self.rgb, FACE_SCORE)
        faces = (Face(row[4:14].reshape(5, 2).astype(np.float64), float(row[2]), float(row[14])) for row in rows)
        return tuple(sorted(faces, key=lambda face: -face.width))


def view_crop(rgb: RGB, points: Points) -> View:
    """Prepare a crop for the detectors.

    Args:
        rgb: (S, S, 3), a head crop in the FFHQ frame.
        points: (68, 2) dlib's landmarks in pixels of `rgb`.
    """
    if rgb.ndim != 3 or rgb.shape[0] != rgb.shape[1] or rgb.shape[2] != 3 or points.shape != (68, 2):
        raise ShapeError(f"view_crop: shapes are {rgb.shape} and {points.shape}, expected (S, S, 3) and (68, 2).")
    if len(rgb) < LEAST:
        raise ImageError(f"a crop of {len(rgb)} px shows too little to measure, expected at least {LEAST} px.")
    return View(_resized(rgb, min(FINE, len(rgb))), points * (SIDE / len(rgb)))


def misplaced(view: View) -> float:
    """Measure the largest distance of eyes and mouth corners from their FFHQ places, in sides; 1 without a face."""
    return min((_offset(face) for face in view.faces), default=FAR)


def others(view: View) -> float:
    """Divide the width of the second widest face by that of the widest; 0 if there are not two."""
    return view.faces[1].width / view.faces[0].width if len(view.faces) > 1 else 0.0


def unsure(view: View) -> float:
    """Return 1 minus YuNet's confidence in the face; 1 without a face."""
    return 1 - max((face.score for face in view.faces), default=0.0)


def turned(view: View) -> float:
    """Measure how far the nose is off the middle of eyes and mouth along the eyes' line; from eyes to mouth is 1.

    It is about half the sine of the yaw; 0 facing the camera, and without a face.
    """
    if not view.faces:
        return 0.0
    points = min(view.faces, key=_offset).points
    middle = points[[0, 1, 3, 4]].mean(axis=0)
    across = points[1] - points[0] + points[4] - points[3]
    length = np.linalg.norm(across)
    down = points[3:5].mean(axis=0) - points[:2].mean(axis=0)
    return float(abs((points[2] - middle) @ across / length) / max(np.linalg.norm(down), 1e-6))


def brightest(view: View) -> float:
    """Find the luma that 1 % of the face exceeds: an underexposed picture lacks highlights and whites of the eyes."""
    return float(np.percentile(view.luma[view.face], 99))


def clipped(view: View) -> float:
    """Measure the share of the face in which at least two channels are overexposed."""
    return float(np.mean((view.rgb[view.face] >= CLIPPED).sum(axis=1) >= 2))


def colour(view: View) -> float:
    """Measure the colour that does not follow from the lightness, in units of L*a*b*.

    It is the standard deviation of a* and b* in the face from a parabola in L* fitted to each: near 0 in black and
    white and in any toned print.
    """
    pixels = view.lab[view.face].astype(np.float64)
    light = pixels[:, 0] / 100
    terms = np.stack([np.ones_like(light), light, light**2], axis=1)
    fitted, *_ = np.linalg.lstsq(terms, pixels[:, 1:], rcond=None)
    return float(np.sqrt(np.mean((pixels[:, 1:] - terms @ fitted) ** 2)))


def cast(view: View) -> float:
    """Measure the distance of the face's mean colour from that of skin, in standard deviations (Mahalanobis)."""
    mean = view.lab[view.face][:, 1:].mean(axis=0)
    return float(np.linalg.norm(TO_SPREADS @ (mean - SKIN)))


def focus(view: View) -> float:
    """Divide the gradients' energy around the eyes by that after a blur of 2 px, in the direction that loses least.

    1 means as blurred as that already. Only eyes and brows count, as good pictures also have smooth skin and
    backgrounds out of focus. The energy is a structure tensor (Foerstner & Gulch 1987): the smallest quotient over all
    directions is the smallest generalised eigenvalue of both tensors, and motion blur affects only one direction.
    """
    region = _eyes(view)
    before = _structure(region)
    after = _structure(np.asarray(cv2.GaussianBlur(region, (0, 0), COARSE), dtype=np.float32))
    return float(eigh(before, after + 1e-6 * np.eye(2), eigvals_only=True)[0])


def _offset(face: Face) -> float:
    return float(np.linalg.norm(face.points / SIDE - CANONICAL, axis=1)[[0, 1, 3, 4]].max())


def _eyes(view: View) -> Grey:
    """Cut out eyes and brows, with a margin, at the fine size."""
    low, high = view.points[17:48].min(axis=0), view.points[17:48].max(axis=0)
    left, top = np.clip(low - 6, 0, SIDE - 32)
    right, bottom = np.clip(high + 6, (left + 32, top + 32), SIDE)
    scale = len(view.fine) / SIDE
    return view.fine_luma[int(top * scale) : int(bottom * scale), int(left * scale) : int(right * scale)]


def _structure(luma: Grey) -> NDArray[np.float64]:
    """Average the products of the horizontal and vertical derivatives: (2, 2)."""
    gradient = np.stack([cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)]).reshape(2, -1)
    return np.asarray(gradient @ gradient.T, dtype=np.float64) / gradient.shape[1]


def _resized(rgb: RGB, side: int) -> RGB:
    interpolation = cv2.INTER_AREA if len(rgb) > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (side, side), interpolation=interpolation), dtype=np.uint8)


def _luma(rgb: RGB) -> Grey:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32) * np.float32(1 / 255)
