"""Carried detail moves with its object, stays as sharp as fresh detail, and goes where the picture changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.errors import ShapeError
from facegen.video.carry import STRENGTH, Carried, DetailCarrier, enlarge
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


def carry(carrier: DetailCarrier, low: RGB, upscaled: Plane, strength: float = STRENGTH) -> Plane:
    """Finish the next frame with the detail of those before."""
    carried = carrier.carried(low, upscaled.shape[:2])
    mixed = upscaled if carried is None else carried.mix(upscaled, strength)
    carrier.keep(low, mixed)
    return mixed


def laplacian(picture: Plane) -> float:
    return float(cv2.Laplacian(picture, cv2.CV_32F).var())


def test_the_first_frame_is_left_as_it_is(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    assert np.array_equal(carry(DetailCarrier(), low, upscaled), upscaled)


def test_detail_moves_with_the_head_and_stays_sharp(head: RGB) -> None:
    frames, carrier = film(head, 8), DetailCarrier()
    carried = [carry(carrier, low, upscaled) for low, upscaled in frames]
    shift = round(0.5 * SCALE)
    inside = (slice(32, -32), slice(48, -48))

    def flicker(pictures: list[Plane]) -> float:
        a, b = pictures[-2:]
        return float(np.abs(np.roll(a, shift, axis=1) - b)[inside].mean())

    fresh = [upscaled for _, upscaled in frames]
    assert flicker(carried) < flicker(fresh) / 3
    assert laplacian(carried[-1]) == pytest.approx(laplacian(fresh[-1]), rel=0.1)


def test_a_cut_carries_nothing_over(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    other = np.ascontiguousarray(255 - low[::-1])
    large = enlarge(other, upscaled.shape[:2]) * 0.6 + 0.2 + noise(9, upscaled.shape[:2])
    carrier = DetailCarrier()
    carry(carrier, low, upscaled)
    difference = np.abs(carry(carrier, other, large) - large.clip(0, 1))
    assert difference.mean() < 0.01


def test_detail_of_equal_frames_is_kept(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    carrier = DetailCarrier()
    carry(carrier, low, upscaled)
    carried = carrier.carried(low, upscaled.shape[:2])
    assert carried is not None
    assert carried.trust.min() > 0.99
    np.testing.assert_allclose(carry(carrier, low, upscaled, strength=1.0), upscaled, atol=2e-3)


def test_a_mean_of_two_details_is_as_sharp_as_either() -> None:
    base = np.full((128, 128, 3), 0.5, dtype=np.float32)
    fresh, before = base + noise(0, (128, 128)), noise(1, (128, 128))
    half = Carried(base, before, np.ones((128, 128), dtype=np.float32))
    mean = ((fresh + base + before) / 2).astype(np.float32)
    assert laplacian(mean) < 0.6 * laplacian(fresh)
    assert laplacian(half.mix(fresh, 0.5)) == pytest.approx(laplacian(fresh), rel=0.1)
    np.testing.assert_allclose(half.mix(fresh, 0.0), fresh, atol=1e-6)


def test_restored_it_goes_on_bit_for_bit(head: RGB) -> None:
    frames, whole, second = film(head, 4), DetailCarrier(), DetailCarrier()
    second.restore(whole.state())
    for low, upscaled in frames[:2]:
        carry(whole, low, upscaled)
    second.restore(whole.state())
    for low, upscaled in frames[2:]:
        assert np.array_equal(carry(whole, low, upscaled), carry(second, low, upscaled))


def test_another_size_is_refused(head: RGB) -> None:
    ((low, upscaled),) = film(head, 1)
    carrier = DetailCarrier()
    carrier.keep(low, upscaled)
    with pytest.raises(ShapeError, match=r"got \(64, 64, 3\) upscaled to \(128, 256\), expected .* as before"):
        carrier.carried(low, (128, 256))
