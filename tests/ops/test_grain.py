"""Grain that is like the surroundings' in strength, coarseness and colours."""

from __future__ import annotations

import numpy as np
import torch

from facegen.arrays import RGB
from facegen.ops.damage import blur
from facegen.ops.grain import IN_FACE, add_grain, grain_patch


def noisy(level: float, coarse: float = 0.0) -> RGB:
    """(160, 160, 3): a slope of light with noise in luma alone."""
    slope = np.linspace(0.3, 0.7, 160, dtype=np.float32)[:, None, None]
    noise = np.random.default_rng(1).standard_normal((160, 160, 1)).astype(np.float32)
    noise = blur(noise, coarse).reshape(160, 160, 1) if coarse else noise
    picture = slope + level * noise / noise.std() * np.ones(3, np.float32)
    return np.asarray((picture.clip(0, 1) * 255).round(), np.uint8)


def grain(rgb: RGB) -> torch.Tensor:
    """(3, 128, 128): grain like a picture's, at its size."""
    patch = grain_patch(rgb)
    assert patch is not None
    return add_grain(torch.full((3, 128, 128), 0.5), patch, 128, 1.0) - 0.5


def neighbours(values: torch.Tensor) -> float:
    """Correlation of neighbours in a row."""
    return float(torch.corrcoef(torch.stack([values[0, :, 1:].flatten(), values[0, :, :-1].flatten()]))[0, 1])


def test_strength_and_colours_are_the_surroundings() -> None:
    found = grain(noisy(0.04))
    rim = torch.cat([found[:, :10], found[:, -10:]], dim=1)
    assert 0.025 < float(rim.std()) < 0.045
    assert float((found[0] - found[2]).abs().max()) < 0.01  # grey as the noise is


def test_the_middle_gets_less() -> None:
    found = grain(noisy(0.04))
    assert float(found[:, 54:74, 54:74].std() / found[:, :10].std()) < IN_FACE + 0.15


def test_coarse_grain_stays_coarse() -> None:
    assert neighbours(grain(noisy(0.04))) < 0.2
    assert neighbours(grain(noisy(0.04, coarse=1.2))) > 0.5


def test_none_without_room_and_none_of_leaves() -> None:
    assert grain_patch(noisy(0.04)[:15]) is None
    assert grain_patch(noisy(0.3)) is None
    flat = grain_patch(np.full((64, 64, 3), 90, np.uint8))
    assert flat is not None
    assert not flat.any()
