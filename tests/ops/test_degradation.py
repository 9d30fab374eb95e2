"""Blur, noise, JPEG and colour, and the random mix of them."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.ops.degradation import Float, blur
from tests.degradation import degrade, jpeg, noise, recolour


@pytest.fixture
def image() -> Float:
    """A smooth (32, 32, 3) picture with some detail."""
    y, x = np.mgrid[0:32, 0:32] / 31
    detail = 0.2 * np.sin(20 * x) * np.cos(14 * y)
    return np.asarray(np.stack([x, y, 1 - x], axis=-1).clip(0.1, 0.9) + detail[..., None] / 2, dtype=np.float32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_blur_keeps_the_mean_and_takes_detail(image: Float) -> None:
    blurred = blur(image, 1.5)
    assert blurred.shape == image.shape
    assert blurred.mean() == pytest.approx(image.mean(), abs=1e-3)
    assert np.diff(blurred, axis=1).std() < 0.9 * np.diff(image, axis=1).std()


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((21, 21, 3), np.float32)
    point[10, 10] = 1
    row = blur(point, 2.0)[10, :, 0]
    assert row[12] / row[10] == pytest.approx(np.exp(-0.5), rel=0.01)
    assert row.argmax() == 10


def test_noise_has_the_sigma_asked_for_and_is_clipped() -> None:
    grey = np.full((200, 200, 3), 0.5, np.float32)
    assert (noise(grey, 0.05, generator()) - grey).std() == pytest.approx(0.05, rel=0.02)
    white = noise(np.ones_like(grey), 0.05, generator())
    assert white.max() <= 1


def test_jpeg_comes_close_at_high_quality_and_less_so_at_low(image: Float) -> None:
    errors = [abs(jpeg(image, quality) - image).mean() for quality in (98, 60, 5)]
    assert errors[0] < 0.02
    assert errors == sorted(errors)


def test_jpeg_keeps_the_order_of_channels() -> None:
    red = np.zeros((16, 16, 3), np.float32) + np.array([0.8, 0.2, 0.1], np.float32)
    np.testing.assert_allclose(jpeg(red, 95), red, atol=0.02)


def test_recolour_numbers() -> None:
    pixel = np.array([[[0.6, 0.4, 0.2]]], np.float32)
    luma = 0.299 * 0.6 + 0.587 * 0.4 + 0.114 * 0.2
    plain = {"gain": 1.0, "contrast": 1.0, "saturation": 1.0}
    np.testing.assert_allclose(recolour(pixel, **plain), pixel, atol=1e-6)
    np.testing.assert_allclose(recolour(pixel, **plain | {"gain": 1.1}), pixel * 1.1, atol=1e-6)
    np.testing.assert_allclose(recolour(pixel, **plain | {"contrast": 0.5}), 0.25 + pixel / 2, atol=1e-6)
    np.testing.assert_allclose(recolour(pixel, **plain | {"saturation": 0.0}), np.full((1, 1, 3), luma), atol=1e-6)


def test_recolour_stays_in_range(image: Float) -> None:
    loud = recolour(image, gain=1.5, contrast=1.5, saturation=1.5)
    assert loud.min() >= 0
    assert loud.max() <= 1
    assert loud.dtype == np.float32


def test_degrade_of_strength_zero_does_nothing(image: Float) -> None:
    assert all(degrade(image, generator(seed), 0) is image for seed in range(5))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_degrade_touches_its_share_and_stays_in_range(image: Float, share: float) -> None:
    rng = generator()
    results = [degrade(image, rng, 1.0, share) for _ in range(400)]
    touched = sum(not np.array_equal(result, image) for result in results) / 400
    assert touched == pytest.approx(0.86 * share, abs=0.07)  # for 0.4 * 0.5 * 0.7 of them no step is drawn
    assert all(r.shape == image.shape and r.dtype == np.float32 for r in results)
    assert min(r.min() for r in results) >= 0
    assert max(r.max() for r in results) <= 1 + 1e-6


def test_degrade_is_known_from_the_generator(image: Float) -> None:
    for seed in range(10):
        np.testing.assert_array_equal(degrade(image, generator(seed), 1), degrade(image, generator(seed), 1))


def test_degrade_is_stronger_with_strength(image: Float) -> None:
    def harm(strength: float) -> float:
        rng = generator()
        return float(np.mean([abs(degrade(image, rng, strength) - image).mean() for _ in range(200)]))

    assert 0 < harm(0.1) < harm(1.0)
