"""Damage as photos come by it, and the estimate of its strength."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facegen.arrays import RGB
from facegen.ops.damage import FIRST, LEVELS, SECOND, Float, Step, aged, blur, damage, of_item, scratched
from facegen.ops.strength import estimate_strength, without_damage

STEPS = {step.__name__: step for _, step in (*FIRST, *SECOND)}


@pytest.fixture(scope="module")
def small(head: RGB) -> Float:
    """A (96, 96, 3) head in [0, 1]."""
    return np.asarray(cv2.resize(head, (96, 96), interpolation=cv2.INTER_AREA) / 255, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def harm(image: Float, strength: float, seed: int) -> float:
    return float(np.abs(damage(image, rng(seed), strength) - image).mean())


def test_no_strength_does_nothing(small: Float) -> None:
    assert damage(small, rng(), 0) is small


@pytest.mark.parametrize("shape", [(96, 96, 3), (33, 50, 3)])
def test_size_and_levels_are_those_of_a_file(small: Float, shape: tuple[int, ...]) -> None:
    image = small[: shape[0], : shape[1]]
    for seed in range(12):
        damaged = damage(image, rng(seed), 1.0)
        assert damaged.shape == shape
        assert damaged.dtype == np.float32
        np.testing.assert_allclose(damaged * 255, np.rint(damaged * 255).clip(0, 255), atol=1e-3)


def test_harm_grows_with_strength(small: Float) -> None:
    means = [np.mean([harm(small, strength, seed) for seed in range(12)]) for strength in (*LEVELS.values(), 1.0)]
    assert means == sorted(means)
    assert means[-1] > 2 * means[0]


def test_damage_is_known_from_seed_and_item(head: RGB) -> None:
    picture = np.ascontiguousarray(head[:64, :64])
    first = of_item(picture, 0.5, item=3)
    assert np.array_equal(of_item(picture, 0.5, item=3), first)
    assert not np.array_equal(of_item(picture, 0.5, item=4), first)
    assert not np.array_equal(of_item(picture, 0.5, item=3, seed=1), first)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_harms_a_picture_and_more_of_it_more(small: Float, name: str) -> None:
    step: Step = STEPS[name]
    if step is scratched:
        assert np.abs(step(small, rng(), 1.0) - small).max() > 0.2
        return
    little, much = (np.std(_of_size(step(small, rng(1), amount), small) - small) for amount in (0.1, 1.0))
    assert 0 < little < much


def _of_size(image: Float, like: Float) -> Float:
    return np.asarray(cv2.resize(image, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)


def test_old_colours_are_often_grey_and_sometimes_faded(small: Float) -> None:
    looks = [aged(small, rng(seed)) for seed in range(60)]
    assert all(look.min() >= 0 and look.max() <= 1 for look in looks)
    grey = sum(bool(np.ptp(look, axis=2).max() < 1e-6) for look in looks)
    assert 10 < grey < 35
    assert sum(look.min() > small.min() + 0.05 for look in looks) > 15


def test_strength_is_estimated(head: RGB) -> None:
    picture = np.asarray(cv2.resize(head, (96, 96), interpolation=cv2.INTER_AREA), np.uint8)
    found = [np.mean([estimate_strength(of_item(picture, s, item)) for item in range(8)]) for s in LEVELS.values()]
    assert estimate_strength(picture) < 0.2
    assert found == sorted(found)
    assert found == pytest.approx(list(LEVELS.values()), abs=0.25)


@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 300, 3)])
@pytest.mark.parametrize("value", [0, 128])
def test_strength_of_a_flat_picture_is_a_number(shape: tuple[int, ...], value: int) -> None:
    assert 0 <= estimate_strength(np.full(shape, value, np.uint8)) <= 1


def test_without_damage_the_input_keeps_its_averages_alone() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.full((3, 256, 256), 0.5)
    low_res = 0.6 + 0.05 * torch.randn(3, 64, 64, generator=rng)
    cleaned = without_damage(image, low_res, 1.0)
    assert cleaned.mean().item() == pytest.approx(0.6, abs=0.01)
    assert cleaned.std() < 0.2 * low_res.std()
    assert without_damage(image, low_res, 0) is low_res


def test_blur_keeps_the_mean_and_takes_detail(small: Float) -> None:
    blurred = blur(small, 1.5)
    assert blurred.shape == small.shape
    assert blurred.mean() == pytest.approx(small.mean(), abs=1e-3)
    assert np.diff(blurred, axis=1).std() < 0.9 * np.diff(small, axis=1).std()


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((21, 21, 3), np.float32)
    point[10, 10] = 1
    row = blur(point, 2.0)[10, :, 0]
    assert row[12] / row[10] == pytest.approx(np.exp(-0.5), rel=0.01)
    assert row.argmax() == 10
