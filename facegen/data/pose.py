"""Which way a head looks, told by its landmarks and the measures of a typical head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ShapeError
from facegen.faces.align import Points

LANDMARKS = (17, 21, 22, 26, 36, 39, 42, 45, 31, 35, 48, 54, 57, 8)
"""Ends of the brows, corners of the eyes, wings of the nose, corners of the mouth, lower lip, chin."""
_LEFT_HALF = [  # brow, eye, nose, mouth
    [(-6.825897, -6.760612, -4.402142), (-1.330353, -7.122144, -6.903745)],
    [(-5.311432, -5.485328, -3.987654), (-1.789930, -5.393625, -4.413414)],
    [(-2.005628, -1.409845, -6.165652)],
    [(-2.774015, 2.080775, -5.048531)],
]
_MIDDLE = [(0.0, 3.116408, -6.097667), (0.0, 7.415691, -4.070434)]
TYPICAL_HEAD = np.array(
    [point for half in _LEFT_HALF for point in (*half, *((-x, y, z) for x, y, z in reversed(half)))] + _MIDDLE
)
"""(14, 3), where these lie in a head that looks at the viewer: x to the right, y down, z away from the viewer, about
in centimetres. Source: the anthropometric model of AIFI, University of Coimbra
(aifi.isr.uc.pt/Downloads/OpenGL/glAnthropometric3DModel.cpp), with all signs turned round."""
DISTANCE = 3.0
"""Focal length in sides of the crop: a portrait is seen from some way off."""


@dataclass(frozen=True)
class Pose:
    """Degrees by which a head is turned; all zero if it looks straight at the viewer, upright."""

    yaw: float
    """Towards the viewer's right."""
    pitch: float
    """Upwards."""
    roll: float
    """Leaning clockwise."""


def head_pose(landmarks: Points, side: float) -> Pose:
    """Solve for the rotation that puts the typical head's points where the landmarks are (perspective-n-point).

    Faces differ, and so does the camera's distance: of 44 people who were told to look straight ahead, the yaw found
    spreads by 4 degrees, the pitch by 7 and the roll by 0.5 (standard deviations).

    Args:
        landmarks: (68, 2) points (x, y) in dlib's order, in pixels of an aligned crop.
        side: of the crop, in pixels.
    Raises:
        ShapeError: if `landmarks` is not (68, 2).
    """
    if landmarks.shape != (68, 2):
        raise ShapeError(f"head_pose: landmarks have shape {landmarks.shape}, expected (68, 2).")
    camera = np.array([(DISTANCE * side, 0, side / 2), (0, DISTANCE * side, side / 2), (0, 0, 1)], np.float64)
    points = np.ascontiguousarray(landmarks[list(LANDMARKS)], dtype=np.float64)
    _, rotation, _ = cv2.solvePnP(TYPICAL_HEAD, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    return _pose(np.asarray(cv2.Rodrigues(rotation)[0], dtype=np.float64))


def _pose(turned: NDArray[np.float64]) -> Pose:
    """From a (3, 3) rotation matrix: where the nose points, and how the line through the eyes leans."""
    x, y, z = -turned[:, 2]
    across = turned[:, 0]
    yaw, pitch = math.atan2(x, -z), math.asin(max(-1.0, min(1.0, -y)))
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(math.atan2(across[1], across[0])))
