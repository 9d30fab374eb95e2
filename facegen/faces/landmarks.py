"""Find dlib's 68 landmarks of the face in a head crop, or of all faces in a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from torch.profiler import record_function as step

from facegen.arrays import RGB, Points
from facegen.errors import ShapeError
from facegen.faces.dlib_models import face_detector, landmark_model

CROP_SIDE = 256
"""Side to which a head crop is resized: dlib's HOG detector needs faces of 80 px."""
CANONICAL_BOX = (0.176, 0.305, 0.758, 0.891)
"""Left, top, right, bottom of dlib's face box in the FFHQ frame, as shares of its side: the median of 248 portraits."""
PHOTO_SIDES = (640, 1280, 2560)
"""Longest sides at which a photo is searched until a face is found; large faces need the least time."""


@dataclass(frozen=True)
class Landmarks:
    """68 points of a face, in pixels of its picture."""

    points: Points
    """(68, 2), x then y, in the order of iBUG 300-W."""
    detected: bool
    """False if the detector found no face and the points were found in the canonical box."""

    def scaled(self, factor: float) -> Landmarks:
        """Return the same points in a picture `factor` times as large."""
        return Landmarks(self.points * factor, self.detected)


def _points(rgb: RGB, box: Any) -> Points:
    shape = landmark_model()(rgb, box)
    return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + 0.5  # pixel centres


def _enlarged(box: Any, factor: float) -> Any:
    """Return dlib's rectangle in a picture `factor` times as large."""
    import dlib

    if factor == 1:
        return box
    return dlib.rectangle(*(round(edge * factor) for edge in (box.left(), box.top(), box.right(), box.bottom())))


def _resized(rgb: RGB, factor: float) -> RGB:
    if factor == 1:
        return np.ascontiguousarray(rgb)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=interpolation), dtype=np.uint8)


@step("facegen.landmarks")
def landmarks_in_head(rgb: RGB, sought: int = CROP_SIDE) -> Landmarks:
    """Find the landmarks of the face in an FFHQ-aligned head crop.

    Args:
        rgb: (S, S, 3) uint8 head crop.
        sought: side at which dlib detects the face, 140 to 256: the face fills three fifths of the crop, and needs
            80 px. The landmarks are always found at 256.
    Returns:
        points in pixels of `rgb`; `detected` is False if they were found in the canonical box.
    Raises:
        ShapeError: if the crop is not square.
    """
    import dlib

    if rgb.shape[0] != rgb.shape[1]:
        raise ShapeError(f"landmarks_in_head: crop of shape {rgb.shape}, expected a square one (S, S, 3).")
    factor = CROP_SIDE / rgb.shape[0]
    picture = _resized(rgb, factor)
    boxes = face_detector()(_resized(picture, sought / CROP_SIDE), 0)
    if boxes:
        box = _enlarged(max(boxes, key=lambda b: b.area()), CROP_SIDE / sought)
    else:
        box = dlib.rectangle(*(round(edge * CROP_SIDE) for edge in CANONICAL_BOX))
    return Landmarks(_points(picture, box) / factor, detected=bool(boxes))


def faces_in_photo(rgb: RGB) -> list[Landmarks]:
    """Find the landmarks of every face in a photo, and return the largest face first.

    The photo is searched at increasing sizes, the last of `PHOTO_SIDES` at most, until a face is found.

    Args:
        rgb: (H, W, 3) uint8, any size.
    """
    shortest, longest = sorted(rgb.shape[:2])
    for factor in dict.fromkeys(min(side / longest, 4.0) for side in PHOTO_SIDES):
        if shortest * min(factor, 1) < 8:  # too narrow for a face, and resizing might leave no rows
            continue
        picture = _resized(rgb, factor)
        boxes = sorted(face_detector()(picture, 0), key=lambda b: -b.area())
        if boxes:
            return [Landmarks(_points(picture, box) / factor, detected=True) for box in boxes]
    return []
