"""Damage of batches: in distribution what `facegen.ops` does to one picture, and known from the item."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.arrays import RGB
from facegen.ops import damage as single
from facegen.ops.damage import Float
from facegen.training import damage as batched
from facegen.training.random import ItemDraws
from tests.degradation import degrade, jpeg

COUNT = 240


@pytest.fixture
def low(astronaut: RGB) -> Float:
    """A real head, 32 px."""
    head = cv2.resize(astronaut[0:192, 128:320], (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(head / np.float32(255), np.float32)


def many(low: Float, count: int = COUNT) -> Tensor:
    return torch.from_numpy(low).permute(2, 0, 1).expand(count, -1, -1, -1).contiguous()


def arrays(images: Tensor) -> Float:
    return np.asarray(images.permute(0, 2, 3, 1).numpy(), np.float32)


def spectrum(images: Float) -> Float:
    """Mean energy of the luma in rings of frequency, coarse to fine."""
    energy = (np.abs(np.fft.fft2(images.mean(axis=3))) ** 2).mean(axis=0)
    y, x = np.meshgrid(*[np.abs(np.fft.fftfreq(images.shape[1]))] * 2, indexing="ij")
    rings = np.minimum((np.hypot(x, y) / 0.5 * 4).astype(int), 3)
    return np.array([energy[rings == ring].mean() for ring in range(4)], np.float32)


def error(images: Float, low: Float) -> float:
    return float(np.sqrt(((images - low) ** 2).mean()))


@pytest.mark.parametrize("strength", [0.25, 0.8])
def test_damage_is_as_that_of_single_pictures(low: Float, strength: float) -> None:
    draws = ItemDraws(0, torch.arange(COUNT))
    found = arrays(batched.damage(many(low), draws, torch.full((COUNT,), strength)))
    known = np.stack([single.damage(low, np.random.default_rng(i), strength) for i in range(COUNT)])
    assert abs(found.mean() - known.mean()) < 0.01
    assert error(found, low) == pytest.approx(error(known, low), rel=0.12)
    np.testing.assert_allclose(np.log(spectrum(found)), np.log(spectrum(known)), atol=0.4)
    colours = [np.std(x - x.mean(axis=3, keepdims=True)) for x in (found, known)]
    assert colours[0] == pytest.approx(colours[1], rel=0.1)


def test_mild_degradation_is_as_that_of_single_pictures(low: Float) -> None:
    found = arrays(batched.degrade(many(low, 1000), ItemDraws(0, torch.arange(1000)), 1.0, 0.5))
    known = np.stack([degrade(low, np.random.default_rng(i), 1.0, 0.5) for i in range(1000)])
    assert error(found, low) == pytest.approx(error(known, low), rel=0.15)
    shares = [np.mean(np.abs(x - low).max(axis=(1, 2, 3)) > 1e-6) for x in (found, known)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_is_near_that_of_the_library(low: Float, quality: int) -> None:
    found = arrays(batched.jpeg(many(low, 1), torch.tensor([float(quality)])))[0]
    known = jpeg(low, quality)
    assert np.abs(found - known).mean() < 0.5 * np.abs(known - low).mean()


def test_damage_is_known_from_the_item_whatever_the_batch(low: Float) -> None:
    strength = torch.linspace(0, 1, 12)
    whole = batched.damage(many(low, 12), ItemDraws(3, torch.arange(12)), strength)
    part = batched.damage(many(low, 4), ItemDraws(3, torch.arange(5, 9)), strength[5:9])
    torch.testing.assert_close(part, whole[5:9])
    assert torch.equal(whole[0], many(low, 1)[0])
    levels = 255 * whole[1:]
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def test_colours_are_the_same_for_all_pictures_of_an_item(low: Float) -> None:
    colours = batched.Colours(ItemDraws(0, torch.arange(60)), 0.15, 0.5)
    small = halved_twice(colours(many(low, 60)))
    assert (small - colours(halved_twice(many(low, 60)))).abs().mean() < 0.002  # but for what is clamped
    grey = (colours(many(low, 60)).std(dim=1).flatten(1).amax(dim=1) < 1e-4).float().mean()
    assert 0.05 < grey < 0.4  # old photos without colours and without a tone


def halved_twice(images: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(images, 4)
