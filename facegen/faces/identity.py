"""Compare faces with dlib's face recognition network."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.faces.dlib_models import load_model
from facegen.faces.landmarks import Landmarks

RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"
SAME_PERSON = 0.6
"""dlib's threshold: embeddings with a smaller distance are of the same person."""
CHANGED = 0.4
"""Distance of an upscaled face to its input above which it may look like another person; see docs/upscaling.md."""
TOO_SMALL = 32
"""Smallest side of a head, in pixels, that shows who the person is; see docs/upscaling.md."""
SHOWN = 256
"""Side to which small pictures are enlarged."""


@cache
def _network() -> Any:
    import dlib

    return load_model(dlib.face_recognition_model_v1, RECOGNITION)


def identity(rgb: RGB, landmarks: Landmarks) -> NDArray[np.float64]:
    """Compute the embedding of a face by dlib's ResNet with 29 layers (King 2017), on an aligned crop of 150 px.

    Args:
        rgb: (H, W, 3).
        landmarks: of the face, in pixels of `rgb`.
    Returns:
        (128,); embeddings of the same person have a distance below `SAME_PERSON`.
    """
    import dlib

    points = [dlib.point(round(x), round(y)) for x, y in landmarks.points]
    (left, top), (right, bottom) = landmarks.points.min(axis=0), landmarks.points.max(axis=0)
    box = dlib.rectangle(*(round(edge) for edge in (left, top, right, bottom)))
    face = dlib.full_object_detection(box, points)
    return np.array(_network().compute_face_descriptor(np.ascontiguousarray(rgb), face))


def identity_change(low_res: RGB, upscaled: RGB, landmarks: Landmarks | None) -> float | None:
    """Return the distance between the embeddings of a face before and after upscaling; None without a face.

    Args:
        low_res: (S, S, 3), the head before.
        upscaled: (s*S, s*S, 3), the head after.
        landmarks: in pixels of `low_res`; if they were not detected, there is no face.
    """
    if landmarks is None or not landmarks.detected:
        return None
    found = []
    for picture in (low_res, upscaled):
        side = max(len(picture), SHOWN)
        shown = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        found.append(identity(shown, landmarks.scaled(side / len(low_res))))
    return identity_distance(*found)


def identity_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the Euclidean distance of two embeddings."""
    return float(np.linalg.norm(a - b))
