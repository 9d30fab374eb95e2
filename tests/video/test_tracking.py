"""The one-euro filter: steady at rest, quick in motion, and the same for every frame rate."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.errors import ShapeError, UsageError
from facegen.video.tracking import OneEuroFilter


def test_first_values_pass() -> None:
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.array_equal(OneEuroFilter(30)(points), points)


def test_without_beta_it_is_a_plain_low_pass() -> None:
    smooth = OneEuroFilter(10, cutoff=1.0)
    smooth(np.zeros(1))
    share = 1 / (1 + 10 / (2 * np.pi))
    np.testing.assert_allclose(smooth(np.ones(1)), share)
    np.testing.assert_allclose(smooth(np.ones(1)), share + share * (1 - share))


def test_jitter_at_rest_is_smoothed_away() -> None:
    rng, smooth = np.random.default_rng(0), OneEuroFilter(30, cutoff=1.0, beta=0.1)
    noise = rng.normal(0, 0.1, (300, 68, 2))
    smoothed = np.stack([smooth(points) for points in noise])[60:]
    assert smoothed.std() < 0.5 * noise.std()
    assert np.diff(smoothed, 2, axis=0).std() < 0.2 * np.diff(noise, 2, axis=0).std()


def test_beta_lets_it_keep_up_with_motion() -> None:
    path = np.arange(60.0) * 2  # 60 a second at 30 fps
    lags = {}
    for beta in (0.0, 1.0):
        smooth = OneEuroFilter(30, cutoff=1.0, beta=beta)
        lags[beta] = path[-1] - [smooth(np.array([x])) for x in path][-1].item()
    assert lags[0.0] > 8
    assert lags[1.0] < 0.1 * lags[0.0]


def test_frame_rates_agree() -> None:
    ends = {}
    for fps in (60, 240):
        smooth = OneEuroFilter(fps, cutoff=1.0, beta=0.5)
        smooth(np.zeros(1))
        ends[fps] = [smooth(np.ones(1)) for _ in range(fps // 4)][-1].item()
    assert ends[60] == pytest.approx(ends[240], abs=0.02)


def test_restored_it_goes_on_bit_for_bit() -> None:
    points = np.random.default_rng(0).random((6, 5, 2))
    whole, second = OneEuroFilter(12, beta=2.0), OneEuroFilter(12, beta=2.0)
    second.restore(whole.state())
    assert second.values is None
    for measured in points[:3]:
        whole(measured)
    second.restore(whole.state())
    for measured in points[3:]:
        assert np.array_equal(whole(measured), second(measured))


def test_wrong_values_are_refused() -> None:
    with pytest.raises(UsageError, match="fps 0"):
        OneEuroFilter(0)
    with pytest.raises(UsageError, match="beta -1"):
        OneEuroFilter(30, beta=-1)
    smooth = OneEuroFilter(30)
    smooth(np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=r"got shape \(3, 2\), expected \(2, 2\)"):
        smooth(np.zeros((3, 2)))
