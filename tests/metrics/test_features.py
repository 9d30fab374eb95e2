"""Pooled features."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ShapeError
from facegen.metrics.features import pooled_features
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet


@pytest.fixture(scope="module")
def lite2() -> EfficientNetLite:
    return load_efficientnet("lite2")


def noise(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_one_vector_per_picture_whatever_the_batch(lite2: EfficientNetLite) -> None:
    pictures = noise(3, 32)
    whole = pooled_features(lite2, pictures, 32)
    assert whole.shape == (3, 352)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(pooled_features(lite2, pictures, 32, batch=2), whole, atol=1e-3)
    assert abs(whole[0] - whole[1]).max() > 0.01


def test_pictures_are_brought_to_the_side_asked_for(lite2: EfficientNetLite) -> None:
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    at_32 = pooled_features(lite2, flat[:, :32, :32], 32)
    np.testing.assert_allclose(pooled_features(lite2, flat, 32), at_32, atol=1e-3)
    assert abs(pooled_features(lite2, flat, 64) - at_32).max() > 0.01


def test_features_are_the_mean_of_the_last_map(lite2: EfficientNetLite) -> None:
    import torch

    picture = noise(1, 64)
    with torch.inference_mode():
        maps = lite2(torch.from_numpy(picture).permute(0, 3, 1, 2) / 127.5 - 1)
    np.testing.assert_allclose(pooled_features(lite2, picture, 64)[0], maps[-1][0].mean((1, 2)).numpy(), atol=1e-3)


def test_no_pictures_give_no_vectors(lite2: EfficientNetLite) -> None:
    assert pooled_features(lite2, noise(0, 32), 32).shape == (0, 352)


@pytest.mark.parametrize("wrong", [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8)])
def test_other_arrays_are_refused(lite2: EfficientNetLite, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"expected uint8 \(N, H, W, 3\)"):
        pooled_features(lite2, wrong, 32)
