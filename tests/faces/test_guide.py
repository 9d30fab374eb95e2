"""The painted guide: colours, order, modes, edges."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ShapeError, UsageError
from facegen.faces.guide import COLOURS, GUIDE_CHANNELS, GuideMode, paint_guide, with_closer_lips
from tests.conftest import MIRROR, face_points

SIDE = 128


def colour_at(guide: RGB, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place given as shares of the side."""
    return tuple(int(v) for v in guide[int(y * len(guide)), int(x * len(guide))])


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0.02, 0.02, (0, 0, 0)),
        (0.50, 0.97, (0, 0, 0)),
        (0.28, 0.60, COLOURS["face"]),
        (0.50, 0.25, COLOURS["face"]),  # the forehead cap, where dlib has no points
        (0.35, 0.395, COLOURS["socket"]),
        (0.65, 0.395, COLOURS["socket"]),
        (0.35, 0.45, COLOURS["eye"]),
        (0.65, 0.45, COLOURS["eye"]),
        (0.50, 0.54, COLOURS["nose"]),
        (0.50, 0.64, COLOURS["underside"]),
        (0.50, 0.727, COLOURS["lips"]),
        (0.50, 0.755, COLOURS["mouth"]),
    ],
)
def test_colours_at_known_places(x: float, y: float, expected: tuple[int, int, int]) -> None:
    assert colour_at(paint_guide(face_points(SIDE), SIDE), x, y) == expected


def test_colours_are_the_originals() -> None:
    assert COLOURS["face"] == (255, 255, 255)
    assert COLOURS["socket"] == (0, 255, 255)
    assert COLOURS["eye"] == (0, 0, 255)
    assert COLOURS["nose"] == (255, 255, 0)
    assert COLOURS["underside"] == (128, 128, 128)
    assert COLOURS["lips"] == (255, 0, 0)


@pytest.mark.parametrize(
    ("moved", "to", "winner"),
    [
        (slice(48, 68), (0.35, 0.45), "mouth"),  # the mouth on the left eye
        (slice(27, 36), (0.35, 0.45), "nose"),  # the nose on the left eye
        (slice(48, 60), (0.50, 0.55), "lips"),  # lips alone on the nose
    ],
)
def test_later_regions_cover_earlier_ones(moved: slice, to: tuple[float, float], winner: str) -> None:
    points = face_points(1)
    points[moved] += np.subtract(to, points[moved].mean(axis=0))
    assert colour_at(paint_guide(points * SIDE, SIDE), *to) == COLOURS[winner]


@pytest.mark.parametrize("mode", GUIDE_CHANNELS)
def test_shape_and_type(mode: GuideMode) -> None:
    guide = paint_guide(face_points(SIDE), SIDE, mode)
    assert guide.shape == (SIDE, SIDE, GUIDE_CHANNELS[mode])
    assert guide.dtype == np.uint8


def test_channels_hold_whole_regions() -> None:
    guide = paint_guide(face_points(SIDE), SIDE, "channels")
    planes = dict(zip(COLOURS, np.moveaxis(guide, -1, 0), strict=True))
    left_eye, mouth = (int(0.45 * SIDE), int(0.35 * SIDE)), (int(0.755 * SIDE), SIDE // 2)
    assert [name for name, plane in planes.items() if plane[left_eye] == 255] == ["face", "socket", "eye"]
    assert [name for name, plane in planes.items() if plane[mouth] == 255] == ["face", "lips", "mouth"]


def test_points_outside_are_cut_off() -> None:
    whole = paint_guide(face_points(SIDE), SIDE)
    moved = paint_guide(face_points(SIDE) + np.array([40, -24]), SIDE)  # whole pixels
    difference = abs(moved[: SIDE - 24, 40:].astype(int) - whole[24:, : SIDE - 40])
    assert difference.max() <= 32  # two of the 16 samples of a pixel: fixed-point rounding
    assert difference.mean() < 0.05
    assert not moved[:, : 40 + int(0.19 * SIDE)].any()


def test_points_far_outside_leave_it_black() -> None:
    assert not paint_guide(face_points(SIDE) + 1e5, SIDE).any()
    assert not paint_guide(face_points(SIDE) - 1e5, SIDE).any()


def test_edges_are_antialiased() -> None:
    guide = paint_guide(face_points(SIDE), SIDE, "channels")
    assert len(np.unique(guide[..., 0])) > 8


def test_subpixel_moves_show() -> None:
    face = [
        paint_guide(face_points(SIDE) + np.array([dx, 0]), SIDE, "channels")[..., 0].astype(float)
        for dx in (0, 0.25, 0.5)
    ]
    columns = np.arange(SIDE)
    centres = [(plane * columns).sum() / plane.sum() for plane in face]
    np.testing.assert_allclose(np.diff(centres), 0.25, atol=0.03)


def test_flipped_points_paint_the_flipped_guide() -> None:
    points = face_points(SIDE) + np.random.default_rng(0).normal(0, 1, (68, 2))
    flipped = (points * (-1, 1) + (SIDE, 0))[MIRROR]
    difference = paint_guide(flipped, SIDE)[:, ::-1].astype(int) - paint_guide(points, SIDE)
    assert abs(difference).mean() < 0.5
    assert (abs(difference) > 64).mean() < 1e-3


@pytest.mark.parametrize("mode", ["rgb", "channels"])
def test_painting_large_and_shrinking_is_painting_small(mode: GuideMode) -> None:
    large = paint_guide(face_points(2 * SIDE), 2 * SIDE, mode)
    shrunk = np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in np.moveaxis(large, -1, 0)], 2)
    difference = abs(shrunk.astype(int) - paint_guide(face_points(SIDE), SIDE, mode))
    assert difference.mean() < 1
    assert difference.max() <= 96


def test_wrong_points_and_mode_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"points have shape \(67, 2\), expected \(68, 2\)"):
        paint_guide(face_points(SIDE)[:-1], SIDE)
    with pytest.raises(UsageError, match="unknown mode 'colour', expected one of rgb, channels, none"):
        paint_guide(face_points(SIDE), SIDE, cast(GuideMode, "colour"))


@pytest.mark.parametrize(("gap", "left"), [(0.0, 0.0), (0.06, 0.0), (0.2, 0.12)])
def test_lips_come_closer_by_a_share_of_the_mouth(gap: float, left: float) -> None:
    points = face_points(100)
    width = points[54, 0] - points[48, 0]
    inner = [61, 62, 63, 65, 66, 67]
    points[[67, 66, 65]] = points[61:64] + np.array([0, gap * width])
    closer = with_closer_lips(points)
    np.testing.assert_allclose(closer[[67, 66, 65]] - closer[61:64], [(0, left * width)] * 3, atol=1e-9)
    np.testing.assert_allclose(closer[inner].mean(axis=0), points[inner].mean(axis=0))
    np.testing.assert_array_equal(np.delete(closer, inner, axis=0), np.delete(points, inner, axis=0))
