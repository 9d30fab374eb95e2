"""What the detectors look at: a crop at fixed working sizes, its landmarks there, and the faces in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ShapeError
from facegen.faces.detect import yunet_faces

SIDE, FINE = 256, 512
"""Working sides in pixels: of what is judged as a whole; and, at most, of what lives in single pixels (blur, noise)."""
FACE_SCORE = 0.5
"""YuNet's confidence from which something counts as a face."""
Grey = NDArray[np.float32]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """A face that YuNet sees."""

    points: Points
    """(5, 2): the eye on the left of the picture, the other, nose, mouth corners, in pixels of the 256 px picture."""
    width: float
    """Of its box, in the same pixels."""
    score: float
    """0..1."""


@dataclass(frozen=True)
class View:
    """A head crop, prepared once for every detector."""

    fine: NDArray[np.uint8]
    """(F, F, 3); F is 512, or the crop's own side if that is less: nothing is enlarged here."""
    points: Points
    """(68, 2): dlib's landmarks, in pixels of `rgb`."""

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
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
        """Every face, the widest first."""
        rows = yunet_faces(self.rgb, FACE_SCORE)
        faces = (Face(row[4:14].reshape(5, 2).astype(np.float64), float(row[2]), float(row[14])) for row in rows)
        return tuple(sorted(faces, key=lambda face: -face.width))


def look(rgb: NDArray[np.uint8], points: Points) -> View:
    """Prepare a crop.

    Args:
        rgb: (S, S, 3), a head crop in the FFHQ frame.
        points: (68, 2) dlib's landmarks in pixels of `rgb`.
    Raises:
        ShapeError: if `rgb` is not square, or there are not 68 points.
    """
    if rgb.ndim != 3 or rgb.shape[0] != rgb.shape[1] or rgb.shape[2] != 3 or points.shape != (68, 2):
        raise ShapeError(f"crop {rgb.shape}, landmarks {points.shape}; expected a square one (S, S, 3) and (68, 2).")
    return View(_resized(rgb, min(FINE, len(rgb))), points * (SIDE / len(rgb)))


def _resized(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    interpolation = cv2.INTER_AREA if len(rgb) > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (side, side), interpolation=interpolation), dtype=np.uint8)


def _luma(rgb: NDArray[np.uint8]) -> Grey:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32) * np.float32(1 / 255)
