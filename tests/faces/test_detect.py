"""Heads found where they are: upright, tilted, small beside large, at the border; and none where there is none."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.faces import detect as detection
from facegen.faces.align import HeadFrame, head_frame
from facegen.faces.detect import YUNET, FoundHead, heads_in_photo
from facegen.faces.landmarks import faces_in_photo
from facegen.media.images import resize


def tilt(frame: HeadFrame) -> float:
    """Degrees that a head is turned by, clockwise."""
    return math.degrees(math.atan2(frame.right[1], frame.right[0]))


def turned(rgb: RGB, degrees: float) -> tuple[RGB, NDArray[np.float64]]:
    """A photo turned clockwise about its middle, mirrored at its edges, and the matrix that turns its points."""
    height, width = rgb.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1), dtype=np.float64)
    return np.asarray(cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8), matrix


@pytest.fixture(scope="module")
def upright(astronaut: RGB) -> HeadFrame:
    """The astronaut's head by dlib alone."""
    return head_frame(faces_in_photo(astronaut)[0].points)


def test_an_upright_head_is_where_dlib_sees_it(astronaut: RGB, upright: HeadFrame) -> None:
    [head] = heads_in_photo(astronaut)
    assert head.score > 0.9
    assert math.dist(head.frame.center, upright.center) < 4
    assert head.frame.side == pytest.approx(upright.side, rel=0.05)
    assert abs(tilt(head.frame) - tilt(upright)) < 3


def test_landmarks_are_those_that_set_the_frame(astronaut: RGB) -> None:
    photo = np.full((1400, 1400, 3), 90, np.uint8)
    photo[700:1300, 600:1200] = resize(astronaut[:320, 60:380], (600, 600))  # shrunk for the upright look, and far off
    [head] = heads_in_photo(photo)
    assert head.landmarks is not None
    expected = head_frame(head.landmarks)
    np.testing.assert_allclose([*expected.center, *expected.right], [*head.frame.center, *head.frame.right], atol=1e-6)
    half, aside = head.scaled(0.5), head.moved(10, -20)
    assert half.landmarks is not None
    assert aside.landmarks is not None
    np.testing.assert_allclose(head_frame(half.landmarks).center, half.frame.center)
    np.testing.assert_allclose(head_frame(aside.landmarks).center, aside.frame.center)
    np.testing.assert_allclose(aside.frame.center, np.add(head.frame.center, (10, -20)))


@pytest.mark.parametrize("degrees", [-45, -30, 30, 45])
def test_a_tilted_head(astronaut: RGB, upright: HeadFrame, degrees: float) -> None:
    photo, matrix = turned(astronaut[:320, 60:380], degrees)
    heads = heads_in_photo(photo)
    center = matrix @ (upright.center[0] - 60, upright.center[1], 1)
    [head] = [head for head in heads if math.dist(head.frame.center, center) < 40]
    assert math.dist(head.frame.center, center) < 6
    assert head.frame.side == pytest.approx(upright.side, rel=0.08)
    assert abs(tilt(head.frame) - tilt(upright) - degrees) < 5


@pytest.mark.parametrize("degrees", [90, 120, 150, 180, -150, -120, -90])
def test_a_head_on_its_side_or_upside_down(astronaut: RGB, upright: HeadFrame, degrees: float) -> None:
    photo, matrix = turned(astronaut[:320, 60:380], degrees)
    center = matrix @ (upright.center[0] - 60, upright.center[1], 1)
    [head] = [head for head in heads_in_photo(photo) if math.dist(head.frame.center, center) < 40]
    assert math.dist(head.frame.center, center) < 6
    assert head.frame.side == pytest.approx(upright.side, rel=0.08)
    assert abs((tilt(head.frame) - tilt(upright) - degrees + 180) % 360 - 180) < 5


