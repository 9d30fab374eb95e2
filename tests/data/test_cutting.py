"""The pose of a head turned by known angles has these angles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.data.cutting import DISTANCE, LANDMARKS, TYPICAL_HEAD, head_pose
from facegen.errors import ShapeError
from tests.conftest import MIRROR

SIDE = 512.0


def rotation(axis: tuple[float, float, float], degrees: float) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.radians(degrees) * np.array(axis))[0], dtype=np.float64)


def seen(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks of the typical head, projected as in `head_pose` from 60 units away."""
    points = TYPICAL_HEAD @ turned.T + (0, 0, 60)
    landmarks = np.zeros((68, 2))
    landmarks[list(LANDMARKS)] = points[:, :2] / points[:, 2:] * DISTANCE * SIDE + SIDE / 2
    return landmarks


@pytest.mark.parametrize("degrees", [-40, -10, 0, 25])
def test_known_angles_are_found(degrees: float) -> None:
    """With x to the right and y down, turning to the viewer's right and upwards is negative about y and x."""
    yaw = head_pose(seen(rotation((0, 1, 0), -degrees)), SIDE)
    pitch = head_pose(seen(rotation((1, 0, 0), -degrees)), SIDE)
    roll = head_pose(seen(rotation((0, 0, 1), degrees)), SIDE)
    assert (yaw.yaw, yaw.pitch, yaw.roll) == pytest.approx((degrees, 0, 0), abs=0.1)
    assert (pitch.yaw, pitch.pitch, pitch.roll) == pytest.approx((0, degrees, 0), abs=0.1)
    assert (roll.yaw, roll.pitch, roll.roll) == pytest.approx((0, 0, degrees), abs=0.1)


def test_a_mirrored_head_looks_the_other_way() -> None:
    landmarks = seen(rotation((0, 1, 0), -20))
    other = head_pose(landmarks[MIRROR] * (-1, 1) + (SIDE, 0), SIDE)
    assert other.yaw == pytest.approx(-head_pose(landmarks, SIDE).yaw, abs=0.1)


def test_the_size_of_the_crop_does_not_matter() -> None:
    landmarks = seen(rotation((0, 1, 0), 12))
    assert head_pose(landmarks / 4, SIDE / 4).yaw == pytest.approx(head_pose(landmarks, SIDE).yaw, abs=1e-3)


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"head_pose: landmarks have shape \(5, 2\), expected \(68, 2\)"):
        head_pose(np.zeros((5, 2)), SIDE)
