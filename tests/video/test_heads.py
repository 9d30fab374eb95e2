"""Heads followed: the same head stays the same, still ones stand still, moving ones are not late, misses bridged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facegen.faces.align import HeadFrame
from facegen.faces.landmarks import Landmarks
from facegen.video.tracking import HeadTracker
from tests.conftest import face_points

FPS = 30


def square(x: float, y: float, side: float = 100) -> HeadFrame:
    return HeadFrame((x, y), (side / 2, 0), (0, side / 2))


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
    np.testing.assert_allclose(head.steady(Landmarks(points, True), 64).points, points)
    shaken = head.steady(Landmarks(points + 1, True), 64).points - points
    assert 0 < shaken.mean() < 0.6
    kept = head.steady(Landmarks(points + 20, False), 128).points
    np.testing.assert_allclose(kept, (points + shaken) * 2)


def test_a_restored_tracker_goes_on_alike() -> None:
    rng = np.random.default_rng(1)
    seen = [[square(*rng.normal((100, 100), 2)), square(*rng.normal((300, 100), 2))] for _ in range(12)]
    seen[5] = seen[6] = seen[5][:1]
    whole, first, second = (HeadTracker(FPS) for _ in range(3))
    points = Landmarks(face_points(64), True)
    for frames in seen:
        expected = whole.follow(frames)
        expected[0].steady(points, 64)
    for frames in seen[:6]:
        first.follow(frames)[0].steady(points, 64)
    second.restore(first.state())
    for frames in seen[6:]:
        found = second.follow(frames)
        found[0].steady(points, 64)
    assert [head.frame for head in found] == [head.frame for head in expected]
    assert {name: values.tolist() for name, values in second.state().items()} == {
        name: values.tolist() for name, values in whole.state().items()
    }