def test_a_head_upside_down_among_others_is_turned_alone(astronaut: RGB) -> None:
    photo = np.full((400, 800, 3), 90, np.uint8)
    photo[:, :400] = photo[::-1, 799:399:-1] = resize(astronaut[24:216, 128:320], (400, 400))
    down, up = sorted(heads_in_photo(photo), key=lambda head: -abs(tilt(head.frame)))
    assert up.frame.center[0] < 400 < down.frame.center[0]
    assert abs(tilt(up.frame)) < 20
    assert abs(tilt(down.frame)) > 160


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_or_upside_down_shows_its_small_heads(
    astronaut: RGB, upright: HeadFrame, turns: int
) -> None:
    photo = np.full((500, 700, 3), 90, np.uint8)
    photo[100:300, 60:260] = resize(astronaut[:400, 24:424], (200, 200))
    center = ((upright.center[0] - 24) / 2 + 60, upright.center[1] / 2 + 100)
    for _ in range(turns):  # against the clock, a photo of this width
        width = photo.shape[1]
        photo, center = np.ascontiguousarray(np.rot90(photo)), (center[1], width - center[0])
    [head] = heads_in_photo(photo)
    assert math.dist(head.frame.center, center) < 4
    assert head.frame.side == pytest.approx(upright.side / 2, rel=0.1)
    assert abs((tilt(head.frame) - tilt(upright) + 90 * turns + 180) % 360 - 180) < 8


def test_a_head_that_is_sure_is_not_looked_at_in_other_turns(astronaut: RGB, upright: HeadFrame) -> None:
    """Its frame is upside down: nothing else would keep it so."""
    x, y = upright.right
    frame = HeadFrame(upright.center, (-x, -y), (y, -x))
    sure, doubtful = FoundHead(frame, 0.92), FoundHead(frame, 0.91)
    assert detection._best_turn(astronaut, sure) is sure
    assert abs(tilt(detection._best_turn(astronaut, doubtful).frame) - tilt(upright)) < 10


def test_small_heads_beside_a_large_one_come_after_it(astronaut: RGB) -> None:
    photo = np.full((640, 900, 3), 90, np.uint8)
    photo[:640, :640] = resize(np.ascontiguousarray(astronaut[24:216, 128:320]), (640, 640))
    photo[20:84, 700:764] = resize(astronaut[24:216, 128:320], (64, 64))
    photo[300:396, 750:846] = resize(astronaut[24:216, 128:320], (96, 96))
    sides = [head.frame.side for head in heads_in_photo(photo)]
    assert len(sides) == 3
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > 5 * sides[1] > 6 * sides[2]


@pytest.mark.parametrize("side", [64, 128, 1500])
def test_any_size_of_photo(astronaut: RGB, upright: HeadFrame, side: int) -> None:
    [head] = heads_in_photo(resize(astronaut, (side, side)))
    assert head.frame.side == pytest.approx(upright.side * side / 512, rel=0.1)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_no_face_no_head(name: str) -> None:
    assert heads_in_photo(np.asarray(getattr(skimage.data, name)(), dtype=np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1), (7, 64), (3000, 10), (8, 40_000)], ids=str)
def test_strips_and_specks(shape: tuple[int, int]) -> None:
    assert heads_in_photo(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)) == []


def test_the_surer_of_two_frames_of_one_head_is_kept() -> None:
    def head(x: float, side: float, score: float) -> FoundHead:
        return FoundHead(HeadFrame((x, 50), (side / 2, 0), (0, side / 2)), score)

    heads = [head(50, 40, 0.7), head(55, 44, 0.9), head(52, 10, 0.8), head(90, 40, 0.6)]
    assert detection._distinct(heads) == [heads[1], heads[2], heads[3]]


def test_a_weak_proposal_needs_dlib(monkeypatch: pytest.MonkeyPatch, astronaut: RGB, upright: HeadFrame) -> None:
    """Where dlib sees nothing, the frame stays, if it was sure; where it sees a face, weak proposals count as well."""
    for score in (0.65, 0.9):
        assert detection._refine(astronaut, FoundHead(upright, score)) is not None
    monkeypatch.setattr(detection, "_faces", lambda rgb: [])
    elsewhere = HeadFrame((420, 400), (60, 0), (0, 60))
    assert detection._refine(astronaut, FoundHead(elsewhere, 0.65)) is None
    assert detection._refine(astronaut, FoundHead(elsewhere, 0.9)) == FoundHead(elsewhere, 0.9)


def test_the_detector_is_shipped_with_its_licence(capfd: pytest.CaptureFixture[str]) -> None:
    detection._yunet.__wrapped__()
    assert "WARN" not in capfd.readouterr().err
    assert "Permission is hereby granted" in (YUNET.parent / "LICENSE").read_text(encoding="utf-8")
