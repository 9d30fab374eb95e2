"""The one-euro filter is steady at rest and quick in motion; heads are followed, and misses bridged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facegen.errors import ShapeError, UsageError
from facegen.faces.align import HeadFrame
from facegen.faces.detect import FoundHead
from facegen.faces.landmarks import Landmarks
from facegen.video.tracking import HeadTracker, OneEuroFilter, smooth_landmarks
from tests.conftest import face_points


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


FPS = 30


def square(x: float, y: float, side: float = 100) -> FoundHead:
    return FoundHead(HeadFrame((x, y), (side / 2, 0), (0, side / 2)), score=1.0)


def test_a_head_at_rest_trembles_less() -> None:
    rng, tracker = np.random.default_rng(0), HeadTracker(FPS)
    seen = rng.normal(200, 1.5, (60, 2))
    shown = [tracker.follow([square(x, y)])[0].frame.center for x, y in seen]
    assert np.diff(shown, axis=0).std() < np.diff(seen, axis=0).std() / 3


def test_a_moving_head_is_not_late() -> None:
    tracker = HeadTracker(FPS)
    for n in range(60):
        frame = tracker.follow([square(100 + 4 * n, 200)])[0].frame  # more than a head's side a second
    assert math.dist(frame.center, (100 + 4 * 59, 200)) < 4
    assert frame.side == pytest.approx(100)


def test_two_heads_stay_apart_whatever_their_order() -> None:
    tracker = HeadTracker(FPS)
    first, second = tracker.follow([square(100, 100, 110), square(300, 100)])
    for n in range(10):
        tracker.follow([square(300 - n, 100), square(100 + n, 100, 110)])
    assert tracker.heads == [first, second]
    assert first.frame.center[0] < 120 < second.frame.center[0]


def test_a_miss_is_bridged_for_a_quarter_of_a_second() -> None:
    tracker = HeadTracker(FPS)
    [head] = tracker.follow([square(100, 100)])
    for _ in range(7):
        assert tracker.follow([]) == [head]
    assert tracker.follow([square(104, 100)]) == [head]
    assert [len(tracker.follow([])) for _ in range(8)] == [1] * 7 + [0]


def test_a_head_elsewhere_is_a_new_one_not_smoothed_towards() -> None:
    tracker = HeadTracker(FPS)
    [old] = tracker.follow([square(100, 100)])
    found = tracker.follow([square(400, 300)])
    assert len(found) == 2
    [new] = [head for head in found if head is not old]
    assert new.frame.center == pytest.approx((400, 300))
    tracker.forget()
    assert not tracker.state()


def test_landmarks_are_smoothed_and_kept_when_unseen() -> None:
    tracker = HeadTracker(FPS)
    [head] = tracker.follow([square(100, 100)])
    points = face_points(64)
    np.testing.assert_allclose(smooth_landmarks(head.points, Landmarks(points, True), 64).points, points)
    shaken = smooth_landmarks(head.points, Landmarks(points + 1, True), 64).points - points
    assert 0 < shaken.mean() < 0.6
    kept = smooth_landmarks(head.points, Landmarks(points + 20, False), 128).points
    np.testing.assert_allclose(kept, (points + shaken) * 2)


def test_a_restored_tracker_goes_on_alike() -> None:
    rng = np.random.default_rng(1)
    seen = [[square(*rng.normal((100, 100), 2)), square(*rng.normal((300, 100), 2))] for _ in range(12)]
    seen[5] = seen[6] = seen[5][:1]
    whole, first, second = (HeadTracker(FPS) for _ in range(3))
    points = Landmarks(face_points(64), True)
    for frames in seen:
        expected = whole.follow(frames)
        smooth_landmarks(expected[0].points, points, 64)
    for frames in seen[:6]:
        smooth_landmarks(first.follow(frames)[0].points, points, 64)
    second.restore(first.state())
    for frames in seen[6:]:
        found = second.follow(frames)
        smooth_landmarks(found[0].points, points, 64)
    assert [head.frame for head in found] == [head.frame for head in expected]
    assert {name: values.tolist() for name, values in second.state().items()} == {
        name: values.tolist() for name, values in whole.state().items()
    }
