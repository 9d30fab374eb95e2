"""Temporal metrics: none for a still film, low for plain motion, high for flickering detail."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import ShapeError, UsageError
from facegen.evaluation.temporal import TemporalMeter, TemporalMetrics
from tests.ops.test_flow import moved


def measured(frames: Iterable[RGB], fps: float = 10, faces: bool = False) -> TemporalMetrics:
    """Measure a film; without `faces` none are looked for, which is quicker."""
    with pytest.MonkeyPatch.context() as patch:
        if not faces:
            patch.setattr("facegen.evaluation.temporal.faces_in_photo", lambda frame: [])
        meter = TemporalMeter(fps)
        for frame in frames:
            meter.add(frame)
    return meter.result()


def grained(frame: RGB, seed: int, strength: float = 12) -> RGB:
    """The frame with fine grain."""
    grain = np.random.default_rng(seed).normal(0, strength, frame.shape[:2])[..., None]
    return (frame + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def large(head: RGB) -> RGB:
    return np.asarray(cv2.resize(head, (256, 256), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def test_a_still_film_has_no_temporal_error(large: RGB) -> None:
    found = measured([large] * 4, faces=True)
    assert (found.frames, found.seconds) == (4, 0.4)
    assert found.warping == pytest.approx(0, abs=0.3)  # Farneback's flow is not quite still at the borders
    assert found.flicker == pytest.approx(0, abs=0.3)
    assert found.jitter == 0
    luma = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY).astype(np.float32)
    assert found.sharpness == pytest.approx(cv2.Laplacian(luma, cv2.CV_32F).var(), rel=1e-4)


def test_plain_motion_causes_little_warping_error_and_flicker(large: RGB) -> None:
    motion = [moved(large, 2 * step, 0) for step in range(4)]
    plain, flickering = measured(motion), measured([grained(frame, n) for n, frame in enumerate(motion)])
    for name in ("warping", "flicker"):
        assert getattr(plain, name) < 0.25 * getattr(flickering, name)


def test_grain_that_moves_along_does_not_flicker(large: RGB) -> None:
    grain = grained(large, 0)
    along = measured([moved(grain, 4 * step, 0) for step in range(4)])
    anew = measured([grained(moved(large, 4 * step, 0), step) for step in range(4)])
    assert along.flicker is not None
    assert anew.flicker is not None
    assert along.flicker < 0.35 * anew.flicker


def test_flicker_is_the_energy_of_the_second_difference() -> None:
    flat = np.full((256, 256, 3), 128, dtype=np.uint8)
    frames = [grained(flat, seed, strength=4) for seed in range(6)]
    found = measured(frames, fps=1)
    assert found.flicker is not None
    assert 4 * 16 / 2 < found.flicker < 6 * 16  # 1 + 4 + 1 variances of 4^2, less what flow and smoothing take


def test_figures_are_per_second_however_long_the_film(large: RGB) -> None:
    frames = [grained(large, seed) for seed in range(7)]
    short, long = measured(frames[:4]), measured(frames)
    twice = measured(frames, fps=20)
    for name in ("warping", "flicker"):
        assert getattr(short, name) == pytest.approx(getattr(long, name), rel=0.1)
        assert getattr(twice, name) == pytest.approx(2 * getattr(long, name))


def test_landmarks_that_shake_have_jitter(large: RGB) -> None:
    still, shaken = measured([large] * 3, faces=True), measured([large, moved(large, 3, 0), large], faces=True)
    assert still.jitter == 0
    assert shaken.jitter is not None
    assert shaken.jitter > 30  # 2 x 3 px of some 100 between the eyes, ten times a second


def test_a_film_too_short_for_a_figure_has_none(large: RGB) -> None:
    one, two = measured([large]), measured([large] * 2)
    assert (one.warping, one.flicker, one.jitter) == (None, None, None)
    assert two.warping == pytest.approx(0, abs=0.3)
    assert two.flicker is None


def test_a_film_without_a_face_has_no_jitter() -> None:
    assert measured([np.zeros((96, 96, 3), dtype=np.uint8)] * 3, faces=True).jitter is None


def test_wrong_values_are_refused(large: RGB) -> None:
    with pytest.raises(UsageError, match="0 frames per second"):
        TemporalMeter(0)
    with pytest.raises(UsageError, match="nothing to measure"):
        measured([])
    with pytest.raises(ShapeError, match=r"frame 2 has shape \(128, 256, 3\), expected \(256, 256, 3\)"):
        measured([large, large[:128]])
