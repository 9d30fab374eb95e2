"""Detectors pass a good portrait and find spoiled ones; thresholds can be set."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.spoil import KINDS
from facegen.arrays import RGB
from facegen.data.clean.face import View, focus, view_crop
from facegen.data.clean.judge import DETECTORS, PICTURE_WISE, doubt, reasons, with_thresholds
from facegen.data.clean.patterns import blocks, letters, noise
from facegen.errors import ShapeError, UsageError
from facegen.media.images import resize

FOUND_BY = {
    "dark": "dark", "blown": "blown", "noise": "noisy", "halftone": "screened", "moire": "screened",
    "cartoon": "drawn", "grey": "grey", "tint": "tinted", "cover_eyes": "eyes", "cover_mouth": "mouth",
    "wrong_place": "misplaced", "two_faces": "several",
}  # fmt: skip


def measured(view: View) -> dict[str, float]:
    return {name: measure(view) for name, measure in PICTURE_WISE.items()}


def test_a_good_portrait_passes(view: View) -> None:
    assert reasons(measured(view), DETECTORS) == ()


@pytest.mark.parametrize("kind", FOUND_BY)
def test_a_spoiled_portrait_is_found(portrait: RGB, points: NDArray[np.float64], kind: str) -> None:
    spoiled = np.ascontiguousarray(KINDS[kind](portrait, np.random.default_rng(5)))
    assert FOUND_BY[kind] in reasons(measured(view_crop(spoiled, points)), DETECTORS)


def blurred(rgb: RGB, width: float, height: float) -> RGB:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigmaX=width, sigmaY=height), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), [(3.0, 3.0), (6.0, 0.01), (0.01, 6.0)])
def test_blur_in_any_direction_is_found(
    portrait: RGB, points: NDArray[np.float64], width: float, height: float
) -> None:
    found = [focus(view_crop(blurred(portrait, share * width, share * height), points)) for share in (0.2, 0.5, 1)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < DETECTORS["blurred"].threshold < found[0]


def test_sunglasses_are_found(portrait: RGB, points: NDArray[np.float64]) -> None:
    rgb = portrait.copy()
    for eye in (points[36:42], points[42:48]):
        x, y = np.rint(eye.mean(axis=0)).astype(int).tolist()
        cv2.ellipse(rgb, (x, y), (20, 14), 0, 0, 360, (20, 20, 25), -1)
    assert "sunglasses" in reasons(measured(view_crop(rgb, points)), DETECTORS)


def test_noise_is_measured_in_steps(points: NDArray[np.float64]) -> None:
    for sigma in (2.0, 8.0):
        grain = np.random.default_rng(0).normal(128, sigma, (192, 192, 1))
        view = view_crop(np.repeat(np.rint(grain), 3, axis=2).astype(np.uint8), points)
        assert noise(view) == pytest.approx(sigma, rel=0.2)


def test_foliage_behind_a_head_is_not_noise(portrait: RGB, points: NDArray[np.float64], view: View) -> None:
    """The face is unchanged and surrounded by leaves of a few pixels."""
    leaves = resize(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8), (192, 192))
    face = resize(np.repeat(view.face[..., None] * np.uint8(255), 3, axis=2), (192, 192)) > 0
    busy = view_crop(np.where(face, portrait, leaves), points)
    assert noise(busy) == pytest.approx(noise(view), abs=0.2)
    assert noise(busy) < DETECTORS["noisy"].threshold


@pytest.mark.parametrize("enlarged", [1.0, 1.37])
def test_blocks_of_a_strongly_compressed_jpeg_are_found_at_any_size(
    portrait: RGB, points: NDArray[np.float64], enlarged: float
) -> None:
    _, coded = cv2.imencode(".jpg", resize(portrait, (400, 400)), [cv2.IMWRITE_JPEG_QUALITY, 8])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    side = round(400 * enlarged)
    before, after = (blocks(view_crop(resize(rgb, (side, side)), points * side / 192)) for rgb in (portrait, decoded))
    assert before < DETECTORS["blocks"].threshold < after


def test_letters_in_a_row_are_counted(portrait: RGB, points: NDArray[np.float64]) -> None:
    rgb = resize(portrait, (512, 512))
    cv2.putText(rgb, "SAMPLE", (40, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 3)
    assert letters(view_crop(rgb, points * 512 / 192)) == 6


@pytest.mark.parametrize("name", PICTURE_WISE)
@pytest.mark.parametrize("picture", ["black", "white", "noise"])
def test_a_measure_is_always_a_number(points: NDArray[np.float64], name: str, picture: str) -> None:
    pictures = {
        "black": np.zeros((96, 96, 3), np.uint8),
        "white": np.full((300, 300, 3), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8),
    }
    rgb = pictures[picture]
    assert math.isfinite(PICTURE_WISE[name](view_crop(rgb, points * (len(rgb) / 192))))


@pytest.mark.parametrize("name", DETECTORS)
def test_severity_is_one_at_the_threshold(name: str) -> None:
    detector = DETECTORS[name]
    assert detector.severity(detector.usual) == 0
    assert detector.severity(detector.threshold) == pytest.approx(1)
    beyond = detector.threshold + (1e-3 if detector.worse == "above" else -1e-3)
    assert reasons({name: beyond}, DETECTORS) == (name,)
    assert reasons({name: detector.threshold}, DETECTORS) == ()


def test_the_most_severe_reason_comes_first_and_is_the_doubt() -> None:
    measures = {"noisy": 2.2, "blown": 1.0, "dark": 0.8}
    assert reasons(measures, DETECTORS) == ("blown", "noisy")
    assert doubt(measures, DETECTORS) == DETECTORS["blown"].severity(1.0)
    assert doubt({}, DETECTORS) == 0


def test_thresholds_can_be_set() -> None:
    eased = with_thresholds(["noisy=5", "dark=0.1"])
    assert (eased["noisy"].threshold, eased["dark"].threshold) == (5, 0.1)
    assert eased["blown"] == DETECTORS["blown"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("noisi=5", "did you mean 'noisy'"),
        ("noisy", "expected a number above 0.55"),
        ("noisy=nan", "expected a number above 0.55"),
        ("noisy=0.1", "expected a number above 0.55"),
        ("dark=0.9", "expected a number below 0.77"),
    ],
)
def test_a_wrong_threshold_is_named(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_thresholds([setting])


@pytest.mark.parametrize(("shape", "count"), [((64, 48, 3), 68), ((64, 64), 68), ((64, 64, 3), 5)])
def test_only_square_crops_with_landmarks_are_measured(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ShapeError, match=r"expected \(S, S, 3\) and \(68, 2\)"):
        view_crop(np.zeros(shape, np.uint8), np.zeros((count, 2)))
