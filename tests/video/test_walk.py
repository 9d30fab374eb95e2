"""Walks: through every keyframe, on the shell, closed where they loop, and each frame by its number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.errors import ShapeError, UsageError
from facegen.video.walk import CURVES, EASINGS, Curve, Easing, Walk, WalkOptions

KEYFRAMES = np.random.default_rng(0).standard_normal((4, 16))


def latents(walk: Walk) -> NDArray[np.float64]:
    return torch.stack([walk.latent(frame) for frame in range(len(walk))]).double().numpy()


def steps(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(np.diff(points, axis=0), axis=1))


@pytest.mark.parametrize("path", CURVES)
@pytest.mark.parametrize("easing", EASINGS)
def test_goes_through_every_keyframe(path: Curve, easing: Easing) -> None:
    opened = latents(Walk(KEYFRAMES, 31, WalkOptions(path, easing)))
    assert opened.shape == (31, 16)
    assert np.allclose(opened[::10], KEYFRAMES, atol=1e-6)
    closed = latents(Walk(KEYFRAMES, 40, WalkOptions(path, easing, loop=True)))
    assert np.allclose(closed[::10], KEYFRAMES, atol=1e-6)


@pytest.mark.parametrize("path", CURVES)
def test_stays_on_the_shell(path: Curve) -> None:
    alike = KEYFRAMES / np.linalg.norm(KEYFRAMES, axis=1, keepdims=True) * 4
    assert np.allclose(np.linalg.norm(latents(Walk(alike, 50, WalkOptions(path))), axis=1), 4, atol=1e-5)
    grown = np.linalg.norm(latents(Walk(np.stack([alike[0], 2 * alike[1]]), 5, WalkOptions(path))), axis=1)
    assert np.allclose(grown, np.linspace(4, 8, 5) if path == "slerp" else np.geomspace(4, 8, 5), atol=1e-5)


def test_slerp_moves_evenly_along_the_arc() -> None:
    points = latents(Walk(np.array([[1.0, 0], [0, 1]]), 10, WalkOptions("slerp")))
    assert np.allclose(np.arctan2(points[:, 1], points[:, 0]), np.linspace(0, np.pi / 2, 10), atol=1e-6)


@pytest.mark.parametrize("path", CURVES)
def test_a_loop_closes_without_a_doubled_frame(path: Curve) -> None:
    """The step from the last frame to the first is as long as those beside it."""
    points = latents(Walk(KEYFRAMES, 400, WalkOptions(path, loop=True)))
    back = float(np.linalg.norm(points[-1] - points[0]))
    beside = steps(points)[-1]
    assert back == pytest.approx(float(beside), rel=0.05)
    assert steps(points).min() > back / 10


def test_a_spline_has_no_corner_where_slerp_has() -> None:
    turns = {}
    for path in CURVES:
        points = latents(Walk(KEYFRAMES, 401, WalkOptions(path, loop=True)))
        velocity = np.diff(points, axis=0)
        turns[path] = np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() / steps(points).mean()
    assert turns["spline"] < 0.1
    assert turns["slerp"] > 0.5


def test_ease_comes_to_rest_at_keyframes() -> None:
    moved = steps(latents(Walk(KEYFRAMES[:2], 101, WalkOptions("slerp", "ease"))))
    assert moved[0] < 0.05 * moved[50]
    assert moved[-1] < 0.05 * moved[50]
    assert moved[50] == pytest.approx(1.5 * moved.mean(), rel=0.01)  # smoothstep's steepest slope


@pytest.mark.parametrize("path", CURVES)
def test_equal_keyframes_stand_still(path: Curve) -> None:
    points = latents(Walk(KEYFRAMES[[0, 0]], 5, WalkOptions(path)))
    assert np.allclose(points, KEYFRAMES[0], atol=1e-6)


def test_one_frame_is_the_first_keyframe() -> None:
    assert np.allclose(latents(Walk(KEYFRAMES, 1)), KEYFRAMES[:1], atol=1e-6)


def test_latents_are_float32_and_the_same_every_time() -> None:
    one, other = (Walk(KEYFRAMES, 9) for _ in range(2))
    assert one.latent(5).dtype == torch.float32
    assert torch.equal(one.latent(5), [other.latent(frame) for frame in range(9)][5])


def test_what_cannot_be_walked_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"keyframes have shape \(16,\), expected \(N, z_dim\)"):
        Walk(KEYFRAMES[0], 5)
    with pytest.raises(UsageError, match="1 keyframes and 5 frames; expected at least 2 and 1"):
        Walk(KEYFRAMES[:1], 5)
    with pytest.raises(UsageError, match="4 keyframes and 0 frames"):
        Walk(KEYFRAMES, 0)
    with pytest.raises(UsageError, match="keyframe 2 is zero"):
        Walk(KEYFRAMES * [[1], [0], [1], [1]], 5)
    with pytest.raises(UsageError, match="after keyframe 1 is its opposite"):
        Walk(np.stack([KEYFRAMES[0], -2 * KEYFRAMES[0]]), 5)
    with pytest.raises(UsageError, match="frame 5 of 5; expected 0 to 4"):
        Walk(KEYFRAMES, 5).latent(5)
    with pytest.raises(UsageError, match="path 'splin'; did you mean 'spline'\\? Known: spline, slerp"):
        WalkOptions(path="splin")  # type: ignore[arg-type]
