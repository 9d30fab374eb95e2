"""Where the face is in the crop: no face, the wrong place, others beside it, turned away."""

from __future__ import annotations

import numpy as np

from facegen.data.clean.view import SIDE, Face, View

CANONICAL = np.array([[0.385, 0.475], [0.615, 0.475], [0.5, 0.6], [0.41, 0.72], [0.59, 0.72]])
"""YuNet's five points in the FFHQ frame, in sides: the median of 494 clean portraits."""
FAR = 1.0
"""What is said of a crop without a face, in sides."""


def misplaced(view: View) -> float:
    """How far eyes and mouth corners are from their places in the FFHQ frame, in sides; 1 without a face."""
    return min((_offset(face) for face in view.faces), default=FAR)


def others(view: View) -> float:
    """Width of the widest other face, as a share of the widest; 0 if there is one or none."""
    return view.faces[1].width / view.faces[0].width if len(view.faces) > 1 else 0.0


def unsure(view: View) -> float:
    """What YuNet's confidence in the face lacks to 1; 1 without a face."""
    return 1 - max((face.score for face in view.faces), default=0.0)


def turned(view: View) -> float:
    """How far the head is turned aside: the nose's way from the middle between eyes and mouth, in eye distances.

    Along the line of the eyes. About half the sine of the yaw; 0 facing the camera.
    """
    if not view.faces:
        return 0.0
    points = min(view.faces, key=_offset).points
    middle = points[[0, 1, 3, 4]].mean(axis=0)
    across = points[1] - points[0] + points[4] - points[3]
    length = np.linalg.norm(across)
    down = points[3:5].mean(axis=0) - points[:2].mean(axis=0)
    return float(abs((points[2] - middle) @ across / length) / max(np.linalg.norm(down), 1e-6))


def _offset(face: Face) -> float:
    return float(np.linalg.norm(face.points / SIDE - CANONICAL, axis=1)[[0, 1, 3, 4]].max())
