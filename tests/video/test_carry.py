"""Carried detail moves with its object, stays as sharp as fresh detail, and goes where the picture changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.video.carry import STRENGTH, Carried, Kept, carried, enlarge, motion
from tests.ops.test_flow import moved

SCALE = 4
Plane = NDArray[np.float32]


def noise(seed: int, size: tuple[int, int]) -> Plane:
    """Fine detail, (H, W, 3), that no low-res picture shows."""
    rough = np.random.default_rng(seed).normal(0, 0.1, (*size, 3))
    return np.asarray(cv2.GaussianBlur(rough, (0, 0), 1), dtype=np.float32)


def film(head: RGB, count: int, step: float = 0.5) -> list[tuple[RGB, Plane]]:
    """A head that moves right by `step` low-res pixels a frame, each frame upscaled with detail of its own."""
    low = np.asarray(cv2.resize(head, (64, 64), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    pictures = [moved(low, step * number, 0) for number in range(count)]
    large = (64 * SCALE, 64 * SCALE)
    return [(x, (enlarge(x, large) * 0.6 + 0.2 + noise(n, large)).clip(0, 1)) for n, x in enumerate(pictures)]


def carry(kept: Kept | None, low: RGB, upscaled: Plane, strength: float = STRENGTH) -> tuple[Plane, Kept]:
    """Finish the next frame with the detail of those before; also what it leaves."""
    if kept is None:
        return upscaled, Kept.of(low, upscaled)
    mixed = carried(kept, low, motion(kept.low_res, low)).mix(upscaled, strength)
    return mixed, Kept.of(low, mixed)


def carry_all(frames: list[tuple[RGB, Plane]], kept: Kept | None = None) -> tuple[list[Plane], Kept | None]:
    """Finish frames in order."""
    mixed = []
    for low, upscaled in frames:
        image, kept = carry(kept, low, upscaled)
        mixed.append(image)
    return mixed, kept


def laplacian(picture: Plane) -> float:
    return float(cv2.Laplacian(picture, cv2.CV_32F).var())


def test_detail_moves_with_the_head_and_stays_sharp(head: RGB) -> None:
    frames = film(head, 8)
    finished, _ = carry_all(frames)
    shift = round(0.5 * SCALE)
    inside = (slice(32, -32), slice(48, -48))

    def flicker(pictures: list[Plane]) -> float:
        a, b = pictures[-2:]
        return float(np.abs(np.roll(a, shift, axis=1) - b)[inside].mean())

    fresh = [upscaled for _, upscaled in frames]
    assert flicker(finished) < flicker(fresh) / 3
    assert laplacian(finished[-1]) == pytest.approx(laplacian(fresh[-1]), rel=0.1)


def test_a_cut_carries_nothing_over(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    other = np.ascontiguousarray(255 - low[::-1])
    large = enlarge(other, upscaled.shape[:2]) * 0.6 + 0.2 + noise(9, upscaled.shape[:2])
    difference = np.abs(carry(Kept.of(low, upscaled), other, large)[0] - large.clip(0, 1))
    assert difference.mean() < 0.01


def test_detail_of_equal_frames_is_kept(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    kept = Kept.of(low, upscaled)
    assert motion(low, low).trust.min() > 0.99
    np.testing.assert_allclose(carry(kept, low, upscaled, strength=1.0)[0], upscaled, atol=2e-3)


def test_a_mean_of_two_details_is_as_sharp_as_either() -> None:
    base = np.full((128, 128, 3), 0.5, dtype=np.float32)
    fresh, before = base + noise(0, (128, 128)), noise(1, (128, 128))
    half = Carried(base, before, np.ones((128, 128), dtype=np.float32))
    mean = ((fresh + base + before) / 2).astype(np.float32)
    assert laplacian(mean) < 0.6 * laplacian(fresh)
    assert laplacian(half.mix(fresh, 0.5)) == pytest.approx(laplacian(fresh), rel=0.1)
    np.testing.assert_allclose(half.mix(fresh, 0.0), fresh, atol=1e-6)


def test_restored_it_goes_on_bit_for_bit(head: RGB) -> None:
    frames = film(head, 4)
    whole, _ = carry_all(frames)
    _, kept = carry_all(frames[:2])
    assert kept is not None
    assert Kept.restored({}) is None
    rest, _ = carry_all(frames[2:], Kept.restored(kept.state()))
    for image, expected in zip(rest, whole[2:], strict=True):
        assert np.array_equal(image, expected)


def test_another_size_is_refused(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    with pytest.raises(ShapeError, match=r"has shape \(32, 64, 3\), expected \(64, 64, 3\) as before"):
        carried(Kept.of(low, upscaled), low[:32], motion(low, low))
